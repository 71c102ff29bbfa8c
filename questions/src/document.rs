//! A document as a line of a corpus.

use serde::Serialize;

/// A document. Serialised as JSON, it is a line of a `.jsonl` corpus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CorpusDocument {
    /// Its id, unique in the corpus.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its text.
    pub text: String,
    /// Where it comes from.
    pub source: String,
    /// The licence of the text; empty if unknown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub license: String,
}
