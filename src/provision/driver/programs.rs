//! Compiled subscriptions, one for all customers of a type.
//!
//! A record may say something else than its type does by now, so what is compiled is what the
//! record says. Records of one type mostly say the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::api::Subscription;
use crate::event::ObjectName;
use crate::provision::{Inputs, Program};

/// Different forms that are kept of one type. There are two while a change is rolled out.
const MOST_FORMS: usize = 8;

#[derive(Default)]
pub(super) struct Programs {
    types: Mutex<HashMap<(ObjectName, bool), Vec<Form>>>,
}

struct Form {
    subscription: Arc<Subscription>,
    has_global_webhook: bool,
    program: Result<Arc<Program>, String>,
}

impl Programs {
    /// The compiled form of what `inputs` say.
    ///
    /// # Errors
    /// When it cannot be compiled, which was possible when it was written: in one sentence.
    pub fn of(&self, inputs: &Inputs) -> Result<Arc<Program>, String> {
        // The lists are never left half changed, so a poisoned lock is still good.
        let mut types = self.types.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (inputs.event_type.clone(), inputs.global);
        let forms = types.entry(key).or_default();
        let has_global_webhook = inputs.global_webhook_path.is_some();
        let known = forms.iter().find(|form| {
            form.has_global_webhook == has_global_webhook
                && (Arc::ptr_eq(&form.subscription, &inputs.subscription)
                    || form.subscription == inputs.subscription)
        });
        if let Some(form) = known {
            return form.program.clone();
        }
        let program = Program::compile(inputs).map(Arc::new).map_err(|problems| {
            let first = problems.first().map(ToString::to_string);
            format!(
                "the subscription cannot be used any more: {}",
                first.unwrap_or_default()
            )
        });
        if forms.len() == MOST_FORMS {
            forms.remove(0);
        }
        forms.push(Form {
            subscription: Arc::clone(&inputs.subscription),
            has_global_webhook,
            program: program.clone(),
        });
        program
    }
}
