//! Black-box tests, one file per promise, in one binary because linking is what costs time.
