use std::convert::Infallible;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream;
use http::HeaderValue;
use http_body::Frame;
use http_body_util::{Full, StreamBody};

use super::*;

const MOST: usize = 1_000;

fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    list.iter()
        .map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

async fn read_from<B>(
    mut body: B,
    headers: &HeaderMap,
    memory: &BodyMemory,
) -> Result<ReadBody, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    read(
        &mut body,
        headers,
        MOST,
        memory,
        &Workers::for_all_cores(),
        &Bounds::default(),
    )
    .await
}

fn full(content: impl Into<Bytes>) -> Full<Bytes> {
    Full::new(content.into())
}

async fn read_whole(
    body: impl Into<Bytes>,
    list: &[(&'static str, &'static str)],
) -> Result<ReadBody, BodyError> {
    let memory = BodyMemory::new(1_000_000);
    read_from(full(body), &headers(list), &memory).await
}

#[tokio::test]
async fn the_size_is_bounded_as_declared_and_as_sent() {
    assert_eq!(
        read_whole(vec![b'a'; MOST], &[])
            .await
            .unwrap()
            .content
            .len(),
        MOST
    );
    assert_eq!(
        read_whole(vec![b'a'; MOST + 1], &[]).await.unwrap_err(),
        BodyError::TooLarge
    );
    let declared = [("content-length", "1001")];
    assert_eq!(
        read_whole("", &declared).await.unwrap_err(),
        BodyError::TooLarge
    );
    let pieces = (0..).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"0123456789"))));
    let endless = StreamBody::new(stream::iter(pieces));
    let memory = BodyMemory::new(MOST);
    let result = read_from(endless, &HeaderMap::new(), &memory).await;
    assert_eq!(result.unwrap_err(), BodyError::TooLarge);
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn pieces_become_one_body_and_its_memory_is_counted_while_it_lives() {
    let pieces =
        ["ab", "", "cd", "e"].map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
    let memory = BodyMemory::new(MOST);
    let pieces = StreamBody::new(stream::iter(pieces));
    let body = read_from(pieces, &HeaderMap::new(), &memory).await.unwrap();
    assert_eq!(
        (&body.content[..], &body.raw[..], memory.used()),
        (&b"abcde"[..], &b"abcde"[..], 5)
    );
    drop(body);
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn gzip_is_undone_within_the_same_limit_and_the_sent_bytes_are_kept() {
    let coding = [("content-encoding", "gzip")];
    let sent = gzip(b"{\"a\": 1}");
    let body = read_whole(sent.clone(), &coding).await.unwrap();
    assert_eq!(
        (&body.content[..], &body.raw[..]),
        (&b"{\"a\": 1}"[..], &sent[..])
    );
    assert_eq!(
        read_whole(gzip(&[b'a'; MOST]), &coding)
            .await
            .unwrap()
            .content
            .len(),
        MOST
    );
    assert_eq!(
        read_whole(gzip(&[b'a'; MOST + 1]), &coding)
            .await
            .unwrap_err(),
        BodyError::TooLarge
    );
    assert_eq!(
        read_whole(gzip(&[0; 600_000]), &coding).await.unwrap_err(),
        BodyError::TooLarge
    );
    assert_eq!(
        read_whole("plain", &coding).await.unwrap_err(),
        BodyError::MalformedCoding
    );
    assert_eq!(
        read_whole(sent[..sent.len() - 3].to_vec(), &coding)
            .await
            .unwrap_err(),
        BodyError::MalformedCoding
    );
    assert_eq!(read_whole("", &coding).await.unwrap().content.len(), 0);
}

#[tokio::test]
async fn only_one_layer_of_gzip_is_accepted() {
    for name in ["br", "deflate", "gzip, gzip", "gzip, br", "zstd", "\u{fc}"] {
        let mut map = HeaderMap::new();
        map.insert(
            CONTENT_ENCODING,
            HeaderValue::from_bytes(name.as_bytes()).unwrap(),
        );
        let memory = BodyMemory::new(MOST);
        let result = read_from(full("x"), &map, &memory).await;
        assert_eq!(result.unwrap_err(), BodyError::UnsupportedCoding, "{name}");
    }
    for name in ["identity", "", "Identity"] {
        assert!(
            read_whole("x", &[("content-encoding", name)]).await.is_ok(),
            "{name}"
        );
    }
    assert!(
        read_whole(gzip(b"x"), &[("content-encoding", "identity, X-GZIP")])
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_or_trickles_is_given_up() {
    let bounds = Bounds {
        body_timeout: Duration::from_millis(200),
        body_grace: Duration::from_millis(50),
        body_bytes_per_second: 1_000,
        ..Bounds::default()
    };
    let memory = BodyMemory::new(1_000_000);
    let check = async |pause: u64, piece: &'static [u8], least: usize, most: usize| {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let pieces = stream::unfold(counted, move |sent| async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            sent.fetch_add(1, Ordering::Relaxed);
            Some((
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece))),
                sent,
            ))
        });
        let mut body = Box::pin(StreamBody::new(pieces));
        let result = read(
            &mut body,
            &HeaderMap::new(),
            900_000,
            &memory,
            &Workers::for_all_cores(),
            &bounds,
        )
        .await;
        assert_eq!(result.unwrap_err(), BodyError::TooSlow);
        let sent = sent.load(Ordering::Relaxed);
        assert!(
            (least..=most).contains(&sent),
            "{sent} pieces, every {pause} ms"
        );
    };
    // Nothing comes at all; pieces that buy less time than they take; pieces fast enough, without end.
    check(3_600_000, b"x", 0, 0).await;
    check(10, b"x", 0, 6).await;
    check(5, b"0123456789", 6, 100).await;
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn memory_for_bodies_is_waited_for_and_then_refused() {
    let memory = BodyMemory::new(10);
    let first = read_from(full("12345678"), &HeaderMap::new(), &memory)
        .await
        .unwrap();
    let impatient = Bounds {
        body_timeout: Duration::from_millis(20),
        ..Bounds::default()
    };
    let mut body = full("12345678");
    let refused = read(
        &mut body,
        &HeaderMap::new(),
        MOST,
        &memory,
        &Workers::for_all_cores(),
        &impatient,
    )
    .await;
    assert_eq!(refused.unwrap_err(), BodyError::NoMemory);
    let second = tokio::spawn({
        let memory = memory.clone();
        async move {
            read_from(full("12345678"), &HeaderMap::new(), &memory)
                .await
                .map(drop)
        }
    });
    tokio::task::yield_now().await;
    assert!(!second.is_finished());
    drop(first);
    assert_eq!(second.await.unwrap(), Ok(()));
    assert_eq!(memory.used(), 0);
}
