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
mod conversation;
mod document;
mod error;
mod fiction;
mod folder;
mod lines;
mod pairs;
mod preference;
mod question;

pub use cloze::{Cloze, ClozeOptions};
pub use conversation::{Conversation, ConversationTurn, read_conversations};
pub use document::CorpusDocument;
pub use error::{MAX_QUESTION_BYTES, QuestionError};
pub use fiction::{Domain, Fiction, FictionError, FictionOptions, KindError, MadeDocument};
pub use folder::{Folder, FolderError, PreferenceFolder, Summary};
pub use pairs::{MadePreferences, NO_ANSWER, make_preferences};
pub use preference::{Preference, read_preferences};
pub use question::{Question, QuestionReader, read_questions};
