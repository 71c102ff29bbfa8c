//! An explicit memory in decoded form, and its shape.

use std::ops::Range;
use std::sync::Arc;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};

/// The size of a memory: how many vectors of how many dimensions, and how many of them each key-value head keeps.
///
/// All heads keep [`tokens`](Self::tokens), or each the number that a *head budget* gives it ([`with_budget`](Self::with_budget)). Memories
/// list their tokens layer by layer and head by head; a head without tokens has no slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryShape {
    /// Memory layers of the model.
    pub layers: u32,
    /// Key-value heads of a layer.
    pub heads: u32,
    /// Token slots of a head; with a budget, of the head that has most.
    pub tokens: u32,
    /// Dimensions of a key or a value.
    pub head_dim: u32,
    /// Where the slots of each head begin, and where the last one's end, `[layers * heads + 1]`; `None` if all heads have `tokens`.
    starts: Option<Arc<[usize]>>,
}

/// A head budget that does not fit a shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// The table has another number of entries.
    #[error("a head budget has {expected} numbers, {layers} memory layers of {heads} key-value heads; this one has {found}")]
    Size {
        /// Memory layers.
        layers: u32,
        /// Key-value heads of a layer.
        heads: u32,
        /// `layers * heads`.
        expected: u64,
        /// Numbers in the table.
        found: u64,
    },
    /// No head keeps a token.
    #[error("the head budget keeps no token at any head; at least one head keeps one")]
    Empty,
}

impl MemoryShape {
    /// A shape in which all heads have the same number of token slots.
    pub const fn new(layers: u32, heads: u32, tokens: u32, head_dim: u32) -> Self {
        Self { layers, heads, tokens, head_dim, starts: None }
    }

    /// A shape whose heads have as many token slots as `budget` says, `[layers, heads]`. A table of equal numbers gives the shape of
    /// [`new`](Self::new).
    ///
    /// # Errors
    /// A table of another size, and one of zeros.
    pub fn with_budget(layers: u32, heads: u32, head_dim: u32, budget: &[u8]) -> Result<Self, BudgetError> {
        let (expected, found) = (u64::from(layers) * u64::from(heads), budget.len() as u64);
        if expected != found {
            return Err(BudgetError::Size { layers, heads, expected, found });
        }
        let tokens = budget.iter().copied().max().filter(|most| *most > 0).ok_or(BudgetError::Empty)?;
        if budget.iter().all(|of_head| *of_head == tokens) {
            return Ok(Self::new(layers, heads, tokens.into(), head_dim));
        }
        let ends = budget.iter().scan(0, |end, of_head| {
            *end += usize::from(*of_head);
            Some(*end)
        });
        let starts = std::iter::once(0).chain(ends).collect();
        Ok(Self { layers, heads, tokens: tokens.into(), head_dim, starts: Some(starts) })
    }

    /// The tokens that each head keeps, `[layers, heads]`; `None` if all keep [`tokens`](Self::tokens).
    pub fn budget(&self) -> Option<Vec<u8>> {
        // Each fits: the table that made the shape was of bytes.
        self.starts.as_ref().map(|_| self.slots_of_heads().map(|slots| slots.len() as u8).collect())
    }

    /// The shape of the memory layers `layers` of this one.
    ///
    /// # Panics
    /// If a layer does not exist.
    pub fn of_layers(&self, layers: Range<u32>) -> Self {
        assert!(layers.start <= layers.end && layers.end <= self.layers, "no memory layers {layers:?} of {}", self.layers);
        let count = layers.len() as u32;
        let starts = self.starts.as_ref().map(|starts| {
            let of_run = starts.get((layers.start * self.heads) as usize..=(layers.end * self.heads) as usize).unwrap_or_default();
            of_run.iter().map(|start| start - of_run.first().copied().unwrap_or_default()).collect()
        });
        Self { layers: count, starts, ..self.clone() }
    }

    /// Heads of all memory layers: `layers * heads`.
    pub fn all_heads(&self) -> usize {
        self.layers as usize * self.heads as usize
    }

    /// The token slots of one head, counted layer by layer, of all the slots of a memory. A head that does not exist has none.
    pub fn slots_of(&self, head: usize) -> Range<usize> {
        match &self.starts {
            Some(starts) => match starts.get(head..) {
                Some([start, end, ..]) => *start..*end,
                _ => self.slots()..self.slots(),
            },
            None if head < self.all_heads() => head * self.tokens as usize..(head + 1) * self.tokens as usize,
            None => self.slots()..self.slots(),
        }
    }

    /// The token slots of a run of heads, counted layer by layer.
    pub fn slots_of_run(&self, heads: Range<usize>) -> Range<usize> {
        self.slots_of(heads.start).start..self.slots_of(heads.end).start
    }

    /// The token slots of each head, layer by layer.
    pub fn slots_of_heads(&self) -> impl ExactSizeIterator<Item = Range<usize>> + '_ {
        (0..self.all_heads()).map(|head| self.slots_of(head))
    }

    /// Token slots over all layers and heads.
    pub fn slots(&self) -> usize {
        match &self.starts {
            Some(starts) => starts.last().copied().unwrap_or_default(),
            None => self.all_heads() * self.tokens as usize,
        }
    }

    /// Floats of all keys, and again of all values: `slots() * head_dim`.
    pub fn floats(&self) -> usize {
        self.slots() * self.head_dim as usize
    }
}

/// The four numbers of SPEC 5. A budget is in a section of its own (SPEC 5.3).
impl bincode::Encode for MemoryShape {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        [self.layers, self.heads, self.tokens, self.head_dim].encode(encoder)
    }
}

impl<C> bincode::Decode<C> for MemoryShape {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let [layers, heads, tokens, head_dim] = bincode::Decode::decode(decoder)?;
        Ok(Self::new(layers, heads, tokens, head_dim))
    }
}

bincode::impl_borrow_decode!(MemoryShape);

/// The position of an empty slot: a reference of fewer tokens than slots leaves some empty.
pub const EMPTY_SLOT: u8 = 0xFF;

/// One explicit memory (arXiv 2407.01178, section 3.2), decoded.
///
/// Keys are those **before** RoPE; a reader rotates the key of a token with position `p` by `prefix length + p`.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// The shape of what follows.
    pub shape: MemoryShape,
    /// `[slots]`, layer by layer and head by head: index of the token in its reference, ascending in a head; [`EMPTY_SLOT`] for the empty
    /// slots at the end of a head's.
    pub positions: Vec<u8>,
    /// `[slots, head_dim]`, zero in empty slots.
    pub keys: Vec<f32>,
    /// `[slots, head_dim]`, zero in empty slots.
    pub values: Vec<f32>,
}

impl Memory {
    /// A memory of empty slots.
    pub fn empty(shape: MemoryShape) -> Self {
        let (slots, floats) = (shape.slots(), shape.floats());
        Self { shape, positions: vec![EMPTY_SLOT; slots], keys: vec![0.0; floats], values: vec![0.0; floats] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_a_budget_follow_one_another() {
        let shape = MemoryShape::with_budget(2, 3, 4, &[2, 0, 5, 0, 0, 1]).unwrap();
        assert_eq!((shape.tokens, shape.slots(), shape.floats()), (5, 8, 32));
        assert_eq!(shape.slots_of_heads().collect::<Vec<_>>(), [0..2, 2..2, 2..7, 7..7, 7..7, 7..8]);
        assert_eq!(shape.slots_of(6), 8..8);
        assert_eq!(shape.budget().unwrap(), [2, 0, 5, 0, 0, 1]);
        let second = shape.of_layers(1..2);
        assert_eq!((second.layers, second.slots(), second.budget().unwrap()), (1, 1, vec![0, 0, 1]));
    }

    #[test]
    fn equal_numbers_are_no_budget() {
        let shape = MemoryShape::new(2, 2, 3, 4);
        assert_eq!(MemoryShape::with_budget(2, 2, 4, &[3; 4]), Ok(shape.clone()));
        assert_eq!((shape.budget(), shape.slots()), (None, 12));
        assert_eq!(shape.slots_of_heads().collect::<Vec<_>>(), [0..3, 3..6, 6..9, 9..12]);
        assert_eq!(shape.slots_of(4), 12..12);
        assert_eq!(shape.of_layers(1..2), MemoryShape::new(1, 2, 3, 4));
    }

    #[test]
    fn tables_of_another_size_and_of_zeros_are_refused() {
        let refused = |budget: &[u8]| MemoryShape::with_budget(2, 2, 4, budget).unwrap_err();
        assert_eq!(refused(&[1; 3]), BudgetError::Size { layers: 2, heads: 2, expected: 4, found: 3 });
        assert_eq!(refused(&[0; 4]), BudgetError::Empty);
    }
}
