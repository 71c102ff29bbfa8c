//! Requests that a decoder or a reader refuses.

use mempack_model::{ComputeError, Decoder, EMPTY_SLOT, Memory, MemoryConfig, Reader, ReaderOptions, Slot};

use crate::support::{Folder, assert_names, fixtures, load};

fn decoder() -> Decoder {
    Folder::new().load().unwrap()
}

fn reader(decoder: &Decoder, prefix: bool) -> Reader {
    decoder.reader(&ReaderOptions { capacity: 8, prefix }).unwrap()
}

fn slot(memory: &Memory) -> Slot<'_> {
    Slot { memory, similarity: 1.0 }
}

#[test]
fn references() {
    let decoder = decoder();
    assert!(decoder.write(&[]).unwrap().is_empty());
    assert!(matches!(decoder.write(&[&[5], &[]]), Err(ComputeError::EmptyReference { index: 1 })));
    assert!(matches!(decoder.write(&[&[5; 33]]), Err(ComputeError::LongReference { index: 0, tokens: 33, max: 32 })));
    assert!(matches!(decoder.write(&[&[5, 97]]), Err(ComputeError::UnknownToken { token: 97, vocabulary: 97 })));
}

#[test]
fn a_short_reference_leaves_empty_slots() {
    let decoder = decoder();
    let memory = decoder.write(&[&[5, 6]]).unwrap().remove(0);
    assert!(memory.positions.chunks(4).all(|head| head == [0, 1, EMPTY_SLOT, EMPTY_SLOT]));
}

#[test]
fn repeated_tokens_tie_and_the_first_are_kept() {
    // Before RoPE and without a mask, equal tokens of the first layer have equal queries and keys, so equal weights.
    let folder = Folder::new();
    folder.edit("config.json", |c| drop(c["memory"].as_object_mut().unwrap().insert("first_memory_layer".into(), 0.into())));
    let decoder = folder.load().unwrap();
    for length in [31, 32] {
        let memory = decoder.write(&[&vec![7; length]]).unwrap().remove(0);
        let first_layer = &memory.positions[..decoder.shape().heads as usize * 4];
        assert!(first_layer.chunks(4).all(|head| head == [0, 1, 2, 3]), "{length}: {first_layer:?}");
    }
}

#[test]
fn capacity() {
    let decoder = decoder();
    let mut full = reader(&decoder, true);
    assert!(matches!(full.prompt(&[5; 8], &[], false), Err(ComputeError::Capacity { capacity: 8, wanted: 9 })));
    full.prompt(&[5; 7], &[], false).unwrap();
    assert!(matches!(full.step(5), Err(ComputeError::Capacity { capacity: 8, wanted: 9 })));
    assert_eq!(full.len(), 8);
}

#[test]
fn order_and_ids() {
    let decoder = decoder();
    let mut reader = reader(&decoder, true);
    assert!(reader.is_empty());
    assert!(matches!(reader.step(5), Err(ComputeError::Order { operation: "step", .. })));
    assert!(matches!(reader.prompt(&[97], &[], false), Err(ComputeError::UnknownToken { token: 97, .. })));
    reader.prompt(&[5], &[], false).unwrap();
    assert!(matches!(reader.prompt(&[5], &[], false), Err(ComputeError::Order { operation: "prompt", .. })));
    assert!(matches!(reader.step(200), Err(ComputeError::UnknownToken { token: 200, .. })));
    assert_eq!(reader.len(), 2);
}

#[test]
fn memories_that_do_not_fit() {
    let decoder = decoder();
    let memory = decoder.write(&[&[5, 6, 7, 8, 9]]).unwrap().remove(0);
    let mut with = reader(&decoder, true);
    assert!(matches!(with.set_memories(&[slot(&memory); 6]), Err(ComputeError::TooManyMemories { given: 6, slots: 5 })));
    assert!(matches!(reader(&decoder, false).prompt(&[5], &[vec![slot(&memory)]], false), Err(ComputeError::NoSlots)));
    let other = load(&fixtures().join("llama_gqa/model"), None).unwrap().write(&[&[5, 6]]).unwrap().remove(0);
    assert!(matches!(with.set_memories(&[slot(&other)]), Err(ComputeError::MemoryShape { .. })));
    let damage = |damage: fn(&mut Memory)| {
        let mut copy = memory.clone();
        damage(&mut copy);
        reader(&decoder, true).set_memories(&[slot(&copy)]).unwrap_err().to_string()
    };
    assert_names(&damage(|m| m.keys.truncate(1)), &["keys"]);
    assert_names(&damage(|m| m.values.clear()), &["values"]);
    assert_names(&damage(|m| m.positions.push(0)), &["positions"]);
    assert_names(&damage(|m| m.positions[0] = 32), &["position below", "32"]);
    assert_names(&damage(|m| m.positions[3] = EMPTY_SLOT), &["tokens of a head"]);
    assert_names(&damage(|m| m.positions.chunks_mut(4).for_each(|head| head[0] = EMPTY_SLOT)), &["tokens of a head"]);
}

#[test]
fn memories_are_exchanged_in_place() {
    let decoder = decoder();
    let memories = decoder.write(&[&[5, 6, 7, 8, 9], &[40, 41], &[60, 61, 62, 63, 64, 65]]).unwrap();
    let with = |sets: &[&[usize]]| {
        let mut reader = reader(&decoder, true);
        reader.prompt(&[11, 12], &[], false).unwrap();
        for set in sets {
            reader.set_memories(&set.iter().map(|m| slot(&memories[*m])).collect::<Vec<_>>()).unwrap();
        }
        reader.step(13).unwrap()
    };
    // Fewer memories after more: nothing of the earlier ones is read.
    assert_eq!(with(&[&[0, 1, 2], &[1]]), with(&[&[1]]));
    assert_eq!(with(&[&[0, 1, 2], &[]]), with(&[]));
    assert_ne!(with(&[&[0]]), with(&[&[2]]));
}

#[test]
fn another_memory_block_is_that_of_another_folder() {
    let folder = Folder::new();
    let decoder = folder.load().unwrap();
    folder.edit("config.json", |c| {
        let block = c["memory"].as_object_mut().unwrap();
        for (name, value) in [("tokens_per_head", 7), ("num_memory_layers", 2), ("first_memory_layer", 0), ("reference_length", 20)] {
            block.insert(name.into(), value.into());
        }
    });
    let other = folder.load().unwrap();
    let changed = decoder.with_memory(other.memory().clone()).unwrap();
    assert_ne!(decoder.shape(), other.shape());
    let reference: Vec<u32> = (4..24).collect();
    let memory = other.write(&[&reference]).unwrap().remove(0);
    assert_eq!(changed.write(&[&reference]).unwrap()[0], memory);
    let scores = |decoder: &Decoder| reader(decoder, true).prompt(&[5, 6, 7], &[vec![slot(&memory)]], true).unwrap();
    assert_eq!(scores(&changed), scores(&other));
    assert!(matches!(decoder.write(&[&[5; 20]]), Ok(memories) if memories[0].shape == *decoder.shape()), "the first one is as it was");

    let refused = |change: fn(&mut MemoryConfig)| {
        let mut memory = decoder.memory().clone();
        change(&mut memory);
        decoder.with_memory(memory).err().expect("a refusal").to_string()
    };
    assert_names(&refused(|m| m.tokens_per_head = 0.into()), &["tokens_per_head", "1 to 32", "0"]);
    assert_names(&refused(|m| m.first_memory_layer = 99), &["first_memory_layer", "99"]);
    assert_names(&refused(|m| m.context_template = Some("{text}".into())), &["context_template", "{question}"]);
}
