//! One sequence of a batch.

use mempack_format::EMPTY_SLOT;
use mempack_kernels::{self as kernels, Memory};

use super::history::History;
use super::{Prompt, SlotList, Tokens, check_room, layout};
use crate::context::similarity_biases;
use crate::decoder::Decoder;
use crate::reader::{Reader, ReaderOptions};
use crate::{ComputeError, Slot};

/// One sequence of a [`Batch`](super::Batch).
pub struct Sequence {
    pub(super) cache: Cache,
    pub(super) options: ReaderOptions,
    pub(super) bytes: usize,
    pub(super) logits: Vec<f32>,
    pub(super) history: History,
    /// The list of the prompt that is in the slots.
    placed: Option<usize>,
    watched: bool,
    shares: Vec<f32>,
    /// Whether libtorch computes it although there are kernels.
    pub(super) fell_back: bool,
}

/// Keys and values of a sequence.
pub(super) enum Cache {
    Torch(Box<Reader>),
    Kernels(kernels::Sequence),
}

impl Sequence {
    pub(super) fn new(cache: Cache, options: ReaderOptions, bytes: usize, vocabulary: usize) -> Self {
        let (logits, shares) = (Vec::with_capacity(vocabulary), Vec::new());
        Self { cache, options, bytes, logits, history: History::default(), placed: None, watched: false, shares, fell_back: false }
    }

    /// Computes [`memory_shares`](Self::memory_shares) from the prompt on. Each token then takes a little longer.
    pub fn watch_memories(&mut self) {
        self.watched = true;
        match &mut self.cache {
            Cache::Torch(reader) => reader.watch_memories(),
            Cache::Kernels(cache) => cache.watch_memories(),
        }
    }

    /// Whether libtorch computes its steps, several times slower, although the decoder is on kernels: its capacity goes beyond the positions for which these
    /// have rotations.
    pub fn fell_back(&self) -> bool {
        self.fell_back
    }

    /// Tokens that it holds, BOS included.
    pub fn len(&self) -> usize {
        match &self.cache {
            Cache::Torch(reader) => reader.len(),
            Cache::Kernels(_) => self.history.len(),
        }
    }

    /// Whether it holds no tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it holds all of its prompt, so that tokens can be appended.
    pub fn is_prompted(&self) -> bool {
        !self.logits.is_empty()
    }

    /// The logits after the last token, `[vocabulary]`; empty until the prompt is complete.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// The share of attention that the last token gave to each memory that it read, in their order, 0 to 1: see
    /// [`Reader::memory_shares`](crate::Reader::memory_shares). `None` unless [`watch_memories`](Self::watch_memories) was called before that token.
    pub fn memory_shares(&self) -> Option<&[f32]> {
        (self.watched && self.is_prompted()).then_some(self.shares.as_slice())
    }

    /// Forgets all but what other sequences can go on from.
    pub(super) fn rest(&mut self) {
        if let Cache::Torch(reader) = &mut self.cache {
            reader.clear();
        }
        self.logits.clear();
        self.shares.clear();
        (self.watched, self.placed) = (false, None);
    }

    /// Forgets all tokens but the prefix.
    pub(super) fn clear(&mut self) {
        self.truncate(0);
    }

    /// Forgets all but the first `tokens` tokens, and the memories.
    pub(super) fn truncate(&mut self, tokens: usize) {
        self.rest();
        self.history.truncate(tokens);
        if let Cache::Kernels(cache) = &mut self.cache {
            let prefix = cache.options().prefix;
            cache.reset(prefix + tokens);
        }
    }

    /// Appends the first `tokens` tokens of another sequence, prefix included, to this one, which holds none.
    pub(super) fn append_of(&mut self, other: &Self, tokens: usize) -> Result<(), ComputeError> {
        if let (Cache::Kernels(cache), Cache::Kernels(from)) = (&mut self.cache, &other.cache) {
            cache.append_of(from, from.options().prefix + tokens)?;
            self.history = other.history.first(tokens);
        }
        Ok(())
    }

    /// Refuses tokens that cannot be appended.
    pub(super) fn check(&self, decoder: &Decoder, tokens: &Tokens<'_>) -> Result<(), ComputeError> {
        match tokens {
            Tokens::Next(_) if !self.is_prompted() => Err(ComputeError::Order { operation: "step", needs: "that holds a prompt" }),
            Tokens::Prompt(_) if self.is_prompted() => Err(ComputeError::Order { operation: "prompt", needs: "whose context is empty" }),
            Tokens::Next(token) => {
                check_room(&self.options, self.len() + 1)?;
                decoder.check_ids(&[*token])
            }
            Tokens::Prompt(prompt) => check_room(&self.options, 1 + prompt.text.len()),
        }
    }

    /// The next tokens of a prompt, at most `room`, and whether they are its last. The memories that they read are put into the slots, which have room for
    /// those of two chunks.
    pub(super) fn piece(&mut self, decoder: &Decoder, prompt: &Prompt<'_>, room: usize) -> Result<(Vec<u32>, bool), ComputeError> {
        let (layout, start, tokens) = (layout(decoder, &self.options), self.history.len(), 1 + prompt.text.len());
        let list = |position: usize| layout.list_of_position(position, prompt.chunks.len());
        let most = tokens.min(start + room);
        let end_of = |start: usize| (start + 1..most).find(|at| list(*at) != list(start)).unwrap_or(most);
        let second = end_of(start);
        let mut end = second;
        for from in [start, second] {
            let Some((number, list)) = list(from).filter(|_| from < most).and_then(|number| Some((number, prompt.chunks.get(number)?)))
            else {
                continue;
            };
            if self.placed != Some(number) {
                self.set_memories(decoder, from, list)?;
                self.placed = Some(number);
            }
            end = end_of(from);
        }
        let ids = [decoder.config.bos].into_iter().chain(prompt.text.iter().copied());
        Ok((ids.skip(start).take(end - start).collect(), end == tokens))
    }

    /// Puts memories, which have been checked, into the slots. Tokens from `from` on read them.
    pub(super) fn set_memories(&mut self, decoder: &Decoder, from: usize, list: &SlotList<'_>) -> Result<(), ComputeError> {
        self.shares.clear();
        match &mut self.cache {
            Cache::Torch(reader) => reader.set_memories(&list.slots),
            Cache::Kernels(cache) => {
                place(decoder, cache, cache.options().prefix + from, &list.slots)?;
                self.history.read(from, list.key);
                Ok(())
            }
        }
    }

    /// Notes that these tokens were computed by kernels, with the logits of the last one if it is wanted.
    pub(super) fn computed(&mut self, decoder: &Decoder, tokens: &[u32], logits: Option<&[f32]>) {
        self.history.push(tokens);
        if let Some(logits) = logits {
            self.logits.clear();
            self.logits.extend_from_slice(logits);
            self.measure(decoder);
        }
    }

    /// Appends tokens by libtorch: a prompt in one pass.
    pub(super) fn torch(&mut self, tokens: &Tokens<'_>) -> Result<(), ComputeError> {
        let Cache::Torch(reader) = &mut self.cache else { return Ok(()) };
        self.logits = match tokens {
            Tokens::Next(token) => reader.step(*token)?,
            Tokens::Prompt(Prompt { text, chunks }) => {
                let chunks: Vec<_> = chunks.iter().map(|list| list.slots.clone()).collect();
                reader.prompt(text, &chunks, false)?
            }
        };
        self.shares = reader.memory_shares().map(<[f32]>::to_vec).unwrap_or_default();
        Ok(())
    }

    /// Takes over the shares of attention that the last token gave to memories, if they are wanted.
    fn measure(&mut self, decoder: &Decoder) {
        let Cache::Kernels(cache) = &mut self.cache else { return };
        if !self.watched {
            return;
        }
        // Means over the query heads whose key-value head keeps tokens.
        let group = (decoder.config.query_heads / decoder.config.heads) as usize;
        let keeping = decoder.shape().slots_of_heads().filter(|slots| !slots.is_empty()).count() * group;
        let (memories, most) = (cache.memories(), cache.options().memories.max(1));
        let mut sums = vec![0f64; memories];
        for shares in cache.shares().chunks_exact(most) {
            sums.iter_mut().zip(shares).for_each(|(sum, share)| *sum += f64::from(*share));
        }
        self.shares.clear();
        self.shares.extend(sums.into_iter().map(|sum| (sum / keeping.max(1) as f64).clamp(0.0, 1.0) as f32));
    }
}

/// Puts memories, which have been checked, into a sequence, for tokens from index `from` on.
fn place(decoder: &Decoder, cache: &mut kernels::Sequence, from: usize, slots: &[Slot<'_>]) -> Result<(), ComputeError> {
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
    Ok(if from == cache.len() { cache.set_memories(&memories) } else { cache.set_next_memories(from, &memories) }?)
}
