//! The file of keys on the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use mempack_keys::{KeyRing, Keys, KeysError, NewKey, PackScope, Warning};
use tempfile::TempDir;

fn new(name: &str) -> NewKey {
    NewKey::new(name.parse().unwrap())
}

fn names(keys: &Keys) -> Vec<&str> {
    keys.list().iter().map(|key| key.name.as_str()).collect()
}

/// The names in a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys.toml");
    (folder, path)
}

#[test]
fn a_file_is_made_changed_and_read() {
    let (folder, path) = folder();
    assert!(matches!(Keys::read(&path), Err(KeysError::Io { .. })));
    assert!(matches!(Keys::update(&path, |keys| keys.revoke("one")), Err(KeysError::Io { .. })));
    assert!(files(folder.path()).is_empty());
    let (one, _) = Keys::create_or_update(&path, |keys| keys.add(new("one"))).unwrap();
    let (two, _) = Keys::create_or_update(&path, |keys| keys.add(new("two"))).unwrap();
    let (again, keys) = Keys::update(&path, |keys| keys.rotate("one", None)).unwrap();
    assert_eq!(names(&keys), ["one", "two"]);
    assert_eq!(Keys::read(&path).unwrap().list(), keys.list());
    assert_eq!([keys.list()[0].hash, keys.list()[1].hash], [again.hash(), two.hash()]);
    assert_ne!(one.hash(), again.hash());
    let (since, keys) = Keys::update(&path, |keys| keys.revoke("two")).unwrap();
    assert_eq!(keys.list()[1].revoked, Some(since));
    assert_eq!(Keys::update(&path, |keys| keys.revoke("two")).unwrap().0, since);
    assert_eq!(files(folder.path()), ["keys.toml", "keys.toml.lock"]);
    let text = fs::read_to_string(&path).unwrap();
    for secret in [one, two, again] {
        assert!(!text.contains(&secret.reveal()) && !text.contains(&secret.reveal()[4..30]));
    }
}

#[test]
fn a_change_that_fails_writes_nothing() {
    let (folder, path) = folder();
    Keys::create_or_update(&path, |keys| keys.add(new("one"))).unwrap();
    Keys::update(&path, |keys| keys.revoke("one")).unwrap();
    let before = fs::read(&path).unwrap();
    let early = || mempack_keys::moment("2001-01-01").ok();
    let expiring = |name| NewKey { expires: early(), ..new(name) };
    assert!(matches!(Keys::create_or_update(&path, |keys| keys.add(new("one"))), Err(KeysError::Exists { revoked: true, .. })));
    assert!(matches!(Keys::update(&path, |keys| keys.rotate("one", None)), Err(KeysError::Revoked { .. })));
    assert!(matches!(Keys::update(&path, |keys| keys.rotate("two", None)), Err(KeysError::NoKey { .. })));
    assert!(matches!(Keys::update(&path, |keys| keys.revoke("two")), Err(KeysError::NoKey { .. })));
    assert!(matches!(Keys::update(&path, |keys| keys.add(expiring("two"))), Err(KeysError::ExpiresEarly { .. })));
    let unnamed = |name| NewKey { packs: PackScope::Named(["a\nb".to_owned()].into()), ..new(name) };
    assert!(matches!(Keys::update(&path, |keys| keys.add(unnamed("two"))), Err(KeysError::Pack(_))));
    assert_eq!(fs::read(&path).unwrap(), before);
    let broken = folder.path().join("broken.toml");
    fs::write(&broken, "version = 1\nkey = 3\n").unwrap();
    assert!(matches!(Keys::create_or_update(&broken, |keys| keys.add(new("one"))), Err(KeysError::Malformed { line: 2, .. })));
    assert_eq!(fs::read_to_string(&broken).unwrap(), "version = 1\nkey = 3\n");
}

#[test]
fn a_key_that_has_expired_needs_another_date() {
    let (_folder, path) = folder();
    Keys::create_or_update(&path, |keys| keys.add(new("one"))).unwrap();
    fs::write(&path, fs::read_to_string(&path).unwrap() + "expires = 2001-01-01\n").unwrap();
    let later = mempack_keys::moment("2999-01-01").unwrap();
    assert!(matches!(Keys::update(&path, |keys| keys.rotate("one", None)), Err(KeysError::Expired { .. })));
    let (_, keys) = Keys::update(&path, |keys| keys.rotate("one", Some(later))).unwrap();
    assert_eq!(keys.list()[0].expires, Some(later));
}

#[test]
fn what_others_wrote_meanwhile_is_not_lost() {
    let (_folder, path) = folder();
    let mut first = Keys::new();
    first.add(new("one")).unwrap();
    first.write(&path).unwrap();
    let mut second = Keys::read(&path).unwrap();
    first.add(new("two")).unwrap();
    first.write(&path).unwrap();
    second.add(new("three")).unwrap();
    assert!(matches!(second.write(&path), Err(KeysError::Changed { .. })));
    assert!(matches!(Keys::new().write(&path), Err(KeysError::Changed { .. })));
    assert_eq!(names(&Keys::read(&path).unwrap()), ["one", "two"]);
    fs::remove_file(&path).unwrap();
    assert!(matches!(first.write(&path), Err(KeysError::Changed { .. })));
}

#[test]
fn writers_that_come_together_lose_no_key() {
    let (_folder, path) = folder();
    const THREADS: usize = 8;
    const EACH: usize = 6;
    let barrier = Barrier::new(THREADS);
    let secrets: Vec<_> = thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (path, barrier) = (&path, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let name = |at| format!("key-{thread}-{at}");
                    (0..EACH).map(|at| Keys::create_or_update(path, |keys| keys.add(new(&name(at)))).unwrap().0).collect::<Vec<_>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let ring = KeyRing::open(&path).unwrap();
    assert_eq!(ring.len(), THREADS * EACH);
    assert!(secrets.iter().all(|secret| ring.authenticate(&secret.reveal()).is_ok()));
}

/// Readers need no lock: whenever they look, the file is whole.
#[test]
fn readers_see_whole_files() {
    let (_folder, path) = folder();
    Keys::create_or_update(&path, |keys| keys.add(new("first"))).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for at in 0..40 {
                Keys::update(&path, |keys| keys.add(new(&format!("key-{at}")))).unwrap();
            }
        });
        let mut least = 1;
        while !writer.is_finished() {
            let found = Keys::read(&path).unwrap().list().len();
            assert!(found >= least);
            least = found;
        }
        writer.join().unwrap();
    });
    assert_eq!(Keys::read(&path).unwrap().list().len(), 41);
}

#[cfg(unix)]
#[test]
fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, path) = folder();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    Keys::create_or_update(&path, |keys| keys.add(new("one"))).unwrap();
    assert!(Keys::read(&path).unwrap().warnings().is_empty());
    assert_eq!([mode(&path), mode(&folder.path().join("keys.toml.lock"))], [0o600; 2]);
    for open in [0o644, 0o640, 0o602] {
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        let expected = [Warning::Permissions { path: path.clone(), mode: open }];
        assert_eq!(Keys::read(&path).unwrap().warnings(), expected);
        assert_eq!(KeyRing::open(&path).unwrap().warnings(), expected);
        // The change says it too, and mends it.
        let (_, keys) = Keys::update(&path, |keys| keys.rotate("one", None)).unwrap();
        assert_eq!(keys.warnings().len(), 1);
        assert_eq!(mode(&path), 0o600);
    }
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link() {
    let (folder, path) = folder();
    let target = folder.path().join("target.toml");
    Keys::create_or_update(&target, |keys| keys.add(new("one"))).unwrap();
    std::os::unix::fs::symlink("target.toml", &path).unwrap();
    Keys::update(&path, |keys| keys.add(new("two"))).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(names(&Keys::read(&target).unwrap()), ["one", "two"]);
    // Both names have one lock.
    assert_eq!(files(folder.path()), ["keys.toml", "target.toml", "target.toml.lock"]);
}

#[test]
fn what_cannot_be_a_file_is_said() {
    let (folder, path) = folder();
    let message = |path: &Path| Keys::read(path).unwrap_err().to_string();
    assert!(message(folder.path()).contains("no regular file"));
    fs::write(&path, vec![b'#'; (16 << 20) + 1]).unwrap();
    assert!(message(&path).contains("16777216 bytes"));
    #[cfg(target_os = "linux")]
    assert!(message(Path::new("/dev/zero")).contains("no regular file"));
    let nowhere = folder.path().join("nowhere/keys.toml");
    assert!(matches!(Keys::create_or_update(&nowhere, |keys| keys.add(new("one"))), Err(KeysError::Io { .. })));
    let dotted = folder.path().join("keys.toml/x");
    assert!(matches!(Keys::create_or_update(&dotted, |keys| keys.add(new("one"))), Err(KeysError::Io { .. })));
}
