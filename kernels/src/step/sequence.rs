//! The state of a sequence: its key-value cache and its memories, allocated once.

use std::ops::Range;
use std::sync::Arc;

use super::model::Model;
use crate::KernelError;
use crate::error::check;
use crate::shared::Cells;
use crate::simd::{Element, Kernel, Scalar};
use crate::small::Rotate;

/// The most memories of a sequence.
const MOST_MEMORIES: usize = 1 << 16;

/// The type of the numbers in a key-value cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheKind {
    /// 32-bit floats.
    F32,
    /// bf16: half the memory, and keys and values are rounded.
    Bf16,
}

/// The sizes of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceOptions {
    /// Max tokens, those of the prefix included.
    pub capacity: usize,
    /// Max memories at a time.
    pub memories: usize,
    /// Tokens at the start that come before the memories' interval of positions.
    pub prefix: usize,
    /// Positions between the prefix and the tokens after it: the interval that memories share. 0 without memories.
    pub gap: usize,
    /// The type of keys and values.
    pub cache: CacheKind,
}

/// A memory to be read.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    /// Keys before RoPE, `[token slots, head_dim]`: layer by layer, key-value head by head, as many slots as the head keeps.
    pub keys: &'a [f32],
    /// Values, in the same form.
    pub values: &'a [f32],
    /// The position of each slot, `[token slots]`, prefix included. Those of empty slots have no effect.
    pub positions: &'a [usize],
    /// Tokens of the reference. A head that keeps more fills only its first slots.
    pub tokens: usize,
    /// Added to the scaled scores of its tokens: the similarity bias, at most 0.
    pub bias: f32,
}

/// Keys and values of a sequence.
pub(super) enum Cache {
    F32(Pair<f32>),
    Bf16(Pair<u16>),
}

/// Keys and values, `[slots, head_dim]` each, in the order of [`Places`].
pub(super) struct Pair<T> {
    pub keys: Cells<T>,
    pub values: Cells<T>,
}

/// Where the slots of a key-value head of a layer are.
#[derive(Clone, Copy)]
pub(super) struct Places {
    /// The first slot of the memories; memory `m` begins `m * kept` slots later. Those of the second bank follow those of the first.
    pub memories: usize,
    pub kept: usize,
    /// The first slot of the context.
    pub context: usize,
}

/// A memory in use.
#[derive(Clone, Copy, Default)]
pub(super) struct Used {
    pub tokens: usize,
    pub bias: f32,
}

/// One sequence being decoded.
pub struct Sequence {
    pub(super) model: Arc<Model>,
    pub(super) options: SequenceOptions,
    /// `[layers, heads]`.
    pub(super) places: Vec<Places>,
    pub(super) cache: Cache,
    /// The memories in two banks, so that tokens of one step can read others than those before them; room for all is allocated.
    banks: [Vec<Used>; 2],
    /// The bank that the next token reads.
    bank: usize,
    /// The index of the token from which on the other bank is read.
    next: Option<usize>,
    /// Tokens in the cache.
    pub(super) length: usize,
    /// `[layers, query_heads, memories]` if watched, else empty.
    pub(super) shares: Cells<f32>,
}

impl<T: Element> Pair<T> {
    fn new(numbers: usize) -> Self {
        Self { keys: Cells::new(numbers), values: Cells::new(numbers) }
    }

    fn bytes(&self) -> usize {
        2 * self.keys.len() * size_of::<T>()
    }

    /// Copies keys and values of another cache.
    ///
    /// # Safety
    /// No other thread may use `to`, nor write `from`.
    unsafe fn copy(&self, to: Range<usize>, other: &Self, from: Range<usize>) {
        for (cells, other) in [(&self.keys, &other.keys), (&self.values, &other.values)] {
            // SAFETY: Up to the caller.
            unsafe { cells.range_mut(to.clone()).copy_from_slice(other.range(from.clone())) }
        }
    }

    /// Writes a key and a value of `head_dim` numbers to `slot`.
    ///
    /// # Safety
    /// No other thread may use this slot.
    pub unsafe fn write(&self, slot: usize, key: &[f32], value: &[f32]) {
        let range = slot * key.len()..(slot + 1) * key.len();
        for (cells, numbers) in [(&self.keys, key), (&self.values, value)] {
            // SAFETY: The caller makes sure that nobody else uses the slot.
            let to = unsafe { cells.range_mut(range.clone()) };
            to.iter_mut().zip(numbers).for_each(|(to, x)| *to = T::from_f32(*x));
        }
    }
}

impl Sequence {
    /// An empty sequence of a model that was checked; see [`Step::sequence`](super::Step::sequence).
    pub(super) fn new(model: Arc<Model>, options: SequenceOptions) -> Result<Self, KernelError> {
        let most = model.positions().saturating_sub(options.gap);
        if options.capacity > most {
            return Err(KernelError::Size {
                what: "capacity of a sequence",
                expected: format!("at most {most}, for which there are rotations"),
                found: options.capacity,
            });
        }
        let too_many = || KernelError::Size {
            what: "memories of a sequence",
            expected: format!("at most {MOST_MEMORIES}, with addressable slots"),
            found: options.memories,
        };
        if options.memories > MOST_MEMORIES {
            return Err(too_many());
        }
        let mut slots = 0usize;
        let mut places = Vec::with_capacity(model.layers.len() * model.heads);
        for layer in 0..model.layers.len() {
            for head in 0..model.heads {
                let kept = model.kept(layer, head);
                let memories = slots;
                let banks = options.memories.checked_mul(2 * kept);
                let context = banks.and_then(|n| n.checked_add(memories)).ok_or_else(too_many)?;
                slots = context.checked_add(options.capacity).ok_or_else(too_many)?;
                places.push(Places { memories, kept, context });
            }
        }
        let numbers = slots.checked_mul(model.head_dim).filter(|n| *n <= isize::MAX as usize / 4).ok_or_else(too_many)?;
        let cache = match options.cache {
            CacheKind::F32 => Cache::F32(Pair::new(numbers)),
            CacheKind::Bf16 => Cache::Bf16(Pair::new(numbers)),
        };
        let banks = [(); 2].map(|()| Vec::with_capacity(options.memories));
        Ok(Self { model, options, places, cache, banks, bank: 0, next: None, length: 0, shares: Cells::new(0) })
    }

    /// The sizes it was made with.
    pub fn options(&self) -> &SequenceOptions {
        &self.options
    }

    /// Tokens that it holds, prefix included.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds no tokens.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Memories that the next tokens read.
    pub fn memories(&self) -> usize {
        self.banks[self.bank].len()
    }

    /// Bytes of its cache.
    pub fn bytes(&self) -> usize {
        match &self.cache {
            Cache::F32(pair) => pair.bytes(),
            Cache::Bf16(pair) => pair.bytes(),
        }
    }

    /// Forgets all tokens after the first `length`, and keeps the memories that the next token reads. No effect if there are fewer.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
        self.next = None;
    }

    /// Forgets all tokens after the first `length`, the memories, and what [`watch_memories`](Self::watch_memories) asked for.
    pub fn reset(&mut self, length: usize) {
        self.truncate(length);
        self.banks[self.bank].clear();
        self.shares = Cells::new(0);
    }

    /// Computes [`shares`](Self::shares) from the next token on.
    pub fn watch_memories(&mut self) {
        let model = &self.model;
        self.shares = Cells::new(model.layers.len() * model.query_heads * self.options.memories);
    }

    /// The share of attention that the last token of the last step gave to each memory, 0 to 1, `[layers, query_heads, memories]`; the last dimension
    /// is that of [`SequenceOptions::memories`], and those that are not in use are 0, as are heads that keep no tokens. Empty unless
    /// [`watch_memories`](Self::watch_memories) was called.
    pub fn shares(&mut self) -> &[f32] {
        self.shares.all()
    }

    /// Appends tokens that another sequence holds at the same places: those from the end of this one to `length`. What they attended to must be the same
    /// here.
    ///
    /// # Errors
    /// A sequence of another model, with another prefix, gap or type of numbers, or that holds fewer tokens; no room. Nothing is appended then.
    pub fn append_of(&mut self, other: &Self, length: usize) -> Result<(), KernelError> {
        let (own, its) = (self.options, other.options);
        let like = |sequence: &SequenceOptions| (sequence.prefix, sequence.gap, sequence.cache);
        if !Arc::ptr_eq(&self.model, &other.model) || like(&own) != like(&its) {
            let expected = "one of this model with the same prefix, gap and type".to_owned();
            return Err(KernelError::Size { what: "sequence to copy from", expected, found: 0 });
        }
        if length > other.length {
            let expected = format!("at most {}, which the other sequence holds", other.length);
            return Err(KernelError::Size { what: "tokens to copy", expected, found: length });
        }
        let more = length.saturating_sub(self.length);
        if length > own.capacity {
            return Err(KernelError::Full { sequence: 0, length: self.length, capacity: own.capacity, more });
        }
        let dim = self.model.head_dim;
        for (to, from) in self.places.iter().zip(&other.places) {
            let numbers = |places: &Places| (places.context + self.length) * dim..(places.context + self.length + more) * dim;
            let (to, from) = (numbers(to), numbers(from));
            match (&self.cache, &other.cache) {
                // SAFETY: This sequence is borrowed mutably, and no step runs with the other, which would borrow it mutably.
                (Cache::F32(cache), Cache::F32(other)) => unsafe { cache.copy(to, other, from) },
                // SAFETY: As above.
                (Cache::Bf16(cache), Cache::Bf16(other)) => unsafe { cache.copy(to, other, from) },
                _ => {}
            }
        }
        self.length += more;
        Ok(())
    }

    /// Replaces the memories that the next tokens read.
    ///
    /// # Errors
    /// More memories than slots, or keys, values or positions of another number than the slots of the model's heads. Nothing is
    /// replaced then.
    pub fn set_memories(&mut self, memories: &[Memory<'_>]) -> Result<(), KernelError> {
        self.put(self.bank, memories)?;
        self.next = None;
        Ok(())
    }

    /// Replaces the memories that tokens from index `from` on read, the prefix counted; tokens before it read what they read now.
    ///
    /// # Errors
    /// As [`set_memories`](Self::set_memories), and if the sequence holds more than `from` tokens.
    pub fn set_next_memories(&mut self, from: usize, memories: &[Memory<'_>]) -> Result<(), KernelError> {
        if from < self.length {
            return Err(KernelError::Size {
                what: "first token that reads memories",
                expected: format!("at least {}", self.length),
                found: from,
            });
        }
        self.put(1 - self.bank, memories)?;
        self.next = Some(from);
        self.turn();
        Ok(())
    }

    /// Notes that tokens were appended.
    pub(super) fn grow(&mut self, tokens: usize) {
        self.length += tokens;
        self.turn();
    }

    /// Makes the other bank the one that is read, once the next token reads it.
    fn turn(&mut self) {
        if self.next.take_if(|from| *from <= self.length).is_some() {
            self.bank = 1 - self.bank;
        }
    }

    /// The memories that token `index` reads, and the slots of a head before the first of them.
    pub(super) fn read_by(&self, index: usize, places: Places) -> (&[Used], usize) {
        let bank = if self.next.is_some_and(|from| from <= index) { 1 - self.bank } else { self.bank };
        (&self.banks[bank], places.memories + bank * self.options.memories * places.kept)
    }

    /// Puts memories into a bank.
    fn put(&mut self, bank: usize, memories: &[Memory<'_>]) -> Result<(), KernelError> {
        let (model, most) = (Arc::clone(&self.model), self.options.memories);
        if memories.len() > most {
            return Err(KernelError::Size { what: "memories", expected: format!("at most {most}"), found: memories.len() });
        }
        let (dim, positions) = (model.head_dim, model.positions());
        let slots: usize = self.places.iter().map(|places| places.kept).sum();
        for memory in memories {
            check("keys of a memory", slots * dim, memory.keys.len())?;
            check("values of a memory", slots * dim, memory.values.len())?;
            check("positions of a memory", slots, memory.positions.len())?;
            if let Some(found) = memory.positions.iter().copied().find(|position| *position >= positions) {
                return Err(KernelError::Size { what: "position in a memory", expected: format!("below {positions}"), found });
            }
        }
        let mut key = vec![0.0; dim];
        for (number, memory) in memories.iter().enumerate() {
            let mut slot = 0;
            for (index, places) in self.places.iter().enumerate() {
                let rotation = &model.rotations[model.layers[index / model.heads].rotation];
                for token in 0..places.kept {
                    let numbers = slot * dim..(slot + 1) * dim;
                    key.copy_from_slice(&memory.keys[numbers.clone()]);
                    let angles = angles(dim, memory.positions[slot]);
                    Rotate { x: &mut key, cos: &rotation.cos[angles.clone()], sin: &rotation.sin[angles] }.run(Scalar);
                    let to = places.memories + (bank * most + number) * places.kept + token;
                    // SAFETY: The sequence is borrowed mutably.
                    unsafe { self.cache.write(to, &key, &memory.values[numbers]) };
                    slot += 1;
                }
            }
        }
        self.banks[bank].clear();
        self.banks[bank].extend(memories.iter().map(|memory| Used { tokens: memory.tokens, bias: memory.bias }));
        Ok(())
    }

    /// The most tokens that a token attends to.
    pub(super) fn widest(&self) -> usize {
        let kept = self.places.iter().map(|places| places.kept).max().unwrap_or(0);
        self.options.memories * kept + self.options.capacity
    }

    /// The position for RoPE of token `index`.
    pub(super) fn position(&self, index: usize) -> usize {
        if index < self.options.prefix { index } else { index + self.options.gap }
    }
}

impl Cache {
    /// As [`Pair::write`].
    ///
    /// # Safety
    /// As of [`Pair::write`].
    pub unsafe fn write(&self, slot: usize, key: &[f32], value: &[f32]) {
        // SAFETY: Up to the caller.
        unsafe {
            match self {
                Self::F32(pair) => pair.write(slot, key, value),
                Self::Bf16(pair) => pair.write(slot, key, value),
            }
        }
    }
}

/// Where the cosines and sines of a position are in a table.
pub(super) fn angles(head_dim: usize, position: usize) -> Range<usize> {
    let half = head_dim / 2;
    position * half..(position + 1) * half
}
