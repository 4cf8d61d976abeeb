//! One page of Markdown per resource: every field with its type, default and description, read off
//! the CRD's schema, so that the page cannot say anything else than `kubectl explain`; then what its
//! conditions say, and what `kubectl get` shows. Pure.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::Crd;
use super::condition::documented::{DocumentedReason, documented_events, documented_reasons};

/// The page of one resource.
#[must_use]
pub fn reference_page(crd: &Crd) -> String {
    let mut page = Page {
        text: String::new(),
        homes: Vec::new(),
    };
    for part in ["spec", "status"] {
        page.find_homes(part, &crd.schema["properties"][part]);
    }
    let names = &crd.definition.spec.names;
    let short_names = names
        .short_names
        .as_deref()
        .unwrap_or_default()
        .join("`, `");
    let _ = writeln!(
        page.text,
        "<!-- Printed by `tidegate crds --reference-dir`; edit the types, not this file. -->\n"
    );
    let _ = writeln!(page.text, "# {}\n", crd.kind);
    let _ = writeln!(page.text, "{}\n", text(&crd.schema, "description"));
    let _ = writeln!(
        page.text,
        "`apiVersion: {}/{}`, `kind: {}`; `kubectl get {}` or `{short_names}`.\n",
        super::GROUP,
        super::VERSION,
        crd.kind,
        names.plural,
    );
    for part in ["spec", "status"] {
        page.section(part, &crd.schema["properties"][part]);
    }
    page.conditions(crd.kind);
    page.columns(crd);
    page.text
}

struct Page<'a> {
    text: String,
    /// Where each object has its section: at the shallowest of its places. The same object elsewhere refers to it.
    homes: Vec<(&'a Map<String, Value>, String)>,
}

impl<'a> Page<'a> {
    /// Of places that are equally deep the first counts.
    fn find_homes(&mut self, path: &str, schema: &'a Value) {
        let Some(properties) = schema["properties"].as_object() else {
            return;
        };
        match self
            .homes
            .iter_mut()
            .find(|(other, _)| *other == properties)
        {
            Some((_, home)) if depth(home) > depth(path) => path.clone_into(home),
            Some(_) => {}
            None => self.homes.push((properties, path.to_owned())),
        }
        for (name, field) in properties {
            let nested = format!("{path}.{name}{}", suffix(field));
            self.find_homes(&nested, element(field));
        }
    }

    /// What conditions say, and Events with them.
    fn conditions(&mut self, kind: &str) {
        let reasons = documented_reasons(kind);
        if reasons.is_empty() {
            return;
        }
        let _ = writeln!(self.text, "## Conditions\n");
        let _ = writeln!(self.text, "{}\n", documented_events(kind));
        let _ = writeln!(self.text, "| condition | reason | meaning |\n|---|---|---|");
        for DocumentedReason {
            condition,
            status,
            with,
            reason,
            meaning,
        } in reasons
        {
            let with = with.map_or_else(String::new, |with| format!(", `{with}=True`"));
            let _ = writeln!(
                self.text,
                "| `{condition}={status}`{with} | `{reason}` | {meaning} |"
            );
        }
        let _ = writeln!(self.text);
    }

    /// What `kubectl get` shows.
    fn columns(&mut self, crd: &Crd) {
        let versions = crd.definition.spec.versions.iter();
        let mut columns = versions
            .flat_map(|version| version.additional_printer_columns.iter().flatten())
            .peekable();
        if columns.peek().is_none() {
            return;
        }
        let _ = writeln!(self.text, "## `kubectl get`\n");
        let _ = writeln!(self.text, "| column | shows | |\n|---|---|---|");
        for column in columns {
            let wide = match column.priority {
                Some(1..) => "with `-o wide`",
                _ => "",
            };
            let path = column.json_path.trim_start_matches('.').replace('|', "\\|");
            let _ = writeln!(self.text, "| {} | `{path}` | {wide} |", column.name);
        }
        let _ = writeln!(self.text);
    }

    fn section(&mut self, path: &str, schema: &'a Value) {
        let Some(properties) = schema["properties"].as_object() else {
            return;
        };
        let _ = writeln!(self.text, "## `{path}`\n");
        let description = text(schema, "description");
        if !description.is_empty() {
            let _ = writeln!(self.text, "{description}\n");
        }
        let _ = writeln!(self.text, "| field | type | meaning |\n|---|---|---|");
        let required: Vec<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut below = Vec::new();
        for (name, field) in properties {
            let inner = element(field);
            let mut meaning = text(field, "description")
                .replace('|', "\\|")
                .replace('\n', " ");
            if let Some(values) = field["enum"].as_array().or(inner["enum"].as_array()) {
                let values: Vec<String> = values
                    .iter()
                    .map(|value| format!("`{}`", plain(value)))
                    .collect();
                let _ = write!(meaning, " One of {}.", values.join(", "));
            }
            if let Some(default) = field.get("default") {
                let _ = write!(meaning, " Default: `{}`.", plain(default));
            }
            let bounds = bounds(field);
            if !bounds.is_empty() {
                let _ = write!(meaning, " {bounds}.");
            }
            if let Some(properties) = inner["properties"].as_object() {
                let nested = format!("{path}.{name}{}", suffix(field));
                match self.homes.iter().find(|(other, _)| *other == properties) {
                    Some((_, home)) if *home != nested => {
                        let _ = write!(meaning, " Fields as in `{home}`.");
                    }
                    _ => below.push((nested, inner)),
                }
            }
            let mark = if required.contains(&name.as_str()) {
                " (required)"
            } else {
                ""
            };
            let _ = writeln!(
                self.text,
                "| `{name}`{mark} | {} | {} |",
                kind(field),
                meaning.trim()
            );
        }
        self.text.push('\n');
        for (path, schema) in below {
            self.section(&path, schema);
        }
    }
}

fn depth(path: &str) -> usize {
    path.matches('.').count()
}

/// What a list or map holds; anything else is itself.
fn element(field: &Value) -> &Value {
    match field["type"].as_str() {
        Some("array") => element(&field["items"]),
        Some("object")
            if field["properties"].is_null() && field["additionalProperties"].is_object() =>
        {
            element(&field["additionalProperties"])
        }
        _ => field,
    }
}

fn suffix(field: &Value) -> &'static str {
    match field["type"].as_str() {
        Some("array") => "[]",
        Some("object") if field["properties"].is_null() => ".*",
        _ => "",
    }
}

fn kind(field: &Value) -> String {
    match field["type"].as_str() {
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some("object")
            if field["properties"].is_null() && field["additionalProperties"].is_object() =>
        {
            format!("map to {}", kind(&field["additionalProperties"]))
        }
        Some("string") => "text".to_owned(),
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

fn bounds(field: &Value) -> String {
    let mut bounds = Vec::new();
    for (keyword, words) in [
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("maxItems", "at most this many items:"),
        ("maxProperties", "at most this many entries:"),
    ] {
        if let Some(value) = field[keyword].as_f64() {
            bounds.push(format!("{words} {value}"));
        }
    }
    let text = bounds.join(", ");
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => text,
    }
}

fn text<'a>(schema: &'a Value, keyword: &str) -> &'a str {
    schema[keyword].as_str().unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_told_once_at_its_shallowest_place() {
        let page = reference_page(crate::api::crd_of("AppEventType").unwrap());
        for home in [
            "spec.subscription",
            "spec.subscription.request",
            "spec.subscription.followUps[]",
            "spec.webhook.authentication[]",
        ] {
            assert!(page.contains(&format!("\n## `{home}`\n")), "{home}");
            assert!(page.contains(&format!("Fields as in `{home}`.")), "{home}");
        }
        let mut sections: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("## "))
            .collect();
        let all = sections.len();
        sections.sort_unstable();
        sections.dedup();
        assert_eq!(sections.len(), all, "a section is there twice");
        assert!(!page.contains("## `spec.globalWebhook.registration"));
    }

    #[test]
    fn the_committed_pages_are_the_ones_that_are_printed() {
        for crd in crate::api::crds() {
            let path = format!("docs/reference/{}.md", crd.definition.spec.names.plural);
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == reference_page(crd),
                "{path} is out of date: run `make generate`"
            );
        }
    }
}
