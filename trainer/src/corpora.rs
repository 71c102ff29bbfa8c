//! Reads corpora: texts, token ids, and references.

use std::path::PathBuf;

use mempack_compiler::{Documents, Input, for_each_reference, read_corpus};
use mempack_format::Document;
use mempack_model::Model;

use crate::{TrainError, TrainProgress};

/// A reference of a corpus.
pub(crate) struct CorpusReference {
    /// The id of its document.
    pub document: String,
    /// The text that the model and the embedder read.
    pub text: String,
    /// Its token ids.
    pub ids: Vec<u32>,
}

/// The texts of the documents. Memory: all of them.
pub(crate) fn read_texts(corpora: &[PathBuf], progress: &dyn TrainProgress) -> Result<Vec<String>, TrainError> {
    let mut texts = Vec::new();
    for_each_text(corpora, progress, &mut |text| {
        texts.push(text);
        true
    })?;
    Ok(texts)
}

/// The token ids of the documents as one run; the model's end-of-text token follows each document. Memory: four bytes a token.
pub(crate) fn read_tokens(model: &Model, corpora: &[PathBuf], progress: &dyn TrainProgress) -> Result<Vec<u32>, TrainError> {
    let end_of_text = model.config().eos.first().copied().unwrap_or(model.config().bos);
    let (mut tokens, mut failed) = (Vec::new(), None);
    for_each_text(corpora, progress, &mut |text| {
        match model.tokenizer().encode_plain(&text) {
            Ok(ids) => tokens.extend(ids),
            Err(error) => failed = Some(error),
        }
        tokens.push(end_of_text);
        failed.is_none()
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(tokens),
    }
}

/// The references that the documents are cut into, in order. Memory: all of them.
pub(crate) fn read_references(model: &Model, corpora: &[PathBuf]) -> Result<Vec<CorpusReference>, TrainError> {
    let mut references = Vec::new();
    for_each_reference(model, &inputs(corpora), &mut |document, text, ids| {
        references.push(CorpusReference { document: document.to_owned(), text: text.to_owned(), ids });
        Ok(())
    })?;
    Ok(references)
}

/// Calls `visit` with the text of each document until it returns false.
fn for_each_text(corpora: &[PathBuf], progress: &dyn TrainProgress, visit: &mut dyn FnMut(String) -> bool) -> Result<(), TrainError> {
    read_corpus(&inputs(corpora), &mut std::io::stdin(), &mut Texts { visit, progress })?;
    Ok(())
}

fn inputs(corpora: &[PathBuf]) -> Vec<Input> {
    corpora.iter().cloned().map(Input::Path).collect()
}

struct Texts<'a> {
    visit: &'a mut dyn FnMut(String) -> bool,
    progress: &'a dyn TrainProgress,
}

impl Documents for Texts<'_> {
    fn document(&mut self, _: Document, text: String) -> bool {
        (self.visit)(text)
    }

    fn note(&mut self, text: &str) {
        self.progress.note(text);
    }
}
