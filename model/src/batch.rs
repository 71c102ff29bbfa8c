//! Sequences that are decoded together, within a budget of bytes.
//!
//! On the CPU, steps and prompts are computed by the kernels of `mempack-kernels`; where these do not serve, each sequence is a [`Reader`].

use mempack_format::EMPTY_SLOT;
use mempack_kernels::{self as kernels, Logits, Memory, Piece, SequenceOptions, Step};

use crate::context::{ContextLayout, similarity_biases};
use crate::decoder::Decoder;
use crate::on_kernels::KernelDecoder;
use crate::reader::{Reader, ReaderOptions};
use crate::slots::check_slots;
use crate::{ComputeError, Slot};

/// Tokens that the capacity of a sequence is rounded up to, so that caches fit other sequences later.
const GRANULE: usize = 64;
/// Tokens of a prompt from which libtorch computes it, whose products of many rows are faster: see docs/performance.md.
const LIBTORCH_FROM: usize = 768;
/// Tokens that one pass of the kernels computes, of prompts and of sequences.
const ROWS: usize = 64;

/// What batches of a decoder compute with. It is made once, and shares the decoder's weights.
pub struct StepDecoder {
    decoder: Decoder,
    /// The decoder on kernels; `None` where libtorch computes steps too.
    kernels: Option<KernelDecoder>,
}

impl StepDecoder {
    /// Prepares a decoder for batches.
    ///
    /// # Errors
    /// A path of the kernels that the environment asks for and the processor lacks (`MEMPACK_CPU`), threads that cannot be started, a failure of
    /// libtorch.
    pub fn new(decoder: &Decoder) -> Result<Self, ComputeError> {
        Ok(Self { decoder: decoder.share(), kernels: decoder.on_kernels()? })
    }

    /// Another handle on the same weights.
    pub fn share(&self) -> Self {
        Self { decoder: self.decoder.share(), kernels: self.kernels.clone() }
    }
}

/// Decodes several sequences at once, which may be of different lengths, at different positions, and read different memories. Any of them may
/// begin or end between two steps.
///
/// Caches are allocated when a sequence needs one that none before it has left, and kept for others. Together they never exceed the budget.
pub struct Batch {
    decoder: Decoder,
    steps: Option<Steps>,
    /// Max bytes of all caches.
    budget: usize,
    /// Bytes of the caches in use, and of those that are kept.
    used: usize,
    kept: Vec<Sequence>,
}

/// One sequence of a [`Batch`].
pub struct Sequence {
    cache: Cache,
    options: ReaderOptions,
    bytes: usize,
    logits: Vec<f32>,
    watched: bool,
    memory_share: Option<f32>,
}

/// Keys and values of a sequence.
enum Cache {
    Torch(Box<Reader>),
    Kernels(kernels::Sequence),
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

/// Steps on kernels.
struct Steps {
    step: Step,
    kernels: KernelDecoder,
    /// `[rows, vocabulary]`.
    logits: Vec<f32>,
}

impl Batch {
    /// A batch without sequences, whose caches take at most `budget` bytes.
    ///
    /// # Errors
    /// Shapes that the kernels refuse.
    pub fn new(decoder: &StepDecoder, budget: usize) -> Result<Self, ComputeError> {
        let StepDecoder { decoder, kernels } = decoder.share();
        let steps = |kernels: KernelDecoder| {
            let step = Step::new(kernels.model.clone(), kernels.cpu, kernels.inputs, kernels.pool.clone(), ROWS)?;
            Ok::<_, ComputeError>(Steps { step, kernels, logits: Vec::new() })
        };
        Ok(Self { decoder, steps: kernels.map(steps).transpose()?, budget, used: 0, kept: Vec::new() })
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
        let fits = |kept: &Sequence| kept.options.prefix == options.prefix && kept.options.capacity >= options.capacity;
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
        let cache = match self.on_kernels(&options)? {
            Some(sequence) => Cache::Kernels(sequence),
            None => Cache::Torch(Box::new(self.decoder.reader(&options)?)),
        };
        self.used += bytes;
        let logits = Vec::with_capacity(self.decoder.config().vocabulary as usize);
        Ok(Sequence { cache, options, bytes, logits, watched: false, memory_share: None })
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

    /// Ends a sequence of this batch and keeps its cache for others.
    pub fn close(&mut self, mut sequence: Sequence) {
        match &mut sequence.cache {
            Cache::Torch(reader) => reader.clear(),
            Cache::Kernels(cache) => cache.clear(),
        }
        sequence.logits.clear();
        (sequence.watched, sequence.memory_share) = (false, None);
        self.kept.push(sequence);
    }

    /// Puts the BOS and `text` into an empty sequence, as [`Reader::prompt`] does, and computes the [logits](Sequence::logits) of the last token.
    ///
    /// # Errors
    /// As [`Reader::prompt`].
    pub fn prompt(&mut self, sequence: &mut Sequence, text: &[u32], chunks: &[Vec<Slot<'_>>]) -> Result<(), ComputeError> {
        let (decoder, steps) = (&self.decoder, &mut self.steps);
        let (Cache::Kernels(cache), Some(steps)) = (&mut sequence.cache, steps) else {
            return sequence.torch_prompt(text, chunks);
        };
        if !cache.is_empty() {
            return Err(ComputeError::Order { operation: "prompt", needs: "whose context is empty" });
        }
        check_room(&sequence.options, 1 + text.len())?;
        decoder.check_ids(text)?;
        for chunk in chunks {
            check_memories(decoder, &sequence.options, chunk)?;
        }
        if sequence.watched {
            cache.watch_memories();
        }
        if 1 + text.len() >= LIBTORCH_FROM {
            return sequence.prompt_by_libtorch(decoder, text, chunks);
        }
        let layout = layout(decoder, &sequence.options);
        let prefix = &decoder.memory.reference_prefix_ids[..layout.prefix()];
        let tokens: Vec<u32> = prefix.iter().chain([&decoder.config.bos]).chain(text).copied().collect();
        // The prefix reads no memories.
        let list = |at: usize| at.checked_sub(prefix.len()).and_then(|position| layout.list_of_position(position, chunks.len()));
        let mut start = 0;
        while start < tokens.len() {
            // The tokens of a chunk read its memories.
            let end = (start + 1..tokens.len()).find(|at| list(*at) != list(start)).unwrap_or(tokens.len());
            if let Some(chunk) = list(start).and_then(|list| chunks.get(list)) {
                place(decoder, cache, chunk)?;
            }
            let logits = (end == tokens.len()).then_some(&mut sequence.logits);
            steps.append(cache, &tokens[start..end], logits)?;
            start = end;
        }
        sequence.measure(decoder);
        Ok(())
    }

    /// Replaces the memories that the following tokens of a sequence read, as [`Reader::set_memories`] does.
    ///
    /// # Errors
    /// As [`Reader::set_memories`].
    pub fn set_memories(&self, sequence: &mut Sequence, slots: &[Slot<'_>]) -> Result<(), ComputeError> {
        match &mut sequence.cache {
            Cache::Torch(reader) => reader.set_memories(slots),
            Cache::Kernels(cache) => {
                check_memories(&self.decoder, &sequence.options, slots)?;
                place(&self.decoder, cache, slots)
            }
        }
    }

    /// Appends a token to each sequence and computes its [logits](Sequence::logits). What a sequence gets does not depend on the others: one that
    /// fails, by the errors of [`Reader::step`], fails alone.
    pub fn step(&mut self, rows: &mut [Row<'_>]) {
        for rows in rows.chunks_mut(ROWS) {
            match &mut self.steps {
                Some(steps) => steps.step(&self.decoder, rows),
                None => rows.iter_mut().for_each(|row| row.outcome = row.sequence.torch_step(row.token)),
            }
        }
    }
}

impl Steps {
    /// Appends tokens to one sequence; `logits` receives those of the last one.
    fn append(&mut self, cache: &mut kernels::Sequence, tokens: &[u32], mut logits: Option<&mut Vec<f32>>) -> Result<(), ComputeError> {
        let pieces = tokens.chunks(ROWS);
        let last = pieces.len().saturating_sub(1);
        for (number, tokens) in pieces.enumerate() {
            let wanted = logits.as_deref_mut().filter(|_| number == last);
            let (kind, to) = match wanted {
                Some(logits) => {
                    logits.resize(self.step.model().vocabulary(), 0.0);
                    (Logits::Last, logits.as_mut_slice())
                }
                None => (Logits::None, &mut [][..]),
            };
            self.step.run(&mut [Piece { sequence: &mut *cache, tokens, logits: kind }], to)?;
        }
        Ok(())
    }

    /// As [`Batch::step`], for at most [`ROWS`] rows.
    fn step(&mut self, decoder: &Decoder, rows: &mut [Row<'_>]) {
        let tokens: Vec<[u32; 1]> = rows.iter().map(|row| [row.token]).collect();
        let mut pieces = Vec::with_capacity(rows.len());
        for (Row { sequence, token, outcome }, tokens) in rows.iter_mut().zip(&tokens) {
            *outcome = sequence.check_step(decoder, *token);
            match &mut sequence.cache {
                Cache::Kernels(cache) if outcome.is_ok() => pieces.push(Piece { sequence: cache, tokens, logits: Logits::Last }),
                _ => {}
            }
        }
        let vocabulary = self.step.model().vocabulary();
        let numbers = pieces.len() * vocabulary;
        self.logits.resize(self.logits.len().max(numbers), 0.0);
        let computed = self.step.run(&mut pieces, &mut self.logits[..numbers]);
        drop(pieces);
        let mut logits = self.logits.chunks(vocabulary);
        for Row { sequence, token, outcome } in rows {
            if let Cache::Torch(_) = sequence.cache {
                *outcome = sequence.torch_step(*token);
            } else if outcome.is_ok() {
                match (&computed, logits.next()) {
                    (Ok(_), Some(logits)) => {
                        sequence.logits.clear();
                        sequence.logits.extend_from_slice(logits);
                        sequence.measure(decoder);
                    }
                    (Err(error), _) => *outcome = Err(error.clone().into()),
                    (Ok(_), None) => {}
                }
            }
        }
    }
}

impl Sequence {
    /// Computes [`memory_share`](Self::memory_share) from the prompt on. Each token then takes a little longer.
    pub fn watch_memories(&mut self) {
        self.watched = true;
        if let Cache::Torch(reader) = &mut self.cache {
            reader.watch_memories();
        }
    }

    /// The logits after the last token, `[vocabulary]`; empty before the prompt.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// As [`Reader::memory_share`].
    pub fn memory_share(&self) -> Option<f32> {
        self.memory_share
    }

    /// As [`Batch::prompt`]: libtorch computes the prompt, and the kernels go on from its keys and values.
    fn prompt_by_libtorch(&mut self, decoder: &Decoder, text: &[u32], chunks: &[Vec<Slot<'_>>]) -> Result<(), ComputeError> {
        let Cache::Kernels(cache) = &mut self.cache else { return Ok(()) };
        let layout = layout(decoder, &self.options);
        let mut reader = decoder.reader(&ReaderOptions { capacity: 1 + text.len(), ..self.options })?;
        if self.watched {
            reader.watch_memories();
        }
        self.logits = reader.prompt(text, chunks, false)?;
        self.memory_share = reader.memory_share();
        cache.append_computed(layout.prefix() + 1 + text.len(), &reader.context()?)?;
        match layout.list_of_position(text.len(), chunks.len()).and_then(|list| chunks.get(list)) {
            Some(last) => place(decoder, cache, last),
            None => Ok(()),
        }
    }

    fn torch_prompt(&mut self, text: &[u32], chunks: &[Vec<Slot<'_>>]) -> Result<(), ComputeError> {
        let Cache::Torch(reader) = &mut self.cache else { return Ok(()) };
        self.logits = reader.prompt(text, chunks, false)?;
        self.memory_share = reader.memory_share();
        Ok(())
    }

    fn torch_step(&mut self, token: u32) -> Result<(), ComputeError> {
        let Cache::Torch(reader) = &mut self.cache else { return Ok(()) };
        self.logits = reader.step(token)?;
        self.memory_share = reader.memory_share();
        Ok(())
    }

    /// Refuses a token that cannot be appended.
    fn check_step(&self, decoder: &Decoder, token: u32) -> Result<(), ComputeError> {
        let Cache::Kernels(cache) = &self.cache else { return Ok(()) };
        let length = cache.len() - cache.options().prefix.min(cache.len());
        if length == 0 {
            return Err(ComputeError::Order { operation: "step", needs: "that holds a prompt" });
        }
        check_room(&self.options, length + 1)?;
        decoder.check_ids(&[token])
    }

    /// Takes over the share of attention that the last token gave to memories, if that is wanted.
    fn measure(&mut self, decoder: &Decoder) {
        let Cache::Kernels(cache) = &mut self.cache else { return };
        if !self.watched {
            return;
        }
        // The mean over the query heads whose key-value head keeps tokens; there are none without memories.
        let group = (decoder.config.query_heads / decoder.config.heads) as usize;
        let keeping = decoder.shape().slots_of_heads().filter(|slots| !slots.is_empty()).count() * group;
        let sum: f64 = cache.shares().iter().map(|share| f64::from(*share)).sum();
        self.memory_share = Some(if keeping == 0 { 0.0 } else { (sum / keeping as f64).clamp(0.0, 1.0) as f32 });
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

/// Puts memories, which have been checked, into a sequence.
fn place(decoder: &Decoder, cache: &mut kernels::Sequence, slots: &[Slot<'_>]) -> Result<(), ComputeError> {
    let prefix = decoder.memory.reference_prefix_ids.len();
    // The keys of empty slots are not read, so any position will do.
    let position = |p: &u8| if *p == EMPTY_SLOT { 0 } else { prefix + usize::from(*p) };
    let positions: Vec<Vec<usize>> = slots.iter().map(|slot| slot.memory.positions.iter().map(position).collect()).collect();
    let held = |slot: &Slot<'_>| {
        let of_head = |head: std::ops::Range<usize>| slot.memory.positions[head].iter().filter(|p| **p != EMPTY_SLOT).count();
        decoder.shape().slots_of_heads().map(of_head).max().unwrap_or_default()
    };
    let similarities: Vec<f32> = slots.iter().map(|slot| slot.similarity).collect();
    let biases = similarity_biases(decoder.memory.similarity_bias, &similarities);
    let memories: Vec<Memory<'_>> = slots
        .iter()
        .zip(&positions)
        .zip(biases)
        .map(|((slot, positions), bias)| {
            let (keys, values) = (slot.memory.keys.as_slice(), slot.memory.values.as_slice());
            Memory { keys, values, positions, tokens: held(slot), bias }
        })
        .collect();
    Ok(cache.set_memories(&memories)?)
}

fn rounded(options: &ReaderOptions) -> ReaderOptions {
    ReaderOptions { capacity: options.capacity.checked_next_multiple_of(GRANULE).unwrap_or(options.capacity), ..*options }
}
