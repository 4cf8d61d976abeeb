//! Thousands of customers from cold: each is subscribed once, with at most three stored writes, and
//! then nothing more is asked or stored, however often the process starts again.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify;
use rustix::io::Errno;
use serde_json::json;

use super::installation::Installation;
use super::spec::Spec;
use super::world::World;
use crate::support::model_app::Op;

/// As many as the benchmark has, which also measures how long that takes.
const CUSTOMERS: usize = 10_000;

/// How long all of them may take at most, on a machine with much else to do.
const MINUTES: Duration = Duration::from_secs(600);

/// Counts files that were put in place in folders, by name. A store is a rename: what is written
/// before it is a temporary file. The kernel keeps the events until they are asked for; their queue
/// has room for half of what there is here, so they are asked for while it comes in.
struct Writes {
    events: OwnedFd,
    counts: BTreeMap<(i32, String), usize>,
}

impl Writes {
    fn watch(folders: &[&Path]) -> Self {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let events = inotify::init(flags).unwrap();
        for folder in folders {
            std::fs::create_dir_all(folder).unwrap();
            inotify::add_watch(&events, *folder, inotify::WatchFlags::MOVED_TO).unwrap();
        }
        Self {
            events,
            counts: BTreeMap::new(),
        }
    }

    /// How many there were so far.
    fn total(&mut self) -> usize {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = inotify::Reader::new(&self.events, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let lost = event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW);
                    assert!(!lost, "the kernel keeps fewer events than there were");
                    let name = event.file_name().unwrap().to_str().unwrap().to_owned();
                    *self.counts.entry((event.wd(), name)).or_default() += 1;
                }
                Err(Errno::WOULDBLOCK) => return self.counts.values().sum(),
                Err(Errno::INTR) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_customers_take_three_writes_each_and_then_nothing() {
    let names: Vec<String> = (0..CUSTOMERS)
        .map(|number| format!("customer-{number:05}"))
        .collect();
    let mut spec = Spec::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    // Few at once: an attempt that cannot be sent within seconds of its store is stored again.
    spec.limits = json!({"timeout": "60s", "requestsPerSecond": 10_000, "concurrency": 16});
    // One file may hold so many values and no more.
    spec.customers_in_a_file = 500;
    let mut world = World::prepare(spec).await;
    world.dev.spawn();
    // The folders are made at the start; watched before anything much is in them.
    let objects = world.dev.data.join("upstream-subscriptions/default");
    let is_begun = async || world.records().is_dir();
    world.wait("the data folder is there", is_begun).await;
    let mut writes = Writes::watch(&[&world.records(), &objects]);
    world
        .wait_for("all customers are subscribed", MINUTES, async || {
            writes.total();
            // Looking at them takes the process' time, so only once there is something to see.
            if world.app.asked_count() < CUSTOMERS {
                return false;
            }
            let all = world.subscriptions_quietly().await;
            let active = all.iter().filter(|item| item["state"] == "Active");
            active.count() == CUSTOMERS
        })
        .await;
    // The objects for people are written one after the other by somebody who may be late.
    world
        .wait_for("all objects are written", MINUTES, async || {
            writes.total();
            let files = std::fs::read_dir(&objects).unwrap().flatten();
            let is_object = |name: &str| name.ends_with(".yaml");
            files
                .filter(|file| file.file_name().to_str().is_some_and(is_object))
                .count()
                == CUSTOMERS
        })
        .await;
    let mut total = writes.total();
    world
        .wait("nothing more is written", async || {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let before = total;
            total = writes.total();
            total == before
        })
        .await;
    let counts = world.app.counts();
    assert_eq!(counts.len(), CUSTOMERS);
    for (name, counts) in counts {
        assert_eq!(counts, (1, 1), "one registration and one request of {name}");
    }
    let most = |name: &str| if name.ends_with(".yaml") { 1 } else { 2 };
    let more = { &writes.counts }.iter();
    let more: Vec<_> = more
        .filter(|((_, name), count)| **count > most(name))
        .collect();
    assert!(more.is_empty(), "a record twice, an object once: {more:?}");
    assert!(total <= 3 * CUSTOMERS, "{total}");
    assert!(total >= CUSTOMERS, "writes are seen: {total}");
    let asked = world.app.asked_count();
    for _ in 0..2 {
        world.dev.kill();
        world.dev.run().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(world.app.asked_count(), asked, "nothing more is asked");
    assert_eq!(writes.total(), total, "nothing more is stored");
    for name in [&names[0], &names[CUSTOMERS / 2], &names[CUSTOMERS - 1]] {
        world.arrives(name).await;
        assert_eq!(world.app.count(name, Op::Create), 1);
    }
    world.app.assert_unharmed();
}
