//! The stream as a whole: what a sender publishes is what a receiver has, whatever happens between.

mod convergence;
mod cost;
mod golden;
mod make;
mod partings;
mod refusals;
