//! Writes for people: UpstreamSubscriptions as files, as `kubectl get -o yaml` shows them in a
//! cluster, and news as lines on stdout.
//!
//! The files are never read back to decide anything; one is only looked at to leave alone what is
//! right already. Each is written when its subscription came to rest, by one thread, so a burst of
//! changes is one write, and neither a slow disk nor a reader who stopped reading holds anybody up.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use jiff::Timestamp;
use kube::Resource;

use crate::api::UpstreamSubscription;
use crate::event::ObjectName;

/// Said at the top of every file.
const HEADER: &str = "\
# Written by `tidegate dev` for you to read: a view of what stands at the app. Nothing here is ever
# read back. Editing or deleting this file changes nothing at the app; it is written anew at the next
# start. To unsubscribe, remove the EventSubscription, or the Customer.
";

/// Lines that wait for a reader of stdout, at most; what comes then is left out.
const MOST_LINES: usize = 10_000;

/// Writes objects and lines, one after the other, in a thread of its own.
pub struct Objects {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Default)]
struct Pending {
    /// What is to be written, or with `None` removed.
    objects: BTreeMap<ObjectName, Option<Box<UpstreamSubscription>>>,
    lines: VecDeque<String>,
    is_over: bool,
}

/// One thing to write.
enum Next {
    Object(ObjectName, Option<Box<UpstreamSubscription>>),
    Lines(VecDeque<String>),
}

impl Objects {
    /// Writes below `folder`, which need not be there.
    pub fn new(folder: PathBuf) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.write_all(&folder)
        });
        Self {
            shared,
            thread: Mutex::new(Some(thread)),
        }
    }

    /// Writes an object soon; with `None` removes it.
    pub fn put(&self, name: ObjectName, object: Option<UpstreamSubscription>) {
        let mut pending = self.shared.lock();
        pending.objects.insert(name, object.map(Box::new));
        self.shared.changed.notify_one();
    }

    /// Says a line.
    pub fn say(&self, line: String) {
        let mut pending = self.shared.lock();
        if pending.lines.len() < MOST_LINES {
            pending.lines.push_back(line);
            self.shared.changed.notify_one();
        }
    }

    /// Waits until everything is written.
    pub fn close(&self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_one();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        // The map is never left half changed, so a poisoned lock is still good.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, folder: &Path) {
        while let Some(next) = self.next() {
            match next {
                Next::Lines(lines) => say(lines),
                Next::Object(name, object) => {
                    let done = match object {
                        Some(object) => write(folder, &name, &object),
                        None => remove(folder, &name),
                    };
                    if let Err(error) = done {
                        // They are for people only: the next change tries again.
                        tracing::warn!(subscription = %name, %error, "failed to write an UpstreamSubscription to the data folder");
                    }
                }
            }
        }
    }

    fn next(&self) -> Option<Next> {
        let mut pending = self.lock();
        loop {
            if !pending.lines.is_empty() {
                return Some(Next::Lines(std::mem::take(&mut pending.lines)));
            }
            if let Some((name, object)) = pending.objects.pop_first() {
                return Some(Next::Object(name, object));
            }
            if pending.is_over {
                return None;
            }
            pending = self
                .changed
                .wait(pending)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Whoever closed the pipe no longer wants to read.
fn say(lines: VecDeque<String>) {
    let mut stdout = io::stdout().lock();
    for line in lines {
        if writeln!(stdout, "{line}").is_err() {
            return;
        }
    }
    let _ = stdout.flush();
}

fn path_of(folder: &Path, name: &ObjectName) -> PathBuf {
    folder
        .join(&name.namespace)
        .join(format!("{}.yaml", name.name))
}

fn write(folder: &Path, name: &ObjectName, object: &UpstreamSubscription) -> io::Result<()> {
    let path = path_of(folder, name);
    let known = fs::read_to_string(&path).ok();
    let known = known.and_then(|text| serde_saphyr::from_str::<UpstreamSubscription>(&text).ok());
    if known.is_some_and(|known| timeless(&known) == timeless(object)) {
        return Ok(());
    }
    let text = serde_saphyr::to_string(object).map_err(io::Error::other)?;
    let parent = folder.join(&name.namespace);
    fs::create_dir_all(&parent)?;
    let temporary = parent.join(format!(".{}.new", name.name));
    fs::write(&temporary, format!("{HEADER}{text}"))?;
    fs::rename(&temporary, &path)
}

/// The object without the times of its conditions: after a restart they are not known any more,
/// and not worth a write.
fn timeless(object: &UpstreamSubscription) -> UpstreamSubscription {
    let mut object = object.clone();
    for condition in object.status.iter_mut().flat_map(|it| &mut it.conditions) {
        condition.last_transition_time.0 = Timestamp::UNIX_EPOCH;
    }
    object.meta_mut().managed_fields = None;
    object
}

fn remove(folder: &Path, name: &ObjectName) -> io::Result<()> {
    match fs::remove_file(path_of(folder, name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        EventTypeReference, SubscriptionState, UpstreamSubscriptionSpec, UpstreamSubscriptionStatus,
    };
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    fn object(state: SubscriptionState, second: i64) -> UpstreamSubscription {
        let mut object = UpstreamSubscription::new(
            "contacts-acme-1",
            UpstreamSubscriptionSpec {
                event_type_ref: EventTypeReference {
                    name: "contacts".into(),
                    namespace: None,
                },
                customer_ref: None,
            },
        );
        object.metadata.namespace = Some("crm".into());
        object.status = Some(UpstreamSubscriptionStatus {
            state: Some(state),
            conditions: vec![Condition {
                type_: "Subscribed".into(),
                status: "True".into(),
                reason: "Subscribed".into(),
                message: "the app's answer: \"yes\" # and: more".into(),
                last_transition_time: Time(Timestamp::from_second(second).unwrap()),
                observed_generation: None,
            }],
            ..UpstreamSubscriptionStatus::default()
        });
        object
    }

    #[test]
    fn an_object_is_written_once_kept_while_it_is_right_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let name = ObjectName::new("crm", "contacts-acme-1");
        let path = folder.path().join("crm/contacts-acme-1.yaml");
        let put = |object: Option<UpstreamSubscription>| {
            let objects = Objects::new(folder.path().to_owned());
            objects.put(name.clone(), object);
            objects.close();
            fs::read_to_string(&path).ok()
        };
        let first = put(Some(object(SubscriptionState::Active, 1))).unwrap();
        assert!(first.starts_with(HEADER), "{first}");
        let read: UpstreamSubscription = serde_saphyr::from_str(&first).unwrap();
        assert_eq!(read, object(SubscriptionState::Active, 1));
        // Only the time of a condition is another.
        assert_eq!(
            put(Some(object(SubscriptionState::Active, 2))).unwrap(),
            first
        );
        assert_ne!(
            put(Some(object(SubscriptionState::Failed, 2))).unwrap(),
            first
        );
        // What somebody wrote into it is put right.
        fs::write(&path, first.replace("Active", "Unsubscribing")).unwrap();
        assert_eq!(
            put(Some(object(SubscriptionState::Active, 1))).unwrap(),
            first
        );
        fs::write(&path, "%: {").unwrap();
        assert_eq!(
            put(Some(object(SubscriptionState::Active, 1))).unwrap(),
            first
        );
        assert_eq!(put(None), None);
        assert_eq!(put(None), None);
    }
}
