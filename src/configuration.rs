//! The contract between what decides (controller, `dev`) and what serves (gateway): self-contained entries.
