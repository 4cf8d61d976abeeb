//! Manifests: YAML documents with the place of every field.
