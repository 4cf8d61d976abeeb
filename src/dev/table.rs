//! The start-up table: what is served, where, and what is wrong. Pure.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};

use super::provisioning::MOST_SHOWN;
use crate::api::SubscriptionState;
use crate::compile::{Compiled, Detail, Kind, State, Verdict};
use crate::configuration::{Configuration, SubscriptionEntry};
use crate::event::ObjectName;
use crate::provision::driver::View;

/// Types with their URIs and subscriptions with their sinks, as text for a person. The URIs are
/// whole: this is the one place that shows unguessable tokens.
pub fn render(compiled: &Compiled, upstream: &[View], width: Option<u16>) -> String {
    let Compiled {
        configuration,
        verdicts,
        upstream: _,
        held: _,
    } = compiled;
    let mut text = String::new();
    section(
        &mut text,
        &["EVENT TYPE", "WEBHOOK URI", "STATE"],
        of_kind(verdicts, Kind::AppEventType).map(|verdict| {
            vec![
                verdict.name.to_string(),
                uri(configuration, verdict),
                state(verdict),
            ]
        }),
        "No AppEventType is declared, so there is nothing to receive.",
        width,
    );
    section(
        &mut text,
        &["SUBSCRIPTION", "EVENT TYPE", "CUSTOMERS", "SINK", "STATE"],
        of_kind(verdicts, Kind::EventSubscription).map(|verdict| {
            let entry = configuration
                .subscriptions
                .iter()
                .find(|entry| entry.name == verdict.name);
            vec![
                verdict.name.to_string(),
                entry
                    .map(|entry| entry.event_type.to_string())
                    .unwrap_or_default(),
                customers(verdict),
                entry
                    .map(|entry| entry.sink.uri.clone())
                    .unwrap_or_default(),
                subscription_state(verdict, entry.map(AsRef::as_ref)),
            ]
        }),
        "No EventSubscription is declared: events are stored and delivered to nobody.",
        width,
    );
    // Without any, nobody needs to know that there could be.
    if !upstream.is_empty() {
        at_apps(&mut text, upstream, width);
    }
    text
}

fn at_apps(text: &mut String, upstream: &[View], width: Option<u16>) {
    section(
        text,
        &[
            "UPSTREAM SUBSCRIPTION",
            "EVENT TYPE",
            "CUSTOMER",
            "WEBHOOK URI",
            "STATE",
        ],
        upstream.iter().take(MOST_SHOWN).map(|view| {
            let customer = view.customer.as_ref().map(|(_, id)| id.clone());
            vec![
                view.name.to_string(),
                view.event_type.to_string(),
                customer.unwrap_or_else(|| "all".to_owned()),
                view.webhook_uri.clone().unwrap_or_default(),
                upstream_state(view),
            ]
        }),
        "",
        width,
    );
    if upstream.len() > MOST_SHOWN {
        let _ = writeln!(
            text,
            "  … and more: see /v1/subscriptions at the admin address\n"
        );
    }
}

fn upstream_state(view: &View) -> String {
    let status = view.status();
    let state = match status.state {
        Some(SubscriptionState::Pending) => "pending",
        Some(SubscriptionState::Subscribing) => "subscribing",
        Some(SubscriptionState::Active) => "active",
        Some(SubscriptionState::Renewing) => "renewing",
        Some(SubscriptionState::Unsubscribing) => "unsubscribing",
        Some(SubscriptionState::Failed) => "failed",
        None => "removed",
    };
    let mut text = state.to_owned();
    if let Some(error) = &status.last_error {
        let _ = write!(text, ": {error}");
    }
    if !view.orphans.is_empty() {
        let _ = write!(text, "; {} may still stand at the app", view.orphans.len());
    }
    text
}

fn of_kind(verdicts: &[Verdict], kind: Kind) -> impl Iterator<Item = &Verdict> {
    verdicts.iter().filter(move |verdict| verdict.kind == kind)
}

fn section(
    text: &mut String,
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    empty: &str,
    width: Option<u16>,
) {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header.to_vec())
        .add_rows(rows);
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    if table.is_empty() {
        let _ = writeln!(text, "  {empty}\n");
        return;
    }
    for line in table.lines() {
        let _ = writeln!(text, " {}", line.trim_end());
    }
    text.push('\n');
}

/// The URI of a type's global webhook.
pub fn uri(configuration: &Configuration, verdict: &Verdict) -> String {
    match &verdict.detail {
        Detail::EventType {
            route: Some(route), ..
        } => {
            format!("{}{route}", configuration.gateway.public_url)
        }
        _ => "none (no globalWebhook)".to_owned(),
    }
}

fn customers(verdict: &Verdict) -> String {
    match verdict.detail {
        Detail::Subscription { customers: Some(1) } => "1".to_owned(),
        Detail::Subscription {
            customers: Some(count),
        } => count.to_string(),
        _ => "all".to_owned(),
    }
}

fn state(verdict: &Verdict) -> String {
    match &verdict.state {
        State::Ready => "ready".to_owned(),
        State::Waiting { reason, message } => format!("{reason}: {message}"),
        State::Invalid => {
            let errors = verdict
                .problems
                .iter()
                .filter(|problem| problem.is_error())
                .count();
            match errors {
                1 => "1 error, see above".to_owned(),
                errors => format!("{errors} errors, see above"),
            }
        }
    }
}

fn subscription_state(verdict: &Verdict, entry: Option<&SubscriptionEntry>) -> String {
    match (&verdict.state, entry) {
        (State::Ready, Some(entry)) if entry.suspend => "suspended".to_owned(),
        _ => state(verdict),
    }
}

/// One line about a verdict that changed, for the console while `dev` runs.
pub fn line(configuration: &Configuration, verdict: &Verdict) -> String {
    let ObjectName { namespace, name } = &verdict.name;
    let mut line = format!(
        "{} {namespace}/{name}: {}",
        verdict.kind.as_str(),
        state(verdict)
    );
    if let Detail::EventType { route: Some(_), .. } = verdict.detail {
        let _ = write!(line, ", {}", uri(configuration, verdict));
    }
    line
}
