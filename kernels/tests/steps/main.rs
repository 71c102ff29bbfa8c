//! Steps beside an oracle in f64, and beside themselves in other batches.

mod model;
mod plain;
mod random;

use std::sync::Arc;

use mempack_kernels::{CacheKind, Cpu, Inputs, KernelError, Logits, Piece, Sequence, SequenceOptions};

use model::{Weights, append, memories, options, set, step};
use plain::{KINDS, Plain, PlainSequence};
use random::Random;

/// Types of weights, inputs and caches, and how far logits may be from the oracle's, as a part of the largest logit.
const TYPES: [(Weights, Inputs, CacheKind, f64); 5] = [
    (Weights::F32, Inputs::Exact, CacheKind::F32, 1e-5),
    (Weights::Bf16, Inputs::Exact, CacheKind::F32, 1e-5),
    (Weights::Bf16, Inputs::Exact, CacheKind::Bf16, 0.02),
    (Weights::Bf16, Inputs::Bf16, CacheKind::Bf16, 0.03),
    (Weights::Int8, Inputs::Bf16, CacheKind::F32, 0.06),
];

#[test]
fn logits_and_shares_are_the_oracles() {
    for (seed, kind) in KINDS.into_iter().enumerate() {
        let mut r = Random(seed as u64);
        let plain = Plain::random(&mut r, kind);
        // The prefix, then tokens in pieces, each piece with other memories.
        let pieces: Vec<(usize, Vec<u32>)> = [2, 5, 1, 1, 7, 1]
            .into_iter()
            .enumerate()
            .map(|(i, n)| (if i == 0 { 0 } else { r.below(4) }, (0..n).map(|_| r.below(plain.vocabulary) as u32).collect()))
            .collect();
        let pieces: Vec<_> = pieces.into_iter().map(|(count, tokens)| (memories(&mut r, &plain, count), tokens)).collect();
        let mut oracle = PlainSequence::default();
        let mut expected = Vec::new();
        let mut index = 0;
        for (memories, tokens) in &pieces {
            oracle.memories.clone_from(memories);
            for token in tokens {
                expected.push(plain.step(&mut oracle, *token, if index < 2 { index } else { index + 17 }));
                index += 1;
            }
        }
        for (weights, inputs, cache, tolerance) in TYPES {
            let model = Arc::new(model::model(&plain, weights));
            for cpu in Cpu::all() {
                for threads in [1, 3] {
                    let mut step = step(&model, cpu, inputs, threads, 7);
                    let mut sequence = step.sequence(options(cache)).unwrap();
                    sequence.watch_memories();
                    let mut found = Vec::new();
                    for (memories, tokens) in &pieces {
                        set(&mut sequence, memories);
                        found.extend(append(&mut step, &mut sequence, tokens));
                    }
                    assert_eq!(sequence.len(), 17);
                    for (i, (found, expected)) in found.chunks(plain.vocabulary).zip(&expected).enumerate() {
                        let largest = expected.iter().fold(0f64, |largest, x| largest.max(x.abs()));
                        let error = found.iter().zip(expected).fold(0f64, |e, (a, b)| e.max((f64::from(*a) - b).abs())) / largest;
                        assert!(error < tolerance, "{kind:?} {seed} {weights:?} {inputs:?} {cache:?} {cpu:?} token {i}: {error}");
                    }
                    let shares: Vec<f64> = oracle.shares.iter().flatten().copied().collect();
                    let used = oracle.memories.len();
                    let found: Vec<f32> = sequence.shares().chunks(3).flat_map(|shares| shares[..used].to_vec()).collect();
                    assert_eq!(found.len(), shares.len());
                    let error = found.iter().zip(shares).fold(0f64, |e, (a, b)| e.max((f64::from(*a) - b).abs()));
                    assert!(error < tolerance * 3.0, "{kind:?} {seed} {weights:?} {cpu:?} shares: {error}");
                }
            }
        }
    }
}

/// Sequences in random batches, in random pieces, joining late, give the same bits as alone and token by token.
#[test]
fn neighbours_pieces_and_threads_change_no_bit() {
    for (seed, kind) in KINDS.into_iter().cycle().take(12).enumerate() {
        let mut r = Random(1000 + seed as u64);
        let plain = Plain::random(&mut r, kind);
        let texts: Vec<Vec<u32>> = (0..9).map(|_| (0..r.below(20) + 1).map(|_| r.below(plain.vocabulary) as u32).collect()).collect();
        let memories: Vec<_> = texts.iter().map(|_| memories(&mut r, &plain, seed % 4)).collect();
        for (weights, inputs, cache, _) in TYPES {
            let model = Arc::new(model::model(&plain, weights));
            for cpu in Cpu::all() {
                let mut alone = step(&model, cpu, inputs, 1, 1);
                let expected = texts.iter().zip(&memories).map(|(text, memories)| {
                    let mut sequence = alone.sequence(options(cache)).unwrap();
                    set(&mut sequence, memories);
                    text.iter().flat_map(|token| append(&mut alone, &mut sequence, &[*token])).collect::<Vec<f32>>()
                });
                let expected: Vec<Vec<f32>> = expected.collect();
                let mut together = step(&model, cpu, inputs, 1 + r.below(3), 1 + r.below(33));
                let mut sequences: Vec<Sequence> = texts.iter().map(|_| together.sequence(options(cache)).unwrap()).collect();
                sequences.iter_mut().zip(&memories).for_each(|(sequence, memories)| set(sequence, memories));
                let mut found = vec![Vec::new(); texts.len()];
                while sequences.iter().zip(&texts).any(|(sequence, text)| sequence.len() < text.len()) {
                    let mut room = together.rows();
                    let (mut pieces, mut owners) = (Vec::new(), Vec::new());
                    for (number, (sequence, text)) in sequences.iter_mut().zip(&texts).enumerate() {
                        let rest = &text[sequence.len()..];
                        let count = r.below(4).min(rest.len()).min(room);
                        if count > 0 {
                            room -= count;
                            pieces.push(Piece { sequence, tokens: &rest[..count], logits: Logits::All });
                            owners.push((number, count));
                        }
                    }
                    let rows: usize = owners.iter().map(|(_, count)| count).sum();
                    let mut logits = vec![f32::NAN; rows * plain.vocabulary];
                    assert_eq!(together.run(&mut pieces, &mut logits).unwrap(), rows);
                    let mut logits = logits.chunks(plain.vocabulary);
                    for (number, count) in owners {
                        found[number].extend(logits.by_ref().take(count).flatten().map(|x| x.to_bits()));
                    }
                }
                for (found, expected) in found.iter().zip(&expected) {
                    let expected: Vec<u32> = expected.iter().map(|x| x.to_bits()).collect();
                    assert!(*found == expected, "{kind:?} {seed} {weights:?} {inputs:?} {cache:?} {cpu:?}");
                }
            }
        }
    }
}

#[test]
fn pieces_that_do_not_fit_change_nothing() {
    let mut r = Random(7);
    let plain = Plain::random(&mut r, plain::Kind::Llama);
    let model = Arc::new(model::model(&plain, Weights::F32));
    let mut step = step(&model, Cpu::detect(), Inputs::Exact, 1, 6);
    let other = Arc::new(model::model(&plain, Weights::F32));
    let mut foreign = model::step(&other, Cpu::detect(), Inputs::Exact, 1, 6).sequence(options(CacheKind::F32)).unwrap();
    let (n, few) = (plain.vocabulary, SequenceOptions { capacity: 3, ..options(CacheKind::F32) });
    let mut sequence = step.sequence(few).unwrap();
    for wrong in [
        SequenceOptions { capacity: 190, ..few },
        SequenceOptions { memories: usize::MAX, ..few },
        SequenceOptions { gap: usize::MAX, ..few },
    ] {
        assert!(step.sequence(wrong).is_err(), "{wrong:?}");
    }
    let mut run = |sequence: &mut Sequence, tokens: &[u32], logits, room: usize| {
        step.run(&mut [Piece { sequence, tokens, logits }], &mut vec![0.0; room])
    };
    assert_eq!(run(&mut sequence, &[], Logits::Last, 0), Ok(0));
    assert_eq!(run(&mut sequence, &[1, 2], Logits::None, 0), Ok(0));
    assert_eq!(run(&mut sequence, &[1, 2], Logits::None, 0), Err(KernelError::Full { sequence: 0, length: 2, capacity: 3, more: 2 }));
    assert_eq!(run(&mut sequence, &[n as u32], Logits::Last, n), Err(KernelError::Token { row: 0, token: n as u32, vocabulary: n }));
    assert!(matches!(run(&mut sequence, &[1], Logits::Last, n - 1), Err(KernelError::Length { .. })));
    assert!(matches!(run(&mut sequence, &[1; 7], Logits::None, 0), Err(KernelError::Size { .. })));
    assert!(matches!(run(&mut foreign, &[1], Logits::None, 0), Err(KernelError::Size { .. })));
    assert_eq!(sequence.len(), 2);
    assert_eq!(run(&mut sequence, &[1], Logits::Last, n), Ok(1));
    // A shorter context can be continued.
    sequence.truncate(1);
    assert_eq!(run(&mut sequence, &[2, 1], Logits::All, 2 * n), Ok(2));
    let wrong = mempack_kernels::Memory { keys: &[], values: &[], positions: &[], tokens: 1, bias: 0.0 };
    assert_eq!(sequence.set_memories(&[wrong]).is_err(), plain.slots() > 0);
    assert!(sequence.set_memories(&[wrong; 4]).is_err());
    let mut broken = (*model).clone();
    broken.layers[1].down.matrix = broken.head.matrix.clone();
    assert!(
        mempack_kernels::Step::new(Arc::new(broken), Cpu::detect(), Inputs::Exact, Arc::new(mempack_kernels::Pool::new(1).unwrap()), 1)
            .is_err()
    );
}
