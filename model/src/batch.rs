//! Sequences that are decoded together, within a budget of bytes.

use crate::decoder::Decoder;
use crate::reader::{Reader, ReaderOptions};
use crate::{ComputeError, Slot};

/// Tokens that the capacity of a sequence is rounded up to, so that caches fit other sequences later.
const GRANULE: usize = 64;

/// Decodes several sequences at once, which may be of different lengths, at different positions, and read different memories. Any of them may
/// begin or end between two steps.
///
/// Caches are allocated when a sequence needs one that none before it has left, and kept for others. Together they never exceed the budget.
pub struct Batch {
    decoder: Decoder,
    /// Max bytes of all caches.
    budget: usize,
    /// Bytes of the caches in use, and of those that are kept.
    used: usize,
    kept: Vec<Sequence>,
}

/// One sequence of a [`Batch`].
pub struct Sequence {
    reader: Reader,
    bytes: usize,
    logits: Vec<f32>,
}

/// A sequence and the token that a step appends to it.
pub struct Row<'a> {
    /// The sequence.
    pub sequence: &'a mut Sequence,
    /// The token.
    pub token: u32,
    /// Whether it was computed; set by [`Batch::step`].
    pub outcome: Result<(), ComputeError>,
}

impl<'a> Row<'a> {
    /// A token for a sequence.
    pub fn new(sequence: &'a mut Sequence, token: u32) -> Self {
        Self { sequence, token, outcome: Ok(()) }
    }
}

impl Batch {
    /// A batch without sequences, whose caches take at most `budget` bytes. It shares the decoder's weights.
    pub fn new(decoder: &Decoder, budget: usize) -> Self {
        Self { decoder: decoder.share(), budget, used: 0, kept: Vec::new() }
    }

    /// Bytes that a sequence takes: keys and values of memories and context, and logits.
    pub fn bytes_of(&self, options: &ReaderOptions) -> usize {
        self.decoder.bytes_of_reader(&rounded(options)).saturating_add(self.decoder.config().vocabulary as usize * size_of::<f32>())
    }

    /// Begins a sequence with an empty context.
    ///
    /// # Errors
    /// [`ComputeError::Budget`], before anything is allocated, if it does not fit into the budget beside those that are open; a failure of libtorch.
    pub fn open(&mut self, options: &ReaderOptions) -> Result<Sequence, ComputeError> {
        let options = rounded(options);
        let fits = |kept: &Sequence| kept.reader.has_prefix() == options.prefix && kept.reader.capacity() >= options.capacity;
        let smallest = (0..self.kept.len()).filter(|at| fits(&self.kept[*at])).min_by_key(|at| self.kept[*at].bytes);
        if let Some(at) = smallest {
            return Ok(self.kept.swap_remove(at));
        }
        let bytes = self.bytes_of(&options);
        while self.used.saturating_add(bytes) > self.budget {
            match self.kept.pop() {
                Some(kept) => self.used -= kept.bytes,
                None => {
                    return Err(ComputeError::Budget { needed: bytes, free: self.budget.saturating_sub(self.used), budget: self.budget });
                }
            }
        }
        let reader = self.decoder.reader(&options)?;
        let logits = Vec::with_capacity(self.decoder.config().vocabulary as usize);
        self.used += bytes;
        Ok(Sequence { reader, bytes, logits })
    }

    /// Ends a sequence of this batch and keeps its cache for others.
    pub fn close(&mut self, mut sequence: Sequence) {
        sequence.reader.clear();
        sequence.logits.clear();
        self.kept.push(sequence);
    }

    /// Appends a token to each sequence and computes its [logits](Sequence::logits). What a sequence gets does not depend on the others: one that
    /// fails, by the errors of [`Reader::step`], fails alone.
    pub fn step(&mut self, rows: &mut [Row<'_>]) {
        for Row { sequence, token, outcome } in rows {
            *outcome = sequence.reader.step(*token).map(|logits| sequence.logits = logits);
        }
    }
}

impl Sequence {
    /// As [`Reader::prompt`], for the last row of logits.
    ///
    /// # Errors
    /// As [`Reader::prompt`].
    pub fn prompt(&mut self, text: &[u32], chunks: &[Vec<Slot<'_>>]) -> Result<(), ComputeError> {
        self.logits = self.reader.prompt(text, chunks, false)?;
        Ok(())
    }

    /// As [`Reader::set_memories`].
    ///
    /// # Errors
    /// As [`Reader::set_memories`].
    pub fn set_memories(&mut self, slots: &[Slot<'_>]) -> Result<(), ComputeError> {
        self.reader.set_memories(slots)
    }

    /// As [`Reader::watch_memories`].
    pub fn watch_memories(&mut self) {
        self.reader.watch_memories();
    }

    /// The logits after the last token, `[vocabulary]`; empty before the prompt.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// As [`Reader::memory_share`].
    pub fn memory_share(&self) -> Option<f32> {
        self.reader.memory_share()
    }
}

fn rounded(options: &ReaderOptions) -> ReaderOptions {
    ReaderOptions { capacity: options.capacity.checked_next_multiple_of(GRANULE).unwrap_or(options.capacity), ..*options }
}
