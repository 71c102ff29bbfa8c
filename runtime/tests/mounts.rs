//! Several packs searched as one, and packs replaced while others read.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mempack_format::{Digest, PackId, PrivateKey, sign_file};
use mempack_runtime::{Hit, MappedPack, MemoryCache, Method, MountError, Mounts, OnDamage, PackReference, PackSet, cite};
use tempfile::TempDir;

mod common;
use common::{Random, SHAPE, World, embedder_identity, model_identity, text, write_numbered, write_pack_as};

const DIM: usize = 8;

/// Points with the numbers `first..first + count`. Points with equal numbers are equal in all packs.
fn world(first: u32, count: u32) -> World {
    let mut rows = Vec::new();
    (first..first + count).for_each(|number| rows.extend(Random(u64::from(number) * 77 + 5).unit(DIM, None, 1.0)));
    World { dim: DIM, rows, links: vec![vec![Vec::new()]; count as usize], entry: 0 }
}

/// A folder of packs.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A pack of the points `first..first + count`.
    fn pack(&self, name: &str, first: u32, count: u32) -> MappedPack {
        let path = self.path(name);
        write_numbered(&path, &world(first, count), SHAPE, None, first);
        MappedPack::open(path).unwrap()
    }
}

fn query(seed: u64) -> Vec<f32> {
    Random(seed).unit(DIM, None, 1.0)
}

fn exact(packs: &PackSet, query: &[f32], k: usize) -> Vec<Hit<PackReference>> {
    packs.nearest(query, k, Method::Exact, OnDamage::Fail).unwrap()
}

/// Pack, reference and similarity of each hit.
fn essence(hits: &[Hit<PackReference>]) -> Vec<(&str, u32, f32)> {
    hits.iter().map(|hit| (hit.reference.pack.name(), hit.reference.number, hit.similarity)).collect()
}

#[test]
fn shared_by_threads() {
    fn check<T: Send + Sync>() {}
    check::<Arc<Mounts>>();
    check::<Arc<PackSet>>();
}

#[test]
fn several_packs_have_one_ranking_and_a_shared_text_is_one_hit() {
    let folder = Folder::new();
    // 0..30, 20..50 and 40..60 overlap; their union is 0..60.
    let mounts = Mounts::of(folder.pack("low.mpk", 0, 30));
    mounts.mount("mid", folder.pack("mid.mpk", 20, 30)).unwrap();
    mounts.mount("high", folder.pack("high.mpk", 40, 20)).unwrap();
    let whole = folder.pack("whole.mpk", 0, 60);
    let packs = mounts.packs();
    assert_eq!(packs.packs().iter().map(|mounted| mounted.name()).collect::<Vec<_>>(), ["low", "mid", "high"]);
    for seed in 0..50 {
        let query = query(seed);
        for k in [1, 5, 60, 100] {
            let hits = exact(&packs, &query, k);
            let wanted = whole.search_exact(&query, k).unwrap();
            assert_eq!(hits.len(), wanted.len());
            for (hit, wanted) in hits.iter().zip(wanted) {
                let first =
                    [("low", 0, 30), ("mid", 20, 50), ("high", 40, 60)].into_iter().find(|(_, _, end)| wanted.reference < *end).unwrap();
                assert_eq!(
                    (hit.reference.pack.name(), hit.reference.number + first.1, hit.similarity),
                    (first.0, wanted.reference, wanted.similarity)
                );
                let cited = cite(hit, OnDamage::Fail).unwrap();
                assert_eq!((cited.pack.as_str(), cited.id), (first.0, hit.reference.pack.id()));
                assert_eq!(cited.found.text, text(wanted.reference));
            }
        }
    }
}

#[test]
fn equal_scores_are_in_the_order_of_packs_then_of_numbers() {
    let folder = Folder::new();
    // The same points with other keys: each similarity occurs twice.
    let write = |name: &str, first| {
        write_numbered(&folder.path(name), &world(0, 10), SHAPE, None, first);
        MappedPack::open(folder.path(name)).unwrap()
    };
    let mounts = Mounts::new("b", write("b.mpk", 100));
    mounts.mount("a", write("a.mpk", 200)).unwrap();
    let hits = exact(&mounts.packs(), &query(1), 20);
    assert_eq!(hits.len(), 20);
    for pair in essence(&hits).chunks(2) {
        assert_eq!((pair[0].0, pair[1].0), ("b", "a"));
        assert_eq!((pair[0].1, pair[0].2), (pair[1].1, pair[1].2));
    }
}

#[test]
fn a_set_of_one_pack_is_that_pack() {
    let folder = Folder::new();
    let pack = Arc::new(folder.pack("one.mpk", 0, 30));
    let packs = Mounts::of(Arc::clone(&pack)).packs();
    let hits: Vec<_> = exact(&packs, &query(3), 7).iter().map(|hit| hit.clone().map(|reference| reference.number)).collect();
    assert_eq!(hits, pack.search_exact(&query(3), 7).unwrap());
    assert_eq!(packs.get("one").unwrap().id(), pack.id());
    assert!(packs.get("two").is_none());
    let error = packs.nearest(&[1.0], 3, Method::Exact, OnDamage::Fail).unwrap_err();
    assert!(error.to_string().contains("one.mpk") && error.to_string().contains("dimensions") && !error.is_damage(), "{error}");
}

#[test]
fn packs_of_other_models_or_embedders_are_refused_with_what_differs() {
    let folder = Folder::new();
    let mounts = Mounts::of(folder.pack("first.mpk", 0, 3));
    let other = |name: &str, of_model: bool| {
        let (mut model, mut embedder) = (model_identity(SHAPE), embedder_identity(DIM));
        if of_model {
            model.rope_base = 77.0
        } else {
            embedder.digest = Digest::of(b"another")
        }
        write_pack_as(&folder.path(name), &world(0, 3), SHAPE, None, 0, (model, embedder));
        Arc::new(MappedPack::open(folder.path(name)).unwrap())
    };
    for (party, field, pack) in [("model", "RoPE base", other("m.mpk", true)), ("embedder", "embedder", other("e.mpk", false))] {
        let before = mounts.packs();
        for error in [mounts.mount("second", Arc::clone(&pack)).unwrap_err(), mounts.replace("first", Arc::clone(&pack)).unwrap_err()] {
            let text = error.to_string();
            let MountError::Mismatch { party: found, path, beside, differences } = error else { panic!("{text}") };
            assert_eq!((found, path.as_path(), beside), (party, pack.path(), Some(folder.path("first.mpk"))));
            assert_eq!(differences.iter().map(|difference| difference.field).collect::<Vec<_>>(), [field]);
            for part in ["first.mpk", field, &pack.path().display().to_string()] {
                assert!(text.contains(part), "{part} is not in {text}");
            }
        }
        assert!(Arc::ptr_eq(&before, &mounts.packs()), "the set is unchanged");
    }
}

#[test]
fn a_set_may_begin_and_end_empty() {
    let folder = Folder::new();
    let key = PrivateKey::generate().unwrap();
    let mounts = Mounts::empty(model_identity(SHAPE), embedder_identity(DIM));
    assert_eq!((mounts.packs().packs().len(), exact(&mounts.packs(), &query(1), 5).len()), (0, 0));
    let missing = mounts.unmount("a").unwrap_err();
    assert!(
        matches!(&missing, MountError::NotMounted { names, .. } if names.is_empty()) && missing.to_string().contains("none is mounted")
    );
    mounts.mount("a", folder.pack("a.mpk", 0, 3)).unwrap();
    assert_eq!(exact(&mounts.packs(), &query(1), 5).len(), 3);
    assert_eq!(mounts.unmount("a").unwrap().path(), folder.path("a.mpk"));
    assert!(mounts.packs().packs().is_empty());
    // What it demands, it demands of the packs that come.
    let mut other = model_identity(SHAPE);
    other.rope_base = 7.0;
    let refused = Mounts::empty(other, embedder_identity(DIM)).mount("a", folder.pack("a.mpk", 0, 3)).unwrap_err();
    assert!(matches!(&refused, MountError::Mismatch { party: "model", beside: None, .. }) && refused.to_string().contains("RoPE base"));
    let mounts = Mounts::empty(model_identity(SHAPE), embedder_identity(DIM)).demanding(vec![key.public()]).unwrap();
    assert!(matches!(mounts.mount("a", folder.pack("a.mpk", 0, 3)), Err(MountError::NotSigned(_))));
    sign_file(&folder.path("a.mpk"), &key, &folder.path("signed.mpk"), &mut |_, _| ControlFlow::Continue(())).unwrap();
    mounts.mount("a", MappedPack::open(folder.path("signed.mpk")).unwrap()).unwrap();
}

#[test]
fn some_packs_of_a_set() {
    let folder = Folder::new();
    let mounts = Mounts::new("a", folder.pack("a.mpk", 0, 3));
    mounts.mount("b", folder.pack("b.mpk", 3, 3)).unwrap();
    mounts.mount("c", folder.pack("c.mpk", 6, 3)).unwrap();
    let some = mounts.packs().only(|pack| pack.name() != "b");
    assert_eq!(some.packs().iter().map(|pack| pack.name()).collect::<Vec<_>>(), ["a", "c"]);
    assert!(Arc::ptr_eq(&some.packs()[1], &mounts.packs().packs()[2]));
    assert!(mounts.packs().only(|_| false).packs().is_empty());
}

#[test]
fn names_are_taken_once_and_the_last_pack_stays() {
    let folder = Folder::new();
    let mounts = Mounts::new("a", folder.pack("a.mpk", 0, 3));
    let taken = mounts.mount("a", folder.pack("b.mpk", 3, 3)).unwrap_err();
    assert!(matches!(&taken, MountError::NameTaken { name, .. } if name == "a") && taken.to_string().contains("a.mpk"), "{taken}");
    assert!(matches!(mounts.unmount("a"), Err(MountError::Last { .. })));
    mounts.mount("b", folder.pack("b.mpk", 3, 3)).unwrap();
    let missing = mounts.replace("c", folder.pack("c.mpk", 3, 3)).unwrap_err();
    assert!(matches!(&missing, MountError::NotMounted { names, .. } if *names == ["a", "b"]), "{missing}");
    assert!(matches!(mounts.unmount("c"), Err(MountError::NotMounted { .. })));
    assert_eq!(mounts.unmount("a").unwrap().path(), folder.path("a.mpk"));
    assert_eq!(mounts.packs().packs().len(), 1);
    // A replaced pack keeps its place in the order.
    mounts.mount("c", folder.pack("c2.mpk", 6, 3)).unwrap();
    mounts.replace("b", folder.pack("b2.mpk", 9, 3)).unwrap();
    assert_eq!(mounts.packs().packs().iter().map(|mounted| mounted.name()).collect::<Vec<_>>(), ["b", "c"]);
}

#[test]
fn a_set_can_demand_signatures() {
    let folder = Folder::new();
    let key = PrivateKey::generate().unwrap();
    let trusted = || vec![key.public()];
    let unsigned = Arc::new(folder.pack("unsigned.mpk", 0, 3));
    let signed = |name: &str| {
        sign_file(unsigned.path(), &key, &folder.path(name), &mut |_, _| ControlFlow::Continue(())).unwrap();
        Arc::new(MappedPack::open(folder.path(name)).unwrap())
    };
    assert!(matches!(Mounts::of(Arc::clone(&unsigned)).demanding(trusted()), Err(MountError::NotSigned(_))));
    let mounts = Mounts::of(signed("signed.mpk")).demanding(trusted()).unwrap();
    for error in [mounts.mount("other", Arc::clone(&unsigned)).unwrap_err(), mounts.replace("signed", Arc::clone(&unsigned)).unwrap_err()] {
        assert!(
            matches!(&error, MountError::NotSigned(error) if !error.is_damage()) && error.to_string().contains("unsigned.mpk"),
            "{error}"
        );
    }
    mounts.mount("other", signed("again.mpk")).unwrap();
    assert_eq!(mounts.packs().packs().len(), 2);
    let hits = exact(&mounts.packs(), &query(1), 9);
    assert!(hits.len() == 3 && hits.iter().all(|hit| hit.reference.pack.name() == "signed"));
}

/// How often a file is mapped by this process.
#[cfg(target_os = "linux")]
fn mappings_of(path: &std::path::Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains(&path.display().to_string())).count()
}

#[test]
fn what_was_replaced_is_released_when_its_last_reader_lets_go() {
    let folder = Folder::new();
    let (old, new) = (Arc::new(folder.pack("old.mpk", 0, 20)), folder.pack("new.mpk", 5, 20));
    let (watch, cache): (Weak<MappedPack>, _) = (Arc::downgrade(&old), MemoryCache::default());
    let mounts = Mounts::new("pack", old);
    let reader = mounts.packs();
    let hits = exact(&reader, &query(2), 3);
    hits.iter().for_each(|hit| drop(cache.get(hit.reference.pack.pack(), hit.reference.number).unwrap()));
    assert_eq!(cache.statistics().memories, 3);

    drop(mounts.replace("pack", new).unwrap());
    assert_eq!(exact(&reader, &query(2), 3), hits, "a request that began before reads the old pack to its end");
    assert_ne!(exact(&mounts.packs(), &query(2), 3), hits);
    drop(reader);
    assert!(watch.upgrade().is_some() && cite(&hits[0], OnDamage::Fail).is_ok(), "hits can be cited");
    #[cfg(target_os = "linux")]
    assert_eq!(mappings_of(&folder.path("old.mpk")), 1);
    drop(hits);
    assert!(watch.upgrade().is_none());
    #[cfg(target_os = "linux")]
    assert_eq!((mappings_of(&folder.path("old.mpk")), mappings_of(&folder.path("new.mpk"))), (0, 1));
    assert_eq!((cache.statistics().memories, cache.statistics().bytes), (0, 0));
}

/// Threads search, decode and cite while a pack is replaced repeatedly.
#[test]
fn searches_go_on_while_a_pack_is_replaced() {
    let folder = Folder::new();
    let paths = [(0, 40), (20, 40)].map(|(first, count)| {
        let name = format!("{first}.mpk");
        drop(folder.pack(&name, first, count));
        (folder.path(&name), first)
    });
    let mounts = Mounts::new("changing", MappedPack::open(&paths[0].0).unwrap());
    mounts.mount("steady", folder.pack("steady.mpk", 100, 40)).unwrap();
    let steady = (mounts.packs().get("steady").unwrap().id(), 100);
    let firsts: HashMap<PackId, u32> =
        paths.iter().map(|(path, first)| (MappedPack::open(path).unwrap().id(), *first)).chain([steady]).collect();
    let (cache, stop, searches) = (MemoryCache::new(64 << 10), AtomicBool::new(false), AtomicU64::new(0));
    let mut swaps = 0u64;
    std::thread::scope(|scope| {
        for thread in 0..3u64 {
            let (mounts, cache, stop, searches, firsts) = (&mounts, &cache, &stop, &searches, &firsts);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let packs = mounts.packs();
                    let query = query(searches.fetch_add(1, Ordering::Relaxed) % 500 + thread);
                    let hits = exact(&packs, &query, 5);
                    assert_eq!(hits.len(), 5);
                    for hit in &hits {
                        let number = firsts[&hit.reference.pack.id()] + hit.reference.number;
                        assert_eq!(cite(hit, OnDamage::Fail).unwrap().found.text, text(number));
                        assert_eq!(cache.get(hit.reference.pack.pack(), hit.reference.number).unwrap().keys[0], number as f32);
                    }
                    assert_eq!(exact(&packs, &query, 5), hits, "a request sees one state");
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            swaps += 1;
            mounts.replace("changing", MappedPack::open(&paths[swaps as usize % 2].0).unwrap()).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!("{} searches, {swaps} swaps, 0 failures", searches.load(Ordering::Relaxed));
    assert!(searches.load(Ordering::Relaxed) > 10 && swaps > 10);
    #[cfg(target_os = "linux")]
    assert_eq!(paths.iter().map(|(path, _)| mappings_of(path)).sum::<usize>(), 1, "only the mounted pack is mapped");
    let current = mounts.packs();
    drop(mounts);
    drop(current);
    assert_eq!(cache.statistics().memories, 0);
}
