//! Many streams of bytes in one file, written side by side and read one after the other.

use std::io::{self, Read};
use std::path::PathBuf;

use mempack_format::{Storage, StorageFile};

use crate::BuildError;
use crate::scratch::failed;

/// Bytes that the streams hold in memory together.
const BUFFERS: usize = 64 << 20;
/// Bytes that a stream holds at least before it writes them, and at most.
const BUFFER_BYTES: std::ops::RangeInclusive<usize> = (8 << 10)..=(256 << 10);

/// Streams that are written.
pub(super) struct Spool {
    file: Box<dyn StorageFile>,
    path: PathBuf,
    end: u64,
    streams: Vec<Stream>,
    capacity: usize,
}

#[derive(Default)]
struct Stream {
    buffer: Vec<u8>,
    /// Where its chunks are, and their bytes.
    chunks: Vec<(u64, usize)>,
}

impl Spool {
    /// Empty streams, numbered from 0.
    pub fn create(storage: &dyn Storage, path: PathBuf, streams: usize) -> Result<Self, BuildError> {
        let capacity = (BUFFERS / streams.max(1)).clamp(*BUFFER_BYTES.start(), *BUFFER_BYTES.end());
        Self::with_capacity(storage, path, streams, capacity)
    }

    fn with_capacity(storage: &dyn Storage, path: PathBuf, streams: usize, capacity: usize) -> Result<Self, BuildError> {
        let file = storage.create(&path).map_err(failed(&path))?;
        Ok(Self { file, path, end: 0, streams: (0..streams).map(|_| Stream::default()).collect(), capacity })
    }

    /// Appends to a stream.
    pub fn push(&mut self, stream: usize, bytes: &[u8]) -> Result<(), BuildError> {
        let buffer = &mut self.streams[stream].buffer;
        buffer.extend(bytes);
        if buffer.len() >= self.capacity { self.flush(stream) } else { Ok(()) }
    }

    fn flush(&mut self, stream: usize) -> Result<(), BuildError> {
        let Stream { buffer, chunks } = &mut self.streams[stream];
        if buffer.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(buffer, self.end).map_err(failed(&self.path))?;
        chunks.push((self.end, buffer.len()));
        self.end += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }

    /// Ends writing. Frees the buffers.
    pub fn finish(mut self) -> Result<Spooled, BuildError> {
        (0..self.streams.len()).try_for_each(|stream| self.flush(stream))?;
        let Self { file, path, streams, .. } = self;
        Ok(Spooled { file, path, streams: streams.into_iter().map(|stream| stream.chunks).collect() })
    }
}

/// Streams that are read, by several threads if need be.
pub(super) struct Spooled {
    file: Box<dyn StorageFile>,
    path: PathBuf,
    streams: Vec<Vec<(u64, usize)>>,
}

impl Spooled {
    /// The file of the streams.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// A stream from its beginning.
    pub fn read(&self, stream: usize) -> SpoolReader<'_> {
        SpoolReader { file: &*self.file, chunks: self.streams[stream].iter(), chunk: Vec::new(), at: 0 }
    }
}

/// Reads a stream; holds one chunk of it.
pub(super) struct SpoolReader<'a> {
    file: &'a dyn StorageFile,
    chunks: std::slice::Iter<'a, (u64, usize)>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for SpoolReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            let Some((start, length)) = self.chunks.next() else { return Ok(0) };
            self.chunk.resize(*length, 0);
            self.at = 0;
            self.file.read_exact_at(&mut self.chunk, *start)?;
        }
        let read = out.len().min(self.chunk.len() - self.at);
        out[..read].copy_from_slice(&self.chunk[self.at..self.at + read]);
        self.at += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use mempack_format::DiskStorage;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn streams_are_read_as_written(
            pushes in prop::collection::vec((0usize..4, prop::collection::vec(any::<u8>(), 0..30)), 0..60),
            capacity in 1usize..50,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut spool = Spool::with_capacity(&DiskStorage, folder.path().join("spool"), 4, capacity).unwrap();
            let mut expected = vec![Vec::<u8>::new(); 4];
            for (stream, bytes) in &pushes {
                spool.push(*stream, bytes).unwrap();
                expected[*stream].extend(bytes);
            }
            let spooled = spool.finish().unwrap();
            for (stream, expected) in expected.iter().enumerate() {
                let mut found = Vec::new();
                spooled.read(stream).read_to_end(&mut found).unwrap();
                prop_assert_eq!(&found, expected);
            }
        }
    }
}
