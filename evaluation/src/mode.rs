//! The ways of answering that are compared.

use std::fmt;
use std::str::FromStr;

use mempack_runtime::ReadFrom;
use serde::{Serialize, Serializer};

/// A way of answering: with which model, and from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// From the weights alone, with prefix and positions as with memories.
    ClosedBook,
    /// From memories of the references retrieved, written anew and not encoded.
    Memory,
    /// From memories of the references retrieved, as the pack's codec gives them.
    MemoryQuantized,
    /// With the texts of the references retrieved in the prompt.
    InContext,
    /// From the gold reference's memory, written anew.
    MemoryGold,
    /// From the gold reference's memory, as the pack's codec gives it.
    MemoryQuantizedGold,
    /// With the gold reference's text in the prompt.
    InContextGold,
    /// The adapter's base alone, from its weights: no adapter, no prefix.
    ClosedBookBase,
    /// The adapter's base alone, with the texts retrieved in the prompt.
    InContextBase,
    /// The adapter's base alone, with the gold reference's text in the prompt.
    InContextGoldBase,
}

impl Mode {
    /// All of them.
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

    /// Those that answer what a pack is worth.
    pub const DEFAULT: [Self; 4] = [Self::ClosedBook, Self::Memory, Self::MemoryQuantized, Self::InContext];

    /// Its name, in JSON and on the command line.
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

    /// Whether it needs the adapter's base alone.
    pub fn uses_base(self) -> bool {
        matches!(self, Self::ClosedBookBase | Self::InContextBase | Self::InContextGoldBase)
    }

    /// Whether it is given the gold reference, whatever retrieval finds.
    pub fn uses_gold(self) -> bool {
        matches!(self, Self::MemoryGold | Self::MemoryQuantizedGold | Self::InContextGold | Self::InContextGoldBase)
    }

    /// Whether it reads memories.
    pub fn reads_memories(self) -> bool {
        self.read_from().reads_memories()
    }

    /// Whether it answers from what retrieval finds.
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

/// A word that names no [`Mode`].
#[derive(Debug, thiserror::Error)]
#[error("no mode is called `{found}`; expected one of {}", Mode::ALL.map(Mode::name).join(", "))]
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
