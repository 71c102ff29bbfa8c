//! Reading and writing a file of a storage from front to back.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::StorageFile;

/// A file and a place in it. Every call reaches the storage: put a buffer around it.
#[derive(Debug)]
pub struct StorageCursor {
    file: Box<dyn StorageFile>,
    at: u64,
}

impl StorageCursor {
    /// A cursor at byte `at` of a file.
    pub fn new(file: Box<dyn StorageFile>, at: u64) -> Self {
        Self { file, at }
    }

    /// The file.
    pub fn file(&self) -> &dyn StorageFile {
        &*self.file
    }
}

impl Read for StorageCursor {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Write for StorageCursor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for StorageCursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file.length()?.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
