//! One answer while it is decoded.

use mempack_model::{MemoryConfig, Model, ModelConfig};
use mempack_retrieval::Transcript;

use super::answer::{Answer, ChunkReads, PreparedPrompt, Stop, TokenAttention};
use super::answerer::Answerer;
use super::chunk::{ChunkMemories, Scope};
use super::confidence::Measuring;
use super::error::AskError;
use super::feed::{Due, Feed};
use super::log_probability::TokenLogProbabilities;
use super::output::{OnPiece, Output, Streamed};
use super::prompting::Room;
use super::sampling::Sampler;
use super::text::AnswerText;

/// An answer that grows. It knows which token comes next, and not how logits are computed.
pub(crate) struct Decoding<'a> {
    model: &'a Model,
    transcript: Transcript,
    room: Room,
    sampler: Sampler,
    measuring: Measuring,
    output: Output<'a>,
    chunks: Vec<ChunkReads>,
    /// What tokens leaned on, if that is wanted.
    attention: Option<Vec<TokenAttention>>,
    /// How many alternatives come with the log-probability of a token, if that is wanted.
    top: Option<usize>,
    feed: Feed<'a>,
    reused: usize,
    /// The last token, which has to be computed for the next logits.
    last: u32,
}

/// How an answer goes on after logits.
pub(crate) enum Next {
    /// The last token has to be computed.
    Step,
    /// The answer is complete but for the end of its text.
    Ends(Stop),
}

impl<'a> Decoding<'a> {
    /// An answer to a prompt, of which `reused` tokens need not be computed.
    pub fn new(answerer: &'a Answerer, prompt: &PreparedPrompt, reused: usize, room: Room, on_piece: OnPiece<'a>, scope: Scope) -> Self {
        let (model, options) = (&answerer.prompter.model, &scope.checked.options);
        let (inside, before): (&[String], &[String]) = if room.full_length { (&[], &[]) } else { (&model.memory().stop, &options.stop) };
        let text = AnswerText::new(inside, before);
        let mut chunks: Vec<ChunkReads> = prompt.chunks.iter().enumerate().map(report).collect();
        if !prompt.texts.is_empty() {
            chunks.push(ChunkReads { chunk: 0, query: String::new(), reads: prompt.texts.clone() });
        }
        Self {
            transcript: prompt.tokens.transcript(model.memory().chunks()),
            room,
            sampler: Sampler::new(options.sampling),
            measuring: Measuring::new(&options.measures),
            output: Output::new(model.tokenizer(), if prompt.continues { text.continuing() } else { text }, on_piece),
            chunks,
            attention: options.attention.then(Vec::new),
            top: options.log_probabilities,
            feed: Feed::new(&answerer.prompter, answerer.prefetcher.as_ref(), scope),
            reused,
            last: 0,
            model,
        }
    }

    /// Chooses the next token by the logits after the last one, which gave memories these shares of attention.
    pub fn advance(&mut self, logits: &[f32], memory_shares: Option<&[f32]>) -> Result<Next, AskError> {
        let token = self.sampler.choose(logits).ok_or(AskError::Scores { token: self.transcript.answer().len() })?;
        self.measuring.add(logits, token, memory_shares);
        if !self.room.full_length && ends(self.model.memory(), self.model.config(), token) {
            return Ok(Next::Ends(Stop::Token(token)));
        }
        self.transcript.push(token);
        if let (Some(attention), Some(chunk)) = (&mut self.attention, self.chunks.len().checked_sub(1)) {
            attention.push(TokenAttention { chunk, shares: memory_shares.unwrap_or_default().to_vec() });
        }
        let measured = self.top.map(|top| TokenLogProbabilities::new(self.model.tokenizer(), logits, token, top));
        if let Some(stop) = self.output.push(token, measured)? {
            return Ok(Next::Ends(stop));
        }
        if self.transcript.answer().len() == self.room.tokens {
            return Ok(Next::Ends(if self.room.context_full { Stop::ContextFull } else { Stop::MaxTokens }));
        }
        self.last = token;
        Ok(Next::Step)
    }

    /// The last token, before whose computation the memories of its chunk are [due](Self::due).
    pub fn last(&self) -> u32 {
        self.last
    }

    /// The memories that the last token and those after it read, if it begins a chunk. Waits for them if `wait`, else may say that they come later.
    pub fn due(&mut self, wait: bool) -> Result<Due, AskError> {
        self.feed.due(wait)
    }

    /// Notes that these memories are read from the last token on.
    pub fn reads(&mut self, chunk: usize, memories: ChunkMemories) {
        self.chunks.push(report((chunk, &memories)));
    }

    /// Called when the memories of the last token are in place and before it is computed. Retrieval for the next token can start here.
    pub fn grown(&mut self) -> Result<(), AskError> {
        self.feed.grown(&self.transcript)
    }

    /// The answer.
    pub fn finish(self, stop: Stop) -> Result<Answer, AskError> {
        let Streamed { text, tokens: log_probabilities, stop } = self.output.finish(stop)?;
        let (tokens, prompt_tokens) = (self.transcript.answer().to_vec(), self.transcript.prompt().len());
        let (confidence, skipped) = (self.measuring.finish(), self.feed.skipped());
        let (reused_tokens, attention) = (self.reused, self.attention.unwrap_or_default());
        Ok(Answer {
            text,
            tokens,
            log_probabilities,
            confidence,
            prompt_tokens,
            reused_tokens,
            attention,
            chunks: self.chunks,
            stop,
            slow_path: false,
            skipped,
        })
    }
}

fn ends(memory: &MemoryConfig, config: &ModelConfig, token: u32) -> bool {
    memory.stop_ids.contains(&token) || config.eos.contains(&token)
}

fn report((chunk, memories): (usize, &ChunkMemories)) -> ChunkReads {
    ChunkReads { chunk, query: memories.query.clone(), reads: memories.reads.clone() }
}
