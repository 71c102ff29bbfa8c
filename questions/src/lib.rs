//! Corpora with questions: fiction that no model has read, and cloze questions from any corpus without labels.
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
//! Nothing here needs a model. The same options give the same bytes, on every machine.
#![forbid(unsafe_code)]

mod cloze;
mod document;
mod fiction;
mod folder;
mod question;

pub use cloze::{Cloze, ClozeOptions};
pub use document::Document;
pub use fiction::{Domain, Fiction, FictionError, FictionOptions, KindError, Made};
pub use folder::{Folder, FolderError, Summary};
pub use question::{MAX_QUESTION_BYTES, Question, QuestionError, QuestionReader, read_questions};
