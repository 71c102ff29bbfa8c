//! One answer while it is decoded.

use std::ops::ControlFlow;

use mempack_model::{MemoryConfig, Model, ModelConfig, TextStream};
use mempack_retrieval::Transcript;

use super::answer::{Answer, ChunkReads, PreparedPrompt, Stop};
use super::chunk::ChunkMemories;
use super::confidence::Measuring;
use super::error::AskError;
use super::feed::{Due, Feed};
use super::prompting::Room;
use super::sampling::Sampler;
use super::text::{AnswerText, Piece};

/// Receives the text of an answer piece by piece, and can stop the answer.
pub type OnText<'a> = Box<dyn FnMut(&str) -> ControlFlow<()> + 'a>;

/// An answer that grows. It knows which token comes next, and not how logits are computed.
pub(crate) struct Decoding<'a> {
    model: &'a Model,
    transcript: Transcript,
    room: Room,
    sampler: Sampler,
    measuring: Measuring,
    output: Output<'a>,
    chunks: Vec<ChunkReads>,
    feed: Feed<'a>,
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
    /// An answer to a prompt.
    pub fn new(
        model: &'a Model,
        prompt: PreparedPrompt,
        room: Room,
        sampler: Sampler,
        measuring: Measuring,
        on_text: OnText<'a>,
        feed: Feed<'a>,
    ) -> Self {
        let PreparedPrompt { tokens, chunks: memories, texts, .. } = prompt;
        let mut chunks: Vec<ChunkReads> = memories.into_iter().enumerate().map(report).collect();
        if !texts.is_empty() {
            chunks.push(ChunkReads { chunk: 0, query: String::new(), reads: texts });
        }
        let transcript = Transcript::new(tokens.ids, tokens.question, model.memory().chunks());
        let output = Output::new(model, if room.full_length { &[] } else { &model.memory().stop }, on_text);
        Self { transcript, room, sampler, measuring, output, chunks, feed, last: 0, model }
    }

    /// Chooses the next token by the logits after the last one, where memories had this share of attention.
    pub fn advance(&mut self, logits: &[f32], memory_share: Option<f32>) -> Result<Next, AskError> {
        let token = self.sampler.choose(logits).ok_or(AskError::Scores { token: self.transcript.answer().len() })?;
        self.measuring.add(logits, token, memory_share);
        if !self.room.full_length && ends(self.model.memory(), self.model.config(), token) {
            return Ok(Next::Ends(Stop::Token(token)));
        }
        self.transcript.push(token);
        if let Some(stop) = self.output.push(token)? {
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
        self.chunks.push(report((chunk, memories)));
    }

    /// Called when the memories of the last token are in place and before it is computed. Retrieval for the next token can start here.
    pub fn grown(&mut self) -> Result<(), AskError> {
        self.feed.grown(&self.transcript)
    }

    /// The answer.
    pub fn finish(self, stop: Stop) -> Result<Answer, AskError> {
        let (text, stop) = self.output.finish(stop)?;
        let (tokens, prompt_tokens) = (self.transcript.answer().to_vec(), self.transcript.prompt().len());
        let (confidence, skipped) = (self.measuring.finish(), self.feed.skipped());
        Ok(Answer { text, tokens, confidence, prompt_tokens, chunks: self.chunks, stop, skipped })
    }
}

fn ends(memory: &MemoryConfig, config: &ModelConfig, token: u32) -> bool {
    memory.stop_ids.contains(&token) || config.eos.contains(&token)
}

fn report((chunk, memories): (usize, ChunkMemories)) -> ChunkReads {
    ChunkReads { chunk, query: memories.query, reads: memories.reads }
}

/// Converts tokens to text and streams it.
struct Output<'a> {
    stream: TextStream,
    text: AnswerText,
    on_text: OnText<'a>,
}

impl<'a> Output<'a> {
    fn new(model: &Model, stop: &[String], on_text: OnText<'a>) -> Self {
        Self { stream: TextStream::new(model.tokenizer()), text: AnswerText::new(stop), on_text }
    }

    fn push(&mut self, token: u32) -> Result<Option<Stop>, AskError> {
        let new = self.stream.push(token)?;
        Ok(give(&mut self.text, &mut self.on_text, &new))
    }

    /// Streams the rest of the text. Returns the whole text and the final reason to stop.
    fn finish(mut self, stop: Stop) -> Result<(String, Stop), AskError> {
        if matches!(stop, Stop::Text(_) | Stop::Interrupted) {
            return Ok((self.text.into_text(), stop));
        }
        let rest = self.stream.finish()?;
        let stop = give(&mut self.text, &mut self.on_text, &rest).unwrap_or(stop);
        Ok((self.text.into_text(), stop))
    }
}

fn give(text: &mut AnswerText, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>, new: &str) -> Option<Stop> {
    let Piece { text, stop } = text.push(new);
    let interrupted = !text.is_empty() && on_text(&text).is_break();
    if interrupted { Some(Stop::Interrupted) } else { stop.map(Stop::Text) }
}
