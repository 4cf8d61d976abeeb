//! The CRM's API: which request does what.
//!
//! Below `/tenants/<tenant>`, each with `Authorization: Bearer <the tenant's token>`:
//!
//! | request | does |
//! |---|---|
//! | `POST /api/v2/webhooks` `{target, event, secret, handshake}` | registers a webhook; with `handshake: true` the target must first repeat a challenge |
//! | `GET /api/v2/webhooks?after=wh_2` | lists webhooks, a page at a time |
//! | `PATCH /api/v2/webhooks/wh_1` | lets one last for another lifetime |
//! | `DELETE /api/v2/webhooks/wh_1` | removes one |
//! | `POST /contacts` `{email, …}` | creates a contact, and sends `contact.created` to the webhooks |

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::clock::{now, rfc3339};
use super::courier::{Courier, Parcel};
use super::hmac::is_same;
use super::http::{Answer, Request, Target};
use super::json::Json;
use super::random::random;
use super::webhooks::{Refusal, Sent, Webhook, Webhooks};

/// Webhooks on one page of a list: few, so that the second page is soon reached.
const PAGE: usize = 2;

/// The kind of event that there is.
const EVENT: &str = "contact.created";

/// The whole app.
#[derive(Debug)]
pub struct Crm {
    /// The URL that it is reached at, without a slash at its end.
    pub url: String,
    /// How long a webhook lasts, in seconds.
    pub lifetime: u64,
    /// The tenants' tokens.
    pub tokens: BTreeMap<String, String>,
    pub tenants: Mutex<BTreeMap<String, Tenant>>,
    pub courier: Courier,
}

/// What is kept of a tenant.
#[derive(Debug, Default)]
pub struct Tenant {
    webhooks: Webhooks,
    contacts: u64,
}

impl Crm {
    /// Does what a request asks for.
    pub fn answer(&self, request: &Request) -> Answer {
        let mut path = request.path.split('/').skip(1);
        let (Some("tenants"), Some(tenant)) = (path.next(), path.next()) else {
            return Answer::error(404, "there is nothing here; see /tenants/<tenant>/contacts");
        };
        // An unknown tenant is told like a wrong token, so that nobody can try names out.
        let token = request.header("authorization").unwrap_or_default();
        let token = token.strip_prefix("Bearer ").unwrap_or_default();
        match self.tokens.get(tenant) {
            Some(expected) if is_same(token, expected) => {}
            _ => return Answer::error(401, "the tenant's token is missing or wrong"),
        }
        let path: Vec<&str> = path.collect();
        match (request.method.as_str(), path.as_slice()) {
            ("POST", ["api", "v2", "webhooks"]) => self.register(tenant, request),
            ("GET", ["api", "v2", "webhooks"]) => self.list(tenant, request),
            ("PATCH", ["api", "v2", "webhooks", id]) => self.renew(tenant, id),
            ("DELETE", ["api", "v2", "webhooks", id]) => self.remove(tenant, id),
            ("POST", ["contacts"]) => self.create_contact(tenant, request),
            (_, ["api", "v2", "webhooks", ..] | ["contacts"]) => {
                Answer::error(405, "this cannot be done here")
            }
            _ => Answer::error(404, "there is nothing here"),
        }
    }

    /// Takes note of what became of sending an event; whether its webhook still wants events.
    pub fn note(&self, parcel: &Parcel, sent: Sent) -> bool {
        self.with(&parcel.tenant, |tenant| {
            if tenant.webhooks.note(&parcel.webhook.id, sent) {
                println!("{}: {} is disabled", parcel.tenant, parcel.webhook.id);
            }
            let webhook = tenant.webhooks.get(&parcel.webhook.id);
            webhook.is_some_and(|webhook| webhook.is_active)
        })
    }

    fn register(&self, name: &str, request: &Request) -> Answer {
        let body = match Json::parse(&request.body) {
            Ok(body) => body,
            Err(error) => return Answer::error(400, &error),
        };
        let (Some(target), Some(event), Some(secret)) = (
            body.get_text("target"),
            body.get_text("event"),
            body.get_text("secret"),
        ) else {
            return Answer::error(422, "target, event and secret must be texts");
        };
        let Some(url) = Target::parse(target) else {
            return Answer::error(422, "target must be an http:// URL");
        };
        if event != EVENT {
            return Answer::error(422, "the only event is contact.created");
        }
        if secret.len() < 16 {
            return Answer::error(422, "secret must have at least 16 characters");
        }
        // Asked before the handshake so that a repeated request costs the target nothing, and
        // once more when it is registered, because others may have been quicker.
        let refused = self.with(name, |tenant| tenant.webhooks.may_register(target, event));
        if let Err(refusal) = refused {
            return refuse(&refusal);
        }
        if body.get("handshake") == Some(&Json::Bool(true)) && !shake_hands(&url) {
            return Answer::error(422, "target did not repeat the challenge");
        }
        let expires = now() + self.lifetime;
        let registered = self.with(name, |tenant| {
            tenant.webhooks.register(target, event, secret, expires)
        });
        match registered {
            Ok(webhook) => {
                println!("{name}: {} is registered", webhook.id);
                Answer::json(201, &Json::object([("data", webhook.json())]))
            }
            Err(refusal) => refuse(&refusal),
        }
    }

    fn list(&self, name: &str, request: &Request) -> Answer {
        self.with(name, |tenant| {
            let (page, next) = tenant.webhooks.page(request.parameter("after"), PAGE);
            let next = next.map_or(Json::Null, |after| {
                let url = &self.url;
                Json::Text(format!(
                    "{url}/tenants/{name}/api/v2/webhooks?after={after}"
                ))
            });
            let data = Json::List(page.iter().map(Webhook::json).collect());
            Answer::json(200, &Json::object([("data", data), ("next", next)]))
        })
    }

    fn renew(&self, name: &str, id: &str) -> Answer {
        let expires = now() + self.lifetime;
        self.with(name, |tenant| match tenant.webhooks.renew(id, expires) {
            Some(webhook) => {
                println!("{name}: {id} is renewed");
                Answer::json(200, &Json::object([("data", webhook.json())]))
            }
            None => Answer::error(404, "there is no such webhook"),
        })
    }

    fn remove(&self, name: &str, id: &str) -> Answer {
        if self.with(name, |tenant| tenant.webhooks.remove(id)) {
            println!("{name}: {id} is removed");
            Answer::empty(204)
        } else {
            Answer::error(404, "there is no such webhook")
        }
    }

    fn create_contact(&self, name: &str, request: &Request) -> Answer {
        let members = match Json::parse(&request.body) {
            Ok(Json::Object(members)) => members,
            Ok(_) => return Answer::error(422, "a contact is an object"),
            Err(error) => return Answer::error(400, &error),
        };
        let mut contact = Json::Object(members);
        if contact.get_text("email").is_none() {
            return Answer::error(422, "email must be a text");
        }
        let (id, webhooks) = self.with(name, |tenant| {
            tenant.contacts += 1;
            (tenant.contacts, tenant.webhooks.of(EVENT))
        });
        if let Json::Object(members) = &mut contact {
            members.retain(|(member, _)| member != "id");
            members.insert(0, ("id".to_owned(), Json::Text(format!("c_{id}"))));
        }
        let event_id = format!("evt_{}", random());
        let event = Json::object([
            ("eventId", Json::text(&event_id)),
            ("type", Json::text(EVENT)),
            ("createdAt", Json::text(&rfc3339(now()))),
            ("contact", contact.clone()),
        ])
        .to_string();
        let parcels = webhooks
            .into_iter()
            .map(|webhook| Parcel::new(name, webhook, &event_id, &event));
        self.courier.take(parcels.collect());
        Answer::json(201, &Json::object([("data", contact)]))
    }

    fn with<T>(&self, name: &str, does: impl FnOnce(&mut Tenant) -> T) -> T {
        let mut tenants = self.tenants();
        let tenant = tenants.entry(name.to_owned()).or_default();
        tenant.webhooks.expire(now());
        does(tenant)
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<String, Tenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse(refusal: &Refusal) -> Answer {
    match refusal {
        Refusal::Exists => Answer::error(409, "there is such a webhook already"),
        Refusal::TooMany => Answer::error(422, "there are too many webhooks"),
    }
}

/// Asks the target to repeat a challenge, so that nobody can have events sent to a stranger.
fn shake_hands(target: &Target<'_>) -> bool {
    let challenge = random();
    let answer = target.send("GET", &format!("challenge={challenge}"), &[], "");
    matches!(answer, Ok((200..300, body)) if body.trim() == challenge)
}
