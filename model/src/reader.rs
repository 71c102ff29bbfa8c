//! Reading: decoding with memories (arXiv 2407.01178, sections 3.1 and 3.2).

use mempack_format::Memory;
use tch::{Kind, Reduction, TchError, Tensor};

use crate::ComputeError;
use crate::attention::{Mask, attend, attention};
use crate::decoder::Decoder;
use crate::rope::Turn;
use crate::slots::{Loaded, stored};
use crate::write::copy_out;

/// What a [`Reader`] is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderOptions {
    /// Most tokens of context, the one that begins a text included.
    pub capacity: usize,
    /// Whether the context follows the reference prefix and the memories' interval of positions. Without, the reader has no
    /// memory slots, positions start at 0, and it decodes as the checkpoint does elsewhere.
    pub prefix: bool,
}

/// A memory to be read, and how similar to the query it was found.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// The memory.
    pub memory: &'a Memory,
    /// Its retrieval similarity; matters where the model's `similarity_bias` is not 0.
    pub similarity: f32,
}

/// One sequence being decoded, with a cache that is allocated once: `memory slots | prefix | context`.
///
/// [`prompt`](Self::prompt) begins it, [`step`](Self::step) goes on token by token; every `retrieval_interval` text tokens the
/// caller retrieves again and calls [`set_memories`](Self::set_memories).
pub struct Reader {
    decoder: Decoder,
    options: ReaderOptions,
    /// `[layers, heads, slots + prefix + capacity, head_dim]`; keys are rotated.
    keys: Tensor,
    values: Tensor,
    /// Keys and values of each layer, `[1, heads, slots + prefix + capacity, head_dim]`: views of the above.
    cache: Vec<(Tensor, Tensor)>,
    /// Turns of the positions of prefix and context, in the cache's order.
    turn: Turn,
    /// `[1, 1, 1, slots + prefix + capacity]`: added to the scores at memory layers, -inf for empty slots.
    bias: Tensor,
    /// Slots of the cache for memory tokens; those in use are the last, next to the prefix.
    slots: i64,
    used: i64,
    prefix: i64,
    length: usize,
}

/// What the attention of a memory layer takes in at the tokens of a prompt.
pub(crate) struct Attended<'a> {
    /// Number among the memory layers.
    pub layer: usize,
    /// `[1, query_heads, tokens, head_dim]`, rotated, of the tokens after the prefix.
    pub queries: Tensor,
    /// `[1, heads, memory tokens + prefix + tokens, head_dim]`, rotated.
    pub keys: &'a Tensor,
    /// As the keys.
    pub values: &'a Tensor,
    /// `[1, 1, tokens, memory tokens + prefix + tokens]`, added to the scaled scores.
    pub bias: Tensor,
}

/// Sees what memory layers attend to.
type Watch<'a> = dyn FnMut(Attended<'_>) -> Result<(), TchError> + 'a;

impl Decoder {
    /// A reader with an empty context.
    ///
    /// Its cache takes `2 * layers * heads * head_dim * (memory slots + prefix + capacity)` numbers of the model's precision.
    pub fn reader(&self, options: &ReaderOptions) -> Result<Reader, ComputeError> {
        let s = self.sizes();
        let memory = &self.memory;
        let prefix = if options.prefix { memory.reference_prefix_ids.len() as i64 } else { 0 };
        let slots = if options.prefix { i64::from(memory.memories_per_chunk) * i64::from(memory.tokens_per_head) } else { 0 };
        let own = i64::try_from(options.capacity).ok().filter(|c| *c < i64::from(u32::MAX)).unwrap_or(i64::from(u32::MAX)) + prefix;
        // Context positions follow the interval that the memories share.
        let gap = if options.prefix { memory.reference_length } else { 0 };
        let positions = (0..own as u32).map(|i| if i64::from(i) < prefix { i } else { i + gap });
        let turn = self.rope.turn(positions, self.kind(), self.device)?;
        let shape = [self.layers.len() as i64, s.heads, slots + own, s.head_dim];
        let keys = Tensor::f_zeros(shape, (self.kind(), self.device))?;
        let values = keys.f_zeros_like()?;
        let cache = (0..shape[0]).map(|l| Ok((keys.f_narrow(0, l, 1)?, values.f_narrow(0, l, 1)?))).collect::<Result<_, TchError>>()?;
        let bias = Tensor::f_zeros([1, 1, 1, slots + own], (self.kind(), self.device))?;
        Ok(Reader { decoder: self.share(), options: *options, keys, values, cache, turn, bias, slots, used: 0, prefix, length: 0 })
    }
}

impl Reader {
    /// Puts the token that begins a text and `text` into an empty context, in one pass.
    ///
    /// `chunks[c]` lists what chunk `c` of `text` reads (text token `t` is in chunk `t / retrieval_interval`, the first token in
    /// chunk 0, tokens past the last chunk given in that one). What follows reads what the last token read, until
    /// [`set_memories`](Self::set_memories). The logits are `[1 + text.len(), vocabulary]` if `all`, else the last row.
    ///
    /// # Errors
    /// A context that is not empty, one too small, ids outside the vocabulary, more memories than slots, memories of another
    /// shape, or a failure of libtorch.
    pub fn prompt(&mut self, text: &[u32], chunks: &[Vec<Slot<'_>>], all: bool) -> Result<Vec<f32>, ComputeError> {
        self.watched_prompt(text, chunks, all, None)
    }

    /// [`prompt`](Self::prompt), and `watch` sees what each layer that reads memories attends to.
    pub(crate) fn watched_prompt(
        &mut self,
        text: &[u32],
        chunks: &[Vec<Slot<'_>>],
        all: bool,
        watch: Option<&mut Watch<'_>>,
    ) -> Result<Vec<f32>, ComputeError> {
        if self.length != 0 {
            return Err(ComputeError::Order { operation: "prompt", needs: "whose context is empty" });
        }
        let ids = self.ids(text)?;
        let loaded = chunks.iter().map(|chunk| self.load(chunk)).collect::<Result<Vec<_>, _>>()?;
        let _guard = tch::no_grad_guard();
        let logits = copy_out(&self.pass(&ids, &loaded, all, watch)?)?;
        if let Some(last) = loaded.get(self.chunk_of(text.len(), loaded.len())) {
            self.place(last)?;
        }
        self.length = 1 + text.len();
        Ok(logits)
    }

    /// Gradients of the log-likelihood of tokens, with respect to the keys before RoPE and the values of the memories read while `text` is
    /// predicted: `[memory layers, heads, tokens, head_dim]`. `choose` names the tokens, `[text.len()]`, given logits in f32,
    /// `[text.len(), vocabulary]`.
    pub(crate) fn gradients(
        &self,
        text: &[u32],
        slots: &[Slot<'_>],
        choose: impl Fn(&Tensor) -> Result<Tensor, TchError>,
    ) -> Result<(Tensor, Tensor), ComputeError> {
        let ids = self.ids(text)?;
        let (keys, values) = stored(&self.decoder, slots)?;
        let (keys, values) = (keys.f_set_requires_grad(true)?, values.f_set_requires_grad(true)?);
        let loaded = [Loaded::of(&self.decoder, slots, &keys, &values)?];
        let logits = self.pass(&ids, &loaded, true, None)?.f_narrow(0, 0, text.len() as i64)?;
        let tokens = choose(&logits)?.f_view([-1])?;
        logits.f_cross_entropy_loss::<Tensor>(&tokens, None, Reduction::Sum, -100, 0.0)?.f_backward()?;
        Ok((keys.f_grad()?, values.f_grad()?))
    }

    /// The ids of prefix, the token that begins a text, and `text`.
    fn ids(&self, text: &[u32]) -> Result<Vec<i64>, ComputeError> {
        self.check_room(1 + text.len())?;
        self.decoder.check_ids(text)?;
        let prefix = if self.options.prefix { self.decoder.memory.reference_prefix_ids.as_slice() } else { &[] };
        Ok(prefix.iter().chain([&self.decoder.config.bos]).chain(text).map(|id| i64::from(*id)).collect())
    }

    /// Exchanges the memories that the following tokens read; at most `memories_per_chunk`.
    ///
    /// # Errors
    /// More memories than slots, memories of another shape or damaged ones, a reader without a prefix, or a failure of libtorch.
    pub fn set_memories(&mut self, slots: &[Slot<'_>]) -> Result<(), ComputeError> {
        let loaded = self.load(slots)?;
        Ok(self.place(&loaded)?)
    }

    /// Appends `token` to the context and gives the logits `[vocabulary]` of the next.
    ///
    /// # Errors
    /// A reader without a prompt, a context that is full, an id outside the vocabulary, or a failure of libtorch.
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

    /// Tokens of the context, the one that begins the text included and the prefix not.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no prompt yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Most tokens of the context.
    pub fn capacity(&self) -> usize {
        self.options.capacity
    }

    fn check_room(&self, wanted: usize) -> Result<(), ComputeError> {
        let capacity = self.options.capacity;
        if wanted <= capacity { Ok(()) } else { Err(ComputeError::Capacity { capacity, wanted }) }
    }

    /// The chunk of the context token `place` (0 is the one that begins the text), of `chunks` given.
    fn chunk_of(&self, place: usize, chunks: usize) -> usize {
        (place.saturating_sub(1) / self.decoder.memory.retrieval_interval as usize).min(chunks.saturating_sub(1))
    }

    pub(crate) fn load(&self, slots: &[Slot<'_>]) -> Result<Loaded, ComputeError> {
        if !self.options.prefix && !slots.is_empty() {
            return Err(ComputeError::NoSlots);
        }
        Loaded::new(&self.decoder, slots)
    }

    /// Copies memories into the slots next to the prefix.
    fn place(&mut self, loaded: &Loaded) -> Result<(), TchError> {
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

    /// One pass over prefix and prompt, whose `ids` end with the text; fills the cache.
    fn pass(&self, ids: &[i64], loaded: &[Loaded], all: bool, mut watch: Option<&mut Watch<'_>>) -> Result<Tensor, TchError> {
        let d = &self.decoder;
        let s = d.sizes();
        let t = ids.len() as i64;
        let turn = self.turn.narrow(0, t)?;
        let mask = self.prompt_mask(t, loaded)?;
        let memory_layers = d.memory_layers();
        let mut x = d.embed(ids)?;
        for (number, (layer, (keys, values))) in d.layers.iter().zip(&self.cache).enumerate() {
            let (qk, v) = layer.qkv(&x)?;
            let turned = turn.apply(&qk)?;
            let heads_first = |x: &Tensor, first: i64, heads: i64| x.f_narrow(1, first, heads)?.f_transpose(0, 1)?.f_unsqueeze(0);
            let q = heads_first(&turned, 0, s.query_heads)?;
            let mut k = heads_first(&turned, s.query_heads, s.heads)?;
            let mut v = heads_first(&v, 0, s.heads)?;
            keys.f_narrow(2, self.slots, t)?.f_copy_(&k.f_detach()?)?;
            values.f_narrow(2, self.slots, t)?.f_copy_(&v.f_detach()?)?;
            let memories = mask.as_ref().filter(|_| memory_layers.contains(&number));
            if let Some(mask) = memories {
                let layer = number - memory_layers.start;
                let of_layer = |x: &Tensor| x.f_narrow(0, layer as i64, 1);
                let with = |own: Tensor, part: fn(&Loaded) -> &Tensor| {
                    let mut parts = loaded.iter().map(|l| of_layer(part(l))).collect::<Result<Vec<_>, _>>()?;
                    parts.push(own);
                    Tensor::f_cat(&parts, 2)
                };
                k = with(k, |l| &l.keys)?;
                v = with(v, |l| &l.values)?;
                if let Some(watch) = watch.as_deref_mut() {
                    let text = |x: &Tensor| x.f_narrow(2, self.prefix, t - self.prefix);
                    watch(Attended { layer, queries: text(&q)?, keys: &k, values: &v, bias: text(mask)? })?;
                }
            }
            x = layer.finish(&x, &attend(&q, &k, &v, Mask::or_causal(memories))?)?;
        }
        let from = if all { self.prefix } else { t - 1 };
        d.logits(&x.f_narrow(0, from, t - from)?)?.f_to_kind(Kind::Float)
    }

    /// What is added to the scores of a prompt of `t` tokens, prefix included, at memory layers: `[t, memory tokens + t]`.
    ///
    /// A token attends to its own chunk's memories, each with its bias, and to what is before it. `None` without memories.
    fn prompt_mask(&self, t: i64, loaded: &[Loaded]) -> Result<Option<Tensor>, TchError> {
        let memory_tokens: i64 = loaded.iter().map(|l| l.tokens).sum();
        if memory_tokens == 0 {
            return Ok(None);
        }
        let (t, prefix) = (t as usize, self.prefix as usize);
        let mut mask = Vec::with_capacity(t * (memory_tokens as usize + t));
        for row in 0..t {
            let own = (row >= prefix).then(|| self.chunk_of(row - prefix, loaded.len()));
            for (chunk, memories) in loaded.iter().enumerate() {
                if own == Some(chunk) {
                    mask.extend_from_slice(&memories.bias);
                } else {
                    mask.resize(mask.len() + memories.bias.len(), f32::NEG_INFINITY);
                }
            }
            mask.resize(mask.len() + row + 1, 0.0);
            mask.resize(mask.len() + t - row - 1, f32::NEG_INFINITY);
        }
        let mask = Tensor::f_from_slice(&mask)?.f_view([1, 1, t as i64, -1])?;
        Ok(Some(mask.f_to_kind(self.decoder.kind())?.f_to_device(self.decoder.device)?))
    }

    fn one(&mut self, token: u32) -> Result<Vec<f32>, TchError> {
        let d = &self.decoder;
        let s = d.sizes();
        let place = self.prefix + self.length as i64;
        let turn = self.turn.narrow(place, 1)?;
        // Query heads of a group are rows of one product with their key-value head.
        let grouped = [1, s.heads, s.group(), s.head_dim];
        let to_here = self.slots + place + 1;
        let bias = self.bias.f_narrow(3, self.slots - self.used, self.used + place + 1)?;
        let memory_layers = d.memory_layers();
        let mut x = d.embed(&[i64::from(token)])?;
        for (number, (layer, (keys, values))) in d.layers.iter().zip(&self.cache).enumerate() {
            let (qk, v) = layer.qkv(&x)?;
            let turned = turn.apply(&qk)?;
            let here = |x: &Tensor, first: i64| x.f_narrow(1, first, s.heads)?.f_view([1, s.heads, 1, s.head_dim]);
            keys.f_narrow(2, to_here - 1, 1)?.f_copy_(&here(&turned, s.query_heads)?)?;
            values.f_narrow(2, to_here - 1, 1)?.f_copy_(&here(&v, 0)?)?;
            let q = turned.f_narrow(1, 0, s.query_heads)?.f_view(grouped)?;
            let memories = (self.used > 0 && memory_layers.contains(&number)).then_some(&bias);
            let start = if memories.is_some() { self.slots - self.used } else { self.slots };
            let (k, v) = (keys.f_narrow(2, start, to_here - start)?, values.f_narrow(2, start, to_here - start)?);
            let out = attention(&q, &k, &v, Mask::or_none(memories))?;
            x = layer.finish(&x, &out.f_reshape([1, s.query_heads * s.head_dim])?)?;
        }
        copy_out(&d.logits(&x)?.f_to_kind(Kind::Float)?)
    }
}
