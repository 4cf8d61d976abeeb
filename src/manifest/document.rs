//! YAML text → documents of nodes with places.
//!
//! Built from parser events, because a serde deserializer forgets where a value
//! stood and whether it was quoted. Aliases are copied within a budget, so that
//! a few lines cannot grow into gigabytes. After a mistake in one document the
//! next ones are still read.

mod hints;

use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};

use hints::{explain, has_open_placeholder, key_of};

use super::{
    node::{Data, Entry, Node, Size, Style},
    place::Mark,
    scalar::{Scalar, resolve},
};
use crate::api::Severity;

/// Most nodes that one file may have once its aliases are copied. A thousand objects of a hundred fields have half as many.
const MAX_NODES: usize = 200_000;

/// Most bytes of text that the nodes of one file may have once its aliases are copied.
const MAX_TEXT_BYTES: usize = 32 << 20;

/// Most levels of lists and objects, as in JSON texts: deeper ones are mistakes or attacks.
const MAX_DEPTH: usize = 100;

/// Something wrong with the YAML itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub mark: Mark,
    /// What is wrong and what to do.
    pub message: String,
}

/// What a text holds.
#[derive(Debug, Default)]
pub struct Documents {
    /// The documents that could be read, empty ones left out.
    pub nodes: Vec<Node>,
    /// What is wrong, in the order of the text.
    pub faults: Vec<Fault>,
}

/// Reads all documents of a text.
pub fn parse(text: &str) -> Documents {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.emit_unresolved_aliases = true;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    // JSON knows no limit for the length of a name, and YAML's is about readers that look ahead.
    options.simple_key_max_lookahead = 16 << 10;

    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder::new(text);
    let mut documents = Documents::default();
    loop {
        let outcome = match parser.next_event() {
            None => break,
            Some(Ok((event, span))) => builder.take(event, span, &mut documents),
            Some(Err(error)) => {
                let mark = mark_of(error.marker());
                documents.faults.push(Fault {
                    severity: Severity::Error,
                    mark,
                    message: explain(error.kind(), &error.info(), text, mark),
                });
                Err(Broken)
            }
        };
        if outcome.is_err() {
            builder.abandon_document();
            if !matches!(parser.proceed_next_document(), Ok(true)) {
                break;
            }
        }
    }
    documents.faults.sort_by_key(|fault| fault.mark);
    documents
}

/// The rest of the document cannot be read.
struct Broken;

struct Builder<'text> {
    text: &'text str,
    /// Nodes and their text in the file so far, and in the copies that anchors keep.
    total: Size,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    /// Whether an error was found in this document, which therefore is not used.
    is_broken: bool,
}

/// A list or object that is being read.
struct Open {
    mark: Mark,
    anchor: usize,
    size: Size,
    depth: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Object {
        entries: Vec<Entry>,
        /// The name that was read last, until its value is.
        key: Option<(String, Mark)>,
        /// Values of `<<`.
        merged: Vec<Node>,
    },
}

/// YAML's name for "take over the members of".
const MERGE_KEY: &str = "<<";

impl<'text> Builder<'text> {
    fn new(text: &'text str) -> Self {
        Self {
            text,
            total: Size::default(),
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            is_broken: false,
        }
    }

    fn abandon_document(&mut self) {
        self.open.clear();
        self.anchors.clear();
        self.root = None;
        self.is_broken = false;
    }

    fn take(
        &mut self,
        event: Event<'_>,
        span: Span,
        documents: &mut Documents,
    ) -> Result<(), Broken> {
        let mark = mark_of(&span.tag_start().unwrap_or(span.start));
        match event {
            Event::DocumentStart(..) => self.abandon_document(),
            Event::DocumentEnd => {
                let root = self.root.take();
                if let Some(root) =
                    root.filter(|root| !self.is_broken && !matches!(root.data, Data::Null))
                {
                    documents.nodes.push(root);
                }
                self.abandon_document();
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(Size::of(text.len()), mark, documents)?;
                let node = self.scalar(&text, style, tag.as_deref(), mark, documents);
                self.complete(node, anchor, documents)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.count(Size::of(0), mark, documents)?;
                self.refuse_tag(tag.as_deref(), "seq", mark, documents);
                self.begin(Content::List(Vec::new()), anchor, mark, documents)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.count(Size::of(0), mark, documents)?;
                self.refuse_tag(tag.as_deref(), "map", mark, documents);
                let content = Content::Object {
                    entries: Vec::new(),
                    key: None,
                    merged: Vec::new(),
                };
                self.begin(content, anchor, mark, documents)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let anchor = open.anchor;
                    let node = self.close(open, documents);
                    self.complete(node, anchor, documents)?;
                }
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    self.fault(
                        mark,
                        "the alias stands inside of what it names".to_owned(),
                        documents,
                    );
                    return Err(Broken);
                };
                let (size, depth) = (node.size, node.depth);
                self.count(size, mark, documents)?;
                if self.open.len() + depth > MAX_DEPTH {
                    self.fault(mark, too_deep(), documents);
                    return Err(Broken);
                }
                // The members stay where they were written; the alias itself is where it stands.
                if let Some(mut node) = self.anchors.get(&anchor).cloned() {
                    node.mark = mark;
                    self.complete(node, 0, documents)?;
                }
            }
            Event::UnresolvedAlias(_) => {
                // The name is not repeated, because it may be a password that was not quoted.
                let message = "a value that begins with `*` is an alias, and no anchor of its name stands before it; \
                               quote it if text is meant";
                self.fault(mark, message.to_owned(), documents);
                let node = leaf(Data::Null, Style::Other, mark);
                self.complete(node, 0, documents)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn fault(&mut self, mark: Mark, message: String, documents: &mut Documents) {
        self.is_broken = true;
        documents.faults.push(Fault {
            severity: Severity::Error,
            mark,
            message,
        });
    }

    fn count(&mut self, size: Size, mark: Mark, documents: &mut Documents) -> Result<(), Broken> {
        self.total.add(size);
        if self.total.nodes > MAX_NODES || self.total.text > MAX_TEXT_BYTES {
            let message = format!(
                "the file has more than {MAX_NODES} values or {} MiB of text, counting what aliases repeat",
                MAX_TEXT_BYTES >> 20
            );
            self.fault(mark, message, documents);
            return Err(Broken);
        }
        Ok(())
    }

    fn begin(
        &mut self,
        content: Content,
        anchor: usize,
        mark: Mark,
        documents: &mut Documents,
    ) -> Result<(), Broken> {
        if self.open.len() >= MAX_DEPTH {
            self.fault(mark, too_deep(), documents);
            return Err(Broken);
        }
        self.open.push(Open {
            mark,
            anchor,
            size: Size::of(0),
            depth: 1,
            content,
        });
        Ok(())
    }

    fn close(&mut self, open: Open, documents: &mut Documents) -> Node {
        let Open {
            mark,
            anchor: _,
            size,
            depth,
            content,
        } = open;
        let data = match content {
            Content::List(items) => Data::List(items),
            Content::Object {
                mut entries,
                merged,
                ..
            } => {
                for node in merged {
                    self.merge(node, &mut entries, documents);
                }
                Data::Object(entries)
            }
        };
        Node {
            mark,
            data,
            style: Style::Other,
            size,
            depth,
        }
    }

    /// What is written wins over what is merged, and what is merged first over what is merged later.
    fn merge(&mut self, node: Node, entries: &mut Vec<Entry>, documents: &mut Documents) {
        let Node { mark, data, .. } = node;
        match data {
            Data::Object(merged) => {
                for entry in merged {
                    if !entries.iter().any(|existing| existing.key == entry.key) {
                        entries.push(entry);
                    }
                }
            }
            Data::List(nodes)
                if nodes
                    .iter()
                    .all(|node| matches!(node.data, Data::Object(_))) =>
            {
                for node in nodes {
                    self.merge(node, entries, documents);
                }
            }
            _ => self.fault(
                mark,
                "`<<` takes over the members of an object, or of a list of objects".to_owned(),
                documents,
            ),
        }
    }

    /// A node is complete: it is a key, a value, an element or the document.
    fn complete(
        &mut self,
        node: Node,
        anchor: usize,
        documents: &mut Documents,
    ) -> Result<(), Broken> {
        if anchor != 0 {
            self.count(node.size, node.mark, documents)?;
            self.anchors.insert(anchor, node.clone());
        }
        let text = self.text;
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size.add(node.size);
        open.depth = open.depth.max(node.depth + 1);
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Object {
                entries,
                key,
                merged,
            } => match key.take() {
                None => match key_of(&node, text) {
                    Ok(name) => {
                        let earlier = entries
                            .iter()
                            .find(|entry| entry.key == name)
                            .map(|entry| entry.key_mark);
                        *key = Some((name.clone(), node.mark));
                        if let Some(earlier) = earlier {
                            let message = format!(
                                "`{name}` is written twice; first in line {}",
                                earlier.line
                            );
                            self.fault(node.mark, message, documents);
                        }
                    }
                    Err(message) => {
                        *key = Some((String::new(), node.mark));
                        self.fault(node.mark, message, documents);
                    }
                },
                Some((name, _)) if name == MERGE_KEY => merged.push(node),
                Some((name, key_mark)) => {
                    let mut value = node;
                    let is_container = matches!(value.data, Data::List(_) | Data::Object(_));
                    if is_container && value.mark.line > key_mark.line {
                        value.mark = key_mark;
                    }
                    entries.push(Entry {
                        key: name,
                        key_mark,
                        value,
                    });
                }
            },
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        mark: Mark,
        documents: &mut Documents,
    ) -> Node {
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
        if !is_text && !tag.is_some_and(Tag::is_yaml_core_schema) {
            self.refuse_tag(tag, "str", mark, documents);
        }
        let style = match style {
            ScalarStyle::Plain if !is_text => Style::Plain(text.to_owned()),
            ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                Style::Quoted
            }
            ScalarStyle::Literal => Style::Literal(text.to_owned()),
            ScalarStyle::Folded => Style::Other,
        };
        if !matches!(style, Style::Plain(_)) {
            return leaf(Data::Text(text.to_owned()), style, mark);
        }
        let data = match resolve(text) {
            Scalar::Null => Data::Null,
            Scalar::Bool(value) => Data::Bool(value),
            Scalar::Number(number) => Data::Number(number),
            Scalar::Text => {
                if has_open_placeholder(text) {
                    documents.faults.push(Fault {
                        severity: Severity::Warning,
                        mark,
                        message: "the placeholder `$(` is not closed: a value without quotes ends at ` #`, and inside \
                                  {…} and […] at a comma; put the whole value into quotes"
                            .to_owned(),
                    });
                }
                Data::Text(text.to_owned())
            }
            Scalar::NoJson => {
                let message = format!(
                    "`{text}` is a number that JSON does not have; quote it if text is meant"
                );
                self.fault(mark, message, documents);
                Data::Null
            }
        };
        leaf(data, style, mark)
    }

    fn refuse_tag(
        &mut self,
        tag: Option<&Tag>,
        expected: &str,
        mark: Mark,
        documents: &mut Documents,
    ) {
        let Some(tag) = tag else { return };
        if !tag.is_yaml_core_schema_tag(expected) {
            let message = "a value that begins with `!` is a YAML tag, which means nothing in a manifest; quote it if \
                           text is meant";
            self.fault(mark, message.to_owned(), documents);
        }
    }
}

fn leaf(data: Data, style: Style, mark: Mark) -> Node {
    let size = match &data {
        Data::Text(text) => Size::of(text.len()),
        _ => Size::of(0),
    };
    Node {
        mark,
        data,
        style,
        size,
        depth: 1,
    }
}

fn too_deep() -> String {
    format!("lists and objects are nested deeper than {MAX_DEPTH} levels")
}

fn mark_of(marker: &granit_parser::Marker) -> Mark {
    Mark {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

#[cfg(test)]
mod tests;
