//! Answers in a batch are the answers alone, whatever the schedule. Needs the embedder that `make` downloads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mempack_format::Tag;
use mempack_model::{AnswerMeasure, ComputeError, EmbedAs, Embedder, Exchange, Model};
use mempack_runtime::{
    Answer, AnswerOptions, AskError, BatchOptions, Batching, MappedPack, Method, Mounts, OptionError, Piece, Ranking, ReadFrom, Request,
    Sampling, Session, SessionError, SessionOptions, Stop, Strategy, TokenAttention, TokenLogProbabilities,
};

mod common;
mod engine;
use common::Random;
use engine::{STOP, embedder, making, tiny_with, write_pack, write_pack_as};

/// Runs one test with a model at a time, because concurrent tests would compete for the cores.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Questions of one chunk and of several. The last one is too long for the model.
fn questions() -> Vec<String> {
    let short = ["Keltamin", "Vendril", "Orvexa", "Tarvicet"].map(|name| format!("What is the usual dose of {name}?"));
    let long = [
        "Nutepril is used against fever and I have taken it for a week. My neighbour takes Ulmoxan against gout, which is another thing \
         altogether, and says that three times a day is too often. What is the usual dose of Keltamin against a cough?",
        "Is Sumetol used against asthma, and how many times a day may it be taken at most if the patient takes Palidrin too?",
    ];
    short.into_iter().chain(long.map(str::to_owned)).chain(["dose ".repeat(3000)]).collect()
}

/// A model with chunks of 16 tokens that never stops at a full stop, so that answers begin several chunks, and all templates.
fn model() -> Model {
    let block = "\"similarity_bias\": 20.0, \"context_template\": \" Texts: {text} Question: {question} Answer:\", \
                 \"system_template\": \" Rules: {system}\\n\"";
    tiny_with(&[(STOP, block), ("\"retrieval_interval\": 64", "\"retrieval_interval\": 16")])
}

/// What an answer is, apart from what was in a cache.
type Essence = Result<(String, Vec<u32>, Stop, Vec<Chunk>, [Option<u64>; 2], Vec<TokenAttention>, Vec<TokenLogProbabilities>), String>;

/// What a chunk read: packs and numbers, similarities and scores.
type Chunk = (usize, String, Vec<(String, u32, u32)>);

fn essence(answer: Result<Answer, AskError>) -> Essence {
    let answer = answer.map_err(|error| error.to_string())?;
    let read = |read: &mempack_runtime::MemoryRead| {
        let reference = &read.hit.reference;
        (reference.pack.name().to_owned(), reference.number, read.hit.similarity.to_bits())
    };
    let numbers = |reads: &[mempack_runtime::MemoryRead]| reads.iter().map(read).collect();
    let chunks = answer.chunks.iter().map(|chunk| (chunk.chunk, chunk.query.clone(), numbers(&chunk.reads))).collect();
    let confidence = [answer.confidence.log_probability, answer.confidence.memory_attention].map(|mean| mean.map(f64::to_bits));
    Ok((answer.text, answer.tokens, answer.stop, chunks, confidence, answer.attention, answer.log_probabilities))
}

/// The pack with a damaged memory, which some questions read.
fn damaged(pack: &MappedPack, embedder: &Embedder, question: &str) -> Arc<MappedPack> {
    let first = pack.search_exact(&embedder.embed(EmbedAs::Query, &[question]).unwrap(), 1).unwrap()[0].reference;
    let memories = *pack.sections().iter().find(|section| section.tag == Tag::MEMORIES).unwrap();
    let mut bytes = fs::read(pack.path()).unwrap();
    bytes[(memories.offset + u64::from(first) * pack.record_bytes() + 9) as usize] ^= 1;
    let copy = pack.path().with_file_name("damaged.mpk");
    fs::write(&copy, bytes).unwrap();
    Arc::new(MappedPack::open(copy).unwrap())
}

/// Turns before a question: none, one or two. Their tokens fill several chunks.
fn earlier(turns: usize) -> Vec<Exchange> {
    let turn = |(question, answer): (&str, &str)| Exchange { question: question.to_owned(), answer: answer.to_owned() };
    let all = [
        ("What is Nutepril used against?", "It is used against fever, and it is taken three times a day with a glass of water."),
        ("May I drive?", "No."),
    ];
    all.into_iter().take(turns).map(turn).collect()
}

/// The answer to a question, which is alone.
fn alone_answer(session: &Session, request: Request<'_>) -> Result<Answer, AskError> {
    let mut batching = session.batching(BatchOptions { sequences: 1, bytes: 1 << 30 }).unwrap();
    batching.submit(request).unwrap();
    loop {
        if let Some((0, answer)) = batching.step().pop() {
            return answer;
        }
    }
}

/// Asks a question whose receiver stops after `pieces` pieces.
fn request(question: &str, pieces: usize) -> Request<'static> {
    let mut left = pieces;
    let on_piece = move |_: &Piece<'_>| {
        left = left.saturating_sub(1);
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    Request::new(question, Box::new(on_piece))
}

const NEVER: usize = usize::MAX;

/// Options of questions; the first brings none. Memories that are written on the spot are not here: those that are written together may differ in their last
/// bits from those that are written alone.
fn ways() -> Vec<Option<AnswerOptions>> {
    let with = AnswerOptions { max_tokens: 20, ..AnswerOptions::default() };
    let sampling = |seed| Sampling::TopP { temperature: 1.2, top_p: 0.95, seed };
    let stop = ["e u", "mg", "a"].map(str::to_owned).to_vec();
    let both = vec![AnswerMeasure::LogProbability, AnswerMeasure::MemoryAttention];
    let all = [
        AnswerOptions { read_from: ReadFrom::Weights { prefix: true }, log_probabilities: Some(2), ..with.clone() },
        AnswerOptions { read_from: ReadFrom::Weights { prefix: false }, sampling: sampling(1), stop: stop.clone(), ..with.clone() },
        AnswerOptions { k: Some(1), sampling: sampling(2), log_probabilities: Some(0), ..with.clone() },
        AnswerOptions { k: Some(2), stop: stop[..2].to_vec(), log_probabilities: Some(5), ranking: Ranking::Dense, ..with.clone() },
        AnswerOptions { k: Some(3), attention: true, strategy: Strategy::DIVERSE, ..with.clone() },
        AnswerOptions { k: Some(4), max_tokens: 40, method: Method::Exact, measures: both, ..with.clone() },
        AnswerOptions { ranking: Ranking::Lexical, attention: true, strategy: Strategy::SIMILARITY, ..with.clone() },
        AnswerOptions { read_from: ReadFrom::Texts, sampling: sampling(3), stop, ..with },
    ];
    [None].into_iter().chain(all.map(Some)).collect()
}

/// What is asked: numbers of a question, of pieces after which its receiver stops, of earlier turns, of [options](ways), of a choice of packs, and of a
/// system message.
type Ask = [usize; 6];

fn asking(session: &Session, questions: &[String], ways: &[Option<AnswerOptions>], ask: Ask) -> Request<'static> {
    let [question, pieces, turns, way, packs, system] = ask;
    let mounted = session.mounts().packs();
    let packs = match packs {
        0 | 1 => None,
        2 => Some(mounted.only(|pack| pack.name() == "few")),
        3 => Some(mounted.only(|pack| pack.name() != "few")),
        _ => Some(mounted.only(|_| false)),
    };
    let system = (system == 1).then(|| "Answer as the sheets say, in one sentence and with the unit.".to_owned());
    Request {
        earlier: earlier(turns),
        options: ways[way].clone(),
        packs: packs.map(Arc::new),
        system,
        ..request(&questions[question], pieces)
    }
}

/// Random schedules: how many sequences, how many bytes, when questions arrive, which ones, with which options, and when their receivers stop them or they
/// are cancelled.
fn schedules(seeds: std::ops::Range<u64>) {
    let (model, embedder) = (model(), embedder());
    let written = write_pack(&model, &embedder);
    let (questions, ways) = (questions(), ways());
    let few = written.folder.path().join("few.mpk");
    write_pack_as(&few, 12, &model, &embedder, (model.identity().clone(), embedder.identity().clone()));
    let session = |pack, read_from, prefetch| {
        let measures = vec![AnswerMeasure::LogProbability, AnswerMeasure::MemoryAttention];
        let answers = AnswerOptions { max_tokens: 24, measures, attention: true, read_from, ..Default::default() };
        let mounts = Mounts::of(Arc::<MappedPack>::clone(&pack));
        mounts.mount("few", MappedPack::open(&few).unwrap()).unwrap();
        Session::over(&model, &embedder, Arc::new(mounts), SessionOptions { answers, prefetch, ..Default::default() }).unwrap()
    };
    let broken = damaged(&written.open(), &embedder, &questions[1]);
    let sessions = [
        session(written.open(), ReadFrom::PackMemories, true),
        session(broken, ReadFrom::PackMemories, true),
        session(written.open(), ReadFrom::PackMemories, false),
        session(written.open(), ReadFrom::Weights { prefix: false }, true),
    ];
    let mut known: BTreeMap<(usize, Ask), Essence> = BTreeMap::new();
    let (mut failed, mut reused, mut cancelled, mut stopped) = (0, 0, 0, 0);
    for seed in seeds {
        let mut random = Random(seed);
        let mut below = |n: usize| ((random.uniform() * n as f32) as usize).min(n - 1);
        let which = below(sessions.len());
        let session = &sessions[which];
        let options = BatchOptions { sequences: 1 + below(8), bytes: [7 << 19, 5 << 20, 1 << 30][below(3)] };
        let mut batching: Batching<'_> = session.batching(options).unwrap();
        let mut asked: Vec<Ask> = Vec::new();
        let mut answered = BTreeMap::new();
        let mut ended = BTreeSet::new();
        let count = 1 + below(10);
        while asked.len() < count || batching.pending() > 0 {
            if asked.len() < count && (batching.pending() == 0 || below(3) == 0) {
                let pieces = [NEVER, 1 + below(20)][below(2)];
                let ask = [below(questions.len()), pieces, below(3), below(ways.len()), below(5), below(2)];
                let number = batching.submit(asking(session, &questions, &ways, ask)).unwrap();
                assert_eq!(number as usize, asked.len());
                asked.push(ask);
            } else if below(40) == 0 {
                let number = below(asked.len());
                let open = !answered.contains_key(&number) && !ended.contains(&number);
                assert_eq!(batching.cancel(number as u64), open, "seed {seed}: {number}");
                ended.extend(open.then_some(number));
            } else {
                for (number, answer) in batching.step() {
                    reused += answer.as_ref().map_or(0, |answer| answer.reused_tokens);
                    assert!(answered.insert(number as usize, essence(answer)).is_none(), "seed {seed}: {number} is answered twice");
                }
                assert!(batching.running() <= options.sequences && batching.bytes_in_use() + batching.bytes_kept() <= options.bytes);
                assert_eq!(batching.pending(), batching.running() + batching.waiting());
            }
        }
        assert!(batching.bytes_in_use() == 0 && answered.keys().all(|number| !ended.contains(number)));
        assert_eq!(answered.len() + ended.len(), asked.len());
        cancelled += ended.len();
        for (number, ask) in asked.into_iter().enumerate().filter(|(number, _)| !ended.contains(number)) {
            let wanted =
                known.entry((which, ask)).or_insert_with(|| essence(alone_answer(session, asking(session, &questions, &ways, ask))));
            assert_eq!(answered[&number], *wanted, "seed {seed}, {options:?}, question {number}: {ask:?}");
            failed += usize::from(wanted.is_err());
            stopped += usize::from(matches!(wanted, Ok((_, _, Stop::Text(_), ..))));
        }
    }
    for (found, what) in [(failed, "failed"), (reused, "was reused"), (cancelled, "was cancelled"), (stopped, "met a stop string")] {
        assert!(found > 0, "nothing {what}");
    }
}

#[test]
fn a_hundred_random_schedules() {
    let _alone = alone();
    schedules(0..100);
}

/// `make schedules`.
#[test]
#[ignore = "takes minutes"]
fn ten_thousand_random_schedules() {
    let _alone = alone();
    schedules(100..10_100);
}

/// The next turn of a conversation goes on from the keys and values of the one before.
#[test]
fn the_next_turn_reuses_what_was_computed() {
    let _alone = alone();
    let (model, embedder) = (model(), embedder());
    let written = write_pack(&model, &embedder);
    for read_from in [ReadFrom::PackMemories, ReadFrom::Weights { prefix: true }] {
        let options = making(AnswerOptions { max_tokens: 40, read_from, ..Default::default() });
        // Another session, which remembers no query.
        let forgetful = SessionOptions { recent_queries: 0, ..options.clone() };
        let forgetful = Session::new(&model, &embedder, written.open(), forgetful).unwrap();
        let session = Session::new(&model, &embedder, written.open(), options).unwrap();
        let mut batching = session.batching(BatchOptions { sequences: 1, bytes: 1 << 30 }).unwrap();
        let mut turns: Vec<Exchange> = Vec::new();
        let mut before = 0;
        for question in &questions()[..3] {
            let ask = || Request { earlier: turns.clone(), ..request(question, NEVER) };
            batching.submit(ask()).unwrap();
            let answer = loop {
                if let Some((_, answer)) = batching.step().pop() {
                    break answer.unwrap();
                }
            };
            let alone = alone_answer(&forgetful, ask()).unwrap();
            assert_eq!((alone.reused_tokens, alone.prompt_tokens), (0, answer.prompt_tokens));
            // All but the end of the last answer, which was never computed, and what a new chunk reads.
            assert!(
                answer.reused_tokens >= before && (turns.is_empty() || answer.reused_tokens > 20),
                "{} of {before}",
                answer.reused_tokens
            );
            before = answer.prompt_tokens;
            turns.push(Exchange { question: question.clone(), answer: answer.text.clone() });
            assert_eq!(essence(Ok(answer)), essence(Ok(alone)));
        }
    }
}

/// Each token of an answer says how much it leaned on each memory.
#[test]
fn attention_of_tokens_and_of_chunks() {
    let _alone = alone();
    let (model, embedder) = (model(), embedder());
    let written = write_pack(&model, &embedder);
    let ask = |attention, read_from| {
        let measures = vec![AnswerMeasure::MemoryAttention];
        let answers = AnswerOptions { max_tokens: 40, measures, attention, read_from, ..Default::default() };
        let options = SessionOptions { answers, full_length: true, ..Default::default() };
        let session = Session::new(&model, &embedder, written.open(), options).unwrap();
        session.ask(&questions()[0], &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let answer = ask(true, ReadFrom::PackMemories);
    assert_eq!(answer.attention.len(), answer.tokens.len());
    assert!(answer.attention.is_sorted_by_key(|token| token.chunk) && answer.chunks.len() > 2);
    let mut total = 0.0;
    for TokenAttention { chunk, shares } in &answer.attention {
        assert_eq!(shares.len(), answer.chunks[*chunk].reads.len());
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)) && shares.iter().any(|share| *share > 0.0));
        total += shares.iter().map(|share| f64::from(*share)).sum::<f64>();
    }
    let mean = total / answer.tokens.len() as f64;
    assert!((mean - answer.confidence.memory_attention.unwrap()).abs() < 1e-6, "{mean}");
    let of_chunks = answer.attention_of_chunks();
    assert_eq!(of_chunks.len(), answer.chunks.len());
    let (mut sum, mut tokens) = (0.0, 0);
    for (chunk, shares) in of_chunks.iter().enumerate() {
        let count = answer.attention.iter().filter(|token| token.chunk == chunk).count();
        assert_eq!(shares.is_some(), count > 0);
        sum += shares.iter().flatten().sum::<f64>() * count as f64;
        tokens += count;
    }
    assert!(tokens == answer.tokens.len() && (sum - total).abs() < 1e-6);
    let without = ask(false, ReadFrom::PackMemories);
    assert_eq!((without.tokens, without.attention.len()), (answer.tokens, 0));
    assert!(ask(true, ReadFrom::Weights { prefix: true }).attention.is_empty());
}

#[test]
fn a_batch_beyond_its_budget_is_refused_before_anything_is_allocated() {
    let _alone = alone();
    let (model, embedder) = (model(), embedder());
    let session = Session::new(&model, &embedder, write_pack(&model, &embedder).open(), SessionOptions::default()).unwrap();
    let mut batching = session.batching(BatchOptions { sequences: 4, bytes: 1000 }).unwrap();
    batching.submit(request("What is the usual dose of Keltamin?", NEVER)).unwrap();
    let answered = batching.step();
    assert!(
        matches!(&answered[..], [(0, Err(AskError::Compute(ComputeError::Budget { needed: 1001.., free: 1000, budget: 1000 })))]),
        "{answered:?}"
    );
    assert_eq!(batching.pending(), 0);
    assert!(matches!(batching.submit(request(" ", NEVER)), Err(AskError::EmptyQuestion)));
    for sequences in [0, 5000] {
        assert!(matches!(
            session.batching(BatchOptions { sequences, bytes: 1 << 30 }),
            Err(SessionError::Option(OptionError { option: "sequences", .. }))
        ));
    }
}

#[test]
fn an_answer_beyond_the_fast_path_is_computed_and_says_so() {
    let _guard = alone();
    let (model, embedder) = (
        tiny_with(&[(STOP, "\"similarity_bias\": 20.0"), ("\"max_position_embeddings\": 2048", "\"max_position_embeddings\": 40000")]),
        embedder(),
    );
    let written = write_pack(&model, &embedder);
    let answer = |max_tokens| {
        let session =
            Session::new(&model, &embedder, written.open(), making(AnswerOptions { max_tokens, ..AnswerOptions::default() })).unwrap();
        alone_answer(&session, request(&questions()[0], 4)).unwrap()
    };
    let (fast, slow) = (answer(24), answer(33_000));
    assert_eq!((fast.slow_path, slow.slow_path), (false, true));
    assert_eq!(fast.tokens, slow.tokens);
}
