//! A manifest field by field, by SPEC 5 alone.

/// How a field is written.
#[derive(Clone, Copy)]
enum Form {
    Int,
    Float,
    Digest,
    Text,
    Ints,
    OptionalDigest,
    Option,
}

use Form::{Digest, Float, Int, Ints, Option as OptionByte, OptionalDigest, Text};

/// The fields in their order.
const FIELDS: [(&str, Form); 33] = [
    ("generator", Text),
    ("model.name", Text),
    ("model.weights", Digest),
    ("model.adapter", OptionalDigest),
    ("model.config", Digest),
    ("model.tokenizer", Digest),
    ("model.layers", Int),
    ("model.first_memory_layer", Int),
    ("model.query_heads", Int),
    ("model.shape.layers", Int),
    ("model.shape.heads", Int),
    ("model.shape.tokens", Int),
    ("model.shape.head_dim", Int),
    ("model.rope_base", Float),
    ("model.prefix_ids", Ints),
    ("model.reference_length", Int),
    ("model.reference_template", Text),
    ("model.selection", Text),
    ("precision", Text),
    ("embedder.name", Text),
    ("embedder.digest", Digest),
    ("embedder.dim", Int),
    ("embedder.metric", Text),
    ("embedder.max_tokens", Int),
    ("codec", Text),
    ("counts.documents", Int),
    ("counts.references", Int),
    ("counts.origins", Int),
    ("counts.tokens", Int),
    ("counts.text_bytes", Int),
    ("graph", OptionByte),
    ("graph.m", Int),
    ("graph.ef_construction", Int),
];

/// The fields of a manifest, each as its bytes.
#[derive(Clone)]
pub struct Fields(Vec<Vec<u8>>);

impl Fields {
    /// Takes a manifest with graph parameters apart.
    pub fn of(manifest: &[u8]) -> Self {
        let mut rest = manifest;
        let fields = FIELDS.iter().map(|(_, form)| {
            let (field, behind) = rest.split_at(length(*form, rest));
            rest = behind;
            field.to_vec()
        });
        Self(fields.collect())
    }

    /// The manifest with another field, or other fields.
    pub fn with(&self, changes: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut fields = self.0.clone();
        for (name, bytes) in changes {
            fields[index(name)] = bytes.clone();
        }
        fields.concat()
    }

    pub fn int(&self, name: &str) -> u64 {
        number(&self.0[index(name)])
    }
}

fn index(name: &str) -> usize {
    FIELDS.iter().position(|field| field.0 == name).unwrap_or_else(|| panic!("no field {name}"))
}

/// Bytes of an int that begins with this one.
fn width(first: u8) -> usize {
    match first {
        251 => 3,
        252 => 5,
        253 => 9,
        _ => 1,
    }
}

fn number(bytes: &[u8]) -> u64 {
    let digits = if width(bytes[0]) == 1 { &bytes[..1] } else { &bytes[1..width(bytes[0])] };
    digits.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn length(form: Form, bytes: &[u8]) -> usize {
    let int = width(bytes[0]);
    match form {
        Int => int,
        Float => 8,
        Digest => 32,
        Text => int + number(bytes) as usize,
        Ints => (0..number(bytes)).fold(int, |at, _| at + width(bytes[at])),
        OptionalDigest => 1 + 32 * usize::from(bytes[0]),
        OptionByte => 1,
    }
}

/// SPEC 5, integers.
pub fn int(value: u64) -> Vec<u8> {
    match value {
        0..=250 => vec![value as u8],
        251..=0xFFFF => [&[251], &(value as u16).to_le_bytes()[..]].concat(),
        0x1_0000..=0xFFFF_FFFF => [&[252], &(value as u32).to_le_bytes()[..]].concat(),
        _ => [&[253], &value.to_le_bytes()[..]].concat(),
    }
}

/// SPEC 5, strings.
pub fn string(value: &str) -> Vec<u8> {
    [&int(value.len() as u64), value.as_bytes()].concat()
}
