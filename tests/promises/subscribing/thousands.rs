//! Thousands of customers from cold: each is subscribed once, with at most three stored writes, and
//! then nothing more is asked or stored, however often the process starts again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notify::event::{EventKind, ModifyKind, RenameMode};
use notify::{RecursiveMode, Watcher};
use serde_json::json;

use super::spec::Spec;
use super::world::World;
use crate::support::model_app::Op;

/// The benchmark has 10,000.
const CUSTOMERS: usize = 2_000;

/// Counts files that were put in place below a folder, by name.
struct Writes {
    counts: Arc<Mutex<BTreeMap<PathBuf, usize>>>,
    _watcher: notify::RecommendedWatcher,
}

impl Writes {
    fn watch(folders: &[&Path]) -> Self {
        let counts: Arc<Mutex<BTreeMap<PathBuf, usize>>> = Arc::default();
        let mut watcher = notify::recommended_watcher({
            let counts = Arc::clone(&counts);
            move |event: notify::Result<notify::Event>| {
                let event = event.unwrap();
                if event.need_rescan() {
                    // Something was missed: no count is right any more.
                    counts
                        .lock()
                        .unwrap()
                        .insert(PathBuf::new(), usize::MAX / 2);
                }
                // A store is a rename: what is written before it is a temporary file.
                if event.kind == EventKind::Modify(ModifyKind::Name(RenameMode::To)) {
                    let mut counts = counts.lock().unwrap();
                    for path in event.paths {
                        *counts.entry(path).or_default() += 1;
                    }
                }
            }
        })
        .unwrap();
        for folder in folders {
            std::fs::create_dir_all(folder).unwrap();
            watcher.watch(folder, RecursiveMode::NonRecursive).unwrap();
        }
        Self {
            counts,
            _watcher: watcher,
        }
    }

    fn total(&self) -> usize {
        self.counts.lock().unwrap().values().sum()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_customers_take_three_writes_each_and_then_nothing() {
    let names: Vec<String> = (0..CUSTOMERS)
        .map(|number| format!("customer-{number:05}"))
        .collect();
    let mut spec = Spec::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    spec.limits = json!({"timeout": "30s", "requestsPerSecond": 10_000, "concurrency": 64});
    spec.is_one_file = true;
    let mut world = World::prepare(spec).await;
    world.dev.spawn();
    // The folders are made at the start; watched before anything much is in them.
    let objects = world.dev.data.join("upstream-subscriptions/default");
    let is_begun = async || world.records().is_dir();
    world.wait("the data folder is there", is_begun).await;
    let writes = Writes::watch(&[&world.records(), &objects]);
    world
        .wait("all customers are subscribed", async || {
            let all = world.subscriptions_quietly().await;
            let active = all.iter().filter(|item| item["state"] == "Active");
            active.count() == CUSTOMERS
        })
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for name in &names {
        assert_eq!(world.app.live(name).len(), 1, "{name}");
        assert_eq!(world.app.asked(name).len(), 1, "{name}");
    }
    let total = writes.total();
    assert!(total <= 3 * CUSTOMERS, "{total}");
    assert!(total >= CUSTOMERS, "writes are seen: {total}");
    {
        let counts = writes.counts.lock().unwrap();
        let most = counts.values().max();
        assert!(most <= Some(&2), "a record twice, an object once: {most:?}");
    }
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
