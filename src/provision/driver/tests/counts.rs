//! What the driver counts for the operator.

use crate::configuration::Reports;

use super::world::{Mood, World, desired, many, subscription};

#[tokio::test(start_paused = true)]
async fn every_kind_of_outcome_is_counted_by_labels_of_ours() {
    let world = World::new().await;
    world.want(many(&subscription("created", ""), 3));
    world.wait(10).await;
    has_metrics(
        &world,
        &[
            "requests_total{request=\"Subscribe\",outcome=\"Succeeded\"} 3",
            "registrations{state=\"Active\"} 3",
            "orphans 0",
            "quiet_subscriptions 0",
        ],
    );
    assert!(!world.metrics().contains("next_expiry"), "nothing expires");
}

#[tokio::test(start_paused = true)]
async fn quiet_subscriptions_are_counted_and_the_first_expiry_is_foreseen() {
    let world = World::new().await;
    let quiet = subscription("created", "quietPeriod: 1h");
    let expires = |hours: u32| {
        let mut subscription = subscription("created", "");
        let at = serde_json::json!(format!("now + duration('{hours}h')"));
        let response = &mut subscription.response;
        response.expires_at = Some(serde_json::from_value(at).unwrap());
        desired(&subscription, &format!("expires-in-{hours}"))
    };
    let mut wishes = many(&quiet, 2);
    wishes.extend([expires(3), expires(2)]);
    world.want(wishes.clone());
    world.wait(3_000).await;
    // They were made within the first second, and expire so long after that.
    has_metrics(
        &world,
        &["registrations{state=\"Active\"} 4", "quiet_subscriptions 0"],
    );
    let next = world.metric("next_expiry_seconds");
    assert!((4_199..=4_201).contains(&next), "{next}");
    let now = world.driver.0.now();
    world.driver.received(&wishes[0].name, 1, now);
    world.wait(660).await;
    has_metrics(&world, &["quiet_subscriptions 1"]);
    world.wait(3_000).await;
    has_metrics(&world, &["quiet_subscriptions 2"]);
    // An event ends it, and what is not wanted any more may be as quiet as it likes.
    let now = world.driver.0.now();
    world.driver.received(&wishes[1].name, 1, now);
    world.wait(60).await;
    has_metrics(&world, &["quiet_subscriptions 1"]);
    world.app.mood(Mood::Down);
    world.want(Vec::new());
    world.wait(60).await;
    has_metrics(
        &world,
        &[
            "quiet_subscriptions 0",
            "registrations{state=\"Leaving\"} 4",
        ],
    );
    assert!(
        !world.metrics().contains("next_expiry"),
        "what leaves may expire"
    );
}

#[tokio::test(start_paused = true)]
async fn what_should_have_been_renewed_by_now_is_counted() {
    let world = World::new().await;
    let mut subscription = subscription("created", "");
    let at = serde_json::json!("now + duration('2h')");
    subscription.response.expires_at = Some(serde_json::from_value(at).unwrap());
    world.want(vec![desired(&subscription, "expires")]);
    world.wait(60).await;
    world.app.mood(Mood::Down);
    // It is to be renewed after an hour, give or take; half an hour later it is late.
    world.wait(3_600).await;
    has_metrics(&world, &["expiring_soon 0"]);
    world.wait(2_700).await;
    has_metrics(&world, &["expiring_soon 1"]);
    world.app.mood(Mood::Well);
    world.wait(900).await;
    has_metrics(&world, &["expiring_soon 0"]);
}

fn has_metrics(world: &World, lines: &[&str]) {
    let text = world.metrics();
    for line in lines {
        let line = format!("\ntidegate_provision_{line}\n");
        assert!(text.contains(&line), "{line} is not in {text}");
    }
}
