//! Only the record counts: whatever somebody writes into the objects that are there for people
//! touches nothing at any app.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::installation::Installation;
use super::spec::Spec;
use super::world::World;
use crate::support::dev::replace;
use crate::support::model_app::Op;

#[tokio::test(flavor = "multi_thread")]
async fn forged_objects_touch_nothing_at_the_app() {
    let mut world = World::prepare(Spec::of(&["acme", "globex"])).await;
    world.app.add_foreign("acme", "http://127.0.0.1:9/foreign");
    let foreign = "h_1";
    world.dev.run().await;
    let acme = world.stands("acme").await;
    let globex = world.stands("globex").await;
    assert!(acme.id != foreign && globex.id != foreign);

    let folder = world.dev.data.join("upstream-subscriptions/default");
    let (mut files, mut texts) = (Vec::new(), Vec::new());
    let ids = [&acme.id, &globex.id];
    world
        .wait("both objects are written, as they stand", async || {
            files = objects(&folder);
            let read = |path: &PathBuf| {
                let name = path.file_stem()?.to_str()?.to_owned();
                Some((name, std::fs::read_to_string(path).ok()?))
            };
            texts = files.iter().filter_map(read).collect();
            let is_written = |id: &&String| {
                let says = |text: &str| text.contains("Active") && text.contains(id.as_str());
                texts.iter().any(|(_, text)| says(text))
            };
            texts.len() == files.len() && ids.iter().all(is_written)
        })
        .await;
    assert_eq!(files.len(), 2, "{files:?}");
    let forgeries = |text: &str| {
        // Another id at the app, an earlier end, another state, another customer.
        let mut forged = text.to_owned();
        for (from, to) in [
            (acme.id.as_str(), foreign),
            (globex.id.as_str(), foreign),
            ("Active", "Unsubscribing"),
            ("contacts", "others"),
            ("number: 1", "number: 7"),
        ] {
            forged = forged.replace(from, to);
        }
        forged
    };
    let requests = world.app.asked_count();
    for (path, (_, text)) in files.iter().zip(&texts) {
        assert!(text.contains("UpstreamSubscription"), "{text}");
        assert_ne!(&forgeries(text), text);
        replace(path, &forgeries(text));
    }
    // One that we never made, and one less.
    let made_up = forgeries(&texts[0].1).replace(&texts[0].0, "contacts-made-up");
    replace(&folder.join("contacts-made-up.yaml"), &made_up);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.app.asked_count(), requests);
    world.dev.kill();
    world.dev.run().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.app.asked_count(), requests);
    // Each says itself that it is a view. Deleting one, or all, means nothing to the app either.
    for (_, text) in &texts {
        assert!(
            text.starts_with('#') && text.contains("deleting this file changes nothing"),
            "{text}"
        );
    }
    std::fs::remove_file(&files[0]).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.app.asked_count(), requests);
    std::fs::remove_dir_all(&folder).unwrap();
    world.dev.kill();
    world.dev.run().await;
    let are_back = async || files.iter().all(|path| path.exists());
    world.wait("the views are back", are_back).await;
    // Among the manifests it is not accepted either.
    world.dev.edit("forged.yaml", &forgeries(&texts[1].1));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.app.asked_count(), requests);
    std::fs::remove_file(world.dev.manifests.join("forged.yaml")).unwrap();

    for (customer, before) in [("acme", &acme), ("globex", &globex)] {
        assert_eq!(world.stands(customer).await.id, before.id);
        world.arrives(customer).await;
        assert_eq!(world.app.count(customer, Op::Create), 1);
    }
    world.app.assert_unharmed();
}

/// The files of the objects that are there for people. They are written a moment after what they
/// show is known elsewhere, so at first there may be none, nor a folder for them.
fn objects(folder: &Path) -> Vec<PathBuf> {
    let Ok(files) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    files
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect()
}

/// A record that belongs to another subscription is not acted on, and neither is one that cannot be
/// read: a registration is never made twice because a file is broken.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_record_makes_no_second_registration() {
    let mut world = World::prepare(Spec::of(&["acme"])).await;
    world.dev.run().await;
    let hook = world.stands("acme").await;
    world.dev.kill();
    let record = std::fs::read_dir(world.records())
        .unwrap()
        .map(|file| file.unwrap().path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .unwrap();
    let good = std::fs::read(&record).unwrap();
    for broken in [&good[..good.len() / 2], b"", b"{}"] {
        std::fs::write(&record, broken).unwrap();
        world.dev.spawn();
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.dev.kill();
        assert_eq!(world.app.count("acme", Op::Create), 1, "{broken:?}");
        assert_eq!(world.app.count("acme", Op::Delete), 0, "{broken:?}");
    }
    std::fs::write(&record, &good).unwrap();
    world.dev.run().await;
    assert_eq!(world.stands("acme").await.id, hook.id);
    world.arrives("acme").await;
    world.app.assert_unharmed();
}
