//! Rules of roles, and what an audit log says was used of them.

use std::collections::BTreeSet;

use serde_json::Value;

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    /// `None`: in all namespaces, and for what has none.
    namespace: Option<String>,
    verb: String,
    group: String,
    /// With its subresource, as in a rule.
    resource: String,
    /// Empty: whatever the name.
    names: Vec<String>,
}

/// All rights of an account.
pub struct Rights(BTreeSet<Right>);

/// One request, as the audit log has it.
#[derive(Clone, Debug)]
pub struct Use {
    namespace: Option<String>,
    verbs: Vec<String>,
    group: String,
    resource: String,
    name: Option<String>,
    is_refused: bool,
    text: String,
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

impl Rights {
    /// Those that roles and bindings among `objects` give to an account.
    pub fn of(objects: &[Value], namespace: &str, account: &str) -> Self {
        let mut rights = BTreeSet::new();
        for binding in objects {
            let kind = binding["kind"].as_str().unwrap_or_default();
            let is_bound = binding["subjects"].as_array().is_some_and(|subjects| {
                subjects.iter().any(|it| {
                    it["kind"] == "ServiceAccount"
                        && it["name"] == account
                        && it["namespace"] == namespace
                })
            });
            if !is_bound {
                continue;
            }
            let scope = (kind == "RoleBinding").then(|| {
                let own = binding["metadata"]["namespace"].as_str();
                own.unwrap_or(namespace).to_owned()
            });
            let role = objects.iter().find(|role| {
                role["kind"] == binding["roleRef"]["kind"]
                    && role["metadata"]["name"] == binding["roleRef"]["name"]
                    && (kind != "RoleBinding"
                        || role["metadata"]["namespace"] == binding["metadata"]["namespace"])
            });
            let role = role.unwrap_or_else(|| panic!("no role for {binding:#}"));
            for rule in role["rules"].as_array().unwrap() {
                for group in texts(&rule["apiGroups"]) {
                    for resource in texts(&rule["resources"]) {
                        for verb in texts(&rule["verbs"]) {
                            let right = Right {
                                namespace: scope.clone(),
                                verb,
                                group: group.clone(),
                                resource: resource.clone(),
                                names: texts(&rule["resourceNames"]),
                            };
                            let parts = [&right.verb, &right.group, &right.resource];
                            let is_wild = parts.iter().any(|it| it.contains('*'));
                            assert!(!is_wild, "a rule names what it allows: {right:?}");
                            rights.insert(right);
                        }
                    }
                }
            }
        }
        assert!(!rights.is_empty(), "{account} has no rights");
        Self(rights)
    }

    /// # Panics
    /// When something was refused, or something is allowed that was not used and is not in `excused`
    /// (as `verb group resource`), or something is excused for nothing.
    pub fn are_what_is_used(&self, used: &[Use], excused: &[&str]) {
        let refused: BTreeSet<_> = used
            .iter()
            .filter(|it| it.is_refused)
            .map(|it| &it.text)
            .collect();
        assert!(
            refused.is_empty(),
            "the chart's rules do not allow what was asked for: {refused:#?}"
        );
        // The same rules in several namespaces are one: a gateway may be in any of them.
        let exercised: BTreeSet<String> = self
            .0
            .iter()
            .filter(|right| used.iter().any(|it| right.allows(it)))
            .map(Right::text)
            .collect();
        let unused: BTreeSet<String> = self
            .0
            .iter()
            .map(Right::text)
            .filter(|text| !exercised.contains(text) && !excused.contains(&&**text))
            .collect();
        assert!(
            unused.is_empty(),
            "nothing uses these rules: remove them from the chart, or let the scenario need them: {unused:#?}"
        );
        for excuse in excused {
            let is_there = self.0.iter().any(|it| it.text() == **excuse);
            assert!(is_there, "{excuse} is excused, and no rule allows it");
        }
    }
}

impl Right {
    fn allows(&self, it: &Use) -> bool {
        let is_there = match &self.namespace {
            Some(namespace) => it.namespace.as_ref() == Some(namespace),
            None => true,
        };
        let is_named = self.names.is_empty()
            || it
                .name
                .as_ref()
                .is_some_and(|name| self.names.contains(name));
        is_there
            && is_named
            && it.verbs.contains(&self.verb)
            && it.group == self.group
            && it.resource == self.resource
    }

    fn text(&self) -> String {
        let Self {
            verb,
            group,
            resource,
            ..
        } = self;
        format!("{verb} {group} {resource}")
    }
}

impl Use {
    /// What an event of the audit log says; `None` where no object was asked for.
    pub fn of(event: &Value) -> Option<Self> {
        let object = event["objectRef"].as_object()?;
        let part = |name: &str| {
            let text = object.get(name).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let resource = part("resource")?;
        let resource = match part("subresource") {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => resource,
        };
        let verb = event["verb"].as_str()?.to_owned();
        let code = event["responseStatus"]["code"].as_u64();
        let mut verbs = vec![verb.clone()];
        // Applying what is not there asks for the right to create it too, within the same request.
        if verb == "patch" && code == Some(201) {
            verbs.push("create".to_owned());
        }
        let decision = &event["annotations"]["authorization.k8s.io/decision"];
        let (group, namespace, name) = (part("apiGroup"), part("namespace"), part("name"));
        let group = group.unwrap_or_default();
        Some(Self {
            is_refused: *decision == "forbid" || code == Some(403),
            text: format!("{verb} {group} {resource} {namespace:?} {name:?}"),
            namespace,
            verbs,
            group,
            resource,
            name,
        })
    }
}
