//! Who a secret belongs to, while the file changes.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mempack_keys::{Access, Denied, KeyRing, Keys, NewKey, PackScope, Period, Quota};
use proptest::prelude::*;
use tempfile::TempDir;

fn new(name: &str) -> NewKey {
    NewKey::new(name.parse().unwrap())
}

fn with_quota(name: &str, count: u32) -> NewKey {
    NewKey { quota: Quota::new(count, Period::Day), ..new(name) }
}

/// A file of keys, and their secrets.
fn file(keys: impl IntoIterator<Item = NewKey>) -> (TempDir, PathBuf, Vec<String>) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys.toml");
    let add = |key| Keys::create_or_update(&path, |keys| keys.add(key)).unwrap().0.reveal();
    let secrets = keys.into_iter().map(add).collect();
    (folder, path, secrets)
}

#[test]
fn every_reason_is_told() {
    let (_folder, path, secrets) = file(["one", "two", "three"].map(new));
    let (rotated, _) = Keys::update(&path, |keys| keys.rotate("one", None)).unwrap();
    Keys::update(&path, |keys| keys.revoke("two")).unwrap();
    fs::write(&path, fs::read_to_string(&path).unwrap() + "expires = 2001-01-01\n").unwrap();
    let ring = KeyRing::open(&path).unwrap();
    assert_eq!((ring.len(), ring.is_empty()), (3, false));
    assert_eq!(ring.authenticate(&rotated.reveal()).unwrap().name, "one");
    let denied = |secret: &str| ring.authenticate(secret).unwrap_err();
    assert_eq!(denied(""), Denied::Missing);
    assert_eq!(denied("sk-0123"), Denied::Malformed);
    assert_eq!(denied(&rotated.reveal()[..20]), Denied::Malformed);
    assert_eq!(denied(&secrets[0]), Denied::Unknown);
    assert_eq!(denied(&secrets[1]), Denied::Revoked { name: "two".into() });
    assert_eq!(denied(&secrets[2]), Denied::Expired { name: "three".into() });
    assert_eq!(
        ["", "x", &secrets[0], &secrets[1], &secrets[2]].map(|secret| denied(secret).reason()),
        ["missing", "malformed", "unknown", "revoked", "expired"]
    );
    // Neither a hash nor a name is a secret.
    let hash = Keys::read(&path).unwrap().list()[0].hash.to_string();
    assert_eq!([denied(&hash), denied("one")], [Denied::Malformed, Denied::Malformed]);
}

#[test]
fn access_is_what_the_key_says() {
    let named = |names: &[&str]| PackScope::Named(names.iter().map(|name| (*name).to_owned()).collect());
    let limited = NewKey { packs: named(&["legal", "medical"]), filter: Some("jurisdiction == 'BY'".parse().unwrap()), ..new("limited") };
    let admin = NewKey { admin: true, packs: named(&[]), ..new("admin") };
    let (_folder, path, secrets) = file([limited, admin, with_quota("all", 3)]);
    let ring = KeyRing::open(&path).unwrap();
    let [limited, admin, all] = [0, 1, 2].map(|at| ring.authenticate(&secrets[at]).unwrap());
    assert!(limited.may_read("legal") && limited.may_read("medical"));
    assert!(!limited.may_read("Legal") && !limited.may_read("legal2") && !limited.may_read("") && !limited.may_read("*"));
    assert!(!admin.may_read("legal") && all.may_read("legal"));
    assert_eq!([&limited, &admin, &all].map(|access| access.admin), [false, true, false]);
    assert_eq!([limited.quota(), all.quota()], [None, Quota::new(3, Period::Day)]);
    // What a request asks for is added to what the key demands.
    let both = limited.narrow(Some("date > '2021-01-01'".parse().unwrap())).unwrap();
    assert_eq!(both.fields(), ["date", "jurisdiction"]);
    assert_eq!(limited.narrow(None), limited.filter);
    assert_eq!(all.narrow(Some("date > '2021-01-01'".parse().unwrap())).unwrap().fields(), ["date"]);
    assert_eq!(all.narrow(None), None);

    let anonymous = Access::anonymous();
    assert!(anonymous.may_read("anything") && !anonymous.admin && anonymous.filter.is_none());
    assert!(anonymous.clone().with_admin(true).admin);
    assert!(Access::ANONYMOUS.parse::<mempack_keys::KeyName>().is_err());
    (0..10_000).for_each(|_| assert_eq!(anonymous.take(1000), Ok(())));
}

#[test]
fn quotas_belong_to_keys() {
    let (_folder, path, secrets) = file([with_quota("one", 3), with_quota("two", 3)]);
    let ring = KeyRing::open(&path).unwrap();
    let take = |at: usize, cost| ring.authenticate(&secrets[at]).unwrap().take(cost);
    assert_eq!([take(0, 2), take(0, 1)], [Ok(()), Ok(())]);
    let refused = take(0, 1).unwrap_err();
    // The third part of a day, less what has passed.
    assert!((28_700..=28_800).contains(&refused.retry_after.as_secs()), "{refused:?}");
    assert!(refused.to_string().contains("3/day is used up; try again in 28"), "{refused}");
    assert_eq!(take(0, 0), Ok(()));
    assert!(take(1, 4).unwrap_err().to_string().contains("more than the key's whole quota of 3/day"));
    assert_eq!(take(1, 3), Ok(()));
}

#[test]
fn quotas_survive_a_reload() {
    let (_folder, path, secrets) = file([with_quota("one", 3), with_quota("two", 3)]);
    let ring = KeyRing::open(&path).unwrap();
    let take = |secret: &str, cost| ring.authenticate(secret).unwrap().take(cost).is_ok();
    assert!(take(&secrets[0], 3) && take(&secrets[1], 3));
    // Another key comes, and the first gets another secret: both quotas stay used up.
    Keys::update(&path, |keys| keys.add(new("three"))).unwrap();
    let (rotated, _) = Keys::update(&path, |keys| keys.rotate("one", None)).unwrap();
    assert!(ring.reload().unwrap());
    assert!(!take(&rotated.reveal(), 1) && !take(&secrets[1], 1));
    // Another quota begins anew, and the other one stays.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("3/day", "4/day", 1)).unwrap();
    assert!(ring.reload().unwrap());
    assert!(take(&rotated.reveal(), 4) && !take(&rotated.reveal(), 1) && !take(&secrets[1], 1));
    // A request that began before takes out of the same quota as one that begins later.
    let before = ring.authenticate(&rotated.reveal()).unwrap();
    fs::write(&path, fs::read_to_string(&path).unwrap() + "\n# a comment\n").unwrap();
    assert!(ring.reload().unwrap());
    assert!(before.take(1).is_err());
}

#[test]
fn the_file_is_followed() {
    let (_folder, path, secrets) = file([new("one")]);
    let ring = KeyRing::open(&path).unwrap();
    assert!(!ring.reload().unwrap());
    assert!(!ring.reload().unwrap());
    let (two, _) = Keys::update(&path, |keys| keys.add(new("two"))).unwrap();
    assert_eq!(ring.authenticate(&two.reveal()).unwrap_err(), Denied::Unknown);
    assert!(ring.reload().unwrap());
    assert!(ring.authenticate(&two.reveal()).is_ok());
    Keys::update(&path, |keys| keys.revoke("one")).unwrap();
    assert!(ring.authenticate(&secrets[0]).is_ok());
    assert!(ring.reload().unwrap());
    assert_eq!(ring.authenticate(&secrets[0]).unwrap_err().reason(), "revoked");
    assert!(!ring.reload().unwrap());
}

#[test]
fn a_change_of_the_same_length_at_the_same_time_is_followed() {
    let (_folder, path, secrets) = file([with_quota("one", 3)]);
    let ring = KeyRing::open(&path).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("3/day", "7/day")).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert!(ring.reload().unwrap());
    assert_eq!(ring.authenticate(&secrets[0]).unwrap().quota(), Quota::new(7, Period::Day));
}

#[test]
fn a_bad_file_is_said_once_and_changes_nothing() {
    let (_folder, path, secrets) = file([new("one")]);
    let ring = KeyRing::open(&path).unwrap();
    let good = fs::read(&path).unwrap();
    let works = || ring.authenticate(&secrets[0]).is_ok();
    for bad in ["", "version = 1\nkey = 3\n", "version = 2\n"] {
        fs::write(&path, bad).unwrap();
        assert!(ring.reload().unwrap_err().to_string().contains("line"));
        (0..3).for_each(|_| assert!(!ring.reload().unwrap() && works()));
    }
    fs::remove_file(&path).unwrap();
    assert!(ring.reload().is_err());
    (0..3).for_each(|_| assert!(!ring.reload().unwrap() && works()));
    // The file is as it was.
    fs::write(&path, &good).unwrap();
    ring.reload().unwrap();
    assert!(works() && !ring.reload().unwrap());
    // The same error after the file was right is said again.
    fs::write(&path, "").unwrap();
    assert!(ring.reload().is_err());
    assert!(!ring.reload().unwrap() && works());
    fs::write(&path, "version = 1\n").unwrap();
    assert!(ring.reload().unwrap() && !works());
}

#[test]
fn keys_without_a_file_do_not_change() {
    let mut keys = Keys::new();
    let secret = keys.add(new("one")).unwrap();
    let ring = KeyRing::of(&keys);
    assert!(ring.authenticate(&secret.reveal()).is_ok());
    assert!(!ring.reload().unwrap());
    assert!(KeyRing::of(&Keys::new()).is_empty());
}

/// Two threads reload and one writes while others authenticate: keys that are always there are always right, others are right or denied.
#[test]
fn threads_reload_while_others_authenticate() {
    let (_folder, path, secrets) = file((0..4).map(|at| with_quota(&format!("stays-{at}"), 1_000_000)));
    let ring = KeyRing::open(&path).unwrap();
    let gone = Keys::new().add(new("gone")).unwrap().reveal();
    let done = AtomicBool::new(false);
    let (reloaded, asked) = thread::scope(|scope| {
        let reload = || {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                count += usize::from(ring.reload().unwrap());
            }
            count
        };
        let ask = || {
            let mut count = 0u64;
            while !done.load(Ordering::Relaxed) {
                for (at, secret) in secrets.iter().enumerate() {
                    let access = ring.authenticate(secret).unwrap();
                    assert_eq!(access.name, format!("stays-{at}"));
                    access.take(1).unwrap();
                    count += 1;
                }
                assert_eq!(ring.authenticate(&gone).unwrap_err(), Denied::Unknown);
            }
            count
        };
        let reloading = [scope.spawn(reload), scope.spawn(reload)];
        let asking = [scope.spawn(ask), scope.spawn(ask)];
        for at in 0..30 {
            let name = format!("comes-{at}");
            let secret = Keys::update(&path, |keys| keys.add(new(&name))).unwrap().0.reveal();
            Keys::update(&path, |keys| keys.revoke(&name)).unwrap();
            if let Err(denied) = ring.authenticate(&secret) {
                assert!(matches!(denied.reason(), "unknown" | "revoked"), "{denied}");
            }
        }
        done.store(true, Ordering::Relaxed);
        let sum = |counts: [usize; 2]| counts.iter().sum::<usize>();
        (sum(reloading.map(|thread| thread.join().unwrap())), asking.map(|thread| thread.join().unwrap()).iter().sum::<u64>())
    });
    assert!(reloaded > 0 && asked > 0);
    ring.reload().unwrap();
    assert_eq!(ring.len(), 34);
    // All that was taken was taken from one quota per key, in spite of all reloads.
    let left =
        |secret: &str| (0..).map(|bit| 1u32 << bit).take_while(|cost| ring.authenticate(secret).unwrap().take(*cost).is_ok()).sum::<u32>();
    assert!(u64::from(left(&secrets[0])) <= 1_000_000 - asked / 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Of many secrets exactly those that were issued, and not changed, are recognised, each as its key.
    #[test]
    fn exactly_the_issued_secrets_are_recognised(count in 1..8usize, fates in prop::collection::vec(0..3u8, 8), at in 0..60usize, by in "[a-z2-7]") {
        let mut keys = Keys::new();
        let mut issued: Vec<_> = (0..count).map(|at| keys.add(new(&format!("key-{at}"))).unwrap().reveal()).collect();
        let mut refused = BTreeSet::new();
        for (at, secret) in issued.iter_mut().enumerate() {
            let name = format!("key-{at}");
            match fates[at] {
                1 => {
                    keys.revoke(&name).unwrap();
                }
                2 => {
                    refused.insert(std::mem::replace(secret, keys.rotate(&name, None).unwrap().reveal()));
                }
                _ => {}
            }
        }
        let ring = KeyRing::of(&keys);
        for (at, secret) in issued.iter().enumerate() {
            let found = ring.authenticate(secret).map(|access| access.name.clone());
            let name = format!("key-{at}");
            prop_assert_eq!(found, if fates[at] == 1 { Err(Denied::Revoked { name }) } else { Ok(name) });
        }
        for secret in &issued {
            let mut changed = secret.clone();
            changed.replace_range(at..=at, &by);
            if changed != *secret {
                refused.insert(changed);
            }
            refused.insert(secret[..at].to_owned());
            refused.insert(format!("{secret}{by}"));
            refused.insert(secret.to_uppercase());
        }
        refused.insert(Keys::new().add(new("other")).unwrap().reveal());
        for secret in refused {
            let reason = ring.authenticate(&secret).map(|access| access.name.clone()).map_err(|denied| denied.reason());
            prop_assert!(matches!(reason, Err("missing" | "malformed" | "unknown")), "{:?}", reason);
        }
    }

    #[test]
    fn any_text_is_recognised_or_denied(text: String) {
        let mut keys = Keys::new();
        keys.add(new("one")).unwrap();
        prop_assert!(KeyRing::of(&keys).authenticate(&text).is_err());
    }
}
