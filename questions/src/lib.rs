//! Questions about corpora: the file format, and two generators.
//!
//! [`Fiction`] writes invented documents, which no model has seen, with questions about them. [`Cloze`] makes questions from the sentences
//! of any corpus, without labels. [`Folder`] writes corpus and questions; [`read_questions`] reads questions back.
//!
//! ```
//! use mempack_questions::{Fiction, FictionOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = FictionOptions { documents: 20, ..FictionOptions::default() };
//! for made in Fiction::new(&options)? {
//!     for question in &made.questions {
//!         assert!(question.answers.iter().all(|answer| made.document.text.contains(answer)));
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here needs a model. Equal options give equal bytes on every machine.
#![forbid(unsafe_code)]

mod cloze;
mod document;
mod fiction;
mod folder;
mod question;

pub use cloze::{Cloze, ClozeOptions};
pub use document::CorpusDocument;
pub use fiction::{Domain, Fiction, FictionError, FictionOptions, KindError, MadeDocument};
pub use folder::{Folder, FolderError, Summary};
pub use question::{MAX_QUESTION_BYTES, Question, QuestionError, QuestionReader, read_questions};
