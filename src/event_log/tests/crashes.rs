//! Nothing is lost, whenever the computer or the process goes.
//!
//! A run is a seed: a log on the simulated storage is written to, relocated, freed, opened again;
//! some operation crashes; opening crashes as well; and after each recovery the log must hold
//! exactly what it may hold. There are 20,000 such crash points, more with `CRASH_POINTS=1000000`.
//!
//! That the test can fail is shown by itself: with any one kind of sync left out it must find a
//! fault. Each kind and what is found without it:
//!
//! | left out | then |
//! |---|---|
//! | `LogFolder` | the log's whole folder vanishes |
//! | `SegmentFilled` | a segment that bears its name has no header: damage where there was none |
//! | `FolderAfterRename` | a segment with acknowledged records vanishes |
//! | `Records` | acknowledged records vanish |
//! | `FolderAfterRemove` | a freed segment comes back |
//! | `RecoveredTail` | records that a recovery reported vanish |
//! | `RecoveredFolder` | a segment that a recovery no longer saw comes back |

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::segments::Filled;
use super::simulated::{Fault, Random, Simulated};
use super::*;

const SEGMENT: u32 = 8192;

const POINTS: [SyncPoint; 7] = [
    SyncPoint::LogFolder,
    SyncPoint::SegmentFilled,
    SyncPoint::FolderAfterRename,
    SyncPoint::Records,
    SyncPoint::FolderAfterRemove,
    SyncPoint::RecoveredTail,
    SyncPoint::RecoveredFolder,
];

/// What a record holds follows from its number alone.
fn content(number: u64) -> Record {
    let mut random = Random(number);
    let length = if random.one_in(40) {
        SEGMENT as usize + random.below(5000)
    } else {
        random.below(700)
    };
    let body: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
    Record {
        header: number.to_le_bytes().to_vec(),
        body: body.into(),
    }
}

fn content_bytes(number: u64) -> Vec<u8> {
    let Record { header, body } = content(number);
    [&header[..], &body].concat()
}

/// A record as the log shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    number: u64,
    appended_at: i64,
    position: Position,
}

struct Run {
    random: Random,
    storage: Simulated,
    options: Options,
    log: Option<(Parts, Box<dyn Send>)>,
    /// What the log must hold.
    held: BTreeMap<Sequence, Held>,
    /// Numbers of records whose append was not answered: the next recovery may show them.
    unanswered: BTreeSet<u64>,
    /// Records of a segment whose freeing was not answered.
    undecided: BTreeMap<Sequence, Held>,
    next_number: u64,
    highest: Sequence,
    crashes: usize,
    seen: Seen,
}

/// How often a run came by what it is about: a run that does not is no proof.
#[derive(Default)]
struct Seen {
    crashed_openings: usize,
    torn: usize,
    refused: usize,
    stopped: usize,
    freed: usize,
    relocated: usize,
}

impl Run {
    fn new(seed: u64, left_out: Option<SyncPoint>) -> Self {
        Self {
            random: Random(seed ^ 0xABCD),
            storage: Simulated::new(seed, left_out),
            options: options(12 * u64::from(SEGMENT), SEGMENT),
            log: None,
            held: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            undecided: BTreeMap::new(),
            next_number: 0,
            highest: Sequence(0),
            crashes: 0,
            seen: Seen::default(),
        }
    }

    /// Runs until so many crashes were survived, or a fault was found.
    fn survive(&mut self, crashes: usize) -> Result<(), String> {
        while self.crashes < crashes {
            self.open()?;
            self.plan_fault();
            while !self.is_broken() {
                self.act()?;
                // Sometimes the process is killed between two operations.
                if self.random.one_in(60) {
                    break;
                }
            }
            self.crash();
        }
        self.open()
    }

    /// Usually a crash; sometimes a write or a sync that fails, after which the log must stop.
    fn plan_fault(&mut self) {
        let fault = match self.random.below(8) {
            0 => Fault::Write,
            1 => Fault::Sync(SyncPoint::Records),
            2 => Fault::Sync(POINTS[self.random.below(POINTS.len())]),
            _ => Fault::Crash(self.random.below(60)),
        };
        self.storage.set_fault(fault);
    }

    /// Whether the computer is off, or the log has stopped for good.
    fn is_broken(&self) -> bool {
        let log = self.log.as_ref();
        self.storage.has_crashed() || log.is_some_and(|(log, _)| log.shared.failure().is_some())
    }

    fn crash(&mut self) {
        self.crashes += 1;
        self.seen.stopped += usize::from(self.is_broken() && !self.storage.has_crashed());
        self.log = None;
        if self.random.one_in(3) {
            self.storage.kill();
        } else {
            self.storage.cut_power();
        }
    }

    /// Opens the log, crashing on the way now and then, and checks what it holds.
    fn open(&mut self) -> Result<(), String> {
        loop {
            match self.random.below(8) {
                0..=2 => self.storage.set_fault(Fault::Crash(self.random.below(6))),
                3 => self
                    .storage
                    .set_fault(Fault::Sync(SyncPoint::RecoveredTail)),
                _ => {}
            }
            let storage: Arc<dyn Storage> = Arc::new(self.storage.clone());
            match Parts::open(storage, self.options.clone(), Filling::Inline) {
                Ok(log) => {
                    self.storage.set_fault(Fault::None);
                    self.seen.torn += usize::from(log.0.recovery.torn_bytes > 0);
                    let damage = log.0.recovery.damage.clone();
                    if !damage.is_empty() {
                        return Err(format!("damage after a crash: {damage:?}"));
                    }
                    self.log = Some(log);
                    return self.check();
                }
                // Also when a sync failed while opening: then the process ends.
                Err(error) => {
                    let failed = format!("{error:?}").contains("the disk answers no more");
                    if !failed && !self.storage.has_crashed() {
                        return Err(format!("{error:?}"));
                    }
                    self.seen.crashed_openings += 1;
                    self.crash();
                }
            }
        }
    }

    fn parts(&mut self) -> &mut Parts {
        &mut self.log.as_mut().unwrap().0
    }

    /// Compares what the log shows with what it must and may show.
    fn check(&mut self) -> Result<(), String> {
        let mut found: BTreeMap<Sequence, Held> = BTreeMap::new();
        let shared = self.parts().shared.clone();
        let mut scan = Scan::new(shared.clone(), ScanFrom::Oldest);
        let mut last = Sequence(0);
        while let Some(item) = scan.next().map_err(|error| format!("{error:?}"))? {
            let entry = match item {
                ScanItem::Record(entry) => entry,
                ScanItem::Damage(damage) => return Err(format!("{damage}")),
            };
            let number = u64::from_le_bytes(entry.bytes[..8].try_into().unwrap());
            if number >= self.next_number || entry.bytes != content_bytes(number) {
                return Err(format!("record {} was never submitted", entry.sequence));
            }
            if !entry.relocated {
                if entry.sequence <= last {
                    return Err(format!("record {} is out of order", entry.sequence));
                }
                last = entry.sequence;
            }
            let held = Held {
                number,
                appended_at: entry.appended_at,
                position: entry.position,
            };
            if let Some(other) = found.insert(entry.sequence, held)
                && (other.number, other.appended_at) != (held.number, held.appended_at)
            {
                return Err(format!("two records have sequence {}", entry.sequence));
            }
            let read = scan::read(&shared, entry.position);
            if read.map_err(|error| format!("{error:?}"))? != entry {
                return Err(format!("record {} reads differently", entry.sequence));
            }
        }
        for (sequence, held) in &self.held {
            match found.get(sequence) {
                None => return Err(format!("acknowledged record {sequence} is lost")),
                Some(other) if other.number != held.number => {
                    return Err(format!("record {sequence} became another"));
                }
                Some(other) if other.appended_at != held.appended_at => {
                    return Err(format!("record {sequence} changed its time"));
                }
                Some(_) => {}
            }
        }
        for (sequence, held) in &found {
            let may_be = self.held.contains_key(sequence)
                || self.undecided.contains_key(sequence)
                || self.unanswered.contains(&held.number);
            if !may_be {
                return Err(format!("record {sequence} came back"));
            }
            self.highest = self.highest.max(*sequence);
        }
        let next = self.parts().recovery.next_sequence;
        if next <= self.highest {
            return Err("sequences would be given out twice".into());
        }
        if *shared.watermark.borrow() != last {
            return Err("the high watermark is not the last record".into());
        }
        // What was shown must stay, what was not shown must not come back.
        self.held = found;
        self.unanswered.clear();
        self.undecided.clear();
        Ok(())
    }

    fn act(&mut self) -> Result<(), String> {
        match self.random.below(20) {
            0..=11 => self.append(),
            12..=13 => self.relocate_and_free(),
            14..=15 => self.relocate(1),
            16 => self.free(),
            17..=18 => {
                let shared = self.parts().shared.clone();
                match shared.fill_one() {
                    Filled::Failed if !self.is_broken() => Err("filling failed".into()),
                    _ => Ok(()),
                }
            }
            _ => {
                self.log = None;
                // A clean stop: nothing crashes, nothing is synced either.
                self.storage.kill();
                self.open()?;
                self.plan_fault();
                Ok(())
            }
        }
    }

    fn append(&mut self) -> Result<(), String> {
        let mut pending = VecDeque::new();
        let mut answers = Vec::new();
        for _ in 0..=self.random.below(4) {
            let first = self.next_number;
            self.next_number += 1 + self.random.below(3) as u64;
            let numbers = first..self.next_number;
            self.unanswered.extend(numbers.clone());
            let (request, answer) = Request::append(numbers.clone().map(content).collect());
            pending.push_back(request);
            answers.push((numbers, answer));
        }
        while !pending.is_empty() {
            self.parts().writer.commit(&mut pending);
        }
        let mut full = false;
        for (numbers, mut answer) in answers {
            let appended = match answer.try_recv().unwrap() {
                Ok(appended) => appended,
                Err(AppendError::Full) => {
                    full = true;
                    self.seen.refused += 1;
                    for number in numbers {
                        self.unanswered.remove(&number);
                    }
                    continue;
                }
                Err(_) if self.is_broken() => continue,
                Err(error) => return Err(format!("append: {error}")),
            };
            for (number, (sequence, position)) in numbers.zip(appended) {
                if sequence <= self.highest {
                    return Err(format!("sequence {sequence} was given out twice"));
                }
                self.highest = sequence;
                let entry = scan::read(&self.parts().shared, position);
                let entry = entry.map_err(|error| format!("{error:?}"))?;
                self.unanswered.remove(&number);
                let held = Held {
                    number,
                    appended_at: entry.appended_at,
                    position,
                };
                self.held.insert(sequence, held);
            }
        }
        if full && !self.is_broken() {
            self.relocate_and_free()?;
        }
        Ok(())
    }

    /// Copies up to so many records of the oldest segment to the end.
    fn relocate(&mut self, most: usize) -> Result<(), String> {
        let Some(oldest) = self.parts().shared.infos().first().map(|info| info.id) else {
            return Ok(());
        };
        let chosen: Vec<_> = self
            .held
            .iter()
            .filter(|(_, held)| held.position.segment == oldest && held.position.length < 1000)
            .map(|(sequence, held)| (*sequence, held.position))
            .take(most)
            .collect();
        if chosen.is_empty() {
            return Ok(());
        }
        let records = read_for_relocation(&self.parts().shared, &chosen);
        let (request, mut answer) =
            Request::relocate(records.map_err(|error| format!("{error:?}"))?);
        self.parts().writer.commit(&mut VecDeque::from([request]));
        match answer.try_recv().unwrap() {
            Ok(appended) => {
                self.seen.relocated += 1;
                for (sequence, position) in appended {
                    self.held.get_mut(&sequence).unwrap().position = position;
                }
                Ok(())
            }
            Err(_) if self.is_broken() => Ok(()),
            Err(AppendError::Full) => Ok(()),
            Err(error) => Err(format!("relocate: {error}")),
        }
    }

    fn free(&mut self) -> Result<(), String> {
        let shared = self.parts().shared.clone();
        let infos = shared.infos();
        let [oldest, _, ..] = &infos[..] else {
            return Ok(());
        };
        let gone = self
            .held
            .extract_if(.., |_, held| held.position.segment == oldest.id)
            .collect();
        match shared.free(oldest.id) {
            Ok(()) => {
                self.seen.freed += 1;
                Ok(())
            }
            Err(_) if self.is_broken() => {
                self.undecided = gone;
                Ok(())
            }
            Err(error) => Err(format!("free: {error}")),
        }
    }

    fn relocate_and_free(&mut self) -> Result<(), String> {
        self.relocate(3)?;
        if self.is_broken() {
            return Ok(());
        }
        self.free()
    }
}

#[test]
fn no_crash_loses_or_invents_a_record() {
    // More for a long night.
    let wanted = std::env::var("CRASH_POINTS").map_or(20_000, |text| text.parse().unwrap());
    let mut crashes = 0;
    let mut seen = [0; 6];
    for seed in 0.. {
        let mut run = Run::new(seed, None);
        if let Err(fault) = run.survive(20) {
            panic!("seed {seed}: {fault}");
        }
        crashes += run.crashes;
        let Seen {
            crashed_openings,
            torn,
            refused,
            stopped,
            freed,
            relocated,
        } = run.seen;
        let now = [crashed_openings, torn, refused, stopped, freed, relocated];
        seen = std::array::from_fn(|index| seen[index] + now[index]);
        if crashes >= wanted {
            break;
        }
    }
    println!("{crashes} crashes: {seen:?}");
    assert!(seen.iter().all(|&times| times > 500), "{seen:?}");
}

#[test]
fn without_any_one_sync_something_is_lost() {
    for point in POINTS {
        let fault = (0..500).find_map(|seed| Run::new(seed, Some(point)).survive(20).err());
        println!("without {point:?}: {fault:?}");
        assert!(fault.is_some(), "nothing was lost without {point:?}");
    }
}
