//! What a step appends to a sequence.

use super::{Prompt, Sequence};
use crate::ComputeError;

/// A sequence and what a step appends to it.
pub struct Row<'a> {
    /// The sequence.
    pub sequence: &'a mut Sequence,
    /// The tokens.
    pub tokens: Tokens<'a>,
    /// Whether they were computed; set by [`Batch::step`](super::Batch::step).
    pub outcome: Result<(), ComputeError>,
}

/// Tokens for a sequence.
#[derive(Clone, Copy, Debug)]
pub enum Tokens<'a> {
    /// The token after those that it holds.
    Next(u32),
    /// The prompt that it was opened for, of which a step computes a piece.
    Prompt(&'a Prompt<'a>),
}

impl<'a> Row<'a> {
    /// A token for a sequence.
    pub fn new(sequence: &'a mut Sequence, token: u32) -> Self {
        Self { sequence, tokens: Tokens::Next(token), outcome: Ok(()) }
    }

    /// A prompt for a sequence, which is in it once [`Sequence::is_prompted`].
    pub fn prompt(sequence: &'a mut Sequence, prompt: &'a Prompt<'a>) -> Self {
        Self { sequence, tokens: Tokens::Prompt(prompt), outcome: Ok(()) }
    }
}
