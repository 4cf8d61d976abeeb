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
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Option<String>,
    /// Only received before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
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

/// The admin API reads the same; here it is wrong usage.
fn time(text: &str) -> Result<String, String> {
    match text.parse::<jiff::Timestamp>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("write a time with its zone, such as 2026-01-31T12:00:00Z".to_owned()),
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

/// A value as a cell; nothing is a dash. Ids and customers are what strangers sent: a control
/// character in one could move the terminal's cursor or worse.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text
            .chars()
            .map(|character| match character {
                control if control.is_control() => control.escape_default().to_string(),
                other => other.to_string(),
            })
            .collect(),
        other => other.to_string(),
    }
}

fn deliveries(deliveries: &Value) -> String {
    let deliveries: Vec<String> = deliveries
        .as_array()
        .into_iter()
        .flatten()
        .map(|delivery| {
            let error = (delivery["lastError"].is_string())
                .then(|| format!(", {}", text(&delivery["lastError"])));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_holds_no_control_characters() {
        let check = |value: Value, expected: &str| assert_eq!(text(&value), expected);
        check(json!(null), "-");
        check(json!(3), "3");
        check(json!("ü o-1"), "ü o-1");
        check(json!("\u{1b}[2Jo-1\n\u{9b}"), "\\u{1b}[2Jo-1\\n\\u{9b}");
    }
}
