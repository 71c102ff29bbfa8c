//! Plans, their shards and their merge, with the tiny model and the default embedder.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{corpus, loaded, names};
use mempack_compiler::{
    BuildError, BuildOptions, BuildProgress, Input, MergeOptions, MergeReport, Plan, PlanError, PlanOptions, PlanReport, PreviousPack,
    SearchPacks, ShardDefect, ShardOptions, ShardReport, SilentBuild, Stage, build, build_shard, merge, plan,
};
use mempack_format::{CodecSpec, Memory, OriginPlace, Pack, PackSetFile};
use serde_json::json;

const SHARDS: u32 = 5;

/// The corpus of builds, with fields that only some documents have, and a document whose parts have places.
fn write_inputs(folder: &Path) -> Vec<Input> {
    let years = corpus().into_iter().enumerate().map(|(at, mut row)| {
        if at % 3 == 0 {
            row["year"] = json!(1900 + at);
            row["tags"] = json!(["note", format!("t{}", at % 4)]);
        }
        format!("{row}\n")
    });
    fs::write(folder.join("corpus.jsonl"), years.collect::<String>()).unwrap();
    let chapters =
        (1..9).map(|chapter| format!("## Chapter {chapter}\n\nThe chapter with number {chapter} is about {chapter} kinds of birds.\n\n"));
    fs::write(folder.join("book.md"), format!("# Birds\n\n{}", chapters.collect::<String>())).unwrap();
    ["corpus.jsonl", "book.md"].map(|name| Input::Path(folder.join(name))).into()
}

/// Of F32, so that the memories of two builds can be compared.
fn options(inputs: Vec<Input>, output: PathBuf) -> PlanOptions {
    let build = BuildOptions { inputs, output, codec: CodecSpec::F32, threads: 2, ..BuildOptions::default() };
    PlanOptions { build, shards: SHARDS, packs: SearchPacks::Count(3), force: false }
}

fn make_watched(options: &PlanOptions, progress: &dyn BuildProgress, cancel: &AtomicBool) -> Result<PlanReport, PlanError> {
    let (model, embedder) = loaded();
    plan(&model, &embedder, options, progress, cancel)
}

fn make(options: &PlanOptions) -> PlanReport {
    make_watched(options, &SilentBuild, &AtomicBool::new(false)).unwrap()
}

fn open(folder: &Path) -> Result<Plan, PlanError> {
    Plan::open(folder, |path| {
        let bytes = fs::read(path).map_err(|source| PlanError::Io { path: path.to_owned(), source })?;
        Ok(PreviousPack::new(path, Box::new(Pack::open(bytes).unwrap())))
    })
}

fn shard(folder: &Path, options: &ShardOptions) -> Result<ShardReport, PlanError> {
    let (model, embedder) = loaded();
    build_shard(&model, &embedder, &open(folder)?, options, &SilentBuild, &AtomicBool::new(false))
}

fn shard_options(shard: u32) -> ShardOptions {
    ShardOptions { threads: 2, ..ShardOptions::new(shard) }
}

fn all_shards(folder: &Path) {
    for number in 0..SHARDS {
        shard(folder, &shard_options(number)).unwrap();
    }
}

fn merge_all(folder: &Path, options: &MergeOptions) -> Result<MergeReport, PlanError> {
    merge(&open(folder)?, options, &SilentBuild, &AtomicBool::new(false))
}

/// Cancels when a stage begins, or when it has done so many references.
struct CancelAt<'a> {
    stage: Stage,
    references: u64,
    running: AtomicBool,
    done: AtomicU64,
    cancel: &'a AtomicBool,
}

impl<'a> CancelAt<'a> {
    fn new(stage: Stage, references: u64, cancel: &'a AtomicBool) -> Self {
        Self { stage, references, running: AtomicBool::new(false), done: AtomicU64::new(0), cancel }
    }
}

impl BuildProgress for CancelAt<'_> {
    fn stage(&self, stage: Stage, _: Option<u64>) {
        self.running.store(stage == self.stage, Ordering::Relaxed);
        self.advance(0, 0);
    }

    fn advance(&self, references: u64, _: u64) {
        if self.running.load(Ordering::Relaxed) && self.done.fetch_add(references, Ordering::Relaxed) + references >= self.references {
            self.cancel.store(true, Ordering::Relaxed);
        }
    }

    fn note(&self, _: &str) {}
}

/// The files of a folder with their bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    names(folder)
        .into_iter()
        .filter(|name| folder.join(name).is_file())
        .map(|name| (name.clone(), fs::read(folder.join(&name)).unwrap()))
        .collect()
}

#[test]
fn neither_order_nor_threads_nor_kills_change_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = write_inputs(folder.path());
    let at = |name: &str| folder.path().join(name);
    let with = |name: &str, threads: usize| {
        let mut options = options(inputs.clone(), at(name));
        (options.build.threads, options.build.codec, options.build.sample) = (threads, "TCQ4x6".parse().unwrap(), 20);
        options
    };
    let first = make(&with("a.plan", 1));
    assert_eq!(names(&at("a.plan")), ["centroids", "plan.json", "plan.mpk", "probe", "references", "shards"]);
    // A plan that is stopped again and again is the same one.
    for stage in [Stage::Reading, Stage::Sampling, Stage::Training, Stage::Measuring, Stage::Centroids, Stage::Probing, Stage::Planning] {
        let cancel = AtomicBool::new(false);
        let error = make_watched(&with("b.plan", 3), &CancelAt::new(stage, 0, &cancel), &cancel).unwrap_err();
        assert!(matches!(error.build_reason(), Some(BuildError::Interrupted)), "{stage}: {error:?}");
        assert!(!at("b.plan").exists() && !at("b.plan.building/plan.json").exists());
        let kept = at("b.plan.building").exists();
        assert_eq!(kept, !matches!(stage, Stage::Reading | Stage::Sampling), "{stage}: {error}");
    }
    let second = make(&with("b.plan", 3));
    assert_eq!((first.id, first.references), (second.id, second.references));
    assert_eq!(files(&at("a.plan")), files(&at("b.plan")));
    assert_eq!(files(&at("a.plan/references")), files(&at("b.plan/references")));
    assert_eq!(names(folder.path()), ["a.plan", "b.plan", "book.md", "corpus.jsonl"]);

    all_shards(&at("a.plan"));
    let (model, embedder) = loaded();
    for number in (0..SHARDS).rev() {
        let plan = open(&at("b.plan")).unwrap();
        let options = ShardOptions { threads: 3, ..shard_options(number) };
        let mut stopped = 0;
        for (stage, references) in [(Stage::Probing, 0), (Stage::Writing, 0), (Stage::Writing, 1), (Stage::Sealing, 0)] {
            let cancel = AtomicBool::new(false);
            let ended = build_shard(&model, &embedder, &plan, &options, &CancelAt::new(stage, references, &cancel), &cancel);
            let error = ended.unwrap_err();
            assert!(matches!(error.build_reason(), Some(BuildError::Interrupted)), "{stage}: {error:?}");
            assert!(!plan.shard_path(number).exists());
            stopped += 1;
        }
        let report = build_shard(&model, &embedder, &plan, &options, &SilentBuild, &AtomicBool::new(false)).unwrap();
        assert_eq!((stopped, report.resumed, report.encoded), (4, report.references, 0), "{report:?}");
    }
    assert_eq!(files(&at("a.plan/shards")), files(&at("b.plan/shards")));
    assert_eq!(names(&at("b.plan/shards")).len(), SHARDS as usize);

    let one = merge_all(&at("a.plan"), &MergeOptions::new(at("one"))).unwrap();
    // Shards that were built elsewhere and come in any order, and packs that are written side by side.
    fs::rename(at("b.plan/shards"), at("elsewhere")).unwrap();
    let shards = ["0003", "0001", "0004", "0000", "0002"].map(|name| at("elsewhere").join(name).with_extension("shard")).into();
    let other = MergeOptions { shards, threads: 3, ..MergeOptions::new(at("two")) };
    for stage in [Stage::Checking, Stage::Regrouping, Stage::Packing, Stage::Sealing] {
        let cancel = AtomicBool::new(false);
        let error = merge(&open(&at("b.plan")).unwrap(), &other, &CancelAt::new(stage, 0, &cancel), &cancel).unwrap_err();
        assert!(matches!(error.build_reason(), Some(BuildError::Interrupted)), "{stage}: {error:?}");
        assert!(names(folder.path()).iter().all(|name| name != "two") || names(&at("two")).is_empty(), "{stage}: {:?}", names(&at("two")));
    }
    let two = merge_all(&at("b.plan"), &other).unwrap();
    assert_eq!((one.id, &one.packs), (two.id, &two.packs));
    assert_eq!(files(&at("one")), files(&at("two")));
}

/// A reference as its pack shows it, with what belongs to it.
struct Shown {
    text: String,
    tokens: u16,
    /// Document id, title, bytes, place, fields.
    origins: Vec<String>,
    terms: BTreeMap<String, u32>,
    memory: Memory,
    embedding: Vec<f32>,
}

fn shown(pack: &Pack<Vec<u8>>) -> BTreeMap<String, Shown> {
    pack.verify(&mut |_| ControlFlow::Continue(())).unwrap();
    let (codec, count) = (pack.codec().unwrap(), pack.manifest().counts.references);
    let mut terms: Vec<BTreeMap<String, u32>> = vec![BTreeMap::new(); count as usize];
    let index = pack.terms().unwrap().unwrap();
    for term in 0..index.len() {
        let name = String::from_utf8(index.name(term).unwrap().to_vec()).unwrap();
        for posting in index.postings(term).unwrap() {
            let posting = posting.unwrap();
            terms[posting.reference as usize].insert(name.clone(), posting.count);
        }
    }
    let mut all = BTreeMap::new();
    for reference in 0..count {
        let info = pack.reference(reference).unwrap();
        let origin = |(number, origin): (u32, mempack_format::Origin)| {
            let document = pack.document(origin.document).unwrap();
            let place = pack.places().unwrap().map(|places| OriginPlace::read(&places, number).unwrap()).unwrap_or_default();
            let fields =
                pack.metadata().unwrap().into_iter().flat_map(|metadata| metadata.fields().map(Result::unwrap).collect::<Vec<_>>());
            let fields: Vec<String> = fields
                .map(|field| (field, field.texts(origin.document).unwrap()))
                .filter(|(_, texts)| !texts.is_empty())
                .map(|(field, texts)| format!("{} {} {} {texts:?}", field.name(), field.kind(), field.is_list()))
                .collect();
            format!("{document:?} {}-{} {place:?} {fields:?}", origin.start, origin.end)
        };
        let origins = (info.first_origin as u32..).zip(pack.origins(reference).unwrap()).map(origin).collect();
        let mut memory = Memory::empty(pack.manifest().model.shape.clone());
        codec.decode_memory(pack.record(reference).unwrap(), &mut memory).unwrap();
        let embedding = pack.embedding(reference).unwrap().iter().map(|x| x.get()).collect();
        let terms = std::mem::take(&mut terms[reference as usize]);
        let shown = Shown { text: pack.text(reference).unwrap(), tokens: info.tokens, origins, terms, memory, embedding };
        assert!(all.insert(info.key.to_string(), shown).is_none());
    }
    all
}

#[test]
fn a_set_holds_what_a_single_pack_does() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = write_inputs(folder.path());
    let at = |name: &str| folder.path().join(name);
    let (model, embedder) = loaded();
    let options = options(inputs, at("x.plan"));
    let single = BuildOptions { output: at("single.mpk"), ..options.build.clone() };
    let built = build(&model, &embedder, &single, &SilentBuild, &AtomicBool::new(false)).unwrap();
    let planned = make(&options);
    assert_eq!((planned.documents, planned.references, planned.origins), (built.documents, built.references, built.origins));
    assert_eq!((planned.tokens, planned.shards, planned.packs), (built.tokens, SHARDS, 3));
    all_shards(&at("x.plan"));
    let merged = merge_all(&at("x.plan"), &MergeOptions::new(at("bank"))).unwrap();

    let read = |path: PathBuf| Pack::open(fs::read(path).unwrap()).unwrap();
    let single = read(at("single.mpk"));
    let mut left = shown(&single);
    let set = PackSetFile::read(&fs::read(at("bank/bank.mps")).unwrap()).unwrap();
    assert_eq!((set.id(), set.manifest().packs.len(), &set.manifest().packs), (merged.id, 3, &merged.packs));
    assert_eq!(names(&at("bank")).len(), 4);
    let dim = set.manifest().embedder.dim;
    let mut matched = 0;
    for (number, entry) in (0..).zip(&set.manifest().packs) {
        let pack = read(at("bank").join(&entry.file));
        set.check_pack(number as usize, &pack).unwrap();
        assert_eq!(entry, &mempack_format::SetPack::of(&entry.file, &pack).unwrap());
        // Graph and embedder are those of the single pack.
        assert_eq!((pack.manifest().graph, &pack.manifest().embedder), (single.manifest().graph, &single.manifest().embedder));
        // No document without references, and none twice.
        let ids: BTreeSet<String> = (0..entry.counts.documents).map(|document| pack.document(document).unwrap().id).collect();
        assert_eq!(ids.len(), entry.counts.documents as usize);
        assert!(u64::from(entry.counts.references) <= (merged.references * 5).div_ceil(4 * 3));
        for (key, shown) in shown(&pack) {
            let expected = left.remove(&key).unwrap_or_else(|| panic!("{key} is not in the single pack, or in two of the set"));
            assert_eq!((&shown.text, shown.tokens, &shown.origins), (&expected.text, expected.tokens, &expected.origins));
            assert_eq!(shown.terms, expected.terms, "{}", shown.text);
            assert_eq!(shown.memory.positions, expected.memory.positions, "{}", shown.text);
            let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(
                near(&shown.memory.keys, &expected.memory.keys) && near(&shown.memory.values, &expected.memory.values),
                "{}",
                shown.text
            );
            assert!(near(&shown.embedding, &expected.embedding), "{}", shown.text);
            let dot = |centroid: &[f32]| centroid.iter().zip(&shown.embedding).map(|(a, b)| a * b).sum::<f32>();
            let best = set.routing().iter(dim).max_by(|a, b| dot(a.1).total_cmp(&dot(b.1))).unwrap();
            matched += usize::from(best.0 == number);
        }
    }
    assert!(left.is_empty(), "{} references are in no pack", left.len());
    // Few references are nearer to a centroid of another pack: those whose own pack was full, and those on a border.
    let all = merged.references as usize;
    assert!(matched + merged.moved as usize >= all * 9 / 10, "{matched} of {all}, {} moved", merged.moved);
}

/// A plan with all its shards, made once for each test.
fn prepared(folder: &Path, name: &str, shards: bool) -> PathBuf {
    let output = folder.join(name);
    make(&options(write_inputs(folder), output.clone()));
    if shards {
        all_shards(&output);
    }
    output
}

#[test]
fn a_merge_names_every_shard_that_is_bad() {
    let folder = tempfile::tempdir().unwrap();
    let plan = prepared(folder.path(), "x.plan", true);
    let mut other = options(write_inputs(folder.path()), folder.path().join("other.plan"));
    other.build.graph.m = 8;
    make(&other);
    let path = |number: u32| plan.join(format!("shards/{number:04}.shard"));
    shard(&folder.path().join("other.plan"), &ShardOptions { output: Some(path(0)), force: true, ..shard_options(0) }).unwrap();
    fs::remove_file(path(1)).unwrap();
    let cut = fs::read(path(2)).unwrap();
    fs::write(path(2), &cut[..cut.len() - 7]).unwrap();
    let mut flipped = fs::read(path(3)).unwrap();
    flipped[400] ^= 4;
    fs::write(path(3), flipped).unwrap();
    let twice = folder.path().join("twice.shard");
    fs::copy(path(4), &twice).unwrap();
    let no_shard = folder.path().join("book.md");
    let options = MergeOptions { shards: vec![twice.clone(), path(4), no_shard], ..MergeOptions::new(folder.path().join("bank")) };
    let error = merge_all(&plan, &options).unwrap_err();
    let PlanError::Shards { bad, shards } = &error else { panic!("{error:?}") };
    assert_eq!(*shards, SHARDS);
    let numbers: Vec<Option<u32>> = bad.iter().map(|bad| bad.shard).collect();
    assert_eq!(numbers, [Some(0), Some(1), Some(2), Some(3), Some(4), None], "{error}");
    use ShardDefect::{Changed, Length, Missing, NotAShard, OtherPlan, Twice};
    let defects: Vec<&ShardDefect> = bad.iter().map(|bad| &bad.defect).collect();
    assert!(matches!(defects[..], [OtherPlan { .. }, Missing, Length { .. }, Changed, Twice { .. }, NotAShard]), "{error}");
    for words in ["shard 1: ", "it is missing", "cut short", "damaged", "another plan", "the same shard", "book.md: the file is no shard"] {
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
    assert_eq!(error.bad_shards(), [0, 1, 2, 3]);
    assert!(!folder.path().join("bank").exists());

    // Each of them is built again, without being asked to; the one that is whole is not.
    for number in 0..SHARDS {
        let report = shard(&plan, &shard_options(number)).unwrap();
        assert_eq!(report.was_complete, number == 4, "{number}");
    }
    merge_all(&plan, &MergeOptions::new(folder.path().join("bank"))).unwrap();
}

#[test]
fn a_plan_that_was_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plan = prepared(folder.path(), "x.plan", true);
    let bank = MergeOptions::new(folder.path().join("bank"));
    for name in ["references/0002", "probe", "centroids"] {
        let path = plan.join(name);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[50] ^= 1;
        for (bytes, what) in [(&changed[..], "changed"), (&whole[1..], "bytes, expected"), (&[], "0 bytes")] {
            fs::write(&path, bytes).unwrap();
            let mut ended = vec![("merge", merge_all(&plan, &bank).map(|_| ()))];
            ended.push(("shard", shard(&plan, &ShardOptions { force: true, ..shard_options(2) }).map(|_| ())));
            for (which, ended) in ended {
                let needed = if which == "merge" { name != "probe" } else { name != "centroids" };
                match ended {
                    Err(PlanError::File { path: found, what: why }) => {
                        assert!(needed && found == path && why.contains(what), "{name}: {why}")
                    }
                    other => assert!(!needed && other.is_ok(), "{which} with {name}: {other:?}"),
                }
            }
        }
        fs::write(&path, whole).unwrap();
    }
    fs::rename(plan.join("references/0001"), plan.join("away")).unwrap();
    let error = shard(&plan, &ShardOptions { force: true, ..shard_options(1) }).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    fs::rename(plan.join("away"), plan.join("references/0001")).unwrap();

    let json = plan.join("plan.json");
    let text = fs::read_to_string(&json).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        fs::write(&json, text.replacen(from, to, 1)).unwrap();
        shard(&plan, &shard_options(0)).unwrap_err()
    };
    let generator = format!("mempack {}", env!("CARGO_PKG_VERSION"));
    let error = changed(&generator, "mempack 0.1.9");
    assert!(matches!(error, PlanError::Version { .. }) && error.to_string().contains("made by mempack 0.1.9"), "{error}");
    let pack = Pack::open(fs::read(plan.join("plan.mpk")).unwrap()).unwrap().id().to_string();
    assert!(matches!(changed(&pack, &pack.replace(|_| true, "0")), PlanError::File { .. }));
    assert!(matches!(changed("\"format\"", "\"form\""), PlanError::Manifest { .. }));
    // Shards that were built from it are those of another plan now.
    fs::write(&json, text.replacen("\"packs\": 3", "\"packs\": 2", 1)).unwrap();
    let error = merge_all(&plan, &bank).unwrap_err();
    let PlanError::Shards { bad, .. } = &error else { panic!("{error:?}") };
    assert!(bad.len() == SHARDS as usize && bad.iter().all(|bad| matches!(bad.defect, ShardDefect::OtherPlan { .. })), "{error}");
    fs::remove_file(&json).unwrap();
    let error = shard(&plan, &shard_options(0)).unwrap_err();
    assert!(matches!(error, PlanError::NoPlan { .. }), "{error}");
}

#[test]
fn a_machine_that_computes_otherwise_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plan = prepared(folder.path(), "x.plan", false);
    let json = plan.join("plan.json");
    let mut text: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let outputs = text["probe"]["outputs"].as_str().unwrap().to_owned();
    let other = if outputs.starts_with('0') { "1" } else { "0" };
    text["probe"]["outputs"] = json!(format!("{other}{}", &outputs[1..]));
    text["probe"]["machine"]["processor"] = json!("Abacus 3000");
    fs::write(&json, text.to_string()).unwrap();
    let error = shard(&plan, &shard_options(0)).unwrap_err();
    assert!(matches!(error, PlanError::Probe { .. }), "{error:?}");
    let (model, embedder) = loaded();
    for words in ["Abacus 3000", &model.decoder().machine().to_string(), "make the plan again"] {
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
    assert_eq!(names(&plan.join("shards")), [""; 0]);

    text["probe"]["outputs"] = json!(outputs);
    text["probe"]["machine"]["device"] = json!("cuda");
    fs::write(&json, text.to_string()).unwrap();
    let error = shard(&plan, &shard_options(0)).unwrap_err();
    assert!(
        matches!(&error, PlanError::Device { expected, found, .. } if (expected.as_str(), found.as_str()) == ("cuda", "cpu")),
        "{error:?}"
    );

    text["probe"]["machine"]["device"] = json!("cpu");
    fs::write(&json, text.to_string()).unwrap();
    let error = shard(&plan, &shard_options(SHARDS)).unwrap_err();
    assert!(error.to_string().contains("no shard 5") && error.to_string().contains("numbered from 0"), "{error}");
    let load = mempack_model::LoadOptions { precision: mempack_model::Precision::Bf16, ..Default::default() };
    let other = mempack_model::Model::load(&common::root("tests/fixtures/tiny"), &load).unwrap();
    let ended = build_shard(&other, &embedder, &open(&plan).unwrap(), &shard_options(0), &SilentBuild, &AtomicBool::new(false));
    let error = ended.unwrap_err();
    assert!(matches!(error, PlanError::Identity { .. }) && error.to_string().contains("precision (f32, not bf16)"), "{error}");
}

#[test]
fn what_is_there_stays_until_the_new_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let plan = prepared(folder.path(), "x.plan", true);
    let mut again = options(write_inputs(folder.path()), plan.clone());
    let error = make_watched(&again, &SilentBuild, &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(error, PlanError::Exists { .. }), "{error}");
    again.build.output = folder.path().join("book.md");
    assert!(matches!(make_watched(&again, &SilentBuild, &AtomicBool::new(false)), Err(PlanError::Occupied { .. })));
    // The same plan keeps its shards.
    (again.build.output, again.force) = (plan.clone(), true);
    assert!(make(&again).unchanged);
    assert_eq!(names(&plan.join("shards")).len(), SHARDS as usize);

    let bank = MergeOptions::new(folder.path().join("bank"));
    let first = merge_all(&plan, &bank).unwrap();
    let before = files(&bank.output);
    assert_eq!(merge_all(&plan, &bank).unwrap().id, first.id);
    assert_eq!(files(&bank.output), before);

    // Another plan in the same place, and a merge that is stopped at any moment.
    fs::write(folder.path().join("book.md"), "# Fish\n\nAnother book.").unwrap();
    (again.shards, again.packs) = (2, SearchPacks::Holding(30));
    assert!(!make(&again).unchanged);
    assert_eq!(names(&plan.join("shards")), [""; 0]);
    assert_eq!(names(folder.path()), ["bank", "book.md", "corpus.jsonl", "x.plan"]);
    (0..2).for_each(|number| drop(shard(&plan, &shard_options(number)).unwrap()));
    for stage in [Stage::Regrouping, Stage::Packing, Stage::Sealing] {
        let cancel = AtomicBool::new(false);
        merge(&open(&plan).unwrap(), &bank, &CancelAt::new(stage, 0, &cancel), &cancel).unwrap_err();
        assert_eq!(files(&bank.output), before, "{stage}");
    }
    let second = merge_all(&plan, &bank).unwrap();
    assert_ne!(second.id, first.id);
    let mut expected: Vec<String> = second.packs.iter().map(|pack| pack.file.clone()).chain(["bank.mps".to_owned()]).collect();
    expected.sort();
    assert_eq!(names(&bank.output), expected);

    for (name, is_name) in [("", false), ("../bank", false), (".bank", false), ("bänk", false), ("bank-2.b", true)] {
        let ended = merge_all(&plan, &MergeOptions { name: name.into(), ..MergeOptions::new(folder.path().join("named")) });
        assert_eq!(ended.is_ok(), is_name, "{name}: {ended:?}");
    }
    // In the plan's own place whatever is there is replaced, elsewhere a shard that was cut short.
    let elsewhere = folder.path().join("elsewhere");
    fs::write(plan.join("shards/0000.shard"), "words").unwrap();
    fs::write(&elsewhere, "MPSH").unwrap();
    for output in [None, Some(elsewhere)] {
        assert!(!shard(&plan, &ShardOptions { output, ..shard_options(0) }).unwrap().was_complete);
    }
    // A file that is no shard is not replaced by one, and one that is no set not by a set.
    let book = ShardOptions { output: Some(folder.path().join("book.md")), ..shard_options(0) };
    assert!(matches!(shard(&plan, &book), Err(PlanError::NotAShard { .. })));
    fs::write(folder.path().join("bank/x.mps"), "words").unwrap();
    let error = merge_all(&plan, &MergeOptions { name: "x".into(), ..bank.clone() }).unwrap_err();
    assert!(matches!(error, PlanError::Set { .. }) && error.to_string().contains("not a set"), "{error}");
}

#[test]
fn more_shards_and_packs_than_references_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), "Two words.").unwrap();
    let mut options = options(vec![Input::Path(folder.path().join("a.txt"))], folder.path().join("x.plan"));
    options.shards = 3;
    let report = make(&options);
    assert_eq!((report.references, report.shards, report.packs, report.centroids), (1, 3, 1, 1));
    let references: u64 = (0..3).map(|number| shard(&options.build.output, &shard_options(number)).unwrap().references).sum();
    assert_eq!(references, 1);
    let merged = merge_all(&options.build.output, &MergeOptions::new(folder.path().join("bank"))).unwrap();
    assert_eq!((merged.references, merged.packs.len()), (1, 1));
}
