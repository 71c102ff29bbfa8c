//! The index of a file: of which chunks it consists.

use mempack_format::Digest;
use serde::{Deserialize, Serialize};

use super::{ObjectError, Stored, hex};

/// Most bytes of a chunk.
const MAX_CHUNK_BYTES: u32 = 16 << 20;

/// The chunks of a file, in order. Its name is the digest of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileIndex {
    form: String,
    /// Bytes of the file: the sum of its chunks'.
    pub bytes: u64,
    /// The chunks, one after the other.
    pub chunks: Vec<Piece>,
}

/// A chunk of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// The digest of its bytes, and its name.
    #[serde(with = "hex")]
    pub digest: Digest,
    /// How many bytes it has.
    pub bytes: u32,
}

impl FileIndex {
    /// The index of a file of these chunks.
    pub fn new(chunks: Vec<Piece>) -> Self {
        let bytes = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
        Self { form: Self::FORM.to_owned(), bytes, chunks }
    }

    /// The chunks with the byte of the file at which each begins.
    pub fn places(&self) -> impl Iterator<Item = (u64, Piece)> + '_ {
        let mut end = 0;
        self.chunks.iter().map(move |chunk| {
            let start = end;
            end += u64::from(chunk.bytes);
            (start, *chunk)
        })
    }
}

impl Stored for FileIndex {
    const FORM: &'static str = "mempack file index 1";
    const MAX_BYTES: u64 = 256 << 20;

    fn form(&self) -> &str {
        &self.form
    }

    fn check(&self) -> Result<(), ObjectError> {
        let mut sum = 0;
        for chunk in &self.chunks {
            if chunk.bytes == 0 || chunk.bytes > MAX_CHUNK_BYTES {
                return Err(ObjectError::bounds("the length of a chunk", format_args!("1 to {MAX_CHUNK_BYTES}"), chunk.bytes));
            }
            sum += u64::from(chunk.bytes);
        }
        if sum != self.bytes {
            return Err(ObjectError::bounds("the length of the file", format_args!("{sum}, that of its chunks"), self.bytes));
        }
        Ok(())
    }
}
