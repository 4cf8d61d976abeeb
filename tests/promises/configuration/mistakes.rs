//! Whoever is not who they should be is refused, with what to do, and the pod goes on by itself once
//! the mistake is mended.

use axum::http::StatusCode;
use jiff::Timestamp;
use tidegate::controller::certificates::{self, Certificates};

use super::entries::{KEY, delivering};
use super::send;
use crate::support::command::tidegate;
use crate::support::controller::Controller;
use crate::support::gateway::Gateway;

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_of_another_authority_is_not_trusted() {
    let controller = Controller::start(1).await;
    controller.set(delivering("http://127.0.0.1:9/"));
    let mut other = Certificates::default();
    let names = ["localhost".to_owned()];
    certificates::make(&mut other, &names, Timestamp::now()).unwrap();
    let mut pod = Gateway::new(&controller, "pod-0");
    pod.put("ca.crt", &other.bundle());
    pod.spawn();
    pod.says("is not trusted: its certificate is of an unknown authority")
        .await;
    pod.says("ca.crt holds the authorities of this installation")
        .await;
    let (status, _) = pod.get(pod.probes, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(controller.observed().unwrap().pods.len(), 0);

    pod.put("ca.crt", "nothing of the kind");
    pod.says("it holds no PEM certificate").await;
    // The authorities overlap while they are replaced.
    pod.put(
        "ca.crt",
        &format!("{}{}", other.bundle(), controller.certificates.bundle()),
    );
    pod.is_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_without_a_good_token_is_refused() {
    let controller = Controller::start(1).await;
    controller.set(delivering("http://127.0.0.1:9/"));
    let mut pod = Gateway::new(&controller, "pod-0");
    let good = std::fs::read_to_string(pod.path("token")).unwrap();
    pod.put("token", "some-other-token");
    pod.spawn();
    pod.says("the controller refuses this pod (401 Unauthorized)")
        .await;
    pod.says("the token is refused: nobody has issued it").await;
    pod.put("token", "");
    pod.says("it is empty, where a ServiceAccount token should be")
        .await;
    pod.put("token", "two\nlines");
    pod.says("it holds something that is no token").await;
    let stranger = controller.tokens.issue(&pod.gateway, "pod-1");
    pod.put("token", &stranger);
    pod.says("the token is the pod pod-1's").await;
    assert_eq!(controller.observed().unwrap().pods.len(), 0);
    let early = send(&pod, "/shop/orders", KEY, "1").await;
    assert_eq!(early, Some(StatusCode::SERVICE_UNAVAILABLE));

    // The kubelet writes a new one: no restart is needed.
    pod.put("token", &good);
    pod.is_ready().await;
    let output = pod.output();
    for token in [good.as_str(), "some-other-token", &stranger] {
        assert!(!output.contains(token), "{output}");
    }
}

#[test]
fn what_cannot_work_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "too short").unwrap();
    let data = folder.path().join("data");
    let check = |changed: &[&str], expected: &str, code: i32| {
        let mut arguments = vec![
            "gateway",
            "--configuration-url=https://localhost:1",
            "--gateway=tidegate/default",
            "--pod=pod-0",
            "--log-format=text",
            "--listen=127.0.0.1:0",
            "--probes=127.0.0.1:0",
        ];
        let paths = [
            format!("--snapshot-key-file={}", key.display()),
            format!("--data-dir={}", data.display()),
        ];
        arguments.extend(paths.iter().map(String::as_str));
        for changed in changed {
            let (name, _) = changed.split_once('=').unwrap();
            arguments.retain(|argument| !argument.starts_with(name));
            arguments.push(changed);
        }
        let ran = tidegate(&arguments);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stderr.contains(expected), "{expected}: {ran:?}");
    };
    check(&["--snapshot-key-file=/nowhere/key"], "/nowhere/key", 1);
    check(&["--gateway=default"], "write NAMESPACE/NAME", 2);
    check(&["--admin=0.0.0.0:8082"], "loopback", 2);
    check(
        &["--configuration-url=http://localhost:1"],
        "https://HOST:PORT",
        2,
    );
    check(&["--log-capacity=1000"], "at least", 1);
    check(&["--pod=pod-0"], "put 32 random bytes there", 1);
    let help = tidegate(&["gateway", "--help"]);
    assert!(
        help.stdout.contains("Example: tidegate gateway"),
        "{help:?}"
    );
}
