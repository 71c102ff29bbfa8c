//! Finished work that survives an interruption: a file of slots, each with a digest that shows whether it is complete and what it is of.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use mempack_format::{Digest, Storage, StorageFile};

use crate::BuildError;
use crate::scratch::failed;

/// Names what is hashed; it changes when that does.
const DOMAIN: &[u8] = b"mempack slot, version 1\0";
const DIGEST_BYTES: usize = 32;

/// What an output depends on in addition to the identity of the work: its batch, and its place in the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub batch: Digest,
    pub place: u32,
}

/// A file of slots of one size, numbered from 0. Several threads may write to it, each to different slots.
///
/// The file begins with the identity of the work, a digest of all that every output depends on. Slot i begins at byte
/// `32 + i * (payload + 32)`: its payload, then the digest of identity, stamp and payload. Nothing is synced: a slot that did
/// not reach the disk before a crash has a wrong digest and is computed again.
pub(crate) struct Slots {
    file: Arc<dyn StorageFile>,
    path: PathBuf,
    payload: usize,
    begun: blake3::Hasher,
}

impl Slots {
    /// Opens the file, and empties it if it belongs to other work.
    pub fn open(storage: &dyn Storage, path: PathBuf, identity: Digest, payload: usize) -> Result<Self, BuildError> {
        let open = || -> std::io::Result<Box<dyn StorageFile>> {
            let file = storage.open(&path)?;
            let mut found = [0; DIGEST_BYTES];
            let whole = file.length()? >= Self::FIRST;
            if whole {
                file.read_exact_at(&mut found, 0)?;
            }
            if !whole || found != identity.0 {
                file.set_length(0)?;
                file.write_all_at(&identity.0, 0)?;
            }
            Ok(file)
        };
        let file = open().map_err(failed(&path))?.into();
        let mut begun = blake3::Hasher::new();
        begun.update(DOMAIN).update(&identity.0);
        Ok(Self { file, path, payload, begun })
    }

    /// Where the first slot begins; a shorter file has none.
    pub const FIRST: u64 = DIGEST_BYTES as u64;

    /// Reads the payload of a slot into `out`. False if the slot does not hold the output with this stamp.
    pub fn get(&self, slot: u64, stamp: Stamp, out: &mut Vec<u8>) -> Result<bool, BuildError> {
        out.resize(self.payload + DIGEST_BYTES, 0);
        match self.file.read_exact_at(out, self.start(slot)) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            read => read.map_err(failed(&self.path))?,
        }
        let (payload, digest) = out.split_at(self.payload);
        let whole = self.digest(stamp, payload).0 == digest;
        out.truncate(self.payload);
        Ok(whole)
    }

    /// Writes a slot. `payload` has the size of the slots.
    pub fn put(&self, slot: u64, stamp: Stamp, mut payload: Vec<u8>) -> Result<(), BuildError> {
        debug_assert_eq!(payload.len(), self.payload);
        let digest = self.digest(stamp, &payload);
        payload.extend(digest.0);
        self.file.write_all_at(&payload, self.start(slot)).map_err(failed(&self.path))
    }

    /// Bytes from one slot to the next.
    pub fn stride(&self) -> u64 {
        (self.payload + DIGEST_BYTES) as u64
    }

    /// The file.
    pub fn file(&self) -> &Arc<dyn StorageFile> {
        &self.file
    }

    fn start(&self, slot: u64) -> u64 {
        Self::FIRST + slot * self.stride()
    }

    fn digest(&self, stamp: Stamp, payload: &[u8]) -> Digest {
        let mut hasher = self.begun.clone();
        hasher.update(&stamp.batch.0).update(&stamp.place.to_le_bytes()).update(payload);
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use mempack_format::DiskStorage;

    use super::*;

    fn stamp(batch: &str, place: u32) -> Stamp {
        Stamp { batch: Digest::of(batch.as_bytes()), place }
    }

    #[test]
    fn a_slot_holds_what_was_put_under_its_stamp_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slots");
        let open = |identity: &[u8]| Slots::open(&DiskStorage, path.clone(), Digest::of(identity), 5).unwrap();
        let slots = open(b"work");
        let mut out = Vec::new();
        assert!(!slots.get(0, stamp("a", 0), &mut out).unwrap());
        slots.put(3, stamp("a", 1), b"words".to_vec()).unwrap();
        drop(slots);

        let slots = open(b"work");
        assert!(slots.get(3, stamp("a", 1), &mut out).unwrap());
        assert_eq!(out, b"words");
        // A hole, another batch, another place, and beyond the end.
        for (slot, stamp) in [(2, stamp("a", 1)), (3, stamp("b", 1)), (3, stamp("a", 0)), (4, stamp("a", 1))] {
            assert!(!slots.get(slot, stamp, &mut out).unwrap());
        }
        let mut bytes = std::fs::read(&path).unwrap();
        for at in 0..37 {
            let at = 32 + 3 * 37 + at;
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert!(!slots.get(3, stamp("a", 1), &mut out).unwrap(), "byte {at}");
            bytes[at] ^= 1;
        }
        std::fs::write(&path, &bytes).unwrap();
        assert!(slots.get(3, stamp("a", 1), &mut out).unwrap());
        assert!(!open(b"other work").get(3, stamp("a", 1), &mut out).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), Slots::FIRST);
    }
}
