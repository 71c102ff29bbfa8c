//! Tokenization: text to token ids and back.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mempack_format::Digest;
use tokenizers::{Encoding, Tokenizer};

use crate::control::{Roles, cuts, mark_special};
use crate::fields::read_file;
use crate::unknown::{UnknownText, unknown_id};
use crate::{ComputeError, LoadError, tokenizer_json};

/// A tokenizer.json. Clones share it.
#[derive(Clone)]
pub struct TextTokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    digest: Digest,
    /// Parses special tokens in a text; for templates.
    parsing: Tokenizer,
    /// Treats special tokens in a text as ordinary characters; for untrusted text.
    plain: Tokenizer,
    /// Ids of control tokens, in ascending order, without that of unknown text.
    control: Vec<u32>,
    /// The id of unknown text, if there is one.
    unknown: Option<u32>,
    /// One past the largest id.
    vocabulary: usize,
    /// One past the largest id of a token that is no control token.
    ordinary: usize,
}

impl TextTokenizer {
    /// Loads a tokenizer.json. The files beside it, as tokenizer_config.json and special_tokens_map.json, tell which of its tokens are
    /// control tokens.
    ///
    /// # Errors
    /// [`LoadError`] if the file is missing or is no tokenizer.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::load_with(path, &Roles::of_folder(folder)?)
    }

    /// Loads a tokenizer.json, some of whose tokens have `roles`.
    pub(crate) fn load_with(path: &Path, roles: &Roles) -> Result<Self, LoadError> {
        let bytes = read_file(path, "tokenizer", "put the model's tokenizer.json there")?;
        let wrong = |e: tokenizers::Error| LoadError::Tokenizer {
            path: path.to_owned(),
            expected: "a tokenizer.json of the tokenizers library".into(),
            found: e.to_string(),
            remedy: "fetch the file again".into(),
        };
        let mut parsing = tokenizer_json::read(&bytes).map_err(wrong)?;
        // Padding and truncation in a file are for batches of a fixed length; references are cut elsewhere.
        parsing.with_padding(None);
        let _ = parsing.with_truncation(None);
        let unknown = unknown_id(&parsing, &bytes);
        let mut control = mark_special(&mut parsing, roles).map_err(wrong)?;
        control.retain(|id| Some(*id) != unknown);
        let ids: Vec<u32> = parsing.get_vocab(true).into_values().collect();
        let past = |id: Option<&u32>| id.map_or(0, |id| *id as usize + 1);
        let vocabulary = past(ids.iter().max());
        let ordinary = past(ids.iter().filter(|id| control.binary_search(id).is_err()).max());
        let mut plain = parsing.clone();
        plain.set_encode_special_tokens(true);
        let digest = Digest::of(&bytes);
        Ok(Self { inner: Arc::new(Inner { path: path.to_owned(), digest, parsing, plain, control, unknown, vocabulary, ordinary }) })
    }

    /// Ids of untrusted text: control tokens in it are ordinary characters, and no BOS or EOS is added.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, ComputeError> {
        let ids = encode(&self.inner.plain, text)?;
        if !self.has_control(&ids) {
            return Ok(ids);
        }
        Ok(self.encode_cut(text)?.into_iter().map(|(id, _)| id).collect())
    }

    /// The encoding of two texts with the special tokens that the tokenizer puts around and between them.
    pub(crate) fn encode_pair(&self, first: &str, second: &str) -> Result<Encoding, ComputeError> {
        self.inner.plain.encode((first, second), true).map_err(failure)
    }

    /// Ids of a part of a template: special tokens in it are parsed, and no BOS or EOS is added.
    pub fn encode_template(&self, text: &str) -> Result<Vec<u32>, ComputeError> {
        encode(&self.inner.parsing, text)
    }

    /// As [`encode_plain`](Self::encode_plain), with the byte range of `text` that each id stands for.
    ///
    /// Ranges ascend. Tokens of one character share its range, and white space may lie between ranges.
    pub fn encode_spans(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>, ComputeError> {
        let encoding = self.inner.plain.encode(text, false).map_err(failure)?;
        if self.has_control(encoding.get_ids()) { self.encode_cut(text) } else { Ok(spans(&encoding, 0)) }
    }

    /// How much of a text the tokenizer does not know.
    ///
    /// # Errors
    /// A failure of the tokenizer.
    pub fn unknown(&self, text: &str) -> Result<UnknownText, ComputeError> {
        let encoding = self.inner.plain.encode(text, false).map_err(failure)?;
        Ok(UnknownText::count(&encoding, text, self.inner.unknown))
    }

    fn has_control(&self, ids: &[u32]) -> bool {
        ids.iter().any(|id| self.inner.control.binary_search(id).is_ok())
    }

    /// Encodes a text in parts: cut in each control token that it would contain.
    fn encode_cut(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>, ComputeError> {
        let mut done = Vec::new();
        // Parts that are left, the first one last.
        let mut parts = Vec::from([Range { start: 0, end: text.len() }]);
        while let Some(part) = parts.pop() {
            let inside = text.get(part.clone()).unwrap_or_default();
            let encoding = self.inner.plain.encode(inside, false).map_err(failure)?;
            let cuts = cuts(&encoding, inside, &self.inner.control);
            if cuts.is_empty() {
                done.extend(spans(&encoding, part.start));
                continue;
            }
            let ends = cuts.iter().map(|cut| part.start + cut).chain([part.end]);
            let starts = std::iter::once(part.start).chain(cuts.iter().map(|cut| part.start + cut));
            let inner: Vec<Range<usize>> = starts.zip(ends).map(|(start, end)| start..end).collect();
            parts.extend(inner.into_iter().rev());
        }
        Ok(done)
    }

    /// The text of ids without special tokens. Invalid UTF-8 gives U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> Result<String, ComputeError> {
        self.inner.parsing.decode(ids, true).map_err(failure)
    }

    /// The tokenizer that parses special tokens.
    pub(crate) fn parsing(&self) -> &Tokenizer {
        &self.inner.parsing
    }

    /// One past the largest id.
    pub fn vocab_size(&self) -> usize {
        self.inner.vocabulary
    }

    /// Ids of all tokens that are not special, in ascending order.
    pub fn plain_ids(&self) -> Vec<u32> {
        let added = self.inner.parsing.get_added_tokens_decoder();
        let special = |id: &u32| added.get(id).is_some_and(|token| token.special);
        let mut ids: Vec<u32> = self.inner.parsing.get_vocab(true).into_values().filter(|id| !special(id)).collect();
        ids.sort_unstable();
        ids
    }

    /// The id of a token by its name in the vocabulary.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.parsing.token_to_id(token)
    }

    /// Digest of the file's bytes.
    pub fn digest(&self) -> Digest {
        self.inner.digest
    }

    /// Checks that the tokenizer fits an embedding of `vocabulary` rows.
    ///
    /// Embeddings are padded to round numbers, so a few rows without a token are accepted. An id without a row is not, unless it is that of a
    /// control token, which no text is encoded to: the text models of Gemma 3 have no row for the token of an image.
    pub(crate) fn check_vocabulary(&self, vocabulary: usize) -> Result<(), LoadError> {
        let min = vocabulary - (vocabulary / 32).max(64).min(vocabulary);
        if self.inner.vocabulary >= min && self.inner.ordinary <= vocabulary {
            return Ok(());
        }
        Err(LoadError::Tokenizer {
            path: self.inner.path.clone(),
            expected: format!("{min} to {vocabulary} ids, as the model has {vocabulary}"),
            found: format!("a tokenizer of another vocabulary, with {} ids", self.inner.vocabulary),
            remedy: "put the tokenizer.json of this model there".into(),
        })
    }
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, ComputeError> {
    Ok(tokenizer.encode_fast(text, false).map_err(failure)?.get_ids().to_vec())
}

/// The ids of an encoding with their ranges, of a text that begins at byte `start`.
fn spans(encoding: &Encoding, start: usize) -> Vec<(u32, Range<usize>)> {
    encoding.get_ids().iter().zip(encoding.get_offsets()).map(|(id, (from, to))| (*id, start + from..start + to)).collect()
}

fn failure(e: tokenizers::Error) -> ComputeError {
    ComputeError::Tokenize { reason: e.to_string() }
}

/// Decodes an answer token by token. Bytes of an unfinished character are held back.
pub struct TextStream {
    tokenizer: TextTokenizer,
    ids: Vec<u32>,
    /// Start of the ids that are decoded again, as context for the next ones.
    from: usize,
    /// Number of ids whose text was returned.
    returned: usize,
}

impl TextStream {
    /// A stream without tokens.
    pub fn new(tokenizer: &TextTokenizer) -> Self {
        Self { tokenizer: tokenizer.clone(), ids: Vec::new(), from: 0, returned: 0 }
    }

    /// The text that `id` completes; empty while a character is unfinished.
    ///
    /// # Errors
    /// A failure of the tokenizer.
    pub fn push(&mut self, id: u32) -> Result<String, ComputeError> {
        self.ids.push(id);
        self.advance(false)
    }

    /// The text that is still held back at the end of the answer.
    ///
    /// # Errors
    /// A failure of the tokenizer.
    pub fn finish(&mut self) -> Result<String, ComputeError> {
        self.advance(true)
    }

    fn advance(&mut self, all: bool) -> Result<String, ComputeError> {
        // New text is the growth of the decoded window, because decoders join words depending on the previous token.
        let before = self.tokenizer.decode(&self.ids[self.from..self.returned])?;
        let now = self.tokenizer.decode(&self.ids[self.from..])?;
        if now.len() <= before.len() || (!all && now.ends_with('\u{FFFD}')) {
            return Ok(String::new());
        }
        self.from = self.returned;
        self.returned = self.ids.len();
        Ok(now.get(before.len()..).unwrap_or_default().to_owned())
    }
}
