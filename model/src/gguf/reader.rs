//! Parses header, metadata and tensor table of a GGUF file, from untrusted bytes.
//!
//! Source: the GGUF specification of the ggml project, versions 2 and 3, little-endian. Strings and arrays stay slices of the mapping, so
//! no length in the file can allocate memory. Only one map entry a key and a tensor is allocated, each smaller than its bytes in the file
//! times a constant.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::dequant::TensorType;
use super::error::{FETCH, ImportError};
use super::metadata::{Array, Metadata, Scalar, Value};

/// The first four bytes.
pub(super) const MAGIC: [u8; 4] = *b"GGUF";
/// Supported versions. Version 1 had 32-bit lengths and was replaced within weeks.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=3;
/// Max number of keys; files have dozens.
const MAX_KEYS: u64 = 1 << 16;
/// Max number of tensors; the largest models have thousands.
const MAX_TENSORS: u64 = 1 << 20;
/// Max bytes of a key, from the specification.
const MAX_KEY_BYTES: u64 = (1 << 16) - 1;
/// Max bytes of a string; chat templates have thousands.
const MAX_STRING_BYTES: u64 = 1 << 24;
/// Max elements of an array; vocabularies and merges have hundreds of thousands.
const MAX_ARRAY: u64 = 1 << 24;
/// Max bytes of a tensor's name; the specification allows 64.
const MAX_NAME_BYTES: u64 = 256;
/// Max dimensions of a tensor, from the specification.
const MAX_DIMENSIONS: u32 = 4;
/// Alignment of the data if the file has no `general.alignment`.
const DEFAULT_ALIGNMENT: u32 = 32;
/// Max alignment.
const MAX_ALIGNMENT: u32 = 1 << 16;

/// A tensor of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TensorInfo {
    /// How the elements are stored.
    pub kind: TensorType,
    /// The shape, outermost dimension first. The file has the innermost first.
    pub shape: Vec<u64>,
    /// The bytes' range in the file, which is inside it and as long as type and shape require.
    pub span: Range<usize>,
}

/// A GGUF file with checked header and tables.
#[derive(Debug)]
pub(super) struct Gguf<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    /// The keys.
    pub metadata: Metadata<'a>,
    /// The tensors, by name.
    pub tensors: BTreeMap<&'a str, TensorInfo>,
}

/// Parses `bytes`; `path` is for messages.
pub(super) fn parse<'a>(path: &'a Path, bytes: &'a [u8]) -> Result<Gguf<'a>, ImportError> {
    let mut r = Parser { path, bytes, at: 0 };
    let magic: [u8; 4] = r.array("magic")?;
    if magic != MAGIC {
        return Err(r.wrong("magic", 0, "`GGUF`", format!("{:?}", String::from_utf8_lossy(&magic)), "this is not a GGUF file"));
    }
    let version = r.u32("version")?;
    if !VERSIONS.contains(&version) {
        let remedy = match version {
            1 => "convert the model with a current llama.cpp",
            _ if VERSIONS.contains(&version.swap_bytes()) => "a big-endian file: convert it to little-endian",
            _ => "this version is not known: update mempack, or convert the model",
        };
        return Err(r.wrong("version", 4, "2 or 3", version.to_string(), remedy));
    }
    let tensors = r.count("number of tensors", MAX_TENSORS, 24)?;
    let keys = r.count("number of keys", MAX_KEYS, 13)?;
    let metadata = r.metadata(keys)?;
    let infos = r.tensors(tensors)?;
    let tensors = r.place(&metadata, infos)?;
    Ok(Gguf { bytes, metadata, tensors })
}

/// An entry of the tensor table.
struct TableEntry<'a> {
    name: &'a str,
    at: usize,
    kind: TensorType,
    shape: Vec<u64>,
    bytes: u64,
    offset: u64,
}

struct Parser<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn wrong(
        &self,
        part: impl Into<String>,
        at: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
        remedy: &'static str,
    ) -> ImportError {
        ImportError::Frame {
            path: self.path.to_owned(),
            part: part.into(),
            offset: at as u64,
            expected: expected.into(),
            found: found.into(),
            remedy,
        }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, part: &str, length: u64) -> Result<&'a [u8], ImportError> {
        let rest = &self.bytes[self.at..];
        match usize::try_from(length).ok().and_then(|length| rest.get(..length)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => Err(self.wrong(part, self.at, format!("{length} bytes"), format!("{} to the end of the file", rest.len()), FETCH)),
        }
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

    /// A count, at most `cap`, of things that take at least `min_bytes` bytes each.
    fn count(&mut self, part: &str, cap: u64, min_bytes: u64) -> Result<u64, ImportError> {
        let at = self.at;
        let count = self.u64(part)?;
        let max = cap.min(self.left() as u64 / min_bytes);
        if count > max {
            return Err(self.wrong(part, at, format!("at most {max}"), count.to_string(), FETCH));
        }
        Ok(count)
    }

    fn string(&mut self, part: &str, cap: u64) -> Result<&'a [u8], ImportError> {
        let length = self.count(part, cap, 1)?;
        self.take(part, length)
    }

    fn text(&mut self, part: &str, cap: u64) -> Result<&'a str, ImportError> {
        let at = self.at;
        let bytes = self.string(part, cap)?;
        std::str::from_utf8(bytes).map_err(|e| self.wrong(part, at, "UTF-8", e.to_string(), FETCH))
    }

    fn metadata(&mut self, keys: u64) -> Result<Metadata<'a>, ImportError> {
        let mut values = BTreeMap::new();
        for number in 0..keys {
            let at = self.at;
            let key = self.text(&format!("name of key {number}"), MAX_KEY_BYTES)?;
            let part = format!("key `{}`", key.escape_debug());
            let code = self.u32(&part)?;
            let value = match code {
                9 => Value::Array(self.elements(&part)?),
                _ => self.value(&part, code)?,
            };
            if values.insert(key, value).is_some() {
                return Err(self.wrong(part, at, "each key once", "the same key a second time", FETCH));
            }
        }
        Ok(Metadata::new(self.path, values))
    }

    fn value(&mut self, part: &str, code: u32) -> Result<Value<'a>, ImportError> {
        if code == 8 {
            return Ok(Value::String(self.string(part, MAX_STRING_BYTES)?));
        }
        let at = self.at;
        let Some(size) = Scalar::size(code) else {
            let found = format!("type {code}");
            return Err(self.wrong(part, at.saturating_sub(4), "a type of value from 0 to 12", found, FETCH));
        };
        let bytes = self.take(part, size as u64)?;
        match Scalar::read(code, bytes) {
            Some(scalar) => Ok(Value::Scalar(scalar)),
            None => Err(self.wrong(part, at, "a boolean, 0 or 1", format!("{bytes:?}"), FETCH)),
        }
    }

    /// An array. Its elements are checked to be inside the file, and not copied.
    fn elements(&mut self, part: &str) -> Result<Array<'a>, ImportError> {
        let at = self.at;
        let code = self.u32(part)?;
        let min_bytes = match Scalar::size(code) {
            Some(size) => size as u64,
            None if code == 8 => 8,
            None => {
                return Err(self.wrong(part, at, "an array of numbers, booleans or strings", format!("an array of type {code}"), FETCH));
            }
        };
        let count = self.count(part, MAX_ARRAY, min_bytes)?;
        let start = self.at;
        if code == 8 {
            for _ in 0..count {
                self.string(part, MAX_STRING_BYTES)?;
            }
        } else {
            self.take(part, count * min_bytes)?;
        }
        Ok(Array { code, count: count as usize, bytes: &self.bytes[start..self.at] })
    }

    fn tensors(&mut self, count: u64) -> Result<Vec<TableEntry<'a>>, ImportError> {
        let mut infos = Vec::new();
        for number in 0..count {
            let at = self.at;
            let name = self.text(&format!("name of tensor {number}"), MAX_NAME_BYTES)?;
            let part = format!("tensor `{}`", name.escape_debug());
            let dimensions = self.u32(&part)?;
            if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
                return Err(self.wrong(part, at, format!("1 to {MAX_DIMENSIONS} dimensions"), dimensions.to_string(), FETCH));
            }
            let mut shape = Vec::new();
            for _ in 0..dimensions {
                shape.push(self.u64(&part)?);
            }
            let code = self.u32(&part)?;
            let kind = TensorType::from_code(code).map_err(|found| {
                self.wrong(
                    &part,
                    at,
                    format!("one of the types {}", TensorType::names()),
                    found,
                    "use a file with another quantization, as Q8_0 or Q4_K_M",
                )
            })?;
            // The innermost dimension, first in the file, is stored in whole blocks.
            let bytes = kind.bytes(&shape).ok_or_else(|| {
                let expected = format!("dimensions above 0, the first a multiple of {}, and a size below 2^63", kind.block());
                self.wrong(&part, at, expected, format!("{shape:?}"), FETCH)
            })?;
            shape.reverse();
            let offset = self.u64(&part)?;
            infos.push(TableEntry { name, at, kind, shape, bytes, offset });
        }
        Ok(infos)
    }

    /// Locates the tensors in the data after the table, and checks that they are aligned, inside the file and do not overlap.
    fn place(&self, metadata: &Metadata<'a>, infos: Vec<TableEntry<'a>>) -> Result<BTreeMap<&'a str, TensorInfo>, ImportError> {
        let alignment = metadata.u32("general.alignment")?.unwrap_or(DEFAULT_ALIGNMENT);
        if !alignment.is_power_of_two() || !(8..=MAX_ALIGNMENT).contains(&alignment) {
            let expected = format!("a power of two from 8 to {MAX_ALIGNMENT}");
            return Err(metadata.wrong("general.alignment", expected, alignment.to_string(), FETCH));
        }
        let alignment = u64::from(alignment);
        let base = (self.at as u64).next_multiple_of(alignment);
        let data = (self.bytes.len() as u64).saturating_sub(base);
        let mut spans: Vec<(u64, u64, usize)> = Vec::with_capacity(infos.len());
        for (number, info) in infos.iter().enumerate() {
            let part = format!("tensor `{}`", info.name.escape_debug());
            if info.offset % alignment != 0 {
                return Err(self.wrong(
                    part,
                    info.at,
                    format!("an offset that is a multiple of {alignment}"),
                    info.offset.to_string(),
                    FETCH,
                ));
            }
            match info.offset.checked_add(info.bytes).filter(|end| *end <= data) {
                Some(end) => spans.push((info.offset, end, number)),
                None => {
                    let found = format!("{} bytes from {}", info.bytes, info.offset);
                    return Err(self.wrong(part, info.at, format!("data within the {data} bytes there are"), found, FETCH));
                }
            }
        }
        spans.sort_unstable();
        for pair in spans.windows(2) {
            if let [(_, end, before), (start, _, number)] = *pair
                && start < end
            {
                let (before, info) = (&infos[before], &infos[number]);
                let part = format!("tensor `{}`", info.name.escape_debug());
                let found = format!("data from {start}, inside that of `{}`", before.name.escape_debug());
                return Err(self.wrong(part, info.at, format!("data from {end} or later"), found, FETCH));
            }
        }
        let mut tensors = BTreeMap::new();
        for info in infos {
            // Both ends are at most the file's length.
            let start = (base + info.offset) as usize;
            let placed = TensorInfo { kind: info.kind, shape: info.shape, span: start..start + info.bytes as usize };
            if tensors.insert(info.name, placed).is_some() {
                let part = format!("tensor `{}`", info.name.escape_debug());
                return Err(self.wrong(part, info.at, "each name once", "the same name a second time", FETCH));
            }
        }
        Ok(tensors)
    }
}
