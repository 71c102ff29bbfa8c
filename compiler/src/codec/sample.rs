//! The memories a codec is trained on: on disk, so that a large sample needs no room in memory.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, path::Path};

use mempack_format::{EMPTY_SLOT, Kind, Memory, MemoryShape};

use super::{SampleError, random::Random};

/// Memories of one shape in a scratch file, in f32: what is sampled need not be computed again to be encoded.
///
/// Takes `slots + 8 * floats` bytes of disk a memory (252 KiB for 21 layers of 3 heads, 8 tokens, 64 dimensions).
pub struct SampleStore {
    file: File,
    shape: MemoryShape,
    memories: u64,
    record: Vec<u8>,
}

impl SampleStore {
    /// An empty store in an unnamed file of `folder`, gone when the store is dropped.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create_in(folder: &Path, shape: MemoryShape) -> Result<Self, SampleError> {
        let file = tempfile::tempfile_in(folder).map_err(|source| SampleError::Create { folder: folder.into(), source })?;
        Ok(Self { file, shape, memories: 0, record: Vec::new() })
    }

    /// The shape of its memories.
    pub fn shape(&self) -> MemoryShape {
        self.shape
    }

    /// Memories it holds.
    pub fn len(&self) -> u64 {
        self.memories
    }

    /// Whether it holds no memory.
    pub fn is_empty(&self) -> bool {
        self.memories == 0
    }

    /// Appends a memory.
    ///
    /// # Errors
    /// If the memory is of another shape, or cannot be written.
    pub fn push(&mut self, memory: &Memory) -> Result<(), SampleError> {
        if memory.shape != self.shape {
            return Err(SampleError::Shape { expected: self.shape, found: memory.shape });
        }
        self.record.clear();
        self.record.extend(&memory.positions);
        for number in memory.keys.iter().chain(&memory.values) {
            self.record.extend(number.to_le_bytes());
        }
        let start = self.memories * self.stride();
        self.file.write_all_at(&self.record, start).map_err(|source| SampleError::Write { memory: self.memories, source })?;
        self.memories += 1;
        Ok(())
    }

    /// Reads the memory that was pushed as number `index`.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn memory(&self, index: u64) -> Result<Memory, SampleError> {
        let mut memory = Memory::empty(self.shape);
        let heads = 0..(self.shape.layers * self.shape.heads) as usize;
        let mut bytes = Vec::new();
        self.positions(index, heads.clone(), &mut memory.positions)?;
        for (kind, vectors) in [(Kind::Key, &mut memory.keys), (Kind::Value, &mut memory.values)] {
            vectors.clear();
            self.vectors(index, kind, heads.clone(), &mut bytes, |_, vector| vectors.extend(numbers(vector)))?;
        }
        Ok(memory)
    }

    /// At most `most` vectors, `[n, head_dim]`, of some heads `[layers * heads]`: all, or a random choice.
    pub(super) fn sample(&self, kind: Kind, heads: Range<usize>, most: usize, random: &mut Random) -> Result<Vec<f32>, SampleError> {
        let tokens = self.shape.tokens as usize;
        let mut positions = vec![0; heads.len() * tokens];
        let mut left = 0;
        for memory in 0..self.memories {
            self.positions(memory, heads.clone(), &mut positions)?;
            left += filled(&positions) as u64;
        }
        let mut wanted = left.min(most as u64);
        let mut chosen = Vec::with_capacity(wanted as usize * self.shape.head_dim as usize);
        let mut bytes = Vec::new();
        for memory in 0..self.memories {
            self.positions(memory, heads.clone(), &mut positions)?;
            self.vectors(memory, kind, heads.clone(), &mut bytes, |slot, vector| {
                if positions[slot] == EMPTY_SLOT {
                    return;
                }
                // Selection sampling (Knuth, volume 2, 3.4.2, algorithm S): in order, each set equally likely.
                if wanted == left || random.below(left) < wanted {
                    chosen.extend(numbers(vector));
                    wanted -= 1;
                }
                left -= 1;
            })?;
        }
        Ok(chosen)
    }

    /// The most slots filled of any head, summed over the sample: vectors that a group of one head has.
    pub(super) fn vectors_of_a_head(&self) -> Result<u64, SampleError> {
        let heads = 0..(self.shape.layers * self.shape.heads) as usize;
        let mut positions = vec![0; self.shape.slots()];
        let mut sum = 0;
        for memory in 0..self.memories {
            self.positions(memory, heads.clone(), &mut positions)?;
            sum += filled(&positions) as u64;
        }
        Ok(sum / heads.len() as u64)
    }

    fn stride(&self) -> u64 {
        self.shape.slots() as u64 + 8 * self.shape.floats() as u64
    }

    fn positions(&self, memory: u64, heads: Range<usize>, out: &mut [u8]) -> Result<(), SampleError> {
        let start = heads.start as u64 * u64::from(self.shape.tokens);
        self.read(memory, start, out)
    }

    /// Gives each vector of some heads, with its slot counted from the first of them, as bytes.
    fn vectors(
        &self,
        memory: u64,
        kind: Kind,
        heads: Range<usize>,
        bytes: &mut Vec<u8>,
        mut each: impl FnMut(usize, &[u8]),
    ) -> Result<(), SampleError> {
        let vector = 4 * self.shape.head_dim as usize;
        let head = self.shape.tokens as usize * vector;
        let keys = match kind {
            Kind::Key => 0,
            Kind::Value => 4 * self.shape.floats(),
        };
        bytes.resize(heads.len() * head, 0);
        self.read(memory, (self.shape.slots() + keys + heads.start * head) as u64, bytes)?;
        bytes.chunks_exact(vector).enumerate().for_each(|(slot, vector)| each(slot, vector));
        Ok(())
    }

    fn read(&self, memory: u64, start: u64, out: &mut [u8]) -> Result<(), SampleError> {
        if memory >= self.memories {
            return Err(SampleError::Read { memory, source: io::ErrorKind::UnexpectedEof.into() });
        }
        self.file.read_exact_at(out, memory * self.stride() + start).map_err(|source| SampleError::Read { memory, source })
    }
}

fn filled(positions: &[u8]) -> usize {
    positions.iter().filter(|&&position| position != EMPTY_SLOT).count()
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number))
}
