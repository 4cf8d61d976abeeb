//! From `helm install` to a delivered event: for one URI for all customers, and for registrations at an app.

use serde_json::Value;

use super::support::crm::{self, Authority};
use super::support::load::Load;
use super::support::{Installation, condition_of, orders, wait_for};

#[test]
fn an_event_of_a_global_webhook_is_delivered() {
    let installation = Installation::new("global", "");
    installation.wait_until_it_serves();
    orders::declare(&installation);
    let url = orders::url(&installation);
    let arguments = [
        "--url",
        &url,
        "--token",
        orders::TOKEN,
        "--rate",
        "20",
        "--seconds",
        "5",
    ];
    let load = Load::start(&installation, "load", &arguments);
    let report = load.wait_until("all events to arrive", |report| report["missing"] == 0);
    assert_eq!(report["acknowledged"], 100, "{report}");
    assert_eq!(
        report["statuses"],
        serde_json::json!({"202": 100}),
        "{report}"
    );

    // What a user sees.
    let shown = installation.kubectl(&["get", "eventgateway"]);
    for word in [
        "URL",
        "REPLICAS",
        "READY",
        "http://tidegate-gateway-default",
        "True",
    ] {
        assert!(shown.contains(word), "{word} in\n{shown}");
    }
    let gateway = installation.get("eventgateway/default");
    assert_eq!(gateway["status"]["readyReplicas"], 2, "{gateway}");
    assert!(
        gateway["status"]["configurationRevision"].is_string(),
        "{gateway}"
    );
    let pods = installation.get("pods");
    for pod in pods["items"].as_array().into_iter().flatten() {
        for status in pod["status"]["containerStatuses"]
            .as_array()
            .into_iter()
            .flatten()
        {
            assert_eq!(status["restartCount"], 0, "{status}");
        }
    }
}

/// What the chart is told so that apps may be called that are in the cluster, with certificates of `authority`.
fn values(authority: &Authority) -> String {
    let pem = authority.pem().replace('\n', "\n  ");
    format!(
        "allowList: [{{host: \"*.e2e-registered.svc.cluster.local\", ports: [{}], namespaces: [\"*\"]}}]\n\
         caBundle: |\n  {pem}\n",
        crm::PORT
    )
}

#[test]
fn an_app_is_made_to_send_the_events_of_a_customer() {
    let authority = Authority::new("an authority of our own");
    let installation = Installation::new("registered", &values(&authority));
    installation.wait_until_it_serves();
    crm::start(&installation, "crm", &authority);
    // Another app shows a certificate that nobody has told us to trust.
    crm::start(&installation, "stranger", &Authority::new("somebody"));
    for file in ["app", "customers", "consumers"] {
        installation.apply(&crm::manifests(&installation, "crm", file));
    }
    let strange = |file| {
        crm::manifests(&installation, "stranger", file)
            .replace("contact-created", "strange")
            .replace("pro-contacts", "strange-contacts")
            .replace("acme-vips", "strange-vips")
    };
    let wrong = strange("app") + "---\n" + &strange("consumers");
    installation.apply(&wrong);
    // acme and globex are on the pro plan.
    let subscribed = || {
        let list = installation.try_get("upstreamsubscriptions")?;
        let items = list["items"].as_array().ok_or("no list")?;
        let active = items.iter().filter(|item| {
            item["status"]["state"] == "Active"
                && item["spec"]["eventTypeRef"]["name"] == "contact-created"
        });
        match active.count() {
            2 => Ok(()),
            _ => Err(format!("{items:?}")),
        }
    };
    wait_for("two subscriptions at the app", subscribed);

    wait_for("a certificate that is not trusted to be told of", || {
        let list = installation.try_get("upstreamsubscriptions")?;
        let items = list["items"].as_array().ok_or("no list")?;
        let is_strange = |item: &&Value| item["spec"]["eventTypeRef"]["name"] == "strange";
        let strange = items.iter().find(is_strange).ok_or("none")?;
        let subscribed = condition_of(strange, "Subscribed").ok_or("no condition")?;
        let error = strange["status"]["lastError"].to_string();
        match subscribed["status"] == "False" && error.contains("certificate") {
            true => Ok(()),
            false => Err(strange.to_string()),
        }
    });
    let log = installation.kubectl(&["logs", "stranger", "--container", "crm"]);
    assert!(!log.contains("is registered"), "{log}");

    // Contacts are made within the cluster, past TLS.
    let url = format!(
        "http://crm-plain.{}.svc/tenants/acme/contacts",
        installation.namespace
    );
    let arguments = [
        "--url",
        &url,
        "--token",
        "acme-example-token",
        "--rate",
        "5",
        "--seconds",
        "2",
        "--body",
        r#"{"email": "c#n@example.com"}"#,
    ];
    let load = Load::start(&installation, "load", &arguments);
    let report = load.wait_until("all contacts to arrive", |report| report["received"] == 10);
    assert_eq!(report["acknowledged"], 10, "{report}");

    // Nobody wants them any more: the app is told.
    installation.kubectl(&["delete", "eventsubscriptions", "--all"]);
    wait_for("no subscription at the app", || {
        let list = installation.try_get("upstreamsubscriptions")?;
        match list["items"].as_array().map(Vec::len) {
            Some(0) => Ok(()),
            _ => Err(list.to_string()),
        }
    });
    let log = installation.kubectl(&["logs", "crm", "--container", "crm"]);
    assert!(!log.contains("is disabled"), "{log}");
}
