//! Of which objects the statuses are to be looked at, and when. Pure.
//!
//! Among thousands of objects, what happens to one of them must not cost a look at all.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::compile::Kind;
use crate::event::ObjectName;

/// An object with a status.
pub type Key = (Kind, ObjectName);

/// Objects whose statuses may have to become others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Any.
    All,
    /// These alone.
    These(BTreeSet<Key>),
}

impl Touched {
    /// Whether there are none.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::These(these) if these.is_empty())
    }

    /// Whether there are objects of that kind among them.
    #[must_use]
    pub fn concerns(&self, kind: Kind) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.iter().any(|(it, _)| *it == kind),
        }
    }

    fn add(&mut self, other: Self) {
        match (self, other) {
            (Self::All, _) => {}
            (all, Self::All) => *all = Self::All,
            (Self::These(these), Self::These(others)) => these.extend(others),
        }
    }
}

/// When to look at what.
#[derive(Debug, Default)]
pub struct Attention {
    now: Option<Planned>,
    /// What may lag behind: it keeps nothing else waiting.
    later: Option<Planned>,
}

#[derive(Debug)]
struct Planned {
    at: Instant,
    touched: Touched,
}

impl Attention {
    /// Looks at objects by then at the latest.
    pub fn look(&mut self, touched: Touched, by: Instant) {
        plan(&mut self.now, touched, by);
    }

    /// Looks at objects again then, because something about them is only written now and then.
    pub fn look_again(&mut self, objects: BTreeSet<Key>, at: Instant) {
        plan(&mut self.later, Touched::These(objects), at);
    }

    /// When there is something to look at.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let both = [&self.now, &self.later];
        both.into_iter().flatten().map(|it| it.at).min()
    }

    /// Takes out what is to be looked at by now.
    pub fn take_due(&mut self, now: Instant) -> Option<Touched> {
        let mut due: Option<Touched> = None;
        for planned in [&mut self.now, &mut self.later] {
            if let Some(planned) = planned.take_if(|it| it.at <= now) {
                match &mut due {
                    Some(touched) => touched.add(planned.touched),
                    None => due = Some(planned.touched),
                }
            }
        }
        due
    }
}

fn plan(planned: &mut Option<Planned>, touched: Touched, at: Instant) {
    match planned {
        Some(planned) => {
            planned.at = planned.at.min(at);
            planned.touched.add(touched);
        }
        None => *planned = Some(Planned { at, touched }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> Key {
        (Kind::Customer, ObjectName::new("crm", name))
    }

    fn these(names: &[&str]) -> BTreeSet<Key> {
        names.iter().map(|name| key(name)).collect()
    }

    #[test]
    fn what_may_lag_behind_keeps_nothing_else_waiting() {
        let began = Instant::now();
        let at = |second| began + Duration::from_secs(second);
        let mut attention = Attention::default();
        assert_eq!(attention.next(), None);
        attention.look_again(these(&["slow"]), at(30));
        attention.look(Touched::These(these(&["a"])), at(2));
        attention.look(Touched::These(these(&["b"])), at(3));
        assert_eq!(attention.next(), Some(at(2)));
        assert_eq!(attention.take_due(at(1)), None);
        let both = Touched::These(these(&["a", "b"]));
        assert_eq!(attention.take_due(at(2)), Some(both));
        assert_eq!(attention.next(), Some(at(30)));
        attention.look(Touched::These(these(&["c"])), at(30));
        let due = attention.take_due(at(30)).unwrap();
        assert_eq!(due, Touched::These(these(&["c", "slow"])));
        assert_eq!(attention.next(), None);
    }

    #[test]
    fn all_are_more_than_some() {
        let now = Instant::now();
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
            let mut attention = Attention::default();
            for step in order {
                match step {
                    0 => attention.look(Touched::All, now),
                    1 => attention.look(Touched::These(these(&["a"])), now),
                    _ => attention.look_again(these(&["b"]), now),
                }
            }
            assert_eq!(attention.take_due(now), Some(Touched::All), "{order:?}");
        }
    }
}
