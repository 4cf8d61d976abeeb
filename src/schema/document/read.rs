//! Reading a document: subschemas are found by their keywords, references are
//! resolved within the document, and one that leads out of it is an error.

use std::collections::{BTreeSet, HashMap, VecDeque};

use jsonschema::Draft;
use serde_json::{Map, Value};
use url::Url;

use super::{Apply, Document, Edge, Node, NodeId, draft_named, join, names, shorten};
use crate::schema::SchemaError;

/// The base URI of a document without `$id`; any absolute one will do, as
/// nothing is ever fetched.
const BASE: &str = "json-schema:///";

/// More subschemas than this are refused. 256 KiB of text can hold about
/// 40,000 (`{},`), which no schema that describes an event comes near.
const MAX_NODES: usize = 20_000;

impl<'a> Document<'a> {
    /// Finds all subschemas that can apply, and resolves all references.
    pub(in crate::schema) fn read(root: &'a Value, draft: Draft) -> Result<Self, SchemaError> {
        let mut reader = Reader {
            root,
            draft,
            nodes: Vec::new(),
            by_pointer: HashMap::new(),
            resources: HashMap::new(),
            anchors: HashMap::new(),
            dynamic: HashMap::new(),
            recursive: Vec::new(),
            pending: VecDeque::new(),
            targets: BTreeSet::new(),
        };
        reader.index(root, String::new(), &base_url())?;
        let root_base = base_url();
        reader.node(String::new(), root, root_base)?;
        while let Some((id, base)) = reader.pending.pop_front() {
            reader.expand(id, &base)?;
        }
        let names = names(&reader.nodes);
        Ok(Self {
            nodes: reader.nodes,
            draft,
            names,
            targets: reader.targets,
        })
    }
}

struct Reader<'a> {
    root: &'a Value,
    draft: Draft,
    nodes: Vec<Node<'a>>,
    by_pointer: HashMap<String, NodeId>,
    /// `$id` → pointer of the subschema that bears it.
    resources: HashMap<String, String>,
    /// (base, anchor) → pointer.
    anchors: HashMap<(String, String), String>,
    /// `$dynamicAnchor` → pointers of all that bear it.
    dynamic: HashMap<String, Vec<String>>,
    /// Pointers of all with `$recursiveAnchor: true`.
    recursive: Vec<String>,
    pending: VecDeque<(NodeId, Url)>,
    targets: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// Records identifiers and anchors. Descends everywhere, also below
    /// keywords nobody knows: an identifier too many does no harm.
    fn index(&mut self, value: &'a Value, pointer: String, base: &Url) -> Result<(), SchemaError> {
        match value {
            Value::Object(object) => {
                let own = own_base(object, base);
                if pointer.is_empty() || own != *base {
                    self.resources
                        .entry(without_fragment(&own))
                        .or_insert_with(|| pointer.clone());
                }
                if let Some(id) = object.get("$id").and_then(Value::as_str)
                    && let Some(anchor) = id.strip_prefix('#')
                {
                    // Draft 7 wrote anchors this way.
                    self.anchor(&own, anchor, &pointer);
                }
                for keyword in ["$anchor", "$dynamicAnchor"] {
                    if let Some(anchor) = object.get(keyword).and_then(Value::as_str) {
                        self.anchor(&own, anchor, &pointer);
                    }
                }
                if let Some(anchor) = object.get("$dynamicAnchor").and_then(Value::as_str) {
                    self.dynamic
                        .entry(anchor.into())
                        .or_default()
                        .push(pointer.clone());
                }
                if object.get("$recursiveAnchor") == Some(&Value::Bool(true)) {
                    self.recursive.push(pointer.clone());
                }
                if !pointer.is_empty()
                    && let Some(named) = object.get("$schema")
                    && named.is_string()
                    && draft_named(named).is_none()
                {
                    return Err(SchemaError::UnknownDraft {
                        pointer: format!("{pointer}/$schema"),
                        found: shorten(&named.to_string()),
                    });
                }
                for (key, member) in object {
                    // These hold values, not schemas.
                    if !matches!(key.as_str(), "const" | "enum" | "default" | "examples") {
                        self.index(member, join(&pointer, key), &own)?;
                    }
                }
            }
            Value::Array(array) => {
                for (index, member) in array.iter().enumerate() {
                    self.index(member, format!("{pointer}/{index}"), base)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn anchor(&mut self, base: &Url, anchor: &str, pointer: &str) {
        self.anchors
            .entry((without_fragment(base), anchor.into()))
            .or_insert_with(|| pointer.into());
    }

    /// The node at a pointer, made and queued when it is new.
    fn node(
        &mut self,
        pointer: String,
        schema: &'a Value,
        base: Url,
    ) -> Result<NodeId, SchemaError> {
        if let Some(&id) = self.by_pointer.get(&pointer) {
            return Ok(id);
        }
        let id = self.nodes.len();
        if id >= MAX_NODES {
            return Err(SchemaError::TooCostly {
                pointer,
                reason: format!("more than {MAX_NODES} subschemas"),
            });
        }
        self.by_pointer.insert(pointer.clone(), id);
        self.nodes.push(Node {
            pointer,
            schema,
            edges: Vec::new(),
        });
        self.pending.push_back((id, base));
        Ok(id)
    }

    fn expand(&mut self, id: NodeId, base: &Url) -> Result<(), SchemaError> {
        let pointer = self.nodes[id].pointer.clone();
        let Value::Object(object) = self.nodes[id].schema else {
            return Ok(());
        };
        let base = own_base(object, base);
        let mut edges = Vec::new();
        for (keyword, value) in object {
            let at = join(&pointer, keyword);
            if let "$ref" | "$dynamicRef" | "$recursiveRef" = keyword.as_str() {
                if let Some(reference) = value.as_str() {
                    for to in self.resolve(keyword, reference, &base, &at)? {
                        edges.push(Edge {
                            keyword,
                            how: Apply::Same,
                            to,
                        });
                    }
                }
                continue;
            }
            if self.draft == Draft::Draft7 && object.contains_key("$ref") {
                // Draft 7: everything beside `$ref` is ignored.
                continue;
            }
            for (place, how, schema) in applied(keyword, value, object) {
                let at = place.map_or_else(|| at.clone(), |place| join(&at, &place));
                let to = self.node(at, schema, base.clone())?;
                edges.push(Edge { keyword, how, to });
            }
        }
        self.nodes[id].edges = edges;
        Ok(())
    }

    /// The subschemas a reference can lead to: one, or for a dynamic one all
    /// that bear the anchor, as which of them it is depends on the path taken.
    fn resolve(
        &mut self,
        keyword: &str,
        reference: &str,
        base: &Url,
        at: &str,
    ) -> Result<Vec<NodeId>, SchemaError> {
        let missing = || SchemaError::Reference {
            pointer: at.into(),
            reference: shorten(reference),
        };
        let target = base.join(reference).map_err(|_| missing())?;
        let resource = without_fragment(&target);
        let fragment = target.fragment().unwrap_or_default();
        let fragment = percent_encoding::percent_decode_str(fragment)
            .decode_utf8()
            .map_err(|_| missing())?
            .into_owned();
        let start = self.resources.get(&resource).ok_or_else(missing)?.clone();
        let mut pointers = if fragment.is_empty() {
            vec![start]
        } else if fragment.starts_with('/') {
            vec![format!("{start}{fragment}")]
        } else {
            vec![
                self.anchors
                    .get(&(resource, fragment.clone()))
                    .ok_or_else(missing)?
                    .clone(),
            ]
        };
        match keyword {
            "$dynamicRef" => {
                let is_dynamic = self
                    .dynamic
                    .get(&fragment)
                    .is_some_and(|bearers| bearers.contains(&pointers[0]));
                if is_dynamic {
                    pointers = self.dynamic[&fragment].clone();
                }
            }
            "$recursiveRef" if self.recursive.contains(&pointers[0]) => {
                pointers = self.recursive.clone();
            }
            _ => {}
        }
        let mut ids = Vec::new();
        for pointer in pointers {
            let schema = self.root.pointer(&pointer).ok_or_else(missing)?;
            let base = self.base_at(&pointer);
            self.targets.insert(pointer.clone());
            ids.push(self.node(pointer, schema, base)?);
        }
        Ok(ids)
    }

    /// The base URI in force at a pointer: its own `$id` not yet applied.
    fn base_at(&self, pointer: &str) -> Url {
        let mut base = base_url();
        let mut value = self.root;
        for segment in pointer.split('/').skip(1) {
            if let Value::Object(object) = value {
                base = own_base(object, &base);
            }
            let segment = segment.replace("~1", "/").replace("~0", "~");
            let next = match value {
                Value::Object(object) => object.get(&segment),
                Value::Array(array) => segment
                    .parse()
                    .ok()
                    .and_then(|index: usize| array.get(index)),
                _ => None,
            };
            let Some(next) = next else { break };
            value = next;
        }
        base
    }
}

/// The subschemas a keyword applies: where below the keyword, to what, which.
fn applied<'a>(
    keyword: &str,
    value: &'a Value,
    parent: &'a Map<String, Value>,
) -> Vec<(Option<String>, Apply<'a>, &'a Value)> {
    let one = |how| {
        if value.is_object() || value.is_boolean() {
            vec![(None, how, value)]
        } else {
            Vec::new()
        }
    };
    let list = |how: &dyn Fn(usize) -> Apply<'a>| {
        let array = value.as_array().map_or(&[][..], Vec::as_slice);
        array
            .iter()
            .enumerate()
            .map(|(index, schema)| (Some(index.to_string()), how(index), schema))
            .collect()
    };
    let map = |how: &dyn Fn(&'a str) -> Apply<'a>| {
        value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, schema)| schema.is_object() || schema.is_boolean())
            .map(|(name, schema)| (Some(name.clone()), how(name), schema))
            .collect()
    };
    let prefix = || {
        let tuple = parent.get("prefixItems").or_else(|| parent.get("items"));
        tuple.and_then(Value::as_array).map_or(0, Vec::len)
    };
    match keyword {
        "allOf" | "anyOf" | "oneOf" => list(&|_| Apply::Branch),
        "if" => one(Apply::Branch),
        "not" | "then" | "else" => one(Apply::Same),
        "dependentSchemas" | "dependencies" => map(&|_| Apply::Same),
        "properties" => map(&Apply::Property),
        "patternProperties" => map(&Apply::Pattern),
        "additionalProperties" => one(Apply::OtherProperties),
        "unevaluatedProperties" => one(Apply::UnevaluatedProperties),
        "propertyNames" => one(Apply::PropertyNames),
        "prefixItems" => list(&Apply::Item),
        "items" if value.is_array() => list(&Apply::Item),
        "items" | "additionalItems" => one(Apply::ItemsFrom(prefix())),
        "contains" | "unevaluatedItems" => one(Apply::UnevaluatedItems),
        _ => Vec::new(),
    }
}

#[expect(clippy::expect_used, reason = "a constant that a test parses")]
fn base_url() -> Url {
    Url::parse(BASE).expect("BASE is an absolute URL")
}

fn own_base(object: &Map<String, Value>, base: &Url) -> Url {
    object
        .get("$id")
        .and_then(Value::as_str)
        .filter(|id| !id.starts_with('#'))
        .and_then(|id| base.join(id).ok())
        .unwrap_or_else(|| base.clone())
}

fn without_fragment(url: &Url) -> String {
    let mut url = url.clone();
    url.set_fragment(None);
    url.into()
}
