//! Subscriptions at the apps' own APIs: made, kept alive, restored and removed; exactly once,
//! whatever crashes when.
//!
//! [`plan`] decides, from what is wanted, from the [`Record`] that is kept of a subscription, and
//! from the time; it is pure, and the whole of the logic. A driver carries its actions out: stores
//! the record, makes URIs live, sends requests. The order is always the same: what is about to be
//! done is stored before it is done, so that a crash leaves a question that can be answered
//! (was it done?) and never a registration that nobody knows of.
//!
//! What stands in an UpstreamSubscription is made from the record for people to read, and is never
//! read back.

mod answer;
pub mod client;
pub mod driver;
mod entries;
mod hosts;
mod inputs;
mod known;
pub mod limits;
mod mask;
mod name;
mod outcome;
pub mod plan;
mod program;
pub mod record;
mod render;
mod status;
pub mod store;
mod variables;

pub use answer::{AccessToken, Answer};
pub use entries::entries;
pub use inputs::{CustomerInputs, Desired, Fields, Inputs, WebhookFields};
pub use known::Known;
pub use mask::{Masker, is_named_like_a_secret, without_token};
pub use name::subscription_name;
pub use outcome::{Findings, Outcome, RequestKind};
pub use program::{Program, RenderError, Surroundings, has_own_uri};
pub use record::{Record, Registration};
pub use render::{CredentialsRequest, Outgoing, masker};
pub(crate) use status::quiet_since;
pub use status::{keep_transitions, status};

#[cfg(test)]
mod tests;
