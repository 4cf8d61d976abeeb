//! How long a new subscription may stay without an object, because nothing can be said of it yet. Pure.
//!
//! Most registrations stand a moment after they were begun. An object made before that is written four
//! times instead of twice: when it is made and when it gets the app's id, and its status each time. With
//! thousands of customers at once, these writes would hold up those that somebody waits for.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::event::ObjectName;

/// What a single subscription may take until its object is made nevertheless.
const AT_LEAST: SignedDuration = SignedDuration::from_secs(1);

/// What it may take when many others are new, too.
const AT_MOST: SignedDuration = SignedDuration::from_secs(60);

/// What each of the others adds: an API server that does little else takes some hundreds of them a second.
const FOR_EACH: SignedDuration = SignedDuration::from_millis(6);

/// Subscriptions of which nothing can be said yet.
#[derive(Debug, Default)]
pub struct Settling {
    since: BTreeMap<ObjectName, Timestamp>,
}

impl Settling {
    /// Notes that a subscription is new; until when it may stay without an object.
    pub fn until(&mut self, name: &ObjectName, now: Timestamp) -> Timestamp {
        let since = *self.since.entry(name.clone()).or_insert(now);
        let others = i32::try_from(self.since.len() - 1).unwrap_or(i32::MAX);
        let patience = (AT_LEAST + FOR_EACH.saturating_mul(others)).min(AT_MOST);
        since.checked_add(patience).unwrap_or(now)
    }

    /// Something can be said of it, or nothing is left of it.
    pub fn settled(&mut self, name: &ObjectName) {
        self.since.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_may_take_longer_but_not_for_ever() {
        let at = |millisecond: i64| Timestamp::from_millisecond(millisecond).unwrap();
        let name = |number: usize| ObjectName::new("crm", format!("s-{number}"));
        let mut settling = Settling::default();
        assert_eq!(settling.until(&name(0), at(0)), at(1_000));
        // The time counts from when it was new, not from when it is asked for.
        assert_eq!(settling.until(&name(0), at(900)), at(1_000));
        assert_eq!(settling.until(&name(1), at(900)), at(1_906));
        for number in 2..20_000 {
            settling.until(&name(number), at(900));
        }
        assert_eq!(settling.until(&name(1), at(2_000)), at(60_900));
        for number in 1..20_000 {
            settling.settled(&name(number));
        }
        assert_eq!(settling.until(&name(0), at(2_000)), at(1_000));
    }
}
