//! Compiles one request.

use std::collections::BTreeMap;

use http::{HeaderName, Method, header};

use super::Builder;
use crate::api::{FieldPath, OutgoingRequest, Template as TemplateText};
use crate::expression::{Position, Scope, Target, Template};
use crate::provision::program::{Body, Request};
use crate::provision::variables::Place;

impl Builder<'_> {
    /// A request at `field`, below the subscription.
    pub(super) fn request(
        &mut self,
        field: &str,
        spec: &OutgoingRequest,
        place: Place,
    ) -> Option<Request> {
        let OutgoingRequest {
            method: _,
            url,
            query,
            headers,
            body,
            form,
            text,
            idempotent: _,
        } = spec;
        let path = self.below(field);
        let scope = self.names.scope(place);
        let method = Method::from_bytes(spec.method().as_bytes());
        if method.is_err() {
            let message = "this is no HTTP method";
            self.compiler.error(&path.field("method"), message);
        }
        let url_path = path.field("url");
        let url = self
            .compiler
            .template(&url_path, url, &scope, Position::Url);
        if let Some(target) = url.as_ref().and_then(Template::target) {
            match target {
                Target::Any => self.open_hosts.push((url_path, true)),
                Target::Host { .. } => self.open_hosts.push((url_path, false)),
                Target::Origin(_) => {}
            }
            self.hosts.learn(&target);
        }
        let query = self.templates(&path.field("query"), query, &scope, Position::Query);
        let headers = self.headers(&path.field("headers"), headers, &scope, place);
        let bodies = [body.is_some(), !form.is_empty(), text.is_some()];
        if bodies.iter().filter(|there| **there).count() > 1 {
            self.compiler
                .error(&path, "write at most one of body, form and text");
        }
        let body = match (body, text) {
            (Some(tree), _) => self
                .compiler
                .tree(&path.field("body"), tree, &scope)
                .map(Body::Json),
            (None, Some(text)) => self
                .compiler
                .template(&path.field("text"), text, &scope, Position::Text)
                .map(Body::Text),
            (None, None) if form.is_empty() => Some(Body::None),
            (None, None) => {
                let form = self.templates(&path.field("form"), form, &scope, Position::Form);
                Some(Body::Form(form))
            }
        };
        Some(Request {
            method: method.ok()?,
            url: url?,
            query,
            headers,
            body: body?,
            idempotent: spec.idempotent(),
        })
    }

    fn templates(
        &mut self,
        path: &FieldPath,
        templates: &BTreeMap<String, TemplateText>,
        scope: &Scope,
        position: Position,
    ) -> Vec<(String, Template)> {
        let mut compiled = Vec::new();
        for (name, source) in templates {
            let path = path.field(name);
            self.compiler.literal(&path, name);
            let template = self.compiler.template(&path, source, scope, position);
            compiled.extend(template.map(|template| (name.clone(), template)));
        }
        compiled
    }

    /// The headers of a request, its own and those of `defaults` that it does not have.
    fn headers(
        &mut self,
        path: &FieldPath,
        own: &BTreeMap<String, TemplateText>,
        scope: &Scope,
        place: Place,
    ) -> Vec<(HeaderName, Template)> {
        let mut compiled: Vec<(HeaderName, Template)> = Vec::new();
        for (name, source) in own {
            let path = path.field(name);
            let Some(name) = self.header_name(&path, name) else {
                continue;
            };
            if compiled.iter().any(|(other, _)| *other == name) {
                let message = "this header is written twice, in different cases";
                self.compiler.error(&path, message);
            }
            let template = self
                .compiler
                .template(&path, source, scope, Position::Header);
            compiled.extend(template.map(|template| (name, template)));
        }
        if place == Place::Credentials {
            return compiled;
        }
        let path = self.path.field("defaults").field("headers");
        for (written, source) in &self.subscription.defaults.headers {
            if own.keys().any(|other| other.eq_ignore_ascii_case(written))
                || self.reported_defaults.contains(written)
            {
                continue;
            }
            let path = path.field(written);
            let name = self.header_name(&path, written);
            let template = self
                .compiler
                .template(&path, source, scope, Position::Header);
            match (name, template) {
                (Some(name), Some(template)) => compiled.push((name, template)),
                _ => {
                    self.reported_defaults.insert(written.clone());
                }
            }
        }
        compiled
    }

    fn header_name(&mut self, path: &FieldPath, name: &str) -> Option<HeaderName> {
        const OF_THE_CONNECTION: [HeaderName; 7] = [
            header::CONNECTION,
            header::CONTENT_LENGTH,
            header::HOST,
            header::TE,
            header::TRAILER,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
        ];
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => {
                self.compiler.error(path, "this is no name of a header");
                None
            }
            Ok(name) if OF_THE_CONNECTION.contains(&name) || name == "keep-alive" => {
                let message = "this header belongs to the connection and cannot be declared";
                self.compiler.error(path, message);
                None
            }
            Ok(name) => Some(name),
        }
    }
}
