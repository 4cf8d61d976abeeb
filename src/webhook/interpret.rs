//! One item becomes events: customer, attributes, projection, variant, validation.
//!
//! Everything an item can be at fault with is collected here as [`Reason`]s, and `onInvalid` decides
//! what they mean. Reasons name the field of the type and the fault, and hold nothing the payload
//! brought.

mod attributes;
mod compile;
mod payload;
mod reconsider;

use std::collections::BTreeMap;

use jiff::Timestamp;

use self::attributes::Owner;
use self::payload::Payload;
use super::customer::CustomerDirectory;
use super::pool::Pool;
use super::request::View;
use super::split::Item;
use super::variables::{Auth, Names};
use super::verdict::{ItemOutcome, MAX_REPORTED, Outcome, RejectedItem, Rejection};
use crate::api::{DeduplicationKey, OnInvalid, OnUnknownCustomer};
use crate::event::{
    self, Attributes, CustomerKey, DeadLetter, DeadLetterVerdict, Event, ExtensionValue,
    ObjectName, Reason, ReasonCode,
};
use crate::expression::{EvaluationError, Expression};
use crate::schema::Schema;

pub use attributes::EventView;
pub use reconsider::StillRefused;

/// Most violations that are reported for one item.
const MAX_VIOLATIONS: usize = 10;

/// Violations are explained for items of so many bytes in all. Explaining costs many times what
/// checking does, so of a large batch that is wrong throughout only the first are explained.
const EXPLAINED_BYTES: usize = 128 << 10;

/// Bytes that the events of one request may have in all, for each byte that its body may have.
/// More only comes from giving one item to many customers, or from projections that repeat the body.
const STORED_PER_BODY_BYTE: usize = 8;

/// How items of a type become events, compiled.
#[derive(Debug)]
pub struct Interpreter {
    name: ObjectName,
    event_type: String,
    when: Option<Expression>,
    require: Option<Expression>,
    type_: Option<Expression>,
    id: Option<Expression>,
    time: Option<Expression>,
    data: Option<Expression>,
    extensions: Vec<(String, Expression)>,
    customer: Option<Expression>,
    customer_field: Option<String>,
    on_unknown_customer: OnUnknownCustomer,
    customer_namespaces: Vec<String>,
    schema: Option<Schema>,
    on_invalid: OnInvalid,
    variants: Vec<Variant>,
    /// Whether a variant's `when` can differ between the customers of one item.
    variants_by_customer: bool,
    deduplicate_by: DeduplicationKey,
    /// Seconds.
    deduplication_window: i64,
    max_events: usize,
    max_stored_bytes: usize,
    reads_items: bool,
}

#[derive(Debug)]
struct Variant {
    when: Expression,
    schema: Option<Schema>,
    on_invalid: OnInvalid,
}

/// What the interpretation of one request's items works with.
pub struct Interpretation<'c> {
    /// The request's allowance.
    pub pool: &'c mut Pool,
    /// When the request arrived.
    pub now: Timestamp,
    /// The declared Customers.
    pub customers: &'c dyn CustomerDirectory,
    /// Makes random ids.
    pub ids: &'c mut dyn FnMut() -> String,
    /// The `traceparent` of the request, if it is one.
    pub traceparent: Option<String>,
    /// Whose the events are where the URI is a customer's own.
    customer: Option<&'c CustomerKey>,
    rejected: Rejection,
    explained_bytes: usize,
    stored_bytes: usize,
    events: usize,
}

/// More events, or more bytes of them, than a request may make.
#[derive(Debug)]
pub struct TooMany;

impl<'c> Interpretation<'c> {
    /// Begins the interpretation of one request.
    pub fn new(
        view: &'c View<'_>,
        pool: &'c mut Pool,
        now: Timestamp,
        customers: &'c dyn CustomerDirectory,
        ids: &'c mut dyn FnMut() -> String,
    ) -> Self {
        Self {
            pool,
            now,
            customers,
            ids,
            traceparent: attributes::traceparent(&view.request().headers),
            customer: view.registration().and_then(|registration| {
                let customer = registration.live().customer.as_ref();
                customer.map(|customer| &customer.key)
            }),
            rejected: Rejection {
                count: 0,
                items: Vec::new(),
                notices: Vec::new(),
            },
            explained_bytes: 0,
            stored_bytes: 0,
            events: 0,
        }
    }

    /// How many items `Reject` applies to so far.
    pub fn rejected(&self) -> usize {
        self.rejected.count
    }

    /// The items that `Reject` applies to, if there are any.
    pub fn into_rejection(self) -> Option<Rejection> {
        (self.rejected.count > 0).then_some(self.rejected)
    }

    fn reject(&mut self, index: usize, reasons: &[Reason]) {
        if let Some(last) = self
            .rejected
            .items
            .last_mut()
            .filter(|last| last.index == index)
        {
            // Another customer of the same item.
            for reason in reasons {
                if !last.reasons.contains(reason) {
                    last.reasons.push(reason.clone());
                }
            }
            return;
        }
        self.rejected.count += 1;
        if self.rejected.items.len() < MAX_REPORTED {
            self.rejected.items.push(RejectedItem {
                index,
                reasons: reasons.to_vec(),
            });
        }
    }
}

/// What is known of an item so far. Complete when `reasons` is empty.
#[derive(Clone)]
struct Draft {
    id: Option<String>,
    event_type: String,
    time: Timestamp,
    extensions: BTreeMap<String, ExtensionValue>,
    reasons: Vec<Reason>,
}

impl Interpreter {
    /// Whether values of items are looked at at all.
    pub fn reads_items(&self) -> bool {
        self.reads_items
    }

    /// What happens to invalid events of no variant.
    pub fn on_invalid(&self) -> OnInvalid {
        self.on_invalid
    }

    /// A body that could not be read, as a dead letter.
    pub fn malformed(&self, item: &Item, context: &mut Interpretation<'_>) -> ItemOutcome {
        let draft = self.draft(context);
        let reason = Reason {
            code: ReasonCode::MalformedBody,
            message: "the body cannot be parsed as JSON".to_owned(),
            pointer: None,
        };
        let letter = self.dead_letter(&draft, context.customer, item, vec![reason], context);
        ItemOutcome::Events(vec![letter])
    }

    /// The events of one item, the `index`th of the request.
    pub fn interpret(
        &self,
        view: &View<'_>,
        item: &Item,
        index: usize,
        auth: &Auth,
        context: &mut Interpretation<'_>,
    ) -> Result<ItemOutcome, TooMany> {
        let names = Names::new(view, view).with_item(item).with_auth(auth);
        let mut draft = self.draft(context);
        if item.misled {
            draft.reasons.push(Reason {
                code: ReasonCode::ExpressionFailed,
                message: "events.from does not lead to a list or an object".to_owned(),
                pointer: None,
            });
        } else if self.reads_items && item.value(view).is_none() {
            draft.reasons.push(Reason {
                code: ReasonCode::MalformedBody,
                message: "the event cannot be parsed as JSON".to_owned(),
                pointer: None,
            });
        }
        if !draft.reasons.is_empty() {
            return self.invalid(&draft, &[Owner::of_uri(context)], item, index, context);
        }
        if let Some(when) = &self.when {
            match context
                .pool
                .evaluate(|budget| when.evaluate_bool(&names, budget))
            {
                Ok(true) => {}
                Ok(false) => return Ok(ItemOutcome::Skipped),
                Err(error) => {
                    // Never dropped and never refused: whether it is an event at all is not known.
                    let reasons = vec![failed("events.when", &error)];
                    context.count(1, item.data.as_ref().map_or(0, |data| data.len()), self)?;
                    let letter = self.dead_letter(&draft, context.customer, item, reasons, context);
                    return Ok(ItemOutcome::Events(vec![letter]));
                }
            }
        }
        let owners = self.owners(&names, &mut draft, context);
        self.fill(&names, &mut draft, context);
        let payload = match self.payload(view, item, &names, context) {
            Ok(payload) => payload,
            Err(reason) => {
                draft.reasons.push(reason);
                return self.invalid(&draft, &owners, item, index, context);
            }
        };
        if !draft.reasons.is_empty() {
            return self.invalid(&draft, &owners, item, index, context);
        }
        let size = payload.data.as_ref().map_or(0, |data| data.len());
        context.count(owners.len(), size, self)?;
        self.finish(names, draft, owners, &payload, item, index, context)
    }

    fn draft(&self, context: &Interpretation<'_>) -> Draft {
        let mut extensions = BTreeMap::new();
        if let Some(traceparent) = &context.traceparent {
            let value = ExtensionValue::Text(traceparent.clone());
            extensions.insert("traceparent".to_owned(), value);
        }
        Draft {
            id: None,
            event_type: self.event_type.clone(),
            time: context.now,
            extensions,
            reasons: Vec::new(),
        }
    }

    /// What `onInvalid` and `onUnknownCustomer` make of an item that is no valid event.
    fn invalid(
        &self,
        draft: &Draft,
        owners: &[Owner],
        item: &Item,
        index: usize,
        context: &mut Interpretation<'_>,
    ) -> Result<ItemOutcome, TooMany> {
        let size = item.data.as_ref().map_or(0, |data| data.len());
        context.count(owners.len(), size, self)?;
        let mut outcomes = Vec::with_capacity(owners.len());
        let mut draft = draft.clone();
        for owner in owners {
            let mut reasons = draft.reasons.clone();
            let unknown = self.fault_of(owner);
            let rejected = self.on_invalid == OnInvalid::Reject
                || unknown.is_some() && self.on_unknown_customer == OnUnknownCustomer::Reject;
            reasons.extend(unknown);
            if rejected {
                context.reject(index, &reasons);
                continue;
            }
            // One id for all events of the item.
            draft.id.get_or_insert_with(|| (context.ids)());
            outcomes.push(self.dead_letter(&draft, owner.key.as_ref(), item, reasons, context));
        }
        Ok(ItemOutcome::Events(outcomes))
    }

    /// Variant, validation and customer's fate for each owner of a complete draft.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of it is this one item's, and used once"
    )]
    fn finish(
        &self,
        names: Names<'_, '_>,
        draft: Draft,
        owners: Vec<Owner>,
        payload: &Payload<'_>,
        item: &Item,
        index: usize,
        context: &mut Interpretation<'_>,
    ) -> Result<ItemOutcome, TooMany> {
        let mut draft = draft;
        draft.id.get_or_insert_with(|| (context.ids)());
        // Verdicts by variant: the value is the same for every owner.
        let mut verdicts: Vec<(Option<usize>, Vec<Reason>)> = Vec::new();
        let mut chosen: Option<Result<Option<usize>, Reason>> = None;
        let mut outcomes = Vec::with_capacity(owners.len());
        for owner in owners {
            let mut attributes =
                self.attributes(&draft, owner.key.as_ref(), payload.content_type(), context);
            let variant = match &chosen {
                Some(chosen) if !self.variants_by_customer => chosen.clone(),
                _ => self.variant(names, &attributes, payload, context),
            };
            chosen = Some(variant.clone());
            let mut reasons = Vec::new();
            let mut on_invalid = self.on_invalid;
            let mut schema_only = false;
            match variant {
                Err(reason) => reasons.push(reason),
                Ok(variant) => {
                    on_invalid =
                        variant.map_or(self.on_invalid, |index| self.variants[index].on_invalid);
                    let known = verdicts.iter().position(|(other, _)| *other == variant);
                    let position = known.unwrap_or_else(|| {
                        let schema = match variant {
                            Some(index) => self.variants[index].schema.as_ref(),
                            None => self.schema.as_ref(),
                        };
                        let violations = payload.violations(schema, &mut context.explained_bytes);
                        verdicts.push((variant, violations));
                        verdicts.len() - 1
                    });
                    reasons.clone_from(&verdicts[position].1);
                    schema_only = !reasons.is_empty();
                }
            }
            if schema_only && on_invalid == OnInvalid::Accept {
                reasons.clear();
                attributes
                    .extensions
                    .insert("tidegateinvalid".to_owned(), ExtensionValue::Boolean(true));
            }
            let unknown = self.fault_of(&owner);
            let rejected = !reasons.is_empty() && on_invalid == OnInvalid::Reject
                || unknown.is_some() && self.on_unknown_customer == OnUnknownCustomer::Reject;
            reasons.extend(unknown);
            if rejected {
                context.reject(index, &reasons);
            } else if reasons.is_empty() {
                attributes.deduplication =
                    self.deduplication(&attributes, payload.data.as_deref(), context.now);
                outcomes.push(Outcome::Event(Event {
                    attributes,
                    data: payload.data.clone(),
                }));
            } else {
                attributes.data_content_type = item.content_type.as_deref().map(str::to_owned);
                outcomes.push(dead_letter(attributes, item, reasons, context.now));
            }
        }
        Ok(ItemOutcome::Events(outcomes))
    }

    /// What is wrong with an owner, if `onUnknownCustomer` says that something is.
    fn fault_of(&self, owner: &Owner) -> Option<Reason> {
        let at_fault = !owner.known && self.on_unknown_customer != OnUnknownCustomer::Store;
        at_fault.then(|| Reason {
            code: ReasonCode::UnknownCustomer,
            message: "no Customer with this value is declared".to_owned(),
            pointer: None,
        })
    }

    fn variant(
        &self,
        names: Names<'_, '_>,
        attributes: &Attributes,
        payload: &Payload<'_>,
        context: &mut Interpretation<'_>,
    ) -> Result<Option<usize>, Reason> {
        if self.variants.is_empty() {
            return Ok(None);
        }
        let event = EventView::new(attributes, payload.value());
        let names = names.with_event(&event);
        for (index, variant) in self.variants.iter().enumerate() {
            match context
                .pool
                .evaluate(|budget| variant.when.evaluate_bool(&names, budget))
            {
                Ok(true) => return Ok(Some(index)),
                Ok(false) => {}
                // Taking the event for another shape than it may have would waive its schema.
                Err(error) => return Err(failed(&format!("variants[{index}].when"), &error)),
            }
        }
        Ok(None)
    }

    fn dead_letter(
        &self,
        draft: &Draft,
        customer: Option<&CustomerKey>,
        item: &Item,
        reasons: Vec<Reason>,
        context: &mut Interpretation<'_>,
    ) -> Outcome {
        let attributes = self.attributes(draft, customer, item.content_type.as_deref(), context);
        dead_letter(attributes, item, reasons, context.now)
    }

    fn attributes(
        &self,
        draft: &Draft,
        customer: Option<&CustomerKey>,
        content_type: Option<&str>,
        context: &mut Interpretation<'_>,
    ) -> Attributes {
        let mut extensions = draft.extensions.clone();
        if let Some(customer) = customer {
            let id = ExtensionValue::Text(customer.id.clone());
            extensions.insert("customerid".to_owned(), id);
        }
        Attributes {
            id: draft.id.clone().unwrap_or_else(|| (context.ids)()),
            source: event::source(&self.name, customer),
            event_type: draft.event_type.clone(),
            subject: customer.map(|customer| customer.id.clone()),
            time: draft.time,
            data_content_type: content_type.map(str::to_owned),
            extensions,
            app_event_type: self.name.clone(),
            customer: customer.cloned(),
            deduplication: None,
        }
    }
}

impl Interpretation<'_> {
    fn count(
        &mut self,
        events: usize,
        size: usize,
        interpreter: &Interpreter,
    ) -> Result<(), TooMany> {
        self.events += events;
        self.stored_bytes = self
            .stored_bytes
            .saturating_add(events.saturating_mul(size));
        let fits = self.events <= interpreter.max_events
            && self.stored_bytes <= interpreter.max_stored_bytes;
        fits.then_some(()).ok_or(TooMany)
    }
}

fn dead_letter(
    attributes: Attributes,
    item: &Item,
    reasons: Vec<Reason>,
    now: Timestamp,
) -> Outcome {
    Outcome::DeadLetter(DeadLetter {
        verdict: DeadLetterVerdict {
            subscription: None,
            reasons,
            at: now,
            attempts: 0,
        },
        event: Event {
            attributes,
            data: item.data.clone(),
        },
    })
}

/// The reason that an expression of `field` gave an error.
fn failed(field: &str, error: &EvaluationError) -> Reason {
    Reason {
        code: ReasonCode::ExpressionFailed,
        message: format!("{field}: {error}"),
        pointer: None,
    }
}
