//! The meaning of a fuzzer's input: a file, or a list of changes to a whole pack.
//!
//! The first byte chooses. 0: the rest is a file. 1: the rest is a file whose digests are corrected first. Any other: the rest is a list of
//! changes to one of the [`bases`], and digests are corrected at the end. Any bytes are a valid list. So inputs stay small, and the fuzzer
//! reaches the checks behind the digests.

use std::sync::OnceLock;

use mempack_format::CodecSpec;

use crate::{Parts, Plan, frame, put, seal, seal_root};

/// The golden pack of version 1.0.
pub const GOLDEN: &[u8] = include_bytes!("../../../../format-spec/tests/golden/v1.0.mpk");
/// Most changes that are made; the rest of the input is ignored.
const MAX_CHANGES: usize = 12;

/// The whole packs that are changed: the golden one, small ones of every kind of codec, one whose search uses the graph,
/// one with a head budget, one with an inverted index, one with metadata, one whose search uses the graph and coarse embeddings, and one with places.
pub fn bases() -> &'static [Parts] {
    static BASES: OnceLock<Vec<Parts>> = OnceLock::new();
    BASES.get_or_init(|| {
        let codecs = [CodecSpec::pq(3, 3), CodecSpec::F32, CodecSpec::SQ8];
        let mapped = ["RQ2x3,TCQ2x4", "OPQ2_6,Residual2x4,PQ3x3"].map(|name| name.parse().expect("the name of a codec"));
        let more = [Plan::ragged(CodecSpec::pq(3, 3)), Plan::lexical(CodecSpec::SQ8), Plan::described(CodecSpec::SQ8)];
        let searched = Plan { coarse: true, ..Plan::wide() };
        let last = [searched, Plan::placed(CodecSpec::SQ8)];
        let plans = codecs.into_iter().map(Plan::small).chain([Plan::wide()]).chain(mapped.map(Plan::small)).chain(more).chain(last);
        std::iter::once(Parts::of(GOLDEN)).chain(plans.map(|plan| Parts::of(&plan.bytes()))).collect()
    })
}

/// The file that an input stands for.
pub fn file(input: &[u8]) -> Vec<u8> {
    match input.split_first() {
        None => Vec::new(),
        Some((0, file)) => file.to_vec(),
        Some((1, file)) => {
            let mut file = file.to_vec();
            seal(&mut file);
            file
        }
        Some((base, changes)) => changed(&bases()[usize::from(base - 2) % bases().len()], changes),
    }
}

/// Reads numbers from an input, zeros after its end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> usize {
        self.number(1) as usize
    }

    fn number(&mut self, bytes: usize) -> u64 {
        self.take(bytes).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn take(&mut self, max: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(max.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A place in `length` bytes.
    fn place(&mut self, length: usize) -> usize {
        self.number(4) as usize % (length + 1)
    }
}

fn changed(base: &Parts, changes: &[u8]) -> Vec<u8> {
    let mut parts = base.clone();
    let mut reader = Reader(changes);
    let (mut header, mut behind, mut leaves, mut cut) = (Vec::new(), Vec::new(), true, None);
    for _ in 0..MAX_CHANGES {
        if reader.0.is_empty() {
            break;
        }
        match reader.byte() % 16 {
            0 => header.push((reader.place(4095), reader.take(8))),
            1 => leaves = false,
            2 => cut = Some(reader.place(1 << 20)),
            3 if reader.0.first().is_some_and(|byte| *byte >= 0xC0) => behind = trailer(&mut reader),
            3 => change_table(&mut parts, &mut reader),
            4 | 5 => change_text(&mut parts, &mut reader),
            6..=9 => set_number(&mut parts, &mut reader),
            kind => change_section(&mut parts, &mut reader, kind),
        }
    }
    // Leaves of unchanged sections are correct already, and computing all of them takes longer than the rest.
    if leaves && ["REFS", "MEMORIES", "EMBED", "TEXTINDX", "TEXT"].iter().any(|tag| parts.find(tag) != base.find(tag)) {
        parts.seal_leaves();
    }
    let mut file = parts.assemble();
    for (at, bytes) in header {
        put(&mut file, at, &bytes[..bytes.len().min(4096 - at)]);
    }
    seal_root(&mut file);
    file.extend(behind);
    file.truncate(cut.unwrap_or(usize::MAX));
    file
}

/// A trailer that begins like signatures: with a count that fits or not, and entries of any bytes.
fn trailer(reader: &mut Reader<'_>) -> Vec<u8> {
    let entries = reader.byte() % 4;
    let count = if reader.byte().is_multiple_of(4) { reader.number(4) as u32 } else { entries as u32 };
    let mut bytes = vec![0x89, 0x4d, 0x50, 0x4b, 0x53, 0x49, 0x47, 0x0a];
    bytes.extend(count.to_le_bytes());
    bytes.extend([0; 4]);
    for entry in 0..entries {
        let mut entry = vec![entry as u8; 96];
        let given = reader.take(8);
        entry[..given.len()].copy_from_slice(given);
        bytes.extend(entry);
    }
    bytes.extend(reader.take(reader.0.first().map_or(0, |byte| usize::from(*byte % 2))));
    bytes
}

/// Changes, inserts or removes bytes of a section.
fn change_section(parts: &mut Parts, reader: &mut Reader<'_>, kind: usize) {
    let count = parts.0.len();
    let Some(part) = parts.0.get_mut(reader.byte() % count.max(1)) else { return };
    let at = reader.place(part.bytes.len());
    let run = (1 + reader.byte() % 64).min(part.bytes.len() - at);
    match kind {
        10 | 11 => {
            let new = reader.take(run);
            put(&mut part.bytes, at, new);
        }
        12 => drop(part.bytes.splice(at..at, reader.take(run).iter().copied())),
        13 => drop(part.bytes.drain(at..at + run)),
        14 => part.bytes.truncate(at),
        _ => part.bytes.resize(part.bytes.len() + reader.number(2) as usize, reader.byte() as u8),
    }
}

/// Replaces a number of a section with one that is likely to be at a limit.
fn set_number(parts: &mut Parts, reader: &mut Reader<'_>) {
    let count = parts.0.len();
    let Some(part) = parts.0.get_mut(reader.byte() % count.max(1)) else { return };
    let width = [2, 4, 8, 8][reader.byte() % 4];
    let length = part.bytes.len();
    let at = reader.place(length) / 4 * 4;
    let Some(old) = part.bytes.get_mut(at..at + width) else { return };
    let before = old.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let new = match reader.byte() % 16 {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << 63,
        3 => 1 << 31,
        4 => length as u64,
        5 => before.wrapping_sub(1),
        6 => before ^ 1 << (reader.byte() % 64),
        7 => u64::from(f32::NAN.to_bits()),
        8 => u64::from(f32::INFINITY.to_bits()),
        9 => reader.number(4),
        10 => reader.number(8),
        11 => reader.number(1),
        12 => before.wrapping_mul(2),
        13 => u64::from(u32::MAX) - 1,
        _ => before.wrapping_add(1),
    };
    old.copy_from_slice(&new.to_le_bytes()[..width]);
}

/// Removes, repeats, moves or renames whole sections, or changes their flags.
fn change_table(parts: &mut Parts, reader: &mut Reader<'_>) {
    let count = parts.0.len();
    if count == 0 || count > 60 {
        return;
    }
    let (kind, one, other) = (reader.byte() % 6, reader.byte() % count, reader.byte() % count);
    match kind {
        0 => drop(parts.0.remove(one)),
        1 => parts.0.push(parts.0[one].clone()),
        2 => parts.0.swap(one, other),
        3 => parts.0[one].flags = reader.number(8),
        4 => parts.0[one].tag.iter_mut().zip(reader.take(8)).for_each(|(old, new)| *old = *new),
        _ => parts.0[one].bytes = parts.0[other].bytes.clone(),
    }
}

/// Changes the text of a block and compresses it again, or replaces its frame.
fn change_text(parts: &mut Parts, reader: &mut Reader<'_>) {
    if parts.find("TEXT").is_none() || parts.find("TEXTINDX").is_none() {
        return;
    }
    let block = reader.byte() % 4;
    let Some(mut text) = parts.block(block) else { return };
    let at = reader.place(text.len());
    let new = match reader.byte() % 8 {
        0 => frame(&text, false),
        1 => [frame(&text[..at], true), frame(&text[at..], true)].concat(),
        2 => frame(&text[..at], true),
        3 => frame(&[&text[..], reader.take(64)].concat(), true),
        4 => reader.take(64).to_vec(),
        5 => {
            // A frame changed under its checksum.
            let mut frame = frame(&text, true);
            let at = at % frame.len();
            frame[at] = reader.byte() as u8;
            frame
        }
        _ => {
            let new = reader.take(8.min(text.len() - at));
            put(&mut text, at, new);
            frame(&text, true)
        }
    };
    parts.set_frame(block, &new);
}
