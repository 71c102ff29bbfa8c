use std::path::Path;

use mempack_model::training::Sequence;
use mempack_model::{Embedder, LoadOptions};

use super::*;
use crate::stages::StageSize;
use crate::{Keep, KeepSchedule, NoProgress};

const REFERENCES: u32 = 6;

/// Questions about six drugs, two about each; every sequence reads two references.
fn config(withheld: f64, clusters: usize) -> QuestionsConfig {
    QuestionsConfig {
        sources: Vec::new(),
        pool: 4,
        reads: vec![2],
        questions: 2,
        length: 80,
        no_answer: "Nothing tells.".into(),
        withheld,
        clusters,
        repeats: None,
        write: WriteConfig { keep: KeepSchedule(vec![(0, Keep::Tokens(8))]), selection_gradient: false, noise: [0.0; 2] },
    }
}

fn loaded() -> (Model, Embedder) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root.join("models/all-MiniLM-L6-v2"), PathBuf::from);
    let model = Model::load(&root.join("tests/fixtures/tiny"), &LoadOptions::default()).unwrap();
    (model, Embedder::load(&folder, &LoadOptions::default()).unwrap())
}

/// Drugs from number `first` on in a folder of their own, as a source of this weight.
fn drugs(folder: &Path, first: u32, weight: f64) -> QuestionSource {
    let (mut corpus, mut asked) = (String::new(), String::new());
    for n in first..first + REFERENCES {
        let dose = 10 * n + 15;
        corpus += &format!("{{\"id\": \"d{n}\", \"text\": \"Drug number {n} is given at {dose} mg.\"}}\n");
        for (kind, question) in [("q", "What is the dose of drug number"), ("p", "How much is given of drug number")] {
            asked += &format!(
                "{{\"id\": \"{kind}{n}\", \"question\": \"{question} {n}?\", \"answers\": [\"{dose} mg\"], \"gold_ids\": [\"d{n}\"]}}\n"
            );
        }
    }
    let path = |name: &str| folder.join(format!("{first}-{name}"));
    std::fs::write(path("corpus.jsonl"), corpus).unwrap();
    std::fs::write(path("questions.jsonl"), asked).unwrap();
    QuestionSource { corpora: vec![path("corpus.jsonl")], questions: vec![path("questions.jsonl")], weight }
}

fn read(config: &QuestionsConfig, model: &Model, embedder: &Embedder, weights: &[f64], size: StageSize) -> Result<Sources, TrainError> {
    let folder = tempfile::tempdir().unwrap();
    let sources = weights.iter().zip(0..).map(|(weight, place)| drugs(folder.path(), place * REFERENCES, *weight)).collect();
    let config = QuestionsConfig { sources, ..config.clone() };
    let embedder = Some(embedder);
    let context = StageContext { model, embedder, stage: 0, seed: 7, size, cache: folder.path(), progress: &NoProgress };
    Sources::read(&context, &config, true)
}

fn questions(model: &Model, embedder: &Embedder, withheld: f64, clusters: usize) -> Sources {
    read(&config(withheld, clusters), model, embedder, &[1.0], StageSize::SMALL).unwrap()
}

/// For 40 sequences: whether each reads the reference that it asks about, and whether it gives the answer of withheld ones.
fn read_and_unanswered(questions: &mut Sources, model: &Model) -> Vec<(bool, bool)> {
    let batch = questions.batch(model, Part { number: 0, sequences: 40 }).unwrap();
    let text = |ids: &[u32]| model.tokenizer().decode(ids).unwrap();
    let of = |sequence: &Sequence| {
        let all = text(&sequence.tokens);
        let number = all.split("drug number ").nth(1).unwrap().chars().next().unwrap();
        let gold = format!("Drug number {number} ");
        let read = sequence.chunks[0].iter().any(|(place, _)| text(&batch.references[*place]).contains(&gold));
        (read, all.contains("Nothing tells."))
    };
    batch.sequences.iter().map(of).collect()
}

#[test]
fn a_withheld_reference_is_not_read_and_the_answer_says_so() {
    let (model, embedder) = loaded();
    for clusters in [0, 3] {
        for (share, min, max) in [(0.0, 0, 0), (0.3, 4, 22), (0.99, 37, 40)] {
            let seen = read_and_unanswered(&mut questions(&model, &embedder, share, clusters), &model);
            assert_eq!(seen.len(), 40);
            // The reference is read if and only if there is an answer.
            assert!(seen.iter().all(|(read, unanswered)| read != unanswered), "{share}: {seen:?}");
            let unanswered = seen.iter().filter(|(_, unanswered)| *unanswered).count();
            assert!((min..=max).contains(&unanswered), "{share}: {unanswered} of 40");
        }
    }
}

/// Documents that say the same in other words.
#[test]
fn what_contains_the_answer_is_withheld_with_its_reference() {
    let (model, embedder) = loaded();
    let folder = tempfile::tempdir().unwrap();
    let mut source = drugs(folder.path(), 0, 1.0);
    let copies: String = (0..REFERENCES)
        .map(|n| format!("{{\"id\": \"c{n}\", \"text\": \"A day's dose of drug number {n}: {} mg.\"}}\n", 10 * n + 15))
        .collect();
    source.corpora.push(folder.path().join("copies.jsonl"));
    std::fs::write(source.corpora.last().unwrap(), copies).unwrap();
    for clusters in [0, 3] {
        let config = QuestionsConfig { sources: vec![source.clone()], pool: 12, reads: vec![5], ..config(0.99, clusters) };
        let context = StageContext {
            model: &model,
            embedder: Some(&embedder),
            stage: 0,
            seed: 7,
            size: StageSize::SMALL,
            cache: folder.path(),
            progress: &NoProgress,
        };
        let batch = Sources::read(&context, &config, false).unwrap().batch(&model, Part { number: 0, sequences: 40 }).unwrap();
        let text = |ids: &[u32]| model.tokenizer().decode(ids).unwrap();
        let mut withheld = 0;
        for sequence in &batch.sequences {
            let all = text(&sequence.tokens);
            let number: u32 = all.split("drug number ").nth(1).unwrap().chars().next().and_then(|c| c.to_digit(10)).unwrap();
            let answer = format!("{} mg", 10 * number + 15);
            let tells = sequence.chunks[0].iter().any(|(place, _)| text(&batch.references[*place]).contains(&answer));
            assert_eq!(tells, !all.contains("Nothing tells."), "clusters = {clusters}: {all}");
            withheld += usize::from(!tells);
        }
        assert!(withheld > 30, "clusters = {clusters}: {withheld} of 40");
    }
}

/// The texts of the questions in a batch.
fn asked(batch: &TrainingBatch, model: &Model) -> Vec<String> {
    let of_sequence = |sequence: &Sequence| {
        let text = model.tokenizer().decode(&sequence.tokens).unwrap();
        text.split("Question: ").skip(1).map(|turn| turn.split('?').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    batch.sequences.iter().flat_map(of_sequence).collect()
}

#[test]
fn clusters_ask_every_question_once_a_round_and_share_what_they_write() {
    let (model, embedder) = loaded();
    let mut clusters = questions(&model, &embedder, 0.0, 5);
    let parts: Vec<_> = (0..6).map(|number| clusters.batch(&model, Part { number, sequences: 2 }).unwrap()).collect();
    let all: Vec<String> = parts.iter().flat_map(|batch| asked(batch, &model)).collect();
    // A sequence asks both questions about its drug, so that a round has six sequences: three parts.
    for round in all.chunks(12) {
        let distinct: std::collections::BTreeSet<_> = round.iter().collect();
        assert_eq!(distinct.len(), 12, "{round:?}");
    }
    assert_eq!(all.len(), 24);
    assert_ne!(all[..12], all[12..]);
    let (written, read) = parts.iter().fold((0, 0), |(written, read), batch| {
        (written + batch.references.len(), read + batch.sequences.iter().flat_map(|s| &s.chunks).map(Vec::len).sum::<usize>())
    });
    assert!(written < read, "{written} {read}");
    // A resumed run asks the same.
    let mut other = questions(&model, &embedder, 0.0, 5);
    for number in [5, 1, 3] {
        assert_eq!(other.batch(&model, Part { number, sequences: 2 }).unwrap(), parts[number as usize]);
    }
}

#[test]
fn the_reference_that_answers_is_read_among_those_retrieved() {
    let (model, embedder) = loaded();
    let mut clusters = questions(&model, &embedder, 0.0, 5);
    let batch = clusters.batch(&model, Part { number: 0, sequences: 40 }).unwrap();
    assert!(batch.references.len() <= REFERENCES as usize);
    for (sequence, prompt) in batch.sequences.iter().zip(&batch.prompts) {
        assert_eq!((sequence.chunks.len(), sequence.chunks[0].len()), (1, 2));
        let answer = model.tokenizer().decode(&sequence.tokens).unwrap();
        let number = answer.split("drug number ").nth(1).unwrap().split('?').next().unwrap();
        let texts = sequence.chunks[0].iter().map(|(place, _)| model.tokenizer().decode(&batch.references[*place]).unwrap());
        assert!(texts.into_iter().any(|text| text.contains(&format!("Drug number {number} "))), "{answer}");
        // The fixture has no template that holds a text.
        assert!(prompt.is_none());
    }
}

#[test]
fn a_source_is_drawn_no_more_when_its_questions_are_used_up() {
    let (model, embedder) = loaded();
    let bounded = QuestionsConfig { repeats: Some(2), ..config(0.0, 5) };
    let load = |parts| read(&bounded, &model, &embedder, &[1000.0, 1.0], StageSize { parts, sequences: 2, threads: 1 });
    // Two rounds of six sequences each, for each of two sources.
    let mut sources = load(12).unwrap();
    let parts: Vec<_> = (0..12).map(|number| sources.batch(&model, Part { number, sequences: 2 }).unwrap()).collect();
    let drawn = parts.iter().map(|batch| batch.source).collect::<Vec<_>>();
    assert_eq!(drawn, [[0; 6], [1; 6]].concat());
    let mut times = std::collections::BTreeMap::new();
    for question in parts.iter().flat_map(|batch| asked(batch, &model)) {
        *times.entry(question).or_insert(0) += 1;
    }
    assert_eq!((times.len(), times.values().max()), (24, Some(&2)));
    // A bound that the stage does not reach costs nothing.
    let unreached = QuestionsConfig { repeats: Some(u64::MAX), ..config(0.0, 5) };
    assert!(read(&unreached, &model, &embedder, &[1.0], StageSize { parts: 40, sequences: 2, threads: 1 }).is_ok());
    let error = load(13).err().unwrap().to_string();
    assert!(error.contains("stage 0: questions for 12 of 13 parts of steps, with `repeats` = 2, in its sources; lower `steps`"), "{error}");
}
