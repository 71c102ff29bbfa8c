//! The head of a name: what is published under it.

use mempack_format::Digest;
use serde::{Deserialize, Serialize};

use super::{ObjectError, Stored, hex};

/// Most editions that a head lists.
pub const MAX_HISTORY: usize = 100;

/// What is published under a name, and what was before. The only object that a push changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    form: String,
    /// How often something was published under the name.
    pub count: u64,
    /// The editions, the newest first; at most [`MAX_HISTORY`]. No edition follows itself.
    pub editions: Vec<HeadEntry>,
}

/// A publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadEntry {
    /// The edition's name.
    #[serde(with = "hex")]
    pub edition: Digest,
    /// The id of its set or pack.
    #[serde(with = "hex")]
    pub id: Digest,
}

impl Head {
    /// The head after `entry` is published.
    pub fn after(before: Option<&Self>, entry: HeadEntry) -> Self {
        let older = before.map(|head| head.editions.as_slice()).unwrap_or_default();
        let editions = std::iter::once(entry).chain(older.iter().copied()).take(MAX_HISTORY).collect();
        Self { form: Self::FORM.to_owned(), count: before.map_or(0, |head| head.count).saturating_add(1), editions }
    }

    /// What is published now.
    pub fn current(&self) -> Option<HeadEntry> {
        self.editions.first().copied()
    }
}

impl Stored for Head {
    const FORM: &'static str = "mempack head 1";
    const MAX_BYTES: u64 = 1 << 20;
    const SEALED: bool = true;

    fn form(&self) -> &str {
        &self.form
    }

    fn check(&self) -> Result<(), ObjectError> {
        let listed = self.editions.len();
        if listed == 0 || listed > MAX_HISTORY {
            return Err(ObjectError::bounds("the number of editions", format_args!("1 to {MAX_HISTORY}"), listed));
        }
        if self.count < listed as u64 {
            return Err(ObjectError::bounds("the count", format_args!("at least {listed}, the editions listed"), self.count));
        }
        if self.editions.windows(2).any(|pair| pair.first().map(|e| e.edition) == pair.last().map(|e| e.edition)) {
            return Err(ObjectError::bounds("an edition", "another than the one before", "the same"));
        }
        Ok(())
    }
}

/// Whether something can be published under a name.
pub fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.len() <= 100 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed)
}
