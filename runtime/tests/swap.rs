//! Questions and searches while a pack is replaced repeatedly. Needs the embedder that `make` downloads.
//!
//! The one-minute test: `cargo test -p mempack-runtime --features engine --test swap -- --ignored --nocapture`.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mempack_format::PackId;
use mempack_model::{Embedder, Model};
use mempack_runtime::{AnswerOptions, MappedPack, MemoryCache, Method, Mounts, OnDamage, Retriever, Session, SessionOptions, cite};

mod engine;
use engine::{STOP, embedder, sheets, tiny_with, write_texts};

const QUESTIONS: [&str; 3] = [
    "What is the usual dose of Keltamin?",
    "How often may I take Vendril against gout?",
    "What is Sumetol used against, and how much of it?",
];

/// Maximum number of tokens of an answer, enough for several chunks.
const TOKENS: usize = 40;

/// Number of threads that ask questions, and of threads that search.
const ASKING: usize = 2;
const SEARCHING: usize = 2;

/// The result of a question: the answer's tokens, and the pack and the reference of everything read.
type Given = (Vec<u32>, Vec<(String, PackId, u32)>);

struct Service {
    model: Model,
    embedder: Embedder,
    mounts: Arc<Mounts>,
    cache: Arc<MemoryCache>,
}

impl Service {
    fn session(&self) -> Session {
        let answers = AnswerOptions { max_tokens: TOKENS, ..Default::default() };
        let options = SessionOptions { answers, cache: Arc::clone(&self.cache), ..Default::default() };
        Session::over(&self.model, &self.embedder, Arc::clone(&self.mounts), options).unwrap()
    }
}

fn ask(session: &Session, question: &str) -> Given {
    let answer = session.ask(question, &mut |_| ControlFlow::Continue(())).unwrap();
    let reads = answer.chunks.iter().flat_map(|chunk| &chunk.reads);
    let read = |read: &mempack_runtime::MemoryRead| {
        let cited = read.cite(OnDamage::Fail).unwrap();
        (cited.pack, cited.id, cited.found.reference)
    };
    (answer.tokens, reads.map(read).collect())
}

/// Two versions of the sheets, the second with other doses and in another order, and a pack that is not replaced.
fn versions(folder: &std::path::Path, model: &Model, embedder: &Embedder) -> ([PathBuf; 2], PathBuf) {
    let paths = ["old.mpk", "new.mpk", "steady.mpk"].map(|name| folder.join(name));
    let (mut old, mut steady) = (sheets(), Vec::new());
    while let Some(at) = old.iter().position(|sheet| sheet.contains("gout")) {
        steady.push(old.remove(at));
    }
    let new = old.iter().rev().map(|sheet| sheet.replace("0 mg", "7 g").replace("1 mg", "8 g").replace("is used", "was once used"));
    write_texts(&paths[1], new.collect(), model, embedder);
    write_texts(&paths[0], old, model, embedder);
    write_texts(&paths[2], steady, model, embedder);
    let [old, new, steady] = paths;
    ([old, new], steady)
}

fn open(path: &PathBuf) -> MappedPack {
    MappedPack::open(path).unwrap()
}

/// Number of this process's mappings of packs in a folder.
#[cfg(target_os = "linux")]
fn mappings_in(folder: &std::path::Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains(&folder.display().to_string())).count()
}

fn swap_under_load(duration: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny_with(&[(STOP, "\"similarity_bias\": 20.0"), ("\"retrieval_interval\": 64", "\"retrieval_interval\": 16")]);
    let embedder = embedder();
    let (paths, steady) = versions(folder.path(), &model, &embedder);
    let mounts = Arc::new(Mounts::new("changing", open(&paths[0])));
    mounts.mount("steady", open(&steady)).unwrap();
    let cache = Arc::new(MemoryCache::new(8 << 20));
    let service = Service { model, embedder, mounts: Arc::clone(&mounts), cache: Arc::clone(&cache) };

    // The answers of each version without replacements.
    let mut wanted: HashMap<PackId, Vec<Given>> = HashMap::new();
    for path in &paths {
        mounts.replace("changing", open(path)).unwrap();
        let session = service.session();
        wanted.insert(open(path).id(), QUESTIONS.iter().map(|question| ask(&session, question)).collect());
    }
    let [old, new] = [&wanted[&open(&paths[0]).id()], &wanted[&open(&paths[1]).id()]];
    (0..QUESTIONS.len()).for_each(|i| assert_ne!(old[i], new[i], "the versions answer {:?} alike", QUESTIONS[i]));
    assert!(old.iter().any(|given| given.1.iter().any(|(name, ..)| name == "steady")), "answers read from both packs");
    let changing = |given: &Given| given.1.iter().find(|(name, ..)| name == "changing").map(|(_, id, _)| *id);

    let (stop, asked, searched) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let (mut swaps, started) = (0u64, Instant::now());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..ASKING)
            .map(|thread| {
                let (session, stop, asked, wanted) = (service.session(), &stop, &asked, &wanted);
                scope.spawn(move || {
                    for question in (thread..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                        let question = question % QUESTIONS.len();
                        let given = ask(&session, QUESTIONS[question]);
                        let version = changing(&given).expect("every question reads from the pack that changes");
                        assert_eq!(given, wanted[&version][question], "an answer that is neither version's");
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .chain((0..SEARCHING).map(|thread| {
                let retriever = Retriever::over(&service.embedder, Arc::clone(&mounts)).unwrap();
                let (stop, searched) = (&stop, &searched);
                scope.spawn(move || {
                    for question in (thread..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                        let hits = retriever.retrieve(QUESTIONS[question % QUESTIONS.len()], 10, Method::default()).unwrap();
                        assert!(hits.len() == 10 && hits.is_sorted_by(|a, b| a.similarity >= b.similarity));
                        let first = hits.iter().find(|hit| hit.reference.pack.name() == "changing").expect("hits of the pack that changes");
                        assert!(
                            hits.iter()
                                .all(|hit| hit.reference.pack.name() == "steady" || hit.reference.pack.id() == first.reference.pack.id())
                        );
                        hits.iter().for_each(|hit| assert!(!cite(hit, OnDamage::Fail).unwrap().found.text.is_empty()));
                        searched.fetch_add(1, Ordering::Relaxed);
                    }
                })
            }))
            .collect();
        let end = started + duration;
        // A slow machine needs more time for the minimum number of requests. A failed thread ends the test immediately.
        let too_few = || asked.load(Ordering::Relaxed) < 4 || searched.load(Ordering::Relaxed) < 4;
        while (Instant::now() < end || too_few()) && !threads.iter().any(|thread| thread.is_finished()) {
            swaps += 1;
            mounts.replace("changing", open(&paths[swaps as usize % 2])).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let took = started.elapsed().as_secs_f64();
    let (asked, searched) = (asked.into_inner(), searched.into_inner());
    println!("{took:.0} s: {asked} questions, {searched} searches, {swaps} swaps, 0 failures");

    #[cfg(target_os = "linux")]
    assert_eq!(mappings_in(folder.path()), 2, "only what is mounted is mapped");
    drop(service);
    drop(mounts);
    #[cfg(target_os = "linux")]
    assert_eq!(mappings_in(folder.path()), 0);
    assert_eq!((cache.statistics().memories, cache.statistics().bytes), (0, 0));
}

#[test]
fn no_request_fails_while_a_pack_is_replaced() {
    swap_under_load(Duration::from_secs(4));
}

#[test]
#[ignore = "takes more than a minute"]
fn no_request_fails_while_a_pack_is_replaced_for_a_minute() {
    swap_under_load(Duration::from_secs(65));
}
