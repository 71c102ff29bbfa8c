//! Why a pack could not be repaired.

use thiserror::Error;

use crate::error::Interrupted;
use crate::{LeafKind, OpenError, Tag};

/// What none of the donors has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Missing {
    /// A section that cannot be searched for piece by piece.
    #[error("section {section}")]
    Section {
        /// The section.
        section: Tag,
    },
    /// Pieces of a section.
    #[error("{kind} {first} of section {section}{}", others(*count))]
    Pieces {
        /// The section.
        section: Tag,
        /// What they are.
        kind: LeafKind,
        /// Number of the first.
        first: u64,
        /// How many.
        count: u64,
    },
}

fn others(count: u64) -> String {
    match count.saturating_sub(1) {
        0 => String::new(),
        1 => " and another".into(),
        others => format!(" and {others} others"),
    }
}

impl Missing {
    /// The damaged section.
    pub fn section(&self) -> Tag {
        match self {
            Self::Section { section } | Self::Pieces { section, .. } => *section,
        }
    }
}

/// Why a pack could not be repaired.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The header page is damaged, and no donor's fits.
    #[error(
        "{source}; the header page can only be taken from a copy of the same pack, and none was given: neither does what is left of it \
         name the id of a pack given, nor are all sections of one in it"
    )]
    Header {
        /// What is wrong with the header page.
        source: OpenError,
    },
    /// A donor's header page cannot be read, so its sections are not known.
    #[error("{source}; leave it out, or mend it first")]
    Donor {
        /// Its number.
        donor: usize,
        /// What is wrong with it.
        source: OpenError,
    },
    /// Something is damaged, and no donor has it undamaged.
    #[error("no pack given has what is damaged: {}; give one more pack that may have it, or build the pack again", list(missing))]
    Missing {
        /// What is missing, at most one of every section.
        missing: Vec<Missing>,
    },
    /// The caller ended the work.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

fn list(missing: &[Missing]) -> String {
    missing.iter().map(Missing::to_string).collect::<Vec<_>>().join(", ")
}
