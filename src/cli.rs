//! The command line: parse, dispatch, print.
//!
//! Each command is a file in `cli/` with its arguments and one `run`. Exit codes: 0, 1 when a
//! command found problems, 2 for wrong usage. Errors go to stderr and say what to do; there are no
//! stack traces.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod admin;
mod check;
mod controller;
mod crds;
mod dead_letters;
mod dev;
mod display;
mod events;
mod failure;
mod gateway;
mod logging;
mod output;
mod release;
mod render;
mod replay;
mod schema;
mod send;
mod serving;

pub use failure::Failure;

/// App events on Kubernetes: receive, verify, store, route and deliver webhooks.
#[derive(Parser)]
#[command(
    name = "tidegate",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Controller(controller::Arguments),
    Dev(dev::Arguments),
    Gateway(gateway::Arguments),
    Check(check::Arguments),
    Schema(schema::Arguments),
    Render(render::Arguments),
    Send(send::Arguments),
    Display(display::Arguments),
    Events(events::Arguments),
    DeadLetters(dead_letters::Arguments),
    Replay(replay::Arguments),
    Crds(crds::Arguments),
    Release(release::Arguments),
}

/// Runs the command that the process arguments name.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Controller(arguments) => controller::run(arguments),
        Command::Dev(arguments) => dev::run(arguments),
        Command::Gateway(arguments) => gateway::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Render(arguments) => render::run(&arguments),
        Command::Send(arguments) => send::run(&arguments),
        Command::Display(arguments) => display::run(arguments),
        Command::Events(arguments) => events::run(&arguments),
        Command::DeadLetters(arguments) => dead_letters::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Crds(arguments) => crds::run(&arguments),
        Command::Release(arguments) => release::run(&arguments),
    };
    result.unwrap_or_else(|failure| failure.report())
}
