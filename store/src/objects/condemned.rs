//! What a clean-up will delete.

use serde::{Deserialize, Serialize};

use super::{ObjectError, Stored, hex};

/// Objects that nothing named when a clean-up looked, and since when. Times are seconds since 1970 by the clock of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condemned {
    form: String,
    /// What is being deleted now.
    pub deleting: Option<Deleting>,
    /// What waits, in ascending order of the names.
    pub waiting: Vec<Sentence>,
}

/// Objects that a clean-up is deleting. No one may use or write them until it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deleting {
    /// When it began.
    pub since: u64,
    /// Tells it from others.
    pub token: String,
    /// The objects, in ascending order of their names.
    pub objects: Vec<String>,
}

/// An object that nothing names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sentence {
    /// The object.
    pub object: String,
    /// Since when.
    pub since: u64,
}

impl Condemned {
    /// Nothing is condemned.
    pub fn nothing() -> Self {
        Self { form: Self::FORM.to_owned(), deleting: None, waiting: Vec::new() }
    }

    /// Whether this is the name of an object that a digest names, and a clean-up may delete.
    pub fn may_list(name: &str) -> bool {
        let named = |text: &str| hex::parse(text).is_some();
        match name.split('/').collect::<Vec<_>>().as_slice() {
            ["chunks", group, digest] => group.len() == 2 && named(digest) && digest.starts_with(group),
            ["files" | "sets", digest] => named(digest),
            _ => false,
        }
    }
}

impl Stored for Condemned {
    const FORM: &'static str = "mempack condemned 1";
    const MAX_BYTES: u64 = 1 << 30;
    const SEALED: bool = true;

    fn form(&self) -> &str {
        &self.form
    }

    fn check(&self) -> Result<(), ObjectError> {
        let deleting = self.deleting.iter().flat_map(|deleting| &deleting.objects).map(String::as_str);
        let waiting = self.waiting.iter().map(|sentence| sentence.object.as_str());
        if let Some(object) = deleting.clone().chain(waiting.clone()).find(|object| !Self::may_list(object)) {
            return Err(ObjectError::bounds("an object", "a chunk, a file or a set", format_args!("{object:?}")));
        }
        if !deleting.is_sorted_by(|one, other| one < other) || !waiting.is_sorted_by(|one, other| one < other) {
            return Err(ObjectError::bounds("the order of the objects", "that of their names, each once", "another"));
        }
        Ok(())
    }
}
