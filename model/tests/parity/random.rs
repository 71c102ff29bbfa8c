//! Small random models: every folder of the fixtures that holds a model.

use std::path::Path;

use mempack_model::{Decoder, DeviceChoice, LoadOptions, Memory, Precision, Reader, ReaderOptions, Slot, set_threads};

use crate::fixture::{Cases, Expected, cases, folder, largest, relative};
use crate::memories::compare;

struct Loaded {
    name: String,
    decoder: Decoder,
    cases: Cases,
    expected: Expected,
    memories: Vec<Memory>,
}

fn load(case: &Path, precision: Precision) -> Loaded {
    // One thread an operation: the tests run side by side, and libtorch's threads spin.
    set_threads(1);
    let options = LoadOptions { precision, device: DeviceChoice::Cpu, ..LoadOptions::default() };
    let decoder = Decoder::load(&case.join("model"), &options).unwrap();
    let cases = Cases::read(case);
    let references: Vec<&[u32]> = cases.references.iter().map(Vec::as_slice).collect();
    let memories = decoder.write(&references).unwrap();
    Loaded { name: case.file_name().unwrap().to_string_lossy().into_owned(), decoder, cases, expected: Expected::read(case), memories }
}

fn each(precision: Precision, mut check: impl FnMut(Loaded)) {
    let found = cases(true);
    assert!(!found.is_empty(), "{}: no case with a model; tests/fixtures of the repository has three", folder().display());
    found.iter().for_each(|case| check(load(case, precision)));
}

impl Loaded {
    fn reader(&self, prefix: bool) -> Reader {
        self.decoder.reader(&ReaderOptions { capacity: 1 + self.cases.text.len(), prefix }).unwrap()
    }

    /// The four kinds of golden logits, by name: the engine's, in one pass.
    fn logits(&self) -> Vec<(&'static str, Vec<f32>)> {
        let one_pass = |prefix, chunks: &[Vec<Slot<'_>>]| self.reader(prefix).prompt(&self.cases.text, chunks, true).unwrap();
        vec![
            ("read.logits", one_pass(true, &self.cases.chunks(&self.memories, false))),
            ("read.logits_biased", one_pass(true, &self.cases.chunks(&self.memories, true))),
            ("read.logits_no_memory", one_pass(true, &[])),
            ("plain.logits", one_pass(false, &[])),
        ]
    }
}

#[test]
fn written_memories() {
    each(Precision::F32, |m| {
        let d = compare(&m.decoder, &m.memories, &m.expected);
        let (keys, values) = (largest(&d.keys.0, &d.keys.1), largest(&d.values.0, &d.values.1));
        println!(
            "{:12} write: {} of {} slots hold another token; largest difference of keys {keys:.1e}, values {values:.1e}",
            m.name, d.other_tokens, d.slots
        );
        assert_eq!(d.other_tokens, 0, "{}", m.name);
        assert!(keys < 1e-4 && values < 1e-4, "{}", m.name);
    });
}

#[test]
fn a_reference_alone_gives_what_it_gives_in_a_batch() {
    each(Precision::F32, |m| {
        for (reference, memory) in m.cases.references.iter().zip(&m.memories) {
            let alone = m.decoder.write(&[reference]).unwrap().remove(0);
            assert_eq!(alone.positions, memory.positions, "{}", m.name);
            assert!(largest(&alone.keys, &memory.keys) < 1e-5 && largest(&alone.values, &memory.values) < 1e-5, "{}", m.name);
        }
    });
}

#[test]
fn logits_of_one_pass() {
    each(Precision::F32, |m| {
        for (name, logits) in m.logits() {
            let off = largest(&logits, m.expected.float(name));
            println!("{:12} {name:22} largest difference {off:.1e}", m.name);
            assert!(off < 1e-3, "{} {name}: {off}", m.name);
        }
    });
}

#[test]
fn step_by_step_gives_what_one_pass_gives() {
    each(Precision::F32, |m| {
        let vocabulary = m.decoder.config().vocabulary as usize;
        let interval = m.decoder.memory().retrieval_interval as usize;
        let with = m.cases.chunks(&m.memories, true);
        for (name, prefix, chunks) in [("biased", true, with.as_slice()), ("no memory", true, &[][..]), ("plain", false, &[][..])] {
            let text = &m.cases.text;
            let golden = m.expected.float(
                ["plain.logits", "read.logits_no_memory", "read.logits_biased"][usize::from(prefix) + usize::from(!chunks.is_empty())],
            );
            // The prompt ends at the start, inside a chunk, at its last token, and at the text's last but one.
            for start in [0, interval / 2, interval, interval + 1, text.len() - 1] {
                let mut reader = m.reader(prefix);
                let begun = chunks.len().min(start.saturating_sub(1) / interval + 1);
                let mut logits = reader.prompt(&text[..start], &chunks[..begun], false).unwrap();
                let mut off = largest(&logits, &golden[start * vocabulary..(start + 1) * vocabulary]);
                for (t, token) in text.iter().enumerate().skip(start) {
                    if t > 0 && t % interval == 0 && t / interval < chunks.len() {
                        reader.set_memories(&chunks[t / interval]).unwrap();
                    }
                    logits = reader.step(*token).unwrap();
                    off = off.max(largest(&logits, &golden[(t + 1) * vocabulary..(t + 2) * vocabulary]));
                }
                println!("{:12} {name:10} prompt of {start:3}, then steps: largest difference {off:.1e}", m.name);
                assert!(off < 1e-3, "{} {name} {start}: {off}", m.name);
                assert_eq!(reader.len(), 1 + text.len());
            }
        }
    });
}

/// Many chunks, so that whole blocks of the mask are -inf for some rows. The share of attention on memories is that of the last token.
#[test]
fn a_long_prompt_gives_what_steps_give() {
    each(Precision::F32, |m| {
        let interval = m.decoder.memory().retrieval_interval as usize;
        let text: Vec<u32> = m.cases.text.iter().copied().cycle().take(18 * interval).collect();
        let slot = |i: usize| Slot { memory: &m.memories[i % m.memories.len()], similarity: 0.5 + (i % 7) as f32 / 20.0 };
        let chunks: Vec<Vec<Slot<'_>>> = (0..18).map(|c| (0..5).map(|i| slot(3 * c + i)).collect()).collect();
        let options = ReaderOptions { capacity: 1 + text.len(), prefix: true };
        let passed = m.decoder.reader(&options).unwrap().prompt(&text, &chunks, false).unwrap();
        let watched = || {
            let mut reader = m.decoder.reader(&options).unwrap();
            assert_eq!(reader.memory_share(), None);
            reader.watch_memories();
            reader
        };
        let mut at_once = watched();
        assert_eq!(at_once.prompt(&text, &chunks, false).unwrap(), passed, "{}: watching changes no logit", m.name);
        let mut reader = watched();
        let mut stepped = reader.prompt(&[], &chunks[..1], false).unwrap();
        for (t, token) in text.iter().enumerate() {
            if t % interval == 0 {
                reader.set_memories(&chunks[t / interval]).unwrap();
            }
            stepped = reader.step(*token).unwrap();
        }
        let off = largest(&stepped, &passed);
        let (share, same) = (at_once.memory_share().unwrap(), reader.memory_share().unwrap());
        println!("{:12} {} tokens in one pass and in steps: largest difference {off:.1e}; {share} on memories", m.name, text.len());
        assert!(off < 1e-3, "{}", m.name);
        assert!((share - same).abs() < 1e-4 && (0.001..0.999).contains(&share), "{}: {share} and {same}", m.name);
        // Without memories there is nothing to attend to.
        let mut empty = watched();
        empty.prompt(&text[..3], &[], false).unwrap();
        assert_eq!(empty.memory_share(), Some(0.0));
    });
}

#[test]
fn bf16_distance() {
    each(Precision::Bf16, |m| {
        let d = compare(&m.decoder, &m.memories, &m.expected);
        let (keys, values) = (relative(&d.keys.0, &d.keys.1), relative(&d.values.0, &d.values.1));
        println!(
            "{:12} bf16 write: {} of {} slots hold another token; relative distance of keys {keys:.4}, values {values:.4}",
            m.name, d.other_tokens, d.slots
        );
        assert!(d.other_tokens * 4 < d.slots && keys < 0.05 && values < 0.05, "{}", m.name);
        for (name, logits) in m.logits() {
            let off = relative(&logits, m.expected.float(name));
            println!("{:12} bf16 {name:22} relative distance {off:.4}", m.name);
            // One token that loses a near tie changes what is read: a bound on sanity, not on precision.
            assert!(off < 0.75, "{} {name}", m.name);
        }
    });
}
