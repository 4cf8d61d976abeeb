//! The app's own notices about a registration: items that are no events.
//!
//! What follows from a notice is decided elsewhere; here it is only told apart from events.

use super::compiler::Compiler;
use super::pool::Pool;
use super::variables::Names;
use crate::api::{FieldPath, LifecycleAction, LifecycleNotice};
use crate::configuration::EventTypeEntry;
use crate::expression::{Expression, Scope};

/// The notices that a type knows, in the order in which they are tried.
#[derive(Debug)]
pub struct Lifecycle(Vec<(Expression, LifecycleAction)>);

impl Lifecycle {
    /// Compiles those at `path`; `scope` is that of events.
    pub fn compile(
        compiler: &mut Compiler,
        path: &FieldPath,
        specs: &[LifecycleNotice],
        entry: &EventTypeEntry,
        scope: &Scope,
    ) -> Self {
        if !specs.is_empty() && !entry.registrations.exist() {
            compiler.warning(
                path,
                "nothing follows from these notices: the type has no subscription, nor a registration of its global webhook",
            );
        }
        let mut notices = Vec::new();
        for (index, LifecycleNotice { when, action }) in specs.iter().enumerate() {
            let path = path.index(index).field("when");
            let when = compiler.expression(&path, when, scope);
            notices.extend(when.map(|when| (when, *action)));
        }
        Self(notices)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What an item gives notice of; an error in `when` means that it is not this notice.
    pub fn notice(&self, names: &Names<'_, '_>, pool: &mut Pool) -> Option<LifecycleAction> {
        let mut is = |when: &Expression| {
            pool.evaluate(|budget| when.evaluate_bool(names, budget))
                .unwrap_or(false)
        };
        let found = self.0.iter().find(|(when, _)| is(when));
        found.map(|(_, action)| *action)
    }
}
