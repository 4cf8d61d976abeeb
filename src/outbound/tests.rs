//! The address guard: every spelling of every kind of forbidden address.

use futures_util::FutureExt;
use tokio::io::AsyncReadExt;
use url::Url;

use super::*;

fn verdict(policy: AddressPolicy, url: &str) -> Result<(), UrlRefused> {
    check_url(policy, &Url::parse(url).unwrap())
}

#[test]
fn every_spelling_of_a_loopback_address_is_the_same_address() {
    let check = |host: &str| {
        let url = format!("http://{host}/events");
        let refused = verdict(AddressPolicy::PublicOnly, &url).unwrap_err();
        assert!(
            refused.to_string().ends_with("is a loopback address"),
            "{host}: {refused}"
        );
        assert_eq!(verdict(AddressPolicy::AllowPrivate, &url), Ok(()), "{host}");
    };
    check("127.0.0.1");
    check("127.0.0.1.");
    check("2130706433");
    check("0x7f.1");
    check("0x7f000001");
    check("0X7F.0x0.0X0.0x1");
    check("127.1");
    check("127.0.1");
    check("0177.0.0.1");
    check("017700000001");
    check("127.255.255.254");
    check("127%2e0%2e0%2e1");
    check("１２７.0.0.1");
    check("127。0。0。1");
    check("①②⑦.0.0.1");
    check("[::1]");
    check("[0:0:0:0:0:0:0:1]");
    check("[::ffff:127.0.0.1]");
    check("[::ffff:7f00:1]");
    check("[::127.0.0.1]");
    check("[::ffff:0:127.0.0.1]");
    check("[64:ff9b::127.0.0.1]");
    check("[2002:7f00:1::]");
    check("[2002:7f00:1:1:2:3:4:5]");
}

#[test]
fn addresses_of_private_networks_need_the_other_policy() {
    let check = |host: &str, kind: &str| {
        let url = format!("https://{host}/");
        let refused = verdict(AddressPolicy::PublicOnly, &url).unwrap_err();
        assert!(refused.to_string().ends_with(kind), "{host}: {refused}");
        assert_eq!(verdict(AddressPolicy::AllowPrivate, &url), Ok(()), "{host}");
    };
    check("10.0.0.0", "a private address");
    check("10.255.255.255", "a private address");
    check("172.16.0.1", "a private address");
    check("172.31.255.255", "a private address");
    check("192.168.0.1", "a private address");
    check("3232235521", "a private address");
    check("0300.0250.0.1", "a private address");
    check("[::ffff:10.1.2.3]", "a private address");
    check("[64:ff9b::10.1.2.3]", "a private address");
    check("[2002:a00:1::1]", "a private address");
    check("100.64.0.1", "an address of shared address space");
    check("100.127.255.255", "an address of shared address space");
    check("198.18.0.1", "an address for benchmarks");
    check("240.0.0.1", "a reserved address");
    check("[fc00::1]", "a unique local address");
    check("[fd12:3456::1]", "a unique local address");
}

#[test]
fn some_addresses_are_refused_whatever_the_policy() {
    let check = |host: &str, kind: &str| {
        for policy in [AddressPolicy::PublicOnly, AddressPolicy::AllowPrivate] {
            let refused = verdict(policy, &format!("http://{host}/")).unwrap_err();
            assert!(refused.to_string().ends_with(kind), "{host}: {refused}");
        }
    };
    check("169.254.169.254", "a cloud metadata address");
    check("2852039166", "a cloud metadata address");
    check("0xA9FEA9FE", "a cloud metadata address");
    check("0251.0376.0251.0376", "a cloud metadata address");
    check("169.254.43518", "a cloud metadata address");
    check("[::ffff:169.254.169.254]", "a cloud metadata address");
    check("[::ffff:a9fe:a9fe]", "a cloud metadata address");
    check("[::169.254.169.254]", "a cloud metadata address");
    check("[64:ff9b::169.254.169.254]", "a cloud metadata address");
    check("[2002:a9fe:a9fe::]", "a cloud metadata address");
    check("[fd00:ec2::254]", "a cloud metadata address");
    check("[fd00:0ec2:0:0:0:0:0:0254]", "a cloud metadata address");
    check("[fd20:ce::254]", "a cloud metadata address");
    check("100.100.100.200", "a cloud metadata address");
    check("192.0.0.192", "a cloud metadata address");
    check("168.63.129.16", "a cloud metadata address");
    check("169.254.0.1", "a link-local address");
    check("169.254.170.2", "a link-local address");
    check("[fe80::1]", "a link-local address");
    check("[febf::1]", "a link-local address");
    check("[fec0::1]", "a site-local address");
    check("0.0.0.0", "an unspecified address");
    check("0", "an unspecified address");
    check("0.1.2.3", "an unspecified address");
    check("[::]", "an unspecified address");
    check("[::ffff:0.0.0.0]", "an unspecified address");
    check("224.0.0.1", "a multicast address");
    check("239.255.255.250", "a multicast address");
    check("[ff02::1]", "a multicast address");
    check("255.255.255.255", "the broadcast address");
    check("192.0.2.1", "an address for documentation");
    check("198.51.100.1", "an address for documentation");
    check("203.0.113.1", "an address for documentation");
    check("[2001:db8::1]", "an address for documentation");
    check("[3fff::1]", "an address for documentation");
    check("192.0.0.1", "a reserved address");
    check("192.88.99.1", "a reserved address");
    check("[2001::1]", "a reserved address");
    check(
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        "a reserved address",
    );
    check(
        "[64:ff9b:1::10.0.0.1]",
        "an address of a local NAT64 prefix",
    );
    check("[100::1]", "a reserved address");
    check("[5f00::1]", "a reserved address");
}

#[test]
fn public_addresses_and_names_pass() {
    for host in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "223.255.255.255",
        "16843009",
        "[2606:4700:4700::1111]",
        "[64:ff9b::1.1.1.1]",
        "[2002:101:101::1]",
        "[2001:4860:4860::8888]",
        "orders.example.com",
        "localhost",
    ] {
        for policy in [AddressPolicy::PublicOnly, AddressPolicy::AllowPrivate] {
            assert_eq!(
                verdict(policy, &format!("http://{host}/")),
                Ok(()),
                "{host}"
            );
        }
    }
}

#[test]
fn only_plain_http_and_https_urls_are_targets() {
    let check = |url: &str, expected: UrlRefused| {
        assert_eq!(verdict(AddressPolicy::AllowPrivate, url), Err(expected));
    };
    check("ftp://1.1.1.1/", UrlRefused::Scheme);
    check("file:///etc/passwd", UrlRefused::Scheme);
    check("unix:/run/x.sock", UrlRefused::Scheme);
    check("http://user@1.1.1.1/", UrlRefused::Credentials);
    check("https://:pass@example.com/", UrlRefused::Credentials);
}

#[tokio::test]
async fn a_name_that_leads_to_a_forbidden_address_is_not_connected_to() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let lookup: Lookup = Arc::new(|host| {
        Box::pin(async move {
            Ok(match host.as_str() {
                "metadata.example" => vec!["169.254.169.254".parse().unwrap()],
                _ => vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
            })
        })
    });
    let outbound = Outbound::with_lookup(lookup, None);
    let request = async |policy, host: &str| {
        let client = outbound.client(policy, &Tls::default()).unwrap();
        let url = format!("http://{host}:{port}/");
        let limit = Duration::from_secs(300);
        client.get(url).timeout(limit).send().await
    };
    for (policy, host) in [
        (AddressPolicy::PublicOnly, "rebound.example"),
        (AddressPolicy::PublicOnly, "metadata.example"),
        (AddressPolicy::AllowPrivate, "metadata.example"),
    ] {
        let error = request(policy, host).await.unwrap_err();
        assert!(error.is_dns(), "{host}: {error:?}");
        assert!(listener.accept().now_or_never().is_none(), "{host}");
    }
    // The same name under the other policy does connect, so the test can tell.
    tokio::select! {
        answer = request(AddressPolicy::AllowPrivate, "rebound.example") => panic!("{answer:?}"),
        accepted = listener.accept() => assert!(accepted.is_ok()),
    }
}

#[test]
fn the_proxy_is_read_from_variables_and_its_password_is_never_shown() {
    let variables = |pairs: &'static [(&str, &str)]| {
        move |name: &str| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    };
    assert!(
        ProxySettings::from_variables(variables(&[]))
            .unwrap()
            .is_none()
    );
    assert!(
        ProxySettings::from_variables(variables(&[("HTTPS_PROXY", "")]))
            .unwrap()
            .is_none()
    );
    assert_eq!(
        ProxySettings::from_variables(variables(&[("https_proxy", "socks5://x")])).unwrap_err(),
        ProxyError
    );
    let proxy = ProxySettings::from_variables(variables(&[
        ("HTTPS_PROXY", "http://user:hunter2@proxy.internal:3128"),
        ("NO_PROXY", ".svc,10.0.0.0/8"),
    ]))
    .unwrap()
    .unwrap();
    let shown = format!("{proxy:?}");
    assert!(shown.contains("proxy.internal") && !shown.contains("hunter2"));
    let outbound = Outbound::new(Some(proxy));
    let url = Url::parse("https://proxy.internal/").unwrap();
    assert_eq!(
        outbound.check(AddressPolicy::PublicOnly, &url),
        Err(UrlRefused::Proxy)
    );
    assert_eq!(outbound.check(AddressPolicy::AllowPrivate, &url), Ok(()));
}

#[tokio::test]
async fn only_public_https_requests_pass_through_the_proxy() {
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = proxy.local_addr().unwrap().port();
    let lookup: Lookup = Arc::new(|host| {
        let found = match host.as_str() {
            "proxy.internal" => vec!["127.0.0.1".parse().unwrap()],
            _ => vec!["10.255.255.1".parse().unwrap()],
        };
        Box::pin(async move { Ok(found) })
    });
    let settings = ProxySettings::new(
        &format!("http://user:hunter2@proxy.internal:{port}"),
        "direct.example,.svc",
    );
    let outbound = Outbound::with_lookup(lookup, Some(settings.unwrap()));
    let for_all = outbound.clone().with_proxy_for_all();
    // The head of what the proxy is asked, or nothing.
    let ask = async |outbound: &Outbound, policy, url: &str, expected: Option<&str>| {
        let client = outbound.client(policy, &Tls::default()).unwrap();
        let limit = Duration::from_millis(300);
        let request = tokio::spawn(client.get(url).timeout(limit).send());
        let asked = tokio::time::timeout(limit, async {
            let (mut stream, _) = proxy.accept().await.unwrap();
            let mut head = vec![0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            String::from_utf8(head[..length].to_vec()).unwrap()
        })
        .await;
        let line = asked.as_ref().ok().and_then(|head| head.lines().next());
        assert_eq!(line, expected, "{url}");
        if let Ok(head) = &asked {
            // user:hunter2
            let basic = "Proxy-Authorization: Basic dXNlcjpodW50ZXIy";
            assert!(
                head.lines().any(|line| line.eq_ignore_ascii_case(basic)),
                "{head}"
            );
        }
        assert!(request.await.unwrap().is_err());
    };
    let check = async |policy, url: &str, expected: Option<&str>| {
        ask(&outbound, policy, url, expected).await;
    };
    use AddressPolicy::{AllowPrivate, PublicOnly};
    check(
        PublicOnly,
        "https://orders.example/",
        Some("CONNECT orders.example:443 HTTP/1.1"),
    )
    .await;
    check(PublicOnly, "http://orders.example/", None).await;
    check(PublicOnly, "https://direct.example/", None).await;
    check(PublicOnly, "https://invoicing.shop.svc/", None).await;
    check(AllowPrivate, "https://orders.example/", None).await;
    let tunnel = Some("CONNECT orders.example:443 HTTP/1.1");
    ask(&for_all, AllowPrivate, "https://orders.example/", tunnel).await;
    ask(&for_all, AllowPrivate, "https://direct.example/", None).await;
}
