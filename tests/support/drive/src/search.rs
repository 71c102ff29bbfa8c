//! Searching a file, through the mapping that programs use.

use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::path::PathBuf;

use mempack_runtime::{EXACT_UP_TO, Hit, MappedPack, MemoryCache, SearchError};
use tempfile::TempDir;

/// Results asked for.
const BEST: usize = 5;

thread_local! {
    /// A file for each thread, overwritten for each pack; no mapping outlives the call that made it.
    static FILE: OnceCell<(TempDir, PathBuf)> = const { OnceCell::new() };
}

/// Maps a file, searches it through the graph and exactly, and fetches what it finds: memory, text and places.
pub fn search(file: &[u8]) {
    let path = FILE.with(|cell| {
        let (_, path) = cell.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("searched.mpk");
            (folder, path)
        });
        path.clone()
    });
    std::fs::write(&path, file).expect("the temporary folder is writable");
    let Ok(pack) = MappedPack::open(&path) else { return };
    let dim = pack.manifest().embedder.dim as usize;
    let mut query = vec![0.0; dim];
    query[dim / 2] = 1.0;
    let exact = pack.search_exact(&query, BEST);
    let found = pack.search(&query, BEST, 16);
    for result in [&exact, &found] {
        check(&pack, result);
    }
    let whole = pack.verify(&mut |_| ControlFlow::Continue(())).is_ok();
    if whole {
        let (exact, found) = (exact.expect("a whole pack is searched"), found.expect("a whole pack is searched"));
        let small = pack.manifest().counts.references <= EXACT_UP_TO;
        assert!(!small || exact == found, "a small pack is searched exactly");
    }
}

/// Hits are references that exist, none twice, best first; and each can be looked up, or says what is wrong.
fn check(pack: &MappedPack, result: &Result<Vec<Hit>, SearchError>) {
    let hits = match result {
        Ok(hits) => hits,
        Err(error) => return assert!(error.is_damage(), "a right query was refused: {error}"),
    };
    let references = pack.manifest().counts.references;
    assert!(hits.len() <= BEST && hits.iter().all(|hit| hit.reference < references && hit.similarity.is_finite()));
    assert!(
        hits.iter()
            .zip(hits.iter().skip(1))
            .all(|(better, worse)| better.similarity >= worse.similarity && better.reference != worse.reference)
    );
    let cache = MemoryCache::new(1 << 20);
    for hit in hits {
        if let Ok(memory) = cache.get(pack, hit.reference) {
            assert!(memory.keys.iter().chain(&memory.values).all(|value| value.is_finite()), "a memory that is no number");
        }
        if let Ok(described) = pack.describe(hit) {
            assert_eq!(described.reference, hit.reference);
        }
    }
}
