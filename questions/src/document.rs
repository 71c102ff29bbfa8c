//! A document as a line of a corpus.

use serde::Serialize;

/// A document. Its JSON form is a line of a corpus that `mempack build` reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Document {
    /// Its name, unique in the corpus.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its text.
    pub text: String,
    /// Where it comes from.
    pub source: String,
    /// Under which terms it may be used; empty if that is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub license: String,
}
