//! Training and encoding together, against slow definitions.

use std::{ops::ControlFlow, path::PathBuf};

use mempack_format::{Codec, CodecSpec, EMPTY_SLOT, Memory, MemoryShape, VectorKind};
use mempack_model::{Gradients, Sensitivity};
use mempack_numeric::Rng;
use proptest::prelude::*;

use super::{CodecTrainError, EncodeError, Encoder, SampleError, SampleStore, TrainOptions, train};

const SHAPE: MemoryShape = MemoryShape::new(2, 2, 4, 8);

/// Memories of correlated numbers, each head with its own mean; one in three does not fill its slots.
fn memories(shape: MemoryShape, count: usize, seed: u64) -> Vec<Memory> {
    let mut random = Rng::for_task(seed, 0);
    let mut number = move || (0..4).map(|_| random.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0).sum::<f32>();
    let (tokens, dim) = (shape.tokens as usize, shape.head_dim as usize);
    (0..count)
        .map(|index| {
            let mut memory = Memory::empty(shape.clone());
            let filled = if index % 3 == 2 { tokens - 1 } else { tokens };
            for slot in (0..shape.slots()).filter(|slot| slot % tokens < filled) {
                memory.positions[slot] = (slot % tokens * 5 + index % 5) as u8;
                for (scale, vectors) in [(3.0, &mut memory.keys), (0.5, &mut memory.values)] {
                    let mut last = 0.0;
                    for x in &mut vectors[slot * dim..(slot + 1) * dim] {
                        last = 0.8 * last + number();
                        *x = scale * last + (slot / tokens) as f32;
                    }
                }
            }
            memory
        })
        .collect()
}

fn store(memories: &[Memory]) -> SampleStore {
    let mut store = SampleStore::create_in(&std::env::temp_dir(), memories[0].shape.clone()).unwrap();
    memories.iter().for_each(|memory| store.push(memory).unwrap());
    store
}

fn trained(spec: CodecSpec, memories: &[Memory], threads: usize, seed: u64) -> Vec<u8> {
    let options = TrainOptions { seed, threads, references: 100_000, sensitivity: None };
    train(&spec, &store(memories), &options, &|_, _| ControlFlow::Continue(())).unwrap()
}

fn encoder(spec: &str, memories: &[Memory]) -> Encoder {
    let spec = spec.parse().unwrap();
    Encoder::new(&spec, memories[0].shape.clone(), &trained(spec, memories, 1, 1)).unwrap()
}

fn encoded(encoder: &Encoder, memory: &Memory) -> Vec<u8> {
    let mut record = Vec::new();
    encoder.encode(memory, &mut record).unwrap();
    record
}

fn decoded(encoder: &Encoder, memory: &Memory) -> Memory {
    let mut out = Memory::empty(memory.shape.clone());
    encoder.codec().decode_memory(&encoded(encoder, memory), &mut out).unwrap();
    out
}

/// Squared error of keys and values of all memories, relative to their squared lengths.
fn error(encoder: &Encoder, memories: &[Memory]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let (mut left, mut whole) = (0.0, 0.0);
    for memory in memories {
        let out = decoded(encoder, memory);
        for (a, b) in memory.keys.iter().chain(&memory.values).zip(out.keys.iter().chain(&out.values)) {
            (left, whole) = (left + square(a - b), whole + square(*a));
        }
    }
    left / whole
}

#[test]
fn f32_is_exact_and_bf16_rounds_to_nearest_even() {
    for memory in memories(SHAPE, 6, 1) {
        assert_eq!(decoded(&encoder("F32", std::slice::from_ref(&memory)), &memory), memory);
        let out = decoded(&encoder("BF16", std::slice::from_ref(&memory)), &memory);
        let rounded = |vectors: &[f32]| vectors.iter().map(|x| half::bf16::from_f32(*x).to_f32()).collect::<Vec<_>>();
        assert_eq!((out.positions, out.keys, out.values), (memory.positions, rounded(&memory.keys), rounded(&memory.values)));
    }
}

#[test]
fn scalar_codes_are_within_half_a_step() {
    let sample = memories(SHAPE, 60, 2);
    let encoder = encoder("SQ8", &sample);
    for memory in &sample {
        let out = decoded(&encoder, memory);
        for (i, (x, y)) in memory.keys.iter().zip(&out.keys).enumerate() {
            let group = encoder.codec().group_of(VectorKind::Key, i / 64, i / 32 % 2);
            let (least, step) = encoder.codec().tables(group).unwrap().split_at(8);
            let (least, step) = (least[i % 8], step[i % 8]);
            if (least..=least + 255.0 * step).contains(x) && memory.positions[i / 8] != EMPTY_SLOT {
                assert!((x - y).abs() <= 0.5 * step * 1.0001, "{x} {y} {step}");
            }
        }
    }
}

#[test]
fn product_codes_are_the_nearest_of_all() {
    let sample = memories(SHAPE, 80, 3);
    for (spec, width) in [("PQ2x5", 4), ("PQ4x3", 2), ("PQ8x8", 1), ("PQ1x9", 8)] {
        let encoder = encoder(spec, &sample);
        for memory in sample.iter().take(9) {
            let out = decoded(&encoder, memory);
            for (i, (vector, found)) in memory.values.chunks_exact(width).zip(out.values.chunks_exact(width)).enumerate() {
                let (slot, part) = (i * width / 8, i * width % 8 / width);
                if memory.positions[slot] == EMPTY_SLOT {
                    continue;
                }
                let group = encoder.codec().group_of(VectorKind::Value, slot / 8, slot / 4 % 2);
                let tables = encoder.codec().tables(group).unwrap();
                let rows = tables.len() / 8;
                let table = &tables[part * rows * width..(part + 1) * rows * width];
                let distance = |row: &[f32]| row.iter().zip(vector).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
                let least = table.chunks_exact(width).map(distance).fold(f64::INFINITY, f64::min);
                assert!(distance(found) <= least + 1e-4, "{spec}: {} {least}", distance(found));
            }
        }
    }
}

#[test]
fn one_residual_stage_is_the_nearest_and_each_further_one_leaves_less() {
    let sample = memories(SHAPE, 400, 4);
    let errors: Vec<f64> = (1..=6).map(|stages| error(&encoder(&format!("RQ{stages}x5"), &sample), &sample)).collect();
    assert!((errors[0] - error(&encoder("PQ1x5", &sample), &sample)).abs() < 1e-6, "one stage is one product part");
    assert!(errors.windows(2).all(|pair| pair[1] < 0.8 * pair[0]), "{errors:?}");
}

#[test]
fn the_beam_finds_better_codes_than_one_stage_after_the_other() {
    let sample = memories(SHAPE, 400, 5);
    let encoder = encoder("RQ4x5", &sample);
    let greedy: f64 = sample.iter().map(|memory| greedy_error(&encoder, memory)).sum();
    let found: f64 = sample.iter().map(|memory| squared_error(&memory.keys, &decoded(&encoder, memory).keys)).sum();
    assert!(found < 0.95 * greedy, "{found} {greedy}");
}

/// Every family on memories it was not trained on, each against a simpler one with codes of as many bytes.
#[test]
fn what_is_added_to_a_codec_takes_error_away() {
    let (sample, unseen) = (memories(SHAPE, 800, 13), memories(SHAPE, 60, 14));
    let of = |spec: &str| error(&encoder(spec, &sample), &unseen);
    for (better, plain, ratio) in [
        ("OPQ4_8,PQ4x4", "PQ4x4", 0.9),
        ("OPQ4_8,Residual2x4,PQ4x2", "OPQ4_8,PQ4x2", 0.5),
        ("PRQ2x2x4", "PQ4x4", 1.0),
        ("RQ2x8", "PRQ2x2x4", 1.0),
        ("TCQ2x4", "PQ4x4", 0.9),
        ("RQ1x8,TCQ1x6", "RQ1x8", 0.5),
    ] {
        let (ours, theirs) = (of(better), of(plain));
        assert!(ours < ratio * theirs, "{better} {ours} beside {plain} {theirs}");
    }
}

/// A sample of one memory, or of equal memories, has no axes; codecs trained on it still reproduce it.
#[test]
fn samples_without_variance_are_met() {
    for spec in ["PRQ2x2x4", "OPQ4_8,Residual2x4,PQ4x3", "TCQ2x5", "RQ1x4,TCQ2x6"] {
        let same = vec![memories(SHAPE, 1, 15).remove(0); 3];
        let flat = {
            let mut memory = same[0].clone();
            memory.keys.fill(2.5);
            memory.values.fill(0.0);
            vec![memory; 3]
        };
        assert!(error(&encoder(spec, &same), &same) < 1.0, "{spec}");
        let out = decoded(&encoder(spec, &flat), &flat[0]);
        assert!(out.keys.iter().all(|x| (x - 2.5).abs() < 1e-4) && out.values.iter().all(|x| x.abs() < 1e-4), "{spec}");
    }
}

fn squared_error(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

/// The squared error of the keys if each codebook in turn takes the nearest centroid.
fn greedy_error(encoder: &Encoder, memory: &Memory) -> f64 {
    let full = memory.keys.chunks_exact(8).enumerate().filter(|(slot, _)| memory.positions[*slot] != EMPTY_SLOT);
    full.map(|(slot, vector)| {
        let tables = encoder.codec().tables(encoder.codec().group_of(VectorKind::Key, slot / 8, slot / 4 % 2)).unwrap();
        let left = tables.chunks_exact(8 << 5).fold(vector.to_vec(), |left, table| {
            let row = table.chunks_exact(8).min_by(|a, b| squared_error(a, &left).total_cmp(&squared_error(b, &left))).unwrap();
            left.iter().zip(row).map(|(x, y)| x - y).collect()
        });
        squared_error(&left, &[0.0; 8])
    })
    .sum()
}

#[test]
fn parameters_follow_from_sample_and_seed_alone() {
    let sample = memories(SHAPE, 500, 6);
    for spec in ["SQ8", "PQ2x6", "RQ3x6", "RQ2x9", "PRQ2x2x5", "OPQ4_8,Residual2x4,PQ4x3", "TCQ2x5", "RQ1x4,TCQ2x6"] {
        let spec: CodecSpec = spec.parse().unwrap();
        let once = trained(spec, &sample, 1, 1);
        // 32 threads are more than there are groups, so that several work on one.
        for threads in [2, 3, 32] {
            assert!(trained(spec, &sample, threads, 1) == once, "{spec} with {threads} threads");
        }
        assert!(spec == CodecSpec::SQ8 || trained(spec, &sample, 1, 2) != once, "{spec} with another seed");
    }
}

#[test]
fn a_memory_has_one_record_whatever_was_encoded_before() {
    let sample = memories(SHAPE, 50, 7);
    let encoder = encoder("RQ3x4", &sample);
    let mut all = Vec::new();
    sample.iter().for_each(|memory| encoder.encode(memory, &mut all).unwrap());
    let apart: Vec<u8> = sample.iter().flat_map(|memory| encoded(&encoder, memory)).collect();
    assert_eq!(all, apart);
}

#[test]
fn the_store_gives_back_what_it_was_given() {
    let sample = memories(SHAPE, 7, 8);
    let mut store = store(&sample);
    for (index, memory) in sample.iter().enumerate() {
        assert_eq!(&store.memory(index as u64).unwrap(), memory);
    }
    assert_eq!((store.len(), store.is_empty(), store.shape()), (7, false, &SHAPE));
    assert!(matches!(store.memory(7), Err(SampleError::Read { memory: 7, .. })));
    let other = MemoryShape::new(SHAPE.layers, SHAPE.heads, 5, SHAPE.head_dim);
    assert!(matches!(store.push(&Memory::empty(other.clone())), Err(SampleError::Shape { found, .. }) if found == other));
    let nowhere = PathBuf::from("/nowhere/at/all");
    assert!(matches!(SampleStore::create_in(&nowhere, SHAPE), Err(SampleError::Create { folder, .. }) if folder == nowhere));
}

#[test]
fn samples_are_of_filled_slots_and_no_more_than_asked() {
    let sample = memories(SHAPE, 30, 9);
    let store = store(&sample);
    let vectors = |most: usize| store.sample(VectorKind::Value, 1..3, most, &mut Rng::for_task(1, 1)).unwrap();
    // Two heads of twenty memories with four tokens and of ten with three.
    assert_eq!(vectors(1000).len(), (20 * 4 + 10 * 3) * 2 * 8);
    assert_eq!(vectors(17).len(), 17 * 8);
    let all = vectors(1000);
    assert!(vectors(17).chunks_exact(8).all(|vector| all.chunks_exact(8).any(|other| other == vector)));
}

#[test]
fn a_sample_that_is_of_no_use_is_refused() {
    let run = |memory: &Memory| {
        let options = TrainOptions { seed: 1, threads: 2, references: 1, sensitivity: None };
        train(&CodecSpec::pq(2, 4), &store(std::slice::from_ref(memory)), &options, &|_, _| ControlFlow::Continue(()))
    };
    assert!(matches!(run(&Memory::empty(SHAPE)), Err(CodecTrainError::Empty { .. })));
    let mut broken = memories(SHAPE, 1, 10).remove(0);
    broken.values[70] = f32::NAN;
    assert!(matches!(run(&broken), Err(CodecTrainError::Value { kind: VectorKind::Value, found, .. }) if found.is_nan()));
    let odd = MemoryShape::new(SHAPE.layers, SHAPE.heads, SHAPE.tokens, 9);
    assert!(matches!(run(&Memory::empty(odd)), Err(CodecTrainError::Spec(_))));
}

#[test]
fn a_trellis_loses_where_it_does_not_matter() {
    // Predictions depend on the direction (1, -1, 0, ..) of keys and on the last number of values.
    let (all, dim) = (memories(SHAPE, 400, 20), SHAPE.head_dim as usize);
    let row = |of: &dyn Fn(usize) -> f32| (0..SHAPE.floats()).map(|i| of(i % dim)).collect::<Vec<f32>>();
    let mut sensitivity = Sensitivity::new(SHAPE);
    for direction in 0..dim {
        let small = |i: usize| if i == direction { 0.2 } else { 0.0 };
        let keys = row(&|i| small(i) + [1.0, -1.0].get(i).copied().unwrap_or(0.0));
        sensitivity.add(&Gradients { shape: SHAPE, keys, values: row(&|i| small(i) + if i == dim - 1 { 1.0 } else { 0.0 }) });
    }
    let spec = "TCQ3x6".parse().unwrap();
    let lost = |used: Option<&Sensitivity>| {
        let options = TrainOptions { seed: 3, threads: 1, references: 100_000, sensitivity: used };
        let parameters = train(&spec, &store(&all[..300]), &options, &|_, _| ControlFlow::Continue(())).unwrap();
        let encoder = Encoder::new(&spec, SHAPE, &parameters).unwrap();
        let nats = all[300..].iter().map(|memory| sensitivity.nats(memory, &decoded(&encoder, memory))).sum::<f64>();
        (nats, error(&encoder, &all[300..]))
    };
    let ((plain, plain_error), (weighed, weighed_error)) = (lost(None), lost(Some(&sensitivity)));
    println!("nats {weighed:.3} with the sensitivity and {plain:.3} without, squared error {weighed_error:.4} and {plain_error:.4}");
    assert!(weighed < 0.5 * plain && weighed_error > plain_error, "{weighed} {plain} {weighed_error} {plain_error}");
}

#[test]
fn training_stops_when_it_is_asked_to() {
    let options = TrainOptions { seed: 1, threads: 2, references: 100_000, sensitivity: None };
    let spec = CodecSpec::rq(2, 4);
    let refused = train(&spec, &store(&memories(SHAPE, 50, 11)), &options, &|_, _| ControlFlow::Break(()));
    assert!(matches!(refused, Err(CodecTrainError::Interrupted)));
}

#[test]
fn memories_that_are_none_are_refused() {
    let sample = memories(SHAPE, 20, 12);
    let encoder = encoder("PQ2x4", &sample);
    let refused = |edit: &dyn Fn(&mut Memory)| {
        let mut memory = sample[0].clone();
        edit(&mut memory);
        let mut record = vec![1, 2, 3];
        let refused = encoder.encode(&memory, &mut record).unwrap_err();
        assert_eq!(record, [1, 2, 3]);
        refused
    };
    assert!(matches!(refused(&|memory| memory.shape.layers = 3), EncodeError::Shape { .. }));
    assert!(matches!(refused(&|memory| memory.keys.truncate(5)), EncodeError::Shape { keys: 5, .. }));
    assert_eq!(refused(&|memory| memory.positions[1] = 0), EncodeError::Position { slot: 1, found: 0 });
    assert_eq!(refused(&|memory| memory.positions[0] = EMPTY_SLOT), EncodeError::Position { slot: 1, found: 5 });
    let huge = EncodeError::Value { kind: VectorKind::Key, slot: 2, found: 1e20 };
    assert_eq!(refused(&|memory| memory.keys[17] = 1e20), huge);
    assert!(matches!(refused(&|memory| memory.values[8] = f32::NAN), EncodeError::Value { kind: VectorKind::Value, slot: 1, .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Codes of every width are packed as the format unpacks them: what was decoded and is encoded again comes back.
    #[test]
    fn what_a_codec_decodes_it_encodes_to_the_same_vectors(m in prop::sample::select(vec![1u16, 2, 4, 8]), bits in 1u8..=14, seed in any::<u64>()) {
        let sample = memories(SHAPE, 5, seed);
        let spec = CodecSpec::pq(m, bits);
        let parameters = trained(spec, &sample, 1, seed);
        prop_assert!(Codec::parse(&spec, SHAPE, &parameters).is_ok());
        let encoder = Encoder::new(&spec, SHAPE, &parameters).unwrap();
        for memory in &sample {
            let once = decoded(&encoder, memory);
            let again = decoded(&encoder, &once);
                // Not to the bit: of two centroids that nearly agree, either may be found.
            let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.01);
            prop_assert!(near(&again.keys, &once.keys) && near(&again.values, &once.values));
        }
    }
}
