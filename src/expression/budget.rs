//! How much work one evaluation may do.
//!
//! Two allowances, because neither alone bounds the time: steps count nodes
//! evaluated and elements visited, bytes count the text and binary data that
//! operators and functions read or make. There is no clock here: the same
//! expression over the same input always ends the same way.

use super::EvaluationError;

/// Steps one evaluation on the request path may take.
pub const STEPS: u32 = 20_000;

/// The allowance of text and bytes is this many times the largest body a type accepts.
pub const BYTES_PER_BODY_BYTE: u64 = 4;

/// What one evaluation, or one rendering of a template, may still spend.
///
/// Once exhausted it stays so: every later charge fails.
#[derive(Debug, Clone)]
pub struct Budget {
    steps: u32,
    bytes: u64,
}

impl Budget {
    /// A budget of `steps` evaluation steps and `bytes` bytes of text and binary data.
    #[must_use]
    pub const fn new(steps: u32, bytes: u64) -> Self {
        Self { steps, bytes }
    }

    /// The budget of the request path: [`STEPS`], and [`BYTES_PER_BODY_BYTE`] times `max_body_bytes`.
    #[must_use]
    pub const fn for_body_limit(max_body_bytes: u64) -> Self {
        Self::new(STEPS, max_body_bytes.saturating_mul(BYTES_PER_BODY_BYTE))
    }

    /// Steps left.
    #[must_use]
    pub const fn steps_left(&self) -> u32 {
        self.steps
    }

    /// Bytes left.
    #[must_use]
    pub const fn bytes_left(&self) -> u64 {
        self.bytes
    }

    /// Charges one step.
    ///
    /// # Errors
    /// When none is left.
    #[inline]
    pub fn step(&mut self) -> Result<(), EvaluationError> {
        match self.steps.checked_sub(1) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(EvaluationError::StepsExhausted),
        }
    }

    /// Charges `count` steps, before the work they stand for is done.
    ///
    /// # Errors
    /// When fewer are left; then none is.
    #[inline]
    pub fn steps(&mut self, count: usize) -> Result<(), EvaluationError> {
        let left = u32::try_from(count)
            .ok()
            .and_then(|count| self.steps.checked_sub(count));
        self.steps = left.unwrap_or(0);
        left.map(|_| ()).ok_or(EvaluationError::StepsExhausted)
    }

    /// Charges `count` bytes, before they are read or made.
    ///
    /// # Errors
    /// When fewer are left; then none is.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Result<(), EvaluationError> {
        let left = self.bytes.checked_sub(count as u64);
        self.bytes = left.unwrap_or(0);
        left.map(|_| ()).ok_or(EvaluationError::BytesExhausted)
    }
}
