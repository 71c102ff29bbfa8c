//! How many tokens of a reference each key-value head keeps: one number, or a table.

use mempack_format::MemoryShape;
use serde_json::{Value, json};

use crate::LoadError;
use crate::fields::{COUNT_CAP, Fields, show};

/// The field's name in the `memory` block.
const FIELD: &str = "tokens_per_head";

/// The tokens of a reference that each key-value head keeps: the paper's one number for all heads, or a *head budget*, one number for each
/// head. Few heads read what memories hold, and a budget gives these more of the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokensPerHead {
    /// As many at every head (arXiv 2407.01178, section 3.3).
    Uniform(u32),
    /// A row for each memory layer, a number for each of its heads. Heads and whole layers may keep none.
    Budget(Vec<Vec<u32>>),
}

impl Default for TokensPerHead {
    /// The paper's 8.
    fn default() -> Self {
        Self::Uniform(8)
    }
}

impl TokensPerHead {
    /// Tokens kept at head `head` of memory layer `layer`; 0 outside a table.
    pub fn at(&self, layer: usize, head: usize) -> u32 {
        match self {
            Self::Uniform(tokens) => *tokens,
            Self::Budget(table) => table.get(layer).and_then(|row| row.get(head)).copied().unwrap_or(0),
        }
    }

    /// The largest number.
    pub fn most(&self) -> u32 {
        match self {
            Self::Uniform(tokens) => *tokens,
            Self::Budget(table) => table.iter().flatten().copied().max().unwrap_or(0),
        }
    }

    /// Reads the field; 8 at every head without it.
    pub(crate) fn read(f: &Fields<'_>) -> Result<Self, LoadError> {
        let Some(value) = f.get(FIELD) else { return Ok(Self::default()) };
        let number = |value: &Value| value.as_u64().filter(|n| *n < u64::from(COUNT_CAP)).map(|n| n as u32);
        if let Some(tokens) = number(value) {
            return Ok(Self::Uniform(tokens));
        }
        let expected = "a number, or a table with a row for each memory layer and a number for each of its key-value heads";
        let refuse = |found: String| f.refuse(FIELD, expected, found, "correct the memory block");
        let rows = value.as_array().ok_or_else(|| refuse(show(value)))?;
        let mut table = Vec::with_capacity(rows.len());
        for (layer, row) in rows.iter().enumerate() {
            let row = row.as_array().ok_or_else(|| refuse(format!("{} in row {layer}", show(row))))?;
            let wrong = |head: usize| refuse(format!("{} in row {layer} at head {head}", show(&row[head])));
            let numbers = row.iter().enumerate().map(|(head, value)| number(value).ok_or_else(|| wrong(head)));
            table.push(numbers.collect::<Result<_, _>>()?);
        }
        Ok(Self::Budget(table))
    }

    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Uniform(tokens) => json!(tokens),
            Self::Budget(table) => json!(table),
        }
    }

    /// Checks that there is a number for each head, that no head keeps more than `most`, and that one keeps something. Else says what was
    /// expected, and what was found.
    pub(crate) fn check(&self, layers: u32, heads: u32, most: u32) -> Result<(), (String, String)> {
        let wrong = |expected: String, found: String| Err((expected, found));
        match self {
            Self::Uniform(tokens) if (1..=most).contains(tokens) => Ok(()),
            Self::Uniform(tokens) => wrong(format!("1 to {most}"), tokens.to_string()),
            Self::Budget(table) => {
                if table.len() != layers as usize {
                    return wrong(format!("{layers} rows, one for each memory layer"), format!("{} rows", table.len()));
                }
                for (layer, row) in table.iter().enumerate() {
                    if row.len() != heads as usize {
                        return wrong(
                            format!("{heads} numbers in row {layer}, one for each key-value head"),
                            format!("{} numbers", row.len()),
                        );
                    }
                    if let Some(head) = row.iter().position(|tokens| *tokens > most) {
                        return wrong(format!("0 to {most}, the reference length"), format!("{} in row {layer} at head {head}", row[head]));
                    }
                }
                match self.most() {
                    0 => wrong("a token at one head or more".into(), "0 at every head".into()),
                    _ => Ok(()),
                }
            }
        }
    }

    /// The shape of a memory, given numbers that [`check`](Self::check) accepts.
    pub(crate) fn shape(&self, layers: u32, heads: u32, head_dim: u32) -> MemoryShape {
        let uniform = MemoryShape::new(layers, heads, self.most(), head_dim);
        match self {
            Self::Uniform(_) => uniform,
            // A table that was checked has a number for each head, which is below a reference's length and so below 256.
            Self::Budget(table) => {
                let budget: Vec<u8> = table.iter().flatten().map(|tokens| *tokens as u8).collect();
                MemoryShape::with_budget(layers, heads, head_dim, &budget).unwrap_or(uniform)
            }
        }
    }
}

impl From<u32> for TokensPerHead {
    fn from(tokens: u32) -> Self {
        Self::Uniform(tokens)
    }
}
