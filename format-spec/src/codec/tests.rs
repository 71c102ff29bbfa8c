//! Round trips against an independent slow decoder, and one refusal per malformed field.

use proptest::prelude::*;

use super::stages::{Bf16, F32, Opq, Pq, Prq, Residual, Rq, Sq8, Tcq};
use super::*;

const SHAPE: MemoryShape = MemoryShape::new(2, 2, 3, 12);

/// A memory record cut into what it holds.
struct Record {
    positions: Vec<u8>,
    codes: Vec<Vec<u8>>,
}

impl Record {
    fn bytes(&self) -> Vec<u8> {
        self.codes.iter().fold(self.positions.clone(), |mut bytes, code| {
            bytes.extend(code);
            bytes
        })
    }
}

fn parameters(map: &[u16], tables: &[f32]) -> Vec<u8> {
    let groups = map.iter().max().map_or(0, |&last| u32::from(last) + 1);
    let mut bytes = groups.to_le_bytes().to_vec();
    map.iter().for_each(|group| bytes.extend(group.to_le_bytes()));
    tables.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    bytes
}

/// A group for each head of each kind.
fn own_groups(shape: MemoryShape) -> Vec<u16> {
    (0..2 * shape.layers as u16 * shape.heads as u16).collect()
}

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Bit `index` of a code.
fn bit(code: &[u8], index: usize) -> usize {
    usize::from(code[index / 8] >> (index % 8) & 1)
}

/// SPEC.md, "Codecs", word for word and bit by bit.
fn slow_decode(spec: CodecSpec, dim: usize, tables: &[f32], code: &[u8]) -> Vec<f32> {
    let row = |part: usize, bits: u8| (0..usize::from(bits)).map(|i| bit(code, part * usize::from(bits) + i) << i).sum::<usize>();
    (0..dim)
        .map(|d| match *spec.stages() {
            [CodecStage::F32(F32)] => f32::from_le_bytes(code[4 * d..4 * d + 4].try_into().unwrap()),
            [CodecStage::Bf16(Bf16)] => half::bf16::from_le_bytes([code[2 * d], code[2 * d + 1]]).to_f32(),
            [CodecStage::Sq8(Sq8)] => tables[d] + tables[dim + d] * f32::from(code[d]),
            [CodecStage::Pq(Pq { m, bits })] => {
                let width = dim / usize::from(m);
                let part = d / width;
                0.0 + tables[((part << bits) + row(part, bits)) * width + d % width]
            }
            [CodecStage::Rq(Rq { m, bits })] => {
                (0..usize::from(m)).fold(0.0, |sum, stage| sum + tables[((stage << bits) + row(stage, bits)) * dim + d])
            }
            [CodecStage::Prq(Prq { splits, m, bits })] => {
                let (width, m) = (dim / usize::from(splits), usize::from(m));
                let parts = d / width * m..(d / width + 1) * m;
                parts.fold(0.0, |sum, part| sum + tables[((part << bits) + row(part, bits)) * width + d % width])
            }
            _ => unreachable!("{spec} is mapped"),
        })
        .collect()
}

/// Of a codec with a map: the vector before the map, then the map.
fn slow_mapped(spec: CodecSpec, dim: usize, allotment: &[u8], tables: &[f32], code: &[u8]) -> Vec<f32> {
    let (mean, rest) = tables.split_at(dim);
    let (map, rest) = rest.split_at(dim * dim);
    let number =
        |start: usize, bits: u8, length: usize| (0..usize::from(bits)).map(|i| bit(code, (start + i) % length) << i).sum::<usize>();
    let mut y = vec![0f32; dim];
    let mut add = |first: usize, row: &[f32]| y[first..first + row.len()].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    match *spec.stages() {
        [CodecStage::Opq(_), ref products @ ..] => {
            let (mut at, mut table) = (0, 0);
            for product in products {
                let (CodecStage::Pq(Pq { m, bits }) | CodecStage::Residual(Residual { m, bits })) = *product else {
                    unreachable!("no stage behind OPQ")
                };
                let width = dim / usize::from(m);
                for part in 0..usize::from(m) {
                    let row = table + number(at, bits, usize::MAX) * width;
                    add(part * width, &rest[row..row + width]);
                    at += usize::from(bits);
                    table += width << bits;
                }
            }
        }
        [ref stages @ .., CodecStage::Tcq(Tcq { bytes, window })] => {
            let (m, bits) = match *stages {
                [CodecStage::Rq(Rq { m, bits })] => (usize::from(m), bits),
                _ => (0, 0),
            };
            for stage in 0..m {
                let row = ((stage << bits) + number(stage * usize::from(bits), bits, usize::MAX)) * dim;
                add(0, &rest[row..row + dim]);
            }
            let code = &code[(m * usize::from(bits)).div_ceil(8)..];
            let (all, mut end, mut table) = (8 * usize::from(bytes), 0, m * (dim << bits));
            let mut first = 0;
            while first < dim {
                let width = 1 + allotment[first + 1..].iter().take_while(|new| **new == CONTINUED).count();
                end += usize::from(allotment[first]);
                let row = (0..usize::from(window)).map(|i| bit(code, (end + all - usize::from(window) + i) % all) << i).sum::<usize>();
                add(first, &rest[table + row * width..table + (row + 1) * width]);
                table += width << window;
                first += width;
            }
        }
        _ => unreachable!("not mapped"),
    }
    (0..dim).map(|c| (0..dim).fold(mean[c], |sum, i| sum + y[i] * map[i * dim + c])).collect()
}

/// A valid allotment: runs of one to four dimensions, and bits at random.
fn allotment(dim: usize, bytes: u16, window: u8, seed: u64) -> Vec<u8> {
    let mut noise = numbers(2 * dim + 16 * usize::from(bytes), seed ^ 2).into_iter().map(|x| (x.to_bits() >> 4) as usize).cycle();
    let mut bits = vec![CONTINUED; dim];
    let mut first = 0;
    while first < dim {
        bits[first] = 0;
        first += 1 + noise.next().unwrap() % 4;
    }
    let mut runs: Vec<usize> = (0..dim).filter(|&d| bits[d] == 0).collect();
    for _ in 0..8 * bytes {
        runs.retain(|&run| bits[run] < window);
        if runs.is_empty() {
            return allotment_of_ones(dim, bytes, window);
        }
        bits[runs[noise.next().unwrap() % runs.len()]] += 1;
    }
    bits
}

/// All bits to runs of one dimension.
fn allotment_of_ones(dim: usize, bytes: u16, window: u8) -> Vec<u8> {
    let mut left = 8 * usize::from(bytes);
    (0..dim)
        .map(|_| {
            let new = left.min(window.into());
            left -= new;
            new as u8
        })
        .collect()
}

/// Product codes behind a rotation of vectors of `dim` dimensions.
fn rotated(dim: u16, coarse: Option<(u16, u8)>, fine: Pq) -> CodecSpec {
    let rotation = Opq { blocks: 3, dim }.stage();
    match coarse {
        Some((m, bits)) => CodecSpec::of([rotation, Residual { m, bits }.stage(), fine.stage()]),
        None => CodecSpec::of([rotation, fine.stage()]),
    }
}

/// A spec, a shape of that dimension, and a seed.
fn cases() -> impl Strategy<Value = (CodecSpec, MemoryShape, u64)> {
    let spec = prop_oneof![
        Just(CodecSpec::F32),
        Just(CodecSpec::BF16),
        Just(CodecSpec::SQ8),
        (prop::sample::select(vec![1u16, 2, 3, 4, 6, 12]), 1u8..=9).prop_map(|(m, bits)| CodecSpec::pq(m, bits)),
        (1u16..=5, 1u8..=9).prop_map(|(m, bits)| CodecSpec::rq(m, bits)),
        (1u16..=2, 10u8..=14).prop_map(|(m, bits)| CodecSpec::rq(m, bits)),
        (prop::sample::select(vec![1u16, 2, 3]), 1u16..=3, 1u8..=9).prop_map(|(splits, m, bits)| CodecSpec::prq(splits, m, bits)),
        (prop::option::of((prop::sample::select(vec![1u16, 2]), 1u8..=9)), prop::sample::select(vec![1u16, 3, 6]), 1u8..=9)
            .prop_map(|(coarse, m, bits)| rotated(12, coarse, Pq { m, bits })),
        (prop::option::of((1u16..=3, 1u8..=9)), 2u16..=6, 4u8..=11).prop_map(|(stages, bytes, window)| {
            let trellis = Tcq { bytes, window }.stage();
            match stages {
                Some((m, bits)) => CodecSpec::of([Rq { m, bits }.stage(), trellis]),
                None => CodecSpec::of([trellis]),
            }
        }),
    ];
    (spec, 1u32..=2, 1u32..=2, 1u32..=10, prop::sample::select(vec![12u32, 48, 96]), any::<u64>()).prop_map(
        |(mut spec, layers, heads, tokens, head_dim, seed)| {
            // The name of a rotation has the dimension in it.
            spec = match *spec.stages() {
                [CodecStage::Opq(_), CodecStage::Pq(fine)] => rotated(head_dim as u16, None, fine),
                [CodecStage::Opq(_), CodecStage::Residual(Residual { m, bits }), CodecStage::Pq(fine)] => {
                    rotated(head_dim as u16, Some((m, bits)), fine)
                }
                _ => spec,
            };
            (spec, MemoryShape::new(layers, heads, tokens, head_dim), seed)
        },
    )
}

/// A valid record of a codec: the fill of each head, and codes, follow from the seed.
fn record(codec: &Codec, seed: u64) -> Record {
    let (shape, tokens) = (codec.shape(), codec.shape().tokens as usize);
    let noise = numbers(2 * shape.floats(), seed ^ 1);
    let full = |slot: usize| slot % tokens <= (seed as usize >> (slot / tokens % 32)) % (tokens + 1);
    let positions: Vec<u8> = (0..shape.slots()).map(|slot| if full(slot) { (3 * (slot % tokens) + 1) as u8 } else { EMPTY_SLOT }).collect();
    let code = |vector: usize| -> Vec<u8> {
        let floats = &noise[vector * shape.head_dim as usize..(vector + 1) * shape.head_dim as usize];
        let mut bytes: Vec<u8> = match codec.spec() {
            CodecSpec::F32 => floats.iter().flat_map(|x| x.to_le_bytes()).collect(),
            CodecSpec::BF16 => floats.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect(),
            _ => floats.iter().map(|x| (x.to_bits() >> 3) as u8).cycle().take(codec.code_bytes()).collect(),
        };
        let used: usize = codec.spec().stages().iter().map(look_up_bits).sum();
        if !used.is_multiple_of(8) {
            bytes[used / 8] &= (1 << (used % 8)) - 1;
        }
        bytes
    };
    let slots = shape.slots();
    let codes = (0..2 * slots).map(|v| if positions[v % slots] == EMPTY_SLOT { vec![0; codec.code_bytes()] } else { code(v) }).collect();
    Record { positions, codes }
}

/// SPEC.md, 9.2: the bits of a stage's numbers.
fn look_up_bits(stage: &CodecStage) -> usize {
    match *stage {
        CodecStage::Pq(Pq { m, bits }) | CodecStage::Residual(Residual { m, bits }) | CodecStage::Rq(Rq { m, bits }) => {
            usize::from(m) * usize::from(bits)
        }
        CodecStage::Prq(Prq { splits, m, bits }) => usize::from(splits * m) * usize::from(bits),
        CodecStage::F32(_) | CodecStage::Bf16(_) | CodecStage::Sq8(_) | CodecStage::Opq(_) | CodecStage::Tcq(_) => 0,
    }
}

fn codec_of(spec: CodecSpec, shape: MemoryShape, seed: u64) -> Codec {
    let floats = spec.table_floats(shape.head_dim).unwrap();
    let (map, groups) = if floats == 0 { (Vec::new(), 0) } else { (own_groups(shape.clone()), 2 * shape.layers * shape.heads) };
    let mut tables = numbers(groups as usize * floats, seed);
    if spec == CodecSpec::SQ8 {
        tables.iter_mut().for_each(|x| *x = x.abs());
    }
    if let Some(Tcq { window, .. }) = spec.trellis() {
        // Nothing is added to the last dimensions of some, with zeros of both signs, and some means are zeros of either.
        let (dim, zeros) = (shape.head_dim as usize, [0, 3, 8][seed as usize % 3]);
        for tables in tables.chunks_exact_mut(floats) {
            tables[floats - (zeros << window)..].iter_mut().for_each(|x| *x *= 0.0);
            tables[..if seed & 4 == 0 { dim } else { 0 }].iter_mut().for_each(|x| *x *= 0.0);
        }
    }
    let mut bytes = parameters(&map, &tables);
    let at = bytes.len() - 4 * tables.len();
    bytes.splice(at..at, (0..groups).flat_map(|group| allotment_of(spec, shape.clone(), seed, group as usize)));
    Codec::parse(&spec, shape, &bytes).unwrap()
}

/// The allotment that [`codec_of`] gives a group; none for codecs without a trellis.
fn allotment_of(spec: CodecSpec, shape: MemoryShape, seed: u64, group: usize) -> Vec<u8> {
    match spec.trellis() {
        Some(Tcq { bytes, window }) => allotment(shape.head_dim as usize, bytes, window, seed.wrapping_add(group as u64)),
        None => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_decode_as_the_definition_says((spec, shape, seed) in cases()) {
        let codec = codec_of(spec, shape.clone(), seed);
        prop_assert_eq!(codec.code_bytes(), spec.code_bytes(shape.head_dim).unwrap());
        let record = record(&codec, seed);
        let bytes = record.bytes();
        prop_assert_eq!(codec.stride(), bytes.len());
        let mut memory = Memory::empty(shape.clone());
        memory.keys.fill(7.0);
        memory.values.fill(7.0);
        codec.decode_memory(&bytes, &mut memory).unwrap();
        prop_assert_eq!(&memory.positions, &record.positions);
        let (slots, dim, tokens, heads) = (shape.slots(), shape.head_dim as usize, shape.tokens as usize, shape.heads as usize);
        for (vector, code) in record.codes.iter().enumerate() {
            let (kind, slot) = (VectorKind::ALL[vector / slots], vector % slots);
            let out = if kind == VectorKind::Key { &memory.keys } else { &memory.values };
            let group = codec.group_of(kind, slot / tokens / heads, slot / tokens % heads);
            let expected = match record.positions[slot] {
                EMPTY_SLOT => vec![0.0; dim],
                _ if spec.is_mapped() => {
                    slow_mapped(spec, dim, &allotment_of(spec, shape.clone(), seed, group), codec.tables(group).unwrap(), code)
                }
                _ => slow_decode(spec, dim, codec.tables(group).unwrap(), code),
            };
            let bits = |vector: &[f32]| vector.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&out[slot * dim..(slot + 1) * dim]), bits(&expected));
            if record.positions[slot] != EMPTY_SLOT {
                let mut one = vec![0.0; dim];
                codec.decode(group, code, &mut one).unwrap();
                prop_assert_eq!(bits(&one), bits(&expected));
            }
        }
    }

    #[test]
    fn arbitrary_parameters_and_records_never_panic(
        (spec, shape, _) in cases(), parameters in prop::collection::vec(any::<u8>(), 0..400), cut in 0usize..4000, seed in any::<u64>(),
    ) {
        let _ = Codec::parse(&spec, shape.clone(), &parameters);
        if spec.table_floats(shape.head_dim).unwrap() < 100_000 {
            let codec = codec_of(spec, shape.clone(), seed);
            let noise: Vec<u8> = numbers(codec.stride(), seed).iter().map(|x| (x.to_bits() >> 5) as u8).collect();
            let mut memory = Memory::empty(shape);
            let _ = codec.decode_memory(&noise, &mut memory);
            let _ = codec.decode_memory(&noise[..cut.min(noise.len())], &mut memory);
        }
    }
}

#[test]
fn codes_and_vectors_of_unusual_length_decode_as_the_definition_says() {
    // Room for their numbers is made on the heap.
    for (name, head_dim) in [("TCQ40x5", 152u32), ("RQ2x3,TCQ50x6", 131), ("OPQ2_130,PQ5x4", 130)] {
        let (spec, shape) = (name.parse().unwrap(), MemoryShape::new(1, 1, 11, head_dim));
        let codec = codec_of(spec, shape.clone(), 5);
        let mut memory = Memory::empty(shape.clone());
        let record = record(&codec, 13);
        codec.decode_memory(&record.bytes(), &mut memory).unwrap();
        let vectors = memory.keys.chunks_exact(head_dim as usize).chain(memory.values.chunks_exact(head_dim as usize));
        for (at, (vector, code)) in vectors.zip(&record.codes).enumerate() {
            let group = at / shape.slots();
            if record.positions[at % shape.slots()] != EMPTY_SLOT {
                let allotment = allotment_of(spec, shape.clone(), 5, group);
                assert_eq!(vector, slow_mapped(spec, head_dim as usize, &allotment, codec.tables(group).unwrap(), code), "{name} {at}");
            }
        }
    }
}

fn sq8(edit: impl FnOnce(&mut Vec<u8>)) -> Result<Codec, CodecError> {
    let mut bytes = parameters(&[0, 0, 1, 1, 2, 2, 0, 0], &[0.5; 3 * 24]);
    edit(&mut bytes);
    Codec::parse(&CodecSpec::SQ8, SHAPE, &bytes)
}

#[test]
fn groups_follow_the_map() {
    let codec = sq8(|_| ()).unwrap();
    assert_eq!((codec.groups(), codec.spec(), codec.shape()), (3, CodecSpec::SQ8, &SHAPE));
    let groups: Vec<usize> = VectorKind::ALL
        .iter()
        .flat_map(|&kind| (0..4).map(move |head| (kind, head)))
        .map(|(k, h)| codec.group_of(k, h / 2, h % 2))
        .collect();
    assert_eq!(groups, [0, 0, 1, 1, 2, 2, 0, 0]);
    assert_eq!(codec.group_of(VectorKind::Value, 2, 0), 0);
    assert_eq!(codec.group_of(VectorKind::Key, 1, 2), 0);
}

#[test]
fn parameters_of_another_length_are_refused() {
    let right = 4 + 16 + 4 * 72;
    assert_eq!(sq8(|bytes| bytes.truncate(3)).unwrap_err(), CodecError::ParametersLength { groups: 0, expected: 4, found: 3 });
    for found in [4, 5, 20, right - 1, right + 1] {
        let expected = CodecError::ParametersLength { groups: 3, expected: right as u64, found: found as u64 };
        assert_eq!(sq8(|bytes| bytes.resize(found, 0)).unwrap_err(), expected);
    }
    let more = sq8(|bytes| bytes[0] = 4).unwrap_err();
    assert_eq!(more, CodecError::ParametersLength { groups: 4, expected: right as u64 + 96, found: right as u64 });
}

#[test]
fn a_group_count_that_does_not_fit_is_refused() {
    assert_eq!(sq8(|bytes| bytes[0] = 0).unwrap_err(), CodecError::GroupCount { min: 1, max: 8, found: 0 });
    assert_eq!(sq8(|bytes| bytes[0] = 9).unwrap_err(), CodecError::GroupCount { min: 1, max: 8, found: 9 });
    assert_eq!(sq8(|bytes| bytes[..4].fill(0xFF)).unwrap_err(), CodecError::GroupCount { min: 1, max: 8, found: u32::MAX });
    let lossless = Codec::parse(&CodecSpec::F32, SHAPE, &[1, 0, 0, 0]).unwrap_err();
    assert_eq!(lossless, CodecError::GroupCount { min: 0, max: 0, found: 1 });
    assert!(Codec::parse(&CodecSpec::BF16, SHAPE, &[0; 4]).is_ok());
    assert!(matches!(Codec::parse(&CodecSpec::BF16, SHAPE, &[0; 5]), Err(CodecError::ParametersLength { .. })));
}

#[test]
fn parameters_beyond_the_cap_are_refused_before_their_length_counts() {
    let (spec, shape) = (CodecSpec::rq(128, 14), MemoryShape::new(SHAPE.layers, SHAPE.heads, SHAPE.tokens, 1024));
    assert!(matches!(Codec::parse(&spec, shape, &[1, 0, 0, 0]), Err(CodecError::ParametersCap { .. })));
}

#[test]
fn a_group_map_out_of_order_or_range_is_refused() {
    assert_eq!(sq8(|bytes| bytes[4] = 1).unwrap_err(), CodecError::GroupMap { entry: 0, found: 1, next: 0 });
    assert_eq!(sq8(|bytes| bytes[8] = 2).unwrap_err(), CodecError::GroupMap { entry: 2, found: 2, next: 1 });
    assert_eq!(sq8(|bytes| bytes[19] = 1).unwrap_err(), CodecError::GroupMap { entry: 7, found: 256, next: 3 });
    let beyond = sq8(|bytes| bytes[18] = 3).unwrap_err();
    assert_eq!(beyond, CodecError::GroupMap { entry: 7, found: 3, next: 3 });
    let unused = sq8(|bytes| bytes[12..20].fill(0)).unwrap_err();
    assert_eq!(unused, CodecError::UnusedGroups { named: 2, groups: 3 });
}

#[test]
fn table_entries_are_finite_and_bounded_and_steps_not_negative() {
    let put = |entry: usize, number: f32| sq8(move |bytes| bytes[20 + 4 * entry..][..4].copy_from_slice(&number.to_le_bytes()));
    for number in [f32::INFINITY, f32::NEG_INFINITY, 1.3e30, -1.3e30] {
        assert_eq!(put(25, number).unwrap_err(), CodecError::TableValue { group: 1, entry: 1, max: MAX_TABLE_VALUE, found: number });
    }
    assert!(matches!(put(0, f32::NAN), Err(CodecError::TableValue { group: 0, entry: 0, .. })));
    assert_eq!(put(24 + 12 + 5, -0.1).unwrap_err(), CodecError::Step { group: 1, dimension: 5, found: -0.1 });
    assert!(put(24 + 5, -MAX_TABLE_VALUE).is_ok() && put(24 + 12 + 5, MAX_TABLE_VALUE).is_ok());
}

#[test]
fn shapes_that_are_empty_or_enormous_are_refused() {
    for shape in
        [MemoryShape::new(SHAPE.layers, SHAPE.heads, 0, SHAPE.head_dim), MemoryShape::new(u32::MAX, u32::MAX, u32::MAX, SHAPE.head_dim)]
    {
        assert_eq!(Codec::parse(&CodecSpec::F32, shape.clone(), &[0; 4]).unwrap_err(), CodecError::Shape { found: shape });
    }
    let none = MemoryShape::new(SHAPE.layers, SHAPE.heads, SHAPE.tokens, 0);
    assert!(matches!(Codec::parse(&CodecSpec::F32, none, &[0; 4]), Err(CodecError::Spec(SpecError::HeadDim { found: 0 }))));
    let spec = CodecSpec::pq(5, 8);
    assert!(matches!(Codec::parse(&spec, SHAPE, &[0; 4]), Err(CodecError::Spec(SpecError::Division { .. }))));
}

#[test]
fn records_that_are_none_are_refused() {
    let codec = codec_of(CodecSpec::rq(3, 3), SHAPE, 5);
    let refused = |edit: &dyn Fn(&mut Record)| {
        let mut record = record(&codec, 0xFFFF_FFFF);
        record.positions = [2, 5, EMPTY_SLOT].repeat(4);
        (0..24).filter(|vector| vector % 3 == 2).for_each(|vector| record.codes[vector].fill(0));
        edit(&mut record);
        codec.decode_memory(&record.bytes(), &mut Memory::empty(SHAPE)).err()
    };
    assert_eq!(refused(&|_| ()), None);
    assert_eq!(refused(&|record| record.positions[4] = 2), Some(CodecError::Position { slot: 4, found: 2 }));
    assert_eq!(refused(&|record| record.positions[4] = EMPTY_SLOT), Some(CodecError::EmptySlot { slot: 4 }));
    assert_eq!(refused(&|record| record.positions[..3].copy_from_slice(&[255, 1, 2])), Some(CodecError::Position { slot: 1, found: 1 }));
    assert_eq!(refused(&|record| record.codes[5][1] = 1), Some(CodecError::EmptySlot { slot: 5 }));
    let padding = CodecError::Slot { kind: VectorKind::Value, slot: 3, source: CodecError::Padding.into() };
    assert_eq!(refused(&|record| record.codes[15][1] |= 2), Some(padding));
    assert_eq!(refused(&|record| record.codes[0].truncate(1)), Some(CodecError::RecordLength { expected: 60, found: 59 }));
}

#[test]
fn lossless_codes_of_what_is_not_finite_are_refused() {
    for spec in [CodecSpec::F32, CodecSpec::BF16] {
        let codec = codec_of(spec, SHAPE, 0);
        let mut code = vec![0; codec.code_bytes()];
        let bytes = codec.code_bytes() / 12;
        code[4 * bytes - 2..4 * bytes].copy_from_slice(&[0x80, 0x7F]);
        assert_eq!(codec.decode(0, &code, &mut [0.0; 12]), Err(CodecError::NotFinite { dimension: 3 }));
    }
}

#[test]
fn vectors_and_groups_that_do_not_fit_are_refused() {
    let codec = sq8(|_| ()).unwrap();
    assert_eq!(codec.decode(3, &[0; 12], &mut [0.0; 12]), Err(CodecError::UnknownGroup { found: 3, groups: 3 }));
    assert_eq!(codec.decode(0, &[0; 11], &mut [0.0; 12]), Err(CodecError::CodeLength { expected: 12, found: 11 }));
    assert_eq!(codec.decode(0, &[0; 12], &mut [0.0; 13]), Err(CodecError::VectorLength { expected: 12, found: 13 }));
    let other = MemoryShape::new(SHAPE.layers, SHAPE.heads, 4, SHAPE.head_dim);
    let refused = codec.decode_memory(&vec![0; codec.stride()], &mut Memory::empty(other.clone()));
    assert_eq!(refused, Err(CodecError::MemoryShape { expected: SHAPE, found: other }));
}

#[test]
fn allotments_that_are_none_are_refused() {
    let spec = CodecSpec::tcq(3, 6);
    let parse = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = parameters(&[0; 8], &vec![0.5; spec.table_floats(12).unwrap()]);
        let mut allotment = [4, 4, 4, 3, 3, 2, CONTINUED, 2, 1, CONTINUED, 1, 0].to_vec();
        edit(&mut allotment);
        bytes.splice(20..20, allotment);
        Codec::parse(&spec, SHAPE, &bytes).err()
    };
    assert_eq!(parse(&|_| ()), None);
    assert_eq!(parse(&|bits| bits[1] = 7), Some(CodecError::Allotment { group: 0, dimension: 1, max: 6, found: 7 }));
    assert_eq!(parse(&|bits| bits[0] = CONTINUED), Some(CodecError::Allotment { group: 0, dimension: 0, max: 6, found: CONTINUED }));
    assert_eq!(parse(&|bits| bits[1] = 5), Some(CodecError::AllottedBits { group: 0, expected: 24, found: 25 }));
    assert_eq!(parse(&|bits| bits[11] = CONTINUED), None);
    let shorter = parse(&|bits| bits.truncate(11));
    assert!(matches!(shorter, Some(CodecError::ParametersLength { .. })), "{shorter:?}");
}

#[test]
fn entries_behind_a_map_have_a_lower_bound() {
    let spec = rotated(12, None, Pq { m: 3, bits: 1 });
    let parse = |number: f32| {
        let mut tables = vec![0.5; spec.table_floats(12).unwrap()];
        tables[7] = number;
        Codec::parse(&spec, SHAPE, &parameters(&[0; 8], &tables)).err()
    };
    assert_eq!(parse(MAX_MAPPED_VALUE), None);
    let found = 2.0 * MAX_MAPPED_VALUE;
    assert_eq!(parse(found), Some(CodecError::TableValue { group: 0, entry: 7, max: MAX_MAPPED_VALUE, found }));
}
