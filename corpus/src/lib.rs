//! Documents from files, folders and streams, and their cutting into passages that a model can read whole.
//!
//! [`Documents`] iterates over the documents of a corpus. A [`Segmenter`] cuts each of them into [`Passage`]s, which become the
//! references of a pack. Both are pull iterators with one error type, [`CorpusError`], and hold one block of a file at a time.
//!
//! ```
//! use mempack_corpus::{CorpusItem, Documents, Input};
//!
//! # fn main() -> Result<(), mempack_corpus::CorpusError> {
//! let rows = r#"{"id": "a", "title": "Zorvex", "text": "Zorvex is given by mouth twice a day."}"#;
//! for item in Documents::new(&[Input::Stdin], rows.as_bytes()) {
//!     match item? {
//!         CorpusItem::Document(document) => {
//!             let (metadata, text) = document.read_text()?.expect("the document has words");
//!             assert_eq!((metadata.id.as_str(), text.as_str()), ("a", "Zorvex is given by mouth twice a day."));
//!         }
//!         CorpusItem::Note(note) => println!("{note}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here needs a model: cutting takes a [`ReferenceTokens`], which divides texts into tokens. To read another kind of
//! document, add a module to `formats` and one line to its list.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod blocks;
mod composing;
mod cutting;
mod document;
mod documents;
mod error;
mod extraction;
mod fence;
mod fields;
mod folder;
mod formats;
mod hidden;
mod id_list;
mod input;
mod kinds;
mod pipe;
mod structure;

pub use composing::{Composed, Composer, Lead, Recomposed, ReferenceTokens, reference_text};
pub use cutting::{CutOptions, Passage, Passages, Segmenter};
pub use document::{CorpusItem, CorpusNote, OpenDocument};
pub use documents::Documents;
pub use error::CorpusError;
pub use extraction::{Extraction, WorkerCommand, read_files};
pub use fields::{DocumentField, FieldValue};
pub use formats::{MAX_FIELD_BYTES, MAX_LINE_BYTES};
pub use id_list::read_id_list;
pub use input::{DuplicateIds, Input};
pub use mempack_extract::{Limits, Marks, Options, OriginPlace, Place, XmlRules, XmlRulesError};
pub use mempack_format::Document;
