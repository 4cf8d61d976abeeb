//! Tries out, before anything is sent, what depends on nothing but the customer and the app: so that
//! a field that is missing or leads to a host that is not allowed is found where it is declared.

use std::cell::RefCell;

use jiff::Timestamp;
use url::Url;

use super::{Body, Program, RenderError, Request};
use crate::expression::{EvaluationError, Mask, Placeholder, References, Template};
use crate::provision::Inputs;
use crate::provision::render::budget;
use crate::provision::variables::{Purpose, Values};

impl Program {
    /// Why some request can never be made for this customer; the first reason in the order in which
    /// requests are sent. Holds nothing of the values.
    ///
    /// # Errors
    /// What is missing, or cannot stand in its place.
    pub fn try_out(&self, inputs: &Inputs) -> Result<(), RenderError> {
        let values = Values {
            inputs,
            known: None,
            access_token: None,
            now: Timestamp::UNIX_EPOCH,
            answer: None,
            purpose: Purpose::Sent,
        };
        if let Some(credentials) = &self.credentials {
            self.try_request(&credentials.request, "credentials.request", &values)?;
        }
        for exchange in self.exchanges() {
            let place = match exchange.place.as_str() {
                "request" => "request".to_owned(),
                place => format!("{place}.request"),
            };
            self.try_request(&exchange.request, &place, &values)?;
        }
        if let Some(lookup) = &self.lookup {
            self.try_request(&lookup.request, "lookup.request", &values)?;
        }
        Ok(())
    }

    fn try_request(
        &self,
        request: &Request,
        place: &str,
        values: &Values<'_>,
    ) -> Result<(), RenderError> {
        let Request {
            method: _,
            url,
            query,
            headers,
            body,
            idempotent: _,
        } = request;
        let attempt = Attempt::default();
        let found = |field: &str| match attempt.error.take() {
            Some(error) => Err(RenderError::Value {
                field: format!("{place}.{field}"),
                error,
            }),
            None => Ok(()),
        };
        url.render_masked(values, &mut budget(), &attempt);
        found("url")?;
        if url.placeholders().all(|one| is_known(one.references())) {
            let text =
                url.render_text(values, &mut budget())
                    .map_err(|error| RenderError::Value {
                        field: format!("{place}.url"),
                        error,
                    })?;
            let url = Url::parse(&text).map_err(|_| RenderError::NotAUrl)?;
            self.hosts.check(&url)?;
        }
        let try_texts = |field: &str, templates: &[(String, Template)]| {
            for (name, template) in templates {
                template.render_masked_texts(values, &mut budget(), &attempt);
                found(&format!("{field}.{name}"))?;
            }
            Ok(())
        };
        try_texts("query", query)?;
        for (name, template) in headers {
            template.render_masked(values, &mut budget(), &attempt);
            found(&format!("headers.{name}"))?;
        }
        match body {
            Body::None => Ok(()),
            Body::Json(tree) => {
                tree.render_masked(values, &mut budget(), &attempt);
                found("body")
            }
            Body::Form(form) => try_texts("form", form),
            Body::Text(text) => {
                text.render_masked(values, &mut budget(), &attempt);
                found("text")
            }
        }
    }
}

/// Whether everything that is named is known before there is a registration.
fn is_known(references: &References) -> bool {
    references.paths().all(|path| {
        matches!(
            path.first().map(AsRef::as_ref),
            Some("customer" | "app" | "eventType")
        )
    })
}

/// Evaluates what is known, and keeps the first error.
#[derive(Default)]
struct Attempt {
    error: RefCell<Option<EvaluationError>>,
}

impl Mask for Attempt {
    fn instead_of(&self, placeholder: &Placeholder) -> Option<String> {
        (!is_known(placeholder.references())).then(String::new)
    }

    fn failed(&self, _: &Placeholder, error: &EvaluationError) -> String {
        self.error.borrow_mut().get_or_insert_with(|| error.clone());
        String::new()
    }
}
