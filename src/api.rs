//! The resources of group `tidegate.dev`, version `v1alpha1`, as Rust types. No I/O.
//!
//! One file per resource, and one for each part that several share. A field's
//! doc comment is its description in the CRD, which is what `kubectl explain`
//! shows, so it is written for the people who write manifests. Defaults are
//! methods beside the fields: a CRD may hold no `default:` below a list, and
//! what an API server never saw has none filled in.
//!
//! Deliberately not here: anything that reads the outside world, and any field
//! that nothing acts on yet.

pub mod condition;

#[expect(
    clippy::duplicated_attributes,
    reason = "each printer column repeats them"
)]
mod app_event_type;
mod authentication;
mod byte_size;
mod crd;
#[expect(
    clippy::duplicated_attributes,
    reason = "each printer column repeats them"
)]
mod customer;
mod effective;
#[expect(
    clippy::duplicated_attributes,
    reason = "each printer column repeats them"
)]
mod event_gateway;
#[expect(
    clippy::duplicated_attributes,
    reason = "each printer column repeats them"
)]
mod event_subscription;
mod free_form;
mod problem;
mod reference;
mod reference_page;
mod resources;
mod rules;
mod structural;
mod subscription;
mod text;
mod time_span;
#[expect(
    clippy::duplicated_attributes,
    reason = "each printer column repeats them"
)]
mod upstream_subscription;
mod webhook;

pub use app_event_type::{
    App, AppEventType, AppEventTypeSpec, AppEventTypeStatus, DeletionPolicy, OnInvalid,
    TypeNamespaces, Variant,
};
pub use authentication::{
    AuthenticationEntry, Basic, BodyHash, Digest, HashAlgorithm, Hmac, Jwt, JwtAlgorithm,
    KeyEncoding, NoAuthentication, SignatureEncoding, SignatureTimestamp, StandardWebhooks,
    TimestampFormat, Token,
};
pub use byte_size::{BYTE_SIZE_PATTERN, ByteSize, ByteSizeError};
pub use crd::{Crd, crd_of, crds};
pub use customer::{Customer, CustomerSpec, CustomerStatus};
pub use event_gateway::{
    DeduplicationScope, EventGateway, EventGatewaySpec, EventGatewayStatus, GatewayHttpRoute,
    GatewayIngress, GatewayNamespaces, GatewayPod, Limits, MAX_LISTED_ORPHANS, MOST_REPLICAS,
    OrphanStatus, ParentReference, PodResources, Quantity, Storage,
};
pub use event_subscription::{
    Backoff, CaBundleSource, ClientCertificateSource, Delivery, EventSubscription,
    EventSubscriptionSpec, EventSubscriptionStatus, Ordering, SecretValue, ServiceSink, Sink,
    SinkFormat, SinkHeader, SinkSigning, SinkTls,
};
pub use problem::{FieldPath, ObjectReference, Problem, Severity};
pub use reference::{
    EventTypeReference, FieldsSource, GatewayReference, KeyReference, KeySource, LocalReference,
    NamespacesFrom, SigningSecretKey, TextSource,
};
pub use reference_page::reference_page;
pub use resources::{ConfigMap, Namespace, Resources, Secret};
pub use rules::{Violation, fill_defaults, violations};
pub use subscription::{
    Change, Credentials, FromHandshake, GeneratedSecret, Lookup, OnFound, OutgoingRequest, Renewal,
    RenewalMode, RenewalResponse, RequestDefaults, RequestLimits, ResponseRules, Rollout,
    SecretEncoding, SigningSecret, Step, StepResponse, Subscription, Unsubscribe,
};
pub use text::{
    Expression, MAX_EXPRESSION_CHARACTERS, MAX_TEMPLATE_CHARACTERS, TEXT_KIND, Template,
};
pub use time_span::{TIME_SPAN_PATTERN, TimeSpan, TimeSpanError};
pub use upstream_subscription::{
    ReceivedResponse, RegistrationAttempt, RegistrationStatus, SentRequest, SubscriptionState,
    UpstreamSubscription, UpstreamSubscriptionSpec, UpstreamSubscriptionStatus,
};
pub use webhook::{
    Capture, Deduplication, DeduplicationKey, Events, GlobalWebhook, Handshake, LifecycleAction,
    LifecycleNotice, MAX_BODY_BYTES_LIMIT, OnUnknownCustomer, Paths, Response, Webhook,
};

/// API group of all resources.
pub const GROUP: &str = "tidegate.dev";

/// Version of all resources.
pub const VERSION: &str = "v1alpha1";

/// Schema of a condition list: merged by type, as the API conventions want it.
fn conditions_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

    let mut schema = generator.subschema_for::<Vec<Condition>>();
    schema.insert("x-kubernetes-list-type".to_owned(), "map".into());
    schema.insert(
        "x-kubernetes-list-map-keys".to_owned(),
        serde_json::json!(["type"]),
    );
    schema
}
