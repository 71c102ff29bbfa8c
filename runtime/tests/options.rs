//! What a question says about its answer: each option, alone and against its definition. Needs the embedder that `make` downloads.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mempack_format::Digest;
use mempack_model::{AnswerMeasure, Exchange, Model, ReaderOptions, conversation_tokens, prompt_tokens};
use mempack_runtime::{
    Answer, AnswerOptions, AskError, BatchOptions, Batching, MAX_STOP_BYTES, MappedPack, MemoryScorer, Method, Mounts, OptionError,
    PackSet, Piece, Ranking, ReadFrom, Request, Reranking, Sampling, Scorer, Session, SessionError, SessionOptions, Stop, Strategy,
    TokenLogProbabilities,
};

mod engine;
use engine::{STOP, embedder, making, sheets, tiny, tiny_with, write_pack, write_pack_as, write_texts};

/// Runs one test with a model at a time, because concurrent tests would compete for the cores.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const QUESTION: &str = "What is the usual dose of Keltamin?";

/// A model with chunks of 16 tokens that never stops at a full stop, and all templates.
fn model() -> Model {
    let block = "\"similarity_bias\": 20.0, \"context_template\": \" Texts: {text} Question: {question} Answer:\", \
                 \"system_template\": \" Rules: {system}\\n\"";
    tiny_with(&[(STOP, block), ("\"retrieval_interval\": 64", "\"retrieval_interval\": 16")])
}

/// The answer to a request, with the text and the tokens that were streamed.
fn answer(session: &Session, request: Request<'_>) -> Result<(Answer, String, Vec<TokenLogProbabilities>), AskError> {
    let streamed = Rc::new(RefCell::new((String::new(), Vec::new())));
    let seen = Rc::clone(&streamed);
    let on_piece = move |piece: &Piece<'_>| {
        let (text, tokens) = &mut *seen.borrow_mut();
        assert!(!(piece.text.is_empty() && piece.tokens.is_empty()), "an empty piece");
        *text += piece.text;
        tokens.extend_from_slice(piece.tokens);
        ControlFlow::Continue(())
    };
    let mut batching = session.batching(BatchOptions::default()).unwrap();
    batching.submit(Request { on_piece: Box::new(on_piece), ..request })?;
    let answer = loop {
        if let Some((_, answer)) = batching.step().pop() {
            break answer?;
        }
    };
    drop(batching);
    let (text, tokens) = streamed.take();
    assert_eq!((&text, &tokens), (&answer.text, &answer.log_probabilities), "what was streamed is the answer");
    Ok((answer, text, tokens))
}

fn request(options: AnswerOptions) -> Request<'static> {
    Request { options: Some(options), ..Request::new(QUESTION, Box::new(|_| ControlFlow::Continue(()))) }
}

/// An answer without the parts that depend on timing.
fn essence(answer: &Answer) -> impl PartialEq + std::fmt::Debug + use<> {
    let reads = |reads: &[mempack_runtime::MemoryRead]| {
        reads.iter().map(|read| (read.hit.reference.number, read.hit.similarity.to_bits(), read.rerank_score)).collect::<Vec<_>>()
    };
    let chunks: Vec<_> = answer.chunks.iter().map(|chunk| (chunk.chunk, chunk.query.clone(), reads(&chunk.reads))).collect();
    let own = (answer.text.clone(), answer.tokens.clone(), answer.stop.clone(), answer.prompt_tokens);
    (own, chunks, answer.confidence, answer.attention.clone(), answer.log_probabilities.clone())
}

fn by_memories(model: &Model) -> Reranking {
    Reranking::new(Scorer::Memories(Box::new(MemoryScorer::new(model, Arc::default()))))
}

/// Options that differ from the defaults, each in another respect.
fn variants(model: &Model) -> Vec<AnswerOptions> {
    let with = AnswerOptions { max_tokens: 24, ..AnswerOptions::default() };
    let sampling = Sampling::TopP { temperature: 1.3, top_p: 0.9, seed: 5 };
    vec![
        with.clone(),
        AnswerOptions { read_from: ReadFrom::Weights { prefix: true }, ..with.clone() },
        AnswerOptions { read_from: ReadFrom::Weights { prefix: false }, ..with.clone() },
        AnswerOptions { read_from: ReadFrom::WrittenMemories, ..with.clone() },
        AnswerOptions { read_from: ReadFrom::Texts, k: Some(7), ..with.clone() },
        AnswerOptions { sampling, ..with.clone() },
        AnswerOptions { max_tokens: 3, ..with.clone() },
        AnswerOptions { stop: vec!["e".into()], ..with.clone() },
        AnswerOptions { k: Some(2), ..with.clone() },
        AnswerOptions { method: Method::Exact, ..with.clone() },
        AnswerOptions { ranking: Ranking::Dense, ..with.clone() },
        AnswerOptions { strategy: Strategy::DIVERSE, ..with.clone() },
        AnswerOptions { strategy: Strategy::SIMILARITY, ..with.clone() },
        AnswerOptions { measures: vec![AnswerMeasure::LogProbability, AnswerMeasure::MemoryAttention], ..with.clone() },
        AnswerOptions { attention: true, ..with.clone() },
        AnswerOptions { log_probabilities: Some(4), ..with.clone() },
        AnswerOptions { reranking: Some(Reranking { depth: 9, ..by_memories(model) }), ..with.clone() },
        AnswerOptions { reranking: Some(by_memories(model)), ..with },
    ]
}

#[test]
fn a_question_with_options_is_answered_as_by_a_session_that_has_them() {
    let _alone = alone();
    let (model, embedder) = (model(), embedder());
    let written = write_pack(&model, &embedder);
    let defaults = [AnswerOptions::default(), AnswerOptions { read_from: ReadFrom::Weights { prefix: false }, ..AnswerOptions::default() }];
    let sessions = defaults.map(|answers| Session::new(&model, &embedder, written.open(), making(answers)).unwrap());
    assert_eq!(sessions[1].answer_options().read_from, ReadFrom::Weights { prefix: false });
    let mut known = Vec::new();
    for options in variants(&model) {
        let own = Session::new(&model, &embedder, written.open(), making(options.clone())).unwrap();
        let wanted = answer(&own, Request::new(QUESTION, Box::new(|_| ControlFlow::Continue(())))).unwrap().0;
        for session in &sessions {
            assert_eq!(essence(&answer(session, request(options.clone())).unwrap().0), essence(&wanted), "{options:?}");
        }
        known.push(wanted);
    }
    // They have an effect.
    let reads = |at: usize| known[at].chunks.iter().map(|chunk| chunk.reads.len()).max().unwrap_or(0);
    assert_eq!([0, 1, 2, 3, 4, 8].map(reads), [5, 0, 0, 5, 7, 2]);
    assert!(known[4].prompt_tokens > known[0].prompt_tokens + 100 && known[6].tokens.len() == 3 && known[5].tokens != known[0].tokens);
    assert!(known[13].confidence.memory_attention.is_some() && known[14].attention.len() == known[14].tokens.len());
    assert!(known[15].log_probabilities.len() == 24 && known[0].log_probabilities.is_empty());
    assert!(known[16].chunks.iter().flat_map(|chunk| &chunk.reads).all(|read| read.rerank_score.is_some()));
    // The second thread serves a session that reads no memories by default.
    assert!(sessions.iter().all(|session| session.cache().statistics().prefetched > 0));
}

#[test]
fn log_probabilities_are_those_of_the_softmax() {
    let _alone = alone();
    let (model, embedder) = (model(), embedder());
    let session = Session::new(&model, &embedder, write_pack(&model, &embedder).open(), SessionOptions::default()).unwrap();
    let prompt = prompt_tokens(&model, QUESTION).unwrap().ids;
    for sampling in [Sampling::Greedy, Sampling::TopP { temperature: 2.0, top_p: 1.0, seed: 9 }] {
        for top in [0, 1, 20] {
            let read_from = ReadFrom::Weights { prefix: true };
            let options = AnswerOptions { read_from, sampling, max_tokens: 12, log_probabilities: Some(top), ..AnswerOptions::default() };
            let (found, text, _) = answer(&session, request(options)).unwrap();
            assert_eq!(found.log_probabilities.len(), found.tokens.len());
            let mut reader = model.reader(&ReaderOptions { capacity: prompt.len() + 20, prefix: true }).unwrap();
            let mut logits = reader.prompt(&prompt, &[], false).unwrap();
            for (token, measured) in found.tokens.iter().zip(&found.log_probabilities) {
                let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
                let wanted = |token: u32| f64::from(logits[token as usize]) - total.ln();
                assert!(measured.token == *token && (measured.log_probability - wanted(*token)).abs() < 1e-3);
                assert_eq!(measured.top.len(), top);
                assert!(measured.top.is_sorted_by(|a, b| a.log_probability >= b.log_probability));
                for other in &measured.top {
                    assert!((other.log_probability - wanted(other.token)).abs() < 1e-3, "{other:?}");
                    let own = other.bytes.as_deref().map(String::from_utf8_lossy);
                    assert!(own.is_none_or(|own| own == other.text));
                }
                if let Some(least) = measured.top.last() {
                    // No other token is more probable.
                    let more = |id: &u32| wanted(*id) > least.log_probability + 2e-3 && measured.top.iter().all(|other| other.token != *id);
                    assert!(!(0..logits.len() as u32).any(|id| more(&id)));
                }
                logits = reader.step(*token).unwrap();
            }
            // The tokens are the text, but for white space at its beginning.
            let bytes: Vec<u8> = found.log_probabilities.iter().flat_map(|token| token.bytes.clone().unwrap_or_default()).collect();
            assert_eq!(String::from_utf8_lossy(&bytes).trim_start(), text);
        }
    }
}

#[test]
fn an_answer_ends_before_a_stop_string() {
    let _alone = alone();
    let embedder = embedder();
    for model in [model(), tiny()] {
        let session = Session::new(&model, &embedder, write_pack(&model, &embedder).open(), SessionOptions::default()).unwrap();
        let with = |stop: &[&str]| {
            let stop = stop.iter().map(|stop| (*stop).to_owned()).collect();
            let options = AnswerOptions { max_tokens: 30, log_probabilities: Some(1), stop, ..AnswerOptions::default() };
            answer(&session, request(options)).unwrap().0
        };
        let whole = with(&[]);
        let characters: Vec<usize> = whole.text.char_indices().map(|(at, _)| at).collect();
        for (start, length) in [(1, 1), (4, 3), (7, 12), (characters.len() / 2, 2)] {
            let (Some(from), Some(to)) = (characters.get(start), characters.get(start + length)) else { continue };
            let stop = &whole.text[*from..*to];
            let before = whole.text.find(stop).unwrap();
            let found = with(&["no such words", stop]);
            assert_eq!((found.text.as_str(), &found.stop), (&whole.text[..before], &Stop::Text(stop.into())));
            // The log-probabilities are of the first tokens: those that begin in the text.
            let tokens = found.log_probabilities.len();
            assert_eq!(found.log_probabilities, whole.log_probabilities[..tokens]);
            assert!(found.tokens.len() > tokens || found.text.is_empty() || stop.len() < 4);
        }
        // A string of which the answer has only the beginning is no stop string.
        let end = format!("{}!", &whole.text[characters[characters.len() / 2]..]);
        let found = with(&[&end]);
        assert_eq!((found.text, found.stop), (whole.text, whole.stop));
    }
}

#[test]
fn what_a_session_cannot_serve_is_refused_alike() {
    let _alone = alone();
    let (plain, embedder) = (tiny(), embedder());
    let pack = write_pack(&plain, &embedder).open();
    let sampling = |temperature, top_p| Sampling::TopP { temperature, top_p, seed: 0 };
    let with = AnswerOptions::default;
    let wrong = [
        ("k", AnswerOptions { k: Some(0), ..with() }),
        ("k", AnswerOptions { k: Some(6), ..with() }),
        ("max_tokens", AnswerOptions { max_tokens: 0, ..with() }),
        ("max_tokens", AnswerOptions { max_tokens: 1 << 20, ..with() }),
        ("temperature", AnswerOptions { sampling: sampling(0.0, 1.0), ..with() }),
        ("top_p", AnswerOptions { sampling: sampling(1.0, 1.5), ..with() }),
        ("stop", AnswerOptions { stop: vec!["x".into(); 17], ..with() }),
        ("stop", AnswerOptions { stop: vec!["x".into(), String::new()], ..with() }),
        ("stop", AnswerOptions { stop: vec!["x".repeat(MAX_STOP_BYTES + 1)], ..with() }),
        ("log_probabilities", AnswerOptions { log_probabilities: Some(21), ..with() }),
        ("context_template", AnswerOptions { read_from: ReadFrom::Texts, ..with() }),
    ];
    let session = Session::new(&plain, &embedder, Arc::clone(&pack), SessionOptions::default()).unwrap();
    let mut batching = session.batching(BatchOptions::default()).unwrap();
    for (name, options) in wrong {
        let Err(AskError::Option(submitted)) = batching.submit(request(options.clone())) else { panic!("{name} was accepted") };
        let Err(SessionError::Option(created)) = Session::new(&plain, &embedder, Arc::clone(&pack), making(options)) else {
            panic!("{name} was accepted by a session")
        };
        assert_eq!((submitted.option, &submitted), (name, &created));
        let OptionError { found, expected, .. } = &submitted;
        assert!(!found.is_empty() && !expected.is_empty() && submitted.to_string().contains(expected.as_str()));
    }
    assert_eq!(batching.pending(), 0);
    // A system message has no place in this model.
    let told = Request { system: Some("Be brief.".into()), ..request(with()) };
    assert!(matches!(batching.submit(told), Err(AskError::NoSystem { .. })));
    // Packs of another model.
    let folder = tempfile::tempdir().unwrap();
    let mut other = plain.identity().clone();
    other.weights = Digest::of(b"others");
    write_pack_as(&folder.path().join("other.mpk"), 2, &plain, &embedder, (other, embedder.identity().clone()));
    let foreign = Arc::new(Mounts::of(MappedPack::open(folder.path().join("other.mpk")).unwrap()));
    let error = batching.submit(Request { packs: Some(foreign.packs()), ..request(with()) }).unwrap_err();
    assert!(matches!(error, AskError::Mismatch(_)), "{error}");
    // A session over packs of another model serves what reads no memories of theirs.
    let without = AnswerOptions { read_from: ReadFrom::Weights { prefix: false }, max_tokens: 2, ..with() };
    let session = Session::over(&plain, &embedder, foreign, making(without.clone())).unwrap();
    assert!(matches!(answer(&session, request(with())), Err(AskError::Mismatch(_))));
    assert_eq!(answer(&session, request(without)).unwrap().0.tokens.len(), 2);
}

#[test]
fn a_question_reads_the_packs_that_it_names() {
    let _alone = alone();
    let (model, embedder) = (model(), embedder());
    let folder = tempfile::tempdir().unwrap();
    let (low, high) = (folder.path().join("low.mpk"), folder.path().join("high.mpk"));
    let (first, second) = sheets().into_iter().partition::<Vec<_>, _>(|sheet| sheet.contains("gout"));
    write_texts(&low, first, &model, &embedder);
    write_texts(&high, second, &model, &embedder);
    let mounts = Arc::new(Mounts::of(MappedPack::open(&low).unwrap()));
    mounts.mount("high", MappedPack::open(&high).unwrap()).unwrap();
    let options = AnswerOptions { max_tokens: 24, ..AnswerOptions::default() };
    let session = Session::over(&model, &embedder, Arc::clone(&mounts), making(options.clone())).unwrap();
    let over = |packs: PackSet| answer(&session, Request { packs: Some(Arc::new(packs)), ..request(options.clone()) }).unwrap().0;
    let all = over(mounts.packs().as_ref().clone());
    assert_eq!(essence(&all), essence(&answer(&session, request(options.clone())).unwrap().0));
    for name in ["low", "high"] {
        // Twice, because what recent queries found is remembered.
        for _ in 0..2 {
            let found = over(mounts.packs().only(|pack| pack.name() == name));
            assert!(found.chunks.iter().flat_map(|chunk| &chunk.reads).all(|read| read.hit.reference.pack.name() == name));
            assert!(found.chunks.len() > 1 && found.chunks.iter().all(|chunk| chunk.reads.len() == 5));
            let path = if name == "low" { &low } else { &high };
            let own = Session::new(&model, &embedder, Arc::new(MappedPack::open(path).unwrap()), making(options.clone())).unwrap();
            assert_eq!(essence(&found), essence(&answer(&own, request(options.clone())).unwrap().0), "{name}");
        }
    }
    // In no packs nothing is found.
    let none = over(PackSet::default());
    assert!(none.chunks.len() > 1 && none.chunks.iter().all(|chunk| chunk.reads.is_empty()));
    let weights = AnswerOptions { read_from: ReadFrom::Weights { prefix: true }, ..options.clone() };
    assert_eq!(none.tokens, answer(&session, request(weights)).unwrap().0.tokens);
    let texts = AnswerOptions { read_from: ReadFrom::Texts, ..options.clone() };
    let none = answer(&session, Request { packs: Some(Arc::default()), ..request(texts) }).unwrap().0;
    assert_eq!((none.prompt_tokens, none.chunks.iter().flat_map(|chunk| &chunk.reads).count()), (all.prompt_tokens, 0));
}

#[test]
fn a_set_that_is_empty_answers_until_packs_are_mounted() {
    let _alone = alone();
    let (model, embedder) = (model(), embedder());
    let written = write_pack(&model, &embedder);
    let mounts = Arc::new(Mounts::empty(model.identity().clone(), embedder.identity().clone()));
    let options = AnswerOptions { max_tokens: 4, ..AnswerOptions::default() };
    let session = Session::over(&model, &embedder, Arc::clone(&mounts), making(options.clone())).unwrap();
    let reads = || answer(&session, request(options.clone())).unwrap().0.chunks[0].reads.len();
    assert_eq!(reads(), 0);
    mounts.mount("sheets", written.open()).unwrap();
    assert_eq!(reads(), 5);
    mounts.unmount("sheets").unwrap();
    assert_eq!(reads(), 0);
}

#[test]
fn a_system_message_is_told_once_and_queries_for_nothing() {
    let _alone = alone();
    let (model, embedder) = (model(), embedder());
    let session = Session::new(&model, &embedder, write_pack(&model, &embedder).open(), SessionOptions::default()).unwrap();
    let options = AnswerOptions { max_tokens: 20, ..AnswerOptions::default() };
    // Its words would find sheets about Vendril.
    let system = "Vendril is used against gout. The usual dose of Vendril is 80 mg, at most 5 times a day. Say so in few words.";
    let turn = Exchange { question: "May I take Orvexa?".into(), answer: "Yes.".into() };
    for earlier in [vec![], vec![turn]] {
        for read_from in [ReadFrom::PackMemories, ReadFrom::Texts] {
            let options = AnswerOptions { read_from, ..options.clone() };
            let ask = |system: Option<&str>| {
                let system = system.map(str::to_owned);
                answer(&session, Request { system, earlier: earlier.clone(), ..request(options.clone()) }).unwrap().0
            };
            let (plain, told) = (ask(None), ask(Some(system)));
            let tokens = conversation_tokens(&model, Some(system), &earlier, QUESTION).unwrap();
            assert_eq!(told.prompt_tokens, plain.prompt_tokens + tokens.system);
            assert!(tokens.system > 32 && told.tokens != plain.tokens);
            if read_from == ReadFrom::PackMemories {
                assert_eq!(told.prompt_tokens, tokens.ids.len());
                let alone = tokens.system / 16;
                let (own, later) = told.chunks.split_at(alone);
                assert!(own.iter().all(|chunk| chunk.reads.is_empty() && chunk.query.is_empty()), "{own:?}");
                assert!(later.iter().all(|chunk| chunk.reads.len() == 5 && !chunk.query.contains("Vendril is used")), "{later:?}");
            }
        }
    }
}

#[test]
fn a_cancelled_question_leaves_its_place_and_its_bytes() {
    let _alone = alone();
    let (model, embedder) = (model(), embedder());
    let session = Session::new(&model, &embedder, write_pack(&model, &embedder).open(), SessionOptions::default()).unwrap();
    let options = AnswerOptions { max_tokens: 16, ..AnswerOptions::default() };
    let wanted = answer(&session, request(options.clone())).unwrap().0;
    let mut batching: Batching<'_> = session.batching(BatchOptions { sequences: 2, bytes: 1 << 30 }).unwrap();
    let dropped = Rc::new(());
    let held = |dropped: &Rc<()>| {
        let kept = Rc::clone(dropped);
        let on_piece = move |_: &Piece<'_>| {
            let _ = &kept;
            ControlFlow::Continue(())
        };
        Request { on_piece: Box::new(on_piece), ..request(AnswerOptions { max_tokens: 1000, ..AnswerOptions::default() }) }
    };
    let numbers: Vec<u64> = (0..4).map(|_| batching.submit(held(&dropped)).unwrap()).collect();
    assert_eq!((batching.waiting(), batching.running(), batching.bytes_in_use()), (4, 0, 0));
    while batching.running() < 2 {
        assert!(batching.step().is_empty());
    }
    (0..5).for_each(|_| assert!(batching.step().is_empty()));
    let both = batching.bytes_in_use();
    assert_eq!((batching.waiting(), batching.running(), batching.pending(), both > 0), (2, 2, 4, true));
    // One that runs, and one that waits.
    assert!(batching.cancel(numbers[0]) && batching.cancel(numbers[3]));
    assert!(!batching.cancel(numbers[0]) && !batching.cancel(99));
    assert_eq!((batching.waiting(), batching.running(), batching.bytes_in_use() * 2, Rc::strong_count(&dropped)), (1, 1, both, 3));
    assert!(batching.bytes_kept() > 0);
    while batching.running() < 2 {
        assert!(batching.step().is_empty());
    }
    assert!(batching.cancel(numbers[1]) && batching.cancel(numbers[2]));
    assert_eq!((batching.pending(), batching.bytes_in_use(), Rc::strong_count(&dropped)), (0, 0, 1));
    assert!(batching.step().is_empty());
    // What was cancelled leaves nothing in what follows.
    let number = batching.submit(request(options)).unwrap();
    let found = loop {
        if let Some((answered, answer)) = batching.step().pop() {
            assert_eq!(answered, number);
            break answer.unwrap();
        }
    };
    assert_eq!(essence(&found), essence(&wanted));
}

#[test]
fn a_text_is_continued_without_a_template() {
    let _guard = alone();
    let (model, embedder) = (model(), embedder());
    let session = Session::new(&model, &embedder, write_pack(&model, &embedder).open(), making(AnswerOptions::default())).unwrap();
    let options = || AnswerOptions { max_tokens: 12, log_probabilities: Some(0), ..AnswerOptions::default() };
    let (continued, _, tokens) = answer(&session, Request { continues: true, ..request(options()) }).unwrap();
    assert_eq!(continued.prompt_tokens, model.tokenizer().encode_plain(QUESTION).unwrap().len());
    assert_eq!(continued.chunks[0].query, QUESTION, "all of the text queries");
    assert!(!continued.chunks[0].reads.is_empty());
    // White space at the beginning belongs to a text that goes on, and not to an answer.
    let (whole, started) = (tokens.iter().map(|token| token.text.as_str()).collect::<String>(), continued.text.clone());
    assert!(
        whole.starts_with(&started) && started.starts_with(char::is_whitespace) == whole.starts_with(char::is_whitespace),
        "{whole:?} {started:?}"
    );
    let (asked, _, _) = answer(&session, request(options())).unwrap();
    assert!(asked.prompt_tokens > continued.prompt_tokens && !asked.text.starts_with(char::is_whitespace));
}
