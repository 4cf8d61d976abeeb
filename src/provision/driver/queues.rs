//! Who is worked on, and who waits for a place: bounded for each host, and as a whole.
//!
//! Thousands of customers may be due at once. They wait as names in a queue, not as tasks; hosts
//! take turns, so that a slow one does not keep the others waiting.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use tokio::time::Instant;

use crate::event::ObjectName;
use crate::provision::limits::HostName;

/// Subscriptions that are worked on at the same time, over all hosts.
const MOST_AT_ONCE: usize = 512;

/// Subscriptions that are worked on at the same time without any host: they wait for the disk.
const MOST_LOCAL: usize = 32;

/// Where the next thing to do for a subscription is done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    /// Here: something is stored.
    Local,
    /// At an app.
    Host(HostName),
}

#[derive(Debug, Default)]
pub(super) struct Queues {
    waiting: HashMap<Place, VecDeque<ObjectName>>,
    running: HashMap<Place, usize>,
    /// Places where somebody waits, and may perhaps begin.
    ready: VecDeque<Place>,
    is_ready: HashSet<Place>,
    paused: BTreeSet<(Instant, HostName)>,
    total: usize,
}

impl Queues {
    /// Somebody waits for a place.
    pub fn push(&mut self, place: Place, name: ObjectName) {
        self.waiting
            .entry(place.clone())
            .or_default()
            .push_back(name);
        self.make_ready(place);
    }

    /// Somebody whose work cannot go on waits again, before all others.
    pub fn push_first(&mut self, place: Place, name: ObjectName) {
        self.waiting
            .entry(place.clone())
            .or_default()
            .push_front(name);
        self.make_ready(place);
    }

    /// The next one that may begin. `host` says how many may be under way there and until when it
    /// is paused.
    pub fn start(
        &mut self,
        now: Instant,
        host: impl Fn(&HostName) -> (usize, Option<Instant>),
    ) -> Option<(Place, ObjectName)> {
        while let Some((until, _)) = self.paused.first()
            && *until <= now
            && let Some((_, name)) = self.paused.pop_first()
        {
            self.make_ready(Place::Host(name));
        }
        while self.total < MOST_AT_ONCE
            && let Some(place) = self.ready.pop_front()
        {
            self.is_ready.remove(&place);
            let (most, paused) = match &place {
                Place::Local => (MOST_LOCAL, None),
                Place::Host(name) => host(name),
            };
            if let (Some(until), Place::Host(name)) = (paused, &place) {
                self.paused.insert((until, name.clone()));
                continue;
            }
            if self.running.get(&place).copied().unwrap_or_default() >= most {
                // It is ready again when one of those is done.
                continue;
            }
            let Some(queue) = self.waiting.get_mut(&place) else {
                continue;
            };
            let name = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&place);
            } else {
                self.make_ready(place.clone());
            }
            if let Some(name) = name {
                *self.running.entry(place.clone()).or_default() += 1;
                self.total += 1;
                return Some((place, name));
            }
        }
        None
    }

    /// One that began is done.
    pub fn done(&mut self, place: &Place) {
        self.total = self.total.saturating_sub(1);
        if let Some(running) = self.running.get_mut(place) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(place);
            }
        }
        if self.waiting.contains_key(place) {
            self.make_ready(place.clone());
        }
    }

    /// When a pause ends that somebody waits for.
    pub fn next_at(&self) -> Option<Instant> {
        self.paused.first().map(|(until, _)| *until)
    }

    /// How many are worked on.
    pub fn running(&self) -> usize {
        self.total
    }

    fn make_ready(&mut self, place: Place) {
        if self.is_ready.insert(place.clone()) {
            self.ready.push_back(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use url::Url;

    use super::*;

    fn host(name: &str) -> HostName {
        HostName::of(&Url::parse(&format!("https://{name}.example/")).unwrap())
    }

    fn name(text: &str) -> ObjectName {
        ObjectName::new("crm", text)
    }

    #[test]
    fn hosts_take_turns_and_none_has_more_than_it_may() {
        let mut queues = Queues::default();
        for number in 0..10 {
            queues.push(Place::Host(host("busy")), name(&format!("busy-{number}")));
        }
        queues.push(Place::Host(host("calm")), name("calm"));
        let now = Instant::now();
        let mut started = Vec::new();
        while let Some((_, name)) = queues.start(now, |_| (2, None)) {
            started.push(name.name);
        }
        assert_eq!(started, ["busy-0", "calm", "busy-1"]);
        queues.done(&Place::Host(host("busy")));
        let next = queues.start(now, |_| (2, None));
        assert_eq!(next.unwrap().1, name("busy-2"));
        assert_eq!(queues.running(), 3);
    }

    #[test]
    fn who_waits_for_a_paused_host_waits_until_the_pause_ends() {
        let mut queues = Queues::default();
        queues.push(Place::Host(host("tired")), name("one"));
        let now = Instant::now();
        let until = now + Duration::from_secs(30);
        assert!(queues.start(now, |_| (8, Some(until))).is_none());
        assert_eq!(queues.next_at(), Some(until));
        assert!(queues.start(now, |_| (8, None)).is_none());
        assert_eq!(queues.start(until, |_| (8, None)).unwrap().1, name("one"));
        assert_eq!(queues.next_at(), None);
    }

    #[test]
    fn the_whole_is_bounded() {
        let mut queues = Queues::default();
        for number in 0..2_000 {
            let place = Place::Host(host(&format!("h{number}")));
            queues.push(place, name(&number.to_string()));
        }
        let now = Instant::now();
        let mut started = 0;
        while queues.start(now, |_| (8, None)).is_some() {
            started += 1;
        }
        assert_eq!(started, MOST_AT_ONCE);
        queues.done(&Place::Host(host("h0")));
        assert!(queues.start(now, |_| (8, None)).is_some());
    }
}
