//! S3, by a server that `tests/store/run.sh` starts; its address is in the environment.

mod support;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use mempack_store::*;
use support::*;

/// A new folder of the bucket.
fn store(name: &str, change: impl FnOnce(&mut ConnectOptions)) -> Store {
    let mut options = ConnectOptions { requests: Requests { attempts: 3, ..requests() }, ..ConnectOptions::from_environment() };
    options.requests.timeout = Duration::from_secs(30);
    change(&mut options);
    connect(&format!("s3://mempack/{name}-{:x}", getrandom::u64().unwrap()), &options).unwrap()
}

fn banks(folder: &Path, versions: std::ops::Range<u64>) -> Vec<LocalBank> {
    versions.map(|version| read(&make_bank(&folder.join(version.to_string()), version))).collect()
}

#[test]
#[ignore = "needs a server: tests/store/run.sh"]
fn banks_are_pushed_pulled_verified_and_cleaned_up() {
    let folder = tempfile::tempdir().unwrap();
    let banks = banks(folder.path(), 1..3);
    let store = store("round-trip", |_| ());
    let out = folder.path().join("out");
    block_on(async {
        let first = push(&store, &banks[0], &PushOptions::default(), &()).await.unwrap();
        pull(&store, &out, &PullOptions::default(), &()).await.unwrap();
        assert_eq!(files(&out), files(&folder.path().join("1")));
        let second = push(&store, &banks[1], &PushOptions::default(), &()).await.unwrap();
        assert!(second.sent_bytes < first.sent_bytes / 2, "{second:?}");
        let pulled = pull(&store, &out, &PullOptions::default(), &()).await.unwrap();
        assert!(pulled.fetched_bytes < pulled.bytes / 2, "{pulled:?}");
        assert_eq!(files(&out), files(&folder.path().join("2")));
        let report = verify(&store, &VerifyOptions::default(), &mut |damage| panic!("{damage}"), &()).await.unwrap();
        assert_eq!((report.editions, report.read_bytes), (2, report.bytes));

        let day = GcOptions { keep: 1, ..GcOptions::default() };
        let condemned = gc(&store, &day, &()).await.unwrap();
        assert!(condemned.waiting > 0 && condemned.deleted == 0);
        let swept = gc(&store, &GcOptions { older_than: Duration::ZERO, ..day }, &()).await.unwrap();
        assert_eq!((swept.deleted, swept.waiting), (condemned.waiting, 0));
        let report = verify(&store, &VerifyOptions::default(), &mut |damage| panic!("{damage}"), &()).await.unwrap();
        assert_eq!(report.editions, 1);

        let piece = banks[1].files[0].index.chunks[1];
        let digest = piece.digest.to_string();
        store.write(&format!("chunks/{}/{digest}", &digest[..2]), Bytes::from(vec![7; piece.bytes as usize])).await.unwrap();
        let mut damages = Vec::new();
        verify(&store, &VerifyOptions::default(), &mut |damage| damages.push(damage.to_string()), &()).await.unwrap();
        assert!(damages.len() == 1 && damages[0].contains(&digest), "{damages:?}");
    });
}

#[test]
#[ignore = "needs a server: tests/store/run.sh"]
fn writers_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let banks = banks(folder.path(), 0..5);
    let store = store("race", |_| ());
    block_on(async {
        for (turn, replace) in [true, false].into_iter().enumerate() {
            let name = format!("legal-{turn}");
            let options = PushOptions { name: Some(name.clone()), replace, resend: false };
            let writers: Vec<_> = banks
                .iter()
                .cloned()
                .map(|bank| {
                    let (store, options) = (store.clone(), options.clone());
                    tokio::spawn(async move { push(&store, &bank, &options, &()).await })
                })
                .collect();
            let mut published = 0;
            for writer in writers {
                match writer.await.unwrap() {
                    Ok(_) => published += 1,
                    Err(error) => assert!(!replace && matches!(error, StoreError::Conflict { .. }), "{error}"),
                }
            }
            let (head, _) = store.head(&name).await.unwrap().unwrap();
            assert_eq!((head.count, head.editions.len()), (published, published as usize));
            assert!(if replace { published == 5 } else { published >= 1 });
        }
    });
}

#[test]
#[ignore = "needs a server: tests/store/run.sh"]
fn a_client_without_conditions_is_refused_unless_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let bank = banks(folder.path(), 1..2).remove(0);
    let disabled = |options: &mut ConnectOptions| options.settings.push(("aws_conditional_put".into(), "disabled".into()));
    block_on(async {
        let error = push(&store("disabled", disabled), &bank, &PushOptions::default(), &()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unconditional { .. }), "{error}");
        let allowed = store("allowed", |options| {
            disabled(options);
            options.allow_unconditional = true;
        });
        push(&allowed, &bank, &PushOptions::default(), &()).await.unwrap();
        assert_eq!(allowed.names().await.unwrap(), ["legal"]);
    });
}

#[test]
#[ignore = "needs a server: tests/store/run.sh"]
fn a_bucket_or_server_that_is_not_there_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let bank = banks(folder.path(), 1..2).remove(0);
    let options = ConnectOptions { requests: Requests { attempts: 2, ..requests() }, ..ConnectOptions::from_environment() };
    block_on(async {
        let elsewhere = connect("s3://no-such-bucket/banks", &options).unwrap();
        let error = push(&elsewhere, &bank, &PushOptions::default(), &()).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }) && format!("{error:?}").contains("no-such-bucket"), "{error:?}");
        let mut options = options.clone();
        options.settings.retain(|(key, _)| key != "AWS_ENDPOINT");
        // Port 1 of this machine: nothing listens.
        options.settings.push(("aws_endpoint".into(), "http://127.0.0.1:1".into()));
        let error = push(&connect("s3://mempack/banks", &options).unwrap(), &bank, &PushOptions::default(), &()).await.unwrap_err();
        assert!(error.to_string().contains("failed 2 times"), "{error}");
    });
}
