//! Reading: decoding with memories (arXiv 2407.01178, sections 3.1 and 3.2).

use tch::{Kind, Reduction, TchError, Tensor};

use crate::ComputeError;
use crate::attention::{Mask, attend, attention};
use crate::context::ContextLayout;
use crate::decoder::Decoder;
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
    /// `[layers, heads, slots + prefix + capacity, head_dim]`; keys are rotated.
    keys: Tensor,
    values: Tensor,
    /// Keys and values of each layer, `[1, heads, slots + prefix + capacity, head_dim]`: views of the above.
    cache: Vec<(Tensor, Tensor)>,
    /// Rotations of the positions of prefix and context, in the cache's order.
    rotation: Rotation,
    /// Added to the scores at memory layers, `[1, 1, 1, slots + prefix + capacity]`; -inf for empty slots.
    bias: Tensor,
    /// Columns of the cache for memory tokens. Those in use are the last ones, next to the prefix.
    slots: i64,
    /// Columns in use.
    used: i64,
    prefix: i64,
    /// Tokens of the context, BOS included.
    length: usize,
}

/// The inputs of attention at one memory layer, for the tokens of a prompt.
pub(crate) struct AttentionInputs<'a> {
    /// Number of the layer among the memory layers.
    pub layer: usize,
    /// Queries of the tokens after the prefix, `[1, query_heads, tokens, head_dim]`, rotated.
    pub queries: Tensor,
    /// Keys, `[1, heads, memory tokens + prefix + tokens, head_dim]`, rotated.
    pub keys: &'a Tensor,
    /// Values, in the shape of the keys.
    pub values: &'a Tensor,
    /// The mask, `[1, 1, tokens, memory tokens + prefix + tokens]`, added to the scaled scores.
    pub bias: Tensor,
}

/// Called with the attention inputs of each memory layer.
type AttentionObserver<'a> = dyn FnMut(AttentionInputs<'_>) -> Result<(), TchError> + 'a;

impl Decoder {
    /// A reader with an empty context.
    ///
    /// Its cache holds `2 * layers * heads * head_dim * (memory slots + prefix + capacity)` numbers in the model's precision.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn reader(&self, options: &ReaderOptions) -> Result<Reader, ComputeError> {
        let s = self.sizes();
        let memory = &self.memory;
        let layout = if options.prefix { ContextLayout::with_memories(memory) } else { ContextLayout::plain(memory) };
        let prefix = layout.prefix() as i64;
        let slots = if options.prefix { i64::from(memory.memories_per_chunk) * i64::from(memory.tokens_per_head) } else { 0 };
        let own = i64::try_from(options.capacity).ok().filter(|c| *c < i64::from(u32::MAX)).unwrap_or(i64::from(u32::MAX)) + prefix;
        let rotation = self.rope.rotation(layout.positions(own as u32), self.kind(), self.device)?;
        let shape = [self.layers.len() as i64, s.heads, slots + own, s.head_dim];
        let keys = Tensor::f_zeros(shape, (self.kind(), self.device))?;
        let values = keys.f_zeros_like()?;
        let cache = (0..shape[0]).map(|l| Ok((keys.f_narrow(0, l, 1)?, values.f_narrow(0, l, 1)?))).collect::<Result<_, TchError>>()?;
        let bias = Tensor::f_zeros([1, 1, 1, slots + own], (self.kind(), self.device))?;
        let (decoder, options) = (self.share(), *options);
        Ok(Reader { decoder, options, layout, keys, values, cache, rotation, bias, slots, used: 0, prefix, length: 0 })
    }
}

impl Reader {
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
        self.observed_prompt(text, chunks, all, None)
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
    /// RoPE and of values, `[memory layers, heads, tokens, head_dim]` each. `choose` returns the tokens, `[text.len()]`, given the logits,
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
        let layers = self.decoder.memory_layers();
        let count = loaded.tokens;
        let (first, many, start) = (layers.start as i64, layers.len() as i64, self.slots - count);
        if count > 0 {
            for (cache, new) in [(&self.keys, &loaded.keys), (&self.values, &loaded.values)] {
                cache.f_narrow(0, first, many)?.f_narrow(2, start, count)?.f_copy_(new)?;
            }
            self.bias.f_narrow(3, start, count)?.f_copy_(&Tensor::f_from_slice(&loaded.bias)?)?;
        }
        self.used = count;
        Ok(())
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
        let rotation = self.rotation.narrow(0, t)?;
        let mask = self.prompt_mask(t, loaded)?;
        let memory_layers = d.memory_layers();
        let mut x = d.embed(ids)?;
        for (number, (layer, (keys, values))) in d.layers.iter().zip(&self.cache).enumerate() {
            let (qk, v) = layer.qkv(&x)?;
            let rotated = rotation.apply(&qk)?;
            let heads_first = |x: &Tensor, first: i64, heads: i64| x.f_narrow(1, first, heads)?.f_transpose(0, 1)?.f_unsqueeze(0);
            let q = heads_first(&rotated, 0, s.query_heads)?;
            let mut k = heads_first(&rotated, s.query_heads, s.heads)?;
            let mut v = heads_first(&v, 0, s.heads)?;
            keys.f_narrow(2, self.slots, t)?.f_copy_(&k.f_detach()?)?;
            values.f_narrow(2, self.slots, t)?.f_copy_(&v.f_detach()?)?;
            let memories = mask.as_ref().filter(|_| memory_layers.contains(&number));
            if let Some(mask) = memories {
                let layer = number - memory_layers.start;
                let of_layer = |x: &Tensor| x.f_narrow(0, layer as i64, 1);
                let prepend = |own: Tensor, part: fn(&SlotTensors) -> &Tensor| {
                    let mut parts = loaded.iter().map(|l| of_layer(part(l))).collect::<Result<Vec<_>, _>>()?;
                    parts.push(own);
                    Tensor::f_cat(&parts, 2)
                };
                k = prepend(k, |l| &l.keys)?;
                v = prepend(v, |l| &l.values)?;
                if let Some(observer) = observer.as_deref_mut() {
                    let text = |x: &Tensor| x.f_narrow(2, self.prefix, t - self.prefix);
                    observer(AttentionInputs { layer, queries: text(&q)?, keys: &k, values: &v, bias: text(mask)? })?;
                }
            }
            x = layer.finish(&x, &attend(&q, &k, &v, Mask::or_causal(memories))?)?;
        }
        let from = if all { self.prefix } else { t - 1 };
        d.logits(&x.f_narrow(0, from, t - from)?)?.f_to_kind(Kind::Float)
    }

    /// The mask at memory layers of the first `tokens` tokens, prefix included: `[1, 1, tokens, memory tokens + tokens]`. `None` without
    /// memories.
    fn prompt_mask(&self, tokens: i64, loaded: &[SlotTensors]) -> Result<Option<Tensor>, TchError> {
        let memory_tokens = loaded.iter().map(|l| l.bias.len()).sum();
        if memory_tokens == 0 {
            return Ok(None);
        }
        // The memories of all chunks lie side by side, and each chunk sees its own.
        let mut start = 0;
        let chunk_biases = loaded.iter().map(|own| {
            let mut bias = vec![f32::NEG_INFINITY; memory_tokens];
            bias[start..start + own.bias.len()].copy_from_slice(&own.bias);
            start += own.bias.len();
            bias
        });
        let chunk_biases: Vec<Vec<f32>> = chunk_biases.collect();
        let mut mask = Vec::new();
        self.layout.extend_mask(&mut mask, tokens as usize, memory_tokens, &chunk_biases);
        let mask = Tensor::f_from_slice(&mask)?.f_view([1, 1, tokens, -1])?;
        Ok(Some(mask.f_to_kind(self.decoder.kind())?.f_to_device(self.decoder.device)?))
    }

    /// One pass over the next token; fills its column of the cache. Returns its logits.
    fn one(&mut self, token: u32) -> Result<Vec<f32>, TchError> {
        let d = &self.decoder;
        let s = d.sizes();
        let place = self.prefix + self.length as i64;
        let rotation = self.rotation.narrow(place, 1)?;
        // Query heads of a group are rows of one product with their key-value head.
        let grouped = [1, s.heads, s.group(), s.head_dim];
        let to_here = self.slots + place + 1;
        let bias = self.bias.f_narrow(3, self.slots - self.used, self.used + place + 1)?;
        let memory_layers = d.memory_layers();
        let mut x = d.embed(&[i64::from(token)])?;
        for (number, (layer, (keys, values))) in d.layers.iter().zip(&self.cache).enumerate() {
            let (qk, v) = layer.qkv(&x)?;
            let rotated = rotation.apply(&qk)?;
            let here = |x: &Tensor, first: i64| x.f_narrow(1, first, s.heads)?.f_view([1, s.heads, 1, s.head_dim]);
            keys.f_narrow(2, to_here - 1, 1)?.f_copy_(&here(&rotated, s.query_heads)?)?;
            values.f_narrow(2, to_here - 1, 1)?.f_copy_(&here(&v, 0)?)?;
            let q = rotated.f_narrow(1, 0, s.query_heads)?.f_view(grouped)?;
            let memories = (self.used > 0 && memory_layers.contains(&number)).then_some(&bias);
            let start = if memories.is_some() { self.slots - self.used } else { self.slots };
            let (k, v) = (keys.f_narrow(2, start, to_here - start)?, values.f_narrow(2, start, to_here - start)?);
            let out = attention(&q, &k, &v, Mask::or_none(memories))?;
            x = layer.finish(&x, &out.f_reshape([1, s.query_heads * s.head_dim])?)?;
        }
        copy_out(&d.logits(&x)?.f_to_kind(Kind::Float)?)
    }
}
