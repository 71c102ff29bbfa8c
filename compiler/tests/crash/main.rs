//! Whole builds over a storage that fails, tears writes, dies and forgets: the target is the complete old pack or the complete new one,
//! and the same build started again makes the pack of an undisturbed one and recomputes only the batch in flight.
//!
//! Every operation of a build is tried with every fault by `make thorough`, and every third one by `make test`. To make this take seconds, model and embedder are the random ones of the golden
//! values, with tokenizers of a few words; the code is that of every build.

#[path = "../../../format-spec/tests/common/faulty.rs"]
mod faulty;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use faulty::{CASES, Fault, Faulty, Left};
use mempack_compiler::{BuildError, BuildOptions, BuildReport, Input, PreviousPack, Revocation, SilentBuild, build};
use mempack_format::{CodecSpec, Pack};
use mempack_model::{Embedder, LoadOptions, Model};
use serde_json::json;
use tempfile::TempDir;

const TARGET: &str = "/packs/pack.mpk";
/// It begins as packs do, for only a pack is replaced.
const OLD: &[u8] = b"\x89MPK\r\n\x1a\nthe old pack";
/// Maximum number of references in a batch: a batch has 2,048 tokens, a reference at least 101 and 2 before it.
const BATCH: u64 = 19;
const WORDS: usize = 150;

/// A model's folder: golden weights, and a tokenizer of so many words.
fn folder(weights: &str, known: usize) -> TempDir {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(weights).join("model");
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden.join(name), folder.path().join(name)).unwrap();
    }
    let special = ["<pad>", "<s>", "</s>", "<ref>", "<unk>"].map(String::from);
    let words = special.into_iter().chain([".".into(), ",".into()]).chain((0..known).map(|word| format!("w{word}")));
    let vocabulary: BTreeMap<String, usize> = words.zip(0..).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "post_processor": null,
        "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    });
    fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    folder
}

struct World {
    model: Model,
    embedder: Embedder,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let (model, embedder) = (folder("llama_gqa", WORDS), folder("xlmr_cls", 100));
        let load = LoadOptions::default();
        let model = Model::load(model.path(), &load).unwrap();
        let embedder = Embedder::load(embedder.path(), &load).unwrap();
        Self { model, embedder, folder: tempfile::tempdir().unwrap() }
    }

    /// Documents of one reference each; those named by `changed` say something else.
    fn corpus(&self, name: &str, changed: &[usize]) -> PathBuf {
        let row = |document: usize| {
            let seed = if changed.contains(&document) { document + 1000 } else { document };
            let words: Vec<String> = (0..100 + document % 7).map(|at| format!("w{}", (seed * 31 + at * at * 7 + at) % WORDS)).collect();
            format!("{}\n", json!({"id": format!("d{document}"), "text": format!("{}.", words.join(" "))}))
        };
        let path = self.folder.path().join(name);
        fs::write(&path, (0..24).map(row).collect::<String>()).unwrap();
        path
    }

    fn build(&self, corpus: &Path, storage: &Faulty, from: Option<&Arc<PreviousPack>>) -> Result<BuildReport, BuildError> {
        let options = BuildOptions {
            inputs: vec![Input::Path(corpus.to_owned())],
            output: TARGET.into(),
            // Its embedder has few words.
            any_language: true,
            codec: CodecSpec::SQ8,
            threads: 1,
            sample: 5,
            from: from.cloned(),
            storage: Arc::new(storage.clone()),
            ..BuildOptions::default()
        };
        build(&self.model, &self.embedder, &options, &SilentBuild, &AtomicBool::new(false))
    }
}

fn storage(old: &[u8]) -> Faulty {
    let storage = Faulty::with_folder(Path::new("/packs"));
    storage.put(Path::new(TARGET), old);
    storage
}

/// Slots written whole in the file of records, whose first write is its head.
fn slots(storage: &Faulty, fault: Fault) -> u64 {
    let writes = storage.writes(Path::new("/packs/pack.mpk.building/records"));
    writes.saturating_sub(if fault == Fault::Tear { 2 } else { 1 })
}

/// Tries `faults` at the operations of a build from a corpus.
fn disturb(world: &World, corpus: &Path, old: &[u8], from: Option<&Arc<PreviousPack>>, faults: &[(Fault, Left)]) -> (u64, u64) {
    let stride = if std::env::var_os("MEMPACK_THOROUGH").is_some() { 1 } else { 3 };
    let target = Path::new(TARGET);
    let undisturbed = storage(old);
    let expected = world.build(corpus, &undisturbed, from).unwrap();
    assert_eq!((expected.resumed, expected.encoded + expected.taken), (0, expected.references));
    let new = undisturbed.contents(target).unwrap();
    assert_eq!(undisturbed.names().len(), 2, "{:?}", undisturbed.names());
    let (mut olds, mut news) = (0, 0);
    for (&(fault, left), first) in faults.iter().zip((0..stride as u64).cycle()) {
        for at in (first..undisturbed.operations()).step_by(stride) {
            let case = format!("{fault:?} at {at}, {left:?}");
            let storage = storage(old);
            storage.plan(at, fault);
            let result = world.build(corpus, &storage, from);
            let written = slots(&storage, fault);
            match &result {
                // What failed did not matter: scratch that was not removed, or the folder after all was done.
                Ok(report) => assert_eq!(report.id, expected.id, "{case}"),
                Err(error) if fault == Fault::Full => {
                    assert!(error.to_string().contains("free some space"), "{case}: {error}");
                    let kept = matches!(error, BuildError::Stopped { .. });
                    assert!(kept || written == 0, "{case}: {error}");
                    assert_eq!(storage.names().len() > 2, kept, "{case}: {:?}", storage.names());
                }
                Err(_) => {}
            }
            storage.restart(left);
            let found = storage.contents(target).unwrap();
            assert!(found == old || found == new, "{case}: {} bytes of neither pack", found.len());
            assert!(result.is_err() || found == new, "{case}: said to be built, and is not");
            *(if found == new { &mut news } else { &mut olds }) += 1;

            let again = world.build(corpus, &storage, from).unwrap();
            assert_eq!(again.id, expected.id, "{case}");
            assert_eq!(again.encoded + again.resumed + again.taken, again.references, "{case}");
            if result.is_err() && left == Left::All {
                assert!(again.resumed + BATCH > written, "{case}: of {written} done, {} were taken over", again.resumed);
            }
            assert!(storage.contents(target).unwrap() == new && storage.names().len() == 2, "{case}: {:?}", storage.names());
        }
    }
    println!("{} operations, {} faults: {olds} left the old pack, {news} the new one", undisturbed.operations(), faults.len());
    (olds, news)
}

#[test]
fn whatever_fails_the_target_is_whole_and_the_build_goes_on() {
    let world = World::new();
    let corpus = world.corpus("corpus.jsonl", &[]);
    let (olds, news) = disturb(&world, &corpus, OLD, None, &CASES);
    assert!(olds > 0 && news > 0);
}

#[test]
fn a_build_from_an_older_pack_is_no_less_safe() {
    let world = World::new();
    let before = storage(OLD);
    world.build(&world.corpus("old.jsonl", &[]), &before, None).unwrap();
    let old = before.contents(Path::new(TARGET)).unwrap();
    let older = Arc::new(PreviousPack::new(Path::new(TARGET), Arc::new(Pack::open(old.clone()).unwrap())));
    let corpus = world.corpus("new.jsonl", &[3, 17, 20]);
    let report = world.build(&corpus, &before, Some(&older)).unwrap();
    assert_eq!((report.references, report.taken, report.encoded), (24, 21, 3));
    // The previous pack is the target itself. These faults differ most in their effects.
    let faults = [(Fault::Full, Left::All), (Fault::Die, Left::All), (Fault::Die, Left::Synced)];
    let (olds, news) = disturb(&world, &corpus, &old, Some(&older), &faults);
    assert!(olds > 0 && news > 0);
}

#[test]
fn whatever_fails_a_revocation_leaves_a_whole_pack_with_its_permissions() {
    const MODE: u32 = 0o640;
    let (world, target) = (World::new(), Path::new(TARGET));
    let built = storage(OLD);
    world.build(&world.corpus("corpus.jsonl", &[]), &built, None).unwrap();
    let old = built.contents(target).unwrap();
    let pack = Pack::open(old.clone()).unwrap();
    let packs = || {
        let storage = Faulty::with_folder(Path::new("/packs"));
        storage.put_with_mode(target, &old, MODE);
        storage
    };
    let revoke = |storage: &Faulty| {
        let revocation = Revocation::find(&pack, &["d7".into()]).unwrap();
        revocation.write(Arc::new(storage.clone()), target, &mut |_, _, _| {}, &AtomicBool::new(false))
    };
    let undisturbed = packs();
    let expected = revoke(&undisturbed).unwrap();
    let new = undisturbed.contents(target).unwrap();
    assert_eq!((expected.references, undisturbed.mode(target)), (1, Some(MODE)));
    let (mut olds, mut news) = (0, 0);
    for (fault, left) in CASES {
        for at in 0..undisturbed.operations() {
            let case = format!("{fault:?} at {at}, {left:?}");
            let storage = packs();
            storage.plan(at, fault);
            let result = revoke(&storage);
            storage.restart(left);
            let found = storage.contents(target).unwrap();
            assert!(found == old || found == new, "{case}: {} bytes of neither pack", found.len());
            assert!(result.is_err() || found == new, "{case}: reported as written, and is not");
            assert_eq!(storage.mode(target), Some(MODE), "{case}");
            *(if found == new { &mut news } else { &mut olds }) += 1;
            assert_eq!(revoke(&storage).unwrap().id, expected.id, "{case}");
            assert!(storage.contents(target).unwrap() == new && storage.names().len() == 2, "{case}: {:?}", storage.names());
        }
    }
    assert!(olds > 0 && news > 0, "{olds}, {news}");
}
