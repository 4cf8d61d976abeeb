//! The lists of the admin API: `{"items": […], "next": …}`, at most 1,000 a page.
//!
//! Names are written `namespace/name`, as `kubectl` writes them. Payloads are shown for one dead
//! letter at a time and nowhere else.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use base64::Engine as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::problem::Problem;
use super::super::snapshot::ServedType;
use super::shown::{ShownEvent, ShownLetter, is_json};
use super::{Admin, refused};
use crate::delivery::dead_letters::{self, DeadLetterId};
use crate::delivery::{Cursor, EventQuery, ReplayRequest};
use crate::event::{ObjectName, ReasonCode};

/// Items of one page at most, and how many it has where nothing is asked for.
const MOST: usize = 1_000;
const USUAL: usize = 100;

/// What can be asked of a list. Parts that do not go with a list are refused there.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Asked {
    limit: Option<usize>,
    after: Option<String>,
    event_type: Option<String>,
    subscription: Option<String>,
    customer: Option<String>,
    id: Option<String>,
    reason: Option<String>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    order: Option<Order>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Newest,
    Oldest,
}

type AskedQuery = Result<Query<Asked>, QueryRejection>;

/// One page of a list.
#[derive(Debug, Serialize)]
struct Page<Item> {
    items: Vec<Item>,
    next: Option<String>,
}

/// A refusal of what was asked, to be returned with `?`.
pub struct Unanswerable(Problem);

impl Unanswerable {
    /// 400 with a sentence.
    pub fn asked(detail: impl Into<String>) -> Self {
        Self(Problem::new(StatusCode::BAD_REQUEST, detail.into()))
    }

    fn absent(detail: &'static str) -> Self {
        Self(Problem::new(StatusCode::NOT_FOUND, detail))
    }

    /// 503: reading or storing failed; the message is ours.
    pub fn failed(error: impl fmt::Display) -> Self {
        tracing::error!(%error, "the admin API could not answer");
        Self(Problem::unavailable(
            "the storage could not be read or written; see the log",
        ))
    }
}

impl IntoResponse for Unanswerable {
    fn into_response(self) -> Response {
        refused(self.0)
    }
}

impl Asked {
    fn read(query: AskedQuery) -> Result<Self, Unanswerable> {
        match query {
            Ok(Query(asked)) => Ok(asked),
            Err(rejection) => Err(Unanswerable::asked(rejection.body_text())),
        }
    }

    fn limit(&self) -> usize {
        self.limit.unwrap_or(USUAL).clamp(1, MOST)
    }

    fn after<T: FromStr>(&self) -> Result<Option<T>, Unanswerable> {
        let parse = |text: &String| {
            text.parse()
                .map_err(|_| Unanswerable::asked("`after` is not what a list gave as `next`"))
        };
        self.after.as_ref().map(parse).transpose()
    }

    /// The page that was asked for of a list that is in memory as a whole, ordered by name; and
    /// the name behind which the next page begins.
    fn page<Item>(
        &self,
        all: Vec<Item>,
        name: impl Fn(&Item) -> &ObjectName,
    ) -> Result<(Vec<Item>, Option<String>), Unanswerable> {
        let after = optional_name(self.after.as_ref())?;
        let mut rest = all
            .into_iter()
            .skip_while(|item| after.as_ref().is_some_and(|after| name(item) <= after));
        let items: Vec<Item> = rest.by_ref().take(self.limit()).collect();
        let next = items.last().map(|last| name(last).to_string());
        Ok((items, rest.next().and(next)))
    }

    /// Refuses parts that the list at hand would ignore.
    fn only(&self, list: &str, allowed: &[&str]) -> Result<(), Unanswerable> {
        let Self {
            limit: _,
            after: _,
            event_type,
            subscription,
            customer,
            id,
            reason,
            from,
            until,
            order,
        } = self;
        let given = [
            ("eventType", event_type.is_some()),
            ("subscription", subscription.is_some()),
            ("customer", customer.is_some()),
            ("id", id.is_some()),
            ("reason", reason.is_some()),
            ("from", from.is_some()),
            ("until", until.is_some()),
            ("order", order.is_some()),
        ];
        match given
            .iter()
            .find(|(name, given)| *given && !allowed.contains(name))
        {
            Some((name, _)) => Err(Unanswerable::asked(format!(
                "the list of {list} cannot be asked for `{name}`"
            ))),
            None => Ok(()),
        }
    }
}

/// Reads `namespace/name`.
pub fn object_name(text: &str) -> Result<ObjectName, Unanswerable> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(ObjectName::new(namespace, name))
        }
        _ => Err(Unanswerable::asked("write names as namespace/name")),
    }
}

fn optional_name(text: Option<&String>) -> Result<Option<ObjectName>, Unanswerable> {
    text.map(|text| object_name(text)).transpose()
}

/// `/v1/requests`: the newest first.
pub async fn requests(
    State(admin): State<Arc<Admin>>,
    query: AskedQuery,
) -> Result<Response, Unanswerable> {
    let asked = Asked::read(query)?;
    asked.only("requests", &[])?;
    let page = admin.ingest.requests.page(asked.after()?, asked.limit());
    let items: Vec<_> = page.items.iter().map(|record| &**record).collect();
    let next = page.next.map(|next| next.to_string());
    Ok(Json(Page { items, next }).into_response())
}

/// `/v1/events`: the newest first, or with `order=oldest` the oldest.
pub async fn events(
    State(admin): State<Arc<Admin>>,
    query: AskedQuery,
) -> Result<Response, Unanswerable> {
    let asked = Asked::read(query)?;
    asked.only(
        "events",
        &[
            "eventType",
            "subscription",
            "customer",
            "id",
            "from",
            "until",
            "order",
        ],
    )?;
    let query = EventQuery {
        newest_first: !matches!(asked.order, Some(Order::Oldest)),
        after: asked.after::<Cursor>()?,
        limit: asked.limit(),
        select: ReplayRequest {
            subscription: optional_name(asked.subscription.as_ref())?,
            event_type: optional_name(asked.event_type.as_ref())?,
            customer: asked.customer,
            id: asked.id,
            from: asked.from,
            until: asked.until,
        },
    };
    let page = admin
        .delivery
        .events(query)
        .await
        .map_err(Unanswerable::failed)?;
    let items = page.items.iter().map(ShownEvent::new).collect();
    let next = page.next.map(|next| next.to_string());
    Ok(Json(Page::<ShownEvent> { items, next }).into_response())
}

/// `/v1/dead-letters`: the newest first.
pub async fn letters(
    State(admin): State<Arc<Admin>>,
    query: AskedQuery,
) -> Result<Response, Unanswerable> {
    let asked = Asked::read(query)?;
    asked.only(
        "dead letters",
        &["eventType", "subscription", "customer", "reason"],
    )?;
    let filter = dead_letters::Filter {
        event_type: optional_name(asked.event_type.as_ref())?,
        subscription: optional_name(asked.subscription.as_ref())?,
        customer: asked.customer.clone(),
        reason: asked.reason.as_deref().map(reason_code).transpose()?,
    };
    let page = dead_letters::PageRequest {
        after: asked.after::<DeadLetterId>()?,
        limit: asked.limit(),
    };
    let page = admin
        .dead_letters
        .list(filter, page)
        .await
        .map_err(Unanswerable::failed)?;
    let items: Vec<_> = page
        .items
        .iter()
        .map(|letter| {
            ShownLetter::new(
                letter.id,
                &letter.verdict,
                &letter.attributes,
                letter.data_bytes,
            )
        })
        .collect();
    let next = page.next.map(|next| next.to_string());
    Ok(Json(Page { items, next }).into_response())
}

/// `/v1/dead-letters/{id}`: one, with its payload.
pub async fn letter(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Response, Unanswerable> {
    let absent = || Unanswerable::absent("there is no dead letter of this id");
    let id: DeadLetterId = id.parse().map_err(|_| absent())?;
    let letter = admin
        .dead_letters
        .get(id)
        .await
        .map_err(Unanswerable::failed)?;
    let letter = letter.ok_or_else(absent)?;
    let data = letter.event.data.as_deref();
    let mut shown = ShownLetter::new(
        id,
        &letter.verdict,
        &letter.event.attributes,
        data.map(<[u8]>::len),
    );
    let json = is_json(letter.event.attributes.data_content_type.as_deref());
    if let Some(data) = data {
        // Not parsed and written again: what is shown are the bytes that came.
        shown.data = json
            .then(|| serde_json::from_slice::<&RawValue>(data).ok())
            .flatten();
        if shown.data.is_none() {
            shown.data_base64 = Some(base64::engine::general_purpose::STANDARD.encode(data));
        }
    }
    Ok(Json(&shown).into_response())
}

/// `/v1/subscriptions`: how it goes with each: first those of consumers, then those at apps.
pub async fn subscriptions(
    State(admin): State<Arc<Admin>>,
    query: AskedQuery,
) -> Result<Response, Unanswerable> {
    let asked = Asked::read(query)?;
    asked.only("subscriptions", &[])?;
    let after = asked.after::<AfterSubscription>()?;
    // One more than asked for tells whether there is a next page.
    let most = asked.limit() + 1;
    let mut items: Vec<(AfterSubscription, serde_json::Value)> = Vec::new();
    if after.as_ref().is_none_or(|after| !after.is_upstream) {
        let mut statuses = admin.delivery.status();
        statuses.sort_by(|one, other| one.name.cmp(&other.name));
        let rest = statuses
            .iter()
            .filter(|status| after.as_ref().is_none_or(|after| status.name > after.name));
        for status in rest.take(most) {
            let mut shown = serde_json::to_value(status).unwrap_or_default();
            if let Some(fields) = shown.as_object_mut() {
                fields.remove("name");
                fields.insert("kind".into(), "EventSubscription".into());
                fields.insert("subscription".into(), status.name.to_string().into());
            }
            let name = status.name.clone();
            let is_upstream = false;
            items.push((AfterSubscription { is_upstream, name }, shown));
        }
    }
    if let Some(upstream) = admin.upstream.get() {
        let after = after.filter(|after| after.is_upstream);
        let page = upstream.page(after.as_ref().map(|after| &after.name), most - items.len());
        let is_upstream = true;
        let page = page.into_iter();
        items.extend(page.map(|(name, shown)| (AfterSubscription { is_upstream, name }, shown)));
    }
    let mut next = None;
    if items.len() == most {
        items.pop();
        next = items.last().map(|(after, _)| after.to_string());
    }
    let items = items.into_iter().map(|(_, shown)| shown).collect();
    Ok(Json(Page::<serde_json::Value> { items, next }).into_response())
}

/// The last subscription of a page.
struct AfterSubscription {
    is_upstream: bool,
    name: ObjectName,
}

impl fmt::Display for AfterSubscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_upstream {
            "at-app"
        } else {
            "consumer"
        };
        write!(formatter, "{kind}/{}", self.name)
    }
}

impl FromStr for AfterSubscription {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '/');
        let (Some(kind), Some(namespace), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        Ok(Self {
            is_upstream: match kind {
                "at-app" => true,
                "consumer" => false,
                _ => return Err(()),
            },
            name: ObjectName::new(namespace, name),
        })
    }
}

/// `/v1/event-types`: which are served, by name.
pub async fn event_types(
    State(admin): State<Arc<Admin>>,
    query: AskedQuery,
) -> Result<Response, Unanswerable> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Shown {
        event_type: String,
        usable: bool,
    }
    let asked = Asked::read(query)?;
    asked.only("event types", &[])?;
    let snapshot = admin.ingest.snapshot.load_full();
    let mut types: Vec<&Arc<ServedType>> = snapshot
        .iter()
        .flat_map(|snapshot| snapshot.types())
        .collect();
    types.sort_by(|a, b| a.name.cmp(&b.name));
    let (types, next) = asked.page(types, |served| &served.name)?;
    let items: Vec<_> = types
        .iter()
        .map(|served| Shown {
            event_type: served.name.to_string(),
            usable: served.good.is_some(),
        })
        .collect();
    Ok(Json(Page { items, next }).into_response())
}

/// Reads a reason by the name that every list shows.
pub fn reason_code(text: &str) -> Result<ReasonCode, Unanswerable> {
    serde_json::from_value(text.into())
        .map_err(|_| Unanswerable::asked("`reason` is none of the reasons that dead letters have"))
}
