//! Several writers: no update is lost, and no clean-up deletes what a push needs.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use mempack_store::*;
use object_store::ObjectStore;
use support::faulty::{Faults, Faulty};
use support::*;

const REPLACE: PushOptions = PushOptions { name: None, replace: true, resend: false };

fn banks(folder: &Path, versions: std::ops::Range<u64>) -> Vec<LocalBank> {
    versions.map(|version| read(&make_bank(&folder.join(version.to_string()), version))).collect()
}

/// Writers at once: every one that succeeds is in the history, once.
async fn race(stores: Vec<Store>, banks: &[LocalBank], replace: bool) {
    let reader = stores[0].clone();
    let writers: Vec<_> = stores
        .into_iter()
        .zip(banks.to_vec())
        .map(|(store, bank)| {
            tokio::spawn(async move { push(&store, &bank, &PushOptions { replace, ..PushOptions::default() }, &()).await })
        })
        .collect();
    let mut published = 0;
    let mut newest = Vec::new();
    for writer in writers {
        match writer.await.unwrap() {
            Ok(report) => {
                published += 1;
                newest.push(report.edition);
            }
            Err(error) => {
                assert!(!replace, "{error}");
                let StoreError::Conflict { before, found, ours, .. } = &error else { panic!("{error}") };
                assert!(before == "nothing" && found != ours && error.to_string().contains(found.as_str()), "{error}");
            }
        }
    }
    assert!(published >= 1);
    let (head, _) = reader.head("legal").await.unwrap().unwrap();
    assert_eq!((head.count, head.editions.len()), (published, published as usize));
    let mut listed: Vec<_> = head.editions.iter().map(|entry| entry.edition).collect();
    listed.sort();
    newest.sort();
    assert_eq!(listed, newest);
}

#[test]
fn writers_at_once_are_all_published_or_told_of_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let banks = banks(folder.path(), 0..6);
    for turn in 0..6 {
        let replace = turn % 2 == 0;
        block_on(async {
            let (_, inner) = in_memory();
            let slow = |seed| conditional(Arc::new(Faulty::new(Arc::clone(&inner), Faults { slow: 0.3, ..Faults::default() }, seed)));
            race((0..6).map(slow).collect(), &banks, replace).await;

            let path = folder.path().join(format!("store-{turn}"));
            let inner = folder_objects(&path);
            let slow = |seed| in_folder(&path, Arc::new(Faulty::new(Arc::clone(&inner), Faults { slow: 0.3, ..Faults::default() }, seed)));
            race((0..6).map(slow).collect(), &banks, replace).await;
        });
    }
}

/// Not a test by itself: what a process of the next test does.
#[test]
#[ignore = "a part of processes_at_once_lose_nothing"]
fn one_process() {
    let folder = PathBuf::from(std::env::var_os("STORE_RACE_FOLDER").expect("run by processes_at_once_lose_nothing"));
    let number: u64 = std::env::var("STORE_RACE_NUMBER").unwrap().parse().unwrap();
    let store = connect(&format!("file://{}/store", folder.display()), &ConnectOptions::default()).unwrap();
    let banks = [0, 1].map(|version| read(&make_bank(&folder.join(format!("{number}-{version}")), 2 * number + version)));
    block_on(async {
        for turn in 0..6 {
            push(&store, &banks[turn % 2], &REPLACE, &()).await.unwrap();
        }
    });
}

#[test]
fn processes_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let process = |number: u64| {
        Command::new(std::env::current_exe().unwrap())
            .args(["one_process", "--exact", "--ignored"])
            .env("STORE_RACE_FOLDER", folder.path())
            .env("STORE_RACE_NUMBER", number.to_string())
            .output()
    };
    std::thread::scope(|scope| {
        for process in [0, 1, 2].map(|number| scope.spawn(move || process(number))) {
            let ended = process.join().unwrap().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
        }
    });
    let store = connect(&format!("file://{}/store", folder.path().display()), &ConnectOptions::default()).unwrap();
    block_on(async {
        let (head, _) = store.head("legal").await.unwrap().unwrap();
        assert_eq!((head.count, head.editions.len()), (18, 18));
        let report = verify(&store, &VerifyOptions::default(), &mut |damage| panic!("{damage}"), &()).await.unwrap();
        assert_eq!(report.damages, 0);
    });
}

#[test]
fn a_store_without_conditions_is_found_out_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bank = read(&make_bank(folder.path(), 1));
    block_on(async {
        let (_, inner) = in_memory();
        let mut ignoring = Faulty::new(Arc::clone(&inner), Faults::default(), 1);
        ignoring.ignores_conditions = true;
        let error = push(&conditional(Arc::new(ignoring)), &bank, &PushOptions::default(), &()).await.unwrap_err();
        assert!(error.to_string().contains("replaced another version") && error.to_string().contains("--allow-unconditional"), "{error}");
        // A folder knows "absent", and not "this version".
        let objects = folder_objects(&folder.path().join("store"));
        let error = push(&conditional(Arc::clone(&objects)), &bank, &PushOptions::default(), &()).await.unwrap_err();
        assert!(error.to_string().contains("it says that it cannot"), "{error}");
        assert!(conditional(Arc::clone(&objects)).names().await.unwrap().is_empty());
        // Who asks for it may write all the same.
        let store = Store::new(objects, "banks".into(), "x".into(), Guard::None, requests());
        push(&store, &bank, &PushOptions::default(), &()).await.unwrap();
        assert_eq!(store.names().await.unwrap(), ["legal"]);
    });
}

/// A clean-up that deletes at once.
const NOW: GcOptions = GcOptions { older_than: Duration::ZERO, keep: 1, dry_run: false };

async fn names(inner: &Arc<dyn ObjectStore>) -> Vec<String> {
    use futures_util::TryStreamExt as _;
    let mut names: Vec<_> = inner.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    names.sort();
    names
}

#[test]
fn what_nothing_needs_is_deleted_when_it_waited_long_enough() {
    let folder = tempfile::tempdir().unwrap();
    let banks = banks(folder.path(), 0..3);
    block_on(async {
        let (store, inner) = in_memory();
        push(&store, &banks[2], &PushOptions::default(), &()).await.unwrap();
        let alone = names(&inner).await;
        let (store, inner) = in_memory();
        for bank in &banks {
            push(&store, bank, &PushOptions::default(), &()).await.unwrap();
        }
        let foreign = object_store::path::Path::from("banks/chunks/README");
        inner.put_opts(&foreign, "of someone else".into(), Default::default()).await.unwrap();
        let all = names(&inner).await;

        let kept = gc(&store, &GcOptions::default(), &()).await.unwrap();
        assert_eq!((kept.waiting, kept.deleted), (0, 0));
        let options = GcOptions { keep: 1, ..GcOptions::default() };
        let dry = gc(&store, &GcOptions { dry_run: true, ..options }, &()).await.unwrap();
        let first = gc(&store, &options, &()).await.unwrap();
        assert!(first.waiting > 4 && first.deleted == 0 && first == dry, "{first:?}, {dry:?}");
        // The first has condemned, and a second must wait as long.
        assert_eq!(gc(&store, &options, &()).await.unwrap(), first);
        let would = gc(&store, &GcOptions { dry_run: true, ..NOW }, &()).await.unwrap();
        assert_eq!(names(&inner).await.iter().filter(|name| !name.starts_with("banks/gc")).count(), all.len());
        let second = gc(&store, &NOW, &()).await.unwrap();
        assert_eq!((second.deleted, second.deleted_bytes, second.waiting), (first.waiting, first.waiting_bytes, 0));
        assert_eq!(would, second);
        let mut left = names(&inner).await;
        left.retain(|name| !name.starts_with("banks/gc") && *name != "banks/chunks/README");
        assert_eq!(left, alone);
        // What was there before is told from what never was.
        let out = folder.path().join("out");
        let options = PullOptions { set: Some(banks[0].edition.id.to_string()), ..PullOptions::default() };
        let error = pull(&store, &out, &options, &()).await.unwrap_err();
        assert!(matches!(error, StoreError::Collected { .. }), "{error}");
        pull(&store, &out, &PullOptions::default(), &()).await.unwrap();
        let report = verify(&store, &VerifyOptions::default(), &mut |damage| panic!("{damage}"), &()).await.unwrap();
        assert_eq!(report.editions, 1);
    });
}

#[test]
fn a_push_takes_what_it_needs_off_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let banks = banks(folder.path(), 0..2);
    block_on(async {
        let (store, inner) = in_memory();
        push(&store, &banks[0], &PushOptions::default(), &()).await.unwrap();
        push(&store, &banks[1], &PushOptions::default(), &()).await.unwrap();
        let listed = async || {
            let path = object_store::path::Path::from("banks/gc/condemned");
            let bytes = object_store::ObjectStoreExt::get(&*inner, &path).await.unwrap().bytes().await.unwrap();
            Condemned::from_bytes(&bytes).unwrap().waiting.len() as u64
        };
        let day = GcOptions { keep: 1, ..GcOptions::default() };
        let condemned = gc(&store, &day, &()).await.unwrap().waiting;
        assert!(condemned > 0 && listed().await == condemned);
        // The first bank is published again: it is all there, and nothing of it may be deleted.
        let name = PushOptions { name: Some("again".into()), ..PushOptions::default() };
        let again = push(&store, &banks[0], &name, &()).await.unwrap();
        assert_eq!((again.sent, listed().await), (0, 0));
        let swept = gc(&store, &NOW, &()).await.unwrap();
        assert_eq!((swept.deleted, swept.waiting), (0, 0));
        let report = verify(&store, &VerifyOptions::default(), &mut |damage| panic!("{damage}"), &()).await.unwrap();
        assert_eq!(report.names, 2);
    });
}

#[test]
fn a_clean_up_that_was_killed_is_ended_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let banks = banks(folder.path(), 0..2);
    block_on(async {
        let (store, inner) = in_memory();
        push(&store, &banks[0], &PushOptions::default(), &()).await.unwrap();
        push(&store, &banks[1], &PushOptions::default(), &()).await.unwrap();
        // It is killed when it has written down what it deletes.
        let mut denying = Faulty::new(Arc::clone(&inner), Faults::default(), 1);
        denying.denies_deletion = true;
        let error = gc(&conditional(Arc::new(denying)), &NOW, &()).await.unwrap_err();
        assert!(matches!(error, StoreError::Denied { .. }), "{error}");
        let error = gc(&store, &NOW, &()).await.unwrap_err();
        assert!(matches!(error, StoreError::OtherGc { .. }), "{error}");
        // A push that needs none of it goes on, and one that does waits.
        push(&store, &banks[1], &PushOptions::default(), &()).await.unwrap();
        let requests = Requests { timeout: Duration::from_millis(20), ..requests() };
        let hasty = Store::new(Arc::clone(&inner), "banks".into(), "memory".into(), Guard::Conditional, requests);
        let error = push(&hasty, &banks[0], &PushOptions::default(), &()).await.unwrap_err();
        assert!(matches!(error, StoreError::Deleting { .. }), "{error}");
        // An hour later the list is another's to end.
        let path = object_store::path::Path::from("banks/gc/condemned");
        let bytes = object_store::ObjectStoreExt::get(&*inner, &path).await.unwrap().bytes().await.unwrap();
        let mut condemned = Condemned::from_bytes(&bytes).unwrap();
        condemned.deleting.as_mut().unwrap().since -= 3_601;
        object_store::ObjectStoreExt::put(&*inner, &path, condemned.to_bytes().into()).await.unwrap();
        gc(&store, &NOW, &()).await.unwrap();
        push(&store, &banks[0], &PushOptions::default(), &()).await.unwrap();
        verify(&store, &VerifyOptions::default(), &mut |damage| panic!("{damage}"), &()).await.unwrap();
    });
}

#[test]
fn pushes_and_clean_ups_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let banks = banks(folder.path(), 0..3);
    for seed in 0..4 {
        block_on(async {
            let (clean, inner) = in_memory();
            let slow = |seed| conditional(Arc::new(Faulty::new(Arc::clone(&inner), Faults { slow: 0.2, ..Faults::default() }, seed)));
            // The clock of a store counts seconds: what is condemned is deleted 1 to 2 s later, and no push takes as long.
            let sweeps = GcOptions { older_than: Duration::from_secs(2), keep: 1, dry_run: false };
            let sweeper = slow(100 + seed);
            let sweeping = tokio::spawn(async move {
                let mut deleted = 0;
                loop {
                    match gc(&sweeper, &sweeps, &()).await {
                        Ok(report) => deleted += report.deleted,
                        Err(StoreError::Contended { .. } | StoreError::Missing { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    if deleted > 20 {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            let pusher = slow(200 + seed);
            let mut turn = 0;
            while !sweeping.is_finished() {
                push(&pusher, &banks[turn % 3], &REPLACE, &()).await.unwrap();
                let whole = verify(
                    &clean,
                    &VerifyOptions { name: Some("legal".into()), sample: Some((1e-9, 0)) },
                    &mut |damage| panic!("{damage}"),
                    &(),
                )
                .await
                .unwrap();
                assert_eq!(whole.damages, 0);
                tokio::time::sleep(Duration::from_millis(700)).await;
                turn += 1;
                assert!(turn < 60, "the clean-up deletes nothing");
            }
            sweeping.await.unwrap();
            pull(&clean, &folder.path().join(format!("out-{seed}")), &PullOptions::default(), &()).await.unwrap();
        });
    }
}
