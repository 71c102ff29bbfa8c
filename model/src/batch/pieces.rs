//! A step of a batch: one token of every sequence that decodes, and pieces of prompts.

use mempack_kernels::{Logits, Piece};

use super::sequence::Cache;
use super::{BESIDE, Batch, ROWS, Row, Sequence, Steps, Tokens};
use crate::ComputeError;
use crate::decoder::Decoder;

/// A row that kernels compute, with its tokens.
struct Part<'a, 'b> {
    row: &'a mut Row<'b>,
    tokens: Vec<u32>,
    logits: Logits,
}

impl Batch {
    /// Appends a token to each sequence that decodes, and a piece of their prompts to others, as far as one pass has room for them. What a sequence gets
    /// does not depend on the others, nor on how its prompt is cut: one that fails fails alone.
    ///
    /// The [outcome](Row::outcome) of a row is an error if its sequence has no room, holds no prompt yet or one already, if a token is unknown, or if
    /// libtorch fails.
    pub fn step(&mut self, rows: &mut [Row<'_>]) {
        let (mut tokens, mut prompts, mut prompted) = (Vec::new(), Vec::new(), false);
        for row in rows {
            row.outcome = row.sequence.check(&self.decoder, &row.tokens);
            if row.outcome.is_err() {
                continue;
            }
            match (&row.sequence.cache, row.tokens) {
                (Cache::Torch(_), tokens) => {
                    // One prompt a step, since each is a pass of its own.
                    let now = matches!(tokens, Tokens::Next(_)) || !std::mem::replace(&mut prompted, true);
                    row.outcome = if now { row.sequence.torch(&tokens) } else { Ok(()) };
                }
                (Cache::Kernels(_), Tokens::Next(token)) => tokens.push(Part { row, tokens: vec![token], logits: Logits::Last }),
                (Cache::Kernels(_), Tokens::Prompt(_)) => prompts.push(row),
            }
        }
        let Some(steps) = &mut self.steps else { return };
        let decoding = !tokens.is_empty();
        let mut passes: Vec<Vec<Part<'_, '_>>> = Vec::new();
        while !tokens.is_empty() {
            let rest = tokens.split_off(tokens.len().min(ROWS));
            passes.push(std::mem::replace(&mut tokens, rest));
        }
        let mut last = passes.pop_if(|pass| pass.len() < ROWS).unwrap_or_default();
        let mut room = if decoding { BESIDE.min(ROWS - last.len()) } else { ROWS };
        for row in prompts {
            let Tokens::Prompt(prompt) = row.tokens else { continue };
            if room == 0 {
                break;
            }
            match row.sequence.piece(&self.decoder, prompt, room) {
                Ok((tokens, ends)) => {
                    room -= tokens.len();
                    last.push(Part { row, tokens, logits: if ends { Logits::Last } else { Logits::None } });
                }
                Err(error) => row.outcome = Err(error),
            }
        }
        passes.push(last);
        for pass in &mut passes {
            steps.pass(&self.decoder, pass);
        }
    }
}

impl Steps {
    /// Computes parts of at most [`ROWS`] tokens in all.
    fn pass(&mut self, decoder: &Decoder, parts: &mut [Part<'_, '_>]) {
        let vocabulary = self.step.model().vocabulary();
        let wanted = parts.iter().filter(|part| part.logits == Logits::Last).count();
        self.logits.resize(self.logits.len().max(wanted * vocabulary), 0.0);
        let mut pieces = Vec::with_capacity(parts.len());
        for Part { row, tokens, logits } in parts.iter_mut() {
            if let Sequence { cache: Cache::Kernels(sequence), .. } = &mut *row.sequence {
                pieces.push(Piece { sequence, tokens, logits: *logits });
            }
        }
        let computed = self.step.run(&mut pieces, &mut self.logits[..wanted * vocabulary]);
        drop(pieces);
        let mut logits = self.logits.chunks(vocabulary);
        for Part { row, tokens, logits: wanted } in parts {
            match &computed {
                Ok(_) => row.sequence.computed(decoder, tokens, if *wanted == Logits::Last { logits.next() } else { None }),
                Err(error) => row.outcome = Err(ComputeError::from(error.clone())),
            }
        }
    }
}
