//! One subscription's record on disk, looked at and held from outside of the process.
//!
//! What is read here is only what a test has to know to say at which moment it killed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use serde_json::Value;
use tidegate::event::ObjectName;
use tidegate::provision::subscription_name;
use tokio::sync::oneshot;

use crate::support::model_app::Op;

/// How long a store may take to begin: some follow a refused request that is tried again.
const PATIENCE: Duration = Duration::from_secs(150);

/// The record of a customer's subscription.
pub struct RecordFile {
    folder: PathBuf,
    name: String,
}

impl RecordFile {
    /// That of a customer in `folder`, whether it is there yet or not.
    pub fn of(folder: &Path, customer: &str) -> Self {
        let event_type = ObjectName::new("default", "contacts");
        let customer = ObjectName::new("default", customer);
        Self {
            folder: folder.to_owned(),
            name: subscription_name(&event_type, Some(&customer)).name,
        }
    }

    /// What is stored.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match fs::read(self.folder.join(format!("{}.json", self.name))) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
                None
            }
        }
    }

    fn record(&self) -> Value {
        let bytes = self.bytes().unwrap_or_else(|| b"{}".to_vec());
        let mut file: Value = serde_json::from_slice(&bytes).unwrap();
        file["record"].take()
    }

    fn registrations(&self) -> Vec<Value> {
        let registrations = self.record()["registrations"].take();
        registrations.as_array().cloned().unwrap_or_default()
    }

    /// Whether what is stored says that this request is about to be sent, or may have been.
    pub fn says(&self, op: Op) -> bool {
        let is = |registration: &Value| {
            let phase = &registration["phase"];
            match op {
                Op::Prepare => phase.get("Preparing").is_some(),
                Op::Create => phase == "Subscribing",
                Op::Enable => phase.get("FollowingUp").is_some(),
                Op::Delete => phase.get("Removing").is_some(),
                Op::Renew => phase == "Active" && registration["notice"] == "Renew",
                Op::List | Op::Token | Op::Other => false,
            }
        };
        self.registrations().iter().any(is)
    }

    /// Whether what is stored says that one registration stands and nothing is left to do.
    pub fn says_active(&self) -> bool {
        let all = self.registrations();
        all.len() == 1 && all[0]["phase"] == "Active" && all[0]["notice"].is_null()
    }

    /// Whether what is stored says that nothing is at the app any more.
    pub fn says_removed(&self) -> bool {
        self.bytes().is_some() && self.registrations().is_empty()
    }

    /// Whether the time of an event is stored: the first event of a subscription is worth a store.
    pub fn knows_an_event(&self) -> bool {
        self.record()["last_event_at"].is_string()
    }

    fn temporary(&self) -> PathBuf {
        self.folder.join(format!(".{}.json.new", self.name))
    }

    /// Holds the next store of it.
    ///
    /// A record is written beside its place first, then put there. Where it is written stands a pipe
    /// now that nobody reads yet: opening it waits, so the store has begun and nothing of it is on
    /// disk. It can never end well either, because a pipe cannot be synced.
    pub fn hold(&self) -> HeldStore {
        fs::create_dir_all(&self.folder).unwrap();
        let pipe = self.temporary();
        let _ = fs::remove_file(&pipe);
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (tell, begun) = oneshot::channel();
        std::thread::spawn({
            let pipe = pipe.clone();
            // Waits for somebody who writes.
            move || tell.send(File::open(pipe))
        });
        HeldStore {
            pipe,
            begun: Some(begun),
            before: self.bytes(),
        }
    }
}

/// A store that is held, or will be.
pub struct HeldStore {
    pipe: PathBuf,
    begun: Option<oneshot::Receiver<io::Result<File>>>,
    /// What was stored when it was held.
    pub before: Option<Vec<u8>>,
}

impl HeldStore {
    /// Waits until the store has begun.
    pub async fn reached(&mut self) -> File {
        let begun = tokio::time::timeout(PATIENCE, self.begun.take().unwrap()).await;
        let begun = begun.unwrap_or_else(|_| panic!("waited in vain for a store"));
        begun.unwrap().unwrap()
    }

    /// Leaves what a kill in the middle of a store leaves: half of a file beside the record.
    pub fn leave_half_of_it(self) {
        fs::remove_file(&self.pipe).unwrap();
        fs::write(&self.pipe, br#"{"format": 1, "record": {"name": {"namesp"#).unwrap();
    }
}

impl Drop for HeldStore {
    fn drop(&mut self) {
        // The thread that waits for somebody who writes would wait for ever.
        if self.begun.is_some() {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK;
            let _ = open(&self.pipe, flags, Mode::empty());
        }
    }
}
