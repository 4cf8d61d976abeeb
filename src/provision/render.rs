//! From a compiled request and the values of a moment to what is sent, to how that is shown, and to
//! what tells a changed request from the same one.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;
use url::Url;

use super::known::Known;
use super::mask::{MASK, Masker, cut, token};
use super::program::{Body, Program, RenderError, Request, SecretPaths};
use super::variables::{Purpose, Values, signing_field, whole_seconds};
use super::{Inputs, RequestKind};
use crate::api::SentRequest;
use crate::configuration::Sensitive;
use crate::expression::{Budget, EvaluationError, Mask, Placeholder};

/// Longest body that is sent. No known app takes a longer one to make a registration.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;

/// What each template may read and make: as on the request path, for the longest body there is.
pub(super) fn budget() -> Budget {
    Budget::for_body_limit(MAX_BODY_BYTES as u64)
}

/// Headers that are shown; a status holds no more.
pub(super) const SHOWN_HEADERS: usize = 64;

/// A request, ready to be sent. `Debug` shows its masked form only.
#[derive(Clone)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// The URL, its host among those that are allowed.
    pub url: Url,
    /// The headers that the type declares, and `Content-Type` where there is a body.
    pub headers: HeaderMap,
    /// The body; empty where there is none.
    pub body: Bytes,
    /// How it is shown to people: nothing in it is sensitive.
    pub shown: SentRequest,
    /// Whether sending it twice does what sending it once does.
    pub idempotent: bool,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.fmt(formatter)
    }
}

/// The request for an access token.
#[derive(Clone, Debug)]
pub struct CredentialsRequest {
    /// The request.
    pub outgoing: Outgoing,
    /// What tells this request from another: tokens are cached under it. It is a hash, and says
    /// nothing about what is in the request.
    pub cache_key: String,
}

impl Program {
    /// Whether requests need an access token first.
    #[must_use]
    pub fn needs_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// Makes a request about a registration.
    ///
    /// # Errors
    /// When a value is missing or cannot stand in its place, or the URL leads where it may not.
    pub fn render(
        &self,
        kind: &RequestKind,
        inputs: &Inputs,
        known: &Known<'_>,
        access_token: Option<&Sensitive>,
        now: Timestamp,
    ) -> Result<Outgoing, RenderError> {
        let values = sent_values(inputs, known, access_token, now);
        let (request, place, page) = self.request(kind)?;
        self.outgoing(request, &place, &values, page)
    }

    /// Where a request about a registration goes: nowhere, unless it can be made.
    ///
    /// # Errors
    /// As [`Self::render`], which costs several times as much.
    pub fn url(
        &self,
        kind: &RequestKind,
        inputs: &Inputs,
        known: &Known<'_>,
        access_token: Option<&Sensitive>,
        now: Timestamp,
    ) -> Result<Url, RenderError> {
        let values = sent_values(inputs, known, access_token, now);
        let (request, place, page) = self.request(kind)?;
        Ok(self.sent(request, &place, &values, page)?.url)
    }

    /// A request as it is declared, where that is, and the page that a lookup goes on with.
    fn request<'a>(
        &'a self,
        kind: &'a RequestKind,
    ) -> Result<(&'a Request, String, Option<&'a str>), RenderError> {
        if let RequestKind::Lookup(page) = kind {
            let lookup = self.lookup.as_ref().ok_or(RenderError::NoSuchRequest)?;
            let place = "lookup.request".to_owned();
            return Ok((&lookup.request, place, page.as_deref()));
        }
        let exchange = self.exchange(kind).ok_or(RenderError::NoSuchRequest)?;
        let place = match kind {
            RequestKind::Subscribe => "request".to_owned(),
            _ => format!("{}.request", exchange.place),
        };
        Ok((&exchange.request, place, None))
    }

    /// Makes the request for an access token; `None` where none is declared.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_credentials(
        &self,
        inputs: &Inputs,
        now: Timestamp,
    ) -> Result<Option<CredentialsRequest>, RenderError> {
        let Some(credentials) = &self.credentials else {
            return Ok(None);
        };
        let values = Values {
            inputs,
            known: None,
            access_token: None,
            now,
            answer: None,
            purpose: Purpose::Sent,
        };
        let place = "credentials.request";
        let outgoing = self.outgoing(&credentials.request, place, &values, None)?;
        // A time in the request does not make it another.
        let timeless = Values {
            now: Timestamp::UNIX_EPOCH,
            ..values
        };
        let timeless = self.outgoing(&credentials.request, place, &timeless, None)?;
        let mut hash = Hash::new();
        hash.part(timeless.method.as_str().as_bytes());
        hash.part(timeless.url.as_str().as_bytes());
        for (name, value) in &timeless.headers {
            hash.part(name.as_str().as_bytes());
            hash.part(value.as_bytes());
        }
        hash.part(&timeless.body);
        Ok(Some(CredentialsRequest {
            outgoing,
            cache_key: hash.finish(),
        }))
    }

    /// What tells a changed request from the same one: see [`super::Desired::request_hash`].
    #[must_use]
    pub fn request_hash(&self, inputs: &Inputs) -> String {
        let values = Values {
            inputs,
            known: None,
            access_token: None,
            now: Timestamp::UNIX_EPOCH,
            answer: None,
            purpose: Purpose::Compared,
        };
        let mut hash = Hash::new();
        for exchange in [&self.subscribe].into_iter().chain(&self.follow_ups) {
            let request = &exchange.request;
            hash.part(request.method.as_str().as_bytes());
            let url = request.url.render_masked(&values, &mut budget(), &BySource);
            hash.part(url.as_bytes());
            hash.pairs(&masked_pairs(&request.query, &values, &BySource));
            match &request.body {
                Body::None => hash.part(b"none"),
                Body::Json(tree) => {
                    hash.part(b"body");
                    let tree = tree.render_masked(&values, &mut budget(), &BySource);
                    hash.part(tree.to_string().as_bytes());
                }
                Body::Form(form) => {
                    hash.part(b"form");
                    hash.pairs(&masked_pairs(form, &values, &BySource));
                }
                Body::Text(text) => {
                    hash.part(b"text");
                    let text = text.render_masked(&values, &mut budget(), &BySource);
                    hash.part(text.as_bytes());
                }
            }
        }
        hash.finish()
    }

    fn outgoing(
        &self,
        request: &Request,
        place: &str,
        values: &Values<'_>,
        page: Option<&str>,
    ) -> Result<Outgoing, RenderError> {
        let sent = self.sent(request, place, values, page)?;
        let paths = self.secret_paths(values.inputs);
        Ok(Outgoing {
            shown: shown(request, values, &paths, page, sent.content_type),
            method: request.method.clone(),
            url: sent.url,
            headers: sent.headers,
            body: sent.body,
            idempotent: request.idempotent,
        })
    }

    fn sent(
        &self,
        request: &Request,
        place: &str,
        values: &Values<'_>,
        page: Option<&str>,
    ) -> Result<Sent, RenderError> {
        let url = match page {
            Some(page) => Url::parse(page).map_err(|_| RenderError::NotAUrl)?,
            None => sent_url(request, place, values)?,
        };
        if !matches!(url.scheme(), "http" | "https")
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(RenderError::NotAUrl);
        }
        self.hosts.check(&url)?;
        let (body, content_type) = sent_body(&request.body, place, values)?;
        if body.len() > MAX_BODY_BYTES {
            return Err(RenderError::TooLong);
        }
        let mut headers = sent_headers(request, place, values)?;
        if let Some(content_type) = content_type {
            headers
                .entry(header::CONTENT_TYPE)
                .or_insert(HeaderValue::from_static(content_type));
        }
        Ok(Sent {
            url,
            headers,
            body,
            content_type,
        })
    }
}

/// What goes over the network.
struct Sent {
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    /// What is in the body, where there is one.
    content_type: Option<&'static str>,
}

fn sent_values<'a>(
    inputs: &'a Inputs,
    known: &'a Known<'a>,
    access_token: Option<&'a Sensitive>,
    now: Timestamp,
) -> Values<'a> {
    Values {
        inputs,
        known: Some(known),
        access_token,
        now,
        answer: None,
        purpose: Purpose::Sent,
    }
}

/// What replaces everything that is known to be secret of a registration.
#[must_use]
pub fn masker(inputs: &Inputs, known: &Known<'_>, access_token: Option<&Sensitive>) -> Masker {
    Masker::new(known_secrets(inputs, Some(known), access_token))
}

/// The secrets that are known of a registration, and the tokens of its URIs.
pub(super) fn known_secrets<'a>(
    inputs: &'a Inputs,
    known: Option<&Known<'a>>,
    access_token: Option<&'a Sensitive>,
) -> Vec<&'a [u8]> {
    let customer = inputs.customer.as_ref().map(|customer| &customer.fields);
    let fields = customer.into_iter().chain([&inputs.app]);
    let mut secrets: Vec<&[u8]> = fields
        .flat_map(|fields| fields.sensitive.values())
        .chain(access_token)
        .chain(signing_field(inputs))
        .chain(known.and_then(|known| known.signing_secret))
        .map(Sensitive::expose)
        .collect();
    let uris = [
        known.and_then(|known| known.webhook_uri),
        known.and_then(|known| known.global_webhook_uri),
        inputs.global_webhook_path.as_deref(),
    ];
    secrets.extend(
        uris.into_iter()
            .flatten()
            .filter_map(token)
            .map(str::as_bytes),
    );
    secrets
}

fn failed(place: &str, field: &str, error: EvaluationError) -> RenderError {
    RenderError::Value {
        field: format!("{place}.{field}"),
        error,
    }
}

/// The URL with the query appended to its own.
fn sent_url(request: &Request, place: &str, values: &Values<'_>) -> Result<Url, RenderError> {
    let text = request
        .url
        .render_text(values, &mut budget())
        .map_err(|error| failed(place, "url", error))?;
    let mut url = Url::parse(&text).map_err(|_| RenderError::NotAUrl)?;
    // Nothing of a value may be cut off silently.
    if url.fragment().is_some() {
        return Err(RenderError::NotAUrl);
    }
    let pairs = sent_pairs(&request.query, place, "query", values)?;
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    Ok(url)
}

fn sent_pairs<'r>(
    templates: &'r [(String, crate::expression::Template)],
    place: &str,
    field: &str,
    values: &Values<'_>,
) -> Result<Vec<(&'r str, String)>, RenderError> {
    let mut pairs = Vec::new();
    for (name, template) in templates {
        let texts = template
            .render_texts(values, &mut budget())
            .map_err(|error| failed(place, &format!("{field}.{name}"), error))?;
        pairs.extend(texts.into_iter().map(|text| (name.as_str(), text)));
    }
    Ok(pairs)
}

fn sent_headers(
    request: &Request,
    place: &str,
    values: &Values<'_>,
) -> Result<HeaderMap, RenderError> {
    let mut headers = HeaderMap::new();
    for (name, template) in &request.headers {
        let field = format!("headers.{name}");
        let text = template
            .render_text(values, &mut budget())
            .map_err(|error| failed(place, &field, error))?;
        let mut value =
            HeaderValue::from_bytes(text.as_bytes()).map_err(|_| RenderError::Header {
                field: format!("{place}.{field}"),
            })?;
        // Whoever logs headers sees nothing of any that a value is in.
        value.set_sensitive(template.as_literal().is_none());
        headers.insert(name.clone(), value);
    }
    Ok(headers)
}

fn sent_body(
    body: &Body,
    place: &str,
    values: &Values<'_>,
) -> Result<(Bytes, Option<&'static str>), RenderError> {
    Ok(match body {
        Body::None => (Bytes::new(), None),
        Body::Json(tree) => {
            let tree = tree
                .render(values, &mut budget())
                .map_err(|error| failed(place, "body", error))?;
            (tree.to_string().into(), Some("application/json"))
        }
        Body::Form(form) => {
            let pairs = sent_pairs(form, place, "form", values)?;
            let body = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(pairs)
                .finish();
            (body.into(), Some("application/x-www-form-urlencoded"))
        }
        Body::Text(text) => {
            let text = text
                .render_text(values, &mut budget())
                .map_err(|error| failed(place, "text", error))?
                .into_owned();
            (text.into(), Some("text/plain; charset=utf-8"))
        }
    })
}

/// How the request looks with everything sensitive replaced: by its origin, and then, because the
/// same value may have come another way, wherever it still stands.
fn shown(
    request: &Request,
    values: &Values<'_>,
    paths: &SecretPaths,
    page: Option<&str>,
    content_type: Option<&'static str>,
) -> SentRequest {
    let values = Values {
        purpose: Purpose::Shown,
        ..*values
    };
    let mask = ByOrigin(paths);
    let masker = Masker::new(known_secrets(
        values.inputs,
        values.known,
        values.access_token,
    ));
    let url = match page {
        Some(page) => masker.url(page),
        None => {
            let mut url = request.url.render_masked(&values, &mut budget(), &mask);
            for (name, text) in masked_pairs(&request.query, &values, &mask) {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.extend(form_urlencoded::byte_serialize(name.as_bytes()));
                url.push('=');
                url.extend(form_urlencoded::byte_serialize(text.as_bytes()));
            }
            masker.text(&url)
        }
    };
    let mut headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, template)| {
            let value = template.render_masked(&values, &mut budget(), &mask);
            (name.to_string(), cut(masker.text(&value)))
        })
        .collect();
    if let Some(content_type) = content_type
        && !headers.iter().any(|(name, _)| name == "content-type")
    {
        headers.push(("content-type".to_owned(), content_type.to_owned()));
    }
    headers.truncate(SHOWN_HEADERS);
    let body = match &request.body {
        Body::None => None,
        Body::Json(tree) => Some(
            tree.render_masked(&values, &mut budget(), &mask)
                .to_string(),
        ),
        Body::Form(form) => Some(
            form_urlencoded::Serializer::new(String::new())
                .extend_pairs(masked_pairs(form, &values, &mask))
                .finish(),
        ),
        Body::Text(text) => Some(text.render_masked(&values, &mut budget(), &mask)),
    };
    SentRequest {
        method: request.method.to_string(),
        url: cut(url),
        headers: headers.into_iter().collect(),
        body: body.map(|body| cut(masker.text(&body))),
        sent_at: whole_seconds(values.now).to_string(),
    }
}

fn masked_pairs<'r>(
    templates: &'r [(String, crate::expression::Template)],
    values: &Values<'_>,
    mask: &dyn Mask,
) -> Vec<(&'r str, String)> {
    templates
        .iter()
        .flat_map(|(name, template)| {
            let texts = template.render_masked_texts(values, &mut budget(), mask);
            texts.into_iter().map(|text| (name.as_str(), text))
        })
        .collect()
}

/// Replaces what an expression made of something sensitive, whole.
struct ByOrigin<'a>(&'a SecretPaths);

impl Mask for ByOrigin<'_> {
    fn instead_of(&self, placeholder: &Placeholder) -> Option<String> {
        self.0
            .touched_by(placeholder.references())
            .then(|| MASK.to_owned())
    }

    fn failed(&self, _: &Placeholder, _: &EvaluationError) -> String {
        MASK.to_owned()
    }
}

/// Takes every value that can be had without knowing what changes by itself; where an expression
/// cannot do with what stands for that, the expression's own text tells it from another.
struct BySource;

impl Mask for BySource {
    fn instead_of(&self, _: &Placeholder) -> Option<String> {
        None
    }

    fn failed(&self, placeholder: &Placeholder, _: &EvaluationError) -> String {
        format!("$({})", placeholder.source())
    }
}

/// A hash over parts, each with its length, so that no two lists of parts look the same.
struct Hash(Context);

impl Hash {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn pairs(&mut self, pairs: &[(&str, String)]) {
        self.part(&(pairs.len() as u64).to_be_bytes());
        for (name, text) in pairs {
            self.part(name.as_bytes());
            self.part(text.as_bytes());
        }
    }

    fn finish(self) -> String {
        hex::encode(self.0.finish())
    }
}
