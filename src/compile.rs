//! Resources → configuration entries. Pure.
