//! The resources of group `tidegate.dev`, version `v1alpha1`, as Rust types. No I/O.
