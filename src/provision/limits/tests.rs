//! Spacing, concurrency and pauses, on a clock that stands still unless somebody waits.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::{advance, sleep};

use super::*;

fn limits(requests_per_second: u32, concurrency: u32) -> RequestLimits {
    RequestLimits {
        requests_per_second: Some(requests_per_second),
        concurrency: Some(concurrency),
        timeout: None,
    }
}

fn name(text: &str) -> ObjectName {
    ObjectName::new("crm", text)
}

fn host() -> HostName {
    HostName::of(&Url::parse("https://api.example/v1/hooks?a=b").unwrap())
}

async fn permit(hosts: &Hosts, limits: &RequestLimits) -> Result<Permit, Instant> {
    hosts.know(&host(), &name("contacts"), limits);
    hosts.permit(&host()).await
}

async fn go(hosts: &Hosts, limits: &RequestLimits) -> Permit {
    permit(hosts, limits)
        .await
        .unwrap_or_else(|_| panic!("the host is paused"))
}

#[test]
fn a_host_is_its_name_and_its_port() {
    let check = |url: &str, expected: &str| {
        assert_eq!(HostName::of(&Url::parse(url).unwrap()).0, expected);
    };
    check("https://API.example/a?b=c", "api.example:443");
    check("http://api.example:8080/", "api.example:8080");
    check("http://[::1]/", "[::1]:80");
}

#[tokio::test(start_paused = true)]
async fn no_second_holds_more_requests_than_are_allowed() {
    let hosts = Hosts::default();
    let mut times = Vec::new();
    let start = Instant::now();
    for _ in 0..200 {
        go(&hosts, &limits(20, 8)).await.done(Health::Good);
        times.push(start.elapsed());
    }
    for (index, time) in times.iter().enumerate().skip(21) {
        assert!(
            *time - times[index - 21] >= Duration::from_millis(999),
            "request {index}"
        );
    }
    assert!(times[199] < Duration::from_secs(11), "{:?}", times[199]);
}

#[tokio::test(start_paused = true)]
async fn no_more_are_under_way_than_are_allowed() {
    let hosts = Arc::new(Hosts::default());
    let under_way = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (hosts, under_way) = (hosts.clone(), under_way.clone());
            tokio::spawn(async move {
                let permit = go(&hosts, &limits(1000, 3)).await;
                let count = under_way.fetch_add(1, Ordering::Relaxed) + 1;
                sleep(Duration::from_millis(500)).await;
                under_way.fetch_sub(1, Ordering::Relaxed);
                permit.done(Health::Good);
                count
            })
        })
        .collect();
    let mut most = 0;
    for task in tasks {
        most = most.max(task.await.unwrap());
    }
    assert_eq!(most, 3);
}

#[tokio::test(start_paused = true)]
async fn of_several_types_the_strictest_counts() {
    let hosts = Hosts::default();
    let one = go(&hosts, &limits(1000, 8)).await;
    hosts.know(&host(), &name("deals"), &limits(1, 2));
    assert_eq!(hosts.concurrency(&host()), 2);
    let start = Instant::now();
    let other = go(&hosts, &limits(1000, 8)).await;
    drop((one, other));
    go(&hosts, &limits(1000, 8)).await.done(Health::Good);
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    // Once the strict type is gone, the other's own limits count.
    hosts.keep_types(|kept| *kept == name("contacts"));
    hosts.know(&host(), &name("contacts"), &limits(1000, 8));
    assert_eq!(hosts.concurrency(&host()), 8);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_asks_for_a_pause_gets_it_at_once() {
    let hosts = Hosts::default();
    let waiting = limits(1000, 1);
    let open = go(&hosts, &waiting).await;
    open.done(Health::Bad(Some(Duration::from_secs(90))));
    let until = permit(&hosts, &waiting).await.err().unwrap();
    assert_eq!(until - Instant::now(), Duration::from_secs(90));
    assert_eq!(hosts.paused_until(&host()), Some(until));
    advance(Duration::from_secs(91)).await;
    assert_eq!(hosts.paused_until(&host()), None);
    go(&hosts, &waiting).await.done(Health::Good);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_down_for_ten_minutes_is_asked_some_thirty_times_and_then_noticed() {
    let hosts = Hosts::default();
    let start = Instant::now();
    let mut asked = 0;
    while start.elapsed() < Duration::from_secs(600) {
        match permit(&hosts, &limits(20, 8)).await {
            Ok(permit) => {
                asked += 1;
                permit.done(Health::Bad(None));
            }
            Err(until) => sleep_until(until).await,
        }
    }
    assert!((25..45).contains(&asked), "asked {asked} times");
    let until = permit(&hosts, &limits(20, 8)).await.err();
    sleep_until(until.unwrap_or_else(Instant::now)).await;
    // One probe at a time until it answers.
    let probe = go(&hosts, &limits(20, 8)).await;
    hosts.know(&host(), &name("contacts"), &limits(20, 8));
    assert_eq!(hosts.concurrency(&host()), 1);
    probe.done(Health::Good);
    hosts.know(&host(), &name("contacts"), &limits(20, 8));
    assert_eq!(hosts.concurrency(&host()), 8);
    assert!(start.elapsed() < Duration::from_secs(640));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_given_up_is_free_again() {
    let hosts = Hosts::default();
    let strict = limits(1000, 1);
    drop(go(&hosts, &strict).await);
    let held = go(&hosts, &strict).await;
    // One who waits gives up.
    let wait = tokio::time::timeout(Duration::from_secs(1), permit(&hosts, &strict)).await;
    assert!(wait.is_err());
    drop(held);
    go(&hosts, &strict).await.done(Health::Good);
}

#[tokio::test(start_paused = true)]
async fn hosts_of_which_nothing_is_to_be_remembered_are_forgotten() {
    let hosts = Hosts::default();
    for number in 0..5_000 {
        let host = HostName::of(&Url::parse(&format!("https://c{number}.example/")).unwrap());
        hosts.know(&host, &name("contacts"), &limits(1, 1));
        let permit = hosts.permit(&host).await;
        permit
            .unwrap_or_else(|_| panic!("paused"))
            .done(Health::Good);
        advance(Duration::from_secs(2)).await;
    }
    assert!(
        hosts.lock().len() <= HOSTS_TO_SWEEP,
        "{}",
        hosts.lock().len()
    );
}

#[tokio::test(start_paused = true)]
async fn one_who_is_told_to_wait_a_day_does_not_stop_the_others_for_it() {
    let hosts = Hosts::default();
    let day = Duration::from_secs(24 * 60 * 60);
    let first = go(&hosts, &limits(20, 8)).await;
    first.done(Health::Bad(Some(day)));
    assert!(permit(&hosts, &limits(20, 8)).await.is_err());
    sleep(LONGEST_ASKED - Duration::from_secs(1)).await;
    assert!(permit(&hosts, &limits(20, 8)).await.is_err());
    sleep(Duration::from_secs(2)).await;
    go(&hosts, &limits(20, 8)).await.done(Health::Good);
}
