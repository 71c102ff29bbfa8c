//! The mapped pack and the memory cache, without libtorch.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use mempack_format::{Defect, EMPTY_SLOT, LeafKind, OpenError, ReadError, Tag};
use mempack_runtime::{Hit, MapError, MappedPack, MemoryCache};
use proptest::prelude::*;
use tempfile::TempDir;

mod common;
use common::{Random, SHAPE, World, text, write_pack};

/// Bytes of a memory of [`SHAPE`] in the cache, by its `statistics`.
fn memory_bytes(pack: &MappedPack) -> usize {
    let cache = MemoryCache::default();
    cache.get(pack, 0).unwrap();
    cache.statistics().bytes
}

fn pack(references: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.mpk");
    let mut random = Random(5);
    write_pack(&path, &World::scatter(&mut random, references, 8, 0), SHAPE, None);
    (folder, path)
}

#[test]
fn shared_by_threads() {
    fn check<T: Send + Sync>() {}
    check::<Arc<MappedPack>>();
    check::<Arc<MemoryCache>>();
}

#[test]
fn files_that_are_no_packs_are_refused_with_their_path() {
    let (folder, path) = pack(3);
    let missing = MappedPack::open(folder.path().join("none.mpk")).unwrap_err();
    assert!(matches!(&missing, MapError::Io { .. }) && missing.to_string().contains("none.mpk"), "{missing}");
    assert!(matches!(MappedPack::open(folder.path()), Err(MapError::Io { .. })), "a folder");
    let bytes = fs::read(&path).unwrap();
    for (name, contents) in [("empty", &[][..]), ("text", b"not a pack, but long enough to be looked at".as_slice())] {
        let file = folder.path().join(name);
        fs::write(&file, contents).unwrap();
        let error = MappedPack::open(&file).unwrap_err();
        assert!(error.to_string().contains(name) && !matches!(error, MapError::Io { .. }), "{error}");
    }
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let short = MappedPack::open(&path).unwrap_err();
    assert!(matches!(&short, MapError::Open { source: OpenError::Truncated { .. }, .. }) && short.is_damage(), "{short}");
}

#[test]
fn a_mapping_outlives_the_replacement_of_its_file() {
    let (folder, path) = pack(4);
    let old = MappedPack::open(&path).unwrap();
    let other = folder.path().join("new.mpk");
    write_pack(&other, &World::scatter(&mut Random(6), 2, 8, 0), SHAPE, None);
    fs::rename(&other, &path).unwrap();
    assert_eq!(old.manifest().counts.references, 4);
    assert_eq!(MemoryCache::default().get(&old, 3).unwrap().keys[0], 3.0);
    assert_eq!(MappedPack::open(&path).unwrap().manifest().counts.references, 2);
}

#[test]
fn a_hit_is_described_with_every_place_of_its_text() {
    let (_folder, path) = pack(3);
    let pack = MappedPack::open(path).unwrap();
    let found = pack.describe(&Hit { reference: 1, similarity: 0.5 }).unwrap();
    assert_eq!((found.document.as_str(), found.title.as_str(), found.start, found.end), ("squares", "On squares", 100, 160));
    assert_eq!((found.reference, found.similarity, found.text, found.origins), (1, 0.5, text(1), 2));
    assert_eq!(found.further.len(), 1);
    assert_eq!((found.further[0].document.as_str(), found.further[0].start), ("again", 5));
    assert!(matches!(pack.describe(&Hit { reference: 3, similarity: 0.5 }), Err(ReadError::OutOfRange { .. })));
}

#[test]
fn memories_are_decoded_once_and_kept() {
    let (_folder, path) = pack(3);
    let pack = MappedPack::open(path).unwrap();
    let cache = MemoryCache::default();
    let first = cache.fetch(&pack, 2).unwrap();
    let again = cache.fetch(&pack, 2).unwrap();
    assert!(!first.1 && again.1 && Arc::ptr_eq(&first.0, &again.0));
    assert_eq!(first.0.positions[..3], [0, 1, EMPTY_SLOT]);
    assert_eq!((first.0.keys[0], first.0.values[0], first.0.keys[4]), (2.0, -2.0, 2.0 + 1.0 / 64.0));
    assert_eq!(cache.prefetch(&pack, &[2, 1, 0, 1]).unwrap(), 2);
    assert!(cache.fetch(&pack, 0).unwrap().1);
    let statistics = cache.statistics();
    assert_eq!((statistics.hits, statistics.misses, statistics.prefetched, statistics.memories), (2, 1, 2, 3));
    assert!(!cache.get(&pack, 3).unwrap_err().is_damage());
}

#[test]
fn a_memory_larger_than_the_budget_is_read_all_the_same() {
    let (_folder, path) = pack(2);
    let pack = MappedPack::open(path).unwrap();
    let cache = MemoryCache::new(memory_bytes(&pack) - 1);
    for _ in 0..2 {
        assert_eq!(cache.get(&pack, 1).unwrap().keys[0], 1.0);
    }
    assert_eq!((cache.statistics().bytes, cache.statistics().misses), (0, 2));
}

#[test]
fn packs_that_share_a_cache_do_not_share_memories() {
    let (folder, path) = pack(2);
    let copy = folder.path().join("copy.mpk");
    fs::copy(&path, &copy).unwrap();
    let (one, two) = (MappedPack::open(path).unwrap(), MappedPack::open(copy).unwrap());
    let cache = MemoryCache::default();
    cache.get(&one, 0).unwrap();
    assert!(!cache.fetch(&two, 0).unwrap().1);
}

#[test]
fn the_memories_of_a_pack_go_with_it() {
    let (folder, path) = pack(4);
    let copy = folder.path().join("copy.mpk");
    fs::copy(&path, &copy).unwrap();
    let (one, two) = (MappedPack::open(path).unwrap(), MappedPack::open(copy).unwrap());
    let (cache, other) = (MemoryCache::default(), MemoryCache::default());
    cache.prefetch(&one, &[0, 1, 2]).unwrap();
    let kept = cache.get(&two, 3).unwrap();
    other.get(&one, 0).unwrap();
    drop(MemoryCache::default().get(&one, 0).unwrap());
    drop(one);
    assert_eq!((cache.statistics().memories, cache.statistics().bytes), (1, memory_bytes(&two)));
    assert_eq!((other.statistics().memories, other.statistics().bytes), (0, 0));
    assert!(cache.fetch(&two, 3).unwrap().1);
    assert_eq!(Arc::strong_count(&kept), 2);
}

#[test]
fn a_damaged_memory_is_refused_with_section_and_offset() {
    let (_folder, path) = pack(4);
    let (section, stride) = {
        let pack = MappedPack::open(&path).unwrap();
        (*pack.sections().iter().find(|section| section.tag == Tag::MEMORIES).unwrap(), pack.record_bytes())
    };
    let mut bytes = fs::read(&path).unwrap();
    let record = section.offset + 2 * stride;
    bytes[record as usize + 20] ^= 1;
    fs::write(&path, bytes).unwrap();
    let pack = MappedPack::open(&path).unwrap();
    let cache = MemoryCache::default();
    assert!(cache.get(&pack, 1).is_ok());
    for _ in 0..2 {
        let error = cache.get(&pack, 2).unwrap_err();
        assert!(error.is_damage() && error.reference == 2, "{error}");
        let ReadError::Damaged(damage) = *error.source else { panic!("{error}") };
        assert_eq!((damage.section, damage.offset), (Tag::MEMORIES, record));
        assert!(matches!(damage.defect, Defect::Leaf { kind: LeafKind::Memory, number: 2, .. }));
    }
    assert!(cache.prefetch(&pack, &[3, 2]).is_err());
    assert_eq!(cache.get(&pack, 3).unwrap().keys[0], 3.0);
}

#[test]
fn threads_share_a_cache() {
    let (_folder, path) = pack(50);
    let pack = MappedPack::open(path).unwrap();
    let cache = MemoryCache::new(20 * memory_bytes(&pack));
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let (cache, pack) = (&cache, &pack);
            scope.spawn(move || {
                for i in 0..200u32 {
                    let reference = (i * (thread + 3)) % 50;
                    assert_eq!(cache.get(pack, reference).unwrap().keys[0], reference as f32);
                }
            });
        }
    });
    let statistics = cache.statistics();
    assert_eq!(statistics.hits + statistics.misses, 800);
    assert!(statistics.memories <= 20);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Compares the cache with a list in order of use.
    #[test]
    fn keeps_the_most_recently_used(room in 1usize..6, asked in proptest::collection::vec(0u32..10, 0..60)) {
        static PACK: std::sync::OnceLock<(TempDir, MappedPack)> = std::sync::OnceLock::new();
        let (_, pack) = PACK.get_or_init(|| {
            let (folder, path) = pack(10);
            let pack = MappedPack::open(path).unwrap();
            (folder, pack)
        });
        let each = memory_bytes(pack);
        let cache = MemoryCache::new(room * each + each / 2);
        let mut recent: Vec<u32> = Vec::new();
        for reference in asked {
            let fetched = cache.fetch(pack, reference).unwrap();
            prop_assert_eq!(fetched.1, recent.contains(&reference));
            recent.retain(|&r| r != reference);
            recent.insert(0, reference);
            recent.truncate(room);
            let statistics = cache.statistics();
            prop_assert_eq!((statistics.memories, statistics.bytes), (recent.len(), recent.len() * each));
        }
    }
}
