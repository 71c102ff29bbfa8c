//! The keys of a GGUF file and typed access to them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::error::{FETCH, ImportError};

/// A number or a boolean of the metadata.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar {
    Unsigned(u64),
    Signed(i64),
    Float32(f32),
    Float64(f64),
    Bool(bool),
}

impl Scalar {
    /// Bytes of a value of type `code`, if it is a number or a boolean.
    pub(super) fn size(code: u32) -> Option<usize> {
        match code {
            0 | 1 | 7 => Some(1),
            2 | 3 => Some(2),
            4..=6 => Some(4),
            10..=12 => Some(8),
            _ => None,
        }
    }

    /// The value of type `code` in `bytes`; `None` if there are too few bytes, or a boolean is neither 0 nor 1.
    pub(super) fn read(code: u32, bytes: &[u8]) -> Option<Self> {
        fn first<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
            bytes.first_chunk().copied()
        }
        Some(match code {
            0 => Self::Unsigned(u8::from_le_bytes(first(bytes)?).into()),
            1 => Self::Signed(i8::from_le_bytes(first(bytes)?).into()),
            2 => Self::Unsigned(u16::from_le_bytes(first(bytes)?).into()),
            3 => Self::Signed(i16::from_le_bytes(first(bytes)?).into()),
            4 => Self::Unsigned(u32::from_le_bytes(first(bytes)?).into()),
            5 => Self::Signed(i32::from_le_bytes(first(bytes)?).into()),
            6 => Self::Float32(f32::from_le_bytes(first(bytes)?)),
            7 => Self::Bool(match bytes.first()? {
                0 => false,
                1 => true,
                _ => return None,
            }),
            10 => Self::Unsigned(u64::from_le_bytes(first(bytes)?)),
            11 => Self::Signed(i64::from_le_bytes(first(bytes)?)),
            12 => Self::Float64(f64::from_le_bytes(first(bytes)?)),
            _ => return None,
        })
    }

    fn whole(self) -> Option<u64> {
        match self {
            Self::Unsigned(n) => Some(n),
            Self::Signed(n) => u64::try_from(n).ok(),
            _ => None,
        }
    }
}

/// An array of the metadata, left in the file's bytes, which are known to hold `count` elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Array<'a> {
    /// Type of the elements.
    pub code: u32,
    /// Number of elements.
    pub count: usize,
    /// The elements.
    pub bytes: &'a [u8],
}

impl<'a> Array<'a> {
    fn strings(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.bytes;
        (0..self.count).map_while(move |_| {
            let (length, after) = rest.split_first_chunk::<8>()?;
            let (string, after) = after.split_at_checked(u64::from_le_bytes(*length) as usize)?;
            rest = after;
            Some(string)
        })
    }
}

/// A value of the metadata.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Scalar(Scalar),
    String(&'a [u8]),
    Array(Array<'a>),
}

impl Value<'_> {
    /// Whether the value says that something is not used: for numbers, 0 stands for that in ggml's programs.
    fn is_neutral(self) -> bool {
        match self {
            Self::Scalar(Scalar::Unsigned(n)) => n == 0,
            Self::Scalar(Scalar::Signed(n)) => n == 0,
            Self::Scalar(Scalar::Float32(x)) => x == 0.0,
            Self::Scalar(Scalar::Float64(x)) => x == 0.0,
            Self::Scalar(Scalar::Bool(x)) => !x,
            Self::String(bytes) => bytes.is_empty(),
            Self::Array(array) => array.count == 0,
        }
    }
}

/// The keys of a file. It remembers which were read.
#[derive(Debug)]
pub(super) struct Metadata<'a> {
    path: &'a Path,
    values: BTreeMap<&'a str, Value<'a>>,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Metadata<'a> {
    pub(super) fn new(path: &'a Path, values: BTreeMap<&'a str, Value<'a>>) -> Self {
        Self { path, values, read: RefCell::default() }
    }

    /// The file.
    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    /// An error about a key.
    pub(super) fn wrong(&self, key: &str, expected: impl Into<String>, found: impl Into<String>, remedy: &'static str) -> ImportError {
        ImportError::Key {
            path: self.path.to_owned(),
            key: key.escape_debug().to_string(),
            expected: expected.into(),
            found: found.into(),
            remedy,
        }
    }

    /// An error about a key without which no tokenizer can be made.
    pub(super) fn vocabulary(&self, key: &str, expected: impl Into<String>, found: impl Into<String>) -> ImportError {
        ImportError::Vocabulary {
            path: self.path.to_owned(),
            key: key.escape_debug().to_string(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    pub(super) fn u32(&self, key: &str) -> Result<Option<u32>, ImportError> {
        self.typed(key, "a whole number below 2^32", |value| match value {
            Value::Scalar(scalar) => scalar.whole().and_then(|n| u32::try_from(n).ok()),
            _ => None,
        })
    }

    /// A finite number, by way of its shortest decimal: a 32-bit float gives the number that the model's own configuration has, 1e-5 and
    /// not 9.999999747378752e-6.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, ImportError> {
        self.typed(key, "a finite number", |value| match value {
            Value::Scalar(Scalar::Float32(x)) => x.to_string().parse().ok().filter(|x: &f64| x.is_finite()),
            Value::Scalar(Scalar::Float64(x)) => Some(x).filter(|x| x.is_finite()),
            Value::Scalar(scalar) => scalar.whole().map(|n| n as f64),
            _ => None,
        })
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>, ImportError> {
        self.typed(key, "true or false", |value| match value {
            Value::Scalar(Scalar::Bool(x)) => Some(x),
            _ => None,
        })
    }

    pub(super) fn str(&self, key: &str) -> Result<Option<&'a str>, ImportError> {
        self.typed(key, "a string in UTF-8", |value| match value {
            Value::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        })
    }

    /// An array of strings, all in UTF-8.
    pub(super) fn strings(&self, key: &str) -> Result<Option<Vec<&'a str>>, ImportError> {
        let array = self.typed(key, "an array of strings", |value| match value {
            Value::Array(array) if array.code == 8 => Some(array),
            _ => None,
        })?;
        let Some(array) = array else { return Ok(None) };
        let mut strings = Vec::new();
        for (number, bytes) in array.strings().enumerate() {
            match std::str::from_utf8(bytes) {
                Ok(string) => strings.push(string),
                Err(e) => return Err(self.wrong(key, "strings in UTF-8", format!("element {number}: {e}"), FETCH)),
            }
        }
        Ok(Some(strings))
    }

    /// An array of whole numbers.
    pub(super) fn integers(&self, key: &str) -> Result<Option<Vec<i64>>, ImportError> {
        let array = self.typed(key, "an array of whole numbers", |value| match value {
            Value::Array(array) if matches!(array.code, 0..=5 | 10 | 11) => Some(array),
            _ => None,
        })?;
        let Some(array) = array else { return Ok(None) };
        let Some(size) = Scalar::size(array.code) else { return Ok(None) };
        let integer = |bytes| match Scalar::read(array.code, bytes)? {
            Scalar::Signed(n) => Some(n),
            other => other.whole().and_then(|n| i64::try_from(n).ok()),
        };
        array
            .bytes
            .chunks_exact(size)
            .map(integer)
            .collect::<Option<_>>()
            .map(Some)
            .ok_or_else(|| self.wrong(key, "numbers below 2^63", "a larger one", FETCH))
    }

    /// Whether a key was asked for.
    pub(super) fn was_read(&self, key: &str) -> bool {
        self.read.borrow().contains(key)
    }

    /// The keys that were not read and have a value that is not neutral: not 0, false or empty.
    pub(super) fn unread(&self) -> impl Iterator<Item = (&'a str, String)> {
        let read = self.read.borrow().clone();
        self.values.iter().filter(move |(key, value)| !read.contains(**key) && !value.is_neutral()).map(|(key, value)| (*key, show(*value)))
    }

    fn typed<T>(&self, key: &str, expected: &str, read: impl FnOnce(Value<'a>) -> Option<T>) -> Result<Option<T>, ImportError> {
        self.read.borrow_mut().insert(key.to_owned());
        match self.values.get(key) {
            None => Ok(None),
            Some(value) => read(*value).map(Some).ok_or_else(|| self.wrong(key, expected, show(*value), "convert the model again")),
        }
    }
}

/// A value, short enough for an error message.
fn show(value: Value<'_>) -> String {
    match value {
        Value::Scalar(Scalar::Unsigned(n)) => n.to_string(),
        Value::Scalar(Scalar::Signed(n)) => n.to_string(),
        Value::Scalar(Scalar::Float32(x)) => x.to_string(),
        Value::Scalar(Scalar::Float64(x)) => x.to_string(),
        Value::Scalar(Scalar::Bool(x)) => x.to_string(),
        Value::String(bytes) => format!("`{}`", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).escape_debug()),
        Value::Array(array) => format!("an array of {} values of type {}", array.count, array.code),
    }
}
