//! Compares measurements with slow computations of the same numbers, with the small model. Needs the embedder that `make` downloads.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mempack_evaluation::{
    Asked, ChoiceOptions, ChoiceQuestion, EvaluateError, Mode, Models, Outcome, PerplexityOptions, Question, QuestionOptions,
    QuestionReport, Sweep, answer_questions, choose_answers, measure_perplexity,
};
use mempack_model::{EmbedAs, Embedder, Memory, Model, ReaderOptions, Slot, context_tokens, prompt_tokens, reference_tokens};
use mempack_runtime::{AnswerOptions, MappedPack, MemoryCache, Mounts, Ranking, ReadFrom, Session, SessionOptions, Strategy};

#[path = "../../runtime/tests/engine/mod.rs"]
mod engine;
use engine::{Written, embedder, sheets, tiny, tiny_with, write_pack};

/// Runs one test with a model at a time, because concurrent tests would compete for the cores.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Bench {
    model: Model,
    embedder: Embedder,
    written: Written,
}

impl Bench {
    fn new() -> Self {
        let (model, embedder) = (tiny(), embedder());
        let written = write_pack(&model, &embedder);
        Self { model, embedder, written }
    }

    fn models(&self) -> Models<'_> {
        Models {
            model: &self.model,
            base: None,
            embedder: &self.embedder,
            ranking: Ranking::Dense,
            strategy: Strategy::TOP_K,
            reranking: None,
        }
    }

    fn pack(&self) -> Arc<MappedPack> {
        self.written.open()
    }

    fn mounts(&self) -> Arc<Mounts> {
        Arc::new(Mounts::of(self.pack()))
    }

    fn ask(&self, questions: &[Question], options: &QuestionOptions) -> (QuestionReport, Vec<Asked>) {
        let mut all = Vec::new();
        let report = answer_questions(&self.models(), &self.mounts(), questions, options, &mut |asked| {
            all.push(asked.clone());
            ControlFlow::Continue(())
        });
        (report.unwrap(), all)
    }
}

fn question(id: &str, text: &str, answers: &[&str], gold: &[&str]) -> Question {
    let owned = |all: &[&str]| all.iter().map(|s| (*s).to_owned()).collect();
    Question { id: id.into(), question: text.into(), answers: owned(answers), gold_ids: owned(gold), answerable: true }
}

const KELTAMIN: &str = "What is the usual dose of Keltamin against gout?";

fn questions() -> Vec<Question> {
    vec![
        question("dose", KELTAMIN, &["32 mg"], &["keltamin-gout"]),
        question("use", "What is Vendril asthma form used against?", &["asthma"], &["vendril-asthma"]),
        question("passage", "Which medicine helps against a cough?", &[], &["orvexa-cough"]),
        Question { answerable: false, ..question("none", "Who was the first on the moon?", &[], &[]) },
    ]
}

fn outcome(asked: &Asked, mode: Mode) -> &Outcome {
    asked.outcomes.iter().find(|outcome| outcome.setting.mode == mode).unwrap()
}

#[test]
fn modes_answer_as_sessions_and_readers_do() {
    let _alone = alone();
    let bench = Bench::new();
    let modes = vec![
        Mode::ClosedBook,
        Mode::Memory,
        Mode::MemoryQuantized,
        Mode::InContext,
        Mode::MemoryGold,
        Mode::MemoryQuantizedGold,
        Mode::InContextGold,
    ];
    let (report, all) = bench.ask(&questions(), &QuestionOptions { modes, max_tokens: 12, ..Default::default() });
    assert_eq!(all.iter().map(|asked| asked.outcomes.len()).collect::<Vec<_>>(), [7, 7, 0, 4], "no gold reference, no gold modes");

    for asked in all.iter().filter(|asked| !asked.outcomes.is_empty()) {
        let session = |memories| {
            let read_from = if memories { ReadFrom::PackMemories } else { ReadFrom::Weights { prefix: true } };
            let answers = AnswerOptions { read_from, max_tokens: 12, ..Default::default() };
            let options = SessionOptions { answers, ..Default::default() };
            let session = Session::new(&bench.model, &bench.embedder, bench.pack(), options).unwrap();
            session.ask(&asked.question, &mut |_| ControlFlow::Continue(())).unwrap()
        };
        let with = session(true);
        assert_eq!(with.chunks.len(), 1, "one chunk: the question's references are its memories");
        assert_eq!(outcome(asked, Mode::MemoryQuantized).answer, with.text.trim());
        assert_eq!(outcome(asked, Mode::Memory).answer, with.text.trim(), "codec F32 changes nothing");
        assert_eq!(outcome(asked, Mode::ClosedBook).answer, session(false).text.trim());
        let read: Vec<u32> = with.chunks[0].reads.iter().map(|read| read.hit.reference.number).collect();
        assert_eq!(asked.retrieved.iter().map(|r| r.reference).collect::<Vec<_>>(), read);
        // The five texts precede the question in the prompt, best first.
        let texts: Vec<String> = read.iter().map(|reference| bench.pack().text(*reference).unwrap()).collect();
        let context = outcome(asked, Mode::InContext);
        let prompt = in_context(&texts.join("\n\n"), &asked.question);
        assert_eq!((context.answer.clone(), context.prompt_tokens), (greedy(&bench.model, &prompt, 12), prompt.len()));
    }
    let (gold, dose) = (all[0].gold.as_ref().unwrap(), sheets().iter().position(|s| s.starts_with("Keltamin gout")).unwrap());
    assert_eq!((gold.reference as usize, gold.document.as_str()), (dose, "keltamin-gout"));
    let prompt = in_context(&sheets()[dose], KELTAMIN);
    assert_eq!(outcome(&all[0], Mode::InContextGold).answer, greedy(&bench.model, &prompt, 12));
    for asked in &all[..2] {
        assert_eq!(outcome(asked, Mode::MemoryGold).answer, outcome(asked, Mode::MemoryQuantizedGold).answer);
    }

    assert_eq!((report.questions, report.hit_n, report.left_out), (4, 3, 0));
    assert_eq!(report.modes[&Mode::Memory].n, 3);
    assert_eq!(report.modes[&Mode::MemoryGold].n, 2);
    assert_eq!(report.modes[&Mode::Memory].unanswerable.unwrap().n, 1);
    assert_eq!(report.hit_at[&5], Some(all.iter().filter(|asked| asked.gold_rank.is_some()).count() as f64 / 3.0));
    assert_eq!(report.modes[&Mode::Memory].exact_match, report.modes[&Mode::MemoryQuantized].exact_match);
    let difference = |left, right| report.differences.iter().find(|d| d.left == left && d.right == right && d.metric == "f1").unwrap();
    let zero = difference(Mode::MemoryQuantized, Mode::Memory).interval;
    assert_eq!((zero.mean, zero.low, zero.high, zero.n), (0.0, 0.0, 0.0, 3));
    let f1 = |mode: Mode| report.modes[&mode].f1.unwrap();
    let found = difference(Mode::Memory, Mode::ClosedBook).interval.mean;
    assert!((found - (f1(Mode::Memory) - f1(Mode::ClosedBook))).abs() < 1e-12);
}

/// Token ids of a prompt with a text. The small model has no `context_template`, so the text is put before the question.
fn in_context(text: &str, question: &str) -> Vec<u32> {
    let old = "\"prompt_template\": ";
    let template = "\"context_template\": \" Question: {text}\\n\\n{question} Answer:\", \"prompt_template\": ";
    context_tokens(&tiny_with(&[(old, template)]), text, question).unwrap().unwrap().ids
}

/// The greedy answer to a prompt, without the prefix.
fn greedy(model: &Model, prompt: &[u32], max: usize) -> String {
    let mut reader = model.reader(&ReaderOptions { capacity: prompt.len() + 1 + max, prefix: false }).unwrap();
    let mut scores = reader.prompt(prompt, &[], false).unwrap();
    let mut ids = Vec::new();
    loop {
        let best = (0..scores.len()).rev().max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap() as u32;
        if model.config().eos.contains(&best) {
            break;
        }
        ids.push(best);
        if ids.len() == max || model.tokenizer().decode(&ids).unwrap().contains('.') {
            break;
        }
        scores = reader.step(best).unwrap();
    }
    let text = model.tokenizer().decode(&ids).unwrap();
    let end = text.find('.').map_or(text.len(), |stop| stop + 1);
    text[..end].trim().to_owned()
}

#[test]
fn sweeps_measure_each_setting_once() {
    let _alone = alone();
    let bench = Bench::new();
    let options = QuestionOptions {
        modes: vec![Mode::ClosedBook, Mode::Memory, Mode::MemoryQuantized],
        sweeps: vec![Sweep::K, Sweep::Tokens],
        max_tokens: 6,
        ..Default::default()
    };
    let (report, all) = bench.ask(&questions()[..1], &options);
    let settings: Vec<_> = all[0].outcomes.iter().map(|o| (o.setting.mode, o.setting.k, o.setting.tokens.to_string())).collect();
    let eight = || "8".to_owned();
    let mut expected = vec![(Mode::ClosedBook, 5, eight())];
    expected.extend(
        [(1, 8), (3, 8), (5, 4), (5, 8), (5, 16), (5, 32), (5, 128), (7, 8)].map(|(k, tokens)| (Mode::Memory, k, tokens.to_string())),
    );
    expected.extend([1, 3, 5, 7].map(|k| (Mode::MemoryQuantized, k, eight())));
    assert_eq!(settings, expected);
    let steps = |points: &[mempack_evaluation::SweepPoint], mode| {
        points.iter().filter(|p| p.setting.mode == mode).map(|p| (p.setting.k, p.setting.tokens.to_string())).collect::<Vec<_>>()
    };
    for mode in [Mode::Memory, Mode::MemoryQuantized] {
        assert_eq!(steps(&report.sweep.k, mode), [1, 3, 5, 7].map(|k| (k, eight())));
    }
    assert_eq!(steps(&report.sweep.tokens, Mode::Memory), [4, 8, 16, 32, 128].map(|tokens| (5, tokens.to_string())));
    assert!(report.sweep.tokens.iter().all(|p| p.setting.mode == Mode::Memory));
    assert_eq!(all[0].retrieved.len(), 7);
    // The answers with seven memories and with all tokens are those of models configured for them.
    let wide = tiny_with(&[("\"memories_per_chunk\": 5", "\"memories_per_chunk\": 7")]);
    let answers = AnswerOptions { max_tokens: 6, ..Default::default() };
    let session = Session::new(&wide, &bench.embedder, bench.pack(), SessionOptions { answers, ..Default::default() }).unwrap();
    let answer = session.ask(KELTAMIN, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(all[0].outcomes.last().unwrap().answer, answer.text.trim());
    let whole = tiny_with(&[("\"tokens_per_head\": 8", "\"tokens_per_head\": 128")]);
    let ids: Vec<Vec<u32>> =
        all[0].retrieved[..5].iter().map(|r| reference_tokens(&whole, &sheets()[r.reference as usize]).unwrap()).collect();
    let memories: Vec<_> = ids.iter().map(|ids| whole.write(&[ids]).unwrap().remove(0)).collect();
    let slots: Vec<Slot<'_>> =
        memories.iter().zip(&all[0].retrieved).map(|(memory, r)| Slot { memory, similarity: r.similarity }).collect();
    let prompt = prompt_tokens(&whole, KELTAMIN).unwrap().ids;
    let mut reader = whole.reader(&ReaderOptions { capacity: prompt.len() + 1, prefix: true }).unwrap();
    let scores = reader.prompt(&prompt, &[slots], false).unwrap();
    let best = (0..scores.len()).rev().max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap() as u32;
    let first = whole.tokenizer().decode(&[best]).unwrap();
    assert!(
        all[0].outcomes.iter().any(|o| o.setting.tokens == mempack_evaluation::TokensKept::Each(128) && o.answer.starts_with(first.trim())),
        "{first:?}: {:?}",
        all[0]
    );
}

#[test]
fn a_reference_that_repeats_the_question_is_left_out() {
    let _alone = alone();
    let bench = Bench::new();
    let sheet = sheets()[10].clone();
    let repeated = [question("r", &sheet, &["x"], &[])];
    let ask = |overlap| {
        let options = QuestionOptions { modes: vec![Mode::ClosedBook], overlap, max_tokens: 1, ..Default::default() };
        let (report, all) = bench.ask(&repeated, &options);
        (report.left_out, all[0].retrieved.iter().map(|r| r.reference).collect::<Vec<_>>())
    };
    let (none, all) = ask(1.0);
    assert_eq!((none, all[0], all.len()), (0, 10, 5));
    let (some, rest) = ask(0.9);
    assert!(some >= 1 && !rest.contains(&10) && rest.len() == 5, "{some} {rest:?}");
    assert_eq!(ask(0.0), (sheets().len(), vec![]), "every sheet shares a word with the question");
}

#[test]
fn an_answer_that_stands_in_a_memory_is_integrated_if_the_weights_do_not_give_it() {
    let _alone = alone();
    let bench = Bench::new();
    // One at a time, an answer takes the whole time from its question to its end.
    let (report, all) = bench.ask(&questions(), &QuestionOptions { max_tokens: 12, sequences: 1, ..Default::default() });
    for asked in &all {
        for outcome in &asked.outcomes {
            let same = outcome.answer == asked.outcomes[0].answer;
            match outcome.setting.mode {
                Mode::ClosedBook => assert_eq!(outcome.integrated, None),
                _ => assert_eq!(outcome.integrated, Some(outcome.in_references && !same), "{outcome:?}"),
            }
            assert!(outcome.novel != Some(1.0) || !outcome.in_references);
            assert!(outcome.first_token_seconds.is_none_or(|first| first > 0.0 && first <= outcome.seconds));
        }
    }
    assert_eq!(report.modes[&Mode::ClosedBook].integration, None);
    assert!(report.modes[&Mode::Memory].integration.is_some());
}

#[test]
fn a_prompt_that_is_too_long_is_no_answer_and_ends_nothing() {
    let _alone = alone();
    let bench = Bench::new();
    let long = Question { answerable: false, ..question("long", &"dose ".repeat(3000), &[], &[]) };
    let options = QuestionOptions { modes: vec![Mode::ClosedBook], max_tokens: 2, ..Default::default() };
    let (report, all) = bench.ask(&[long, questions().remove(0)], &options);
    let outcome = &all[0].outcomes[0];
    assert!(outcome.too_long && outcome.answer.is_empty() && outcome.exact_match == 0.0, "{outcome:?}");
    assert_eq!((report.modes[&Mode::ClosedBook].too_long, report.modes[&Mode::ClosedBook].n), (1, 2));
    assert!(!all[1].outcomes[0].too_long);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let _alone = alone();
    let bench = Bench::new();
    let refused = |options: QuestionOptions| {
        let error = answer_questions(&bench.models(), &bench.mounts(), &questions(), &options, &mut |_| ControlFlow::Continue(()));
        error.map(|report| report.questions).unwrap_err().to_string()
    };
    for (options, word) in [
        (QuestionOptions { modes: vec![Mode::InContextBase], ..Default::default() }, "no adapter"),
        (QuestionOptions { modes: vec![], ..Default::default() }, "modes"),
        (QuestionOptions { k: Some(0), ..Default::default() }, "k is 0"),
        (QuestionOptions { overlap: 1.5, ..Default::default() }, "overlap"),
        (QuestionOptions { max_tokens: 0, ..Default::default() }, "max_tokens"),
    ] {
        let error = refused(options);
        assert!(error.contains(word), "{error}");
    }
    let other = tiny_with(&[("\"rope_theta\": 10000.0", "\"rope_theta\": 20000.0")]);
    let models = Models { model: &other, ..bench.models() };
    let error = answer_questions(&models, &bench.mounts(), &questions(), &QuestionOptions::default(), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(error, Err(EvaluateError::Mismatch(_))));
    let mut asked = 0;
    let options = QuestionOptions { modes: vec![Mode::ClosedBook], max_tokens: 1, ..Default::default() };
    let broken_off = answer_questions(&bench.models(), &bench.mounts(), &questions(), &options, &mut |_| {
        asked += 1;
        ControlFlow::Break(())
    });
    assert!(matches!(broken_off, Err(EvaluateError::Interrupted)) && asked == 1);
}

/// Natural logarithm of the softmax's entry, in f64.
fn log_softmax(scores: &[f32], id: u32) -> f64 {
    let total: f64 = scores.iter().map(|s| f64::from(*s).exp()).sum();
    f64::from(scores[id as usize]) - total.ln()
}

/// Memories with their similarities.
type Held = Vec<(Arc<Memory>, f32)>;

fn slots(held: &Held) -> Vec<Slot<'_>> {
    held.iter().map(|(memory, similarity)| Slot { memory, similarity: *similarity }).collect()
}

/// The negative log-likelihood of a text, computed token by token. Each chunk of 64 tokens reads what `memories` returns for its first
/// token; the BOS belongs to the first chunk.
fn step_by_step(model: &Model, text: &[u32], memories: impl Fn(usize) -> Held) -> f64 {
    let mut reader = model.reader(&ReaderOptions { capacity: text.len() + 1, prefix: true }).unwrap();
    let mut scores = reader.prompt(&[], &[slots(&memories(0))], false).unwrap();
    let mut nats = 0.0;
    for (place, id) in text.iter().enumerate() {
        nats -= log_softmax(&scores, *id);
        if place > 0 && place % 64 == 0 {
            reader.set_memories(&slots(&memories(place))).unwrap();
        }
        scores = reader.step(*id).unwrap();
    }
    nats
}

#[test]
fn perplexity_is_that_of_decoding_token_by_token() {
    let _alone = alone();
    let bench = Bench::new();
    let text: String = sheets().join(" ");
    let all = bench.model.tokenizer().encode_plain(&text).unwrap();
    assert!(all.len() > 600, "more than a window");
    let modes = vec![Mode::ClosedBook, Mode::Memory, Mode::MemoryQuantized];
    let options = PerplexityOptions { modes, overlap: 1.0, ..Default::default() };
    let mut windows = Vec::new();
    let measure = |options: &PerplexityOptions, windows: &mut Vec<_>| {
        measure_perplexity(&bench.models(), Some(&bench.mounts()), std::slice::from_ref(&text), options, &mut |window, _| {
            windows.push(window.clone());
            ControlFlow::Continue(())
        })
        .unwrap()
    };
    let report = measure(&options, &mut windows);
    assert_eq!((report.tokens, report.bytes, report.windows), (all.len(), text.len(), all.len().div_ceil(512)));

    let (pack, mounts) = (bench.pack(), bench.mounts());
    let cache = MemoryCache::default();
    let (mut closed, mut with) = (0.0, 0.0);
    for start in (0..all.len()).step_by(512) {
        let text = &all[start..all.len().min(start + 512)];
        closed += step_by_step(&bench.model, text, |_| Vec::new());
        with += step_by_step(&bench.model, text, |place| {
            let end = start + place;
            if end == 0 {
                return Vec::new();
            }
            let query = bench.model.tokenizer().decode(&all[end - 64..end]).unwrap();
            let hits = pack.search_exact(&bench.embedder.embed(EmbedAs::Query, &[query.trim()]).unwrap(), 5).unwrap();
            hits.iter().map(|hit| (cache.get(&pack, hit.reference).unwrap(), hit.similarity)).collect()
        });
    }
    let n = all.len() as f64;
    for (mode, nats) in [(Mode::ClosedBook, closed), (Mode::MemoryQuantized, with), (Mode::Memory, with)] {
        let found = report.modes[&mode];
        assert!((found.nats_per_token - nats / n).abs() < 1e-4, "{mode}: {found:?}, step by step {}", nats / n);
        assert!((found.perplexity.ln() - found.nats_per_token).abs() < 1e-9);
        assert!((found.bits_per_byte - found.nats_per_token * n / std::f64::consts::LN_2 / report.bytes as f64).abs() < 1e-9);
    }
    assert!((with - closed).abs() / n > 0.01, "memories change the result");
    assert!(windows[0].retrieved[0].is_empty() && windows[0].retrieved[1].len() == 5 && windows[1].retrieved[0].len() == 5);

    // If every reference is filtered out, all modes equal closed book. `limit` selects windows.
    let strict = measure(&PerplexityOptions { overlap: 0.0, limit: Some(1), ..options }, &mut windows);
    assert_eq!(strict.windows, 1);
    assert_eq!(strict.modes[&Mode::Memory], strict.modes[&Mode::ClosedBook]);
    for (mode, mounts) in [(Mode::Memory, None), (Mode::InContext, Some(&mounts)), (Mode::MemoryGold, Some(&mounts))] {
        let options = PerplexityOptions { modes: vec![mode], ..Default::default() };
        let error = measure_perplexity(&bench.models(), mounts, &[String::new()], &options, &mut |_, _| ControlFlow::Continue(()));
        assert!(matches!(error, Err(EvaluateError::Mode { .. })), "{mode}");
    }
}

#[test]
fn choices_have_the_likelihood_of_their_tokens() {
    let _alone = alone();
    let bench = Bench::new();
    let row = r#"{"id": "q", "question": "What is the usual dose of Keltamin against gout?", "choices": ["32 mg.", "a bucket"], "answer": "A",
                  "mc1": {"32 mg.": 1, "a bucket": 0}, "mc2": {"32 mg.": 1, "a bucket": 0}}"#;
    let questions: Vec<ChoiceQuestion> = vec![serde_json::from_str(row).unwrap()];
    let modes = vec![Mode::ClosedBook, Mode::Memory, Mode::MemoryQuantized, Mode::InContext];
    let mut chosen = Vec::new();
    let report = choose_answers(
        &bench.models(),
        Some(&bench.mounts()),
        &questions,
        &ChoiceOptions { modes: modes.clone(), ..Default::default() },
        &mut |_, all| {
            chosen.extend(all.to_vec());
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    let direct = |prefix: bool, prompt: &[u32], slots: &[Slot<'_>]| {
        ["32 mg.", "a bucket"].map(|choice| {
            // The small model's prompt ends in a colon, so a space precedes the answer.
            let ids = bench.model.tokenizer().encode_plain(&format!(" {choice}")).unwrap();
            let mut reader = bench.model.reader(&ReaderOptions { capacity: prompt.len() + ids.len() + 1, prefix }).unwrap();
            let mut scores = reader.prompt(prompt, &[slots.to_vec()], false).unwrap();
            ids.iter().fold(0.0, |sum, id| {
                let sum = sum + log_softmax(&scores, *id);
                scores = reader.step(*id).unwrap();
                sum
            })
        })
    };
    let pack = bench.pack();
    let hits = pack.search_exact(&bench.embedder.embed(EmbedAs::Query, &[KELTAMIN]).unwrap(), 5).unwrap();
    let memories: Vec<_> = hits.iter().map(|hit| MemoryCache::new(0).get(&pack, hit.reference).unwrap()).collect();
    let slots: Vec<Slot<'_>> = memories.iter().zip(&hits).map(|(memory, hit)| Slot { memory, similarity: hit.similarity }).collect();
    let texts: Vec<String> = hits.iter().map(|hit| pack.text(hit.reference).unwrap()).collect();
    let (prompt, context) = (prompt_tokens(&bench.model, KELTAMIN).unwrap().ids, in_context(&texts.join("\n\n"), KELTAMIN));
    let expected = [direct(true, &prompt, &[]), direct(true, &prompt, &slots), direct(true, &prompt, &slots), direct(false, &context, &[])];
    for ((mode, found), expected) in modes.iter().zip(&chosen).zip(&expected) {
        assert_eq!(found.mode, *mode);
        for (a, b) in found.log_likelihoods.iter().zip(expected) {
            assert!((a - b).abs() < 1e-3, "{mode}: {found:?}, step by step {expected:?}");
        }
        let scores = report.modes[mode];
        let right = f64::from(u8::from(expected[0] > expected[1]));
        assert_eq!((scores.mc1, scores.accuracy), (Some(right), Some(right)));
        assert!((scores.mc2.unwrap() - 1.0 / (1.0 + (expected[1] - expected[0]).exp())).abs() < 1e-3);
    }
    let refused = |mode, pack: Option<&Arc<Mounts>>| {
        let options = ChoiceOptions { modes: vec![mode], ..Default::default() };
        choose_answers(&bench.models(), pack, &questions, &options, &mut |_, _| ControlFlow::Continue(()))
    };
    assert!(matches!(refused(Mode::MemoryGold, Some(&bench.mounts())), Err(EvaluateError::Mode { .. })));
    assert!(matches!(refused(Mode::InContext, None), Err(EvaluateError::Mode { .. })));
    assert_eq!(refused(Mode::ClosedBook, None).unwrap().pack, None);
}
