//! A section that is being written: appended to a file, digested as it grows.

use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::{Digest, Storage, StorageCursor, StorageFile, WriteError};

/// Bytes of the write buffer.
const BUFFER_BYTES: usize = 64 << 10;

pub(super) struct Spool {
    path: PathBuf,
    file: BufWriter<StorageCursor>,
    hasher: blake3::Hasher,
    length: u64,
    /// Set by the first failed write, after which the contents of the file are not known.
    failed: bool,
}

/// An error of the system, with the file that it concerns.
pub(super) fn io_error<'a>(path: &'a Path, action: &'static str) -> impl FnOnce(io::Error) -> WriteError + 'a {
    move |source| WriteError::Io { path: path.to_path_buf(), action, source }
}

impl Spool {
    /// A new file whose section begins at byte `start`.
    pub(super) fn create(storage: &dyn Storage, path: PathBuf, start: u64) -> Result<Self, WriteError> {
        let file = storage.create(&path).map_err(io_error(&path, "create"))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, StorageCursor::new(file, start));
        Ok(Self { path, file, hasher: blake3::Hasher::new(), length: 0, failed: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the section so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Digest of the section so far.
    pub(super) fn digest(&self) -> Digest {
        self.hasher.finalize().into()
    }

    /// Appends to the section.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.raw(bytes)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Appends bytes to the file that belong to no section.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if self.failed {
            return Err(WriteError::Failed { path: self.path.clone() });
        }
        let written = self.file.write_all(bytes);
        self.failed = written.is_err();
        written.map_err(io_error(&self.path, "write"))
    }

    /// Appends all of `section` to the file of `self`, deletes the section's file, and returns its length and digest.
    pub(super) fn append(&mut self, section: Self, storage: &dyn Storage) -> Result<(u64, Digest), WriteError> {
        let (length, digest) = (section.length, section.digest());
        let path = section.path.clone();
        let mut source = section.into_file()?;
        source.seek(SeekFrom::Start(0)).map_err(io_error(&path, "seek in"))?;
        if self.failed {
            return Err(WriteError::Failed { path: self.path.clone() });
        }
        let copied = io::copy(&mut source, &mut self.file);
        self.failed = copied.is_err();
        let copied = copied.map_err(io_error(&self.path, "write"))?;
        if copied != length {
            return Err(WriteError::Mismatch { what: "length of a spooled section", expected: length, found: copied });
        }
        storage.remove_file(&path).map_err(io_error(&path, "remove"))?;
        Ok((length, digest))
    }

    /// Appends all of `part` to the section of `self`, and deletes its file.
    pub(super) fn join(&mut self, part: Self, storage: &dyn Storage) -> Result<(), WriteError> {
        let (path, mut rest) = (part.path.clone(), part.length);
        let mut source = part.into_file()?;
        source.seek(SeekFrom::Start(0)).map_err(io_error(&path, "seek in"))?;
        let mut buffer = vec![0; BUFFER_BYTES];
        while rest > 0 {
            let wanted = usize::try_from(rest).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
            let bytes = buffer.get_mut(..wanted).unwrap_or_default();
            source.read_exact(bytes).map_err(io_error(&path, "read"))?;
            self.write(bytes)?;
            rest -= wanted as u64;
        }
        storage.remove_file(&path).map_err(io_error(&path, "remove"))
    }

    /// Gives all of the section, which begins its file, to `each` in pieces of `bytes` bytes.
    pub(super) fn reread(&mut self, bytes: usize, mut each: impl FnMut(&[u8]) -> Result<(), WriteError>) -> Result<(), WriteError> {
        if self.failed {
            return Err(WriteError::Failed { path: self.path.clone() });
        }
        self.file.flush().map_err(io_error(&self.path, "write"))?;
        let at_once = (BUFFER_BYTES / bytes.max(1)).max(1) * bytes;
        let (mut buffer, mut at) = (vec![0; at_once], 0);
        while at < self.length {
            let wanted = usize::try_from(self.length - at).unwrap_or(at_once).min(at_once);
            let pieces = buffer.get_mut(..wanted).unwrap_or_default();
            let read = read_exact_at(self.file.get_ref().file(), pieces, at);
            read.map_err(io_error(&self.path, "read"))?;
            pieces.chunks_exact(bytes.max(1)).try_for_each(&mut each)?;
            at += wanted as u64;
        }
        Ok(())
    }

    /// The file, with the buffer flushed.
    pub(super) fn into_file(self) -> Result<StorageCursor, WriteError> {
        if self.failed {
            return Err(WriteError::Failed { path: self.path });
        }
        let path = self.path;
        self.file.into_inner().map_err(|error| io_error(&path, "write")(error.into_error()))
    }
}

fn read_exact_at(file: &dyn StorageFile, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.read_at(bytes, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = bytes.get_mut(read..).unwrap_or_default();
                at += read as u64;
            }
        }
    }
    Ok(())
}
