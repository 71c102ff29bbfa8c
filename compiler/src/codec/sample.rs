//! The memories that a codec is trained on. They are on the disk, so that a large sample takes no memory.

use mempack_numeric::Rng;
use std::{io, ops::Range, path::Path, sync::Arc};

use mempack_format::{DiskFile, EMPTY_SLOT, Memory, MemoryShape, StorageFile, VectorKind};

use super::SampleError;
use crate::slots::Slots;

/// Memories of one shape in a scratch file, in f32, so that a sampled memory need not be computed again to be encoded.
///
/// Takes `slots + 8 * floats` bytes of disk per memory (252 KiB for 21 layers of 3 heads, 8 tokens, 64 dimensions).
pub struct SampleStore {
    file: Arc<dyn StorageFile>,
    /// Where the first memory begins.
    start: u64,
    /// Bytes from one memory to the next.
    stride: u64,
    shape: MemoryShape,
    memories: u64,
    record: Vec<u8>,
}

impl SampleStore {
    /// An empty store in an unnamed file of `folder`, which is deleted when the store is dropped.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create_in(folder: &Path, shape: MemoryShape) -> Result<Self, SampleError> {
        let file = tempfile::tempfile_in(folder).map_err(|source| SampleError::Create { folder: folder.into(), source })?;
        let file = Arc::new(DiskFile::from(file));
        Ok(Self { file, start: 0, stride: memory_bytes(&shape) as u64, shape, memories: 0, record: Vec::new() })
    }

    /// A store over the first `memories` slots, which [`put_memory`] wrote.
    pub(crate) fn over(slots: &Slots, shape: MemoryShape, memories: u64) -> Self {
        Self { file: Arc::clone(slots.file()), start: Slots::FIRST, stride: slots.stride(), shape, memories, record: Vec::new() }
    }

    /// The shape of its memories.
    pub fn shape(&self) -> &MemoryShape {
        &self.shape
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
    /// If the memory has another shape, or cannot be written.
    pub fn push(&mut self, memory: &Memory) -> Result<(), SampleError> {
        if memory.shape != self.shape {
            return Err(SampleError::Shape { expected: self.shape.clone(), found: memory.shape.clone() });
        }
        self.record.clear();
        put_memory(memory, &mut self.record);
        let start = self.start + self.memories * self.stride;
        self.file.write_all_at(&self.record, start).map_err(|source| SampleError::Write { memory: self.memories, source })?;
        self.memories += 1;
        Ok(())
    }

    /// Reads the memory that was pushed as number `index`.
    ///
    /// # Errors
    /// If the store has no such memory, or it cannot be read.
    pub fn memory(&self, index: u64) -> Result<Memory, SampleError> {
        let mut memory = Memory::empty(self.shape.clone());
        let heads = 0..self.shape.all_heads();
        let mut bytes = Vec::new();
        self.positions(index, heads.clone(), &mut memory.positions)?;
        for (kind, vectors) in [(VectorKind::Key, &mut memory.keys), (VectorKind::Value, &mut memory.values)] {
            vectors.clear();
            self.vectors(index, kind, heads.clone(), &mut bytes, |_, vector| vectors.extend(numbers(vector)))?;
        }
        Ok(memory)
    }

    /// Vectors, `[n, head_dim]`, of some heads `[layers * heads]`: all of them, or a random choice of `max`.
    pub(super) fn sample(&self, kind: VectorKind, heads: Range<usize>, max: usize, random: &mut Rng) -> Result<Vec<f32>, SampleError> {
        let mut positions = vec![0; self.shape.slots_of_run(heads.clone()).len()];
        let mut left = 0;
        for memory in 0..self.memories {
            self.positions(memory, heads.clone(), &mut positions)?;
            left += filled(&positions);
        }
        let mut wanted = left.min(max);
        let mut chosen = Vec::with_capacity(wanted * self.shape.head_dim as usize);
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

    /// The vectors that a group of one head has, the mean over all heads.
    pub(super) fn vectors_of_a_head(&self) -> Result<u64, SampleError> {
        let heads = 0..self.shape.all_heads();
        let mut positions = vec![0; self.shape.slots()];
        let mut sum = 0;
        for memory in 0..self.memories {
            self.positions(memory, heads.clone(), &mut positions)?;
            sum += filled(&positions) as u64;
        }
        Ok(sum / heads.len() as u64)
    }

    fn positions(&self, memory: u64, heads: Range<usize>, out: &mut [u8]) -> Result<(), SampleError> {
        self.read(memory, self.shape.slots_of_run(heads).start as u64, out)
    }

    /// Calls `each` with every vector of some heads, as bytes, and its slot, counted from the first of these heads.
    fn vectors(
        &self,
        memory: u64,
        kind: VectorKind,
        heads: Range<usize>,
        bytes: &mut Vec<u8>,
        mut each: impl FnMut(usize, &[u8]),
    ) -> Result<(), SampleError> {
        let vector = 4 * self.shape.head_dim as usize;
        let slots = self.shape.slots_of_run(heads);
        let keys = match kind {
            VectorKind::Key => 0,
            VectorKind::Value => 4 * self.shape.floats(),
        };
        bytes.resize(slots.len() * vector, 0);
        self.read(memory, (self.shape.slots() + keys + slots.start * vector) as u64, bytes)?;
        bytes.chunks_exact(vector).enumerate().for_each(|(slot, vector)| each(slot, vector));
        Ok(())
    }

    fn read(&self, memory: u64, start: u64, out: &mut [u8]) -> Result<(), SampleError> {
        if memory >= self.memories {
            return Err(SampleError::Read { memory, source: io::ErrorKind::UnexpectedEof.into() });
        }
        self.file.read_exact_at(out, self.start + memory * self.stride + start).map_err(|source| SampleError::Read { memory, source })
    }
}

/// Bytes of a memory of this shape.
pub(crate) fn memory_bytes(shape: &MemoryShape) -> usize {
    shape.slots() + 8 * shape.floats()
}

/// Appends a memory: positions, keys, values.
pub(crate) fn put_memory(memory: &Memory, out: &mut Vec<u8>) {
    out.reserve(memory_bytes(&memory.shape));
    out.extend(&memory.positions);
    memory.keys.iter().chain(&memory.values).for_each(|number| out.extend(number.to_le_bytes()));
}

fn filled(positions: &[u8]) -> usize {
    positions.iter().filter(|&&position| position != EMPTY_SLOT).count()
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number))
}
