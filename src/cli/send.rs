//! `tidegate send`: a signed test event, as the app would send it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tidegate::api::{AppEventType, EventGateway};
use tidegate::compile::{Detail, Environment, Identity, Kind, Others, compile, name_of};
use tidegate::configuration::EventTypeEntry;
use tidegate::event::ObjectName;
use tidegate::manifest::{self, Manifests, Source};
use tidegate::outbound::PrivateAddresses;
use tidegate::webhook::{Request, Signing, sign};
use url::Url;

use super::Failure;
use super::output::print;

/// Send a test event as the app would: to the type's global webhook, signed as its first
/// authentication entry checks.
///
/// A registration of a single customer has a URI of its own (`/h/…/1`), which --url may name. It can
/// be signed where its keys are the app's; a signing secret of the registration's own is known to
/// Tidegate and the app alone.
///
/// The body is the type's example, placed where the type looks for events, unless --data gives
/// one. The URI is the one that `tidegate dev` printed; for a webhook without a path give it with
/// --url.
///
/// Example: tidegate send examples/quickstart order-placed
#[derive(clap::Args)]
#[command(override_usage = "tidegate send [OPTIONS] <PATH>... <TYPE>")]
pub struct Arguments {
    /// Folders and files with manifests, and at the end the AppEventType's name or namespace/name.
    #[arg(required = true, num_args = 2.., value_name = "PATH… TYPE")]
    words: Vec<String>,
    /// The whole body: a file, or `-` for standard input.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The whole webhook URI.
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// The gateway's public URL, where it is not what `tidegate dev` has by default.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    public_url: Url,
    /// The method.
    #[arg(long, default_value = "POST")]
    method: Method,
    /// A header to send; may be repeated. One that signing sets is overridden.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header_pair)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// A claim to put into a signed token; may be repeated.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, String)>,
}

/// How long the gateway may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends, and prints the answer. Exit code 1 unless it is 2xx.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (name, paths) = arguments
        .words
        .split_last()
        .ok_or_else(|| Failure::Usage("give manifests and an AppEventType".to_owned()))?;
    let (spec, entry, route) = find(paths, name)?;
    let body = match &arguments.data {
        Some(file) => read(file)?,
        None => example(&spec)?,
    };
    let (public_url, path_and_query) = target(arguments, &entry, route)?;
    let mut headers = HeaderMap::new();
    if !body.is_empty() {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
    }
    set(&mut headers, &arguments.headers);
    let request = Request {
        method: arguments.method.clone(),
        public_url,
        path_and_query,
        headers,
        raw_body: body.clone(),
        body,
    };
    let id = format!("msg_{}", uuid::Uuid::new_v4().simple());
    let claims: Map<String, Value> = arguments
        .claims
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let signing = Signing {
        now: Timestamp::now(),
        id: &id,
        claims: &claims,
    };
    let mut request =
        sign(&entry, request, &signing).map_err(|error| Failure::from_error(&error))?;
    set(&mut request.headers, &arguments.headers);
    deliver(request)
}

/// The type with that name, its entry, and its path.
fn find(
    paths: &[String],
    name: &str,
) -> Result<(AppEventType, EventTypeEntry, Option<String>), Failure> {
    let read = manifest::read_paths(paths);
    if let Some(error) = read.errors.first() {
        return Err(Failure::from_error(error));
    }
    let manifests = Manifests::new(read.sources.iter().map(Source::load));
    let default_gateway = match manifests.resources.gateways.first() {
        Some(gateway) => name_of::<EventGateway>(gateway),
        None => ObjectName::new("tidegate", "default"),
    };
    let compiled = compile(
        &manifests.resources,
        &Environment {
            public_url: "",
            gateway: default_gateway.clone(),
            default_gateway,
            others: Others::Told,
            private_addresses: &PrivateAddresses::All,
            unusable_paths: &[],
            // The token is secret to the gateway; its owner gives the whole URI.
            webhook_token: &|name| name.to_string(),
            service_url: &|_, _, _| Ok("http://service.invalid".to_owned()),
            identity: &|_, name| Identity {
                uid: name.to_string(),
                since: Timestamp::UNIX_EPOCH,
            },
        },
    );
    let matches = |other: &ObjectName| other.name == name || other.to_string() == name;
    let types: Vec<&AppEventType> = manifests
        .resources
        .event_types
        .iter()
        .map(|one| &**one)
        .filter(|one| matches(&name_of(*one)))
        .collect();
    let spec = match types[..] {
        [one] => one,
        [] => {
            let all: Vec<String> = manifests
                .resources
                .event_types
                .iter()
                .map(|one| name_of(&**one).to_string())
                .collect();
            return Err(Failure::Usage(format!(
                "there is no AppEventType {name} that can be used; there are: {}",
                all.join(", ")
            )));
        }
        _ => {
            return Err(Failure::Usage(format!(
                "{name} is the name of several types; write namespace/name"
            )));
        }
    };
    let name = name_of(spec);
    let route = compiled
        .verdicts
        .iter()
        .find_map(|verdict| match &verdict.detail {
            Detail::EventType {
                route,
                unguessable: false,
                ..
            } if verdict.kind == Kind::AppEventType && verdict.name == name => route.clone(),
            _ => None,
        });
    let entry = compiled
        .configuration
        .event_types
        .iter()
        .find(|entry| entry.name == name);
    let entry = entry.ok_or_else(|| {
        Failure::Failed(format!(
            "AppEventType {name} cannot be used; `tidegate check` says why"
        ))
    })?;
    Ok((spec.clone(), EventTypeEntry::clone(entry), route))
}

/// Public URL, and path with query.
fn target(
    arguments: &Arguments,
    entry: &EventTypeEntry,
    route: Option<String>,
) -> Result<(String, String), Failure> {
    if let Some(url) = &arguments.url {
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        return Ok((url[..url::Position::BeforePath].to_owned(), path.to_owned()));
    }
    let route = route.ok_or_else(|| {
        Failure::Usage(format!(
            "the URI of {} is unguessable: give it with --url, as it was printed at start",
            entry.name
        ))
    })?;
    Ok((
        arguments
            .public_url
            .as_str()
            .trim_end_matches('/')
            .to_owned(),
        route,
    ))
}

/// The type's example, inside of what `events.from` walks through.
fn example(spec: &AppEventType) -> Result<Bytes, Failure> {
    let example = spec.spec.example.clone().ok_or_else(|| {
        Failure::Usage("the type has no example: give the body with --data".to_owned())
    })?;
    let mut body = Value::Object(example);
    let paths = spec
        .spec
        .webhook
        .events
        .from
        .as_ref()
        .map(|from| from.as_slice())
        .unwrap_or_default();
    for path in paths.iter().rev() {
        let path = tidegate::expression::Path::parse(path)
            .map_err(|error| Failure::Failed(format!("events.from: {error}")))?;
        body = Value::Array(vec![body]);
        for name in path.segments().iter().rev() {
            body = Value::Object(Map::from_iter([(name.clone(), body)]));
        }
    }
    Ok(body.to_string().into())
}

fn read(file: &Path) -> Result<Bytes, Failure> {
    let failed = |error: std::io::Error| {
        Failure::Failed(format!("failed to read {}: {error}", file.display()))
    };
    if file != Path::new("-") {
        return std::fs::read(file).map(Bytes::from).map_err(failed);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes.into())
}

fn deliver(request: Request) -> Result<ExitCode, Failure> {
    let Request {
        method,
        public_url,
        path_and_query,
        headers,
        raw_body,
        body: _,
    } = request;
    let url = format!("{public_url}{path_and_query}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(&error))?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy();
        let client = match url.starts_with("https:") {
            true => client,
            // An image without certificates is good enough.
            false => client.tls_certs_only([]),
        };
        let client = client.build();
        let client = client.map_err(|error| Failure::from_error(&error))?;
        let answer = client
            .request(method, &url)
            .headers(headers)
            .body(raw_body)
            .send()
            .await;
        let answer = answer.map_err(|error| match error.is_connect() {
            true => Failure::Failed(format!(
                "nothing answers at {public_url}: is `tidegate dev` running? --public-url or --url \
                 names another address"
            )),
            false => Failure::from_error(&error),
        })?;
        let status = answer.status();
        let body = answer
            .text()
            .await
            .map_err(|error| Failure::from_error(&error))?;
        print(&format!("{status}\n{body}\n"));
        if is_duplicate(&body) {
            eprintln!(
                "note: nothing new was taken, because an event with this id came before; --data \
                 sends another one"
            );
        }
        Ok(if status.is_success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

/// Whether the gateway's usual answer says that all events came before.
fn is_duplicate(answer: &str) -> bool {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let count = |name: &str| answer[name].as_u64();
    count("duplicates") > Some(0)
        && (count("accepted"), count("deadLettered")) == (Some(0), Some(0))
}

/// The user's own headers replace others of their names; one that is given twice is sent twice.
fn set(headers: &mut HeaderMap, given: &[(HeaderName, HeaderValue)]) {
    for (name, _) in given {
        headers.remove(name);
    }
    for (name, value) in given {
        headers.append(name, value.clone());
    }
}

fn header_pair(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    let name = name
        .trim()
        .parse::<HeaderName>()
        .map_err(|error| error.to_string())?;
    let value = value
        .trim()
        .parse::<HeaderValue>()
        .map_err(|error| error.to_string())?;
    Ok((name, value))
}

fn claim(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_sent_as_often_as_they_are_given() {
        let given = ["content-type: text/plain", "x-a: 1", "x-a: 2"];
        let given = given.map(|text| header_pair(text).unwrap());
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("x-signature", HeaderValue::from_static("00"));
        // Before signing and after it.
        set(&mut headers, &given);
        set(&mut headers, &given);
        let all = |name: &str| headers.get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(all("content-type"), ["text/plain"]);
        assert_eq!(all("x-a"), ["1", "2"]);
        assert_eq!(all("x-signature"), ["00"]);
    }

    #[test]
    fn a_duplicate_is_told_from_what_is_new() {
        let check = |answer: &str, expected| assert_eq!(is_duplicate(answer), expected, "{answer}");
        check(r#"{"accepted":0,"duplicates":1,"deadLettered":0}"#, true);
        check(r#"{"accepted":1,"duplicates":1,"deadLettered":0}"#, false);
        check(r#"{"accepted":0,"duplicates":0,"deadLettered":1}"#, false);
        check(r#"{"accepted":0,"duplicates":0,"deadLettered":0}"#, false);
        check("thanks", false);
    }
}
