//! Retrieves for each chunk of an answer while it is decoded.

use std::sync::Arc;

use mempack_retrieval::Transcript;

use super::chunk::{ChunkMemories, Scope};
use super::error::AskError;
use super::prefetch::{Pending, Prefetcher, Warming};
use super::prompting::Prompter;
use crate::Skipped;

/// Supplies memories to the chunks of one answer.
pub(crate) struct Feed<'a> {
    prompter: &'a Prompter,
    prefetcher: Option<&'a Prefetcher>,
    scope: Scope,
    coming: Option<Coming>,
    /// Memories that are being decoded in advance for the next chunk.
    warming: Option<Warming>,
}

/// The memories of a chunk, by its number, which are being retrieved for a query.
type Coming = (usize, Pending<String, ChunkMemories>);

/// What an answer reads from its last token on.
pub(crate) enum Due {
    /// What it read before.
    Nothing,
    /// The memories of this chunk.
    Memories(usize, ChunkMemories),
    /// Other memories, which are still being retrieved.
    Later,
}

impl<'a> Feed<'a> {
    pub fn new(prompter: &'a Prompter, prefetcher: Option<&'a Prefetcher>, scope: Scope) -> Self {
        Self { prompter, prefetcher, scope, coming: None, warming: None }
    }

    /// The memories of the chunk that begins at the last token. Waits for them if `wait`.
    pub fn due(&mut self, wait: bool) -> Result<Due, AskError> {
        let Some((chunk, mut coming)) = self.coming.take() else { return Ok(Due::Nothing) };
        if !wait && !coming.is_ready() {
            self.coming = Some((chunk, coming));
            return Ok(Due::Later);
        }
        let memories = coming.wait(|query| self.prompter.chunks.read(&self.scope, query.clone()))?;
        Ok(Due::Memories(chunk, memories))
    }

    /// Called after a token was added and before the model computes it. Retrieval for the next token can start here.
    pub fn grown(&mut self, text: &Transcript) -> Result<(), AskError> {
        if !self.scope.retrieves() {
            return Ok(());
        }
        // If the next token begins a chunk, its query is already known, and retrieval overlaps the computation of this token.
        self.coming = self.begin_chunk(text)?;
        if self.coming.is_some() {
            self.warming = None;
        }
        let waits = self.warming.is_none() && self.coming.is_none();
        let near = text.until_next_chunk() <= (text.chunks().interval() / 4).max(1);
        if let Some(prefetcher) = self.prefetcher.filter(|prefetcher| near && waits && prefetcher.can_warm()) {
            self.warming = Some(prefetcher.warm(self.scope.clone(), self.prompter.query(text, text.last_window())?));
        }
        Ok(())
    }

    /// Starts the retrieval for the next chunk, if the next token begins one.
    fn begin_chunk(&self, text: &Transcript) -> Result<Option<Coming>, AskError> {
        let Some(chunk) = text.chunk_begun() else { return Ok(None) };
        let query = self.prompter.query(text, text.last_window())?;
        let pending = match self.prefetcher {
            Some(prefetcher) => prefetcher.read(self.scope.clone(), query),
            None => Pending::later(query),
        };
        Ok(Some((chunk, pending)))
    }

    /// The damage skipped so far.
    pub fn skipped(&self) -> Arc<Skipped> {
        self.scope.skipped.clone().unwrap_or_default()
    }
}
