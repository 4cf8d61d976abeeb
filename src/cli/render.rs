//! `tidegate render`: the requests that would be sent to an app, before anything is sent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tidegate::api::{EventSubscription, Resources, SentRequest, Severity};
use tidegate::compile::{Compiled, State, name_of};
use tidegate::configuration::Sensitive;
use tidegate::event::ObjectName;
use tidegate::manifest::{self, Manifests, Source};
use tidegate::provision::{
    Inputs, Known, Outgoing, Program, RequestKind, has_own_uri, subscription_name,
};

use super::Failure;
use super::check::compile_offline;
use super::output::{Output, print};

/// Print the requests that would be sent to an app's API for one customer: to obtain a token, to
/// subscribe, to look up, renew and unsubscribe. Nothing is sent. What is sensitive is shown as
/// `***`; what only the app's answers would say has example values.
///
/// Exit code 1 if the requests cannot be made.
///
/// Example: tidegate render examples/crm contact-created acme
#[derive(clap::Args)]
#[command(override_usage = "tidegate render [OPTIONS] PATH... TYPE [CUSTOMER]")]
pub struct Arguments {
    /// Folders and files with manifests; then an AppEventType and a Customer, each by its name or as
    /// namespace/name. Without a Customer: the registration of the type's global webhook.
    #[arg(required = true, num_args = 2.., value_name = "PATH... TYPE [CUSTOMER]")]
    arguments: Vec<String>,
    /// How the requests are printed: for people, or for programs.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints the requests.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (paths, names) = split(&arguments.arguments)?;
    let read = manifest::read_paths(&paths);
    if let Some(error) = read.errors.first() {
        return Err(Failure::from_error(error));
    }
    let manifests = Manifests::new(read.sources.iter().map(Source::load));
    let mut resources = manifests.resources.clone();
    let event_type = find(
        "AppEventType",
        names[0],
        resources.event_types.iter().map(|it| name_of(&**it)),
        &manifests,
    )?;
    let customer = match names.get(1) {
        None => None,
        Some(name) => Some(find(
            "Customer",
            name,
            resources.customers.iter().map(|it| name_of(&**it)),
            &manifests,
        )?),
    };
    if let Some(customer) = &customer {
        select(&mut resources, &event_type, customer)?;
    }
    let compiled = compile_offline(&resources);
    let name = subscription_name(&event_type, customer.as_ref());
    let Some(desired) = compiled.upstream.iter().find(|wish| wish.name == name) else {
        return Err(why_not(
            &compiled,
            &manifests,
            &event_type,
            customer.as_ref(),
        ));
    };
    let requests = render(&desired.inputs)?;
    match arguments.output {
        Output::Text => print(&as_text(&requests)),
        Output::Json => {
            let text = serde_json::to_string_pretty(&json!({"items": requests}))
                .map_err(|error| Failure::from_error(&error))?;
            print(&format!("{text}\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The paths, and behind them the names of a type and perhaps a customer.
fn split(arguments: &[String]) -> Result<(Vec<PathBuf>, Vec<&str>), Failure> {
    let paths = arguments
        .iter()
        .take_while(|argument| Path::new(argument).exists())
        .count();
    // What is called like a file is a name all the same where nothing else could be one.
    let paths = match (paths, arguments.len()) {
        (paths, count) if paths == count => count.saturating_sub(2).max(1),
        (paths, _) => paths,
    };
    let (paths, names) = arguments.split_at(paths);
    if paths.is_empty() || names.is_empty() || names.len() > 2 {
        let first = names.first().map_or("", String::as_str);
        return Err(Failure::Usage(match paths.is_empty() || names.len() > 2 {
            true => format!("there is no file or folder {first}"),
            false => "name an AppEventType, and a Customer".to_owned(),
        }));
    }
    Ok((
        paths.iter().map(PathBuf::from).collect(),
        names.iter().map(String::as_str).collect(),
    ))
}

/// The object that is called `name` or `namespace/name`.
fn find(
    kind: &str,
    name: &str,
    objects: impl Iterator<Item = ObjectName>,
    manifests: &Manifests,
) -> Result<ObjectName, Failure> {
    let found: Vec<ObjectName> = objects
        .filter(|object| object.name == name || object.to_string() == name)
        .collect();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let broken = manifests.problems.iter().filter(|placed| {
                let object = placed.problem.object.as_ref();
                placed.problem.severity == Severity::Error
                    && object.is_some_and(|object| object.kind == kind && object.name == name)
            });
            let broken: Vec<String> = broken.map(ToString::to_string).collect();
            match broken.is_empty() {
                true => Err(Failure::Failed(format!("there is no {kind} {name}"))),
                false => Err(Failure::Failed(broken.join("\n"))),
            }
        }
        several => Err(Failure::Usage(format!(
            "there are several: write one of {}",
            several
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

/// The name of the EventSubscription that stands in for one that would select the customer.
const STAND_IN: &str = "tidegate-render";

/// Selects the customer for the type, as an EventSubscription would.
fn select(
    resources: &mut Resources,
    event_type: &ObjectName,
    customer: &ObjectName,
) -> Result<(), Failure> {
    let subscription: EventSubscription = serde_json::from_value(json!({
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "EventSubscription",
        "metadata": {"namespace": customer.namespace, "name": STAND_IN},
        "spec": {
            "eventTypeRef": {"namespace": event_type.namespace, "name": event_type.name},
            "customerRef": {"name": customer.name},
            "sink": {"uri": "https://sink.invalid"},
        },
    }))
    .map_err(|error| Failure::from_error(&error))?;
    resources.subscriptions.push(Arc::new(subscription));
    Ok(())
}

/// Why there is nothing to render.
fn why_not(
    compiled: &Compiled,
    manifests: &Manifests,
    event_type: &ObjectName,
    customer: Option<&ObjectName>,
) -> Failure {
    let mut problems = Vec::new();
    for verdict in &compiled.verdicts {
        let is_type = verdict.kind.as_str() == "AppEventType" && verdict.name == *event_type;
        let is_stand_in = verdict.name.name == STAND_IN;
        if is_type || is_stand_in {
            let errors = verdict.problems.iter().filter(|problem| problem.is_error());
            problems.extend(
                manifests
                    .placed(errors.cloned())
                    .iter()
                    .map(ToString::to_string),
            );
            if let State::Waiting { message, .. } = &verdict.state {
                problems.push(message.clone());
            }
        }
    }
    if problems.is_empty() {
        problems.push(match customer {
            Some(customer) => format!(
                "AppEventType {event_type} has no subscription for Customer {customer}: write \
                 spec.subscription"
            ),
            None => format!(
                "AppEventType {event_type} has no globalWebhook.registration: name a Customer"
            ),
        });
    }
    Failure::Failed(problems.join("\n"))
}

/// One request as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    /// What it is for.
    request: String,
    #[serde(flatten)]
    sent: Option<SentParts>,
    /// Why it cannot be shown: its values are none that an example could stand in for.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct SentParts {
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

/// All requests, with example values for what is only known later.
fn render(inputs: &Inputs) -> Result<Vec<Shown>, Failure> {
    let program = Program::compile(inputs).map_err(|problems| {
        Failure::Failed(
            problems
                .iter()
                .map(|problem| problem.message.clone())
                .collect::<Vec<_>>()
                .join("\n"),
        )
    })?;
    let now = Timestamp::now();
    let mut requests = Vec::new();
    let credentials = program
        .render_credentials(inputs, now)
        .map_err(|error| Failure::from_error(&error))?;
    if let Some(credentials) = credentials {
        requests.push(shown("credentials", Ok(credentials.outgoing)));
    }
    let example = Example::new(inputs, now);
    for (name, kind) in program.requests() {
        let render = |id: &str| {
            program.render(
                &kind,
                inputs,
                &example.known(id),
                Some(&example.secret),
                now,
            )
        };
        let mut made = render("example-id");
        if made.is_err() && kind != RequestKind::Subscribe {
            // Some apps call a registration by its URL.
            let id = program
                .render(
                    &RequestKind::Subscribe,
                    inputs,
                    &example.known(""),
                    Some(&example.secret),
                    now,
                )
                .ok()
                .and_then(|request| request.url.join("/example-id").ok());
            if let Some(Ok(again)) = id.map(|id| render(id.as_str())) {
                made = Ok(again);
            }
        }
        requests.push(shown(&name, made.map_err(|error| error.to_string())));
    }
    Ok(requests)
}

/// What would only be known later.
struct Example {
    webhook_uri: Option<String>,
    secret: Sensitive,
    steps: BTreeMap<String, BTreeMap<String, Value>>,
    values: BTreeMap<String, Value>,
    expires_at: Option<Timestamp>,
}

impl Example {
    fn new(inputs: &Inputs, now: Timestamp) -> Self {
        let subscription = &inputs.subscription;
        let path = match &inputs.global_webhook_path {
            Some(path) if inputs.global => path.as_str(),
            // What stands in for a secret is masked wherever it occurs, so it is no usual word.
            _ => "/h/token-of-an-example",
        };
        let values = |names: &mut dyn Iterator<Item = &String>| -> BTreeMap<String, Value> {
            names
                .map(|name| (name.clone(), Value::from(format!("example-{name}"))))
                .collect()
        };
        let removal = subscription.unsubscribe.iter();
        let steps = (subscription.prepare.iter())
            .chain(&subscription.follow_ups)
            .chain(removal.flat_map(|unsubscribe| &unsubscribe.steps));
        let renewal = subscription.renewal.as_ref();
        let renewed = renewal.and_then(|renewal| renewal.response.as_ref());
        let renewed = renewed
            .into_iter()
            .flat_map(|response| response.values.keys());
        Self {
            webhook_uri: has_own_uri(subscription)
                .then(|| format!("{}{path}/1", inputs.public_url)),
            secret: Sensitive::from("secret-of-an-example"),
            steps: steps
                .map(|step| (step.name.clone(), values(&mut step.response.values.keys())))
                .collect(),
            values: values(&mut subscription.response.values.keys().chain(renewed)),
            expires_at: now.checked_add(Duration::from_secs(3_600)).ok(),
        }
    }

    fn known<'a>(&'a self, id: &'a str) -> Known<'a> {
        Known {
            number: 1,
            webhook_uri: self.webhook_uri.as_deref(),
            global_webhook_uri: None,
            attempt_id: "00000000-0000-4000-8000-000000000000",
            signing_secret: Some(&self.secret),
            steps: &self.steps,
            id: Some(id),
            values: &self.values,
            expires_at: self.expires_at,
        }
    }
}

fn shown(name: &str, made: Result<Outgoing, String>) -> Shown {
    let (sent, error) = match made {
        Ok(outgoing) => {
            let SentRequest {
                method,
                url,
                headers,
                body,
                sent_at: _,
            } = outgoing.shown;
            let parts = SentParts {
                method,
                url,
                headers,
                body,
            };
            (Some(parts), None)
        }
        Err(error) => (None, Some(error)),
    };
    Shown {
        request: name.to_owned(),
        sent,
        error,
    }
}

fn as_text(requests: &[Shown]) -> String {
    let mut text = String::new();
    for Shown {
        request,
        sent,
        error,
    } in requests
    {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("# {request}\n"));
        if let Some(error) = error {
            text.push_str(&format!("cannot be shown with example values: {error}\n"));
        }
        let Some(sent) = sent else { continue };
        text.push_str(&format!("{} {}\n", sent.method, sent.url));
        for (name, value) in &sent.headers {
            text.push_str(&format!("{name}: {value}\n"));
        }
        if let Some(body) = &sent.body {
            text.push_str(&format!("\n{body}\n"));
        }
    }
    text
}
