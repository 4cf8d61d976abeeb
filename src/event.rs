//! One CloudEvent as Tidegate stores and delivers it.
