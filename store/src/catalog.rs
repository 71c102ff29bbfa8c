//! What the objects of a store are called, and reading them.
//!
//! | object | contents | changes |
//! |---|---|---|
//! | `chunks/ab/abcd...` | a piece of a file; named by the BLAKE3 digest of its bytes | never |
//! | `files/abcd...` | [`FileIndex`]: the chunks of a file | never |
//! | `sets/abcd...` | [`Edition`]: the files of a bank | never |
//! | `refs/NAME` | [`Head`]: which edition is published as NAME, and which were before | with every push, on a condition |
//! | `gc/condemned` | [`Condemned`]: what a clean-up deletes next | with a clean-up, on a condition |
//! | `gc/clock`, `probe` | nothing: they are written to read the store's clock, and to try its conditions | |

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mempack_format::Digest;

use crate::error::StoreError;
use crate::objects::{Condemned, Edition, EditionFile, FileIndex, Head, HeadEntry, Piece, Stored, is_name};
use crate::remote::{Store, Versioned};

/// Folders of objects that digests name.
pub const CHUNKS: &str = "chunks";
pub const FILES: &str = "files";
pub const SETS: &str = "sets";

const REFS: &str = "refs";
const CONDEMNED: &str = "gc/condemned";
const CLOCK: &str = "gc/clock";

/// How often an object that changes is read again if it makes no sense.
const READINGS: u32 = 3;

/// The folder of a chunk, by the first digits of its digest.
pub fn chunk_group(digest: Digest) -> String {
    let digits = digest.to_string();
    format!("{CHUNKS}/{}", digits.get(..2).unwrap_or_default())
}

pub fn chunk_name(digest: Digest) -> String {
    format!("{}/{digest}", chunk_group(digest))
}

pub fn file_name(digest: Digest) -> String {
    format!("{FILES}/{digest}")
}

pub fn set_name(digest: Digest) -> String {
    format!("{SETS}/{digest}")
}

pub fn head_name(name: &str) -> String {
    format!("{REFS}/{name}")
}

impl Store {
    /// The names under which something is published.
    ///
    /// # Errors
    /// If the store does not list them.
    pub async fn names(&self) -> Result<Vec<String>, StoreError> {
        let listed = self.list(REFS).await?;
        Ok(listed.iter().filter_map(|object| object.name.strip_prefix("refs/")).filter(|name| is_name(name)).map(str::to_owned).collect())
    }

    /// The name to read: the one given, or the only one that there is.
    ///
    /// # Errors
    /// If nothing can be published under the name, or none is given and there is not exactly one.
    pub async fn choose_name(&self, name: Option<&str>) -> Result<String, StoreError> {
        match name {
            Some(name) if is_name(name) => Ok(name.to_owned()),
            Some(name) => Err(StoreError::Name { name: name.to_owned() }),
            None => {
                let names = self.names().await?;
                match names.as_slice() {
                    [one] => Ok(one.clone()),
                    several => Err(StoreError::WhichName { url: self.url().to_owned(), known: known(several) }),
                }
            }
        }
    }

    /// Reads an object that changes, again if it makes no sense.
    async fn read_changing<T: Stored>(&self, name: &str) -> Result<Option<(T, Versioned)>, StoreError> {
        let mut reading = 1;
        loop {
            let Some(found) = self.read(name, T::MAX_BYTES).await? else { return Ok(None) };
            match T::from_bytes(&found.bytes) {
                Ok(object) => return Ok(Some((object, found))),
                Err(source) if reading >= READINGS => return Err(StoreError::Object { object: name.to_owned(), source }),
                Err(_) => self.pause(reading).await,
            }
            reading += 1;
        }
    }

    /// What is published under a name; `None` if nothing is.
    ///
    /// # Errors
    /// If it cannot be read or makes no sense.
    pub async fn head(&self, name: &str) -> Result<Option<(Head, Versioned)>, StoreError> {
        self.read_changing(&head_name(name)).await
    }

    /// As [`head`](Self::head), of a name under which something must be published.
    ///
    /// # Errors
    /// The same, and if nothing is.
    pub async fn existing_head(&self, name: &str) -> Result<Head, StoreError> {
        match self.head(name).await? {
            Some((head, _)) => Ok(head),
            None => {
                let known = format!("it has {}", known(&self.names().await?));
                Err(StoreError::NotPublished { name: name.to_owned(), url: self.url().to_owned(), known })
            }
        }
    }

    /// What a clean-up deletes next.
    pub(crate) async fn condemned(&self) -> Result<(Condemned, Option<Versioned>), StoreError> {
        let found = self.read_changing(CONDEMNED).await?;
        Ok(found.map_or_else(|| (Condemned::nothing(), None), |(condemned, version)| (condemned, Some(version))))
    }

    /// Replaces what a clean-up deletes next; false if another writer did so in the meantime.
    pub(crate) async fn condemn(&self, before: Option<&Versioned>, condemned: &Condemned) -> Result<bool, StoreError> {
        self.replace(CONDEMNED, before, condemned.to_bytes().into()).await
    }

    /// The store's clock: seconds since 1970.
    pub(crate) async fn clock(&self) -> Result<u64, StoreError> {
        self.write(CLOCK, Bytes::from_static(b"mempack clock")).await?;
        self.written_at(CLOCK).await
    }

    async fn read_named<T: Stored>(&self, name: String, digest: Digest) -> Result<T, StoreError> {
        let bytes = self.read_checked(&name, digest, T::MAX_BYTES).await?;
        T::from_bytes(&bytes).map_err(|source| StoreError::Object { object: name, source })
    }

    /// The files of a published bank.
    ///
    /// # Errors
    /// If it does not exist or is damaged.
    pub async fn edition(&self, entry: HeadEntry) -> Result<Edition, StoreError> {
        let name = set_name(entry.edition);
        let edition: Edition = self.read_named(name.clone(), entry.edition).await?;
        if edition.id == entry.id {
            return Ok(edition);
        }
        let reason = format!("the bank has id {}, expected {}", edition.id, entry.id);
        Err(StoreError::Contradiction { object: name, other: "refs".to_owned(), reason })
    }

    /// The chunks of a file of an edition.
    ///
    /// # Errors
    /// If its index does not exist, is damaged, or is that of a file of another length.
    pub async fn index(&self, file: &EditionFile) -> Result<FileIndex, StoreError> {
        let name = file_name(file.index);
        let index: FileIndex = self.read_named(name.clone(), file.index).await?;
        if index.bytes == file.bytes {
            return Ok(index);
        }
        let reason = format!("it is of a file of {} bytes, and {} has {}", index.bytes, file.name, file.bytes);
        Err(StoreError::Contradiction { object: name, other: SETS.to_owned(), reason })
    }

    /// The chunks of all files of an edition, in the order of the files.
    ///
    /// # Errors
    /// As [`index`](Self::index).
    pub async fn indexes(&self, edition: &Edition) -> Result<Vec<FileIndex>, StoreError> {
        stream::iter(&edition.files).map(|file| self.index(file)).buffered(self.requests().at_once).boxed().try_collect().await
    }

    /// The bytes of a chunk.
    ///
    /// # Errors
    /// If it does not exist or is damaged.
    pub async fn chunk(&self, piece: Piece) -> Result<Bytes, StoreError> {
        let name = chunk_name(piece.digest);
        let bytes = self.read_checked(&name, piece.digest, piece.bytes.into()).await?;
        // A digest that fits, and another length, is an index that lies about it.
        if bytes.len() as u64 == u64::from(piece.bytes) {
            return Ok(bytes);
        }
        Err(StoreError::Length { object: name, expected: piece.bytes.into(), found: bytes.len() as u64 })
    }
}

/// Names for a message.
fn known(names: &[String]) -> String {
    match names {
        [] => "nothing published".to_owned(),
        names => {
            let more = if names.len() > 10 { ", ..." } else { "" };
            names.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ") + more
        }
    }
}
