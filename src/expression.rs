//! CEL expressions and `$(CEL)` templates, compiled once, evaluated within budgets. Pure.
