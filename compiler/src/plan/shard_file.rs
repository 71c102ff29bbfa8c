//! The file of a shard: the memory records and embeddings of its references, in their order.
//!
//! | at | type | contents |
//! |---|---|---|
//! | 0 | u8[8] | `MPSHARD\n` |
//! | 8 | u32 | form of the file, 1 |
//! | 12 | u32 | number of the shard |
//! | 16 | u8[32] | id of the plan |
//! | 48 | u64 | references |
//! | 56 | u32 | bytes of a record |
//! | 60 | u32 | dimensions of an embedding |
//! | 64 | u8[64] | the program that wrote it, UTF-8, filled up with zeros |
//! | 128 | | for each reference its record and its embedding (`f32`) |
//! | end | u8[32] | digest of all bytes before |

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use mempack_format::{Digest, Storage};

use super::Plan;
use super::references::DigestFile;
use crate::{BuildError, GENERATOR};

/// What a shard begins with.
pub(crate) const MAGIC: &[u8; 8] = b"MPSHARD\n";
const FORM: u32 = 1;
const HEADER_BYTES: usize = 128;
const DIGEST_BYTES: u64 = 32;
const BUFFER_BYTES: usize = 1 << 18;

/// What a shard says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardHeader {
    pub plan: Digest,
    pub shard: u32,
    pub references: u64,
    pub stride: u32,
    pub dim: u32,
    pub generator: String,
}

/// What is wrong with the file of a shard.
#[derive(Debug)]
#[non_exhaustive]
pub enum ShardDefect {
    /// There is none.
    Missing,
    /// It was not read.
    Unreadable(io::Error),
    /// It is something else.
    NotAShard,
    /// It is of another plan.
    OtherPlan {
        /// The id of that plan.
        found: Digest,
    },
    /// It is another shard of the plan.
    OtherShard {
        /// Its number.
        found: u32,
    },
    /// Another version of this program built it.
    OtherVersion {
        /// That version.
        found: String,
    },
    /// It has another number or size of references than the plan.
    OtherContents,
    /// It is shorter or longer than it says.
    Length {
        /// The bytes that it should have.
        expected: u64,
        /// The bytes that it has.
        found: u64,
    },
    /// Its bytes were changed.
    Changed,
    /// Another file is the same shard.
    Twice {
        /// That file.
        other: PathBuf,
    },
}

impl fmt::Display for ShardDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it is missing"),
            Self::Unreadable(error) => write!(f, "it cannot be read: {error}"),
            Self::NotAShard => f.write_str("the file is no shard"),
            Self::OtherPlan { found } => write!(f, "it was built from another plan, {found}"),
            Self::OtherShard { found } => write!(f, "it is shard {found}"),
            Self::OtherVersion { found } => write!(f, "it was built by {found}, and the plan was made by {GENERATOR}"),
            Self::OtherContents => f.write_str("it has not the references of the plan"),
            Self::Length { expected, found } if found < expected => write!(f, "it is cut short: it has {found} of {expected} bytes"),
            Self::Length { expected, found } => write!(f, "it has {found} bytes, expected {expected}"),
            Self::Changed => f.write_str("it is damaged: its digest does not fit its bytes"),
            Self::Twice { other } => write!(f, "{} is the same shard; name one of them, or move it away", other.display()),
        }
    }
}

impl ShardDefect {
    /// Whether the file was damaged after it was written.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Length { .. } | Self::Changed | Self::NotAShard)
    }
}

impl ShardHeader {
    /// What the file of a shard must say.
    pub fn of(plan: &Plan, shard: u32) -> Self {
        let manifest = plan.pack.contents().manifest();
        let references = plan.manifest.shards.get(shard as usize).map_or(0, |shard| shard.references);
        // `open` checked that the record's size fits the address space; a record has at most some megabytes.
        let stride = plan.pack.contents().record_bytes() as u32;
        Self { plan: plan.id, shard, references, stride, dim: manifest.embedder.dim, generator: GENERATOR.to_owned() }
    }

    fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, MAGIC);
        put(8, &FORM.to_le_bytes());
        put(12, &self.shard.to_le_bytes());
        put(16, &self.plan.0);
        put(48, &self.references.to_le_bytes());
        put(56, &self.stride.to_le_bytes());
        put(60, &self.dim.to_le_bytes());
        put(64, &self.generator.as_bytes()[..self.generator.len().min(64)]);
        bytes
    }

    fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Self, ShardDefect> {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..8] != MAGIC[..] || number(8) != FORM {
            return Err(ShardDefect::NotAShard);
        }
        let mut plan = Digest([0; 32]);
        plan.0.copy_from_slice(&bytes[16..48]);
        let references = u64::from(number(48)) | u64::from(number(52)) << 32;
        let generator = String::from_utf8_lossy(&bytes[64..]).trim_end_matches('\0').to_owned();
        Ok(Self { plan, shard: number(12), references, stride: number(56), dim: number(60), generator })
    }

    /// Bytes of a reference.
    fn payload(&self) -> u64 {
        u64::from(self.stride) + 4 * u64::from(self.dim)
    }

    /// Bytes of the file; `None` for more than any file has.
    fn length(&self) -> Option<u64> {
        self.references.checked_mul(self.payload())?.checked_add(HEADER_BYTES as u64 + DIGEST_BYTES)
    }

    /// Refuses a shard that is not `expected`.
    fn check(&self, expected: &Self) -> Result<(), ShardDefect> {
        if self.plan != expected.plan {
            return Err(ShardDefect::OtherPlan { found: self.plan });
        }
        if self.shard != expected.shard {
            return Err(ShardDefect::OtherShard { found: self.shard });
        }
        if self.generator != expected.generator {
            return Err(ShardDefect::OtherVersion { found: self.generator.clone() });
        }
        if self != expected { Err(ShardDefect::OtherContents) } else { Ok(()) }
    }
}

/// The header of a file.
pub(crate) fn read_header(path: &Path) -> Result<ShardHeader, ShardDefect> {
    let mut bytes = [0; HEADER_BYTES];
    open(path)?.read_exact(&mut bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => ShardDefect::NotAShard,
        _ => ShardDefect::Unreadable(error),
    })?;
    ShardHeader::read(&bytes)
}

fn open(path: &Path) -> Result<File, ShardDefect> {
    File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => ShardDefect::Missing,
        _ => ShardDefect::Unreadable(error),
    })
}

/// Checks every byte of a file. It must be `expected`. Calls `read` with the bytes of each step, which may stop the check.
pub(crate) fn check_shard(
    path: &Path,
    expected: &ShardHeader,
    mut read: impl FnMut(u64) -> Result<(), BuildError>,
) -> Result<Result<(), ShardDefect>, BuildError> {
    let begun = || -> Result<(File, u64), ShardDefect> {
        read_header(path)?.check(expected)?;
        let file = open(path)?;
        let found = file.metadata().map_err(ShardDefect::Unreadable)?.len();
        match expected.length() {
            Some(length) if length == found => Ok((file, length - DIGEST_BYTES)),
            length => Err(ShardDefect::Length { expected: length.unwrap_or(u64::MAX), found }),
        }
    };
    let (mut file, mut left) = match begun() {
        Ok(begun) => begun,
        Err(defect) => return Ok(Err(defect)),
    };
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    while left > 0 {
        let wanted = left.min(BUFFER_BYTES as u64) as usize;
        if let Err(error) = file.read_exact(&mut buffer[..wanted]) {
            return Ok(Err(ShardDefect::Unreadable(error)));
        }
        hasher.update(&buffer[..wanted]);
        left -= wanted as u64;
        read(wanted as u64)?;
    }
    let mut digest = [0; DIGEST_BYTES as usize];
    if let Err(error) = file.read_exact(&mut digest) {
        return Ok(Err(ShardDefect::Unreadable(error)));
    }
    Ok(if hasher.finalize().as_bytes() == &digest { Ok(()) } else { Err(ShardDefect::Changed) })
}

/// Writes a shard.
pub(crate) struct ShardWriter {
    file: DigestFile,
    payload: Vec<u8>,
}

impl ShardWriter {
    pub fn create(storage: &dyn Storage, path: PathBuf, header: &ShardHeader) -> Result<Self, BuildError> {
        let mut file = DigestFile::create(storage, path)?;
        file.write(&header.to_bytes())?;
        Ok(Self { file, payload: Vec::new() })
    }

    /// The next reference.
    pub fn push(&mut self, record: &[u8], embedding: &[f32]) -> Result<(), BuildError> {
        self.payload.clear();
        crate::write::put_payload(record, embedding, &mut self.payload);
        self.file.write(&self.payload)
    }

    /// Seals the file, and writes it to the disk. Gives its length.
    pub fn finish(mut self) -> Result<u64, BuildError> {
        let digest = self.file.digest();
        self.file.write(&digest.0)?;
        Ok(self.file.finish()?.0)
    }
}

/// Reads the references of a shard that was checked.
pub(crate) struct ShardReader {
    file: BufReader<File>,
    path: PathBuf,
    payload: Vec<u8>,
}

impl ShardReader {
    pub fn open(path: &Path, header: &ShardHeader) -> Result<Self, BuildError> {
        let failed = |source| BuildError::PlanFile { path: path.to_owned(), source };
        let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path).map_err(failed)?);
        file.read_exact(&mut [0; HEADER_BYTES]).map_err(failed)?;
        Ok(Self { file, path: path.to_owned(), payload: vec![0; header.payload() as usize] })
    }

    /// The record and the embedding of the next reference, as they are in the file.
    pub fn next(&mut self) -> Result<&[u8], BuildError> {
        self.file.read_exact(&mut self.payload).map_err(|source| BuildError::PlanFile { path: self.path.clone(), source })?;
        Ok(&self.payload)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use mempack_format::DiskStorage;
    use proptest::prelude::*;

    use super::*;

    fn header() -> ShardHeader {
        ShardHeader { plan: Digest::of(b"plan"), shard: 3, references: 2, stride: 5, dim: 2, generator: GENERATOR.to_owned() }
    }

    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("0003.shard");
        let mut writer = ShardWriter::create(&DiskStorage, path.clone(), &header()).unwrap();
        writer.push(b"first", &[0.6, 0.8]).unwrap();
        writer.push(b"other", &[1.0, 0.0]).unwrap();
        assert_eq!(writer.finish().unwrap(), header().length().unwrap());
        path
    }

    fn check(path: &Path, expected: &ShardHeader) -> Result<(), ShardDefect> {
        check_shard(path, expected, |_| Ok(())).unwrap()
    }

    #[test]
    fn a_shard_is_read_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        assert_eq!(read_header(&path).unwrap(), header());
        check(&path, &header()).unwrap();
        let mut reader = ShardReader::open(&path, &header()).unwrap();
        for (record, embedding) in [(b"first", [0.6f32, 0.8]), (b"other", [1.0, 0.0])] {
            let expected: Vec<u8> = record.iter().copied().chain(embedding.iter().flat_map(|x| x.to_le_bytes())).collect();
            assert_eq!(reader.next().unwrap(), expected);
        }
    }

    #[test]
    fn what_is_wrong_with_a_shard_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let refused = |expected: ShardHeader| check(&path, &expected).unwrap_err().to_string();
        assert!(refused(ShardHeader { plan: Digest::of(b"other"), ..header() }).contains(&Digest::of(b"plan").to_string()));
        assert_eq!(refused(ShardHeader { shard: 4, ..header() }), "it is shard 3");
        assert!(refused(ShardHeader { generator: "mempack 9".into(), ..header() }).contains("built by mempack 0"));
        assert!(refused(ShardHeader { references: 7, ..header() }).contains("not the references"));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(refused(header()).contains("cut short"));
        fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
        assert!(refused(header()).contains("expected 186"), "{}", refused(header()));
        fs::write(&path, &bytes[..50]).unwrap();
        assert!(refused(header()).contains("no shard"));
        fs::remove_file(&path).unwrap();
        assert_eq!(refused(header()), "it is missing");
    }

    proptest! {
        #[test]
        fn no_changed_byte_is_missed(at in 0usize..186, by in 1u8..=255) {
            let folder = tempfile::tempdir().unwrap();
            let path = written(folder.path());
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] ^= by;
            fs::write(&path, &bytes).unwrap();
            prop_assert!(check(&path, &header()).is_err());
        }

        #[test]
        fn any_header_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), HEADER_BYTES), is_shard: bool) {
            let mut bytes: [u8; HEADER_BYTES] = bytes.try_into().unwrap();
            if is_shard {
                bytes[..8].copy_from_slice(MAGIC);
                bytes[8..12].copy_from_slice(&FORM.to_le_bytes());
            }
            let header = ShardHeader::read(&bytes);
            prop_assert_eq!(header.is_ok(), is_shard);
            if let Ok(header) = header {
                let _ = header.length();
            }
        }
    }
}
