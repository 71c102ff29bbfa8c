//! Lexical and hybrid ranking against the formulas, worked out from the texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use mempack_format::{DiskStorage, Document, Origin, PackSetFile, PackWriter, Posting, Routing, SetManifest, SetPack, TermSource};
use mempack_lexical::{ANALYSIS, TermCounts, terms};
use mempack_runtime::{Hit, MappedPack, MappedSet, Method, Mounts, OnDamage, PackReference, Ranking};
use proptest::prelude::*;

mod common;
use common::{Random, SHAPE, embedder_identity, model_identity, record};

const DIM: usize = 8;
const SPREAD: f64 = 0.1;
const WORDS: [&str; 8] = ["fever", "lease", "river", "QX-4471", "法律", "harvest", "anchor", "meadow"];

struct Index(TermCounts);

impl TermSource for Index {
    fn analysis(&self) -> u32 {
        ANALYSIS
    }

    fn spread(&self) -> f64 {
        SPREAD
    }

    fn lengths(&self) -> &[u32] {
        self.0.lengths()
    }

    fn terms(&self) -> impl Iterator<Item = (&str, impl ExactSizeIterator<Item = Posting>)> {
        self.0.iter().map(|(term, list)| (term, list.iter().map(|posting| Posting { reference: posting.text, count: posting.count })))
    }
}

fn embedding(seed: u64) -> Vec<f32> {
    Random(seed).unit(DIM, None, 1.0)
}

/// A pack of these texts.
fn pack(texts: &[String], first: u64) -> (tempfile::TempDir, MappedPack) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("from{first}.mpk"));
    let mut writer = PackWriter::create(&path, SHAPE, DIM as u32).unwrap();
    writer.set_codec(&mempack_format::CodecSpec::F32, &0u32.to_le_bytes()).unwrap();
    writer.push_document(&Document { id: "one".into(), ..Document::default() }).unwrap();
    let mut counts = TermCounts::new();
    for (number, text) in (first..).zip(texts) {
        counts.push(terms(text));
        let key = mempack_format::Digest::of(&number.to_le_bytes());
        writer.push_reference(&key, 9, text, &[Origin { document: 0, start: 0, end: 1 }]).unwrap();
        writer.push_memory(&record(SHAPE, number as u32)).unwrap();
        writer.push_embedding(&embedding(number)).unwrap();
    }
    writer.set_terms(&Index(counts)).unwrap();
    writer.finish(model_identity(SHAPE), "f32", embedder_identity(DIM), "test").unwrap();
    let pack = MappedPack::open(&path).unwrap();
    (folder, pack)
}

/// BM25 (k1 1.2, b 0.75) of every text, from its words alone.
fn scores(texts: &[String], query: &str) -> Vec<f64> {
    let split: Vec<Vec<String>> = texts.iter().map(|text| terms(text)).collect();
    let mean = split.iter().map(Vec::len).sum::<usize>() as f64 / texts.len() as f64;
    let score = |text: &Vec<String>| {
        let mut times: BTreeMap<String, f64> = BTreeMap::new();
        terms(query).into_iter().for_each(|term| *times.entry(term).or_default() += 1.0);
        let one = |(term, times): (&String, &f64)| {
            let having = split.iter().filter(|text| text.contains(term)).count() as f64;
            let count = text.iter().filter(|own| *own == term).count() as f64;
            let weight = (1.0 + (texts.len() as f64 - having + 0.5) / (having + 0.5)).ln();
            times * weight * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * text.len() as f64 / mean.max(1e-9)))
        };
        times.iter().map(one).sum::<f64>()
    };
    split.iter().map(score).collect()
}

fn ranked(mounts: &Mounts, vector: &[f32], query: &str, k: usize, ranking: Ranking) -> Vec<Hit<PackReference>> {
    mounts.packs().ranked(vector, query, k, ranking, Method::Exact, OnDamage::Fail).unwrap()
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    let text = prop::collection::vec(prop::sample::select(&WORDS[..]), 0..9).prop_map(|words| words.join(" "));
    prop::collection::vec(text, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn similarities_are_those_of_the_formulas(
        texts in texts(), query in prop::collection::vec(prop::sample::select(&WORDS[..]), 1..5), seed in 1000u64..2000,
    ) {
        let query = query.join(" and the ");
        let (_folder, pack) = pack(&texts, 0);
        let mounts = Mounts::of(Arc::new(pack));
        let vector = embedding(seed);
        let scores = scores(&texts, &query);
        let best = scores.iter().copied().fold(0.0, f64::max);
        let cosine = |number: usize| vector.iter().zip(embedding(number as u64)).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        for ranking in [Ranking::Dense, Ranking::Lexical, Ranking::Hybrid] {
            let similarity = |number: usize| {
                let lexical = if best > 0.0 { 2.5 * SPREAD * scores[number] / best } else { 0.0 };
                match ranking {
                    Ranking::Dense => cosine(number),
                    // Where no text has a term of the query, vectors decide.
                    Ranking::Lexical if best > 0.0 => lexical,
                    _ => cosine(number) + lexical,
                }
            };
            let hits = ranked(&mounts, &vector, &query, texts.len(), ranking);
            for hit in &hits {
                let expected = similarity(hit.reference.number as usize);
                prop_assert!((f64::from(hit.similarity) - expected).abs() < 1e-5, "{:?} {} {}", ranking, hit.similarity, expected);
            }
            prop_assert!(hits.is_sorted_by(|a, b| a.similarity >= b.similarity));
            // Lexical ranking gives what has a term; the others give everything.
            let all = if ranking == Ranking::Lexical && best > 0.0 { scores.iter().filter(|score| **score > 0.0).count() } else { texts.len() };
            prop_assert_eq!(hits.len(), all);
        }
    }
}

#[test]
fn several_packs_have_one_ranking() {
    let words = |text: &str| vec![text.to_owned(), "meadow".to_owned(), "anchor meadow".to_owned()];
    let (_a, one) = pack(&words("fever fever"), 0);
    let (_b, two) = pack(&words("fever lease"), 50);
    let mounts = Mounts::of(Arc::new(one));
    mounts.mount("two".to_owned(), two).unwrap();
    let hits = ranked(&mounts, &embedding(7), "fever", 6, Ranking::Lexical);
    let found: Vec<(&str, u32)> = hits.iter().map(|hit| (hit.reference.pack.name(), hit.reference.number)).collect();
    assert_eq!(found, [("from0", 0), ("two", 0)]);
    assert!((hits[0].similarity - 0.25).abs() < 1e-6, "the best score is worth 2.5 deviations");
    assert_eq!(ranked(&mounts, &embedding(7), "fever", 6, Ranking::Hybrid).len(), 6);
}

#[test]
fn a_term_is_found_in_every_pack_of_a_set() {
    let words = |text: &str| vec![text.to_owned(), "meadow".to_owned(), "anchor meadow".to_owned()];
    let (folder, one) = pack(&words("lease"), 0);
    let (second, _) = pack(&words("fever lease"), 50);
    std::fs::rename(second.path().join("from50.mpk"), folder.path().join("from50.mpk")).unwrap();
    let packs = ["from0.mpk", "from50.mpk"].map(|file| {
        let pack = MappedPack::open(folder.path().join(file)).unwrap();
        SetPack::of(file, &*pack).unwrap()
    });
    let manifest = SetManifest {
        generator: "test".into(),
        model: model_identity(SHAPE),
        precision: "f32".into(),
        embedder: embedder_identity(DIM),
        codec: "F32".into(),
        packs: packs.to_vec(),
    };
    let query: Vec<f32> = embedding(0);
    let away: Vec<f32> = query.iter().map(|x| -x).collect();
    let routing = Routing { owners: vec![0, 1], centroids: [query.clone(), away].concat() };
    let path = folder.path().join("bank.mps");
    PackSetFile::new(manifest, routing).unwrap().write(Arc::new(DiskStorage), &path).unwrap();
    let mounts = Mounts::of_set(&MappedSet::open(&path).unwrap().probing(1));
    // The vectors of the first pack alone are looked at, and the word stands in the second.
    let found = |ranking| {
        let hits = mounts.packs().ranked(&query, "fever", 3, ranking, Method::default(), OnDamage::Fail).unwrap();
        hits.iter().map(|hit| (hit.reference.pack.name().to_owned(), hit.reference.number)).collect::<Vec<_>>()
    };
    assert!(found(Ranking::Dense).iter().all(|(pack, _)| pack == "from0"));
    assert!(found(Ranking::Hybrid).contains(&("from50".to_owned(), 0)), "{:?}", found(Ranking::Hybrid));
    assert_eq!(found(Ranking::Lexical)[0], ("from50".to_owned(), 0));
    drop(one);
}
