//! A question, and what is said about its answer.

use std::sync::Arc;

use mempack_model::Exchange;
use mempack_retrieval::Hit;

use super::options::AnswerOptions;
use super::output::OnPiece;
use crate::{PackReference, PackSet};

/// A question for a [`Batching`](crate::Batching).
pub struct Request<'a> {
    /// The question.
    pub question: String,
    /// Whether the question is a text to continue: no template is put around it, and nothing comes before it. All of it queries for memories.
    pub continues: bool,
    /// The turns of the conversation before it.
    pub earlier: Vec<Exchange>,
    /// What the model is told before the conversation, if it has a `system_template`. It queries for no memories.
    pub system: Option<String>,
    /// References that every chunk reads; `None` retrieves.
    pub references: Option<Vec<Hit<PackReference>>>,
    /// The packs that it reads; `None` for those that are mounted when it is submitted. In an empty set nothing is found, and no memories are read.
    pub packs: Option<Arc<PackSet>>,
    /// What the answer is made with; `None` for the [session's defaults](crate::Session::answer_options).
    pub options: Option<AnswerOptions>,
    /// Receives the answer, and can stop it.
    pub on_piece: OnPiece<'a>,
}

impl<'a> Request<'a> {
    /// A question that begins a conversation, and retrieves in what is mounted.
    pub fn new(question: &str, on_piece: OnPiece<'a>) -> Self {
        let question = question.to_owned();
        Self { question, continues: false, earlier: Vec::new(), system: None, references: None, packs: None, options: None, on_piece }
    }
}
