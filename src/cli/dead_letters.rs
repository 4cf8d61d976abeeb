//! `tidegate dead-letters`: what could not be taken or delivered, and why.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::Failure;
use super::admin::Admin;
use super::events::text;
use super::output::{Output, print, print_table};

/// List events that could not be taken or delivered, newest first, with the reasons; or show one.
///
/// `tidegate replay --dead-letter NUMBER` delivers one again.
///
/// Example: tidegate dead-letters --reason SchemaViolation
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    admin: Admin,
    /// Show this dead letter whole, its payload included.
    #[arg(value_name = "NUMBER")]
    number: Option<u64>,
    /// Only of this AppEventType, as namespace/name.
    #[arg(long, value_name = "NAME")]
    event_type: Option<String>,
    /// Only those that this EventSubscription gave up, as namespace/name.
    #[arg(long, value_name = "NAME")]
    subscription: Option<String>,
    /// Only of the customer with this id.
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Only with this reason, such as SchemaViolation or TooOld.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Dead letters at most, from each replica.
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    limit: usize,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints the list, or one.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments {
        admin,
        number,
        event_type,
        subscription,
        customer,
        reason,
        limit,
        output,
    } = arguments;
    if let Some(number) = number {
        let letter = admin.get(&format!("/v1/dead-letters/{number}"))?;
        let letter =
            serde_json::to_string_pretty(&letter).map_err(|error| Failure::from_error(&error))?;
        print(&format!("{letter}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let query = [
        ("eventType", event_type.clone()),
        ("subscription", subscription.clone()),
        ("customer", customer.clone()),
        ("reason", reason.clone()),
    ];
    let mut items = admin.list("/v1/dead-letters", &query, *limit)?;
    items.sort_by(|one, other| other["at"].as_str().cmp(&one["at"].as_str()));
    items.truncate(*limit);
    if *output == Output::Json {
        print(&format!("{}\n", json!({"items": items})));
        return Ok(ExitCode::SUCCESS);
    }
    let rows = items.iter().map(|item| {
        vec![
            text(&item["deadLetter"]),
            text(&item["at"]),
            text(&item["eventType"]),
            text(&item["subscription"]),
            text(&item["customer"]),
            text(&item["id"]),
            reasons(&item["reasons"]),
        ]
    });
    let header = [
        "NUMBER",
        "AT",
        "EVENT TYPE",
        "SUBSCRIPTION",
        "CUSTOMER",
        "ID",
        "REASONS",
    ];
    print_table(&header, rows);
    Ok(ExitCode::SUCCESS)
}

fn reasons(reasons: &Value) -> String {
    let reasons = reasons.as_array().into_iter().flatten().map(|reason| {
        let pointer = (reason["pointer"].is_string())
            .then(|| format!(" at \"{}\"", text(&reason["pointer"])));
        format!(
            "{}{}: {}",
            text(&reason["code"]),
            pointer.unwrap_or_default(),
            text(&reason["message"])
        )
    });
    reasons.collect::<Vec<_>>().join("\n")
}
