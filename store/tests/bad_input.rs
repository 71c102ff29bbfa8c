//! Banks that must not be published, objects that are not what they must be, stores that refuse.

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mempack_format::{Digest, Pack};
use mempack_store::*;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt as _};
use support::faulty::{Faults, Faulty};
use support::*;

fn refused(path: &Path, named: &[&str]) -> BankError {
    let error = LocalBank::read(path, &()).unwrap_err();
    for named in named {
        assert!(error.to_string().contains(named), "{named}: {error}");
    }
    error
}

#[test]
fn what_is_no_bank_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    refused(path, &["no bank is here"]);
    refused(&path.join("a.mps"), &["a.mps", "no bank is here"]);
    write_pack(&path.join("a.mpk"), &[1, 2, 3]);
    assert_eq!(read(path).name, "a");
    fs::copy(path.join("a.mpk"), path.join("b.mpk")).unwrap();
    refused(path, &["more than one bank", "a.mpk, b.mpk"]);
    fs::copy(path.join("a.mpk"), path.join("-a.mpk")).unwrap();
    refused(&path.join("-a.mpk"), &["-a.mpk", "rename it"]);
    fs::write(path.join("c.mpk"), b"text").unwrap();
    assert!(!refused(&path.join("c.mpk"), &["c.mpk", "not a memory pack"]).is_damage());
    fs::write(path.join("c.mps"), b"text").unwrap();
    refused(&path.join("c.mps"), &["c.mps", "not a set"]);
}

#[test]
fn a_bank_that_is_not_whole_is_refused_and_the_pack_named() {
    let folder = tempfile::tempdir().unwrap();
    let set = make_bank(folder.path(), 1);
    let pack = folder.path().join("legal-0001.mpk");
    let whole = fs::read(&pack).unwrap();

    fs::remove_file(&pack).unwrap();
    refused(&set, &["legal-0001.mpk", "missing"]);
    write_pack(&pack, &[1, 2, 3]);
    refused(&set, &["legal-0001.mpk", "was replaced since the set was written"]);
    fs::write(&pack, &whole[..whole.len() - 1]).unwrap();
    assert!(refused(&set, &["legal-0001.mpk", "cut short"]).is_damage());
    // One bit, in the middle of a section.
    let section = Pack::open(whole.clone()).unwrap().sections()[0];
    let mut flipped = whole.clone();
    flipped[(section.offset + section.length / 2) as usize] ^= 1;
    fs::write(&pack, &flipped).unwrap();
    assert!(refused(&set, &["legal-0001.mpk", "section MEMORIES at byte 4096 is damaged", "mempack repair"]).is_damage());
    let mut bytes = fs::read(&set).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&pack, &whole).unwrap();
    fs::write(&set, &bytes).unwrap();
    assert!(refused(&set, &["legal.mps", "damaged"]).is_damage());
}

#[test]
fn a_file_that_changes_while_it_is_pushed_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let bank = read(&make_bank(folder.path(), 1));
    let (store, _) = in_memory();
    for change in [|bytes: &mut Vec<u8>| bytes[5_000] ^= 1, |bytes: &mut Vec<u8>| bytes.truncate(5_000)] {
        let path = folder.path().join("legal-0000.mpk");
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        block_on(async {
            let error = push(&store, &bank, &PushOptions::default(), &()).await.unwrap_err();
            assert!(matches!(&error, StoreError::Bank(BankError::Changed { path: named }) if *named == path), "{error}");
            assert!(store.names().await.unwrap().is_empty());
        });
    }
}

#[test]
fn a_store_that_denies_or_hangs_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let bank = read(&make_bank(folder.path(), 1));
    block_on(async {
        let (clean, inner) = in_memory();
        let mut denying = Faulty::new(Arc::clone(&inner), Faults::default(), 1);
        denying.denies = true;
        let error = push(&conditional(Arc::new(denying)), &bank, &PushOptions::default(), &()).await.unwrap_err();
        assert!(error.to_string().starts_with("the store denies writing") && error.to_string().contains("credentials"), "{error}");
        let hanging: Arc<dyn ObjectStore> = Arc::new(Faulty::new(Arc::clone(&inner), Faults { hangs: 1.0, ..Faults::default() }, 1));
        let requests = Requests { timeout: Duration::from_millis(5), attempts: 2, ..requests() };
        let store = Store::new(hanging, "banks".into(), "x".into(), Guard::Conditional, requests);
        let error = push(&store, &bank, &PushOptions::default(), &()).await.unwrap_err().to_string();
        assert!(error.contains("no answer within 5ms, 2 times"), "{error}");
        let failing: Arc<dyn ObjectStore> = Arc::new(Faulty::new(Arc::clone(&inner), Faults { fails: 1.0, ..Faults::default() }, 1));
        let error = pull(&conditional(failing), &folder.path().join("out"), &PullOptions::default(), &()).await.unwrap_err().to_string();
        assert!(error.contains("listing refs failed 8 times"), "{error}");
        assert!(clean.names().await.unwrap().is_empty());
        assert!(!folder.path().join("out").exists());
    });
}

/// A store with a bank, and the names of its objects.
struct Published {
    store: Store,
    inner: Arc<dyn ObjectStore>,
    bank: LocalBank,
    folder: tempfile::TempDir,
}

impl Published {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bank = read(&make_bank(&folder.path().join("bank"), 1));
        let (store, inner) = in_memory();
        push(&store, &bank, &PushOptions::default(), &()).await.unwrap();
        Self { store, inner, bank, folder }
    }

    async fn get(&self, name: &str) -> Vec<u8> {
        self.inner.get(&StorePath::from(format!("banks/{name}"))).await.unwrap().bytes().await.unwrap().to_vec()
    }

    async fn put(&self, name: &str, bytes: Vec<u8>) {
        self.inner.put(&StorePath::from(format!("banks/{name}")), bytes.into()).await.unwrap();
    }

    async fn delete(&self, name: &str) {
        self.inner.delete(&StorePath::from(format!("banks/{name}"))).await.unwrap();
    }

    fn chunk(&self, number: usize) -> String {
        let digest = self.bank.files[0].index.chunks[number].digest.to_string();
        format!("chunks/{}/{digest}", &digest[..2])
    }

    /// Pulls, and demands an error of damage that names the object; nothing is in the folder under the name of a whole file.
    async fn pull_fails(&self, object: &str, named: &str) {
        let out = self.folder.path().join("out");
        let error = pull(&self.store, &out, &PullOptions::default(), &()).await.unwrap_err();
        assert!(error.is_damage(), "{error:?}");
        assert!(error.to_string().contains(object) && error.to_string().contains(named), "{object}, {named}: {error}");
        assert!(files(&out).keys().all(|name| name.starts_with('.')));
    }

    async fn damages(&self) -> Vec<String> {
        let mut damages = Vec::new();
        let report = verify(&self.store, &VerifyOptions::default(), &mut |damage| damages.push(damage.to_string()), &()).await.unwrap();
        assert_eq!(report.damages as usize, damages.len());
        damages
    }
}

#[test]
fn damaged_chunks_are_named_and_mended_by_another_push() {
    block_on(async {
        let published = Published::new().await;
        let names = [1, 2, 3].map(|number| published.chunk(number));
        let mut flipped = published.get(&names[0]).await;
        flipped[7] ^= 1;
        published.put(&names[0], flipped).await;
        published.pull_fails(&names[0], "its digest is").await;
        let mut short = published.get(&names[1]).await;
        short.pop();
        published.put(&names[1], short).await;
        published.delete(&names[2]).await;
        let damages = published.damages().await;
        assert_eq!(damages.len(), 3, "{damages:?}");
        for name in &names {
            assert!(damages.iter().any(|damage| damage.contains(name.as_str())), "{name} in {damages:?}");
        }
        // What is missing or has another length is seen by a push; for the rest it must send everything.
        let mended = push(&published.store, &published.bank, &PushOptions::default(), &()).await.unwrap();
        assert_eq!((mended.sent, mended.unchanged), (2, true));
        assert_eq!(published.damages().await.len(), 1);
        let options = PushOptions { resend: true, ..PushOptions::default() };
        let mended = push(&published.store, &published.bank, &options, &()).await.unwrap();
        assert_eq!((mended.there, mended.unchanged), (0, true));
        assert!(published.damages().await.is_empty());
    });
}

#[test]
fn nonsense_in_the_place_of_an_object_is_refused() {
    block_on(async {
        let published = Published::new().await;
        let head = published.get("refs/legal").await;
        let entry = Head::from_bytes(&head).unwrap().current().unwrap();
        for nonsense in [&b""[..], b"nonsense", b"{}", b"<html>503</html>", &head[..head.len() - 1]] {
            published.put("refs/legal", nonsense.to_vec()).await;
            published.pull_fails("refs/legal", "mempack head 1").await;
            assert_eq!(published.damages().await.len(), 1);
            // Nothing is deleted while it is not known what is needed, and nothing is published over it.
            let options = GcOptions { older_than: Duration::ZERO, keep: 1, dry_run: false };
            assert!(gc(&published.store, &options, &()).await.unwrap_err().is_damage());
            assert!(push(&published.store, &published.bank, &PushOptions::default(), &()).await.unwrap_err().is_damage());
        }
        published.put("refs/legal", vec![b' '; 2 << 20]).await;
        published.pull_fails("refs/legal", "2097152 bytes").await;
        // A head that names another bank than its edition is.
        let other = HeadEntry { id: Digest([1; 32]), ..entry };
        published.put("refs/legal", Head::after(None, other).to_bytes()).await;
        published.pull_fails("sets/", "the bank has id").await;
        // Objects with the right digest that lie about each other.
        let mut edition = published.bank.edition.clone();
        edition.files[0].bytes += 1;
        let bytes = edition.to_bytes();
        let lying = HeadEntry { edition: Digest::of(&bytes), id: edition.id };
        published.put(&format!("sets/{}", lying.edition), bytes).await;
        published.put("refs/legal", Head::after(None, lying).to_bytes()).await;
        published.pull_fails("files/", "has").await;
        let mut index = published.bank.files[0].index.clone();
        index.chunks[0].bytes += 1;
        let index = FileIndex::new(index.chunks).to_bytes();
        edition.files[0].index = Digest::of(&index);
        published.put(&format!("files/{}", Digest::of(&index)), index).await;
        let bytes = edition.to_bytes();
        let lying = HeadEntry { edition: Digest::of(&bytes), id: edition.id };
        published.put(&format!("sets/{}", lying.edition), bytes).await;
        published.put("refs/legal", Head::after(None, lying).to_bytes()).await;
        published.pull_fails(&published.chunk(0), "bytes, expected").await;
        published.put("refs/legal", head).await;
        pull(&published.store, &published.folder.path().join("out"), &PullOptions::default(), &()).await.unwrap();
    });
}

#[test]
fn a_set_or_an_index_that_is_missing_is_named() {
    block_on(async {
        let published = Published::new().await;
        let index = format!("files/{}", published.bank.edition.files[0].index);
        published.delete(&index).await;
        published.pull_fails(&index, "missing").await;
        assert_eq!(published.damages().await.len(), 1);
        let options = GcOptions { older_than: Duration::ZERO, keep: 1, dry_run: false };
        assert!(gc(&published.store, &options, &()).await.unwrap_err().is_damage());
        push(&published.store, &published.bank, &PushOptions::default(), &()).await.unwrap();
        let set = format!("sets/{}", Digest::of(&published.bank.edition.to_bytes()));
        published.delete(&set).await;
        published.pull_fails(&set, "missing").await;
        assert_eq!(published.damages().await.len(), 1);
        push(&published.store, &published.bank, &PushOptions::default(), &()).await.unwrap();
        assert!(published.damages().await.is_empty());
    });
}
