//! What the app's records tell of the whole time, not only of the end: nothing stood twice, not even
//! for a moment.

use crate::support::model_app::{Hook, ModelApp};

/// Sees that a customer's registrations with one and the same target never stood at the same time,
/// and that never more than two did: a changed one, or where `is_recreated` a renewed one, and the
/// one that it takes over from. How often two stood.
///
/// # Panics
/// When it was otherwise.
pub fn never_twice(app: &ModelApp, customer: &str, is_recreated: bool) -> usize {
    let all = app.all(customer);
    let mut overlaps = 0;
    for (index, new) in all.iter().enumerate() {
        let standing: Vec<&Hook> = all[..index]
            .iter()
            .filter(|old| old.ended.is_none_or(|(ended, _)| ended > new.made))
            .collect();
        for old in &standing {
            assert_ne!(
                old.target, new.target,
                "{customer} was registered twice at one URI: {old:#?} {new:#?}"
            );
            assert!(
                is_recreated || old.body["label"] != new.body["label"],
                "{customer} was registered twice though nothing changed: {old:#?} {new:#?}"
            );
        }
        assert!(
            standing.len() <= 1,
            "{customer} had more than two: {new:#?} beside {standing:#?}"
        );
        overlaps += standing.len();
    }
    overlaps
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_twice_is_noticed() {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    // Target and label of each, and whether that is right.
    for (made, is_right) in [
        (&[("/1", "a"), ("/2", "b")][..], true),
        (&[("/1", "a"), ("/1", "b")], false),
        (&[("/1", "a"), ("/2", "a")], false),
        (&[("/1", "a"), ("/2", "b"), ("/3", "c")], false),
    ] {
        let app = ModelApp::start().await;
        for (target, label) in made {
            let request = client.post(format!("{}/a/hooks", app.url()));
            let body = serde_json::json!({"target": target, "label": label}).to_string();
            let answer = request.bearer_auth("token-a").body(body).send().await;
            assert_eq!(answer.unwrap().status(), 201);
        }
        let judge = std::panic::AssertUnwindSafe(|| never_twice(&app, "a", false));
        let judged = std::panic::catch_unwind(judge);
        assert_eq!(judged.ok(), is_right.then_some(1), "{made:?}");
    }
}
