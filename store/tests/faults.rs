//! Random round trips over stores that fail: nothing is lost, and nothing half is ever seen.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mempack_format::Digest;
use mempack_numeric::Rng;
use mempack_store::*;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as StorePath;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _};
use support::faulty::{Faults, Faulty};
use support::*;

const VERSIONS: u64 = 4;

/// Round trips in `cargo test`; `MEMPACK_STORE_FAULTS` asks for more, and `MEMPACK_STORE_S3` for a bucket of S3 (`tests/store/run.sh`).
const TRIPS: u64 = 12;

struct Version {
    bank: LocalBank,
    edition: Digest,
    files: BTreeMap<String, Digest>,
}

fn versions(folder: &Path) -> Vec<Version> {
    (0..VERSIONS)
        .map(|version| {
            let folder = folder.join(version.to_string());
            let bank = read(&make_bank(&folder, version));
            Version { edition: Digest::of(&bank.edition.to_bytes()), files: files(&folder), bank }
        })
        .collect()
}

/// One kind of store, seen with faults and without.
struct Trip<'a> {
    random: Rng,
    versions: &'a [Version],
    inner: Arc<dyn ObjectStore>,
    folder: Option<PathBuf>,
    faults: Faults,
    faulty: Store,
    clean: Store,
    out: PathBuf,
    /// What was published, as far as the pushes said.
    published: Vec<Digest>,
    faults_seen: u64,
}

impl<'a> Trip<'a> {
    fn new(seed: u64, versions: &'a [Version], folder: &Path) -> Self {
        let mut random = Rng::from_seed(seed);
        let bucket = std::env::var("MEMPACK_STORE_S3").ok();
        let folder = random.chance(0.3).then(|| folder.join(format!("store-{seed}"))).filter(|_| bucket.is_none());
        let inner: Arc<dyn ObjectStore> = match (&bucket, &folder) {
            (Some(bucket), _) => {
                prepare_tls();
                let bucket = AmazonS3Builder::from_env().with_bucket_name(bucket).build().unwrap();
                Arc::new(PrefixStore::new(bucket, format!("trip-{seed}-{:x}", getrandom::u64().unwrap())))
            }
            (None, Some(folder)) => folder_objects(folder),
            (None, None) => in_memory().1,
        };
        let out = tempfile::tempdir().unwrap().keep();
        // Every tenth request fails, and of the other faults some.
        let mut share = |most: f64| if random.chance(0.5) { most * random.uniform() } else { 0.0 };
        let faults = Faults {
            fails: 0.1,
            answer_lost: share(0.05),
            breaks: share(0.1),
            cut: share(0.05),
            flips: share(0.05),
            hangs: share(0.003),
            slow: share(0.5),
        };
        let clean = open(&folder, Arc::clone(&inner));
        Self { random, versions, faulty: clean.clone(), inner, folder, faults, clean, out, published: Vec::new(), faults_seen: 0 }
    }

    /// Makes a new store with faults over the same objects, and does something with it; perhaps only for a while. What was begun then has ended,
    /// as that of a process that was killed has.
    fn act<T>(&mut self, work: impl AsyncFnOnce(&Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let faulty = Arc::new(Faulty::new(Arc::clone(&self.inner), self.faults, self.random.next_u64()));
        self.faulty = open(&self.folder, Arc::clone(&faulty) as Arc<dyn ObjectStore>);
        let limit = if self.random.chance(0.3) { Duration::from_micros(self.random.between(1, 60_000) as u64) } else { Duration::MAX };
        let ended = block_on(async { tokio::time::timeout(limit, work(&self.faulty)).await.unwrap_or(Err(StoreError::Interrupted)) });
        self.faults_seen += faulty.happened();
        ended
    }

    fn step(&mut self) {
        let options = |replace| PushOptions { replace, resend: false, name: None };
        let pick = self.random.below(self.versions.len());
        let version = &self.versions[pick];
        match self.random.below(7) {
            0 | 1 => {
                let pushed = self.act(async |store| push(store, &version.bank, &options(true), &()).await);
                if let Some(pushed) = allowed(pushed, &["Request", "Slow", "Interrupted"]) {
                    self.published.push(pushed.edition);
                    let (head, _) = block_on(self.clean.head("legal")).unwrap().unwrap();
                    assert_eq!(head.current().unwrap().edition, version.edition);
                }
            }
            2 => {
                let other = &self.versions[(pick + 1) % self.versions.len()];
                let (one, two) = self
                    .act(async |store| {
                        let (slow, fast) = (options(false), options(false));
                        Ok(tokio::join!(push(store, &version.bank, &slow, &()), push(store, &other.bank, &fast, &())))
                    })
                    .unwrap_or_else(|_| (Err(StoreError::Interrupted), Err(StoreError::Interrupted)));
                for pushed in [one, two] {
                    let pushed = allowed(pushed, &["Request", "Slow", "Interrupted", "Conflict"]);
                    self.published.extend(pushed.map(|pushed| pushed.edition));
                }
            }
            3 | 4 => {
                let out = self.out.clone();
                let pulled = self.act(async |store| pull(store, &out, &PullOptions::default(), &()).await);
                let (head, known) = (block_on(self.clean.head("legal")).unwrap(), files(&self.out));
                let whole = known.iter().filter(|(name, _)| !name.starts_with('.'));
                // Wrong bytes three times in a row are taken for damage.
                match allowed(pulled, &["Request", "Slow", "Interrupted", "WhichName", "NotPublished", "Digest", "Length"]) {
                    Some(pulled) => {
                        let current = head.unwrap().0.current().unwrap();
                        assert_eq!(pulled.edition, current.edition);
                        let version = self.versions.iter().find(|version| version.edition == current.edition).unwrap();
                        assert_eq!(known, version.files);
                    }
                    None => {
                        for (name, digest) in whole {
                            assert!(self.versions.iter().any(|version| version.files[name] == *digest), "{name} is half");
                        }
                    }
                }
            }
            5 => {
                let checked = self.act(async |store| verify(store, &VerifyOptions::default(), &mut |_| (), &()).await);
                allowed(checked, &["Request", "Slow", "Interrupted", "WhichName"]);
            }
            _ => {
                let options = GcOptions { older_than: Duration::ZERO, keep: self.random.between(1, 3), dry_run: false };
                let ended = self.act(async |store| gc(store, &options, &()).await);
                if allowed(ended, &["Request", "Slow", "Interrupted", "Digest", "Length"]).is_none() {
                    block_on(self.pass_an_hour());
                    block_on(gc(&self.clean, &options, &())).unwrap();
                }
            }
        }
        self.check();
    }

    /// What readers see: one of the banks, whole; and all that was said to be published is in the history.
    fn check(&self) {
        let Some((head, _)) = block_on(self.clean.head("legal")).unwrap() else { return assert!(self.published.is_empty()) };
        for edition in &self.published {
            assert!(head.editions.iter().any(|entry| entry.edition == *edition), "{edition} was published, and is lost");
        }
        let checked = block_on(verify(&self.clean, &VerifyOptions::default(), &mut |damage| panic!("{damage}"), &())).unwrap();
        assert!(checked.editions >= 1);
        let current = head.current().unwrap().edition;
        assert!(self.versions.iter().any(|version| version.edition == current));
    }

    /// A clean-up that was killed an hour ago is ended by the next.
    async fn pass_an_hour(&self) {
        let path = StorePath::from("banks/gc/condemned");
        let Ok(found) = self.inner.get(&path).await else { return };
        let mut condemned = Condemned::from_bytes(&found.bytes().await.unwrap()).unwrap();
        if let Some(deleting) = &mut condemned.deleting {
            deleting.since -= 3_601;
        }
        self.inner.put(&path, condemned.to_bytes().into()).await.unwrap();
    }
}

fn open(folder: &Option<PathBuf>, inner: Arc<dyn ObjectStore>) -> Store {
    // Over a connection an answer takes longer.
    let timeout = Duration::from_millis(if std::env::var_os("MEMPACK_STORE_S3").is_some() { 4_000 } else { 400 });
    let requests = Requests { timeout, ..requests() };
    let guard = folder.clone().map_or(Guard::Conditional, Guard::Folder);
    Store::new(inner, "banks".into(), "a store with faults".into(), guard, requests)
}

/// The result, unless it is one of these errors, which faults explain.
#[track_caller]
fn allowed<T>(result: Result<T, StoreError>, kinds: &[&str]) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(error) => {
            let shown = format!("{error:?}");
            assert!(kinds.iter().any(|kind| shown.starts_with(kind)), "{shown}");
            None
        }
    }
}

#[test]
fn round_trips_lose_nothing_and_show_nothing_half() {
    let trips = std::env::var("MEMPACK_STORE_FAULTS").map_or(TRIPS, |trips| trips.parse().expect("MEMPACK_STORE_FAULTS is a number"));
    let first: u64 = std::env::var("MEMPACK_STORE_SEED").map_or(0, |seed| seed.parse().expect("MEMPACK_STORE_SEED is a number"));
    let folder = tempfile::tempdir().unwrap();
    let versions = versions(&folder.path().join("banks"));
    let (mut faults, mut published) = (0, 0);
    for seed in first..first + trips {
        eprintln!("seed {seed}");
        let mut trip = Trip::new(seed, &versions, folder.path());
        for _ in 0..8 {
            trip.step();
        }
        // Then the store works again, and so does everything.
        let last = &versions[0];
        block_on(push(&trip.clean, &last.bank, &PushOptions { replace: true, ..PushOptions::default() }, &())).unwrap();
        block_on(pull(&trip.clean, &trip.out, &PullOptions::default(), &())).unwrap();
        assert_eq!(files(&trip.out), last.files);
        std::fs::remove_dir_all(&trip.out).unwrap();
        faults += trip.faults_seen;
        published += trip.published.len();
    }
    println!("{trips} round trips, {published} publications, {faults} faults");
    assert!(faults > 10 * trips && published as u64 > trips / 2, "{faults} faults, {published} publications");
}
