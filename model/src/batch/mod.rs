//! Sequences that are decoded together, within a budget of bytes.
//!
//! On the CPU, steps and prompts are computed by the kernels of `mempack-kernels`; where these do not serve, each sequence is a [`Reader`].

mod history;
mod pieces;
mod row;
mod sequence;

use std::sync::{Arc, OnceLock};

use mempack_format::Digest;
use mempack_kernels::{self as kernels, Logits, Piece, SequenceOptions, Step};

pub use row::{Row, Tokens};
pub use sequence::Sequence;

use crate::context::ContextLayout;
use crate::decoder::Decoder;
use crate::on_kernels::KernelDecoder;
use crate::reader::ReaderOptions;
use crate::slots::check_slots;
use crate::{ComputeError, Slot};
use sequence::Cache;

/// Tokens that the capacity of a sequence is rounded up to, so that caches fit other sequences later.
const GRANULE: usize = 64;
/// Tokens that one pass of the kernels computes, of prompts and of sequences: two chunks of most models and a BOS.
const ROWS: usize = 129;
/// Tokens of prompts that are computed beside tokens of answers, so that a long prompt does not hold them up.
const BESIDE: usize = 65;

/// The memories that a chunk reads.
#[derive(Clone, Debug)]
pub struct SlotList<'a> {
    /// The memories.
    pub slots: Vec<Slot<'a>>,
    /// Identifies memories and similarities: lists with equal keys are equal. Tokens that read a list can be reused where their texts begin alike.
    pub key: Digest,
}

/// A prompt, without the BOS.
#[derive(Clone, Copy, Debug)]
pub struct Prompt<'a> {
    /// Its tokens.
    pub text: &'a [u32],
    /// What each chunk reads, as for [`Reader::prompt`](crate::Reader::prompt).
    pub chunks: &'a [SlotList<'a>],
}

/// What batches of a decoder compute with. It is made once, and shares the decoder's weights.
pub struct StepDecoder {
    decoder: Decoder,
    /// The decoder on kernels; `None` where libtorch computes steps too.
    kernels: Option<KernelDecoder>,
    /// The keys and values of the prefix, once they have been computed.
    prefix: Arc<OnceLock<kernels::Sequence>>,
}

impl StepDecoder {
    /// Prepares a decoder for batches.
    ///
    /// # Errors
    /// A path of the kernels that the environment asks for and the processor lacks (`MEMPACK_CPU`), threads that cannot be started, a failure of
    /// libtorch.
    pub fn new(decoder: &Decoder) -> Result<Self, ComputeError> {
        Ok(Self { decoder: decoder.share(), kernels: decoder.on_kernels()?, prefix: Arc::default() })
    }
}

/// Decodes several sequences at once, which may be of different lengths, at different positions, and read different memories. Any of them may
/// begin or end between two steps.
///
/// Caches are allocated when a sequence needs one that none before it has left, and kept for others. Together they never exceed the budget. A sequence
/// whose text begins as that of a cache that is kept, and reads the same memories there, goes on from its keys and values.
pub struct Batch {
    decoder: Decoder,
    steps: Option<Steps>,
    /// Max bytes of all caches.
    budget: usize,
    /// Bytes of the caches in use, and of those that are kept.
    used: usize,
    /// The caches in use.
    open: usize,
    /// Max caches, in use and kept.
    most: usize,
    /// Those that are kept, the one that was closed last at the end.
    kept: Vec<Sequence>,
}

/// Steps on kernels.
struct Steps {
    step: Step,
    kernels: KernelDecoder,
    prefix: Arc<OnceLock<kernels::Sequence>>,
    /// `[rows, vocabulary]`.
    logits: Vec<f32>,
}

impl Batch {
    /// A batch without sequences, whose caches take at most `budget` bytes. It keeps caches that are closed as long as there are at most `caches`.
    ///
    /// # Errors
    /// Shapes that the kernels refuse.
    pub fn new(decoder: &StepDecoder, budget: usize, caches: usize) -> Result<Self, ComputeError> {
        let StepDecoder { decoder, kernels, prefix } = decoder;
        let steps = |kernels: &KernelDecoder| {
            let step = Step::new(kernels.model.clone(), kernels.cpu, kernels.inputs, kernels.pool.clone(), ROWS)?;
            Ok::<_, ComputeError>(Steps { step, kernels: kernels.clone(), prefix: Arc::clone(prefix), logits: Vec::new() })
        };
        let steps = kernels.as_ref().map(steps).transpose()?;
        Ok(Self { decoder: decoder.share(), steps, budget, used: 0, open: 0, most: caches, kept: Vec::new() })
    }

    /// Bytes that a sequence takes: keys and values of memories and context, and logits.
    pub fn bytes_of(&self, options: &ReaderOptions) -> usize {
        let (own, logits) = (self.decoder.bytes_of_reader(&rounded(options)), self.decoder.config().vocabulary as usize * size_of::<f32>());
        // Kernels have room for the memories of two chunks.
        let more = if self.steps.is_some() && options.prefix { self.decoder.bytes_of_memories() } else { 0 };
        own.saturating_add(more).saturating_add(logits)
    }

    /// Bytes of the caches of open sequences.
    pub fn bytes_open(&self) -> usize {
        self.used - self.bytes_kept()
    }

    /// Bytes of caches that are kept for later sequences, which give way to others.
    pub fn bytes_kept(&self) -> usize {
        self.kept.iter().map(|sequence| sequence.bytes).sum()
    }

    /// Begins a sequence for `prompt`, which [`step`](Self::step) then puts into it. It [holds](Sequence::len) those tokens already that another sequence
    /// has left.
    ///
    /// # Errors
    /// [`ComputeError::Budget`], before anything is allocated, if it does not fit into the budget beside those that are open; a prompt that does not fit
    /// into `options` or has unknown tokens, memories of another shape or more than slots; a failure of libtorch.
    pub fn open(&mut self, options: &ReaderOptions, prompt: &Prompt<'_>) -> Result<Sequence, ComputeError> {
        self.check(options, prompt)?;
        let options = rounded(options);
        let layout = layout(&self.decoder, &options);
        let shared = |kept: &Sequence| {
            if kept.options.prefix == options.prefix { kept.history.shared(prompt, self.decoder.config.bos, layout) } else { 0 }
        };
        let best =
            (0..self.kept.len()).map(|at| (shared(&self.kept[at]), at)).filter(|(tokens, _)| *tokens > 1).max_by_key(|(tokens, _)| *tokens);
        let mut source = best.map(|(tokens, at)| (tokens, self.kept.remove(at)));
        let opened = self.opened(&options, &mut source);
        if let Some((_, unused)) = source {
            self.kept.push(unused);
        }
        opened
    }

    /// A sequence that holds what `source`, a kept sequence with as many tokens in common, has for it. Takes it, or copies from it.
    fn opened(&mut self, options: &ReaderOptions, source: &mut Option<(usize, Sequence)>) -> Result<Sequence, ComputeError> {
        if let Some((tokens, mut sequence)) = source.take_if(|(_, sequence)| sequence.options.capacity >= options.capacity) {
            sequence.truncate(tokens);
            self.open += 1;
            return Ok(sequence);
        }
        let mut sequence = match self.allocated(options) {
            Err(ComputeError::Budget { .. }) if source.is_some() => {
                self.used -= source.take().map_or(0, |(_, other)| other.bytes);
                self.allocated(options)?
            }
            other => other?,
        };
        let begun = match source.take() {
            Some((tokens, other)) => {
                self.used -= other.bytes;
                sequence.append_of(&other, tokens)
            }
            None => self.begin(&mut sequence),
        };
        if let Err(error) = begun {
            self.used -= sequence.bytes;
            return Err(error);
        }
        self.open += 1;
        Ok(sequence)
    }

    /// An empty sequence: one that was kept, the oldest first, or a new one, within the budget.
    fn allocated(&mut self, options: &ReaderOptions) -> Result<Sequence, ComputeError> {
        let bytes = self.bytes_of(options);
        let free = |batch: &Self| batch.budget.saturating_sub(batch.used);
        let full = |batch: &Self| batch.open + batch.kept.len() >= batch.most || free(batch) < bytes;
        let fits = |kept: &Sequence| kept.options.prefix == options.prefix && kept.options.capacity >= options.capacity;
        if full(self)
            && let Some(at) = self.kept.iter().position(fits)
        {
            let mut sequence = self.kept.remove(at);
            sequence.clear();
            return Ok(sequence);
        }
        while full(self) && !self.kept.is_empty() {
            self.used -= self.kept.remove(0).bytes;
        }
        if free(self) < bytes {
            return Err(ComputeError::Budget { needed: bytes, free: free(self), budget: self.budget });
        }
        let cache = match self.on_kernels(options)? {
            Some(sequence) => Cache::Kernels(sequence),
            None => Cache::Torch(Box::new(self.decoder.reader(options)?)),
        };
        self.used += bytes;
        let fell_back = self.steps.is_some() && matches!(cache, Cache::Torch(_));
        let mut sequence = Sequence::new(cache, *options, bytes, self.decoder.config().vocabulary as usize);
        sequence.fell_back = fell_back;
        Ok(sequence)
    }

    /// A sequence on kernels, unless they have no rotations for its last positions.
    fn on_kernels(&mut self, options: &ReaderOptions) -> Result<Option<kernels::Sequence>, ComputeError> {
        let Some(Steps { step, kernels, .. }) = &mut self.steps else { return Ok(None) };
        let (memory, layout) = (&self.decoder.memory, layout(&self.decoder, options));
        let (memories, gap) = if options.prefix { (memory.memories_per_chunk, memory.reference_length) } else { (0, 0) };
        let options = SequenceOptions {
            capacity: layout.prefix() + options.capacity,
            memories: memories as usize,
            prefix: layout.prefix(),
            gap: gap as usize,
            cache: kernels.cache,
        };
        if options.capacity + options.gap > kernels.positions {
            return Ok(None);
        }
        Ok(Some(step.sequence(options)?))
    }

    /// Puts the prefix into an empty sequence. It is computed once.
    fn begin(&mut self, sequence: &mut Sequence) -> Result<(), ComputeError> {
        let (Cache::Kernels(cache), Some(steps)) = (&mut sequence.cache, &mut self.steps) else { return Ok(()) };
        let ids = &self.decoder.memory.reference_prefix_ids[..cache.options().prefix];
        if ids.is_empty() {
            return Ok(());
        }
        if let Some(prefix) = steps.prefix.get() {
            return Ok(cache.append_of(prefix, ids.len())?);
        }
        let mut prefix = steps.step.sequence(SequenceOptions { capacity: ids.len(), memories: 0, ..*cache.options() })?;
        for tokens in ids.chunks(ROWS) {
            steps.step.run(&mut [Piece { sequence: &mut prefix, tokens, logits: Logits::None }], &mut [])?;
        }
        cache.append_of(&prefix, ids.len())?;
        // Another batch may have computed the same.
        let _ = steps.prefix.set(prefix);
        Ok(())
    }

    /// Ends a sequence of this batch and keeps its cache for others.
    pub fn close(&mut self, mut sequence: Sequence) {
        self.open = self.open.saturating_sub(1);
        if self.open + self.kept.len() >= self.most {
            self.used -= sequence.bytes;
            return;
        }
        sequence.rest();
        self.kept.push(sequence);
    }

    /// Puts a prompt into a sequence that was [opened](Self::open) for it, and computes the [logits](Sequence::logits) of its last token.
    ///
    /// # Errors
    /// As of [`step`](Self::step).
    pub fn prompt(&mut self, sequence: &mut Sequence, prompt: &Prompt<'_>) -> Result<(), ComputeError> {
        loop {
            let mut rows = [Row::prompt(sequence, prompt)];
            self.step(&mut rows);
            let [Row { outcome, .. }] = rows;
            outcome?;
            if sequence.is_prompted() {
                return Ok(());
            }
        }
    }

    /// Replaces the memories that the following tokens of a sequence read, as [`Reader::set_memories`](crate::Reader::set_memories) does.
    ///
    /// # Errors
    /// As [`Reader::set_memories`](crate::Reader::set_memories).
    pub fn set_memories(&self, sequence: &mut Sequence, list: &SlotList<'_>) -> Result<(), ComputeError> {
        check_memories(&self.decoder, &sequence.options, &list.slots)?;
        sequence.set_memories(&self.decoder, sequence.len(), list)
    }

    /// Refuses a prompt that cannot be computed.
    fn check(&self, options: &ReaderOptions, prompt: &Prompt<'_>) -> Result<(), ComputeError> {
        check_room(options, 1 + prompt.text.len())?;
        self.decoder.check_ids(prompt.text)?;
        prompt.chunks.iter().try_for_each(|list| check_memories(&self.decoder, options, &list.slots))
    }
}

fn layout(decoder: &Decoder, options: &ReaderOptions) -> ContextLayout {
    if options.prefix { ContextLayout::with_memories(&decoder.memory) } else { ContextLayout::plain(&decoder.memory) }
}

fn check_room(options: &ReaderOptions, wanted: usize) -> Result<(), ComputeError> {
    let capacity = options.capacity;
    if wanted <= capacity { Ok(()) } else { Err(ComputeError::Capacity { capacity, wanted }) }
}

fn check_memories(decoder: &Decoder, options: &ReaderOptions, slots: &[Slot<'_>]) -> Result<(), ComputeError> {
    if !options.prefix && !slots.is_empty() {
        return Err(ComputeError::NoSlots);
    }
    check_slots(decoder, slots)
}

fn rounded(options: &ReaderOptions) -> ReaderOptions {
    ReaderOptions { capacity: options.capacity.checked_next_multiple_of(GRANULE).unwrap_or(options.capacity), ..*options }
}
