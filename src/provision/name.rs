//! The name of an UpstreamSubscription: the same for the same type and customer, so that "at most
//! one" is a matter of names.

use aws_lc_rs::digest::{SHA256, digest};

use crate::event::ObjectName;

/// Kubernetes names have at most 253 characters; a part of each name stays readable.
const MOST_OF_EACH: usize = 100;

/// The name for a type and a customer; without one, for the registration of the type's global
/// webhook. It is in the customer's namespace, else in the type's.
///
/// Example: `contact-created-acme-7f3k2m5q`.
#[must_use]
pub fn subscription_name(event_type: &ObjectName, customer: Option<&ObjectName>) -> ObjectName {
    let whole = match customer {
        // A slash is in no Kubernetes name, so no two pairs look the same.
        Some(customer) => format!("{event_type}/{customer}"),
        None => event_type.to_string(),
    };
    let hash = digest(&SHA256, whole.as_bytes());
    // 40 bits tell any number of customers that one cluster can hold apart; a clash would be
    // noticed because the record says whose it is.
    let hash: String = hash.as_ref()[..8]
        .iter()
        .map(|byte| char::from(b"0123456789abcdefghjkmnpqrstvwxyz"[usize::from(byte % 32)]))
        .collect();
    let name = match customer {
        Some(customer) => format!("{}-{}-{hash}", cut(&event_type.name), cut(&customer.name)),
        None => format!("{}-{hash}", cut(&event_type.name)),
    };
    let namespace = customer.map_or(&event_type.namespace, |customer| &customer.namespace);
    ObjectName::new(namespace, name)
}

fn cut(name: &str) -> &str {
    let end = name.floor_char_boundary(MOST_OF_EACH);
    name[..end].trim_end_matches(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_every_time_and_another_for_another_pair() {
        let of = |event_type: (&str, &str), customer: Option<(&str, &str)>| {
            let customer = customer.map(|(namespace, name)| ObjectName::new(namespace, name));
            let event_type = ObjectName::new(event_type.0, event_type.1);
            subscription_name(&event_type, customer.as_ref())
        };
        let name = of(("crm", "contact-created"), Some(("sales", "acme")));
        assert_eq!(
            name,
            of(("crm", "contact-created"), Some(("sales", "acme")))
        );
        assert_eq!(name.namespace, "sales");
        assert!(name.name.starts_with("contact-created-acme-"), "{name}");
        assert_ne!(name, of(("hr", "contact-created"), Some(("sales", "acme"))));
        assert_ne!(
            of(("crm", "a-b"), Some(("x", "c"))).name,
            of(("crm", "a"), Some(("x", "b-c"))).name
        );
        let global = of(("crm", "contact-created"), None);
        assert_eq!(global.namespace, "crm");
        let long = "n".repeat(253);
        assert!(of(("crm", &long), Some(("crm", &long))).name.len() <= 253);
    }
}
