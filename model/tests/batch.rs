//! Batches on kernels against the reader, which libtorch computes.

use std::path::Path;

use mempack_model::{
    Batch, ComputeError, Decoder, DeviceChoice, Digest, LoadOptions, Memory, MemoryConfig, Model, Precision, Prompt, ReaderOptions, Row,
    Sequence, Slot, SlotList, StepDecoder, TokensPerHead, set_threads,
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

fn list(memories: &[Memory]) -> SlotList<'_> {
    let numbers = memories.iter().flat_map(|memory| &memory.keys).flat_map(|x| x.to_le_bytes());
    SlotList { slots: slots(memories), key: Digest::of(&numbers.collect::<Vec<u8>>()) }
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
    Batch::new(&StepDecoder::new(decoder).unwrap(), usize::MAX, 8).unwrap()
}

/// A sequence that holds a prompt.
fn prompted(batch: &mut Batch, options: &ReaderOptions, text: &[u32], chunks: &[SlotList<'_>]) -> Sequence {
    let prompt = Prompt { text, chunks };
    let mut sequence = batch.open(options, &prompt).unwrap();
    batch.prompt(&mut sequence, &prompt).unwrap();
    sequence
}

/// The logits after each of some tokens.
fn stepped(batch: &mut Batch, sequence: &mut Sequence, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut step = |token: &u32| {
        let mut rows = [Row::new(sequence, *token)];
        batch.step(&mut rows);
        rows.into_iter().for_each(|row| row.outcome.unwrap());
        sequence.logits().to_vec()
    };
    tokens.iter().map(&mut step).collect()
}

fn total(shares: Option<&[f32]>) -> f32 {
    shares.unwrap().iter().sum()
}

/// Decodes a text with a batch and with a reader. The memories change after a few steps.
fn compare(decoder: &Decoder, prefix: bool, tokens: u32, memories: &[Memory]) {
    let read = |range: std::ops::Range<usize>| memories.get(range).unwrap_or_default();
    let lists: Vec<SlotList<'_>> = if memories.is_empty() { Vec::new() } else { [0..1, 0..4, 2..4].map(|range| list(read(range))).into() };
    let chunks: Vec<Vec<Slot<'_>>> = lists.iter().map(|list| list.slots.clone()).collect();
    let options = ReaderOptions { capacity: 1 + tokens as usize + 8, prefix };
    let (mut reader, mut batch) = (decoder.reader(&options).unwrap(), batch(decoder));
    let text = text(tokens, 1);
    let prompt = Prompt { text: &text, chunks: &lists };
    let mut sequence = batch.open(&options, &prompt).unwrap();
    reader.watch_memories();
    sequence.watch_memories();
    let expected = reader.prompt(&text, &chunks, false).unwrap();
    batch.prompt(&mut sequence, &prompt).unwrap();
    near(sequence.logits(), &expected, &format!("prompt of {tokens}"));
    near(sequence.memory_shares().unwrap(), reader.memory_shares().unwrap(), "shares of the prompt");
    let of_last = lists.get((tokens.saturating_sub(1) as usize / 16).min(2)).map_or(0, |list| list.slots.len());
    assert_eq!(sequence.memory_shares().unwrap().len(), of_last);
    for (step, token) in self::text(8, 9).into_iter().enumerate() {
        if step == 3 && !memories.is_empty() {
            reader.set_memories(&slots(&memories[1..3])).unwrap();
            batch.set_memories(&mut sequence, &list(&memories[1..3])).unwrap();
        }
        let expected = reader.step(token).unwrap();
        stepped(&mut batch, &mut sequence, &[token]);
        near(sequence.logits(), &expected, &format!("step {step} after {tokens}"));
        near(sequence.memory_shares().unwrap(), reader.memory_shares().unwrap(), "shares of a step");
        assert!((total(sequence.memory_shares()) - reader.memory_share().unwrap()).abs() < 1e-5);
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
    // Of one chunk, of several, and of many passes.
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
        let mut sequence = prompted(&mut batch, &options, &text(20, 3), &[]);
        stepped(&mut batch, &mut sequence, &[40]).remove(0)
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
    let ids: Vec<u32> = (0..12).map(|i| 3 + i * 5 % 60).collect();
    let expected = reader.prompt(&ids, &[], false).unwrap();
    let mut sequence = prompted(&mut batch, &options, &ids, &[]);
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
    let bytes = Batch::new(&decoder, 0, 8).unwrap().bytes_of(&options(64));
    let mut batch = Batch::new(&decoder, 2 * bytes, 8).unwrap();
    let other = text(20, 5);
    let open = |batch: &mut Batch, capacity| batch.open(&options(capacity), &Prompt { text: &other[..capacity.min(21) - 1], chunks: &[] });
    let (first, second) = (open(&mut batch, 64).unwrap(), open(&mut batch, 1).unwrap());
    let refused = |batch: &mut Batch, capacity| match open(batch, capacity) {
        Err(ComputeError::Budget { needed, free, budget }) => (needed, free, budget),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{capacity} tokens are accepted"),
    };
    assert_eq!(refused(&mut batch, 64), (bytes, 0, 2 * bytes));
    batch.close(first);
    // A used cache is as good as a new one.
    let memories = memories(&model, 2);
    let again = prompted(&mut batch, &options(30), &text(20, 1), &[list(&memories)]);
    batch.close(again);
    let prompt = Prompt { text: &text(20, 1), chunks: &[] };
    let mut again = batch.open(&options(30), &prompt).unwrap();
    assert!(again.is_empty() && !again.is_prompted() && again.memory_shares().is_none());
    batch.prompt(&mut again, &prompt).unwrap();
    let mut reader = model.reader(&options(30)).unwrap();
    near(again.logits(), &reader.prompt(&text(20, 1), &[], false).unwrap(), "without the memories of before");
    // A longer one takes the place of those that are kept.
    batch.close(again);
    assert_eq!(refused(&mut batch, 64 * 40).2, 2 * bytes);
    batch.close(second);
    open(&mut batch, 100).unwrap();
}

/// Prompts are computed in pieces beside the answers of others, whatever the pieces.
#[test]
fn neighbours_and_pieces_change_no_bit() {
    let model = tiny();
    let memories = memories(&model, 4);
    let lists = [0..2, 1..4, 0..4].map(|range| list(&memories[range]));
    let options = ReaderOptions { capacity: 200, prefix: true };
    let texts: Vec<Vec<u32>> = [3, 150, 16, 70, 33].iter().enumerate().map(|(n, tokens)| text(*tokens, n as u32)).collect();
    let after = text(12, 9);
    let alone: Vec<_> = texts
        .iter()
        .map(|text| {
            let mut batch = batch(model.decoder());
            let mut sequence = prompted(&mut batch, &options, text, &lists);
            let first = sequence.logits().to_vec();
            (first, stepped(&mut batch, &mut sequence, &after))
        })
        .collect();
    let mut batch = batch(model.decoder());
    let prompts: Vec<Prompt<'_>> = texts.iter().map(|text| Prompt { text, chunks: &lists }).collect();
    let mut open: Vec<Sequence> = Vec::new();
    let mut found: Vec<Vec<Vec<f32>>> = vec![Vec::new(); texts.len()];
    while found.iter().any(|logits| logits.len() <= after.len()) {
        // One begins with every step.
        if let Some(prompt) = prompts.get(open.len()) {
            open.push(batch.open(&options, prompt).unwrap());
        }
        let going = open.iter_mut().zip(&found).zip(&prompts).filter(|((_, logits), _)| logits.len() <= after.len());
        let mut rows: Vec<Row<'_>> = going
            .map(|((sequence, logits), prompt)| match logits.len().checked_sub(1) {
                Some(step) => Row::new(sequence, after[step]),
                None => Row::prompt(sequence, prompt),
            })
            .collect();
        batch.step(&mut rows);
        rows.into_iter().for_each(|row| row.outcome.unwrap());
        for (sequence, found) in open.iter().zip(&mut found) {
            if sequence.is_prompted() && found.len() <= after.len() {
                found.push(sequence.logits().to_vec());
            }
        }
    }
    for (number, ((first, steps), found)) in alone.iter().zip(&found).enumerate() {
        assert_eq!(first, &found[0], "prompt {number}");
        assert_eq!(steps, &found[1..], "steps after prompt {number}");
    }
}

/// What is said of a case, a text, its lists, the tokens that are reused, the capacity that is asked for.
type Case<'a> = (&'a str, &'a [u32], &'a [SlotList<'a>], usize, usize);

/// What a sequence has left serves a text that begins alike and reads the same memories there, to the bit.
#[test]
fn a_text_that_begins_alike_goes_on_from_what_is_kept() {
    let model = tiny();
    let memories = memories(&model, 4);
    let lists = [0..2, 1..4, 0..4].map(|range| list(&memories[range]));
    let options = |capacity| ReaderOptions { capacity, prefix: true };
    let (first, answer) = (text(40, 1), text(7, 2));
    let whole: Vec<u32> = first.iter().chain(&answer).copied().chain(text(60, 3)).collect();
    let other = [lists[0].clone(), list(&memories[2..3]), lists[2].clone()];
    // Read by the answer from its third token on, which begins the chunk after 48.
    let cases: [Case<'_>; 6] = [
        ("the next turn", &whole, &lists, 48, 200),
        ("in the same cache", &whole[..55], &lists, 48, 64),
        ("the same again", &first, &lists, 40, 64),
        ("other memories from token 16 on", &whole, &other, 17, 64 * 3),
        ("another text from token 30 on", &[&whole[..30], &[1000, 1001]].concat(), &lists, 31, 64),
        ("another text", &text(30, 4), &lists, 1, 64),
    ];
    for (what, text, chunks, kept, capacity) in cases {
        let mut batch = batch(model.decoder());
        let mut sequence = prompted(&mut batch, &options(60), &first, &lists);
        stepped(&mut batch, &mut sequence, &answer);
        batch.close(sequence);
        let prompt = Prompt { text, chunks };
        let mut again = batch.open(&options(capacity), &prompt).unwrap();
        assert_eq!(again.len(), if kept > 1 { kept } else { 0 }, "{what}");
        batch.prompt(&mut again, &prompt).unwrap();
        let mut fresh = self::batch(model.decoder());
        let mut expected = prompted(&mut fresh, &options(capacity), text, chunks);
        assert_eq!(again.logits(), expected.logits(), "{what}");
        assert_eq!(stepped(&mut batch, &mut again, &answer), stepped(&mut fresh, &mut expected, &answer), "{what}: steps");
    }
}

#[test]
fn what_a_sequence_cannot_take_is_refused_alone() {
    let model = tiny();
    let mut batch = batch(model.decoder());
    let options = ReaderOptions { capacity: 64, prefix: true };
    let vocabulary = model.config().vocabulary;
    let refused = |batch: &mut Batch, text: &[u32], chunks: &[SlotList<'_>]| batch.open(&options, &Prompt { text, chunks }).err();
    assert!(matches!(refused(&mut batch, &[vocabulary], &[]), Some(ComputeError::UnknownToken { .. })));
    assert!(matches!(refused(&mut batch, &text(64, 1), &[]), Some(ComputeError::Capacity { capacity: 64, wanted: 65 })));
    let five = text(5, 1);
    let prompt = Prompt { text: &five, chunks: &[] };
    let [mut good, mut unknown] = [(); 2].map(|()| prompted(&mut batch, &options, &five, &[]));
    assert!(matches!(batch.prompt(&mut good, &prompt), Err(ComputeError::Order { .. })));
    let mut empty = batch.open(&options, &prompt).unwrap();
    let before = good.logits().to_vec();
    let mut rows = [Row::new(&mut empty, 20), Row::new(&mut good, 20), Row::new(&mut unknown, vocabulary)];
    batch.step(&mut rows);
    let outcomes = rows.map(|row| row.outcome);
    assert!(matches!(&outcomes, [Err(ComputeError::Order { .. }), Ok(()), Err(ComputeError::UnknownToken { .. })]), "{outcomes:?}");
    assert_ne!(good.logits(), before);
    // Memories of another shape, too many, and memories without slots for them.
    let memories = memories(&model, 4);
    let many: Vec<Memory> = memories.iter().chain(&memories).cloned().collect();
    let too_many = list(&many);
    assert!(matches!(batch.set_memories(&mut good, &too_many), Err(ComputeError::TooManyMemories { given: 8, .. })));
    let error = refused(&mut batch, &five, std::slice::from_ref(&too_many));
    assert!(matches!(error, Some(ComputeError::TooManyMemories { given: 8, .. })));
    let plain = ReaderOptions { prefix: false, ..options };
    let mut plain = prompted(&mut batch, &plain, &five, &[]);
    assert!(matches!(batch.set_memories(&mut plain, &list(&many[..1])), Err(ComputeError::NoSlots)));
    let mut cut = memories[0].clone();
    cut.keys.pop();
    assert!(matches!(batch.set_memories(&mut good, &list(&[cut])), Err(ComputeError::DamagedMemory { .. })));
}
