//! The modes of answering that are compared.

use std::fmt;
use std::str::FromStr;

use mempack_runtime::ReadFrom;
use serde::{Serialize, Serializer};

/// A mode of answering: which model answers, and from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// From the weights alone, with the same prefix and positions as with memories.
    ClosedBook,
    /// From exact memories of the retrieved references, which the model writes and no codec encodes.
    Memory,
    /// From the pack's memories of the retrieved references, decoded by its codec.
    MemoryQuantized,
    /// With the texts of the retrieved references in the prompt.
    InContext,
    /// From the exact memory of the gold reference.
    MemoryGold,
    /// From the pack's memory of the gold reference.
    MemoryQuantizedGold,
    /// With the text of the gold reference in the prompt.
    InContextGold,
    /// The base model of an adapter, from its weights alone, without adapter and prefix.
    ClosedBookBase,
    /// The base model of an adapter, with the texts of the retrieved references in the prompt.
    InContextBase,
    /// The base model of an adapter, with the text of the gold reference in the prompt.
    InContextGoldBase,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 10] = [
        Self::ClosedBook,
        Self::Memory,
        Self::MemoryQuantized,
        Self::InContext,
        Self::MemoryGold,
        Self::MemoryQuantizedGold,
        Self::InContextGold,
        Self::ClosedBookBase,
        Self::InContextBase,
        Self::InContextGoldBase,
    ];

    /// The modes measured by default.
    pub const DEFAULT: [Self; 4] = [Self::ClosedBook, Self::Memory, Self::MemoryQuantized, Self::InContext];

    /// The name, in JSON and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClosedBook => "closed_book",
            Self::Memory => "memory",
            Self::MemoryQuantized => "memory_quantized",
            Self::InContext => "in_context",
            Self::MemoryGold => "memory_gold",
            Self::MemoryQuantizedGold => "memory_quantized_gold",
            Self::InContextGold => "in_context_gold",
            Self::ClosedBookBase => "closed_book_base",
            Self::InContextBase => "in_context_base",
            Self::InContextGoldBase => "in_context_gold_base",
        }
    }

    /// Whether the base model of an adapter answers.
    pub fn uses_base(self) -> bool {
        matches!(self, Self::ClosedBookBase | Self::InContextBase | Self::InContextGoldBase)
    }

    /// Whether it reads the gold reference instead of retrieving.
    pub fn uses_gold(self) -> bool {
        matches!(self, Self::MemoryGold | Self::MemoryQuantizedGold | Self::InContextGold | Self::InContextGoldBase)
    }

    /// Whether it reads memories.
    pub fn reads_memories(self) -> bool {
        self.read_from().reads_memories()
    }

    /// Whether it reads retrieved references.
    pub fn uses_retrieval(self) -> bool {
        !matches!(self.read_from(), ReadFrom::Weights { .. }) && !self.uses_gold()
    }

    /// What the mode's session reads from.
    pub(crate) fn read_from(self) -> ReadFrom {
        match self {
            Self::ClosedBook => ReadFrom::Weights { prefix: true },
            Self::ClosedBookBase => ReadFrom::Weights { prefix: false },
            Self::Memory | Self::MemoryGold => ReadFrom::WrittenMemories,
            Self::MemoryQuantized | Self::MemoryQuantizedGold => ReadFrom::PackMemories,
            Self::InContext | Self::InContextGold | Self::InContextBase | Self::InContextGoldBase => ReadFrom::Texts,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A word that is not the name of a [`Mode`].
#[derive(Debug, thiserror::Error)]
#[error("unknown mode `{found}`; expected one of {}", Mode::ALL.map(Mode::name).join(", "))]
pub struct UnknownMode {
    /// The word.
    pub found: String,
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        let named = |mode: &Self| mode.name() == word;
        Self::ALL.into_iter().find(named).ok_or_else(|| UnknownMode { found: word.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for mode in Mode::ALL {
            assert_eq!(mode.name().parse::<Mode>().unwrap(), mode);
        }
        let error = "open_book".parse::<Mode>().unwrap_err().to_string();
        assert!(error.contains("open_book") && error.contains("memory_quantized,"), "{error}");
    }

    #[test]
    fn a_mode_answers_from_one_thing() {
        for mode in Mode::ALL {
            assert!(!(mode.uses_gold() && mode.uses_retrieval()), "{mode}");
            assert!(!(mode.uses_base() && mode.reads_memories()), "a base has no memories: {mode}");
            assert_eq!(matches!(mode.read_from(), ReadFrom::Weights { .. }), !mode.uses_gold() && !mode.uses_retrieval(), "{mode}");
        }
    }
}
