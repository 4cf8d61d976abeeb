//! `tidegate events`: what is in the event log, and how far each event's deliveries have come.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::Failure;
use super::admin::Admin;
use super::output::{Output, print, print_table};

/// List stored events, newest first, and what became of each.
///
/// Example: tidegate events --event-type shop/order-placed --customer acme
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    select: Select,
    /// Events at most, from each replica.
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    limit: usize,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Which events.
#[derive(clap::Args)]
pub struct Select {
    /// Only of this AppEventType, as namespace/name.
    #[arg(long, value_name = "NAME")]
    pub event_type: Option<String>,
    /// Only those that this EventSubscription wants, as namespace/name.
    #[arg(long, value_name = "NAME")]
    pub subscription: Option<String>,
    /// Only of the customer with this id.
    #[arg(long, value_name = "ID")]
    pub customer: Option<String>,
    /// Only with this CloudEvents id.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Only received at this time or later, such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only received before this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

impl Select {
    /// The members of a request to the admin API; those that are not asked for are `None`.
    pub fn members(&self) -> [(&'static str, Option<String>); 6] {
        let Self {
            event_type,
            subscription,
            customer,
            id,
            from,
            until,
        } = self;
        [
            ("eventType", event_type.clone()),
            ("subscription", subscription.clone()),
            ("customer", customer.clone()),
            ("id", id.clone()),
            ("from", from.clone()),
            ("until", until.clone()),
        ]
    }
}

/// Prints the list.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments {
        admin,
        select,
        limit,
        output,
    } = arguments;
    let mut items = admin.list("/v1/events", &select.members(), *limit)?;
    // Replicas know nothing of each other; the time of receipt puts their events together.
    items.sort_by(|one, other| other["received"].as_str().cmp(&one["received"].as_str()));
    items.truncate(*limit);
    if *output == Output::Json {
        print(&format!("{}\n", json!({"items": items})));
        return Ok(ExitCode::SUCCESS);
    }
    let rows = items.iter().map(|item| {
        vec![
            text(&item["received"]),
            text(&item["eventType"]),
            text(&item["customer"]),
            text(&item["id"]),
            deliveries(&item["deliveries"]),
        ]
    });
    print_table(
        &["RECEIVED", "EVENT TYPE", "CUSTOMER", "ID", "DELIVERIES"],
        rows,
    );
    Ok(ExitCode::SUCCESS)
}

/// A value as a cell; nothing is a dash.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn deliveries(deliveries: &Value) -> String {
    let deliveries: Vec<String> = deliveries
        .as_array()
        .into_iter()
        .flatten()
        .map(|delivery| {
            let error = delivery["lastError"]
                .as_str()
                .map(|error| format!(", {error}"));
            format!(
                "{}: {}{}",
                text(&delivery["subscription"]),
                text(&delivery["state"]),
                error.unwrap_or_default()
            )
        })
        .collect();
    if deliveries.is_empty() {
        "nobody wants it".to_owned()
    } else {
        deliveries.join("\n")
    }
}
