//! How much work one request may cost: a pool that every evaluation draws from.
//!
//! The budget of one evaluation bounds one expression; a request of a thousand items with ten
//! expressions each needs a bound of its own. The pool grows with the body, so that the work for
//! a request is linear in its size whatever a type declares.

use crate::expression::{BYTES_PER_BODY_BYTE, Budget, EvaluationError, STEPS};

/// Steps every request may take: ten evaluations that use all of theirs. With tens of nanoseconds
/// a step that stays below 10 ms.
const STEPS_PER_REQUEST: u64 = 10 * STEPS as u64;

/// Further steps for each byte of the body: a batch of small events takes more evaluations.
const STEPS_PER_BODY_BYTE: u64 = 2;

/// Text and bytes read or made for each byte of the body. Hashing runs at about 1 GB/s, so a body of
/// 1 MiB keeps a core busy for at most some 40 ms.
const BYTES_PER_POOL_BYTE: u64 = 32;

/// A body smaller than this counts as if it had this size: of a type with the default limits one
/// evaluation can then use all of its own budget.
const SMALLEST_BODY: u64 = 128 << 10;

/// What is left of a request's allowance.
#[derive(Debug)]
pub struct Pool {
    steps: u64,
    bytes: u64,
    bytes_per_evaluation: u64,
}

impl Pool {
    /// The allowance of a request with a body of `body_bytes`, of a type that takes `max_body_bytes`.
    pub fn new(body_bytes: usize, max_body_bytes: u32) -> Self {
        let body_bytes = body_bytes as u64;
        Self {
            steps: STEPS_PER_REQUEST + body_bytes.saturating_mul(STEPS_PER_BODY_BYTE),
            bytes: body_bytes
                .max(SMALLEST_BODY)
                .saturating_mul(BYTES_PER_POOL_BYTE),
            bytes_per_evaluation: u64::from(max_body_bytes).saturating_mul(BYTES_PER_BODY_BYTE),
        }
    }

    /// Runs one evaluation within its own budget and what is left here.
    pub fn evaluate<T>(
        &mut self,
        evaluation: impl FnOnce(&mut Budget) -> Result<T, EvaluationError>,
    ) -> Result<T, EvaluationError> {
        let steps = u64::from(STEPS).min(self.steps) as u32;
        let bytes = self.bytes_per_evaluation.min(self.bytes);
        let mut budget = Budget::new(steps, bytes);
        let result = evaluation(&mut budget);
        self.steps -= u64::from(steps - budget.steps_left());
        self.bytes -= bytes - budget.bytes_left();
        result
    }

    /// Charges for bytes that are hashed or parsed outside of an expression.
    pub fn charge(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        let left = self.bytes.checked_sub(bytes as u64);
        self.bytes = left.unwrap_or(0);
        left.map(|_| ()).ok_or(EvaluationError::BytesExhausted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_evaluation_gets_its_own_budget_and_no_more() {
        let mut pool = Pool::new(1 << 20, 1 << 19);
        pool.evaluate(|budget| {
            assert_eq!(budget.steps_left(), STEPS);
            assert_eq!(budget.bytes_left(), 2 << 20);
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn what_evaluations_use_is_gone_for_the_others() {
        let mut pool = Pool::new(0, 1 << 20);
        for _ in 0..10 {
            pool.evaluate(|budget| budget.steps(STEPS as usize))
                .unwrap();
        }
        assert_eq!(
            pool.evaluate(Budget::step),
            Err(EvaluationError::StepsExhausted)
        );
        pool.charge(4 << 20).unwrap();
        assert_eq!(pool.charge(1), Err(EvaluationError::BytesExhausted));
    }
}
