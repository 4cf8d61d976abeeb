//! Everything in one process from a folder of manifests.
