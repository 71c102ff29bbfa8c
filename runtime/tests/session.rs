//! Compares the session with a slow reference implementation, and tests what it refuses. Needs the embedder that `make` downloads.

use std::fs;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mempack_format::{Defect, Digest, Memory, PrivateKey, ReadError, SignatureError, Tag, sign_file};
use mempack_model::{AnswerMeasure, EmbedAs, Embedder, MemoryConfig, Model, ReaderOptions, Slot, prompt_tokens};
use mempack_runtime::{
    Answer, AnswerOptions, AskError, Confidence, Hit, MappedPack, MemoryCache, Method, Mounts, OnDamage, OptionError, ReadFrom, Retriever,
    Sampling, Session, SessionError, SessionOptions, Stop,
};

mod engine;
use engine::{STOP, Written, embedder, making, sheets, tiny, tiny_with, write_pack, write_pack_as};

/// Runs one test with a model at a time, because concurrent tests would compete for the cores.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const QUESTION: &str = "What is the usual dose of Keltamin?";

/// A question of several chunks on different topics.
const LONG: &str = "Nutepril is used against fever and I have taken it for a week. My neighbour takes Ulmoxan against gout, which is another \
                    thing altogether, and says that three times a day is too often. What is the usual dose of Keltamin against a cough?";

fn ask(session: &Session, question: &str) -> Answer {
    let mut streamed = String::new();
    let answer = session
        .ask(question, &mut |text| {
            streamed += text;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(streamed, answer.text, "the pieces are the text");
    answer
}

/// An answer without the parts that depend on timing.
fn essence(answer: &Answer) -> impl PartialEq + std::fmt::Debug + use<> {
    let reads = |reads: &[mempack_runtime::MemoryRead]| {
        reads.iter().map(|r| (r.hit.reference.number, r.hit.similarity.to_bits())).collect::<Vec<_>>()
    };
    let chunks: Vec<_> = answer.chunks.iter().map(|c| (c.chunk, c.query.clone(), reads(&c.reads))).collect();
    (answer.text.clone(), answer.tokens.clone(), answer.stop.clone(), chunks)
}

/// An independent implementation of the query rule: which tokens query for a chunk of a text whose first `prompt` tokens are the prompt.
fn window(chunk: usize, prompt: usize, interval: usize) -> Range<usize> {
    let start = chunk * interval;
    if start + interval <= prompt {
        start..start + interval // its own tokens
    } else if start < prompt || prompt == 0 {
        prompt.saturating_sub(interval)..prompt // unfinished: the prompt's last
    } else {
        start - interval..start // begun by decoding: the tokens before it
    }
}

/// A reference, its similarity, its memory.
type Found = (u32, f32, Arc<Memory>);

/// Answers by recomputing everything for each token, with an exact search for each chunk.
struct Oracle<'a> {
    model: &'a Model,
    embedder: &'a Embedder,
    pack: &'a MappedPack,
}

impl Oracle<'_> {
    fn query(&self, ids: &[u32], question: &Range<usize>, prompt: usize, window: Range<usize>) -> String {
        let word = |i: &usize| question.contains(i) || *i >= prompt;
        let mut words: Vec<u32> = window.clone().filter(word).map(|i| ids[i]).collect();
        if words.is_empty() {
            words = ids[window].to_vec();
        }
        self.model.tokenizer().decode(&words).unwrap().trim().to_owned()
    }

    fn memories(&self, query: &str) -> Vec<Found> {
        let vector = self.embedder.embed(EmbedAs::Query, &[query]).unwrap();
        let hits = self.pack.search_exact(&vector, self.model.memory().memories_per_chunk as usize).unwrap();
        hits.iter().map(|hit| (hit.reference, hit.similarity, MemoryCache::new(0).get(self.pack, hit.reference).unwrap())).collect()
    }

    /// The greedy answer of at most `length` tokens, and the query and references of each chunk.
    fn answer(&self, question: &str, length: usize, memories: bool) -> (Vec<u32>, Vec<(String, Vec<u32>)>) {
        let prompt = prompt_tokens(self.model, question).unwrap();
        let (mut ids, first) = (prompt.ids.clone(), prompt.ids.len());
        let interval = self.model.memory().retrieval_interval as usize;
        let mut chunks: Vec<(String, Vec<Found>)> = Vec::new();
        while ids.len() - first < length {
            while memories && chunks.len() < ids.len().div_ceil(interval) {
                let query = self.query(&ids, &prompt.question, first, window(chunks.len(), first, interval));
                chunks.push((query.clone(), self.memories(&query)));
            }
            let slot = |(_, similarity, memory): &Found| (*similarity, Arc::clone(memory));
            let held: Vec<Vec<_>> = chunks.iter().map(|(_, found)| found.iter().map(slot).collect()).collect();
            let slots: Vec<Vec<Slot<'_>>> =
                held.iter().map(|c| c.iter().map(|(similarity, memory)| Slot { memory, similarity: *similarity }).collect()).collect();
            let mut reader = self.model.reader(&ReaderOptions { capacity: ids.len() + 1, prefix: true }).unwrap();
            let scores = reader.prompt(&ids, &slots, false).unwrap();
            let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let token = scores.iter().position(|&score| score == best).unwrap() as u32;
            if self.model.config().eos.contains(&token) {
                break;
            }
            ids.push(token);
        }
        let chunks = chunks.into_iter().map(|(query, found)| (query, found.iter().map(|f| f.0).collect())).collect();
        (ids.split_off(first), chunks)
    }
}

/// A model that never stops at a full stop, with chunks of `interval` tokens, weighing memories by their similarity.
fn endless(interval: usize) -> Model {
    let interval = format!("\"retrieval_interval\": {interval}");
    tiny_with(&[(STOP, "\"similarity_bias\": 20.0"), ("\"retrieval_interval\": 64", &interval)])
}

#[test]
fn decodes_as_the_slow_oracle_does() {
    let _alone = alone();
    let embedder = embedder();
    for (interval, question, length) in [(16, QUESTION, 60), (16, LONG, 40), (64, LONG, 90)] {
        let model = endless(interval);
        let written = write_pack(&model, &embedder);
        let pack = written.open();
        let oracle = Oracle { model: &model, embedder: &embedder, pack: &pack };
        let session =
            Session::new(&model, &embedder, Arc::clone(&pack), making(AnswerOptions { max_tokens: length, ..Default::default() })).unwrap();
        let answer = ask(&session, question);
        let (tokens, chunks) = oracle.answer(question, length, true);
        assert_eq!(answer.tokens, tokens, "interval {interval}, {question}");
        // The session reports each retrieval. After a prompt of complete chunks, the first chunk of the answer keeps the memories.
        let begun = (answer.prompt_tokens + answer.tokens.len() - 1) / interval;
        assert!(begun > answer.prompt_tokens / interval, "decoding begins a chunk");
        for read in &answer.chunks {
            let references: Vec<u32> = read.reads.iter().map(|read| read.hit.reference.number).collect();
            assert_eq!((&read.query, &references), (&chunks[read.chunk].0, &chunks[read.chunk].1), "chunk {}", read.chunk);
        }
        let reported: Vec<usize> = answer.chunks.iter().map(|chunk| chunk.chunk).collect();
        let kept = answer.prompt_tokens.is_multiple_of(interval).then_some(answer.prompt_tokens / interval);
        let expected: Vec<usize> = (0..=begun).filter(|chunk| Some(*chunk) != kept).filter(|c| *c < chunks.len()).collect();
        assert_eq!(reported, expected);
        // Without memories the prefix and the positions stay.
        let without = making(AnswerOptions { max_tokens: 20, read_from: ReadFrom::Weights { prefix: true }, ..Default::default() });
        let answer = ask(&Session::new(&model, &embedder, Arc::clone(&pack), without).unwrap(), question);
        assert_eq!((answer.tokens, answer.chunks.len()), (oracle.answer(question, 20, false).0, 0));
    }
}

#[test]
fn confidence_is_measured_where_it_is_asked_for() {
    let _alone = alone();
    let embedder = embedder();
    let model = endless(16);
    let pack = write_pack(&model, &embedder).open();
    let (log, share) = (AnswerMeasure::LogProbability, AnswerMeasure::MemoryAttention);
    let ask_with = |read_from, measures: &[AnswerMeasure]| {
        let options = making(AnswerOptions { read_from, measures: measures.to_vec(), max_tokens: 24, ..Default::default() });
        ask(&Session::new(&model, &embedder, Arc::clone(&pack), options).unwrap(), LONG)
    };
    let plain = ask_with(ReadFrom::PackMemories, &[]);
    assert_eq!(plain.confidence, Confidence::default(), "nobody asked");
    let both = ask_with(ReadFrom::PackMemories, &[log, share]);
    assert_eq!(essence(&both), essence(&plain), "measuring changes no answer");
    assert!(both.confidence.get(log).unwrap() < 0.0 && (0.001..0.999).contains(&both.confidence.get(share).unwrap()), "{both:?}");
    let one = ask_with(ReadFrom::PackMemories, &[share]).confidence;
    assert_eq!(one, Confidence { log_probability: None, ..both.confidence });
    // Where no memories are read, there is no share of attention.
    for read_from in [ReadFrom::Weights { prefix: true }, ReadFrom::Weights { prefix: false }] {
        let found = ask_with(read_from, &[share, log]).confidence;
        assert!(found.memory_attention.is_none() && found.log_probability.is_some_and(|mean| mean < 0.0), "{read_from:?}: {found:?}");
    }
}

#[test]
fn prefetching_changes_no_answer() {
    let _alone = alone();
    let embedder = embedder();
    let model = endless(16);
    let pack = write_pack(&model, &embedder).open();
    let session = |prefetch, sampling, cache| {
        let answers = AnswerOptions { sampling, max_tokens: 60, ..Default::default() };
        let options = SessionOptions { answers, prefetch, cache: Arc::new(MemoryCache::new(cache)), ..Default::default() };
        Session::new(&model, &embedder, Arc::clone(&pack), options).unwrap()
    };
    for sampling in [Sampling::Greedy, Sampling::TopP { temperature: 1.2, top_p: 0.95, seed: 3 }] {
        // Also with an empty cache, which does not keep prefetched memories.
        for budget in [0, 64 << 20] {
            let (with, without) = (session(true, sampling, budget), session(false, sampling, budget));
            for question in [QUESTION, LONG] {
                assert_eq!(essence(&ask(&with, question)), essence(&ask(&without, question)));
            }
            assert_eq!(without.cache().statistics().prefetched, 0);
            assert!(with.cache().statistics().prefetched > 0);
        }
    }
}

#[test]
fn one_session_answers_many_questions_and_stops_where_the_model_says() {
    let _alone = alone();
    let (model, embedder) = (tiny(), embedder());
    let written = write_pack(&model, &embedder);
    let session = Session::new(&model, &embedder, written.open(), SessionOptions::default()).unwrap();
    let first = ask(&session, QUESTION);
    assert_eq!(first.stop, Stop::Text(".".into()));
    assert!(first.text.ends_with('.') && !first.text.starts_with(' '), "{:?}", first.text);
    assert_eq!(first.chunks.len(), 1);
    assert_eq!(first.chunks[0].query, QUESTION, "the template is not part of the query");
    assert_eq!(first.chunks[0].reads.len(), 5);
    assert!(first.chunks[0].reads.is_sorted_by(|a, b| a.hit.similarity >= b.hit.similarity));
    let keltamin = first.chunks[0].reads[0].cite(OnDamage::Fail).unwrap();
    assert!(keltamin.found.document.starts_with("keltamin"), "{keltamin:?}");
    assert_eq!((keltamin.pack.as_str(), keltamin.id), ("sheets", written.open().id()));
    ask(&session, "What is the usual dose of Vendril?");
    let again = ask(&session, QUESTION);
    assert_eq!(essence(&again), essence(&first));
    assert!(again.chunks[0].reads.iter().all(|read| read.cached) && !first.chunks[0].reads[0].cached);
    // Fewer memories, and a stop at the token limit.
    let options = making(AnswerOptions { k: Some(2), max_tokens: 1, ..Default::default() });
    let short = ask(&Session::new(&model, &embedder, written.open(), options).unwrap(), QUESTION);
    assert_eq!((short.chunks[0].reads.len(), short.tokens.len(), short.stop), (2, 1, Stop::MaxTokens));
    // A stop by the receiver of the text.
    let mut pieces = 0;
    let interrupted = session.ask(QUESTION, &mut |_| {
        pieces += 1;
        ControlFlow::Break(())
    });
    assert_eq!((interrupted.unwrap().stop, pieces), (Stop::Interrupted, 1));
}

#[test]
fn sessions_on_several_threads_answer_alike() {
    let _alone = alone();
    let (model, embedder) = (tiny(), embedder());
    let pack = write_pack(&model, &embedder).open();
    let cache = Arc::new(MemoryCache::default());
    let session = || {
        let options = SessionOptions { cache: Arc::clone(&cache), ..Default::default() };
        Session::new(&model, &embedder, Arc::clone(&pack), options).unwrap()
    };
    let wanted = essence(&ask(&session(), QUESTION));
    let threads: Vec<_> =
        [session(), session()].into_iter().map(|session| std::thread::spawn(move || essence(&ask(&session, QUESTION)))).collect();
    threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), wanted));
}

#[test]
fn a_seed_reproduces_an_answer() {
    let _alone = alone();
    let (model, embedder) = (endless(64), embedder());
    let pack = write_pack(&model, &embedder).open();
    let answer = |seed| {
        let sampling = Sampling::TopP { temperature: 1.5, top_p: 1.0, seed };
        let options = making(AnswerOptions { sampling, max_tokens: 24, ..Default::default() });
        ask(&Session::new(&model, &embedder, Arc::clone(&pack), options).unwrap(), QUESTION).tokens
    };
    assert_eq!(answer(1), answer(1));
    assert_ne!(answer(1), answer(2));
}

#[test]
fn the_retriever_finds_what_the_embedder_says() {
    let _alone = alone();
    let (model, embedder) = (tiny(), embedder());
    let pack = write_pack(&model, &embedder).open();
    let retriever = Retriever::new(&embedder, Arc::clone(&pack)).unwrap();
    let hits = retriever.retrieve(QUESTION, 5, Method::default()).unwrap();
    assert_eq!(hits, retriever.retrieve(QUESTION, 5, Method::Exact).unwrap());
    let own: Vec<Hit> = hits.iter().map(|hit| hit.clone().map(|reference| reference.number)).collect();
    assert_eq!(own, pack.search_exact(&embedder.embed(EmbedAs::Query, &[QUESTION]).unwrap(), 5).unwrap());
    let sheets = sheets();
    let texts: Vec<&str> = sheets.iter().map(String::as_str).collect();
    for (reference, hits) in (0u32..).zip(retriever.retrieve_batch(&texts, 1, Method::Exact, OnDamage::Fail).unwrap()) {
        assert_eq!(hits[0].reference.number, reference);
        assert!((hits[0].similarity - 1.0).abs() < 1e-4);
    }
    assert_eq!(retriever.retrieve_batch(&[], 5, Method::Exact, OnDamage::Fail).unwrap().len(), 0);
}

#[test]
fn a_pack_of_another_model_or_embedder_is_refused() {
    let _alone = alone();
    let (model, embedder) = (tiny(), embedder());
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, other_model: bool| {
        let (mut m, mut e) = (model.identity().clone(), embedder.identity().clone());
        if other_model {
            (m.weights, m.rope_base, m.name) = (Digest::of(b"others"), 5e5, "other".into());
        } else {
            (e.digest, e.name) = (Digest::of(b"others"), "other".into());
        }
        let path = folder.path().join(name);
        write_pack_as(&path, 2, &model, &embedder, (m, e));
        let pack = Arc::new(MappedPack::open(path).unwrap());
        match Session::new(&model, &embedder, pack, SessionOptions::default()) {
            Err(SessionError::Mismatch(mismatch)) => mismatch,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("accepted"),
        }
    };
    let mismatch = refused("model", true);
    let fields: Vec<&str> = mismatch.differences.iter().map(|difference| difference.field).collect();
    assert_eq!((mismatch.party, fields.as_slice()), ("model", ["RoPE base", "weights"].as_slice()));
    let (text, details) = (mismatch.to_string(), mismatch.details());
    for part in ["other", "RoPE base", "500000", "10000", "weights"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    for digest in [Digest::of(b"others").to_string(), model.identity().weights.to_string()] {
        assert!(details.contains(&digest) && !text.contains(&digest), "{text}\n{details}");
    }
    let mismatch = refused("embedder", false);
    assert_eq!((mismatch.party, mismatch.differences[0].field), ("embedder", "embedder"));
}

#[test]
fn a_damaged_memory_ends_the_answer_with_its_place() {
    let _alone = alone();
    let (model, embedder) = (tiny(), embedder());
    let written: Written = write_pack(&model, &embedder);
    let (section, stride) = {
        let pack = written.open();
        (*pack.sections().iter().find(|section| section.tag == Tag::MEMORIES).unwrap(), pack.record_bytes())
    };
    let mut bytes = fs::read(&written.path).unwrap();
    for record in 0..sheets().len() as u64 {
        bytes[(section.offset + record * stride + stride / 2) as usize] ^= 0x10;
    }
    fs::write(&written.path, bytes).unwrap();
    for prefetch in [true, false] {
        let session = Session::new(&model, &embedder, written.open(), SessionOptions { prefetch, ..Default::default() }).unwrap();
        let error = session.ask(QUESTION, &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert!(error.is_damage(), "{error}");
        let AskError::Fetch(fetch) = error else { panic!("{error}") };
        let ReadError::Damaged(damage) = &*fetch.source else { panic!("{fetch}") };
        assert_eq!((damage.section, damage.offset), (Tag::MEMORIES, section.offset + u64::from(fetch.reference) * stride));
        assert!(matches!(damage.defect, Defect::Leaf { .. }) && fetch.to_string().contains("sheets.mpk"), "{fetch}");
    }
}

#[test]
fn damaged_memories_give_way_to_the_next_similar() {
    let _alone = alone();
    let (model, embedder) = (tiny(), embedder());
    let written = write_pack(&model, &embedder);
    let whole = written.open();
    let session = |pack, skip_damaged| {
        let options = SessionOptions { skip_damaged, ..making(AnswerOptions { max_tokens: 4, ..Default::default() }) };
        Session::new(&model, &embedder, pack, options).unwrap()
    };
    let wanted = whole.search_exact(&embedder.embed(EmbedAs::Query, &[QUESTION]).unwrap(), 7).unwrap();
    let memories = *whole.sections().iter().find(|section| section.tag == Tag::MEMORIES).unwrap();
    let mut bytes = fs::read(&written.path).unwrap();
    for damaged in [&wanted[0], &wanted[3]] {
        bytes[(memories.offset + u64::from(damaged.reference) * whole.record_bytes() + 9) as usize] ^= 1;
    }
    let copy = written.folder.path().join("copy.mpk");
    fs::write(&copy, bytes).unwrap();
    let copy = Arc::new(MappedPack::open(copy).unwrap());
    assert!(session(Arc::clone(&copy), false).ask(QUESTION, &mut |_| ControlFlow::Continue(())).unwrap_err().is_damage());
    let answer = ask(&session(copy, true), QUESTION);
    let reads: Vec<u32> = answer.chunks[0].reads.iter().map(|read| read.hit.reference.number).collect();
    assert_eq!(reads, [1, 2, 4, 5, 6].map(|i: usize| wanted[i].reference));
    let parts = answer.skipped.parts();
    assert_eq!((parts.len(), parts[0].section, parts[0].places), (1, Tag::MEMORIES, 2));
    assert!(ask(&session(whole, true), QUESTION).skipped.parts().is_empty());
}

#[test]
fn a_session_can_demand_a_signature() {
    let _alone = alone();
    let (model, embedder) = (tiny(), embedder());
    let written = write_pack(&model, &embedder);
    let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let signed = written.folder.path().join("signed.mpk");
    sign_file(&written.path, &key, &signed, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let signed = Arc::new(MappedPack::open(signed).unwrap());
    let options = |trusted: &[&PrivateKey]| SessionOptions {
        trusted: trusted.iter().map(|key| key.public()).collect(),
        ..making(AnswerOptions { max_tokens: 2, ..Default::default() })
    };
    let refused = |pack, trusted: &[&PrivateKey]| match Session::new(&model, &embedder, pack, options(trusted)) {
        Err(SessionError::NotSigned(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted"),
    };
    let error = refused(written.open(), &[&key]);
    assert!(matches!(error.source, SignatureError::Unsigned) && error.to_string().contains("sheets.mpk"), "{error}");
    assert!(matches!(refused(Arc::clone(&signed), &[&other]).source, SignatureError::Untrusted { .. }));
    // After a replacement, each question checks the signature again.
    let mounts = Arc::new(Mounts::of(signed));
    let session = Session::over(&model, &embedder, Arc::clone(&mounts), options(&[&other, &key])).unwrap();
    ask(&session, QUESTION);
    mounts.replace("signed", written.open()).unwrap();
    assert!(matches!(session.ask(QUESTION, &mut |_| ControlFlow::Continue(())), Err(AskError::NotSigned(_))));
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let _alone = alone();
    let (model, embedder) = (tiny(), embedder());
    let pack = write_pack(&model, &embedder).open();
    let wrong = [
        ("k", AnswerOptions { k: Some(0), ..Default::default() }),
        ("k", AnswerOptions { k: Some(6), ..Default::default() }),
        ("max_tokens", AnswerOptions { max_tokens: 0, ..Default::default() }),
        ("temperature", AnswerOptions { sampling: Sampling::TopP { temperature: 0.0, top_p: 1.0, seed: 0 }, ..Default::default() }),
    ];
    for (name, options) in wrong {
        match Session::new(&model, &embedder, Arc::clone(&pack), making(options)) {
            Err(SessionError::Option(OptionError { option, .. })) => assert_eq!(option, name),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{name} was accepted"),
        }
    }
    let session = Session::new(&model, &embedder, pack, SessionOptions::default()).unwrap();
    let mut ignore = |_: &str| ControlFlow::Continue(());
    assert!(matches!(session.ask(" \n", &mut ignore), Err(AskError::EmptyQuestion)));
    // 2048 positions minus the prefix, the memories' positions, the BOS and one token of the answer.
    let long = session.ask(&"dose ".repeat(3000), &mut ignore);
    assert!(matches!(long, Err(AskError::TooLong { max: 1916, .. })), "{long:?}");
}

#[test]
fn a_margin_lets_a_chunk_read_what_its_scores_justify() {
    let _alone = alone();
    let (model, embedder) = (tiny(), embedder());
    let written = write_pack(&model, &embedder);
    let reads = |similarity_margin| {
        let model = model.with_memory(MemoryConfig { similarity_margin, ..model.memory().clone() }).unwrap();
        let session = Session::new(&model, &embedder, written.open(), making(AnswerOptions { max_tokens: 2, ..Default::default() }));
        ask(&session.unwrap(), QUESTION).chunks[0]
            .reads
            .iter()
            .map(|read| (read.hit.reference.number, read.hit.similarity))
            .collect::<Vec<_>>()
    };
    let all = reads(None);
    assert_eq!(all.len(), 5);
    assert_eq!(reads(Some(2.0)), all);
    assert_eq!(reads(Some(0.0)), all[..1]);
    // Halfway between the third and the fourth.
    let margin = all[0].1 - (all[2].1 + all[3].1) / 2.0;
    assert_eq!(reads(Some(margin)), all[..3]);
}
