//! Every codec family, trained, encoded with and decoded: the results are the ones recorded here, to the bit.
//!
//! Parameters and records depend on the random streams of training, the order in which stages draw from them, and the order of sums. A
//! change of any of them changes every pack, so it has to show here.
//!
//! Matrix products round differently with and without fused multiply-add. The digests are those of an x86-64 processor that has it; on
//! others the test only compares one thread with two.

use std::ops::ControlFlow;

use mempack_compiler::{Encoder, SampleStore, TrainOptions, train_codec};
use mempack_format::{CodecSpec, Digest, Memory, MemoryShape};
use mempack_model::{Gradients, Sensitivity};

const SHAPE: MemoryShape = MemoryShape::new(2, 2, 4, 8);
/// Memories to train on.
const SAMPLE: usize = 100;
/// Memories to encode.
const ENCODED: usize = 20;

/// Codec, whether it is trained with a sensitivity, and the first 16 digits of the digests of parameters, records and decoded floats.
const GOLDEN: [(&str, bool, [&str; 3]); 12] = [
    ("F32", false, ["ec2bd03bf86b935f", "50a2438c659c8e15", "c5adcb8efdbf4c29"]),
    ("BF16", false, ["ec2bd03bf86b935f", "1dd539eb502180d8", "4b015fcee94f8399"]),
    ("SQ8", false, ["5e2936cadbeebd8b", "fc6a8241d82e2172", "1f08f29b46692183"]),
    ("PQ4x4", false, ["1048ef51e17a249c", "104e95b5912a4dce", "2d4ed8965b3dc5c4"]),
    ("RQ3x5", false, ["ddd2c5e38dc7bd6c", "142f83f8ad7d915e", "a5add1c222f25ccc"]),
    ("PRQ2x2x4", false, ["6584c7f33ef3a750", "c406e1c43c4015f9", "a1c71a56caf2b3d5"]),
    ("OPQ4_8,PQ4x4", false, ["a200503507188ffb", "6d6f0b49b2caf55b", "115a9da0d2b4da99"]),
    ("OPQ4_8,Residual2x4,PQ4x3", false, ["dc65ddb657a99274", "2e29121cd222450e", "de3019647b2affd3"]),
    ("TCQ2x5", false, ["c3c2a6e3b6c62707", "ba11252c5c0bfb88", "a0ef82b1506b6d11"]),
    ("TCQ2x5", true, ["f5e816172685f529", "4f262732b4d18dad", "926b87d4adf5312c"]),
    ("RQ1x4,TCQ2x6", false, ["4423f869b055f29f", "b4f117ebe567ebb9", "8e3fe58090dac158"]),
    ("RQ2x4,TCQ3x8", true, ["1b305c77e99c44b1", "4c3579811daed13e", "cf80d43dda465982"]),
];

/// Numbers from -1 to 1, from a linear congruential generator: the sample shares nothing with the crate under test.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Memories of correlated numbers around a mean of each head; every third one leaves its last slots empty.
fn memories(count: usize, seed: u64) -> Vec<Memory> {
    let mut number = noise(seed);
    let (tokens, dim) = (SHAPE.tokens as usize, SHAPE.head_dim as usize);
    (0..count)
        .map(|index| {
            let mut memory = Memory::empty(SHAPE);
            let filled = if index % 3 == 2 { tokens - 1 } else { tokens };
            for slot in (0..SHAPE.slots()).filter(|slot| slot % tokens < filled) {
                memory.positions[slot] = (slot % tokens * 5 + index % 5) as u8;
                for (scale, vectors) in [(3.0, &mut memory.keys), (0.5, &mut memory.values)] {
                    let mut last = 0.0;
                    for x in &mut vectors[slot * dim..(slot + 1) * dim] {
                        last = 0.8 * last + number() + number();
                        *x = scale * last + (slot / tokens) as f32;
                    }
                }
            }
            memory
        })
        .collect()
}

/// Gradients at random, which are larger in the first dimensions.
fn sensitivity() -> Sensitivity {
    let mut number = noise(77);
    let floats = (SHAPE.layers * SHAPE.heads * SHAPE.head_dim) as usize;
    let mut sensitivity = Sensitivity::new(SHAPE);
    for _ in 0..50 {
        let mut gradients = || (0..floats).map(|i| number() / (1 + i % SHAPE.head_dim as usize) as f32).collect();
        sensitivity.add(&Gradients { shape: SHAPE, keys: gradients(), values: gradients() });
    }
    sensitivity
}

fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()[..16].to_string()
}

#[test]
fn every_family_gives_the_recorded_bytes() {
    let (sample, unseen) = (memories(SAMPLE, 1), memories(ENCODED, 2));
    let mut store = SampleStore::create_in(&std::env::temp_dir(), SHAPE).unwrap();
    sample.iter().for_each(|memory| store.push(memory).unwrap());
    let sensitivity = sensitivity();
    let mut wrong = Vec::new();
    for (name, with_sensitivity, expected) in GOLDEN {
        let spec: CodecSpec = name.parse().unwrap();
        let [parameters, other] = [1, 2].map(|threads| {
            let sensitivity = with_sensitivity.then_some(&sensitivity);
            let options = TrainOptions { seed: 5, threads, references: 100_000, sensitivity };
            train_codec(&spec, &store, &options, &|_, _| ControlFlow::Continue(())).unwrap()
        });
        assert!(parameters == other, "{name}: one thread and two train different parameters");
        let encoder = Encoder::new(&spec, SHAPE, &parameters).unwrap();
        let (mut records, mut floats) = (Vec::new(), Vec::new());
        for memory in &unseen {
            let start = records.len();
            encoder.encode(memory, &mut records).unwrap();
            let mut decoded = Memory::empty(SHAPE);
            encoder.codec().decode_memory(&records[start..], &mut decoded).unwrap();
            assert_eq!(decoded.positions, memory.positions);
            floats.extend(decoded.keys.iter().chain(&decoded.values).flat_map(|x| x.to_le_bytes()));
        }
        let found = [digest(&parameters), digest(&records), digest(&floats)];
        if found.iter().map(String::as_str).ne(expected) {
            wrong.push(format!("    (\"{name}\", {with_sensitivity}, {found:?}),"));
        }
    }
    if fused_multiply_add() {
        assert!(wrong.is_empty(), "found other bytes:\n{}", wrong.join("\n"));
    }
}

#[cfg(target_arch = "x86_64")]
fn fused_multiply_add() -> bool {
    std::arch::is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn fused_multiply_add() -> bool {
    false
}
