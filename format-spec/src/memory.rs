//! An explicit memory in decoded form, and its shape.

/// The size of a memory: how many vectors of how many dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct MemoryShape {
    /// Memory layers of the model.
    pub layers: u32,
    /// Key-value heads of a layer.
    pub heads: u32,
    /// Token slots of a head.
    pub tokens: u32,
    /// Dimensions of a key or a value.
    pub head_dim: u32,
}

impl MemoryShape {
    /// Token slots over all layers and heads: `layers * heads * tokens`.
    pub fn slots(&self) -> usize {
        self.layers as usize * self.heads as usize * self.tokens as usize
    }

    /// Floats of all keys, and again of all values: `slots() * head_dim`.
    pub fn floats(&self) -> usize {
        self.slots() * self.head_dim as usize
    }
}

/// The position of an empty slot: a reference of fewer tokens than slots leaves some empty.
pub const EMPTY_SLOT: u8 = 0xFF;

/// One explicit memory (arXiv 2407.01178, section 3.2), decoded.
///
/// Keys are those **before** RoPE; a reader rotates the key of a token with position `p` by `prefix length + p`.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// The shape of what follows.
    pub shape: MemoryShape,
    /// `[layers, heads, tokens]`: index of the token in its reference, ascending in a head; [`EMPTY_SLOT`] for the empty slots at the end.
    pub positions: Vec<u8>,
    /// `[layers, heads, tokens, head_dim]`, zero in empty slots.
    pub keys: Vec<f32>,
    /// `[layers, heads, tokens, head_dim]`, zero in empty slots.
    pub values: Vec<f32>,
}

impl Memory {
    /// A memory of empty slots.
    pub fn empty(shape: MemoryShape) -> Self {
        Self { shape, positions: vec![EMPTY_SLOT; shape.slots()], keys: vec![0.0; shape.floats()], values: vec![0.0; shape.floats()] }
    }
}
