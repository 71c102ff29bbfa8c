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

/// Tokens of another sequence, in a cache of another size, are as good as those that a sequence computes itself.
#[test]
fn a_sequence_goes_on_from_the_tokens_of_another() {
    for (seed, kind) in KINDS.into_iter().enumerate() {
        for cache in [CacheKind::F32, CacheKind::Bf16] {
            let mut r = Random(40 + seed as u64);
            let plain = Plain::random(&mut r, kind);
            let model = Arc::new(model::model(&plain, Weights::F32));
            let mut step = step(&model, Cpu::detect(), Inputs::Exact, 1, 8);
            let tokens: Vec<u32> = (0..12).map(|_| r.below(plain.vocabulary) as u32).collect();
            let (first, second) = (memories(&mut r, &plain, 2), memories(&mut r, &plain, 3));
            let sizes = |capacity| SequenceOptions { capacity, ..options(cache) };
            let mut known = step.sequence(sizes(13)).unwrap();
            set(&mut known, &first);
            append(&mut step, &mut known, &tokens[..7]);
            // A text that differs from the sixth token on.
            let rest = [&[(tokens[5] + 1) % plain.vocabulary as u32], &tokens[6..]].concat();
            let mut expected = step.sequence(sizes(20)).unwrap();
            set(&mut expected, &first);
            append(&mut step, &mut expected, &tokens[..5]);
            set(&mut expected, &second);
            let expected = append(&mut step, &mut expected, &rest);
            // The first two tokens are there already.
            let mut sequence = step.sequence(sizes(20)).unwrap();
            set(&mut sequence, &first);
            append(&mut step, &mut sequence, &tokens[..2]);
            sequence.append_of(&known, 5).unwrap();
            assert_eq!((sequence.len(), known.len()), (5, 7));
            set(&mut sequence, &second);
            assert_eq!(append(&mut step, &mut sequence, &rest), expected, "{kind:?} {cache:?}");
            // The sequence that is copied from can itself go back.
            known.reset(5);
            assert_eq!((known.len(), known.memories()), (5, 0));
            set(&mut known, &second);
            assert_eq!(append(&mut step, &mut known, &rest), expected, "{kind:?} {cache:?}");
        }
    }
}

#[test]
fn tokens_that_do_not_fit_are_not_copied() {
    let mut r = Random(8);
    let plain = Plain::random(&mut r, plain::Kind::Llama);
    let models: [_; 2] = std::array::from_fn(|_| Arc::new(model::model(&plain, Weights::F32)));
    let [mut step, mut other] = [0, 1].map(|i| step(&models[i], Cpu::detect(), Inputs::Exact, 1, 6));
    let sizes = |capacity| SequenceOptions { capacity, ..options(CacheKind::F32) };
    let mut known = step.sequence(sizes(10)).unwrap();
    append(&mut step, &mut known, &[1, 2, 3, 4, 5]);
    let mut small = step.sequence(sizes(3)).unwrap();
    assert_eq!(small.append_of(&known, 4), Err(KernelError::Full { sequence: 0, length: 0, capacity: 3, more: 4 }));
    assert!(matches!(small.append_of(&known, 6), Err(KernelError::Size { what: "tokens to copy", found: 6, .. })));
    let mut foreign = other.sequence(sizes(10)).unwrap();
    let of_types = [SequenceOptions { gap: 1, ..sizes(10) }, SequenceOptions { prefix: 0, ..sizes(10) }, options(CacheKind::Bf16)];
    let mut of_types = of_types.map(|sizes| step.sequence(sizes).unwrap());
    for sequence in of_types.iter_mut().chain([&mut foreign]) {
        assert!(matches!(sequence.append_of(&known, 3), Err(KernelError::Size { what: "sequence to copy from", .. })));
        assert!(sequence.is_empty());
    }
    small.append_of(&known, 3).unwrap();
    // Fewer tokens than it holds are none to copy.
    small.append_of(&known, 2).unwrap();
    assert_eq!(small.len(), 3);
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

/// A piece may go on with other memories in its midst.
#[test]
fn tokens_of_one_piece_read_two_lists() {
    for (seed, kind) in KINDS.into_iter().enumerate() {
        let mut r = Random(60 + seed as u64);
        let plain = Plain::random(&mut r, kind);
        let model = Arc::new(model::model(&plain, Weights::F32));
        let mut step = step(&model, Cpu::detect(), Inputs::Exact, 2, 12);
        let tokens: Vec<u32> = (0..12).map(|_| r.below(plain.vocabulary) as u32).collect();
        let lists = [2, 3, 1].map(|count| memories(&mut r, &plain, count));
        let sizes = SequenceOptions { capacity: 30, ..options(CacheKind::F32) };
        let mut apart = step.sequence(sizes).unwrap();
        let mut together = step.sequence(sizes).unwrap();
        for sequence in [&mut apart, &mut together] {
            sequence.watch_memories();
            set(sequence, &lists[0]);
        }
        let mut expected = append(&mut step, &mut apart, &tokens[..5]);
        set(&mut apart, &lists[1]);
        expected.extend(append(&mut step, &mut apart, &tokens[5..9]));
        let shares = apart.shares().to_vec();
        model::set_next(&mut together, 5, &lists[1]);
        assert_eq!(append(&mut step, &mut together, &tokens[..9]), expected, "{kind:?}");
        assert_eq!(together.memories(), 3);
        assert_eq!(together.shares(), shares);
        // The third list takes the place of the first, and begins after some steps.
        model::set_next(&mut together, 11, &lists[2]);
        let mut found = append(&mut step, &mut together, &tokens[9..10]);
        found.extend(append(&mut step, &mut together, &tokens[10..]));
        let mut expected = append(&mut step, &mut apart, &tokens[9..11]);
        set(&mut apart, &lists[2]);
        expected.extend(append(&mut step, &mut apart, &tokens[11..]));
        assert_eq!(found, expected, "{kind:?}");
        assert_eq!(together.memories(), 1);
        // From the next token on, which is the same as at once.
        model::set_next(&mut together, 12, &lists[0]);
        assert_eq!(together.memories(), 2);
        assert!(together.set_next_memories(11, &[]).is_err());
    }
}
