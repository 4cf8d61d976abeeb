//! Records on disk: what a crash can leave, what cannot be read, and who may read it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;
use crate::api::DeletionPolicy;
use crate::configuration::Sensitive;
use crate::provision::{Fields, Inputs, WebhookFields};

fn record(name: &str, token: &str) -> Record {
    let request = "request: {url: 'https://api.example/hooks'}";
    let secret = Sensitive::from("hunter2-and-more");
    Record {
        name: ObjectName::new("crm", name),
        token: token.into(),
        next_number: 1,
        inputs: Arc::new(Inputs {
            event_type: ObjectName::new("crm", "contacts"),
            type_: "contact".into(),
            global: false,
            subscription: Arc::new(serde_saphyr::from_str(request).unwrap()),
            deletion_policy: DeletionPolicy::Unsubscribe,
            public_url: "https://hooks.example".into(),
            global_webhook_path: None,
            webhook_fields: WebhookFields::default(),
            app: Fields {
                plain: BTreeMap::new(),
                sensitive: BTreeMap::from([("secret".into(), secret)]),
            },
            customer: None,
        }),
        registrations: Vec::new(),
        removed: Vec::new(),
        orphans: Vec::new(),
        left_behind: Vec::new(),
        making: None,
        watch: record::Watch::default(),
        last_event_at: None,
    }
}

/// What is loaded: names with tokens, or with `!` where they cannot be read.
async fn loaded(records: &Records) -> Vec<String> {
    let mut all: Vec<String> = records
        .load()
        .await
        .unwrap()
        .into_iter()
        .map(|one| match one {
            Loaded::Record(record) => format!("{}={}", record.name, record.token),
            Loaded::Unreadable { name, error } => {
                assert!(error.contains(&format!("{name}.json")), "{error}");
                assert!(!error.contains("hunter2"), "{error}");
                format!("{name}!")
            }
        })
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn records_are_kept_replaced_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let records = Records::new(folder.path().to_owned());
    records.write(&record("one", "a")).await.unwrap();
    records.write(&record("two", "b")).await.unwrap();
    records.write(&record("one", "c")).await.unwrap();
    assert_eq!(loaded(&records).await, ["crm/one=c", "crm/two=b"]);
    let mode = fs::metadata(folder.path().join("one.json")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let two = ObjectName::new("crm", "two");
    records.remove(&two).await.unwrap();
    records.remove(&two).await.unwrap();
    assert_eq!(loaded(&records).await, ["crm/one=c"]);
    let read = records.load().await.unwrap().pop();
    assert!(matches!(read, Some(Loaded::Record(read)) if *read == record("one", "c")));
}

#[tokio::test]
async fn a_crash_at_any_byte_leaves_the_old_record_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let records = Records::new(folder.path().to_owned());
    records.write(&record("one", "old")).await.unwrap();
    let new = record::write(&record("one", "new")).unwrap();
    // Before the rename, only the file beside it is written, as far as it was.
    let temporary = folder.path().join(".one.json.new");
    for length in (0..=new.len()).step_by(7).chain([new.len()]) {
        fs::write(&temporary, &new[..length]).unwrap();
        assert_eq!(loaded(&records).await, ["crm/one=old"], "{length} bytes");
    }
    // What was left does not hinder the next write.
    records.write(&record("one", "newer")).await.unwrap();
    assert_eq!(loaded(&records).await, ["crm/one=newer"]);
    assert!(!temporary.exists());
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_its_file_and_hinders_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let records = Records::new(folder.path().to_owned());
    records.write(&record("good", "a")).await.unwrap();
    let bytes = record::write(&record("cut", "hunter2")).unwrap();
    fs::write(folder.path().join("cut.json"), &bytes[..bytes.len() - 5]).unwrap();
    fs::write(folder.path().join("empty.json"), "").unwrap();
    fs::write(folder.path().join("moved.json"), &bytes).unwrap();
    fs::create_dir(folder.path().join("folder.json")).unwrap();
    fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
    let newer = String::from_utf8(bytes).unwrap();
    let newer = newer.replace("\"format\":1", "\"format\":99");
    fs::write(folder.path().join("newer.json"), newer).unwrap();
    assert_eq!(
        loaded(&records).await,
        [
            "crm/good=a",
            "cut!",
            "empty!",
            "folder!",
            "moved!",
            "newer!"
        ]
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let records = Records::new(folder.path().join("gone"));
    let error = records.write(&record("one", "a")).await.unwrap_err();
    assert!(error.to_string().contains("one.json"), "{error}");
    assert!(records.load().await.is_err());
}

#[tokio::test]
async fn what_all_customers_have_in_common_is_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let records = Records::new(folder.path().to_owned());
    for name in ["one", "two", "three"] {
        records.write(&record(name, "a")).await.unwrap();
    }
    let mut other = record("other", "a");
    let request = "request: {url: 'https://other.example/hooks'}";
    let inputs = Arc::make_mut(&mut other.inputs);
    inputs.subscription = Arc::new(serde_saphyr::from_str(request).unwrap());
    records.write(&other).await.unwrap();
    let mut forms: Vec<Arc<Subscription>> = Vec::new();
    for one in records.load().await.unwrap() {
        let Loaded::Record(read) = one else {
            panic!("all can be read");
        };
        let subscription = &read.inputs.subscription;
        let expected = match read.name.name.as_str() {
            "other" => &other.inputs.subscription,
            _ => &record("one", "a").inputs.subscription,
        };
        assert_eq!(subscription, expected, "{}", read.name);
        if !forms.iter().any(|form| Arc::ptr_eq(form, subscription)) {
            forms.push(Arc::clone(subscription));
        }
    }
    assert_eq!(forms.len(), 2);
}
