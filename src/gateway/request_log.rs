//! What came in: the last requests, for people who wonder why an app's webhook does not work.
//!
//! A record holds names, sizes and verdicts, never a value: no header's, no parameter's, nothing of
//! a body, no token. Records are bounded in number and each in size.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::HeaderName;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::outcome::{EventCounts, Outcome};
use super::path;
use crate::event::ObjectName;

/// Names that one record lists, and the length of each.
const MOST_NAMES: usize = 48;
const LONGEST_NAME: usize = 64;

/// One request, as it is shown.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRecord {
    /// When its headers were complete.
    pub time: Timestamp,
    /// Our own id for it, also in the log lines and in the answer's `x-request-id`.
    pub id: String,
    /// The client's address, as far as trusted proxies tell.
    pub client: IpAddr,
    /// The method, cut to a bounded length.
    pub method: String,
    /// The path, without a token.
    pub path: String,
    /// The names of the headers.
    #[serde(serialize_with = "as_texts")]
    pub headers: Vec<HeaderName>,
    /// The names of the query parameters.
    pub query: Vec<String>,
    /// Bytes of the body as sent, as far as it was read.
    pub body_bytes: u64,
    /// The event type that the URI belongs to.
    #[serde(serialize_with = "as_text")]
    pub event_type: Option<ObjectName>,
    /// The UpstreamSubscription that the URI belongs to.
    #[serde(serialize_with = "as_text")]
    pub upstream_subscription: Option<ObjectName>,
    /// Which of its registrations, by number.
    pub registration: Option<u32>,
    /// What became of it.
    pub verdict: Outcome,
    /// Why, where there is more to say.
    pub detail: Option<String>,
    /// The status of the answer; `None`: the client went away before.
    pub status: Option<u16>,
    /// What became of its events.
    pub events: EventCounts,
    /// Microseconds from the end of the headers to the answer.
    pub micros: u64,
}

/// The last requests, the newest first.
#[derive(Debug)]
pub struct RequestLog {
    most: usize,
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
struct Records {
    /// The number of the newest record; the first is 1.
    newest: u64,
    records: VecDeque<Arc<RequestRecord>>,
}

/// A part of the log.
#[derive(Debug)]
pub struct RequestPage {
    /// The newest first.
    pub items: Vec<Arc<RequestRecord>>,
    /// What to ask for the part behind it; `None`: there is none.
    pub next: Option<u64>,
}

impl RequestLog {
    /// A log of at most so many requests.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            records: Mutex::default(),
        }
    }

    /// Adds the newest one.
    pub fn add(&self, record: RequestRecord) {
        let record = Arc::new(record);
        let mut records = self.lock();
        records.newest += 1;
        records.records.push_front(record);
        let oldest = if records.records.len() > self.most {
            records.records.pop_back()
        } else {
            None
        };
        // Freeing takes time that others need not wait for.
        drop(records);
        drop(oldest);
    }

    /// At most `limit` requests that came before number `before`, or the newest ones.
    pub fn page(&self, before: Option<u64>, limit: usize) -> RequestPage {
        let records = self.lock();
        let newest = records.newest;
        let skipped = match before {
            None => 0,
            Some(before) => newest.saturating_sub(before.saturating_sub(1)),
        };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let items: Vec<_> = records
            .records
            .iter()
            .skip(skipped)
            .take(limit)
            .cloned()
            .collect();
        let end = skipped.saturating_add(items.len());
        let next =
            (!items.is_empty() && end < records.records.len()).then(|| newest - end as u64 + 1);
        RequestPage { items, next }
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of the headers, the ones that are too long or too many left out.
pub fn header_names(headers: &HeaderMap) -> Vec<HeaderName> {
    let names = headers
        .keys()
        .filter(|name| name.as_str().len() <= LONGEST_NAME);
    names.take(MOST_NAMES).cloned().collect()
}

/// The names of the query parameters. What stands there without `=` may well be a value, so it is
/// shown as `***`.
pub fn query_names(query: Option<&str>) -> Vec<String> {
    let Some(query) = query else {
        return Vec::new();
    };
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let name = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) => path::cut(name, LONGEST_NAME),
        None => "***".to_owned(),
    };
    parameters.take(MOST_NAMES).map(name).collect()
}

/// The method, which a client can make up, within bounds.
pub fn method_name(method: &Method) -> String {
    path::cut(method.as_str(), 16)
}

fn as_texts<S: Serializer>(names: &[HeaderName], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(HeaderName::as_str))
}

fn as_text<S: Serializer>(name: &Option<ObjectName>, serializer: S) -> Result<S::Ok, S::Error> {
    match name {
        Some(name) => serializer.collect_str(name),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: usize) -> RequestRecord {
        RequestRecord {
            time: Timestamp::UNIX_EPOCH,
            id: id.to_string(),
            client: IpAddr::from([192, 0, 2, 1]),
            method: "POST".into(),
            path: "/shop/orders".into(),
            headers: vec![http::header::CONTENT_TYPE],
            query: Vec::new(),
            body_bytes: 2,
            event_type: Some(ObjectName::new("shop", "orders")),
            upstream_subscription: Some(ObjectName::new("shop", "orders-acme")),
            registration: Some(2),
            verdict: Outcome::Accepted,
            detail: None,
            status: Some(202),
            events: EventCounts::default(),
            micros: 7,
        }
    }

    fn ids(page: &RequestPage) -> Vec<&str> {
        page.items.iter().map(|record| record.id.as_str()).collect()
    }

    #[test]
    fn the_newest_come_first_and_the_oldest_are_forgotten() {
        let log = RequestLog::new(5);
        assert!(log.page(None, 10).items.is_empty());
        (1..=7).for_each(|id| log.add(record(id)));
        let first = log.page(None, 2);
        assert_eq!((ids(&first), first.next), (vec!["7", "6"], Some(6)));
        log.add(record(8));
        let second = log.page(first.next, 2);
        assert_eq!((ids(&second), second.next), (vec!["5", "4"], None));
        assert_eq!(ids(&log.page(Some(2), 10)), Vec::<&str>::new());
        assert_eq!(ids(&log.page(Some(100), 1)), ["8"]);
        assert_eq!(log.page(None, 10).next, None);
    }

    #[test]
    fn a_record_shows_names_only() {
        assert_eq!(query_names(None), Vec::<String>::new());
        assert_eq!(
            query_names(Some("a=1&token=x&&b=&secret")),
            ["a", "token", "b", "***"]
        );
        assert_eq!(query_names(Some(&"x=1&".repeat(100))).len(), MOST_NAMES);
        let shown = serde_json::to_value(record(1)).unwrap();
        assert_eq!(shown["eventType"], "shop/orders");
        assert_eq!(shown["upstreamSubscription"], "shop/orders-acme");
        assert_eq!(shown["registration"], 2);
        assert_eq!(shown["headers"], serde_json::json!(["content-type"]));
        assert_eq!(shown["verdict"], "accepted");
    }

    #[test]
    fn long_names_are_left_out_or_cut() {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_bytes(&[b'x'; 1_000]).unwrap(),
            "v".parse().unwrap(),
        );
        headers.insert("x-short", "v".parse().unwrap());
        assert_eq!(header_names(&headers), ["x-short"]);
        assert!(query_names(Some(&format!("{}=1", "y".repeat(1_000))))[0].len() < 80);
        assert_eq!(
            method_name(&Method::from_bytes(&[b'M'; 100]).unwrap())
                .chars()
                .count(),
            17
        );
    }
}
