//! JSON Schema: compile, validate, generate. Pure.
