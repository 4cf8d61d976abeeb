//! What holds of `plan`, over random histories and case by case.

mod app;
mod cases;
mod dice;
mod invariants;
mod model;
mod scenarios;
mod weather;
mod world;
