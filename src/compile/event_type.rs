//! AppEventType → its entry and its route.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::home::Home;
use super::keys::key_sources;
use super::lookup::{Lookup, Waiting, name_of};
use super::provisioning::{ALLOW_RE_REGISTRATION, Provisioning};
use super::{Detail, Kind, Verdict};
use crate::api::condition::reason;
use crate::api::{AppEventType, AppEventTypeSpec, FieldPath, ObjectReference, Problem, TextSource};
use crate::configuration::{
    EventTypeEntry, KeyEntry, Registrations, RouteEntry, VariantEntry, WebhookFields,
};
use crate::event::ObjectName;
use crate::provision::Fields;
use crate::schema::{self, Schema};
use crate::webhook::Receiver;

/// Every event type that can be used, and every URI.
pub(super) struct EventTypes {
    pub entries: Vec<Arc<EventTypeEntry>>,
    pub routes: Vec<Arc<RouteEntry>>,
    /// How types subscribe at their apps, of those that do.
    pub provisioning: BTreeMap<ObjectName, Provisioning>,
}

impl EventTypes {
    pub fn entry(&self, name: &ObjectName) -> Option<&Arc<EventTypeEntry>> {
        self.entries.iter().find(|entry| entry.name == *name)
    }
}

/// How many schema violations of an example are told.
const EXAMPLE_VIOLATIONS: usize = 10;

pub(super) fn compile(lookup: &Lookup<'_>, verdicts: &mut Vec<Verdict>) -> EventTypes {
    let mut event_types = EventTypes {
        entries: Vec::new(),
        routes: Vec::new(),
        provisioning: BTreeMap::new(),
    };
    let mut paths: HashMap<String, ObjectName> = HashMap::new();
    // The older of two types with the same path has it.
    let mut by_age: Vec<&AppEventType> = lookup
        .resources
        .event_types
        .iter()
        .map(Arc::as_ref)
        .collect();
    by_age.sort_by_key(|kind| {
        let name = name_of(*kind);
        (lookup.identity(Kind::AppEventType, &name).since, name)
    });
    let mut found = Vec::new();
    for kind in by_age {
        let name = name_of(kind);
        if !lookup.speaks_of_type(&name) {
            continue;
        }
        let mut draft = Draft::new(lookup, &name);
        let entry = draft.entry(&kind.spec);
        let route = draft.route(&kind.spec, &mut paths);
        let provisioning = draft.provisioning.take();
        let Draft {
            problems,
            waiting,
            generated_schema,
            ..
        } = draft;
        if let Some(route) = &route {
            // A URI without an entry answers 503: the fault is ours, the app should try again.
            event_types.routes.push(Arc::new(RouteEntry {
                path: route.clone(),
                event_type: name.clone(),
            }));
        }
        if let Some(mut provisioning) = provisioning {
            provisioning.global_webhook_path.clone_from(&route);
            let annotations = kind.metadata.annotations.as_ref();
            provisioning.allow_re_registration = annotations.is_some_and(|annotations| {
                annotations
                    .get(ALLOW_RE_REGISTRATION)
                    .is_some_and(|value| value == "true")
            });
            if entry.is_none() || problems.iter().any(Problem::is_error) {
                provisioning.cannot_be_used();
            }
            event_types.provisioning.insert(name.clone(), provisioning);
        }
        if let Some(entry) = entry
            && !problems.iter().any(Problem::is_error)
        {
            event_types.entries.push(Arc::new(entry));
        }
        let unguessable = kind
            .spec
            .global_webhook
            .as_ref()
            .is_some_and(|webhook| webhook.path.is_none());
        let detail = Detail::EventType {
            route,
            unguessable,
            generated_schema,
        };
        found.push(Verdict::new(
            Kind::AppEventType,
            name,
            problems,
            waiting,
            detail,
        ));
    }
    for (name, path) in lookup.environment.unusable_paths {
        if !paths.contains_key(path) && lookup.event_type(name).is_none() {
            let path = path.clone();
            event_types.routes.push(Arc::new(RouteEntry {
                path,
                event_type: name.clone(),
            }));
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    verdicts.extend(found);
    event_types
}

fn token_path(lookup: &Lookup<'_>, name: &ObjectName) -> String {
    format!("/h/{}", (lookup.environment.webhook_token)(name))
}

/// One type on its way to an entry, with what was found so far.
struct Draft<'a> {
    lookup: &'a Lookup<'a>,
    name: &'a ObjectName,
    object: ObjectReference,
    problems: Vec<Problem>,
    waiting: Option<Waiting>,
    generated_schema: Option<Value>,
    provisioning: Option<Provisioning>,
}

/// A shape of the event as it stands in the type itself or in one of its variants.
struct Shape<'a> {
    path: FieldPath,
    schema: Option<&'a Map<String, Value>>,
    schema_from: Option<&'a TextSource>,
    example: Option<&'a Map<String, Value>>,
    example_from: Option<&'a TextSource>,
}

impl<'a> Draft<'a> {
    fn new(lookup: &'a Lookup<'a>, name: &'a ObjectName) -> Self {
        Self {
            lookup,
            name,
            object: Kind::AppEventType.reference(name),
            problems: Vec::new(),
            waiting: None,
            generated_schema: None,
            provisioning: None,
        }
    }

    fn error(&mut self, path: impl Into<FieldPath>, message: impl Into<String>) {
        self.problems
            .push(Problem::error(&self.object, path, message));
    }

    /// What is missing now and may come: a warning, and the first is the state's reason.
    fn wait(&mut self, path: impl Into<FieldPath>, waiting: Waiting) {
        self.problems
            .push(Problem::warning(&self.object, path, waiting.1.clone()));
        self.waiting.get_or_insert(waiting);
    }

    /// The entry; `None` where something it cannot do without is missing or wrong.
    fn entry(&mut self, spec: &AppEventTypeSpec) -> Option<EventTypeEntry> {
        let served = self.served();
        let own = self.shape(&Shape {
            path: FieldPath::from("spec"),
            schema: spec.schema.as_ref(),
            schema_from: spec.schema_from.as_ref(),
            example: spec.example.as_ref(),
            example_from: spec.example_from.as_ref(),
        });
        let mut variants = Vec::new();
        let mut complete = own.is_some();
        for (index, variant) in spec.variants.iter().enumerate() {
            let schema = self.shape(&Shape {
                path: FieldPath::from("spec.variants").index(index),
                schema: variant.schema.as_ref(),
                schema_from: variant.schema_from.as_ref(),
                example: variant.example.as_ref(),
                example_from: variant.example_from.as_ref(),
            });
            complete &= schema.is_some();
            variants.push(VariantEntry {
                when: variant.when.to_string(),
                schema: schema.flatten(),
                on_invalid: variant.on_invalid.unwrap_or_else(|| spec.on_invalid()),
            });
        }
        let entry = EventTypeEntry {
            name: self.name.clone(),
            event_type: spec.type_.clone().unwrap_or_else(|| self.name.name.clone()),
            webhook: spec.webhook.clone(),
            global_webhook: spec.global_webhook.clone(),
            registrations: Registrations::of(spec),
            schema: own.flatten(),
            on_invalid: spec.on_invalid(),
            variants,
            keys: self.keys(spec),
            customer_namespaces: self.customer_namespaces(spec),
        };
        let fields = match Receiver::compile(&entry) {
            Ok(receiver) => receiver.customer_fields().clone(),
            Err(problems) => {
                self.problems.extend(problems);
                WebhookFields::default()
            }
        };
        self.provisioning = Provisioning::compile(
            self.lookup,
            self.name,
            spec,
            fields,
            &key_sources(&spec.webhook),
            &mut self.problems,
        );
        (complete && served).then_some(entry)
    }

    /// Whether the gateway that this compilation is for serves the type.
    fn served(&mut self) -> bool {
        match self.lookup.home(self.name) {
            Home::Here => true,
            Home::Elsewhere(gateway) => {
                let message = format!("EventGateway {gateway} is not the one that runs here");
                self.wait("spec.gatewayRef", (reason::GATEWAY_NOT_FOUND, message));
                false
            }
            Home::Refused { why, .. } | Home::Missing(why) => {
                self.wait("spec.gatewayRef", why);
                false
            }
        }
    }

    /// The schema text of a shape: written, from a ConfigMap, or generated from the example.
    /// `None`: it cannot be had; `Some(None)`: the shape says nothing.
    fn shape(&mut self, shape: &Shape<'_>) -> Option<Option<String>> {
        let problems_before = self.problems.len();
        let example = self.example(shape)?;
        let text = match (shape.schema, shape.schema_from) {
            (Some(schema), _) => Some((
                shape.path.field("schema"),
                Value::Object(schema.clone()).to_string(),
            )),
            (None, Some(source)) => {
                let path = shape.path.field("schemaFrom");
                Some((path.clone(), self.text(&path, source)?))
            }
            (None, None) => None,
        };
        let Some((path, text)) = text else {
            let Some((path, example)) = example else {
                return Some(None);
            };
            return match schema::generate(std::slice::from_ref(&example)) {
                Ok(generated) => {
                    let text = generated.to_string();
                    if shape.path.as_str() == "spec" {
                        self.generated_schema = Some(generated);
                    }
                    Some(Some(text))
                }
                Err(error) => {
                    self.error(path, error.to_string());
                    None
                }
            };
        };
        match Schema::compile(&text) {
            Err(error) => self.error(path, error.to_string()),
            Ok(schema) => {
                for warning in schema.warnings() {
                    let message = format!("at \"{}\": {}", warning.pointer, warning.message);
                    self.problems
                        .push(Problem::warning(&self.object, path.clone(), message));
                }
                if let Some((path, example)) = example {
                    for violation in schema.violations(&example, EXAMPLE_VIOLATIONS) {
                        let message = format!(
                            "the example does not match the schema: at \"{}\": {}",
                            violation.pointer, violation.message
                        );
                        self.error(path.clone(), message);
                    }
                }
            }
        }
        let failed = self.problems[problems_before..]
            .iter()
            .any(Problem::is_error);
        (!failed).then_some(Some(text))
    }

    /// The example of a shape with its path. `None`: there is one, and it cannot be had.
    fn example(&mut self, shape: &Shape<'_>) -> Option<Option<(FieldPath, Value)>> {
        if let Some(example) = shape.example {
            return Some(Some((
                shape.path.field("example"),
                Value::Object(example.clone()),
            )));
        }
        let Some(source) = shape.example_from else {
            return Some(None);
        };
        let path = shape.path.field("exampleFrom");
        let text = self.text(&path, source)?;
        match serde_json::from_str(&text) {
            Ok(example) => Some(Some((path, example))),
            Err(error) => {
                self.error(path, format!("the text is not JSON: {error}"));
                None
            }
        }
    }

    fn text(&mut self, path: &FieldPath, source: &TextSource) -> Option<String> {
        match self
            .lookup
            .config_map_key(&self.name.namespace, &source.config_map_key_ref)
        {
            Ok(text) => Some(text.to_owned()),
            Err(waiting) => {
                self.wait(path.clone(), waiting);
                None
            }
        }
    }

    /// The values of all keys that authentication names, once each.
    fn keys(&mut self, spec: &AppEventTypeSpec) -> Vec<KeyEntry> {
        let (fields, waiting) = self.lookup.fields(
            &self.name.namespace,
            &spec.app.fields,
            &spec.app.fields_from,
        );
        if let Some(waiting) = waiting {
            self.wait("spec.app.fieldsFrom", waiting);
        }
        let mut keys: Vec<KeyEntry> = Vec::new();
        for (path, source) in key_sources(&spec.webhook) {
            if keys.iter().any(|key| key.source == *source) {
                continue;
            }
            let value = match (&source.secret_key_ref, &source.app_field) {
                (Some(key), _) => self.lookup.secret_key(&self.name.namespace, key),
                (None, Some(field)) => app_field(&fields, field),
                (None, None) => continue,
            };
            let value = match value {
                Ok(value) => Some(value),
                Err(waiting) => {
                    self.wait(path, waiting);
                    None
                }
            };
            keys.push(KeyEntry {
                source: source.clone(),
                value,
            });
        }
        keys
    }

    /// The namespaces whose Customers the type's events may be for.
    fn customer_namespaces(&self, spec: &AppEventTypeSpec) -> Vec<String> {
        let selector = spec
            .allowed_namespaces
            .as_ref()
            .and_then(|allowed| allowed.selector.as_ref());
        let own = self.name.namespace.as_str();
        self.lookup
            .namespaces
            .iter()
            .filter(|other| {
                **other == own
                    || self
                        .lookup
                        .admits(own, spec.namespaces_from(), selector, other)
            })
            .map(|namespace| (*namespace).to_owned())
            .collect()
    }

    /// The path of the global webhook, if the type has one and nobody older has the path.
    fn route(
        &mut self,
        spec: &AppEventTypeSpec,
        paths: &mut HashMap<String, ObjectName>,
    ) -> Option<String> {
        let path = match &spec.global_webhook.as_ref()?.path {
            None => token_path(self.lookup, self.name),
            Some(path) => format!("/{}/{path}", self.name.namespace),
        };
        if path.starts_with("/h/") && spec.global_webhook.as_ref()?.path.is_some() {
            // Tokens live there; a namespace named `h` must not be able to take one.
            let message = "paths of namespace h are kept for unguessable URIs; leave path out";
            self.error("spec.globalWebhook.path", message);
            return None;
        }
        if let Some(owner) = paths.get(&path) {
            let message = format!("AppEventType {owner} already has the path {path}");
            self.wait("spec.globalWebhook.path", (reason::PATH_TAKEN, message));
            return None;
        }
        paths.insert(path.clone(), self.name.clone());
        Some(path)
    }
}

fn app_field(fields: &Fields, name: &str) -> Result<crate::configuration::Sensitive, Waiting> {
    let missing = |message: String| (reason::SECRET_NOT_FOUND, message);
    if let Some(value) = fields.sensitive.get(name) {
        return match value.is_empty() {
            true => Err(missing(format!("field {name} of spec.app is empty"))),
            false => Ok(value.clone()),
        };
    }
    match fields.plain.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.as_str().into()),
        Some(Value::String(_)) => Err(missing(format!("field {name} of spec.app is empty"))),
        Some(_) => Err(missing(format!("field {name} of spec.app is no text"))),
        None => Err(missing(format!("spec.app has no field {name}"))),
    }
}
