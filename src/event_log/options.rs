//! How a log is kept.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::OpenError;

/// The time in milliseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How a log is kept.
#[derive(Clone)]
pub struct Options {
    /// Bytes that all segments may take together; at least four segments.
    pub capacity: u64,
    /// Bytes of a segment, 8 KiB to 1 GiB. An append that does not fit gets a larger one to
    /// itself, so this does not bound records.
    pub segment_size: u32,
    /// Bytes of one append at most, all its records together with 40 bytes each; at most 1 GiB.
    pub max_append: u32,
    /// Bytes of appends that may wait for the writer; further ones wait before they are queued.
    pub queue_bytes: u32,
    /// [`Space::Low`] is told when less than so many bytes of the capacity are left for segments.
    pub low_water: u64,
    /// How often a full disk is tried again.
    pub space_check: Duration,
    /// Gives records their time.
    pub clock: Clock,
}

impl Options {
    /// Good values for a capacity in bytes: segments of a 64th of it, between 256 KiB and 64 MiB,
    /// appends up to 96 MiB or a quarter of it, a low-water mark of an eighth of it.
    pub fn for_capacity(capacity: u64) -> Self {
        const MIB: u64 = 1 << 20;
        let segment_size = (capacity / 64).clamp(MIB / 4, 64 * MIB);
        Self {
            capacity,
            segment_size: segment_size.next_multiple_of(4096) as u32,
            max_append: (capacity / 4).min(96 * MIB) as u32,
            queue_bytes: (64 * MIB) as u32,
            low_water: capacity / 8,
            space_check: Duration::from_secs(1),
            clock: Arc::new(|| jiff::Timestamp::now().as_millisecond()),
        }
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        const LARGEST: u32 = 1 << 30;
        let reason = if !(8192..=LARGEST).contains(&self.segment_size) {
            "the segment size must be 8 KiB to 1 GiB"
        } else if self.capacity < 4 * u64::from(self.segment_size) {
            "the capacity must be at least four segments"
        } else if self.max_append > LARGEST {
            "an append can have at most 1 GiB"
        } else if self.queue_bytes == 0 {
            "the queue must hold at least one byte"
        } else {
            return Ok(());
        };
        Err(OpenError::Options(reason))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("capacity", &self.capacity)
            .field("segment_size", &self.segment_size)
            .field("max_append", &self.max_append)
            .field("queue_bytes", &self.queue_bytes)
            .field("low_water", &self.low_water)
            .field("space_check", &self.space_check)
            .finish_non_exhaustive()
    }
}
