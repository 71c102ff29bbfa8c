//! Reads corpora: texts, token ids, and references.

use std::path::PathBuf;

use mempack_corpus::{CorpusItem, Documents, DuplicateIds, Input, Segmenter, reference_text};
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
    texts(corpora, progress).collect()
}

/// The token ids of the documents as one run; the model's end-of-text token follows each document. Memory: four bytes a token.
pub(crate) fn read_tokens(model: &Model, corpora: &[PathBuf], progress: &dyn TrainProgress) -> Result<Vec<u32>, TrainError> {
    let end_of_text = model.config().eos.first().copied().unwrap_or(model.config().bos);
    let mut tokens = Vec::new();
    for text in texts(corpora, progress) {
        tokens.extend(model.tokenizer().encode_plain(&text?)?);
        tokens.push(end_of_text);
    }
    Ok(tokens)
}

/// The references that the documents are cut into, in order. Memory: all of them.
pub(crate) fn read_references(model: &Model, corpora: &[PathBuf]) -> Result<Vec<CorpusReference>, TrainError> {
    let segmenter = Segmenter::new(model)?;
    let mut references = Vec::new();
    for item in documents(corpora) {
        let CorpusItem::Document(document) = item? else { continue };
        let Some(passages) = segmenter.cut(document)? else { continue };
        let document = passages.metadata().id.clone();
        for passage in passages {
            let passage = passage?;
            let text = reference_text(&passage.lead, &passage.text).into_owned();
            references.push(CorpusReference { document: document.clone(), text, ids: passage.ids });
        }
    }
    Ok(references)
}

/// The texts of the documents, one after the other; remarks on the corpora go to `progress`.
fn texts<'a>(corpora: &[PathBuf], progress: &'a dyn TrainProgress) -> impl Iterator<Item = Result<String, TrainError>> + use<'a> {
    documents(corpora).filter_map(|item| match item {
        Ok(CorpusItem::Document(document)) => {
            document.read_text().map(|read| read.map(|(_, text)| text)).map_err(TrainError::from).transpose()
        }
        Ok(CorpusItem::Note(note)) => {
            progress.note(&note.to_string());
            None
        }
        Err(error) => Some(Err(error.into())),
    })
}

/// The documents. Corpora that are trained on may have ids in common, which are numbered.
fn documents(corpora: &[PathBuf]) -> Documents {
    Documents::new(&inputs(corpora), std::io::stdin()).with_duplicate_ids(DuplicateIds::Suffix)
}

fn inputs(corpora: &[PathBuf]) -> Vec<Input> {
    corpora.iter().cloned().map(Input::Path).collect()
}
