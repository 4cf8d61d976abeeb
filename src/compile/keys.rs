//! The keys that a webhook's authentication names, each with its place.

use crate::api::{AuthenticationEntry, FieldPath, KeySource, Webhook};

/// Every key source of a webhook with its field path.
pub(crate) fn key_sources(webhook: &Webhook) -> Vec<(FieldPath, &KeySource)> {
    let mut sources = Vec::new();
    let path = FieldPath::from("spec.webhook");
    entries(
        &path.field("authentication"),
        &webhook.authentication,
        &mut sources,
    );
    for (index, handshake) in webhook.handshakes.iter().enumerate() {
        let path = path
            .field("handshakes")
            .index(index)
            .field("authentication");
        entries(
            &path,
            handshake.authentication.as_deref().unwrap_or_default(),
            &mut sources,
        );
    }
    sources
}

fn entries<'a>(
    path: &FieldPath,
    entries: &'a [AuthenticationEntry],
    sources: &mut Vec<(FieldPath, &'a KeySource)>,
) {
    for (index, entry) in entries.iter().enumerate() {
        let AuthenticationEntry {
            hmac,
            digest,
            token,
            basic,
            standard_webhooks,
            jwt,
            none: _,
            require: _,
        } = entry;
        let lists = [
            ("hmac", "keys", hmac.as_ref().map(|method| &method.keys)),
            ("digest", "keys", digest.as_ref().map(|method| &method.keys)),
            ("token", "keys", token.as_ref().map(|method| &method.keys)),
            (
                "basic",
                "passwords",
                basic.as_ref().map(|method| &method.passwords),
            ),
            (
                "standardWebhooks",
                "keys",
                standard_webhooks.as_ref().map(|method| &method.keys),
            ),
            ("jwt", "keys", jwt.as_ref().map(|method| &method.keys)),
        ];
        for (method, field, keys) in lists {
            for (position, key) in keys.into_iter().flatten().enumerate() {
                sources.push((
                    path.index(index).field(method).field(field).index(position),
                    key,
                ));
            }
        }
    }
}
