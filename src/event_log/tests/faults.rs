//! Torn and damaged records, failing writes and syncs, and space that runs out.

use std::collections::VecDeque;

use super::simulated::{Fault, Simulated};
use super::*;

/// A log without threads on the simulated storage; it is small, so that every byte can be tried.
struct Small {
    storage: Simulated,
    parts: Option<(Parts, Box<dyn Send>)>,
}

impl Small {
    fn open(storage: Simulated) -> Self {
        let options = options(12 * 8192, 8192);
        let parts = Parts::open(Arc::new(storage.clone()), options, Filling::Inline).unwrap();
        Self {
            storage,
            parts: Some(parts),
        }
    }

    fn parts(&mut self) -> &mut Parts {
        &mut self.parts.as_mut().unwrap().0
    }

    fn append(&mut self, numbers: &[u64]) -> Result<Vec<(Sequence, Position)>, AppendError> {
        let records = numbers.iter().map(|&number| record(number, 100)).collect();
        let (request, mut answer) = Request::append(records);
        self.parts().writer.commit(&mut VecDeque::from([request]));
        answer.try_recv().unwrap()
    }

    /// The numbers of all records, and what is damaged.
    fn read(&mut self) -> (Vec<u64>, Vec<Damage>) {
        let mut scan = Scan::new(self.parts().shared.clone(), ScanFrom::Oldest);
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        while let Some(item) = scan.next().unwrap() {
            match item {
                ScanItem::Record(entry) => found.extend(numbers(&[entry])),
                ScanItem::Damage(damage) => damaged.push(damage),
            }
        }
        (found, damaged)
    }

    /// Ends the process and opens the log again.
    fn reopen(mut self) -> Self {
        self.parts = None;
        self.storage.kill();
        Self::open(self.storage)
    }
}

fn segment_name(id: u64) -> String {
    format!("{id:020}.log")
}

/// A log of four commits, and where each of them ends.
fn four_commits() -> (Simulated, Vec<usize>) {
    let mut log = Small::open(Simulated::new(1, None));
    let mut ends = Vec::new();
    for numbers in [&[0, 1][..], &[2, 3], &[4, 5], &[6, 7]] {
        log.append(numbers).unwrap();
        let segments = log.parts().shared.infos();
        assert_eq!(segments.len(), 1);
        ends.push(segments[0].used as usize);
    }
    log.parts = None;
    log.storage.kill();
    (log.storage, ends)
}

/// Opens a damaged copy twice, with an append in between, and answers what the first opening said.
fn open_damaged(
    storage: &Simulated,
    expected: &[u64],
    damage: impl FnOnce(&mut Vec<u8>),
) -> Recovery {
    let storage = storage.fork();
    storage.edit(&segment_name(1), damage);
    let mut log = Small::open(storage);
    let recovery = log.parts().recovery.clone();
    assert_eq!(log.read().0, expected);
    let appended = log.append(&[100]).unwrap();
    assert!(appended[0].0 >= recovery.next_sequence);
    log.storage.cut_power();
    let mut log = log.reopen();
    assert_eq!(log.parts().recovery.damage, recovery.damage);
    assert_eq!(log.parts().recovery.torn_bytes, 0);
    assert_eq!(log.read().0, [expected, &[100]].concat());
    recovery
}

#[test]
fn a_commit_torn_at_any_byte_loses_nothing_that_was_acknowledged() {
    let (storage, ends) = four_commits();
    for cut in ends[2]..ends[3] {
        // What did not reach the disk reads as zeros.
        let first_record = ends[2] + 32 + 32 + 108;
        let whole = |end: usize| cut >= end;
        let expected: &[u64] = match cut {
            _ if whole(ends[3] - 4) => &[0, 1, 2, 3, 4, 5, 6, 7],
            _ if whole(first_record) => &[0, 1, 2, 3, 4, 5, 6],
            _ => &[0, 1, 2, 3, 4, 5],
        };
        let recovery = open_damaged(&storage, expected, |bytes| bytes[cut..].fill(0));
        assert_eq!(recovery.damage, [], "cut at {cut}");
    }
}

#[test]
fn a_commit_that_ends_in_rubbish_at_any_byte_loses_nothing_that_was_acknowledged() {
    let (storage, ends) = four_commits();
    for cut in ends[2]..ends[3] {
        let tear = |bytes: &mut Vec<u8>| bytes[cut..].iter_mut().for_each(|byte| *byte ^= 0xA5);
        let expected: &[u64] = if cut >= ends[2] + 32 + 32 + 108 {
            &[0, 1, 2, 3, 4, 5, 6]
        } else {
            &[0, 1, 2, 3, 4, 5]
        };
        // Bytes that only pad the last record belong to nobody.
        if cut < ends[3] - 4 {
            let recovery = open_damaged(&storage, expected, tear);
            assert_eq!(recovery.damage, [], "cut at {cut}");
            assert!(recovery.torn_bytes > 0);
        }
    }
}

#[test]
fn a_flipped_byte_of_an_acknowledged_record_is_reported_and_costs_that_record_only() {
    let (storage, ends) = four_commits();
    for at in ends[0]..ends[1] {
        let within = at - ends[0];
        let record_length = (32 + 108usize).next_multiple_of(8);
        let (lost, padding) = match within {
            0..32 => (None, false),
            _ => {
                let within = within - 32;
                let index = within / record_length;
                (Some(2 + index as u64), within % record_length >= 32 + 108)
            }
        };
        let expected: Vec<u64> = (0..8)
            .filter(|&number| padding || Some(number) != lost)
            .collect();
        let recovery = open_damaged(&storage, &expected, |bytes| bytes[at] ^= 0x10);
        let sequences: Vec<_> = recovery
            .damage
            .iter()
            .map(|damage| damage.sequences)
            .collect();
        let lost = lost.map(|number| (Sequence(number + 1), Sequence(number + 1)));
        let said: &[_] = if padding { &[] } else { &[lost] };
        assert_eq!(sequences, said, "byte {at}");
        assert_eq!(recovery.torn_bytes, 0);
    }
}

#[test]
fn records_of_a_torn_commit_do_not_appear_behind_later_ones() {
    // Of a commit of two records the second reached the disk and the first did not; then the first
    // is written again, by chance as long as before.
    let (storage, ends) = four_commits();
    storage.edit(&segment_name(1), |bytes| {
        bytes[ends[2]..ends[2] + 64].fill(0)
    });
    let mut log = Small::open(storage);
    assert_eq!(log.read().0, [0, 1, 2, 3, 4, 5, 7]);
    log.append(&[8]).unwrap();
    let mut log = log.reopen();
    assert_eq!(log.read(), (vec![0, 1, 2, 3, 4, 5, 7, 8], vec![]));
    assert_eq!(log.parts().recovery.damage, []);
}

#[test]
fn a_torn_commit_mark_does_not_let_sequences_be_given_out_twice() {
    let mut log = Small::open(Simulated::new(1, None));
    let mut last = log.append(&[0]).unwrap()[0];
    let kept = last;
    // Fill the first segment, so that the copy of a record is all that stands in the second.
    while log.parts().shared.infos()[0].used + 32 + 32 + 108 < 8192 - 64 {
        last = log.append(&[1]).unwrap()[0];
    }
    let records = read_for_relocation(&log.parts().shared, &[kept]).unwrap();
    let (request, mut answer) = Request::relocate(records);
    log.parts().writer.commit(&mut VecDeque::from([request]));
    assert_eq!(answer.try_recv().unwrap().unwrap()[0].1.segment, 2);
    log.parts = None;
    log.storage.kill();
    log.storage
        .edit(&segment_name(2), |bytes| bytes[4096..4128].fill(0));

    let mut log = Small::open(log.storage);
    log.parts().shared.free(1).unwrap();
    let mut log = log.reopen();
    assert_eq!(log.read(), (vec![0], vec![]));
    assert!(log.append(&[2]).unwrap()[0].0 > last.0);
}

#[test]
fn damage_in_sealed_segments_is_reported_by_a_scan_and_costs_little() {
    let mut log = Small::open(Simulated::new(1, None));
    let mut positions = Vec::new();
    for number in 0..150 {
        positions.extend(log.append(&[number]).unwrap());
    }
    let last = positions.last().unwrap().1.segment;
    assert!(last >= 4);
    let (_, hurt) = positions[5];
    let (_, cut) = *positions
        .iter()
        .find(|(_, position)| position.segment == 2)
        .unwrap();
    let of_third = positions
        .iter()
        .filter(|(_, position)| position.segment == 3)
        .count();
    log.parts = None;
    log.storage.kill();
    log.storage.edit(&segment_name(1), |bytes| {
        bytes[hurt.offset as usize + 40] ^= 1
    });
    log.storage.edit(&segment_name(2), |bytes| {
        bytes[cut.offset as usize..][..300].fill(0x77)
    });
    log.storage.edit(&segment_name(3), |bytes| bytes[10] ^= 1);

    let mut log = Small::open(log.storage);
    // The header of segment 3 is gone, and with it the segment.
    let damage = log.parts().recovery.damage.clone();
    assert_eq!(damage.len(), 1);
    assert_eq!((damage[0].segment, damage[0].offset), (3, 0));
    let (found, damaged) = log.read();
    assert_eq!(damaged.len(), 2);
    assert_eq!(damaged[0].sequences, Some((Sequence(6), Sequence(6))));
    assert_eq!((damaged[0].segment, damaged[0].offset), (1, hurt.offset));
    let (first, until) = damaged[1].sequences.unwrap();
    assert_eq!((damaged[1].segment, damaged[1].offset), (2, cut.offset));
    let lost = 1 + (until.0 - first.0 + 1) as usize + of_third;
    assert_eq!(found.len(), 150 - lost);
    assert!(matches!(
        scan::read(&log.parts().shared, hurt),
        Err(ReadError::Damaged(position)) if position == hurt
    ));
    // Its file takes space until it is freed.
    let allocated = log.parts().shared.usage().allocated;
    log.parts().shared.free(3).unwrap();
    assert_eq!(log.parts().shared.usage().allocated, allocated - 8192);
    log.append(&[200]).unwrap();
    let mut log = log.reopen();
    assert_eq!(log.parts().recovery.damage, []);
    assert_eq!(log.read().0.len(), found.len() + 1);
}

#[test]
fn after_a_failing_write_or_sync_nothing_is_accepted_and_no_sync_is_tried_again() {
    for fault in [Fault::Write, Fault::Sync(SyncPoint::Records)] {
        for seed in 0..50 {
            let mut log = Small::open(Simulated::new(seed, None));
            log.append(&[0, 1]).unwrap();
            log.storage.set_fault(fault);
            assert_eq!(log.append(&[2, 3]), Err(AppendError::Failed));
            let syncs = log.storage.syncs(SyncPoint::Records);
            assert_eq!(log.append(&[4]), Err(AppendError::Failed));
            assert_eq!(log.storage.syncs(SyncPoint::Records), syncs);
            let usage = log.parts().shared.usage();
            assert_eq!(usage.space, Space::Failed);
            assert!(usage.failure.unwrap().contains("the disk answers no more"));
            assert!(matches!(
                log.parts().shared.free(1),
                Err(FreeError::Failed(_))
            ));
            // Readers see what was synced, and nothing else.
            assert_eq!(log.read(), (vec![0, 1], vec![]));

            let mut log = log.reopen();
            assert_eq!(log.parts().recovery.damage, []);
            let shown = log.read().0;
            assert!(shown.starts_with(&[0, 1]));
            // What opening the log showed is on disk, though the cache passed for clean.
            log.storage.cut_power();
            let mut log = log.reopen();
            assert_eq!(log.read(), (shown, vec![]));
            log.append(&[5]).unwrap();
        }
    }
}

#[test]
fn a_failing_sync_of_the_folder_stops_the_log() {
    for point in [
        SyncPoint::FolderAfterRename,
        SyncPoint::SegmentFilled,
        SyncPoint::FolderAfterRemove,
    ] {
        let mut log = Small::open(Simulated::new(1, None));
        while log.parts().shared.infos().len() < 2 {
            log.append(&[1]).unwrap();
        }
        log.storage.set_fault(Fault::Sync(point));
        let freed = log.parts().shared.free(1);
        if point == SyncPoint::FolderAfterRemove {
            assert!(matches!(freed, Err(FreeError::Failed(_))));
        } else {
            freed.unwrap();
            while log.append(&[1]).is_ok() {}
        }
        assert_eq!(log.append(&[1]), Err(AppendError::Failed));
        assert_eq!(log.parts().shared.usage().space, Space::Failed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_before_anything_is_lost_and_accepts_again_by_itself() {
    let storage = Simulated::new(1, None);
    // Room for five segments of the 64 that the capacity allows.
    storage.set_quota(5 * 65536 + 1000);
    let (log, _) = EventLog::open(storage.clone(), options(4 << 20, 65536)).unwrap();
    let mut accepted = 0;
    while log.append(vec![record(accepted, 5000)]).await.is_ok() {
        accepted += 1;
    }
    assert!(accepted > 40);
    assert_eq!(
        log.append(vec![record(0, 60_000)]).await,
        Err(AppendError::Full)
    );
    assert_eq!(*log.space().borrow(), Space::Full);
    assert_eq!(log.usage().failure, None);
    assert_eq!(entries(&log, ScanFrom::Oldest).len() as u64, accepted);

    storage.set_quota(usize::MAX);
    let mut space = log.space();
    space
        .wait_for(|space| *space == Space::Ample)
        .await
        .unwrap();
    for number in accepted..accepted + 100 {
        log.append(vec![record(number, 5000)]).await.unwrap();
    }
    log.close().await;
    let (log, recovery) = EventLog::open(storage, options(4 << 20, 65536)).unwrap();
    assert_eq!(recovery.damage, []);
    assert_eq!(
        numbers(&entries(&log, ScanFrom::Oldest)),
        (0..accepted + 100).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_accepts_again_when_a_segment_is_freed() {
    let storage = Simulated::new(1, None);
    storage.set_quota(5 * 65536);
    let rare = Options {
        space_check: Duration::from_secs(3600),
        ..options(4 << 20, 65536)
    };
    let (log, _) = EventLog::open(storage, rare).unwrap();
    while log.append(vec![record(0, 5000)]).await.is_ok() {}
    log.free(log.segments()[0].id).unwrap();
    log.append(vec![record(0, 5000)]).await.unwrap();
}
