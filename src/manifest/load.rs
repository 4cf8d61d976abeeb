//! One file's text → its objects, typed, with the place of every field and all that is wrong. Pure.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    document::{self, Fault},
    kinds::{Identity, Kind, identify},
    locate::{LoadedObject, nearest_place},
    node::{Data, Node},
    place::{Mark, Place},
    structure::{self, Mistake},
};
use crate::{
    api::{
        self, ConfigMap, FieldPath, Namespace, ObjectReference, Problem, Resources, Secret,
        Severity, Violation,
    },
    configuration::Sensitive,
};

/// The namespace of objects that name none, as kubectl has it.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Most bytes of one file. An object of more than 1.5 MiB does not fit into a cluster.
pub const MAX_FILE_BYTES: usize = 8 << 20;

/// A problem and the place it was found at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedProblem {
    /// Where; `None` where the object is in no file.
    pub place: Option<Place>,
    /// What.
    pub problem: Problem,
}

impl std::fmt::Display for PlacedProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}", self.problem)
    }
}

/// What one file holds.
#[derive(Clone, Debug)]
pub struct LoadedFile {
    /// The file, as the user named it.
    pub file: Arc<str>,
    /// The objects that are right as far as one file can tell.
    pub resources: Resources,
    /// What is wrong, in the order of the file.
    pub problems: Vec<PlacedProblem>,
    /// The webhook paths of types that are invalid, as far as they can be made out: requests to them are our fault.
    pub unusable_paths: Vec<(ObjectReference, String)>,
    /// Whether some of it could not be read at all, so that objects may be missing that are only broken.
    pub is_broken: bool,
    pub(super) objects: Vec<LoadedObject>,
}

/// Loads the text of one file.
#[must_use]
pub fn load(file: &str, text: &str) -> LoadedFile {
    let mut loader = Loader {
        text: text.into(),
        loaded: LoadedFile {
            file: file.into(),
            resources: Resources::default(),
            problems: Vec::new(),
            unusable_paths: Vec::new(),
            is_broken: false,
            objects: Vec::new(),
        },
    };
    if text.len() > MAX_FILE_BYTES {
        loader.loaded.is_broken = true;
        loader.report(
            Severity::Error,
            None,
            FieldPath::root(),
            Mark { line: 1, column: 1 },
            format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20),
        );
        return loader.loaded;
    }
    let documents = document::parse(text);
    for Fault {
        severity,
        mark,
        message,
    } in documents.faults
    {
        loader.loaded.is_broken |= severity == Severity::Error;
        loader.report(severity, None, FieldPath::root(), mark, message);
    }
    for node in &documents.nodes {
        loader.document(node);
    }
    loader
        .loaded
        .problems
        .sort_by(|one, other| one.place.cmp(&other.place));
    loader.loaded
}

struct Loader {
    text: Arc<str>,
    loaded: LoadedFile,
}

impl Loader {
    fn report(
        &mut self,
        severity: Severity,
        object: Option<&ObjectReference>,
        path: FieldPath,
        mark: Mark,
        message: impl Into<String>,
    ) {
        self.loaded.problems.push(PlacedProblem {
            place: Some(Place::at(Arc::clone(&self.loaded.file), mark)),
            problem: Problem {
                severity,
                object: object.cloned(),
                path,
                offset: None,
                message: message.into(),
            },
        });
    }

    /// A document, or an element of a list.
    fn document(&mut self, node: &Node) {
        if !matches!(node.data, Data::Object(_)) {
            let message = format!(
                "a manifest is an object with apiVersion and kind, not {}",
                node.describe()
            );
            return self.report(Severity::Error, None, FieldPath::root(), node.mark, message);
        }
        let field = |name: &str| node.get(name).and_then(Node::as_text);
        let (api_version, kind) = match (field("apiVersion"), field("kind")) {
            (Some(api_version), Some(kind)) => (api_version, kind),
            (None, None) => {
                let message = "not a Kubernetes object (no apiVersion, no kind); ignored";
                return self.report(
                    Severity::Warning,
                    None,
                    FieldPath::root(),
                    node.mark,
                    message,
                );
            }
            (None, Some(kind)) => {
                let message = format!("the {kind} has no apiVersion");
                return self.report(Severity::Error, None, FieldPath::root(), node.mark, message);
            }
            (Some(_), None) => {
                let message = "the object has no kind";
                return self.report(Severity::Error, None, FieldPath::root(), node.mark, message);
            }
        };
        match identify(api_version, kind) {
            Identity::Known(kind) => self.object(node, kind),
            Identity::List => self.list(node),
            Identity::Foreign => {
                let message =
                    format!("the {kind} ({api_version}) is nothing that Tidegate reads; ignored");
                self.report(Severity::Note, None, FieldPath::root(), node.mark, message);
            }
            Identity::Mistake(field, message) => {
                let mark = node.get(field).map_or(node.mark, |value| value.mark);
                self.report(Severity::Error, None, FieldPath::from(field), mark, message);
            }
        }
    }

    fn list(&mut self, node: &Node) {
        match node.get("items").map(|items| &items.data) {
            Some(Data::List(items)) => {
                for item in items {
                    self.document(item);
                }
            }
            Some(Data::Null) | None => {}
            Some(_) => self.report(
                Severity::Error,
                None,
                FieldPath::from("items"),
                node.mark,
                "items must be a list of objects",
            ),
        }
    }

    fn object(&mut self, node: &Node, kind: Kind) {
        let metadata = |name: &str| {
            node.get("metadata")
                .and_then(|metadata| metadata.get(name))
                .and_then(Node::as_text)
        };
        let namespace = match metadata("namespace") {
            _ if !kind.is_namespaced() => "",
            Some(namespace) => namespace,
            None => DEFAULT_NAMESPACE,
        };
        let reference =
            ObjectReference::new(kind.name(), namespace, metadata("name").unwrap_or_default());

        let mistakes = structure::check(node, kind.schema());
        let mut is_valid = !mistakes
            .iter()
            .any(|mistake| mistake.severity == Severity::Error);
        for Mistake {
            severity,
            path,
            mark,
            message,
        } in mistakes
        {
            self.report(severity, Some(&reference), path, mark, message);
        }
        if reference.name.is_empty() {
            // Without a name nothing can refer to it.
            return;
        }
        let places = node.places();
        if is_valid && kind.is_ours() {
            // The rules are about objects of the right structure.
            let mut value = node.to_value();
            api::fill_defaults(&mut value, kind.schema());
            for Violation { path, message } in api::violations(&value, kind.schema()) {
                is_valid = false;
                let mark = nearest_place(&places, &path).map_or(node.mark, |place| place.mark);
                self.report(Severity::Error, Some(&reference), path, mark, message);
            }
        }
        if is_valid {
            is_valid = self.take(node, kind, &reference);
        }
        if !is_valid {
            let webhook = node.get("spec").and_then(|spec| spec.get("globalWebhook"));
            let path = webhook
                .and_then(|webhook| webhook.get("path"))
                .and_then(Node::as_text);
            if let (Kind::AppEventType, Some(path)) = (kind, path) {
                self.loaded
                    .unusable_paths
                    .push((reference.clone(), path.to_owned()));
            }
            self.loaded.resources.invalid.insert(reference.clone());
        }
        self.loaded.objects.push(LoadedObject {
            reference,
            mark: node.mark,
            places: Arc::new(places),
            text: Arc::clone(&self.text),
        });
    }

    /// Whether the object could be taken as what it says it is.
    fn take(&mut self, node: &Node, kind: Kind, reference: &ObjectReference) -> bool {
        let ObjectReference {
            namespace, name, ..
        } = reference.clone();
        let resources = &mut self.loaded.resources;
        let outcome = match kind {
            Kind::AppEventType => {
                typed(node, &namespace).map(|object| resources.event_types.push(object))
            }
            Kind::Customer => {
                typed(node, &namespace).map(|object| resources.customers.push(object))
            }
            Kind::EventSubscription => {
                typed(node, &namespace).map(|object| resources.subscriptions.push(object))
            }
            Kind::EventGateway => {
                typed(node, &namespace).map(|object| resources.gateways.push(object))
            }
            Kind::Secret => secret_data(node).map(|data| {
                resources.secrets.push(Secret {
                    namespace,
                    name,
                    data,
                })
            }),
            Kind::ConfigMap => {
                let data = texts(node, "data");
                resources.config_maps.push(ConfigMap {
                    namespace,
                    name,
                    data,
                });
                Ok(())
            }
            Kind::Namespace => {
                let labels = node
                    .get("metadata")
                    .map(|metadata| texts(metadata, "labels"));
                resources.namespaces.push(Namespace {
                    name,
                    labels: labels.unwrap_or_default(),
                });
                Ok(())
            }
        };
        match outcome {
            Ok(()) => true,
            Err(Refused {
                path,
                mark,
                message,
            }) => {
                self.report(Severity::Error, Some(reference), path, mark, message);
                false
            }
        }
    }
}

struct Refused {
    path: FieldPath,
    mark: Mark,
    message: String,
}

fn typed<T: DeserializeOwned>(node: &Node, namespace: &str) -> Result<Arc<T>, Refused> {
    let mut value = node.to_value();
    value["metadata"]["namespace"] = Value::from(namespace);
    if value.get("spec").is_none() {
        // The schema has said that it may be left out.
        value["spec"] = Value::Object(Map::new());
    }
    let object = serde_json::from_value(value).map_err(|error| Refused {
        path: FieldPath::root(),
        mark: node.mark,
        message: error.to_string(),
    })?;
    Ok(Arc::new(object))
}

/// `data` is base64, and `stringData` wins over it.
fn secret_data(node: &Node) -> Result<BTreeMap<String, Sensitive>, Refused> {
    let mut data = BTreeMap::new();
    if let Some(Data::Object(entries)) = node.get("data").map(|data| &data.data) {
        for entry in entries {
            // Base64 that a tool wrapped is read as Kubernetes reads it.
            let encoded: String = entry
                .value
                .as_text()
                .unwrap_or_default()
                .chars()
                .filter(|character| !matches!(character, '\r' | '\n'))
                .collect();
            let decoded = STANDARD.decode(encoded).map_err(|_| Refused {
                path: FieldPath::from("data").field(&entry.key),
                mark: entry.value.mark,
                message: "is not base64; text as it is goes into stringData".to_owned(),
            })?;
            data.insert(entry.key.clone(), Sensitive::new(decoded));
        }
    }
    for (key, text) in texts(node, "stringData") {
        data.insert(key, Sensitive::new(text));
    }
    Ok(data)
}

fn texts(node: &Node, field: &str) -> BTreeMap<String, String> {
    match node.get(field).map(|value| &value.data) {
        Some(Data::Object(entries)) => entries
            .iter()
            .filter_map(|entry| Some((entry.key.clone(), entry.value.as_text()?.to_owned())))
            .collect(),
        _ => BTreeMap::new(),
    }
}
