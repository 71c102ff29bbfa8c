//! What is pushed is pulled, and only what is new is sent.

mod support;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use mempack_format::{Digest, PackSetFile, PrivateKey, sign_set_file};
use mempack_store::*;
use object_store::ObjectStoreExt as _;
use object_store::path::Path as StorePath;
use support::faulty::{Faults, Faulty};
use support::*;

#[test]
fn a_bank_is_pulled_as_it_was_pushed_in_memory_and_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let set = make_bank(&folder.path().join("bank"), 1);
    let objects = folder.path().join("store");
    for store in [in_memory().0, in_folder(&objects, folder_objects(&objects))] {
        block_on(async {
            let pushed = push(&store, &read(&set), &PushOptions::default(), &()).await.unwrap();
            assert_eq!((pushed.name.as_str(), pushed.files, pushed.there, pushed.unchanged), ("legal", 3, 0, false));
            let out = folder.path().join(format!("out-{}", store.url().len()));
            let pulled = pull(&store, &out, &PullOptions::default(), &()).await.unwrap();
            assert_eq!(files(&out), files(set.parent().unwrap()));
            assert_eq!((pulled.id, pulled.files, pulled.unchanged, pulled.entry), (pushed.id, 3, 0, out.join("legal.mps")));
            assert_eq!(pulled.bytes, pushed.bytes);
            // Again, there is nothing to do.
            let again = pull(&store, &out, &PullOptions::default(), &()).await.unwrap();
            assert_eq!((again.unchanged, again.fetched_bytes), (3, 0));
            let again = push(&store, &read(&set), &PushOptions::default(), &()).await.unwrap();
            assert_eq!((again.sent, again.sent_bytes, again.unchanged), (0, 0, true));
            let report = verify(&store, &VerifyOptions::default(), &mut |damage| panic!("{damage}"), &()).await.unwrap();
            assert_eq!((report.names, report.editions, report.damages), (1, 1, 0));
            assert_eq!((report.read_bytes, report.chunks + 5), (report.bytes, report.objects));
        });
    }
}

#[test]
fn an_address_of_a_folder_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let set = make_bank(&folder.path().join("bank"), 1);
    let address = format!("file://{}/not%20there/yet", folder.path().display());
    let store = connect(&address, &ConnectOptions::default()).unwrap();
    let out = folder.path().join("out");
    block_on(async {
        let error = pull(&store, &out, &PullOptions::default(), &()).await.unwrap_err();
        assert!(error.to_string().contains("has nothing published"), "{error}");
        push(&store, &read(&set), &PushOptions::default(), &()).await.unwrap();
        pull(&store, &out, &PullOptions::default(), &()).await.unwrap();
    });
    assert_eq!(files(&out), files(set.parent().unwrap()));
    assert!(folder.path().join("not there/yet/refs/legal").is_file());
}

#[test]
fn only_what_changed_is_sent_and_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = [1, 2].map(|version| make_bank(&folder.path().join(version.to_string()), version));
    let (store, _) = in_memory();
    let out = folder.path().join("out");
    block_on(async {
        let first = push(&store, &read(&one), &PushOptions::default(), &()).await.unwrap();
        pull(&store, &out, &PullOptions::default(), &()).await.unwrap();
        let second = push(&store, &read(&two), &PushOptions::default(), &()).await.unwrap();
        assert!(second.sent_bytes < first.sent_bytes / 2 && second.there > 0, "{second:?}");
        assert_ne!(first.edition, second.edition);
        // The folder has the first version, of which most is in the second.
        let pulled = pull(&store, &out, &PullOptions::default(), &()).await.unwrap();
        assert!(pulled.fetched_bytes < pulled.bytes / 2, "{pulled:?}");
        assert_eq!(files(&out), files(two.parent().unwrap()));
        // The older one is still to be had, by the beginning of its id.
        for wanted in [first.id.to_string(), first.edition.to_string()[..12].to_owned()] {
            let options = PullOptions { set: Some(wanted), ..PullOptions::default() };
            let older = pull(&store, &folder.path().join("older"), &options, &()).await.unwrap();
            assert_eq!(older.id, first.id);
        }
        assert_eq!(files(&folder.path().join("older")), files(one.parent().unwrap()));
        let options = PullOptions { set: Some("0123".into()), ..PullOptions::default() };
        let error = pull(&store, &out, &options, &()).await.unwrap_err().to_string();
        assert!(error.contains("0 of the banks") && error.contains(&second.id.to_string()), "{error}");
    });
}

#[test]
fn equal_banks_give_equal_objects_whoever_pushes_them() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = ["a", "b"].map(|name| make_bank(&folder.path().join(name), 1));
    let (store, inner) = in_memory();
    block_on(async {
        let first = push(&store, &read(&one), &PushOptions::default(), &()).await.unwrap();
        let name = |name: &str| PushOptions { name: Some(name.into()), ..PushOptions::default() };
        let second = push(&store, &read(&other), &name("second"), &()).await.unwrap();
        assert_eq!((second.edition, second.sent), (first.edition, 0));
        let [a, b] = ["banks/refs/legal", "banks/refs/second"].map(StorePath::from);
        assert_eq!(inner.get(&a).await.unwrap().bytes().await.unwrap(), inner.get(&b).await.unwrap().bytes().await.unwrap());
        let error = pull(&store, folder.path(), &PullOptions::default(), &()).await.unwrap_err().to_string();
        assert!(error.contains("legal, second; say which"), "{error}");
        let error = pull(&store, folder.path(), &PullOptions { name: Some("third".into()), set: None }, &()).await.unwrap_err().to_string();
        assert!(error.contains("nothing is published as \"third\"") && error.contains("legal, second"), "{error}");
        let error = push(&store, &read(&one), &name("a/b"), &()).await.unwrap_err().to_string();
        assert!(error.contains("no name to publish under"), "{error}");
    });
}

#[test]
fn a_pack_alone_and_signatures_are_a_bank_too() {
    let folder = tempfile::tempdir().unwrap();
    let pack = folder.path().join("solo.mpk");
    write_pack(&pack, &(0..300).collect::<Vec<_>>());
    let set = make_bank(&folder.path().join("bank"), 1);
    let (store, _) = in_memory();
    block_on(async {
        let pushed = push(&store, &read(&pack), &PushOptions::default(), &()).await.unwrap();
        let out = folder.path().join("out");
        let pulled = pull(&store, &out, &PullOptions::default(), &()).await.unwrap();
        assert_eq!((pulled.id, files(&out)["solo.mpk"]), (pushed.id, Digest::of(&fs::read(&pack).unwrap())));

        let unsigned = push(&store, &read(&set), &PushOptions::default(), &()).await.unwrap();
        sign_set_file(&set, &PrivateKey::from_bytes(&[7; 32]), &set).unwrap();
        let signed = push(&store, &read(&set), &PushOptions::default(), &()).await.unwrap();
        // The id is that of the set, and the edition has its signature.
        assert_eq!(signed.id, unsigned.id);
        assert_ne!(signed.edition, unsigned.edition);
        let pulled =
            pull(&store, &folder.path().join("signed"), &PullOptions { name: Some("legal".into()), set: None }, &()).await.unwrap();
        assert_eq!(PackSetFile::read(&fs::read(pulled.entry).unwrap()).unwrap().signatures().len(), 1);
    });
}

#[test]
fn a_pull_that_was_interrupted_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let set = make_bank(&folder.path().join("bank"), 1);
    let (store, inner) = in_memory();
    let out = folder.path().join("out");
    block_on(async {
        push(&store, &read(&set), &PushOptions::default(), &()).await.unwrap();
        let slow = conditional(Arc::new(Faulty::new(inner, Faults { slow: 1.0, ..Faults::default() }, 1)));
        let mut interrupted = 0;
        for wait in 5.. {
            match tokio::time::timeout(Duration::from_millis(wait), pull(&slow, &out, &PullOptions::default(), &())).await {
                Err(_) => {
                    interrupted += 1;
                    assert!(files(&out).keys().all(|name| name.starts_with('.')), "a file that may be half");
                }
                Ok(pulled) => {
                    let pulled = pulled.unwrap();
                    assert!(pulled.fetched_bytes < pulled.bytes, "nothing of the earlier pulls was used");
                    break;
                }
            }
        }
        assert!(interrupted > 3);
        // What is left of a pull of another bank goes with the next that ends.
        fs::write(out.join(".legal-0007.mpk.pulling"), b"left").unwrap();
        fs::write(out.join(".mine.pulling"), b"not a file of a bank").unwrap();
        pull(&store, &out, &PullOptions::default(), &()).await.unwrap();
        fs::remove_file(out.join(".mine.pulling")).unwrap();
    });
    assert_eq!(files(&out), files(set.parent().unwrap()));
}

#[test]
fn two_pulls_of_one_folder_do_not_interfere() {
    let folder = tempfile::tempdir().unwrap();
    let set = make_bank(&folder.path().join("bank"), 1);
    let (store, _) = in_memory();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    block_on(async {
        push(&store, &read(&set), &PushOptions::default(), &()).await.unwrap();
        // What another pull does while it writes.
        let other = fs::File::open(&out).unwrap();
        other.lock().unwrap();
        let error = pull(&store, &out, &PullOptions::default(), &()).await.unwrap_err();
        assert!(matches!(error, StoreError::Busy { .. }), "{error}");
        assert!(files(&out).is_empty());
        drop(other);
        pull(&store, &out, &PullOptions::default(), &()).await.unwrap();
    });
    assert_eq!(files(&out), files(set.parent().unwrap()));
}

#[test]
fn a_sample_reads_its_share() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = in_memory();
    block_on(async {
        for version in 0..8 {
            let set = make_bank(&folder.path().join(version.to_string()), version);
            push(&store, &read(&set), &PushOptions::default(), &()).await.unwrap();
        }
        let sample = |share, seed| VerifyOptions { sample: Some((share, seed)), ..VerifyOptions::default() };
        let whole = verify(&store, &sample(1.0, 0), &mut |_| (), &()).await.unwrap();
        let half = verify(&store, &sample(0.5, 1), &mut |_| (), &()).await.unwrap();
        let other = verify(&store, &sample(0.5, 2), &mut |_| (), &()).await.unwrap();
        assert_eq!((whole.editions, whole.read_bytes), (8, whole.bytes));
        let (all, part) = (whole.objects, half.objects);
        assert!(part < all * 3 / 4 && part > all / 3, "{part} of {all}");
        assert_ne!(half.read_bytes, other.read_bytes);
    });
}

#[test]
fn digests_name_what_was_published() {
    let folder = tempfile::tempdir().unwrap();
    let bank = read(&make_bank(folder.path(), 1));
    let (store, _) = in_memory();
    let pushed = block_on(push(&store, &bank, &PushOptions::default(), &())).unwrap();
    assert_eq!(pushed.edition, Digest::of(&bank.edition.to_bytes()));
    let names: Vec<&str> = bank.edition.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["legal-0000.mpk", "legal-0001.mpk", "legal.mps"]);
}
