//! How long the other side asks to wait. Pure.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, header};
use jiff::Timestamp;

/// A longer `Retry-After` counts as this: beyond a day it is more likely a mistake than a wish.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// `Retry-After` as a delay from `now` (RFC 9110 §10.2.3: seconds, or a date in any of the three
/// forms), at most a day. A date that has passed is no delay; what is neither form is as if it
/// were absent.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that overflow mean very long.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let date = date.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::try_from(now.as_duration()).ok()?;
    Some(date.saturating_sub(now).min(LONGEST_RETRY_AFTER))
}
