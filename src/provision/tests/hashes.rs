//! Which edits make another request of the same one, and which do not.

use serde_json::json;

use super::*;

const BASE: &str = r#"
subscription:
  signingSecret: {generate: {}}
  credentials:
    request: {url: "https://login.crm.example/token", form: {secret: $(app.fields.secret)}}
    accessToken: response.body.token
  defaults: {headers: {Authorization: Bearer $(customer.fields.token), X-Access: $(credentials.accessToken)}}
  prepare:
  - name: me
    request: {url: "https://api.crm.example/me"}
    response: {values: {org: response.body.org}}
  request:
    url: https://api.crm.example/$(customer.fields.realm)/hooks
    query: {plan: $(customer.fields.plan), org: $(steps.me.org)}
    body:
      target: $(webhookUri)
      secret: $(signingSecret)
      until: $(now + duration("24h"))
      attempt: $(attempt.id) $(attempt.number)
      token: $(base64.encode(bytes(customer.fields.token)))
      count: $(int(customer.fields.pin) + 1)
      type: $(eventType)
  response: {id: response.body.id}
  followUps:
  - name: enable
    request: {method: PUT, url: "https://api.crm.example/hooks/$(subscription.id)", body: {enabled: true}}
  unsubscribe: {steps: [{name: delete, request: {method: DELETE, url: "https://api.crm.example/hooks/$(subscription.id)"}}]}
fields: {realm: r1, plan: 3}
secrets: {token: token-1, pin: "1234"}
app_secrets: {secret: app-1}
"#;

fn hash(setting: &Setting) -> String {
    setting.program().request_hash(&setting.inputs())
}

#[test]
fn what_changes_by_itself_makes_no_other_request() {
    let base = Setting::read(BASE);
    let check = |name: &str, edit: fn(&mut Setting)| {
        let mut edited = base.clone();
        edit(&mut edited);
        assert_eq!(hash(&edited), hash(&base), "{name}");
    };
    check("nothing", |_| {});
    check("a refreshed token", |it| {
        it.secrets.insert("token".into(), "token-2".into());
        it.secrets.insert("pin".into(), "99".into());
        it.app_secrets.insert("secret".into(), "app-2".into());
    });
    check("an edited header", |it| {
        let headers = &mut it.subscription.defaults.headers;
        headers.insert("X-More".into(), "1".into());
        it.subscription.request.headers = headers.clone();
    });
    check("an edited credentials request", |it| {
        let credentials = it.subscription.credentials.as_mut().unwrap();
        credentials.request.url = "https://login.crm.example/other".into();
    });
    check("an edited step before", |it| {
        it.subscription.prepare[0].request.url = "https://api.crm.example/them".into();
    });
    check("an edited removal", |it| it.subscription.unsubscribe = None);
    check("an edited answer", |it| {
        it.subscription.response.id = Some("response.body.other".into());
    });
    check("a field that no request names", |it| {
        it.fields.insert("other".into(), json!("x"));
    });
    check("another form of the same expression", |it| {
        let body = it.subscription.request.body.as_mut().unwrap();
        body["until"] = json!("$( now+duration('24h') )");
    });
}

#[test]
fn what_is_asked_for_makes_another() {
    let base = Setting::read(BASE);
    let mut seen = vec![hash(&base)];
    let mut check = |name: &str, edit: fn(&mut Setting)| {
        let mut edited = base.clone();
        edit(&mut edited);
        let hash = hash(&edited);
        assert!(!seen.contains(&hash), "{name}");
        seen.push(hash);
    };
    check("a changed method", |it| {
        it.subscription.request.method = Some("PUT".into())
    });
    check("a changed URL", |it| {
        it.subscription.request.url = "https://api.crm.example/v2/hooks".into();
    });
    check("a changed field in the URL", |it| {
        it.fields.insert("realm".into(), json!("r2"));
    });
    check("a changed field in the query", |it| {
        it.fields.insert("plan".into(), json!(4));
    });
    check("a parameter more", |it| {
        it.subscription.request.query.insert("z".into(), "1".into());
    });
    check("a changed body", |it| {
        it.subscription.request.body.as_mut().unwrap()["events"] = json!(["a"]);
    });
    check("a changed span from now", |it| {
        let body = it.subscription.request.body.as_mut().unwrap();
        body["until"] = json!("$(now + duration(\"48h\"))");
    });
    check("another way to use a secret", |it| {
        let body = it.subscription.request.body.as_mut().unwrap();
        body["count"] = json!("$(int(customer.fields.pin) + 2)");
    });
    check("a member that names the secret", |it| {
        let body = it.subscription.request.body.as_mut().unwrap();
        body["key"] = json!("$(signingSecret)");
    });
    check("a changed follow-up", |it| {
        it.subscription.follow_ups[0].request.body = Some(json!({"enabled": "yes"}));
    });
    check("a follow-up more", |it| {
        let mut step = it.subscription.follow_ups[0].clone();
        step.name = "again".into();
        it.subscription.follow_ups.push(step);
    });
    check("a body as a form", |it| {
        it.subscription.request.body = None;
        it.subscription.request.form.insert("a".into(), "1".into());
    });
    check("a body as text", |it| {
        it.subscription.request.body = None;
        it.subscription.request.text = Some("a=1".into());
    });
}

#[test]
fn the_hash_needs_nothing_of_the_registration_and_holds_no_secret() {
    let setting = Setting::read(BASE);
    let hash = hash(&setting);
    assert_eq!(hash.len(), 64);
    // With other secrets it is the same, so it cannot tell them.
    assert!(hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[test]
fn tokens_are_cached_under_what_asks_for_them() {
    let key = |edit: fn(&mut Setting), at: &str| {
        let mut setting = Setting::read(BASE);
        let credentials = setting.subscription.credentials.as_mut().unwrap();
        credentials
            .request
            .form
            .insert("at".into(), "$(now)".into());
        edit(&mut setting);
        let request = setting
            .program()
            .render_credentials(&setting.inputs(), at.parse().unwrap());
        request.unwrap().unwrap().cache_key
    };
    let base = key(|_| {}, NOW);
    assert_eq!(
        base,
        key(|_| {}, "2027-01-01T00:00:00Z"),
        "the time is no difference"
    );
    let other = key(
        |it| {
            it.app_secrets.insert("secret".into(), "app-2".into());
        },
        NOW,
    );
    assert_ne!(base, other);
}
