//! `tidegate replay`: stored events, or dead letters, once more.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::Failure;
use super::admin::Admin;
use super::events::{Select, text};
use super::output::print;

/// Deliver stored events, or dead letters, once more, with the same ids.
///
/// Without --dead-letter, every stored event that matches goes again to the subscriptions that
/// want it; at least one of the selecting options is needed.
///
/// Example: tidegate replay --subscription shop/invoicing --from 2026-01-31T12:00:00Z
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    select: Select,
    /// A dead letter's number; may be repeated.
    #[arg(long = "dead-letter", value_name = "NUMBER")]
    dead_letters: Vec<u64>,
}

/// Starts the replay, and says what became of it.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments {
        admin,
        select,
        dead_letters,
    } = arguments;
    let mut request: Map<String, Value> = select
        .members()
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))))
        .collect();
    match (request.is_empty(), dead_letters.is_empty()) {
        (true, true) => {
            return Err(Failure::Usage(
                "say which events: by --subscription, --event-type, --customer, --id, --from, \
                 --until or --dead-letter"
                    .to_owned(),
            ));
        }
        (false, false) => {
            return Err(Failure::Usage(
                "--dead-letter names letters one by one; leave the other options out".to_owned(),
            ));
        }
        _ => {}
    }
    if dead_letters.is_empty() {
        for answer in admin.post("/v1/replays", &Value::Object(request))? {
            print(&format!("Replay {} has begun.\n", text(&answer["id"])));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let numbers: Vec<String> = dead_letters.iter().map(u64::to_string).collect();
    request.insert("deadLetters".to_owned(), json!(numbers));
    let mut all_replayed = true;
    for answer in admin.post("/v1/replays", &Value::Object(request))? {
        for item in answer["items"].as_array().into_iter().flatten() {
            let number = text(&item["deadLetter"]);
            match item["error"].as_str() {
                None => print(&format!("Dead letter {number} is delivered again.\n")),
                Some(error) => {
                    all_replayed = false;
                    eprintln!("error: dead letter {number}: {error}");
                }
            }
        }
    }
    Ok(if all_replayed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
