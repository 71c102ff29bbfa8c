//! Decoding with the tiny model: the cost of memories for one token, and of a whole answer with and without the prefetching thread.

use std::ops::ControlFlow;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use mempack_model::{ReaderOptions, Slot, prompt_tokens};
use mempack_runtime::{AnswerOptions, Method, ReadFrom, Retriever, Session, SessionOptions};

#[path = "../runtime/tests/engine/mod.rs"]
mod engine;
use engine::{STOP, embedder, tiny_with, write_pack};

const QUESTION: &str = "What is the usual dose of Keltamin?";

fn decode(c: &mut Criterion) {
    let (model, embedder) = (tiny_with(&[(STOP, "\"stop_ids\": []")]), embedder());
    let written = write_pack(&model, &embedder);
    let pack = written.open();
    let cache = Arc::default();
    let mut group = c.benchmark_group("decode");

    let retriever = Retriever::new(&embedder, Arc::clone(&pack)).expect("the pack's embedder");
    group.bench_function("retrieve", |b| b.iter(|| retriever.retrieve(QUESTION, 5, Method::default()).expect("hits")));

    let prompt = prompt_tokens(&model, QUESTION).expect("a prompt");
    for memories in [0, 5] {
        let memory = mempack_runtime::MemoryCache::get(&cache, &pack, 0).expect("a memory");
        let slots: Vec<Slot<'_>> = (0..memories).map(|_| Slot { memory: &memory, similarity: 0.5 }).collect();
        let start = || {
            let mut reader = model.reader(&ReaderOptions { capacity: 512, prefix: true }).expect("a reader");
            reader.prompt(&prompt.ids, std::slice::from_ref(&slots), false).expect("scores");
            reader
        };
        let mut reader = start();
        group.bench_function(format!("step, {memories} memories"), |b| {
            b.iter(|| {
                if reader.len() == reader.capacity() {
                    reader = start();
                }
                reader.step(7).expect("scores")
            });
        });
    }

    for (name, memories, prefetch) in [("no memories", false, false), ("memories", true, false), ("memories, prefetch", true, true)] {
        let read_from = if memories { ReadFrom::PackMemories } else { ReadFrom::Weights { prefix: true } };
        let answers = AnswerOptions { read_from, max_tokens: 128, ..AnswerOptions::default() };
        let options = SessionOptions { answers, prefetch, cache: Arc::clone(&cache), ..SessionOptions::default() };
        let session = Session::new(&model, &embedder, Arc::clone(&pack), options).expect("a session");
        group.bench_function(format!("128 tokens, {name}"), |b| {
            b.iter(|| session.ask(QUESTION, &mut |_| ControlFlow::Continue(())).expect("an answer"));
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = decode }
criterion_main!(benches);
