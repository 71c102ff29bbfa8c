//! Batches on kernels against the reader, which libtorch computes.

use std::path::Path;

use mempack_model::{
    Batch, ComputeError, Decoder, DeviceChoice, LoadOptions, Memory, MemoryConfig, Model, Precision, ReaderOptions, Row, Sequence, Slot,
    StepDecoder, TokensPerHead, set_threads,
};

fn options() -> LoadOptions {
    set_threads(1);
    LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, ..LoadOptions::default() }
}

/// The tiny model with chunks of 16 tokens, which weighs memories by similarity; some heads and a layer keep none.
fn tiny() -> Model {
    let model = Model::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny"), &options()).unwrap();
    let budget = vec![vec![8, 0, 3], vec![0, 0, 0], vec![1, 30, 1], vec![8, 8, 8], vec![0, 0, 5]];
    let memory = MemoryConfig {
        tokens_per_head: TokensPerHead::Budget(budget),
        retrieval_interval: 16,
        similarity_bias: 3.0,
        ..model.memory().clone()
    };
    model.with_memory(memory).unwrap()
}

/// Memories of 4, 11, 18, ... tokens.
fn memories(model: &Model, count: u32) -> Vec<Memory> {
    let ids = |n: u32| (0..4 + 7 * n).map(|i| 20 + (n * 97 + i * 31) % 1400).collect::<Vec<u32>>();
    (0..count).map(|n| model.write(&[&ids(n)]).unwrap().remove(0)).collect()
}

fn slots(memories: &[Memory]) -> Vec<Slot<'_>> {
    memories.iter().enumerate().map(|(n, memory)| Slot { memory, similarity: 0.6 - 0.05 * n as f32 }).collect()
}

fn text(tokens: u32, seed: u32) -> Vec<u32> {
    (0..tokens).map(|i| 20 + (seed * 61 + i * 37) % 1400).collect()
}

fn near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0f32, |max, x| max.max(x.abs()));
    let off =
        found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, |max, d| if d.is_nan() { f32::INFINITY } else { max.max(d) });
    assert!(off <= 1e-4 * scale, "{what}: {off} at a scale of {scale}");
}

fn batch(decoder: &Decoder) -> Batch {
    Batch::new(&StepDecoder::new(decoder).unwrap(), usize::MAX).unwrap()
}

/// Decodes a text with a batch and with a reader. The memories change after a few steps.
fn compare(decoder: &Decoder, prefix: bool, tokens: u32, memories: &[Memory]) {
    let chunks: Vec<Vec<Slot<'_>>> = match memories {
        [] => Vec::new(),
        some => [&some[..1], some, &some[2..4]].into_iter().map(slots).collect(),
    };
    let options = ReaderOptions { capacity: 1 + tokens as usize + 8, prefix };
    let (mut reader, mut batch) = (decoder.reader(&options).unwrap(), batch(decoder));
    let mut sequence = batch.open(&options).unwrap();
    reader.watch_memories();
    sequence.watch_memories();
    let text = text(tokens, 1);
    let expected = reader.prompt(&text, &chunks, false).unwrap();
    batch.prompt(&mut sequence, &text, &chunks).unwrap();
    near(sequence.logits(), &expected, &format!("prompt of {tokens}"));
    near(&[sequence.memory_share().unwrap()], &[reader.memory_share().unwrap()], "share of the prompt");
    for (step, token) in self::text(8, 9).into_iter().enumerate() {
        if step == 3 && !memories.is_empty() {
            reader.set_memories(&slots(&memories[1..3])).unwrap();
            batch.set_memories(&mut sequence, &slots(&memories[1..3])).unwrap();
        }
        let expected = reader.step(token).unwrap();
        let mut rows = [Row::new(&mut sequence, token)];
        batch.step(&mut rows);
        rows.into_iter().for_each(|row| row.outcome.unwrap());
        near(sequence.logits(), &expected, &format!("step {step} after {tokens}"));
        near(&[sequence.memory_share().unwrap()], &[reader.memory_share().unwrap()], "share of a step");
    }
    let mut full = [Row::new(&mut sequence, 20)];
    for _ in 0..64 {
        batch.step(&mut full);
    }
    assert!(matches!(full[0].outcome, Err(ComputeError::Capacity { .. })), "the context is full");
    let closed = |sequence: Sequence, batch: &mut Batch| batch.close(sequence);
    closed(sequence, &mut batch);
}

#[test]
fn a_batch_computes_what_a_reader_computes() {
    let model = tiny();
    let memories = memories(&model, 4);
    // Of one chunk, of several, and so long that libtorch computes the prompt.
    for tokens in [1, 15, 16, 40, 130, 900] {
        compare(model.decoder(), true, tokens, &memories);
        compare(model.decoder(), true, tokens, &[]);
        compare(model.decoder(), false, tokens, &[]);
    }
}

/// Steps with 8-bit weights against those of bf16, which they are made of.
#[test]
fn eight_bits_are_near() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny");
    let load = |precision| Decoder::load(&folder, &LoadOptions { precision, ..options() }).unwrap();
    let options = ReaderOptions { capacity: 40, prefix: false };
    let logits = |decoder: &Decoder| {
        let mut batch = batch(decoder);
        let mut sequence = batch.open(&options).unwrap();
        batch.prompt(&mut sequence, &text(20, 3), &[]).unwrap();
        batch.step(&mut [Row::new(&mut sequence, 40)]);
        sequence.logits().to_vec()
    };
    let (exact, rounded) = (logits(&load(Precision::Bf16)), logits(&load(Precision::Int8)));
    let scale = exact.iter().fold(0f32, |max, x| max.max(x.abs()));
    let off = rounded.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(off > 0.0 && off < 0.06 * scale, "{off} at a scale of {scale}");
}

/// GELU, scaled embeddings, norms with an offset, one key-value head.
#[test]
fn gemma_too() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny-gemma");
    let decoder = Decoder::load(&folder, &options()).unwrap();
    let options = ReaderOptions { capacity: 20, prefix: false };
    let (mut reader, mut batch) = (decoder.reader(&options).unwrap(), batch(&decoder));
    let mut sequence = batch.open(&options).unwrap();
    let ids: Vec<u32> = (0..12).map(|i| 3 + i * 5 % 60).collect();
    let expected = reader.prompt(&ids, &[], false).unwrap();
    batch.prompt(&mut sequence, &ids, &[]).unwrap();
    near(sequence.logits(), &expected, "prompt");
    let expected = reader.step(7).unwrap();
    batch.step(&mut [Row::new(&mut sequence, 7)]);
    near(sequence.logits(), &expected, "step");
}

#[test]
fn caches_come_out_of_the_budget_and_serve_again() {
    let model = tiny();
    let decoder = StepDecoder::new(model.decoder()).unwrap();
    let options = |capacity| ReaderOptions { capacity, prefix: true };
    let bytes = Batch::new(&decoder, 0).unwrap().bytes_of(&options(64));
    let mut batch = Batch::new(&decoder, 2 * bytes).unwrap();
    let (first, second) = (batch.open(&options(64)).unwrap(), batch.open(&options(1)).unwrap());
    let refused = |batch: &mut Batch, capacity| match batch.open(&options(capacity)) {
        Err(ComputeError::Budget { needed, free, budget }) => (needed, free, budget),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{capacity} tokens are accepted"),
    };
    assert_eq!(refused(&mut batch, 64), (bytes, 0, 2 * bytes));
    batch.close(first);
    // A used cache is as good as a new one.
    let mut again = batch.open(&options(30)).unwrap();
    let memories = memories(&model, 2);
    batch.prompt(&mut again, &text(20, 1), &[slots(&memories)]).unwrap();
    batch.close(again);
    let mut again = batch.open(&options(30)).unwrap();
    assert!(again.logits().is_empty() && again.memory_share().is_none());
    batch.prompt(&mut again, &text(20, 1), &[]).unwrap();
    let mut reader = model.reader(&options(30)).unwrap();
    near(again.logits(), &reader.prompt(&text(20, 1), &[], false).unwrap(), "without the memories of before");
    // A longer one takes the place of those that are kept.
    batch.close(again);
    assert_eq!(refused(&mut batch, 64 * 40).2, 2 * bytes);
    batch.close(second);
    batch.open(&options(100)).unwrap();
}

#[test]
fn what_a_sequence_cannot_take_is_refused_alone() {
    let model = tiny();
    let mut batch = batch(model.decoder());
    let options = ReaderOptions { capacity: 64, prefix: true };
    let [mut good, mut empty, mut unknown] = [(); 3].map(|()| batch.open(&options).unwrap());
    let vocabulary = model.config().vocabulary;
    for sequence in [&mut good, &mut unknown] {
        assert!(matches!(batch.prompt(sequence, &[vocabulary], &[]), Err(ComputeError::UnknownToken { .. })));
        assert!(matches!(batch.prompt(sequence, &text(64, 1), &[]), Err(ComputeError::Capacity { capacity: 64, wanted: 65 })));
        batch.prompt(sequence, &text(5, 1), &[]).unwrap();
        assert!(matches!(batch.prompt(sequence, &text(5, 1), &[]), Err(ComputeError::Order { .. })));
    }
    let before = good.logits().to_vec();
    let mut rows = [Row::new(&mut empty, 20), Row::new(&mut good, 20), Row::new(&mut unknown, vocabulary)];
    batch.step(&mut rows);
    let outcomes = rows.map(|row| row.outcome);
    assert!(matches!(&outcomes, [Err(ComputeError::Order { .. }), Ok(()), Err(ComputeError::UnknownToken { .. })]), "{outcomes:?}");
    assert_ne!(good.logits(), before);
    // Memories of another shape, too many, and memories without slots for them.
    let five = memories(&model, 4);
    let many: Vec<Slot<'_>> = five.iter().chain(&five).map(|memory| Slot { memory, similarity: 0.5 }).collect();
    assert!(matches!(batch.set_memories(&mut good, &many), Err(ComputeError::TooManyMemories { given: 8, .. })));
    let mut plain = batch.open(&ReaderOptions { capacity: 64, prefix: false }).unwrap();
    assert!(matches!(batch.set_memories(&mut plain, &many[..1]), Err(ComputeError::NoSlots)));
    let mut cut = five[0].clone();
    cut.keys.pop();
    assert!(matches!(batch.set_memories(&mut good, &[Slot { memory: &cut, similarity: 0.5 }]), Err(ComputeError::DamagedMemory { .. })));
}
