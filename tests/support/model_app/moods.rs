//! What a tenant of the app is like, and what can go wrong with one request.

use std::time::Duration;

/// What is asked of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// `POST /<tenant>/hooks`, `PUT /<tenant>/hooks/<name>`, or `PUT /<tenant>/hook`.
    Create,
    /// `GET /<tenant>/hooks`, or `GET /<tenant>/hook`.
    List,
    /// `POST /<tenant>/hooks/<id>/enable`.
    Enable,
    /// `PATCH /<tenant>/hooks/<id>`.
    Renew,
    /// `DELETE /<tenant>/hooks/<id>`, or `DELETE /<tenant>/hook`.
    Delete,
    /// `POST /<tenant>/token`.
    Token,
    /// `POST /<tenant>/prepare`.
    Prepare,
    /// Anything else.
    Other,
}

/// What a tenant is like. By default it behaves well.
#[derive(Clone, Debug, Default)]
pub struct Moods {
    /// Registrations appear in lists, and vanish from them, so much later.
    pub list_lag: Duration,
    /// Lists come in pages of so many.
    pub page: Option<usize>,
    /// There are no lists.
    pub no_list: bool,
    /// Where the signing secret comes from.
    pub secret: SecretFrom,
    /// What the secrets end with that the app makes up.
    pub secret_end: &'static str,
    /// What the target is asked while it is being registered.
    pub handshake: Option<Handshake>,
    /// The same target again is refused with 409.
    pub conflict: bool,
    /// The same target again takes the place of what was there.
    pub upsert: bool,
    /// A request with an `Idempotency-Key` that was seen before is answered as before.
    pub idempotent: bool,
    /// How long a registration lasts.
    pub lifetime: Option<Duration>,
    /// Events are sent only once the registration is enabled.
    pub needs_enabling: bool,
    /// An event is tried again after pauses that double from 0.1 s on: within seconds, as within
    /// hours at real apps, no eight of them fail. Else the pauses are short.
    pub is_patient: bool,
    /// Answers repeat what was asked, in several encodings.
    pub echo: bool,
    /// Requests need the token that `POST /<tenant>/token` gives.
    pub needs_token: bool,
}

/// Where the signing secret comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecretFrom {
    /// From the request.
    #[default]
    Request,
    /// The app says it in the answer to the creation, and never again.
    Answer,
}

/// What the target is asked while it is being registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// `X-Hook-Secret` is to be repeated, and is the signing secret, as Asana has it.
    Secret,
    /// `validationToken` is to be repeated as text, as Microsoft Graph has it.
    Token,
}

/// What can go wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is done, and answered with 500.
    DoneBut500,
    /// It is done, and answered 200 with what nobody can read.
    DoneButGarbage,
    /// It is done at once, and answered so much later.
    AnsweredAfter(Duration),
    /// It is not done, and answered with this status.
    Refused(u16),
    /// It is not done, and answered with 400 and all that was asked.
    RefusedWithEcho,
    /// It is not done, and answered with 429 and `Retry-After` in seconds.
    TooMany(u32),
    /// It is not done, and answered with 200 and an error inside.
    ErrorInside200,
}
