//! First records, which are kept together in one Secret. Pure.
//!
//! Before anything is sent, it is recorded. With thousands of new customers, a Secret for each of these first
//! records would be a quarter of all that is written for them. So those that come while one write is under way
//! are written by the next, all at once. What is recorded of a subscription after that is in a Secret of its own,
//! which counts as soon as it is there.

use std::collections::{BTreeMap, BTreeSet};

use crate::configuration::Sensitive;
use crate::provision::store::StoreError;

/// Bytes of records at the most: a Secret may hold 1 MiB.
const MOST_BYTES: usize = 512 * 1024;

/// The key of what tells the controller that leads from those before. It is no record's key, which has an underscore.
const FENCE: &str = "leader";

/// A state of what is to be kept, which counts as kept once it or a later one was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What became of a record that was to be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is among those that are written next.
    To(Ticket),
    /// There is one of that key already.
    Known,
    /// There is no room for it now.
    Full,
}

/// The records, and what is known of the Secret.
#[derive(Debug)]
pub struct Together {
    fence: Sensitive,
    wanted: BTreeMap<String, Sensitive>,
    bytes: usize,
    latest: u64,
    /// Which records stand there, or may.
    stored: BTreeSet<String>,
    stored_as_of: u64,
    failed: Option<(u64, StoreError)>,
}

/// What is to be written.
#[derive(Debug)]
pub struct Content {
    ticket: Ticket,
    records: BTreeSet<String>,
    /// The Secret's data.
    pub data: BTreeMap<String, Sensitive>,
}

impl Together {
    /// Those that were found in a Secret. `fence` is another for each controller that comes to lead: its first write
    /// takes the Secret away from those before, none of which can record anything new after that.
    pub fn found(data: BTreeMap<String, Sensitive>, fence: Sensitive) -> Self {
        let mut wanted = data;
        wanted.retain(|key, _| key != FENCE);
        Self {
            fence,
            bytes: wanted.values().map(|it| it.expose().len()).sum(),
            stored: wanted.keys().cloned().collect(),
            wanted,
            latest: 1,
            stored_as_of: 0,
            failed: None,
        }
    }

    /// The records, by their keys.
    pub fn records(&self) -> impl Iterator<Item = (&String, &Sensitive)> {
        self.wanted.iter()
    }

    /// Takes a record in.
    pub fn add(&mut self, key: &str, record: &Sensitive) -> Added {
        if self.wanted.contains_key(key) {
            return Added::Known;
        }
        let bytes = self.bytes + record.expose().len();
        // One that is larger than all of them may be has to go somewhere, too.
        if bytes > MOST_BYTES && !self.wanted.is_empty() {
            return Added::Full;
        }
        self.bytes = bytes;
        self.wanted.insert(key.to_owned(), record.clone());
        Added::To(self.change())
    }

    /// A record is not needed any more. `Some`: it still stands there.
    pub fn leave(&mut self, key: &str) -> Option<Ticket> {
        if let Some(record) = self.wanted.remove(key) {
            self.bytes -= record.expose().len();
            self.change();
        }
        self.retry();
        self.stored.contains(key).then_some(Ticket(self.latest))
    }

    /// The present state, where something stands there that is not needed any more.
    pub fn untidy(&mut self) -> Option<Ticket> {
        self.retry();
        let mut stored = self.stored.iter();
        let is_untidy = stored.any(|key| !self.wanted.contains_key(key));
        is_untidy.then_some(Ticket(self.latest))
    }

    /// A state for whoever wants to know that the Secret is still ours: it can be written only then.
    pub fn fence(&mut self) -> Ticket {
        self.change()
    }

    /// What failed is not the outcome of a later attempt.
    fn retry(&mut self) {
        if self
            .failed
            .as_ref()
            .is_some_and(|(at, _)| *at >= self.latest)
        {
            self.change();
        }
    }

    /// What came of a state; `None`: it was not written yet.
    pub fn outcome(&self, ticket: Ticket) -> Option<Result<(), StoreError>> {
        if self.stored_as_of >= ticket.0 {
            return Some(Ok(()));
        }
        let (latest, error) = self.failed.as_ref()?;
        (*latest >= ticket.0).then(|| Err(error.clone()))
    }

    /// What is to be written for the present state.
    pub fn content(&self) -> Content {
        let mut data = self.wanted.clone();
        data.insert(FENCE.to_owned(), self.fence.clone());
        Content {
            ticket: Ticket(self.latest),
            records: self.wanted.keys().cloned().collect(),
            data,
        }
    }

    /// A state was written, or could not be.
    pub fn written(&mut self, content: Content, result: Result<(), StoreError>) {
        let Content {
            ticket, records, ..
        } = content;
        match result {
            Ok(()) => {
                self.stored = records;
                self.stored_as_of = ticket.0;
                self.failed = None;
            }
            Err(error) => {
                // There may have been no answer, and yet it stands there.
                self.stored.extend(records);
                self.failed = Some((ticket.0, error));
            }
        }
    }

    fn change(&mut self) -> Ticket {
        self.latest += 1;
        Ticket(self.latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn together() -> Together {
        Together::found(BTreeMap::new(), Sensitive::new("new"))
    }

    fn add(together: &mut Together, key: &str) -> Ticket {
        match together.add(key, &Sensitive::new(key)) {
            Added::To(ticket) => ticket,
            other => panic!("{key}: {other:?}"),
        }
    }

    fn write(together: &mut Together) -> Vec<String> {
        let content = together.content();
        let keys = keys(&content);
        together.written(content, Ok(()));
        keys
    }

    fn keys(content: &Content) -> Vec<String> {
        content.data.keys().cloned().collect()
    }

    #[test]
    fn those_that_come_during_a_write_are_in_the_next() {
        let mut together = together();
        let first = add(&mut together, "a");
        let content = together.content();
        let second = add(&mut together, "b");
        let third = add(&mut together, "c");
        together.written(content, Ok(()));
        assert_eq!(together.outcome(first), Some(Ok(())));
        assert_eq!(together.outcome(second), None);
        assert_eq!(write(&mut together), ["a", "b", "c", "leader"]);
        assert_eq!(together.outcome(second), Some(Ok(())));
        assert_eq!(together.outcome(third), Some(Ok(())));
    }

    #[test]
    fn a_failure_is_told_to_all_whose_records_were_to_be_written_and_to_no_other() {
        let mut together = together();
        let (first, second) = (add(&mut together, "a"), add(&mut together, "b"));
        let content = together.content();
        let third = add(&mut together, "c");
        let error = StoreError("no".into());
        together.written(content, Err(error.clone()));
        assert_eq!(together.outcome(first), Some(Err(error.clone())));
        assert_eq!(together.outcome(second), Some(Err(error)));
        assert_eq!(together.outcome(third), None);
        // It may stand there: until that is sure, it does not leave just so.
        assert!(together.leave("a").is_some());
        assert_eq!(write(&mut together), ["b", "c", "leader"]);
        assert_eq!(together.outcome(third), Some(Ok(())));
        assert_eq!(together.leave("a"), None);
        // It is tried again, and with another record than before.
        let again = add(&mut together, "a");
        assert_eq!(together.outcome(again), None);
        assert_eq!(write(&mut together), ["a", "b", "c", "leader"]);
    }

    #[test]
    fn what_could_not_be_removed_is_removed_by_a_later_write() {
        let mut together = together();
        add(&mut together, "a");
        write(&mut together);
        let first = together.leave("a").unwrap();
        let content = together.content();
        together.written(content, Err(StoreError("no".into())));
        assert!(matches!(together.outcome(first), Some(Err(_))));
        let again = together.leave("a").unwrap();
        assert_eq!(together.outcome(again), None);
        assert_eq!(together.untidy(), Some(again));
        assert_eq!(write(&mut together), ["leader"]);
        assert_eq!(together.outcome(again), Some(Ok(())));
        let fence = together.fence();
        assert_eq!(together.outcome(fence), None);
        write(&mut together);
        assert_eq!(together.outcome(fence), Some(Ok(())));
    }

    #[test]
    fn what_left_has_to_go_from_the_secret_before_it_counts_as_gone() {
        let mut together = together();
        add(&mut together, "a");
        assert_eq!(together.untidy(), None);
        write(&mut together);
        assert_eq!(together.add("a", &Sensitive::new("x")), Added::Known);
        let ticket = together.leave("a").unwrap();
        assert_eq!(together.untidy(), Some(ticket));
        assert_eq!(together.outcome(ticket), None);
        assert_eq!(write(&mut together), ["leader"]);
        assert_eq!(together.outcome(ticket), Some(Ok(())));
        assert_eq!(together.untidy(), None);
        assert_eq!(together.leave("a"), None);
    }

    #[test]
    fn there_is_an_end_to_what_one_secret_takes() {
        let mut together = together();
        let huge = Sensitive::new(vec![b'x'; 600 * 1024]);
        let large = Sensitive::new(vec![b'x'; 200 * 1024]);
        assert!(matches!(together.add("huge", &huge), Added::To(_)));
        assert_eq!(together.add("a", &large), Added::Full);
        together.leave("huge");
        assert!(matches!(together.add("a", &large), Added::To(_)));
        assert!(matches!(together.add("b", &large), Added::To(_)));
        assert_eq!(together.add("c", &large), Added::Full);
        together.leave("a");
        assert!(matches!(together.add("c", &large), Added::To(_)));
    }

    #[test]
    fn what_was_found_is_kept_and_the_secret_is_taken_over() {
        let found = [("a", "1"), ("leader", "old")];
        let found = found.map(|(key, value)| (key.to_owned(), Sensitive::new(value)));
        let mut together = Together::found(found.into(), Sensitive::new("new"));
        let content = together.content();
        assert_eq!(keys(&content), ["a", "leader"]);
        assert_eq!(content.data["leader"], Sensitive::new("new"));
        together.written(content, Ok(()));
        assert_eq!(together.untidy(), None);
        add(&mut together, "b");
        assert!(together.leave("a").is_some());
        assert_eq!(write(&mut together), ["b", "leader"]);
    }
}
