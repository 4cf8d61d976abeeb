//! `tidegate check`: everything that is wrong in manifests, before anything else sees them.

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tidegate::api::{ObjectReference, Resources, Severity};
use tidegate::compile::{Compiled, Environment, Identity, Others, compile, in_cluster_url};
use tidegate::event::ObjectName;
use tidegate::manifest::{self, Manifests, PlacedProblem, Source};
use tidegate::outbound::PrivateAddresses;

use super::Failure;
use super::output::print;

/// Validate manifests offline, as the controller would: fields, expressions, templates, schemas,
/// examples, references, and the traps of YAML.
///
/// Exit code 1 if there are errors.
///
/// Example: tidegate check examples/quickstart
#[derive(clap::Args)]
pub struct Arguments {
    /// Folders and files with manifests.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print the objects with every default filled in, as YAML, if there are no errors; what is to
    /// be said about them goes to stderr then. With --output json they are the member `effective`.
    #[arg(long)]
    effective: bool,
    /// How problems are printed: for people, for programs, or as annotations of GitHub Actions.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
    Github,
}

/// Checks, and prints what was found.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.effective && arguments.output == Output::Github {
        return Err(Failure::Usage(
            "--effective prints objects, which are no annotations: leave --output github out"
                .to_owned(),
        ));
    }
    let read = manifest::read_paths(&arguments.paths);
    if read.sources.is_empty() && read.errors.is_empty() {
        return Err(Failure::Usage(
            "no manifests found: give folders or files that end in .yaml, .yml or .json".to_owned(),
        ));
    }
    if let Some(error) = read.errors.first() {
        return Err(Failure::from_error(error));
    }
    let manifests = Manifests::new(read.sources.iter().map(Source::load));
    let mut problems = manifests.problems.clone();
    problems.extend(compiled(&manifests));
    problems.sort_by(|one, other| one.place.cmp(&other.place));
    problems.dedup();
    let errors = count(&problems, Severity::Error);
    let objects = (arguments.effective && errors == 0)
        .then(|| effective(&manifests.resources))
        .transpose()
        .map_err(|error| Failure::from_error(&error))?;
    match arguments.output {
        Output::Text => {
            let text: String = problems
                .iter()
                .map(|placed| format!("{placed}\n"))
                .collect();
            // What is printed may be applied as it is.
            match arguments.effective {
                true => eprint!("{text}"),
                false => print(&text),
            }
            summarise(&problems, manifests.objects().count(), read.sources.len());
            print(&as_yaml(&objects.unwrap_or_default())?);
        }
        Output::Json => as_json(&problems, objects)?,
        Output::Github => as_annotations(&problems),
    }
    Ok(if errors > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What compilation finds, with the places.
fn compiled(manifests: &Manifests) -> Vec<PlacedProblem> {
    let compiled = compile_offline(&manifests.resources);
    manifests.placed(
        compiled
            .verdicts
            .into_iter()
            .flat_map(|verdict| verdict.problems),
    )
}

/// Compiles manifests as a controller would that knows nothing else.
pub(super) fn compile_offline(resources: &Resources) -> Compiled {
    let gateway = resources.gateways.first();
    let default_gateway = match gateway.map(|it| tidegate::compile::name_of(&**it)) {
        Some(name) => name,
        None => ObjectName::new("tidegate", "default"),
    };
    compile(
        resources,
        &Environment {
            public_url: gateway.map_or("https://gateway.example", |gateway| {
                &gateway.spec.public_url
            }),
            gateway: default_gateway.clone(),
            default_gateway,
            others: Others::Told,
            private_addresses: &PrivateAddresses::NONE,
            unusable_paths: &[],
            webhook_token: &|name| format!("token-of-{}-{}", name.namespace, name.name),
            service_url: &in_cluster_url,
            // Nothing offline tells which of two objects is the older.
            identity: &|_, name| Identity {
                uid: name.to_string(),
                since: Timestamp::UNIX_EPOCH,
            },
        },
    )
}

fn count(problems: &[PlacedProblem], severity: Severity) -> usize {
    problems
        .iter()
        .filter(|placed| placed.problem.severity == severity)
        .count()
}

fn summarise(problems: &[PlacedProblem], objects: usize, files: usize) {
    let plural = |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        number => format!("{number} {word}s"),
    };
    eprintln!(
        "{} in {}: {}, {}",
        plural(objects, "object"),
        plural(files, "file"),
        plural(count(problems, Severity::Error), "error"),
        plural(count(problems, Severity::Warning), "warning"),
    );
}

/// One problem as a program reads it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding<'a> {
    severity: String,
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    kind: Option<&'a str>,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    path: &'a str,
    message: &'a str,
}

impl<'a> From<&'a PlacedProblem> for Finding<'a> {
    fn from(PlacedProblem { place, problem }: &'a PlacedProblem) -> Self {
        let mark = place.as_ref().and_then(|place| place.mark);
        let object: Option<&ObjectReference> = problem.object.as_ref();
        Self {
            severity: problem.severity.to_string(),
            file: place.as_ref().map(|place| &*place.file),
            line: mark.map(|mark| mark.line),
            column: mark.map(|mark| mark.column),
            kind: object.map(|object| object.kind.as_str()),
            namespace: object.map(|object| object.namespace.as_str()),
            name: object.map(|object| object.name.as_str()),
            path: problem.path.as_str(),
            message: &problem.message,
        }
    }
}

fn as_json(problems: &[PlacedProblem], objects: Option<Vec<Value>>) -> Result<(), Failure> {
    let findings: Vec<Finding<'_>> = problems.iter().map(Finding::from).collect();
    let mut document = serde_json::json!({"items": findings});
    if let Some(objects) = objects {
        document["effective"] = objects.into();
    }
    let text =
        serde_json::to_string_pretty(&document).map_err(|error| Failure::from_error(&error))?;
    print(&format!("{text}\n"));
    Ok(())
}

/// Workflow commands, which GitHub shows at the lines of a pull request.
fn as_annotations(problems: &[PlacedProblem]) {
    let mut text = String::new();
    for placed in problems {
        let finding = Finding::from(placed);
        let command = match placed.problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let mut properties = Vec::new();
        if let Some(file) = finding.file {
            properties.push(format!("file={}", escaped(file, true)));
        }
        if let (Some(line), Some(column)) = (finding.line, finding.column) {
            properties.push(format!("line={line},col={column}"));
        }
        let message = match finding.path {
            "" => finding.message.to_owned(),
            path => format!("{path}: {}", finding.message),
        };
        text.push_str(&format!(
            "::{command} {}::{}\n",
            properties.join(","),
            escaped(&message, false)
        ));
    }
    print(&text);
}

/// A value inside a workflow command.
fn escaped(text: &str, property: bool) -> String {
    let text = text
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A");
    if property {
        text.replace(':', "%3A").replace(',', "%2C")
    } else {
        text
    }
}

/// The resources of our own group with their defaults; Secrets are left out.
fn effective(resources: &Resources) -> serde_json::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for object in &resources.gateways {
        objects.push(serde_json::to_value(object.effective())?);
    }
    for object in &resources.event_types {
        objects.push(serde_json::to_value(object.effective())?);
    }
    for object in &resources.customers {
        objects.push(serde_json::to_value(object.effective())?);
    }
    for object in &resources.subscriptions {
        objects.push(serde_json::to_value(object.effective())?);
    }
    Ok(objects)
}

fn as_yaml(objects: &[Value]) -> Result<String, Failure> {
    let documents: Result<Vec<String>, _> = objects.iter().map(serde_saphyr::to_string).collect();
    let documents = documents.map_err(|error| Failure::from_error(&error))?;
    Ok(documents.join("---\n"))
}
