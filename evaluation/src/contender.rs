//! One way of answering, ready to answer: a mode with its number of references and of tokens kept.

use std::collections::HashMap;
use std::sync::Arc;

use mempack_format::Memory;
use mempack_model::{MemoryConfig, Model, PromptTokens, Slot, context_tokens, prompt_tokens};
use mempack_runtime::{Generator, Given, MappedPack, MemoryCache, Reading, Sampling};
use serde::Serialize;

use crate::library::Passage;
use crate::mode::{Basis, Mode};
use crate::{EvaluateError, Models};

/// What stands between texts that are given in one prompt.
const BETWEEN_TEXTS: &str = "\n\n";

/// The margin that no two unit vectors exceed.
pub(crate) const ALL: f32 = 2.0;

/// A number with three decimals, so that settings can be told apart and put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thousandths(u32);

impl Thousandths {
    /// The nearest one; a number below 0 is 0.
    pub fn of(value: f32) -> Self {
        Self((f64::from(value) * 1000.0).round() as u32)
    }

    /// The number.
    pub fn get(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl Serialize for Thousandths {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.get())
    }
}

/// A mode, how many references it is given, how many of their tokens are kept, and how its memories are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Setting {
    /// The mode.
    pub mode: Mode,
    /// References given, at most; modes with the gold reference have one, those without references none.
    pub k: usize,
    /// Tokens of a reference kept at each key-value head, where memories are written anew.
    pub tokens: u32,
    /// Weight of the retrieval similarity in the softmax over memories.
    pub similarity_bias: Thousandths,
    /// How far below the best hit's similarity a memory may be and still be read; 2 reads all.
    pub similarity_margin: Thousandths,
}

impl Setting {
    /// The mode with `k` references, everything else as the model has it.
    pub fn of(mode: Mode, k: usize, memory: &MemoryConfig) -> Self {
        Self {
            mode,
            k,
            tokens: memory.tokens_per_head,
            similarity_bias: Thousandths::of(memory.similarity_bias),
            similarity_margin: Thousandths::of(memory.similarity_margin.unwrap_or(ALL)),
        }
    }
}

/// A prompt, and what is read with it.
pub(crate) struct Prepared {
    pub prompt: PromptTokens,
    given: Option<Vec<Given>>,
}

impl Prepared {
    pub fn reading(&self) -> Reading<'_> {
        self.given.as_ref().map_or(Reading::Plain, |given| Reading::Memories(given))
    }

    /// Whether the prompt stands behind the reference prefix.
    pub fn has_prefix(&self) -> bool {
        self.given.is_some()
    }

    /// The memories read, as a reader takes them.
    pub fn slots(&self) -> Vec<Slot<'_>> {
        slots(self.given.as_deref().unwrap_or_default())
    }
}

/// Memories written from references, by the tokens kept and the reference.
#[derive(Default)]
pub(crate) struct Written(HashMap<(u32, u32), Arc<Memory>>);

/// A setting with the model that answers in it.
pub(crate) struct Contender {
    pub setting: Setting,
    pub generator: Generator,
}

impl Contender {
    /// Refuses a mode that needs a base which is not there, and options that the model cannot have.
    pub fn new(models: &Models<'_>, setting: Setting, max_tokens: usize) -> Result<Self, EvaluateError> {
        let model = if setting.mode.uses_base() {
            models.base.ok_or(EvaluateError::Mode { mode: setting.mode, reason: "the model is no adapter, so it has no base" })?
        } else {
            models.model
        };
        let own = model.memory();
        let memory = MemoryConfig {
            tokens_per_head: setting.tokens,
            memories_per_chunk: own.memories_per_chunk.max(u32::try_from(setting.k).unwrap_or(u32::MAX)),
            context_template: Some(context_template(own)),
            similarity_bias: setting.similarity_bias.get() as f32,
            similarity_margin: Some(setting.similarity_margin.get() as f32),
            ..own.clone()
        };
        let generator = Generator::new(&model.with_memory(memory)?, Sampling::Greedy, max_tokens)?;
        Ok(Self { setting, generator })
    }

    /// One for each mode, with `k` references and everything else as the model has it. They answer with a token at most: theirs is to
    /// say how likely given texts are.
    pub fn of_modes(models: &Models<'_>, modes: &[Mode], k: usize) -> Result<Vec<Self>, EvaluateError> {
        modes.iter().map(|&mode| Self::new(models, Setting::of(mode, k, models.model.memory()), 1)).collect()
    }

    pub fn model(&self) -> &Model {
        self.generator.model()
    }

    /// What stands behind question and text in its prompts.
    pub fn prompt_end(&self) -> &str {
        let memory = self.model().memory();
        let context = memory.context_template.as_deref().filter(|_| self.setting.mode.basis() == Basis::Text);
        let template = context.unwrap_or(&memory.prompt_template);
        let behind = |mark: &str| template.rsplit(mark).next().unwrap_or_default();
        let (question, text) = (behind("{question}"), behind("{text}"));
        if question.len() < text.len() { question } else { text }
    }

    /// The references that it is given of those retrieved and the gold one; `None` if it needs a gold one and there is none.
    pub fn choose<'p>(&self, retrieved: &'p [Passage], gold: Option<&'p Passage>) -> Option<Vec<&'p Passage>> {
        let mode = self.setting.mode;
        if mode.uses_gold() {
            return Some(vec![gold?]);
        }
        let mut k = if mode.uses_retrieval() { self.setting.k.min(retrieved.len()) } else { 0 };
        if mode.reads_memories() {
            k = self.model().memory().justified(retrieved[..k].iter().map(|passage| passage.similarity));
        }
        Some(retrieved[..k].iter().collect())
    }

    /// Writes the memories of those references that are not written yet with as many tokens kept, if this mode reads such.
    pub fn write(&self, passages: &[&Passage], written: &mut Written) -> Result<(), EvaluateError> {
        if self.setting.mode.basis() != Basis::Written {
            return Ok(());
        }
        let tokens = self.setting.tokens;
        let mut missing: Vec<&Passage> =
            passages.iter().copied().filter(|passage| !written.0.contains_key(&(tokens, passage.reference))).collect();
        missing.sort_unstable_by_key(|passage| passage.reference);
        missing.dedup_by_key(|passage| passage.reference);
        let ids: Vec<&[u32]> = missing.iter().map(|passage| passage.ids.as_slice()).collect();
        for (passage, memory) in missing.iter().zip(self.model().write(&ids)?) {
            written.0.insert((tokens, passage.reference), Arc::new(memory));
        }
        Ok(())
    }

    /// The prompt of a question with these references. Memories are taken from what was written, or decoded from the pack.
    pub fn prepare(
        &self,
        question: &str,
        passages: &[&Passage],
        written: &Written,
        packed: Option<(&MappedPack, &MemoryCache)>,
    ) -> Result<Prepared, EvaluateError> {
        let model = self.model();
        let mode = self.setting.mode;
        if mode.basis() == Basis::Text {
            let texts: Vec<&str> = passages.iter().map(|passage| passage.text.as_str()).collect();
            // The template is there since `new`.
            let prompt = context_tokens(model, &texts.join(BETWEEN_TEXTS), question)?;
            let prompt = prompt.map_or_else(|| prompt_tokens(model, question), Ok)?;
            return Ok(Prepared { prompt, given: None });
        }
        let prompt = prompt_tokens(model, question)?;
        if mode.uses_base() {
            return Ok(Prepared { prompt, given: None });
        }
        Ok(Prepared { prompt, given: Some(self.memories(passages, written, packed)?) })
    }

    /// The memories of some references, in their order.
    pub fn memories(
        &self,
        passages: &[&Passage],
        written: &Written,
        packed: Option<(&MappedPack, &MemoryCache)>,
    ) -> Result<Vec<Given>, EvaluateError> {
        let mut given = Vec::with_capacity(passages.len());
        for passage in passages {
            let memory = match (self.setting.mode.basis(), packed) {
                (Basis::Packed, Some((pack, cache))) => Some(cache.get(pack, passage.reference)?),
                _ => written.0.get(&(self.setting.tokens, passage.reference)).map(Arc::clone),
            };
            given.extend(memory.map(|memory| Given { reference: passage.reference, similarity: passage.similarity, memory }));
        }
        Ok(given)
    }
}

/// Memories as a reader takes them.
pub(crate) fn slots(given: &[Given]) -> Vec<Slot<'_>> {
    given.iter().map(|given| Slot { memory: &given.memory, similarity: given.similarity }).collect()
}

/// The model's template of a prompt with a text in it. A model without one is given the text in place of the question, the question
/// behind it.
pub(crate) fn context_template(memory: &MemoryConfig) -> String {
    let plain = || memory.prompt_template.replacen("{question}", "{text}\n\n{question}", 1);
    memory.context_template.clone().unwrap_or_else(plain)
}
