//! The records of upstream subscriptions on disk: a file each, replaced as a whole.
//!
//! They hold every secret that a registration needs, so the folder and its files are for the owner
//! alone. What cannot be read is told and left alone: behind it may be a registration.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::api::Subscription;
use crate::durable;
use crate::event::ObjectName;
use crate::provision::Record;
use crate::provision::record;
use crate::provision::store::{Loaded, RecordStore, StoreError};

/// How many different subscriptions are compared with while records are read.
const MOST_FORMS: usize = 16;

/// How records' files end.
const SUFFIX: &str = ".json";

/// The folder of all records.
pub struct Records {
    folder: PathBuf,
}

impl Records {
    /// Those in `folder`, which must be there.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

impl RecordStore for Records {
    fn load(&self) -> BoxFuture<'_, Result<Vec<Loaded>, StoreError>> {
        let folder = self.folder.clone();
        blocking(move || load(&folder))
    }

    fn write<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        let folder = self.folder.clone();
        let name = file_name(&record.name);
        let bytes = record::write(record).map_err(|error| StoreError(error.to_string()));
        blocking(move || durable::replace(&folder, &name, &bytes?).map_err(told))
    }

    fn remove<'a>(&'a self, name: &'a ObjectName) -> BoxFuture<'a, Result<(), StoreError>> {
        let folder = self.folder.clone();
        let name = file_name(name);
        blocking(move || durable::remove(&folder, &name).map_err(told))
    }
}

/// Names are unique over all namespaces, because a hash of the namespace is part of each.
fn file_name(name: &ObjectName) -> String {
    format!("{}{SUFFIX}", name.name)
}

fn load(folder: &Path) -> Result<Vec<Loaded>, StoreError> {
    let failed =
        |error: io::Error| StoreError(format!("failed to read {}: {error}", folder.display()));
    let mut loaded = Vec::new();
    let mut forms: Vec<Arc<Subscription>> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let file = path.file_name().and_then(|name| name.to_str());
        // What a crash left of a file that was being written begins with a dot.
        let name = file
            .filter(|file| !file.starts_with('.'))
            .and_then(|file| file.strip_suffix(SUFFIX));
        if let Some(name) = name {
            let mut one = load_one(&path, name);
            if let Loaded::Record(record) = &mut one {
                share(record, &mut forms);
            }
            loaded.push(one);
        }
    }
    Ok(loaded)
}

/// All customers of a type have the same subscription: it is kept once.
fn share(record: &mut Record, forms: &mut Vec<Arc<Subscription>>) {
    let subscription = &record.inputs.subscription;
    match forms.iter().find(|form| *form == subscription) {
        Some(form) => {
            let form = Arc::clone(form);
            Arc::make_mut(&mut record.inputs).subscription = form;
        }
        None => {
            // The newest are the likeliest to come again.
            if forms.len() == MOST_FORMS {
                forms.pop();
            }
            forms.insert(0, Arc::clone(subscription));
        }
    }
}

fn load_one(path: &Path, name: &str) -> Loaded {
    let unreadable = |error: String| Loaded::Unreadable {
        name: name.to_owned(),
        error: format!(
            "failed to read {}: {error}; nothing is done about this subscription until the file \
             can be read, or is removed: then what stands at the app is unknown to Tidegate",
            path.display()
        ),
    };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return unreadable(error.to_string()),
    };
    match record::read(&bytes) {
        Ok(record) if record.name.name != name => {
            unreadable(format!("it is the record of {}", record.name))
        }
        Ok(record) => Loaded::Record(Box::new(record)),
        Err(error) => unreadable(error.to_string()),
    }
}

fn told(error: durable::FileError) -> StoreError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    StoreError(text)
}

/// Runs what waits for the disk where nobody else has to wait for it.
fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> BoxFuture<'static, Result<T, StoreError>> {
    let task = tokio::task::spawn_blocking(work);
    Box::pin(async move {
        match task.await {
            Ok(result) => result,
            Err(error) => Err(StoreError(error.to_string())),
        }
    })
}

#[cfg(test)]
mod tests;
