//! Reading: decoding with memories (arXiv 2407.01178, sections 3.1 and 3.2).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use tch::{Kind, Reduction, TchError, Tensor};

use crate::ComputeError;
use crate::attention::{Mask, attention, joined_heads, rows_of_heads};
use crate::context::ContextLayout;
use crate::decoder::Decoder;
use crate::head_spans::HeadSpan;
use crate::memory_attention::MemoryAttention;
use crate::rope::Rotation;
use crate::slots::{Slot, SlotTensors, stored};
use crate::write::copy_out;

/// The size and the layout of a [`Reader`]'s cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderOptions {
    /// Max tokens of context, BOS included.
    pub capacity: usize,
    /// Whether the context follows the reference prefix and the memories' interval of positions. Without a prefix the reader has no
    /// memory slots, positions start at 0, and it decodes as other programs decode the checkpoint.
    pub prefix: bool,
}

/// One sequence being decoded, with a key-value cache that is allocated once: `memory slots | prefix | context`.
///
/// [`prompt`](Self::prompt) fills an empty context, [`step`](Self::step) appends one token. Every `retrieval_interval` text tokens the
/// caller retrieves again and calls [`set_memories`](Self::set_memories).
pub struct Reader {
    decoder: Decoder,
    options: ReaderOptions,
    layout: ContextLayout,
    /// The cache of each layer, by runs of heads that keep the same number of tokens of a reference.
    cache: Vec<Vec<SpanCache>>,
    /// Rotations of the positions of prefix and context, in the cache's order, for each number that a layer's rotation may be.
    rotations: Vec<Rotation>,
    /// Added to the scores at memory layers, `[1, 1, 1, slots + prefix + capacity]` for each number of tokens that heads keep of a
    /// reference; -inf for empty slots.
    biases: BTreeMap<i64, Tensor>,
    /// Memories that a chunk may read.
    room: i64,
    /// Memories in use.
    used: i64,
    prefix: i64,
    /// Tokens of the context, BOS included.
    length: usize,
    /// Whether [`memory_shares`](Self::memory_shares) are computed.
    watched: bool,
    memory_shares: Option<Vec<f32>>,
}

/// Keys and values of some heads of a layer, `[1, heads, slots + prefix + capacity, head_dim]` each; keys are rotated.
struct SpanCache {
    span: HeadSpan,
    /// Columns for memory tokens. Those in use are the last ones, next to the prefix.
    slots: i64,
    keys: Tensor,
    values: Tensor,
}

/// The inputs of attention of some heads at one memory layer, for the tokens of a prompt.
pub(crate) struct AttentionInputs<'a> {
    /// Number of the layer among the memory layers.
    pub layer: usize,
    /// The heads.
    pub span: HeadSpan,
    /// Queries of the tokens after the prefix, `[1, query heads of these heads, tokens, head_dim]`, rotated.
    pub queries: Tensor,
    /// Keys, `[1, heads, memory tokens + prefix + tokens, head_dim]`, rotated.
    pub keys: &'a Tensor,
    /// Values, in the shape of the keys.
    pub values: &'a Tensor,
    /// The mask, `[1, 1, tokens, memory tokens + prefix + tokens]`, added to the scaled scores.
    pub bias: Tensor,
}

/// Masks of a prompt, by the number of tokens that heads keep of a reference and the window of their layer.
type PromptMasks = BTreeMap<(i64, Option<i64>), Tensor>;

/// Called with the attention inputs of all heads with memories, layer by layer.
type AttentionObserver<'a> = dyn FnMut(AttentionInputs<'_>) -> Result<(), TchError> + 'a;

impl Decoder {
    /// Bytes of the cache of a reader with these options.
    pub fn bytes_of_reader(&self, options: &ReaderOptions) -> usize {
        let (config, memory) = (&self.config, &self.memory);
        let prefix = if options.prefix { memory.reference_prefix_ids.len() } else { 0 };
        let own = prefix.saturating_add(options.capacity).saturating_mul(config.heads as usize).saturating_mul(config.layers as usize);
        self.bytes_of_vectors(own).saturating_add(if options.prefix { self.bytes_of_memories() } else { 0 })
    }

    /// Bytes of the memories that a chunk reads, in a cache.
    pub(crate) fn bytes_of_memories(&self) -> usize {
        self.bytes_of_vectors((self.memory.memories_per_chunk as usize).saturating_mul(self.shape().slots()))
    }

    /// Bytes of keys and values.
    fn bytes_of_vectors(&self, vectors: usize) -> usize {
        vectors.saturating_mul(2 * self.config.head_dim as usize * self.kind().elt_size_in_bytes())
    }

    /// A reader with an empty context.
    ///
    /// Its cache holds `2 * head_dim * (prefix + capacity)` numbers in the model's precision for each head of each layer, and
    /// `2 * head_dim` for each token slot of the memories that a chunk reads.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn reader(&self, options: &ReaderOptions) -> Result<Reader, ComputeError> {
        let s = self.sizes();
        let memory = &self.memory;
        let layout = if options.prefix { ContextLayout::with_memories(memory) } else { ContextLayout::plain(memory) };
        let prefix = layout.prefix() as i64;
        let room = if options.prefix { i64::from(memory.memories_per_chunk) } else { 0 };
        let own = i64::try_from(options.capacity).ok().filter(|c| *c < i64::from(u32::MAX)).unwrap_or(i64::from(u32::MAX)) + prefix;
        let rotations = self.rotations(layout.positions(own as u32))?;
        let zeros = |shape: &[i64]| Tensor::f_zeros(shape, (self.kind(), self.device));
        let of_span = |span: HeadSpan| {
            let slots = room * span.tokens;
            let keys = zeros(&[1, span.heads, slots + own, s.head_dim])?;
            Ok(SpanCache { span, slots, values: keys.f_zeros_like()?, keys })
        };
        let of_layer = |layer| self.spans(layer).into_iter().map(of_span).collect::<Result<Vec<_>, TchError>>();
        let cache = (0..self.layers.len()).map(of_layer).collect::<Result<Vec<_>, _>>()?;
        let mut biases = BTreeMap::new();
        for SpanCache { span, slots, .. } in cache.iter().flatten() {
            biases.insert(span.tokens, zeros(&[1, 1, 1, slots + own])?);
        }
        let (decoder, options) = (self.share(), *options);
        Ok(Reader {
            decoder,
            options,
            layout,
            cache,
            rotations,
            biases,
            room,
            used: 0,
            prefix,
            length: 0,
            watched: false,
            memory_shares: None,
        })
    }
}

impl Reader {
    /// Empties the context, so that the cache serves another sequence.
    pub fn clear(&mut self) {
        (self.length, self.used, self.watched, self.memory_shares) = (0, 0, false, None);
    }

    /// Puts the BOS and `text` into an empty context, in one pass.
    ///
    /// `chunks[c]` lists what chunk `c` of `text` reads: text token `t` is in chunk `t / retrieval_interval`, the BOS in chunk 0, and
    /// tokens past the last chunk given belong to that chunk. Tokens appended later read what the last token read, until
    /// [`set_memories`](Self::set_memories). Returns the logits `[1 + text.len(), vocabulary]` if `all`, else the last row of them.
    ///
    /// # Errors
    /// A context that is not empty or too small, ids outside the vocabulary, more memories than slots, memories of another shape, or a
    /// failure of libtorch.
    pub fn prompt(&mut self, text: &[u32], chunks: &[Vec<Slot<'_>>], all: bool) -> Result<Vec<f32>, ComputeError> {
        if !self.watched {
            return self.observed_prompt(text, chunks, all, None);
        }
        let (mut attention, last, own) = (MemoryAttention::default(), text.len() as i64, self.prefix + 1 + text.len() as i64);
        let mut observer = |seen: AttentionInputs<'_>| {
            let (q, bias) = (seen.queries.f_narrow(2, last, 1)?, seen.bias.f_narrow(2, last, 1)?);
            attention.add(&q, seen.keys, Mask::Bias(&bias), seen.keys.size4()?.2 - own, seen.span.tokens)
        };
        let logits = self.observed_prompt(text, chunks, all, Some(&mut observer))?;
        // The memories of all chunks lie side by side.
        let read = self.layout.list_of_position(text.len(), chunks.len()).unwrap_or_default();
        let before = chunks.iter().take(read).map(Vec::len).sum();
        let count = chunks.get(read).map_or(0, Vec::len);
        self.memory_shares = Some(attention.means()?.into_iter().skip(before).take(count).collect());
        Ok(logits)
    }

    /// Computes [`memory_shares`](Self::memory_shares) from the next token on. Each token then takes a little longer.
    pub fn watch_memories(&mut self) {
        self.watched = true;
    }

    /// The share of attention that the last token gave to each memory that it read, in their order, 0 to 1: the mean over the query heads of the
    /// memory layers whose key-value head keeps tokens of a reference. `None` unless [`watch_memories`](Self::watch_memories) was called before that
    /// token.
    pub fn memory_shares(&self) -> Option<&[f32]> {
        self.memory_shares.as_deref()
    }

    /// The sum of [`memory_shares`](Self::memory_shares): the share that all memories got.
    pub fn memory_share(&self) -> Option<f32> {
        Some(self.memory_shares()?.iter().sum::<f32>().clamp(0.0, 1.0))
    }

    /// As [`prompt`](Self::prompt); calls `observer` with the attention inputs of each layer that reads memories.
    pub(crate) fn observed_prompt(
        &mut self,
        text: &[u32],
        chunks: &[Vec<Slot<'_>>],
        all: bool,
        observer: Option<&mut AttentionObserver<'_>>,
    ) -> Result<Vec<f32>, ComputeError> {
        if self.length != 0 {
            return Err(ComputeError::Order { operation: "prompt", needs: "whose context is empty" });
        }
        let ids = self.ids(text)?;
        let loaded = chunks.iter().map(|chunk| self.load(chunk)).collect::<Result<Vec<_>, _>>()?;
        let _guard = tch::no_grad_guard();
        let logits = copy_out(&self.pass(&ids, &loaded, all, observer)?)?;
        if let Some(last) = self.layout.list_of_position(text.len(), loaded.len()).and_then(|list| loaded.get(list)) {
            self.place(last)?;
        }
        self.length = 1 + text.len();
        Ok(logits)
    }

    /// Gradients of the log-likelihood of some tokens with respect to the memories that are read while `text` is predicted: of keys before
    /// RoPE and of values, `[token slots of all memories, head_dim]` each, layer by layer, head by head, memory by memory. `choose` returns the tokens, `[text.len()]`, given the logits,
    /// `[text.len(), vocabulary]` in f32.
    pub(crate) fn gradients(
        &self,
        text: &[u32],
        slots: &[Slot<'_>],
        choose: impl Fn(&Tensor) -> Result<Tensor, TchError>,
    ) -> Result<(Tensor, Tensor), ComputeError> {
        let ids = self.ids(text)?;
        let (keys, values) = stored(&self.decoder, slots)?;
        let (keys, values) = (keys.f_set_requires_grad(true)?, values.f_set_requires_grad(true)?);
        let loaded = [SlotTensors::of_stored(&self.decoder, slots, &keys, &values)?];
        let logits = self.pass(&ids, &loaded, true, None)?.f_narrow(0, 0, text.len() as i64)?;
        let tokens = choose(&logits)?.f_view([-1])?;
        logits.f_cross_entropy_loss::<Tensor>(&tokens, None, Reduction::Sum, -100, 0.0)?.f_backward()?;
        Ok((keys.f_grad()?, values.f_grad()?))
    }

    /// The ids of prefix, BOS and `text`.
    fn ids(&self, text: &[u32]) -> Result<Vec<i64>, ComputeError> {
        self.check_room(1 + text.len())?;
        self.decoder.check_ids(text)?;
        let prefix = if self.options.prefix { self.decoder.memory.reference_prefix_ids.as_slice() } else { &[] };
        Ok(prefix.iter().chain([&self.decoder.config.bos]).chain(text).map(|id| i64::from(*id)).collect())
    }

    /// Replaces the memories that the following tokens read; at most `memories_per_chunk`.
    ///
    /// # Errors
    /// More memories than slots, memories of another shape or damaged ones, a reader without a prefix, or a failure of libtorch.
    pub fn set_memories(&mut self, slots: &[Slot<'_>]) -> Result<(), ComputeError> {
        let loaded = self.load(slots)?;
        Ok(self.place(&loaded)?)
    }

    /// Appends `token` to the context and returns the logits of the next token, `[vocabulary]`.
    ///
    /// # Errors
    /// A reader without a prompt, a full context, an id outside the vocabulary, or a failure of libtorch.
    pub fn step(&mut self, token: u32) -> Result<Vec<f32>, ComputeError> {
        if self.length == 0 {
            return Err(ComputeError::Order { operation: "step", needs: "that holds a prompt" });
        }
        self.check_room(self.length + 1)?;
        self.decoder.check_ids(&[token])?;
        let _guard = tch::no_grad_guard();
        let logits = self.one(token)?;
        self.length += 1;
        Ok(logits)
    }

    /// Tokens of the context, BOS included, prefix not.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no prompt yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Max tokens of the context, BOS included.
    pub fn capacity(&self) -> usize {
        self.options.capacity
    }

    /// Whether the context follows the reference prefix: see [`ReaderOptions::prefix`].
    pub fn has_prefix(&self) -> bool {
        self.options.prefix
    }

    fn check_room(&self, wanted: usize) -> Result<(), ComputeError> {
        let capacity = self.options.capacity;
        if wanted <= capacity { Ok(()) } else { Err(ComputeError::Capacity { capacity, wanted }) }
    }

    /// The memories of one chunk as tensors.
    pub(crate) fn load(&self, slots: &[Slot<'_>]) -> Result<SlotTensors, ComputeError> {
        if !self.options.prefix && !slots.is_empty() {
            return Err(ComputeError::NoSlots);
        }
        SlotTensors::new(&self.decoder, slots)
    }

    /// Copies memories into the slots next to the prefix.
    fn place(&mut self, loaded: &SlotTensors) -> Result<(), TchError> {
        for SpanCache { span, slots, keys, values } in self.cache.iter().flatten() {
            let count = loaded.memories * span.tokens;
            if count > 0 {
                for (cache, new) in [(keys, &loaded.keys), (values, &loaded.values)] {
                    cache.f_narrow(2, slots - count, count)?.f_copy_(&span.of_slots(new, loaded.memories)?)?;
                }
            }
        }
        for (tokens, bias) in &loaded.biases {
            let (slots, count) = (self.room * tokens, bias.len() as i64);
            if let Some(cached) = self.biases.get(tokens).filter(|_| count > 0) {
                cached.f_narrow(3, slots - count, count)?.f_copy_(&Tensor::f_from_slice(bias)?)?;
            }
        }
        self.used = loaded.memories;
        Ok(())
    }

    /// The rotations of `tokens` tokens of prefix and context from number `first` on.
    fn rotations(&self, first: i64, tokens: i64) -> Result<Vec<Rotation>, TchError> {
        self.rotations.iter().map(|rotation| rotation.narrow(first, tokens)).collect()
    }

    /// One pass over `ids`, which are prefix, BOS and text; fills the cache. Returns logits in f32.
    fn pass(
        &self,
        ids: &[i64],
        loaded: &[SlotTensors],
        all: bool,
        mut observer: Option<&mut AttentionObserver<'_>>,
    ) -> Result<Tensor, TchError> {
        let d = &self.decoder;
        let s = d.sizes();
        let t = ids.len() as i64;
        let rotations = self.rotations(0, t)?;
        let masks = self.prompt_masks(t, loaded)?;
        let memory_layers = d.memory_layers();
        let mut x = d.embed(ids)?;
        for (number, (layer, cache)) in d.layers.iter().zip(&self.cache).enumerate() {
            let (qk, v) = layer.qkv(&x)?;
            let rotated = rotations[layer.rotation].apply(&qk)?;
            let heads_first = |x: &Tensor, first: i64, heads: i64| x.f_narrow(1, first, heads)?.f_transpose(0, 1)?.f_unsqueeze(0);
            let q = heads_first(&rotated, 0, s.query_heads)?;
            let k = heads_first(&rotated, s.query_heads, s.heads)?;
            let v = heads_first(&v, 0, s.heads)?;
            let mut outputs = Vec::with_capacity(cache.len());
            for SpanCache { span, slots, keys, values } in cache {
                let q = span.of_query_heads(&q, s.group())?;
                let (mut k, mut v) = (span.of_heads(&k)?, span.of_heads(&v)?);
                keys.f_narrow(2, *slots, t)?.f_copy_(&k.f_detach()?)?;
                values.f_narrow(2, *slots, t)?.f_copy_(&v.f_detach()?)?;
                let memories = masks.get(&(span.tokens, layer.window));
                if let Some(mask) = memories {
                    let prepend = |own: Tensor, part: fn(&SlotTensors) -> &Tensor| {
                        let mut parts = loaded.iter().map(|l| span.of_slots(part(l), l.memories)).collect::<Result<Vec<_>, _>>()?;
                        parts.push(own);
                        Tensor::f_cat(&parts, 2)
                    };
                    k = prepend(k, |l| &l.keys)?;
                    v = prepend(v, |l| &l.values)?;
                    if let Some(observer) = observer.as_deref_mut() {
                        let layer = number - memory_layers.start;
                        let text = |x: &Tensor| x.f_narrow(2, self.prefix, t - self.prefix);
                        observer(AttentionInputs { layer, span: *span, queries: text(&q)?, keys: &k, values: &v, bias: text(mask)? })?;
                    }
                }
                outputs.push(attention(&q, &k, &v, Mask::or_causal(memories, layer.window))?);
            }
            x = layer.finish(&x, &rows_of_heads(outputs)?)?;
        }
        let from = if all { self.prefix } else { t - 1 };
        d.logits(&x.f_narrow(0, from, t - from)?)?.f_to_kind(Kind::Float)
    }

    /// The masks at memory layers of the first `tokens` tokens, prefix included, by the number of tokens that heads keep of a reference and
    /// the window of their layer: `[1, 1, tokens, memory tokens + tokens]`. None without memories.
    fn prompt_masks(&self, tokens: i64, loaded: &[SlotTensors]) -> Result<PromptMasks, TchError> {
        let mut masks = BTreeMap::new();
        if loaded.iter().all(|l| l.memories == 0) {
            return Ok(masks);
        }
        for (layer, cache) in self.decoder.layers.iter().zip(&self.cache) {
            for kept in cache.iter().map(|cache| cache.span.tokens).filter(|kept| *kept > 0) {
                if let Entry::Vacant(entry) = masks.entry((kept, layer.window)) {
                    entry.insert(self.prompt_mask(tokens, loaded, kept, layer.window)?);
                }
            }
        }
        Ok(masks)
    }

    fn prompt_mask(&self, tokens: i64, loaded: &[SlotTensors], kept: i64, window: Option<i64>) -> Result<Tensor, TchError> {
        let of_chunks: Vec<&[f32]> = loaded.iter().map(|l| l.biases.get(&kept).map_or(&[][..], Vec::as_slice)).collect();
        let memory_tokens = of_chunks.iter().map(|own| own.len()).sum();
        // The memories of all chunks lie side by side, and each chunk sees its own.
        let mut start = 0;
        let chunk_biases = of_chunks.iter().map(|own| {
            let mut bias = vec![f32::NEG_INFINITY; memory_tokens];
            bias[start..start + own.len()].copy_from_slice(own);
            start += own.len();
            bias
        });
        let chunk_biases: Vec<Vec<f32>> = chunk_biases.collect();
        let mut mask = Vec::new();
        self.layout.extend_mask(&mut mask, tokens as usize, memory_tokens, &chunk_biases, window);
        let mask = Tensor::f_from_slice(&mask)?.f_view([1, 1, tokens, -1])?;
        mask.f_to_kind(self.decoder.kind())?.f_to_device(self.decoder.device)
    }

    /// One pass over the next token; fills its column of the cache. Returns its logits.
    fn one(&mut self, token: u32) -> Result<Vec<f32>, TchError> {
        let d = &self.decoder;
        let s = d.sizes();
        let place = self.prefix + self.length as i64;
        let rotations = self.rotations(place, 1)?;
        let mut watched = self.watched.then(MemoryAttention::default);
        let mut x = d.embed(&[i64::from(token)])?;
        for (layer, cache) in d.layers.iter().zip(&self.cache) {
            let (qk, v) = layer.qkv(&x)?;
            let rotated = rotations[layer.rotation].apply(&qk)?;
            // Tokens of prefix and context that are before the window.
            let hidden = layer.window.map_or(0, |window| (place + 1 - window).max(0));
            // Query heads of a group are rows of one product with their key-value head.
            let q = rotated.f_narrow(1, 0, s.query_heads)?.f_view([1, s.heads, s.group(), s.head_dim])?;
            let here = |x: &Tensor, first: i64| x.f_narrow(1, first, s.heads)?.f_view([1, s.heads, 1, s.head_dim]);
            let (new_k, new_v) = (here(&rotated, s.query_heads)?, here(&v, 0)?);
            let mut outputs = Vec::with_capacity(cache.len());
            for SpanCache { span, slots, keys, values } in cache {
                keys.f_narrow(2, slots + place, 1)?.f_copy_(&span.of_heads(&new_k)?)?;
                values.f_narrow(2, slots + place, 1)?.f_copy_(&span.of_heads(&new_v)?)?;
                let used = self.used * span.tokens;
                let (start, own) = (slots - used, place + 1 - hidden);
                let bias = self.biases.get(&span.tokens).filter(|_| used > 0);
                // The bias of prefix and context is 0, so any columns of it will do.
                let bias = bias.map(|bias| bias.f_narrow(3, start, used + own)).transpose()?;
                let attended = |cache: &Tensor| match (used, hidden) {
                    (0, _) => cache.f_narrow(2, start + hidden, own),
                    (_, 0) => cache.f_narrow(2, start, used + own),
                    _ => Tensor::f_cat(&[cache.f_narrow(2, start, used)?, cache.f_narrow(2, slots + hidden, own)?], 2),
                };
                let (k, v) = (attended(keys)?, attended(values)?);
                let (q, mask) = (span.of_heads(&q)?, Mask::or_none(bias.as_ref()));
                if let Some(watched) = watched.as_mut().filter(|_| used > 0) {
                    watched.add(&q, &k, mask, used, span.tokens)?;
                }
                outputs.push(attention(&q, &k, &v, mask)?);
            }
            let out = joined_heads(outputs)?;
            x = layer.finish(&x, &out.f_reshape([1, s.query_heads * s.head_dim])?)?;
        }
        let logits = copy_out(&d.logits(&x)?.f_to_kind(Kind::Float)?)?;
        self.memory_shares = watched.map(|watched| watched.means()).transpose()?;
        Ok(logits)
    }
}
