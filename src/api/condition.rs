//! Condition types and reasons: every word that status may hold stands here and nowhere else.
//!
//! `Ready` means accepted and programmed, `Stalled=True` what cannot work until
//! it changes, `Reconciling=True` work in progress, as kstatus reads them.
//! `Delivering` depends on a sink, so it is apart and does not make an object
//! unready; so does `Subscribed`, which depends on an app.

/// Accepted and programmed into the gateway.
pub const READY: &str = "Ready";
/// Cannot work until the object, or one it names, changes.
pub const STALLED: &str = "Stalled";
/// Work is in progress.
pub const RECONCILING: &str = "Reconciling";
/// The sink takes events.
pub const DELIVERING: &str = "Delivering";
/// A registration stands at the app.
pub const SUBSCRIBED: &str = "Subscribed";

pub mod documented;

/// Reasons that conditions give, in CamelCase as the API conventions want them.
pub mod reason {
    /// The object is valid and live in the gateway.
    pub const PROGRAMMED: &str = "Programmed";
    /// The object is valid and on its way to the gateway.
    pub const PROGRAMMING: &str = "Programming";
    /// The object is valid, and no pod of its gateway is connected that could take it.
    pub const GATEWAY_NOT_CONNECTED: &str = "GatewayNotConnected";
    /// A pod of the gateway could not take it: it is of another version, or has reached a limit.
    pub const REFUSED_BY_GATEWAY: &str = "RefusedByGateway";
    /// Something in the object is wrong; the message says where.
    pub const INVALID: &str = "Invalid";
    /// The AppEventType that a subscription names does not exist.
    pub const EVENT_TYPE_NOT_FOUND: &str = "EventTypeNotFound";
    /// The AppEventType that a subscription names is itself not accepted.
    pub const EVENT_TYPE_NOT_READY: &str = "EventTypeNotReady";
    /// The Customer that a subscription names does not exist.
    pub const CUSTOMER_NOT_FOUND: &str = "CustomerNotFound";
    /// An older Customer has the same id, or the same value of a global webhook's field.
    pub const CUSTOMER_TAKEN: &str = "CustomerTaken";
    /// The EventGateway that a type names does not exist.
    pub const GATEWAY_NOT_FOUND: &str = "GatewayNotFound";
    /// A Secret, or a key of it, that the object needs is missing or empty.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// A value of a Secret is not what the object needs it to be.
    pub const SECRET_INVALID: &str = "SecretInvalid";
    /// The Service of a sink cannot be reached from here.
    pub const SERVICE_NOT_FOUND: &str = "ServiceNotFound";
    /// A ConfigMap, or a key of it, that the object needs is missing.
    pub const CONFIG_MAP_NOT_FOUND: &str = "ConfigMapNotFound";
    /// The referenced object does not admit this namespace (`allowedNamespaces`).
    pub const NOT_ALLOWED: &str = "NotAllowed";
    /// Another type of the namespace already has this path.
    pub const PATH_TAKEN: &str = "PathTaken";
    /// Events flow, or would if there were any.
    pub const DELIVERING: &str = "Delivering";
    /// Deliveries are held because `suspend` says so.
    pub const SUSPENDED: &str = "Suspended";
    /// Something that sending needs is missing or wrong.
    pub const HELD: &str = "Held";
    /// The sink refuses events or cannot be reached; they are retried.
    pub const SINK_FAILING: &str = "SinkFailing";
    /// The subscription holds its whole share of the log; its oldest events become dead letters.
    pub const SHARE_EXCEEDED: &str = "ShareExceeded";
    /// The filter failed on events, which were therefore not delivered.
    pub const FILTER_FAILING: &str = "FilterFailing";
    /// Fewer pods of a gateway take requests than are wanted.
    pub const PODS_NOT_READY: &str = "PodsNotReady";
    /// The objects that a gateway's pods need could not be made as they should be.
    pub const NOT_APPLIED: &str = "NotApplied";
    /// Pods that are not wanted any more hand over what they have not delivered.
    pub const HANDING_OVER: &str = "HandingOver";
    /// What runs differs from the object, which asks for something that cannot be done; the message says what to write.
    pub const NOT_AS_SPECIFIED: &str = "NotAsSpecified";
    /// The app sends events.
    pub const SUBSCRIBED: &str = "Subscribed";
    /// A registration is being made.
    pub const SUBSCRIBING: &str = "Subscribing";
    /// The registrations are being removed.
    pub const UNSUBSCRIBING: &str = "Unsubscribing";
    /// The record of this name belongs to another subscription, or there is none for an object that
    /// says there should be.
    pub const NOT_OURS: &str = "NotOurs";
    /// The registration expires before long, and was not renewed.
    pub const EXPIRING_SOON: &str = "ExpiringSoon";
    /// Nothing was received for longer than `quietPeriod`.
    pub const QUIET_TOO_LONG: &str = "QuietTooLong";
    /// The public URL changed, and the app was not told because that is not allowed yet.
    pub const PUBLIC_URL_CHANGED: &str = "PublicUrlChanged";
    /// Others of the same rollout come first.
    pub const WAITING_FOR_TURN: &str = "WaitingForTurn";
    /// The rollout stopped after too many failures.
    pub const ROLLOUT_STOPPED: &str = "RolloutStopped";
    /// The handshake that brings the signing secret is waited for.
    pub const WAITING_FOR_SECRET: &str = "WaitingForSecret";
    /// Whether the app carried out a request is being found out.
    pub const ANSWER_LOST: &str = "AnswerLost";
    /// The app said no.
    pub const APP_REFUSED: &str = "AppRefused";
    /// The app gave no answer, or none that says what happened.
    pub const APP_UNREACHABLE: &str = "AppUnreachable";
    /// A request could not be made or sent.
    pub const REQUEST_NOT_SENT: &str = "RequestNotSent";
    /// Something may be left at an app that we cannot remove; the gateway's status lists it.
    pub const ORPHANED: &str = "Orphaned";
    /// The app made the registration, but it did not come to work.
    pub const NOT_WORKING: &str = "NotWorking";
}
