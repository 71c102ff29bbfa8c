//! External sorting: sorted runs on disk, merged while they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

use mempack_format::{Storage, StorageCursor};

use super::{Scratch, failed};
use crate::BuildError;

/// Bytes of records in memory before they are sorted and written as one run.
const BUFFER_BYTES: usize = 32 << 20;
/// Runs merged at once; more are merged in several rounds. Each takes a read buffer of 64 KiB.
const FAN_IN: usize = 64;
const READ_BYTES: usize = 1 << 16;

/// Sorts records of `N` bytes in the order of their bytes, so numbers in them are big-endian.
///
/// Memory: one buffer of 32 MiB while records are added, 4 MiB of read buffers while they are read.
pub(crate) struct Sorter<'a, const N: usize> {
    scratch: &'a Scratch,
    name: &'static str,
    capacity: usize,
    buffer: Vec<[u8; N]>,
    runs: Vec<Run>,
    made: usize,
}

struct Run {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    file: StorageCursor,
    records: u64,
}

impl<'a, const N: usize> Sorter<'a, N> {
    pub fn new(scratch: &'a Scratch, name: &'static str) -> Self {
        Self::with_capacity(scratch, name, BUFFER_BYTES / N)
    }

    fn with_capacity(scratch: &'a Scratch, name: &'static str, capacity: usize) -> Self {
        Self { scratch, name, capacity, buffer: Vec::new(), runs: Vec::new(), made: 0 }
    }

    pub fn push(&mut self, record: [u8; N]) -> Result<(), BuildError> {
        self.buffer.push(record);
        if self.buffer.len() >= self.capacity { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), BuildError> {
        self.buffer.sort_unstable();
        let mut output = self.start_run()?;
        for record in &self.buffer {
            output.push(record)?;
        }
        self.buffer.clear();
        self.runs.push(output.finish()?);
        if self.runs.len() >= FAN_IN { self.merge_runs() } else { Ok(()) }
    }

    /// Merges all runs into one, which bounds their number.
    fn merge_runs(&mut self) -> Result<(), BuildError> {
        let mut output = self.start_run()?;
        let mut merged = Sorted::<N>::open(std::mem::take(&mut self.runs))?;
        while let Some(record) = merged.next()? {
            output.push(&record)?;
        }
        drop(merged);
        self.runs.push(output.finish()?);
        Ok(())
    }

    fn start_run(&mut self) -> Result<RunWriter, BuildError> {
        let name = format!("{}-{}", self.name, self.made);
        self.made += 1;
        let storage = Arc::clone(&self.scratch.storage);
        Ok(RunWriter { storage, file: self.scratch.create(&name)?, path: self.scratch.path(&name), records: 0 })
    }

    pub fn finish(mut self) -> Result<Sorted<N>, BuildError> {
        if !self.buffer.is_empty() {
            self.spill()?;
        }
        Sorted::open(std::mem::take(&mut self.runs))
    }
}

struct RunWriter {
    storage: Arc<dyn Storage>,
    file: BufWriter<StorageCursor>,
    path: PathBuf,
    records: u64,
}

impl RunWriter {
    fn push(&mut self, record: &[u8]) -> Result<(), BuildError> {
        self.records += 1;
        self.file.write_all(record).map_err(failed(&self.path))
    }

    fn finish(self) -> Result<Run, BuildError> {
        let Self { storage, file, path, records } = self;
        let mut file = file.into_inner().map_err(|error| failed(&path)(error.into_error()))?;
        file.rewind().map_err(failed(&path))?;
        Ok(Run { storage, path, file, records })
    }
}

/// The records in order. Dropping it removes the run files.
pub(crate) struct Sorted<const N: usize> {
    inputs: Vec<RunReader>,
    heap: BinaryHeap<Reverse<([u8; N], usize)>>,
}

struct RunReader {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    file: BufReader<StorageCursor>,
    left: u64,
}

impl RunReader {
    fn next<const N: usize>(&mut self) -> Result<Option<[u8; N]>, BuildError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut record = [0; N];
        self.file.read_exact(&mut record).map_err(failed(&self.path))?;
        Ok(Some(record))
    }
}

impl Drop for RunReader {
    fn drop(&mut self) {
        // The scratch folder is emptied at the end in any case; this frees the disk space earlier.
        let _ = self.storage.remove_file(&self.path);
    }
}

impl<const N: usize> Sorted<N> {
    fn open(runs: Vec<Run>) -> Result<Self, BuildError> {
        let reader = |run: Run| RunReader {
            storage: run.storage,
            path: run.path,
            file: BufReader::with_capacity(READ_BYTES, run.file),
            left: run.records,
        };
        let mut inputs: Vec<RunReader> = runs.into_iter().map(reader).collect();
        let mut heap = BinaryHeap::with_capacity(inputs.len());
        for (index, input) in inputs.iter_mut().enumerate() {
            if let Some(record) = input.next()? {
                heap.push(Reverse((record, index)));
            }
        }
        Ok(Self { inputs, heap })
    }

    pub fn next(&mut self) -> Result<Option<[u8; N]>, BuildError> {
        let Some(mut top) = self.heap.peek_mut() else { return Ok(None) };
        let Reverse((record, index)) = *top;
        match self.inputs[index].next()? {
            Some(following) => *top = Reverse((following, index)),
            None => {
                PeekMut::pop(top);
            }
        }
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_come_out_as_from_a_map(records in prop::collection::vec(any::<[u8; 2]>(), 0..2000), capacity in 1usize..400) {
            let folder = tempfile::tempdir().unwrap();
            let scratch = Scratch::on_disk(folder.path());
            let mut sorter = Sorter::with_capacity(&scratch, "run", capacity);
            let mut oracle = BTreeMap::new();
            for record in &records {
                sorter.push(*record).unwrap();
                *oracle.entry(*record).or_insert(0) += 1;
            }
            let mut sorted = sorter.finish().unwrap();
            for (record, count) in oracle {
                for _ in 0..count {
                    prop_assert_eq!(sorted.next().unwrap(), Some(record));
                }
            }
            prop_assert_eq!(sorted.next().unwrap(), None);
            drop(sorted);
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
