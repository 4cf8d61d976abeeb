//! Compiles how items become events: `webhook.events`, `globalWebhook`, schemas and variants.

use super::attributes::is_attribute_text;
use super::{Interpreter, STORED_PER_BODY_BYTE, Variant};
use crate::api::{Deduplication, DeduplicationKey, Events, FieldPath, GlobalWebhook};
use crate::configuration::EventTypeEntry;
use crate::expression::Scope;
use crate::schema::Schema;
use crate::webhook::compiler::Compiler;

/// The context attributes of CloudEvents 1.0, what its formats call the data, and what we set.
const RESERVED: [&str; 12] = [
    "id",
    "source",
    "specversion",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "data",
    "database64",
    "customerid",
    "tidegateinvalid",
];

/// Longest name of an extension (CloudEvents 1.0 §3.1 asks for no more than 20).
const MAX_EXTENSION_NAME: usize = 20;

impl Interpreter {
    /// Compiles the parts of a type that are about items; `scope` is theirs.
    pub fn compile(compiler: &mut Compiler, entry: &EventTypeEntry, scope: &Scope) -> Self {
        let spec = FieldPath::from("spec");
        let webhook = spec.field("webhook");
        let path = webhook.field("events");
        let Events {
            from: _,
            when,
            require,
            type_,
            id,
            time,
            data,
            extensions,
        } = &entry.webhook.events;
        let mut optional = |name: &str, source: &Option<crate::api::Expression>| {
            compiler.optional(&path.field(name), source.as_ref(), scope)
        };
        let when = optional("when", when);
        let require = optional("require", require);
        let type_ = optional("type", type_);
        let id_expression = optional("id", id);
        let time = optional("time", time);
        let data = optional("data", data);
        let mut compiled = Vec::new();
        for (name, source) in extensions {
            let path = path.field("extensions").field(name);
            if let Some(message) = wrong_extension_name(name) {
                compiler.error(&path, message);
            }
            let expression = compiler.expression(&path, source, scope);
            compiled.extend(expression.map(|expression| (name.clone(), expression)));
        }
        let none = GlobalWebhook::default();
        let global = entry.global_webhook.as_ref().unwrap_or(&none);
        let path = spec.field("globalWebhook");
        let customer = compiler.optional(
            &path.field("customer"),
            global.customer.as_ref(),
            &of_global_webhook(scope, entry),
        );
        if let Some(field) = &global.customer_field {
            compiler.literal(&path.field("customerField"), field);
            if global.customer.is_none() {
                compiler.error(
                    &path.field("customerField"),
                    "customerField says what the result of customer is compared with, so it needs customer",
                );
            }
        }
        if !is_attribute_text(&entry.event_type) || entry.event_type.is_empty() {
            compiler.error(
                &spec.field("type"),
                "the type must be a text without control characters",
            );
        }
        let schema = schema(compiler, &spec, entry.schema.as_deref());
        let mut variants = Vec::new();
        for (index, variant) in entry.variants.iter().enumerate() {
            let path = spec.field("variants").index(index);
            let when = compiler.expression(&path.field("when"), &variant.when, &Scope::event());
            let schema = self::schema(compiler, &path, variant.schema.as_deref());
            let on_invalid = variant.on_invalid;
            variants.extend(when.map(|when| Variant {
                when,
                schema,
                on_invalid,
            }));
        }
        let deduplication = entry.webhook.deduplication();
        let Deduplication { by: _, window: _ } = &deduplication;
        let by_id = deduplication.by() == DeduplicationKey::Id;
        if entry.webhook.deduplication.is_some() && by_id && id.is_none() {
            compiler.error(
                &webhook.field("deduplication"),
                "deduplication by id needs events.id; without one write by: Content",
            );
        }
        let reads = |expression: &Option<crate::expression::Expression>| {
            expression.as_ref().is_some_and(|expression| {
                let references = expression.references();
                references.mentions(&["item"]) || references.mentions(&["parent"])
            })
        };
        let reads_items = schema.is_some()
            || !variants.is_empty()
            || [
                &when,
                &require,
                &type_,
                &id_expression,
                &time,
                &data,
                &customer,
            ]
            .into_iter()
            .any(reads)
            || compiled
                .iter()
                .any(|(_, expression)| expression.references().mentions(&["item"]))
            || compiled
                .iter()
                .any(|(_, expression)| expression.references().mentions(&["parent"]));
        let variants_by_customer = variants.iter().any(|variant: &Variant| {
            ["customer", "subject", "source", "extensions"]
                .iter()
                .any(|field| variant.when.references().mentions(&["event", field]))
        });
        let max_body_bytes = entry.webhook.max_body_bytes() as usize;
        Self {
            name: entry.name.clone(),
            event_type: entry.event_type.clone(),
            when,
            require,
            type_,
            id: id_expression,
            time,
            data,
            extensions: compiled,
            customer,
            customer_field: global.customer_field.clone(),
            on_unknown_customer: global.on_unknown_customer(),
            customer_namespaces: entry.customer_namespaces.clone(),
            schema,
            on_invalid: entry.on_invalid,
            variants,
            variants_by_customer,
            deduplicate_by: deduplication.by(),
            deduplication_window: deduplication.window().duration().as_secs() as i64,
            max_events: entry.webhook.max_events() as usize,
            max_stored_bytes: max_body_bytes.saturating_mul(STORED_PER_BODY_BYTE),
            reads_items,
        }
    }
}

/// `customer` is what the expression finds out, and `subscription` is the global webhook's own.
fn of_global_webhook(scope: &Scope, entry: &EventTypeEntry) -> Scope {
    let mut scope = scope.clone();
    if entry.registrations.per_customer {
        scope = scope.without(
            "customer",
            "`customer` does not exist here: this is what finds out whose an event is",
        );
    }
    if entry.registrations.exist() && !entry.registrations.global {
        scope = scope.without(
            "subscription",
            "`subscription` needs a registration of the global webhook (globalWebhook.registration)",
        );
    }
    scope
}

fn schema(compiler: &mut Compiler, path: &FieldPath, text: Option<&str>) -> Option<Schema> {
    let path = path.field("schema");
    match Schema::compile(text?) {
        Ok(schema) => {
            for warning in schema.warnings() {
                compiler.warning(
                    &path,
                    format!("at {:?}: {}", warning.pointer, warning.message),
                );
            }
            Some(schema)
        }
        Err(error) => {
            compiler.error(&path, error.to_string());
            None
        }
    }
}

fn wrong_extension_name(name: &str) -> Option<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if name.is_empty() || name.len() > MAX_EXTENSION_NAME || !name.bytes().all(allowed) {
        Some("the name of an extension is 1 to 20 lower-case letters and digits")
    } else if RESERVED.contains(&name) {
        Some("this name belongs to CloudEvents or is set by the gateway; use another")
    } else {
        None
    }
}
