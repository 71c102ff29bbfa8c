//! Whole builds, with the tiny model and the default embedder.

mod common;

use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{corpus, loaded, names, write_corpus};
use mempack_compiler::{BuildError, BuildOptions, BuildProgress, BuildReport, CorpusError, Input, SilentBuild, Stage, build};
use mempack_format::{CodecSpec, Memory, Pack};
use mempack_model::{Composer, DEFAULT_OVERLAP, EmbedAs, ReaderOptions, Slot, overlap, reference_tokens};

/// It begins as packs do, for only a pack is replaced.
const OLD: &[u8] = b"\x89MPK\r\n\x1a\nthe old pack";

fn options(input: PathBuf, output: PathBuf) -> BuildOptions {
    BuildOptions { inputs: vec![Input::Path(input)], output, codec: CodecSpec::F32, threads: 2, ..BuildOptions::default() }
}

fn run(options: &BuildOptions) -> Result<BuildReport, BuildError> {
    let (model, embedder) = loaded();
    build(&model, &embedder, options, &SilentBuild, &AtomicBool::new(false))
}

#[test]
fn a_pack_holds_what_the_corpus_says() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("x.mpk");
    let report = run(&options(write_corpus(folder.path()), target.clone())).unwrap();
    assert_eq!(names(folder.path()), ["corpus.jsonl", "x.mpk"]);
    let pack = Pack::open(fs::read(&target).unwrap()).unwrap();
    pack.verify(&mut |_| ControlFlow::Continue(())).unwrap();
    let counts = pack.manifest().counts;
    assert_eq!((report.id, report.bytes), (pack.id(), pack.bytes()));
    assert_eq!((report.references, report.origins, report.tokens), (counts.references.into(), counts.origins, counts.tokens));
    // All but the one without words.
    assert_eq!((report.documents, counts.documents), (65, 65));
    // One of the drug's, ten of the notes'.
    assert_eq!(report.duplicates, 11);

    let texts: HashMap<String, String> =
        corpus().iter().map(|row| (row["id"].as_str().unwrap().into(), row["text"].as_str().unwrap().into())).collect();
    let codec = pack.codec().unwrap();
    let (model, embedder) = loaded();
    let shape = &model.identity().shape;
    let mut covered: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
    for reference in 0..counts.references {
        let (info, text) = (pack.reference(reference).unwrap(), pack.text(reference).unwrap());
        for origin in pack.origins(reference).unwrap() {
            let document = pack.document(origin.document).unwrap();
            let span = (origin.start as usize, origin.end as usize);
            assert_eq!(texts[&document.id][span.0..span.1], text);
            covered.entry(document.id).or_default().push(span);
        }
        let first = pack.origins(reference).unwrap().next().unwrap();
        let document = pack.document(first.document).unwrap();
        let stop = if document.title.starts_with('保') { "。" } else { ". " };
        let lead = if document.title.is_empty() || text.starts_with(&document.title) { String::new() } else { document.title + stop };
        let whole = format!("{lead}{}", text.replace("\r\n", "\n"));
        let ids = reference_tokens(&model, &whole).unwrap();
        assert_eq!(ids.len(), usize::from(info.tokens));
        let expected = &model.write(&[&ids]).unwrap()[0];
        let mut memory = Memory::empty(shape.clone());
        codec.decode_memory(pack.record(reference).unwrap(), &mut memory).unwrap();
        assert_eq!(memory.positions, expected.positions, "{whole}");
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(near(&memory.keys, &expected.keys) && near(&memory.values, &expected.values), "{whole}");
        let embedding: Vec<f32> = pack.embedding(reference).unwrap().iter().map(|x| x.get()).collect();
        assert!(near(&embedding, &embedder.embed(EmbedAs::Passage, &[&whole]).unwrap()), "{whole}");
    }
    for (id, spans) in &mut covered {
        spans.sort_unstable();
        let mut from = 0;
        for (start, end) in spans {
            assert!(texts[id][from..*start].trim().is_empty(), "{id}");
            from = *end;
        }
        assert!(texts[id][from..].trim().is_empty(), "{id}");
    }
    assert_eq!(covered.len(), 65);
}

#[test]
fn sentences_stay_whole() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("x.mpk");
    run(&options(write_corpus(folder.path()), target.clone())).unwrap();
    let pack = Pack::open(fs::read(&target).unwrap()).unwrap();
    for reference in 0..pack.manifest().counts.references {
        let text = pack.text(reference).unwrap();
        // At three tokens a character a Chinese sentence may have to be cut, and then at a comma or between words.
        assert!(text.ends_with(['.', '。', '；', '，']), "{text}");
    }
}

#[test]
fn threads_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let input = write_corpus(folder.path());
    let mut packs = Vec::new();
    for (threads, codec, sample) in [
        (1, CodecSpec::F32, 10),
        (2, CodecSpec::F32, 10),
        (3, CodecSpec::F32, 10),
        (1, CodecSpec::rq(2, 4), 20),
        (2, CodecSpec::rq(2, 4), 20),
        // Weighed by gradients of the model.
        (1, "TCQ4x6".parse().unwrap(), 20),
        (3, "TCQ4x6".parse().unwrap(), 20),
    ] {
        let output = folder.path().join(format!("{threads}-{codec}.mpk"));
        run(&BuildOptions { threads, codec, sample, ..options(input.clone(), output.clone()) }).unwrap();
        packs.push(fs::read(output).unwrap());
    }
    assert!(packs[0] == packs[1] && packs[0] == packs[2] && packs[3] == packs[4] && packs[5] == packs[6]);
}

#[test]
fn every_codec_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let input = write_corpus(folder.path());
    for codec in ["BF16", "SQ8", "PQ4x4", "RQ4x4"] {
        let output = folder.path().join(format!("{codec}.mpk"));
        let codec = codec.parse().unwrap();
        run(&BuildOptions { codec, ..options(input.clone(), output.clone()) }).unwrap();
        let pack = Pack::open(fs::read(output).unwrap()).unwrap();
        pack.verify(&mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(pack.codec_spec(), codec);
    }
}

#[test]
fn files_of_all_kinds_make_a_corpus() {
    let folder = tempfile::tempdir().unwrap();
    let docs = folder.path().join("docs");
    fs::create_dir_all(docs.join("sub")).unwrap();
    fs::write(docs.join("a.md"), "# The title\n\nSome words of the text.").unwrap();
    fs::write(docs.join("sub/b.txt"), b"\xEF\xBB\xBFPlain words.\r\n").unwrap();
    fs::write(docs.join("image.png"), [0x89, 0x50]).unwrap();
    let target = folder.path().join("x.mpk");
    run(&options(docs, target.clone())).unwrap();
    let pack = Pack::open(fs::read(&target).unwrap()).unwrap();
    let document = |i| pack.document(i).map(|document| (document.id, document.title)).unwrap();
    assert_eq!(document(0), ("a.md".into(), "The title".into()));
    assert_eq!(document(1), ("sub/b.txt".into(), "b".into()));
    // A span counts the file's bytes, so the mark at its beginning too.
    let origin = pack.origins(1).unwrap().next().unwrap();
    assert_eq!((origin.document, origin.start, origin.end, pack.text(1).unwrap().as_str()), (1, 3, 15, "Plain words."));
}

#[test]
fn a_bad_corpus_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("x.mpk");
    run(&options(write_corpus(folder.path()), target.clone())).unwrap();
    let old = fs::read(&target).unwrap();
    let before = names(folder.path());
    let bad = tempfile::tempdir().unwrap();
    type Case<'a> = (&'a str, &'a [u8], fn(&CorpusError) -> bool);
    let cases: [Case; 5] = [
        ("a.jsonl", b"{\"text\": \"fine\"}\n{\"title\": \"no text\"}\n", |error| matches!(error, CorpusError::NoText { line: 2, .. })),
        ("b.jsonl", b"{\"text\": 1}\n", |error| matches!(error, CorpusError::FieldType { field: "text", .. })),
        ("c.txt", b"\xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F \xFF", |error| matches!(error, CorpusError::NotUtf8 { offset: 9, .. })),
        ("d.txt", b" \n\t ...", |error| matches!(error, CorpusError::Empty { .. })),
        ("e.doc", b"words", |error| matches!(error, CorpusError::UnknownKind { .. })),
    ];
    for (name, bytes, expected) in cases {
        let path = bad.path().join(name);
        fs::write(&path, bytes).unwrap();
        match run(&options(path, target.clone())) {
            Err(BuildError::Corpus(error)) => {
                assert!(expected(&error) && error.to_string().contains(name), "{name}: {error}");
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(names(folder.path()), before);
        assert!(fs::read(&target).unwrap() == old);
    }
    let missing = run(&options(bad.path().join("none.txt"), target.clone()));
    assert!(matches!(missing, Err(BuildError::Corpus(CorpusError::Missing { .. }))));
    let nowhere = run(&options(write_corpus(bad.path()), folder.path().join("no/folder/x.mpk")));
    assert!(matches!(nowhere, Err(BuildError::Write(_))), "{nowhere:?}");
    let option = run(&BuildOptions { threads: 0, ..options(write_corpus(bad.path()), target.clone()) });
    assert!(matches!(option, Err(BuildError::Option { option: "threads", .. })));
    assert_eq!(names(folder.path()), before);
}

/// The natural logarithm of each entry of a softmax.
fn logarithms(row: &[f32]) -> Vec<f64> {
    let total: f64 = row.iter().map(|score| f64::from(*score).exp()).sum();
    row.iter().map(|score| f64::from(*score) - total.ln()).collect()
}

#[test]
fn what_a_pack_says_that_its_codec_loses_is_what_a_slow_way_finds() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("x.mpk");
    let options = BuildOptions { codec: CodecSpec::rq(2, 4), ..options(write_corpus(folder.path()), target.clone()) };
    let report = run(&options).unwrap();
    let pack = Pack::open(fs::read(&target).unwrap()).unwrap();
    let quality = pack.quality().unwrap();
    assert_eq!(report.quality.as_ref(), Some(quality));
    let (model, _) = loaded();
    let shape = &model.identity().shape;
    let count = pack.manifest().counts.references;

    // One in eight, those with the largest keys.
    let mut by_key: Vec<u32> = (0..count).collect();
    by_key.sort_unstable_by_key(|reference| pack.reference(*reference).unwrap().key);
    let held = &by_key[(count - count / 8) as usize..];
    assert_eq!(quality.memories as usize, held.len());
    let composer = Composer::new(&model).unwrap();
    let ids: Vec<Vec<u32>> = held
        .iter()
        .map(|reference| {
            let first = pack.origins(*reference).unwrap().next().unwrap();
            let lead = composer.lead(&pack.document(first.document).unwrap().title).unwrap();
            composer.compose(&lead, &pack.text(*reference).unwrap()).unwrap().ids
        })
        .collect();
    let exact: Vec<Memory> = ids.iter().map(|ids| model.write(&[ids]).unwrap().remove(0)).collect();
    let decode = |reference: &u32| {
        let mut memory = Memory::empty(shape.clone());
        pack.codec().unwrap().decode_memory(pack.record(*reference).unwrap(), &mut memory).unwrap();
        memory
    };
    let lossy: Vec<Memory> = held.iter().map(decode).collect();

    let (tokens, dim) = (shape.tokens as usize, shape.head_dim as usize);
    for (layer, stated) in quality.layers.iter().enumerate() {
        for (stated, vectors) in [(stated.keys, (|m| &m.keys) as fn(&Memory) -> &Vec<f32>), (stated.values, |m| &m.values)] {
            let (mut lost, mut variance) = (0.0, 0.0);
            for head in 0..shape.heads as usize {
                let first = (layer * shape.heads as usize + head) * tokens;
                let all = |memories: &[Memory]| -> Vec<Vec<f64>> {
                    let slots = memories.iter().flat_map(|memory| (first..first + tokens).map(move |slot| (memory, slot)));
                    let filled = slots.filter(|(memory, slot)| memory.positions[*slot] != 255);
                    filled.map(|(memory, slot)| vectors(memory)[slot * dim..][..dim].iter().map(|x| f64::from(*x)).collect()).collect()
                };
                let (ours, theirs) = (all(&exact), all(&lossy));
                let mean: Vec<f64> = (0..dim).map(|at| ours.iter().map(|vector| vector[at]).sum::<f64>() / ours.len() as f64).collect();
                let apart = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum() };
                lost += ours.iter().zip(&theirs).map(|(a, b)| apart(a, b)).sum::<f64>();
                variance += ours.iter().map(|vector| apart(vector, &mean)).sum::<f64>();
            }
            assert!(stated > 0.0 && (stated - lost / variance).abs() < 1e-3 * stated, "layer {layer}: {stated} {}", lost / variance);
        }
    }

    let (mut nats, mut predicted) = (0.0, 0);
    for (at, text) in ids.iter().enumerate() {
        let embedding = |at: usize| -> Vec<f32> { pack.embedding(held[at]).unwrap().iter().map(|x| x.get()).collect() };
        let ours = embedding(at);
        let mut near: Vec<(f32, usize)> = (0..held.len())
            .filter(|other| *other != at && overlap(text, &ids[*other]) <= DEFAULT_OVERLAP)
            .map(|other| (embedding(other).iter().zip(&ours).map(|(a, b)| a * b).sum(), other))
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        near.truncate(5);
        if near.is_empty() {
            continue;
        }
        let scores = |memories: &[Memory]| {
            let slots: Vec<Slot<'_>> =
                near.iter().map(|(similarity, at)| Slot { memory: &memories[*at], similarity: *similarity }).collect();
            let mut reader = model.reader(&ReaderOptions { capacity: 1 + text.len(), prefix: true }).unwrap();
            reader.prompt(text, &[slots], true).unwrap()
        };
        let vocabulary = model.config().vocabulary as usize;
        for (p, q) in scores(&exact).chunks(vocabulary).zip(scores(&lossy).chunks(vocabulary)).take(text.len()) {
            nats += logarithms(p).iter().zip(logarithms(q)).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
            predicted += 1;
        }
    }
    let divergence = quality.divergence.unwrap();
    assert_eq!(divergence.tokens, predicted);
    let found = nats / predicted as f64;
    assert!(found > 0.0 && (found - divergence.nats).abs() < 1e-2 * found, "{found} {divergence:?}");
}

/// Cancels when a stage begins.
struct CancelAt<'a>(Stage, &'a AtomicBool);

impl BuildProgress for CancelAt<'_> {
    fn stage(&self, stage: Stage, _: Option<u64>) {
        if stage == self.0 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
    fn advance(&self, _: u64, _: u64) {}
    fn note(&self, _: &str) {}
}

#[test]
fn a_cancelled_build_keeps_what_is_done_and_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let input = write_corpus(folder.path());
    let target = folder.path().join("x.mpk");
    let options = BuildOptions { codec: CodecSpec::SQ8, ..options(input.clone(), folder.path().join("undisturbed.mpk")) };
    let undisturbed = run(&options).unwrap();
    let options = BuildOptions { output: target.clone(), ..options };
    let (model, embedder) = loaded();
    use Stage::{Deduplicating, Graph, Measuring, Reading, Sampling, Sealing, Training, Writing};
    for stage in [Reading, Deduplicating, Sampling, Training, Measuring, Writing, Graph, Sealing] {
        fs::write(&target, OLD).unwrap();
        let cancel = AtomicBool::new(false);
        let error = build(&model, &embedder, &options, &CancelAt(stage, &cancel), &cancel).unwrap_err();
        assert!(matches!(error.reason(), BuildError::Interrupted), "{stage}: {error:?}");
        assert_eq!(fs::read(&target).unwrap(), OLD);
        let kept = match &error {
            BuildError::Stopped { resume: kept, .. } => Some(kept),
            _ => None,
        };
        let expected: &[&str] = match stage {
            Reading | Deduplicating | Sampling => &[],
            Training => &["sample"],
            Measuring => &["codec", "sample"],
            Writing => &["codec", "records", "sample"],
            _ => &["codec", "records", "sample"],
        };
        assert_eq!(kept.is_some(), !expected.is_empty(), "{stage}: {error}");
        if let Some(kept) = kept {
            assert_eq!(names(&kept.folder), expected, "{stage}");
            let done = kept.done.unwrap();
            assert!(done.total == Some(undisturbed.references.min(options.sample as u64)), "{stage}: {done:?}");
            assert_eq!(done.done, if stage == Writing { 0 } else { done.total.unwrap() }, "{stage}");
            assert!(error.to_string().contains("run the same build again"), "{error}");
        } else {
            assert_eq!(names(folder.path()), ["corpus.jsonl", "undisturbed.mpk", "x.mpk"]);
        }
        let report = run(&options).unwrap();
        assert_eq!(report.id, undisturbed.id, "{stage}");
        assert_eq!(report.encoded + report.resumed, report.references);
        assert_eq!(report.resumed, if matches!(stage, Graph | Sealing) { report.references } else { 0 }, "{stage}");
        assert_eq!(names(folder.path()), ["corpus.jsonl", "undisturbed.mpk", "x.mpk"]);
    }
}

#[test]
fn a_cancelled_choice_of_a_codec_comes_to_the_same_one() {
    let folder = tempfile::tempdir().unwrap();
    let input = write_corpus(folder.path());
    let options = options(input.clone(), folder.path().join("undisturbed.mpk"));
    let (model, embedder) = loaded();
    // Six bytes for a vector: residual, clustered, trellis and product codes are tried.
    let max = model.identity().shape.slots() as u64 * (1 + 2 * 6);
    let options = BuildOptions { max_record_bytes: Some(max), sample: 20, ..options };
    let undisturbed = run(&options).unwrap();
    let options = BuildOptions { output: folder.path().join("x.mpk"), ..options };
    for stage in [Stage::Sensitivity, Stage::Training, Stage::Measuring, Stage::Writing] {
        let cancel = AtomicBool::new(false);
        let error = build(&model, &embedder, &options, &CancelAt(stage, &cancel), &cancel).unwrap_err();
        assert!(matches!(error.reason(), BuildError::Interrupted), "{stage}: {error:?}");
        let BuildError::Stopped { resume: kept, .. } = &error else { panic!("{stage}: nothing was kept: {error}") };
        assert!(names(&kept.folder).contains(&"sample".to_owned()), "{stage}");
        let report = run(&options).unwrap();
        assert_eq!((report.id, report.codec), (undisturbed.id, undisturbed.codec), "{stage}");
    }
}
