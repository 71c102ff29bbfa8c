//! One step of a decoder for a batch of sequences.

mod model;
mod part;
mod sequence;

use std::sync::{Arc, Mutex, PoisonError};

pub use model::{Layer, Linear, Model, Norm, Rotation};
pub use sequence::{CacheKind, Memory, Sequence, SequenceOptions};

use crate::attention::TOGETHER;
use crate::error::check;
use crate::product::{Input, Inputs};
use crate::shared::{Cells, Shared};
use crate::{Cpu, KernelError, Pool};
use part::Run;

/// Which logits a [`Piece`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// None: the head is not computed.
    None,
    /// Those of the piece's last token.
    Last,
    /// Those of every token.
    All,
}

/// Tokens that one step appends to a sequence: one while it decodes, several of a prompt.
pub struct Piece<'a> {
    /// The sequence.
    pub sequence: &'a mut Sequence,
    /// The tokens. Each attends to those before it and to the sequence's memories.
    pub tokens: &'a [u32],
    /// Which logits to compute.
    pub logits: Logits,
}

/// A decoder and the memory for its steps, which is allocated once.
pub struct Step {
    model: Arc<Model>,
    cpu: Cpu,
    inputs: Inputs,
    pool: Arc<Pool>,
    most: usize,
    rows: Vec<Row>,
    /// The rows whose logits are asked for.
    wanted: Vec<usize>,
    buffers: Buffers,
    /// What each thread has for itself.
    locals: Vec<Mutex<Local>>,
    /// Tokens for which there is memory for scores.
    scores: usize,
}

/// A token of the batch.
#[derive(Clone, Copy)]
struct Row {
    /// Number of its piece.
    piece: usize,
    token: u32,
    /// Its index in its sequence.
    index: usize,
    /// Whether it is the last of its piece.
    last: bool,
}

/// What threads share, for all rows.
struct Buffers {
    /// The residual stream, `[rows, hidden]`.
    x: Cells<f32>,
    /// What a part adds to it, where a norm comes between, `[rows, hidden]`.
    branch: Cells<f32>,
    /// Queries, keys and values, `[rows, (query_heads + 2 * heads) * head_dim]`.
    qkv: Cells<f32>,
    /// `[rows, query_heads * head_dim]`.
    attended: Cells<f32>,
    /// `[rows, 2 * intermediate]`.
    gate_up: Cells<f32>,
    /// `[rows, intermediate]`.
    inner: Cells<f32>,
}

/// What a thread has for itself.
struct Local {
    /// `[rows, hidden]`.
    normed: Vec<f32>,
    input: Input,
    /// `[TOGETHER, tokens]`.
    scores: Vec<f32>,
}

impl Step {
    /// A step of at most `rows` tokens, over all sequences. `inputs` matters for bf16 weights.
    ///
    /// # Errors
    /// A model whose sizes do not fit each other.
    pub fn new(model: Arc<Model>, cpu: Cpu, inputs: Inputs, pool: Arc<Pool>, rows: usize) -> Result<Self, KernelError> {
        model.check()?;
        let local =
            || Local { normed: vec![0.0; rows * model.hidden()], input: Input::new(rows, model.widest_input()), scores: Vec::new() };
        let buffers = Buffers {
            x: Cells::new(rows * model.hidden()),
            branch: Cells::new(rows * model.hidden()),
            qkv: Cells::new(rows * model.qkv_rows()),
            attended: Cells::new(rows * model.query_heads * model.head_dim),
            gate_up: Cells::new(rows * 2 * model.widest_inner()),
            inner: Cells::new(rows * model.widest_inner()),
        };
        let locals = (0..pool.threads()).map(|_| Mutex::new(local())).collect();
        let (most, rows, wanted) = (rows, Vec::with_capacity(rows), Vec::with_capacity(rows));
        Ok(Self { model, cpu, inputs, pool, most, rows, wanted, buffers, locals, scores: 0 })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Max tokens of a step.
    pub fn rows(&self) -> usize {
        self.most
    }

    /// An empty sequence of this model. Its cache is allocated here, and so is the memory that steps need for it.
    ///
    /// # Errors
    /// A capacity beyond the positions for which there are rotations.
    pub fn sequence(&mut self, options: SequenceOptions) -> Result<Sequence, KernelError> {
        let sequence = Sequence::new(Arc::clone(&self.model), options)?;
        self.reserve(sequence.widest());
        Ok(sequence)
    }

    /// Appends tokens to sequences, and writes the logits that are asked for, in the order of pieces and tokens, `[logits,
    /// vocabulary]`. Returns how many
    /// there are.
    ///
    /// The result of a token does not depend on the other sequences of the batch, nor on how the tokens of its own sequence are divided
    /// into pieces, to the bit; and it is the same for any number of threads.
    ///
    /// # Errors
    /// More tokens than [`rows`](Self::rows), a sequence of another model or without room, an unknown token, or `logits` of another
    /// length. Nothing is appended then.
    pub fn run(&mut self, pieces: &mut [Piece<'_>], logits: &mut [f32]) -> Result<usize, KernelError> {
        self.begin(pieces)?;
        check("logits of a step", self.wanted.len() * self.model.vocabulary(), logits.len())?;
        if !self.rows.is_empty() {
            let run = Run {
                model: &self.model,
                cpu: self.cpu,
                inputs: self.inputs,
                rows: &self.rows,
                wanted: &self.wanted,
                pieces,
                buffers: &self.buffers,
                logits: Shared::new(logits),
            };
            self.pool.run(&|worker| {
                // The lock of a thread is only ever taken by itself; a panic leaves nothing in it that matters.
                let mut local = self.locals[worker.index()].lock().unwrap_or_else(PoisonError::into_inner);
                run.all(worker, &mut local);
            });
        }
        for piece in pieces {
            piece.sequence.grow(piece.tokens.len());
        }
        Ok(self.wanted.len())
    }

    /// Checks pieces and lists their rows.
    fn begin(&mut self, pieces: &[Piece<'_>]) -> Result<(), KernelError> {
        let (most, vocabulary) = (self.most, self.model.vocabulary());
        self.rows.clear();
        self.wanted.clear();
        let tokens = pieces.iter().map(|piece| piece.tokens.len()).sum::<usize>();
        if tokens > most {
            return Err(KernelError::Size { what: "tokens of a step", expected: format!("at most {most}"), found: tokens });
        }
        for (number, Piece { sequence, tokens, logits }) in pieces.iter().enumerate() {
            if !Arc::ptr_eq(&sequence.model, &self.model) {
                return Err(KernelError::Size { what: "sequence of the batch", expected: "one of this model".to_owned(), found: number });
            }
            let (length, capacity, more) = (sequence.length, sequence.options.capacity, tokens.len());
            if capacity - length < more {
                return Err(KernelError::Full { sequence: number, length, capacity, more });
            }
            for (i, token) in tokens.iter().enumerate() {
                let (row, last) = (self.rows.len(), i + 1 == more);
                if *token as usize >= vocabulary {
                    return Err(KernelError::Token { row, token: *token, vocabulary });
                }
                self.rows.push(Row { piece: number, token: *token, index: length + i, last });
                if *logits == Logits::All || *logits == Logits::Last && last {
                    self.wanted.push(row);
                }
            }
            self.reserve(sequence.widest());
        }
        Ok(())
    }

    /// Makes sure that there is memory for the scores of a token that attends to `tokens` tokens.
    fn reserve(&mut self, tokens: usize) {
        if tokens > self.scores {
            self.scores = tokens;
            for local in &mut self.locals {
                local.get_mut().unwrap_or_else(PoisonError::into_inner).scores.resize(TOGETHER * tokens, 0.0);
            }
        }
    }
}
