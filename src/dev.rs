//! Everything in one process from a folder of manifests.

mod data_dir;
mod memory;
mod watch;

pub use data_dir::{DataDir, DataDirError};
pub use memory::{Changes, DELETION_DELAY, Found, Memory, ObjectKey, Reading, Remembered};
pub use watch::{INTERVAL, Look, checkout_under_way};
