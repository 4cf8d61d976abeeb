//! The log on the real file system: its API as its callers use it.

use std::time::Duration;

use super::*;

mod crashes;
mod faults;
mod simulated;

/// Small segments, so that little data makes many of them, and a clock that counts.
fn options(capacity: u64, segment_size: u32) -> Options {
    let ticks = std::sync::atomic::AtomicI64::new(1000);
    Options {
        segment_size,
        low_water: u64::from(segment_size) * 2,
        space_check: Duration::from_millis(10),
        clock: Arc::new(move || ticks.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
        ..Options::for_capacity(capacity)
    }
}

fn record(number: u64, length: usize) -> Record {
    Record {
        header: number.to_le_bytes().to_vec(),
        body: vec![number as u8; length].into(),
    }
}

fn bytes(number: u64, length: usize) -> Vec<u8> {
    let Record { header, body } = record(number, length);
    [&header[..], &body].concat()
}

fn open(folder: &tempfile::TempDir, options: Options) -> (EventLog, Recovery) {
    EventLog::open(FileStorage::new(folder.path().join("deep/log")), options).unwrap()
}

fn entries(log: &EventLog, from: ScanFrom) -> Vec<Entry> {
    let mut scan = log.scan(from);
    std::iter::from_fn(|| scan.next().unwrap())
        .map(|item| match item {
            ScanItem::Record(entry) => entry,
            ScanItem::Damage(damage) => panic!("{damage}"),
        })
        .collect()
}

fn numbers(entries: &[Entry]) -> Vec<u64> {
    entries
        .iter()
        .map(|entry| u64::from_le_bytes(entry.bytes[..8].try_into().unwrap()))
        .collect()
}

#[tokio::test]
async fn what_is_appended_is_read_back_also_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let (log, recovery) = open(&folder, options(1 << 20, 64 << 10));
    assert_eq!(
        (recovery.segments, recovery.next_sequence),
        (0, Sequence(1))
    );
    let mut positions = Vec::new();
    for number in 0..100 {
        let records = (0..3).map(|i| record(number * 3 + i, 1000)).collect();
        positions.extend(log.append(records).await.unwrap());
    }
    let sequences: Vec<u64> = positions.iter().map(|(sequence, _)| sequence.0).collect();
    assert_eq!(sequences, (1..=300).collect::<Vec<_>>());
    assert_eq!(*log.high_watermark().borrow(), Sequence(300));

    let check = |log: &EventLog| {
        let all = entries(log, ScanFrom::Oldest);
        assert_eq!(numbers(&all), (0..300).collect::<Vec<_>>());
        for (entry, (sequence, position)) in all.iter().zip(&positions) {
            assert_eq!((entry.sequence, entry.position), (*sequence, *position));
            assert_eq!(log.read(*position).unwrap(), *entry);
            assert_eq!(entry.bytes, bytes(sequence.0 - 1, 1000));
        }
        assert_eq!(
            numbers(&entries(log, ScanFrom::After(Sequence(290)))),
            (290..300).collect::<Vec<_>>()
        );
        let segments = log.segments();
        assert!(segments.len() >= 5);
        assert!(
            segments[..segments.len() - 1]
                .iter()
                .all(|segment| segment.sealed)
        );
        assert_eq!(
            segments.iter().map(|segment| segment.records).sum::<u32>(),
            300
        );
        all
    };
    let before = check(&log);
    assert!(matches!(
        EventLog::open(
            FileStorage::new(folder.path().join("deep/log")),
            options(1 << 20, 64 << 10)
        ),
        Err(OpenError::Locked)
    ));
    log.close().await;
    assert_eq!(
        log.append(vec![record(0, 1)]).await,
        Err(AppendError::Closed)
    );

    let (log, recovery) = open(&folder, options(1 << 20, 64 << 10));
    assert_eq!(recovery.damage, []);
    assert_eq!(
        (recovery.torn_bytes, recovery.next_sequence),
        (0, Sequence(301))
    );
    assert_eq!(check(&log), before);
    assert_eq!(
        log.append(vec![record(300, 5)]).await.unwrap()[0].0,
        Sequence(301)
    );
}

#[tokio::test]
async fn an_append_larger_than_a_segment_gets_one_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = open(&folder, options(4 << 20, 64 << 10));
    for (number, length) in [(0, 10), (1, 500_000), (2, 10), (3, 900_000), (4, 60_000)] {
        log.append(vec![record(number, length)]).await.unwrap();
    }
    assert_eq!(numbers(&entries(&log, ScanFrom::Oldest)), [0, 1, 2, 3, 4]);
    assert_eq!(
        log.append(vec![record(5, 2 << 20)]).await,
        Err(AppendError::TooLarge)
    );
    log.close().await;
    let (log, _) = open(&folder, options(4 << 20, 64 << 10));
    assert_eq!(numbers(&entries(&log, ScanFrom::Oldest)), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_full_log_refuses_and_accepts_again_once_a_segment_is_freed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = open(&folder, options(512 << 10, 64 << 10));
    let space = log.space();
    assert_eq!(*space.borrow(), Space::Ample);
    let mut acknowledged = Vec::new();
    let refused = loop {
        match log
            .append(vec![record(acknowledged.len() as u64, 10_000)])
            .await
        {
            Ok(appended) => acknowledged.extend(appended),
            Err(error) => break error,
        }
        if *space.borrow() == Space::Low {
            assert!(log.usage().used < log.usage().capacity);
        }
    };
    assert_eq!(refused, AppendError::Full);
    assert_eq!(*space.borrow(), Space::Full);
    assert!(log.usage().allocated <= log.usage().capacity);
    assert_eq!(entries(&log, ScanFrom::Oldest).len(), acknowledged.len());

    // A full log still has room to relocate what must stay.
    let oldest = log.segments()[0].clone();
    let kept = acknowledged[2];
    assert_eq!(kept.1.segment, oldest.id);
    let before = log.read(kept.1).unwrap();
    let moved = log.relocate(vec![kept]).await.unwrap()[0];
    assert!(matches!(
        log.relocate(vec![(Sequence(1), kept.1)]).await,
        Err(RelocateError::Mismatch(Sequence(1)))
    ));
    log.free(oldest.id).unwrap();
    assert!(matches!(log.read(kept.1), Err(ReadError::Gone(_))));
    assert_eq!(log.free(oldest.id), Err(FreeError::Unknown(oldest.id)));
    let newest = log.segments().last().unwrap().id;
    assert_eq!(log.free(newest), Err(FreeError::InUse(newest)));
    let after = log.read(moved).unwrap();
    assert_eq!(
        (&after.bytes, after.sequence, after.appended_at),
        (&before.bytes, before.sequence, before.appended_at)
    );
    assert!(after.relocated);

    let freed = log.segments()[0].id;
    log.free(freed).unwrap();
    log.append(vec![record(77, 10_000)]).await.unwrap();
    assert!(*space.borrow() != Space::Full);
}

#[tokio::test]
async fn a_scan_follows_what_is_appended() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = open(&folder, options(4 << 20, 64 << 10));
    let mut scan = log.scan(ScanFrom::Oldest);
    assert_eq!(scan.next().unwrap(), None);
    assert_eq!(scan.next_within(Duration::from_millis(1)).unwrap(), None);
    let reader = std::thread::spawn(move || {
        let mut found = Vec::new();
        while found.len() < 500 {
            if let Some(ScanItem::Record(entry)) = scan.next_within(Duration::from_secs(5)).unwrap()
            {
                found.push(entry);
            }
        }
        found
    });
    let mut watermark = log.high_watermark();
    for number in 0..500 {
        log.append(vec![record(number, 700)]).await.unwrap();
        assert_eq!(*watermark.borrow_and_update(), Sequence(number + 1));
    }
    assert_eq!(
        numbers(&reader.join().unwrap()),
        (0..500).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_producers_get_sequences_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = open(
        &folder,
        Options {
            queue_bytes: 10_000,
            ..options(8 << 20, 256 << 10)
        },
    );
    let producers: Vec<_> = (0..50)
        .map(|producer| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut sequences = Vec::new();
                for number in 0..20 {
                    let appended = log
                        .append(vec![record(producer * 20 + number, 3000)])
                        .await
                        .unwrap();
                    sequences.push(appended[0].0);
                }
                sequences
            })
        })
        .collect();
    let mut all = Vec::new();
    for producer in producers {
        let sequences = producer.await.unwrap();
        assert!(sequences.is_sorted());
        all.extend(sequences);
    }
    all.sort_unstable();
    assert_eq!(all, (1..=1000).map(Sequence).collect::<Vec<_>>());
    assert_eq!(entries(&log, ScanFrom::Oldest).len(), 1000);
}

#[test]
fn options_that_contradict_themselves_are_refused() {
    let check = |options: Options| {
        let folder = tempfile::tempdir().unwrap();
        let opened = EventLog::open(FileStorage::new(folder.path().join("log")), options);
        assert!(matches!(opened, Err(OpenError::Options(_))));
    };
    check(options(1 << 20, 4096));
    check(options(1 << 20, 512 << 10));
    check(Options {
        queue_bytes: 0,
        ..options(1 << 20, 64 << 10)
    });
}
