//! A request's body as items, each a slice of the bytes that came.
//!
//! `events.from` is walked over the raw JSON in one pass; nothing is parsed into a tree and
//! nothing is copied. Where a name occurs twice in an object the last one counts, here as in
//! `serde_json`'s trees (and in nearly every parser that a consumer may use), so splitting,
//! expressions and schemas always look at the same value.

mod walk;

use std::cell::OnceCell;
use std::rc::Rc;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use self::walk::{Found, follow, locate};
use super::media::Family;
use super::request::{Body, View};
use crate::expression::{EvaluationError, Path, Value};

/// One item: what may become an event.
#[derive(Debug)]
pub struct Item {
    /// Its bytes; `None` for an event without data.
    pub data: Option<Bytes>,
    /// The content type of the bytes.
    pub content_type: Option<String>,
    /// The element around it, with more than one level.
    pub parent: Option<Rc<Item>>,
    /// Set if `from` did not lead to items here; then this is what it started from.
    pub misled: bool,
    form: Form,
    json: OnceCell<Option<Json>>,
}

/// What the bytes of an item are, and where its value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// JSON text of its own.
    Json,
    /// The whole JSON body, which is parsed at most once for item and `request.body`.
    JsonBody,
    /// Text that is no JSON.
    Text,
    /// Nothing that an expression could read.
    Opaque,
}

/// The value of an item, for the schema and for expressions.
pub enum ItemValue<'a> {
    /// A JSON value.
    Json(&'a Json),
    /// Text.
    Text(&'a str),
    /// Bytes, or nothing.
    Null,
}

impl Item {
    fn new(data: Option<Bytes>, content_type: Option<String>, form: Form) -> Self {
        Self {
            data,
            content_type,
            parent: None,
            misled: false,
            form,
            json: OnceCell::new(),
        }
    }

    fn misled(self) -> Self {
        Self {
            misled: true,
            ..self
        }
    }

    /// The whole body as bytes, where it could not be split or read.
    pub fn unread(view: &View<'_>) -> Self {
        let content_type = view.media().written().map(str::to_owned);
        Self::new(
            Some(view.request().body.clone()),
            content_type,
            Form::Opaque,
        )
    }

    /// The value; `None` if the bytes are JSON that is nested too deeply or holds half a surrogate
    /// pair or a number beyond any range: splitting passes over those, a tree cannot hold them.
    pub fn value<'a>(&'a self, view: &'a View<'_>) -> Option<ItemValue<'a>> {
        match self.form {
            Form::Json => self
                .json
                .get_or_init(|| serde_json::from_slice(self.data.as_deref()?).ok())
                .as_ref()
                .map(ItemValue::Json),
            Form::JsonBody => view.json().map(ItemValue::Json),
            Form::Text => match view.body() {
                Body::Text(text) => Some(ItemValue::Text(text)),
                _ => Some(ItemValue::Null),
            },
            Form::Opaque => Some(ItemValue::Null),
        }
    }

    /// The value as expressions see it.
    pub fn expression_value<'a>(
        &'a self,
        view: &'a View<'_>,
    ) -> Result<Value<'a>, EvaluationError> {
        match self.value(view) {
            Some(ItemValue::Json(json)) => Ok(Value::from_json(json)),
            Some(ItemValue::Text(text)) => Ok(Value::text(text)),
            Some(ItemValue::Null) => Ok(Value::Null),
            None => Err(EvaluationError::Unavailable {
                reason: "the event cannot be parsed as JSON",
            }),
        }
    }
}

/// Why a body has no items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// It says that it is JSON, and does not parse.
    Malformed,
    /// There are more items than `maxEvents`.
    TooMany,
}

const JSON: &str = "application/json";

/// The items of a request, at most `limit` at any level. `paths` are those of `events.from`,
/// outermost first; without any, the elements of an array or the body as one item.
///
/// `read` says whether the caller looks at values: if not, a body that is one item is checked for
/// syntax only.
///
/// # Errors
/// When a JSON body does not parse, or there are too many items.
pub fn split(
    view: &View<'_>,
    paths: &[Path],
    limit: usize,
    read: bool,
) -> Result<Vec<Item>, SplitError> {
    let body = &view.request().body;
    match (view.body(), paths) {
        (Body::Malformed, _) => Err(SplitError::Malformed),
        (Body::Json(text), []) if !text.trim_ascii_start().starts_with('[') => {
            let well_formed = match read {
                true => view.json().is_some(),
                false => serde_json::from_str::<IgnoredAny>(text).is_ok(),
            };
            if !well_formed {
                return Err(SplitError::Malformed);
            }
            let written = view.media().written();
            let is_json = view.media().family() == Family::Json;
            let content_type = written.filter(|_| is_json).unwrap_or(JSON).to_owned();
            Ok(vec![Item::new(
                Some(body.clone()),
                Some(content_type),
                Form::JsonBody,
            )])
        }
        (Body::Json(text), _) => split_json(body, text, paths, limit),
        (Body::Form(form), []) => Ok(vec![texts_item(form)]),
        (Body::Form(form), _) => {
            // Written out, so that there is one way to walk a path.
            let text = form.to_string();
            let body = Bytes::copy_from_slice(text.as_bytes());
            match std::str::from_utf8(&body) {
                Ok(text) => split_json(&body, text, paths, limit),
                Err(_) => Err(SplitError::Malformed),
            }
        }
        (Body::Empty, []) => match view.query() {
            Json::Object(names) if !names.is_empty() => Ok(vec![texts_item(view.query())]),
            _ => Ok(vec![Item::new(None, None, Form::Opaque)]),
        },
        (Body::Text(_) | Body::Binary, []) => {
            let (form, fallback) = match view.body() {
                Body::Text(_) => (Form::Text, "text/plain"),
                _ => (Form::Opaque, "application/octet-stream"),
            };
            let content_type = view.media().written().unwrap_or(fallback).to_owned();
            Ok(vec![Item::new(
                Some(body.clone()),
                Some(content_type),
                form,
            )])
        }
        (Body::Empty, _) => Ok(vec![Item::new(None, None, Form::Opaque).misled()]),
        (Body::Text(_) | Body::Binary, _) => Ok(vec![Item::unread(view).misled()]),
    }
}

/// A form as an event: a JSON object of texts, lists where a name is repeated.
fn texts_item(form: &Json) -> Item {
    let mut object = form.clone();
    if let Json::Object(names) = &mut object {
        for texts in names.values_mut() {
            let single = match texts {
                Json::Array(list) if list.len() == 1 => list.pop(),
                _ => None,
            };
            if let Some(single) = single {
                *texts = single;
            }
        }
    }
    let item = Item::new(
        Some(object.to_string().into()),
        Some(JSON.to_owned()),
        Form::Json,
    );
    let _ = item.json.set(Some(object));
    item
}

fn split_json(
    body: &Bytes,
    text: &str,
    paths: &[Path],
    limit: usize,
) -> Result<Vec<Item>, SplitError> {
    let first = paths.first().map_or(&[][..], Path::segments);
    let mut items = Vec::new();
    descend(body, text, first, limit, None, &mut items)?;
    for path in paths.iter().skip(1) {
        let parents = std::mem::take(&mut items);
        for parent in parents {
            if parent.misled {
                items.push(parent);
            } else {
                let parent = Rc::new(parent);
                let data = parent.data.as_deref().unwrap_or_default();
                let text = std::str::from_utf8(data).map_err(|_| SplitError::Malformed)?;
                descend(
                    body,
                    text,
                    path.segments(),
                    limit,
                    Some(&parent),
                    &mut items,
                )?;
            }
            if items.len() > limit {
                return Err(SplitError::TooMany);
            }
        }
    }
    Ok(items)
}

/// One level: the elements that `segments` lead to in `text`, which is a part of `body`.
fn descend(
    body: &Bytes,
    text: &str,
    segments: &[String],
    limit: usize,
    parent: Option<&Rc<Item>>,
    items: &mut Vec<Item>,
) -> Result<(), SplitError> {
    let item = |raw: &str| Item {
        parent: parent.cloned(),
        ..Item::new(
            Some(body.slice_ref(raw.as_bytes())),
            Some(JSON.to_owned()),
            Form::Json,
        )
    };
    match follow(text, segments, limit).map_err(|_| SplitError::Malformed)? {
        Found::TooMany => return Err(SplitError::TooMany),
        Found::Elements(elements) => items.extend(elements.iter().map(|raw| item(raw.get()))),
        Found::Object => {
            let object = locate(text, segments).map_err(|_| SplitError::Malformed)?;
            items.push(item(object.unwrap_or(text)));
        }
        Found::Other => items.push(item(text).misled()),
    }
    Ok(())
}
