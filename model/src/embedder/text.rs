//! The embedder: a tokenizer and an encoder.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use mempack_format::{Digest, EmbedderIdentity, EmbedderPrompts};
use mempack_retrieval::Embed;
use tokenizers::{Encoding, Tokenizer, TruncationParams};

use super::config::load_max_tokens;
use super::encoder::TextEncoder;
use super::prompts::{EmbedAs, load_prompts};
use crate::beside::Beside;
use crate::control::{Roles, cuts, mark_special};
use crate::fields::read_file;
use crate::unknown::{UnknownText, unknown_id};
use crate::{ComputeError, LoadError, LoadOptions, tokenizer_json};

/// Maps texts to unit vectors, whose inner product is the texts' similarity.
///
/// It is loaded from the folder of a sentence-embedding model: BERT or XLM-RoBERTa with mean or CLS pooling. Each text is embedded as a
/// query or as a passage ([`EmbedAs`]); the two differ only if the embedder has prompts. It is `Send`;
/// [`share`](Self::share) makes a handle for another thread.
pub struct Embedder {
    encoder: TextEncoder,
    tokenizer: Arc<EmbedderTokenizer>,
    identity: EmbedderIdentity,
}

struct EmbedderTokenizer {
    /// Puts special tokens around a text, and treats those in a text as ordinary characters.
    inner: Tokenizer,
    /// Ids of control tokens, in ascending order, without that of unknown text.
    control: Vec<u32>,
    /// The id of unknown text, if there is one.
    unknown: Option<u32>,
}

impl EmbedderTokenizer {
    /// The encoding of a text with offsets.
    fn encode(&self, text: &str) -> Result<Encoding, ComputeError> {
        self.inner.encode(text, true).map_err(|e| ComputeError::Tokenize { reason: e.to_string() })
    }

    /// Ids of a text with special tokens around it, truncated. Control tokens in the text are ordinary characters.
    fn tokens(&self, text: &str) -> Result<Vec<u32>, ComputeError> {
        let encoding = self.inner.encode_fast(text, true).map_err(|e| ComputeError::Tokenize { reason: e.to_string() })?;
        if self.has_control(&encoding) { self.encode_spaced(text) } else { Ok(encoding.get_ids().to_vec()) }
    }

    /// Whether the text that was encoded holds a control token.
    fn has_control(&self, encoding: &Encoding) -> bool {
        let tokens = encoding.get_ids().iter().zip(encoding.get_special_tokens_mask());
        tokens.into_iter().any(|(id, around)| *around == 0 && self.control.binary_search(id).is_ok())
    }

    /// Ids of a text in which names of control tokens are pieces of the vocabulary: a space is put into each of them. Where the
    /// tokenizer ignores spaces, the name's first character is left out.
    fn encode_spaced(&self, text: &str) -> Result<Vec<u32>, ComputeError> {
        let mut text = text.to_owned();
        for round in 0.. {
            let encoding = self.encode(&text)?;
            let cuts = cuts(&encoding, &text, &self.control);
            if cuts.is_empty() {
                return Ok(encoding.get_ids().to_vec());
            }
            for cut in cuts.into_iter().rev() {
                match text.get(..cut).and_then(|before| before.char_indices().next_back()) {
                    Some((first, _)) if round > 0 => drop(text.remove(first)),
                    _ => text.insert(cut, ' '),
                }
            }
        }
        Ok(Vec::new())
    }
}

/// What an embedder's folder says about texts.
struct LoadedTokenizer {
    tokenizer: EmbedderTokenizer,
    /// Digest of tokenizer.json.
    digest: Digest,
    max_tokens: usize,
    prompts: Option<EmbedderPrompts>,
}

impl LoadedTokenizer {
    fn load(folder: &Path, encoder: &TextEncoder) -> Result<Self, LoadError> {
        let path = folder.join("tokenizer.json");
        let bytes = read_file(&path, "tokenizer", "put the embedder's tokenizer.json there")?;
        let wrong = |expected: &str, found: String| LoadError::Tokenizer {
            path: path.clone(),
            expected: expected.to_owned(),
            found,
            remedy: "put the tokenizer.json of this embedder there".into(),
        };
        let mut tokenizer = tokenizer_json::read(&bytes).map_err(|e| wrong("a tokenizer.json of the tokenizers library", e.to_string()))?;
        if let Some(id) = tokenizer.get_vocab(true).into_values().max().filter(|id| *id as usize >= encoder.vocabulary()) {
            return Err(wrong(&format!("ids below {}, as the model has rows", encoder.vocabulary()), id.to_string()));
        }
        let prompts = load_prompts(folder)?;
        let unknown = unknown_id(&tokenizer, &bytes);
        let mut control = mark_special(&mut tokenizer, &Roles::of_folder(folder)?)
            .map_err(|e| wrong("a tokenizer whose special tokens can be marked", e.to_string()))?;
        control.retain(|id| Some(*id) != unknown);
        tokenizer.set_encode_special_tokens(true);
        let own = tokenizer.get_truncation().map(|truncation| truncation.max_length);
        let asked = load_max_tokens(folder)?.map(|n| n as usize).or(own);
        let max_tokens = asked.unwrap_or(usize::MAX).clamp(2, encoder.max_tokens());
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(Some(TruncationParams { max_length: max_tokens, ..TruncationParams::default() }))
            .map_err(|e| wrong(&format!("a tokenizer that can truncate texts to {max_tokens} tokens"), e.to_string()))?;

        let tokenizer = EmbedderTokenizer { inner: tokenizer, control, unknown };
        if let Some(prompts) = &prompts {
            check_prompts(folder, prompts, &tokenizer, max_tokens)?;
        }
        Ok(Self { tokenizer, digest: Digest::of(&bytes), max_tokens, prompts })
    }
}

impl Embedder {
    /// Loads an embedder's folder: what [`TextEncoder::load`] reads, and `tokenizer.json`.
    ///
    /// Texts are truncated to the max tokens of `sentence_bert_config.json`, else to those of tokenizer.json, else to the number of
    /// positions. The padding in tokenizer.json is ignored.
    ///
    /// # Errors
    ///
    /// Those of [`TextEncoder::load`]; a tokenizer that cannot be read or has ids that the model lacks; prompts other than one for queries
    /// and one for passages.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        let (encoder, checkpoint) = TextEncoder::load_with_checkpoint(folder, options)?;
        let weights = || checkpoint.digest();
        let (loaded, weights) = thread::scope(|scope| {
            let weights = Beside::begin(scope, "mempack-digests", &weights);
            (LoadedTokenizer::load(folder, &encoder), weights.end())
        });
        let LoadedTokenizer { tokenizer, digest, max_tokens, prompts } = loaded?;
        let mut hash = blake3::Hasher::new();
        for part in [weights, Digest::of(encoder.canonical().as_bytes()), digest] {
            hash.update(&part.0);
        }
        hash.update(&(max_tokens as u64).to_le_bytes());
        for prompt in prompts.iter().flat_map(|EmbedderPrompts { query, passage }| [query, passage]) {
            hash.update(&(prompt.len() as u64).to_le_bytes()).update(prompt.as_bytes());
        }
        let name = folder.canonicalize().ok().and_then(|full| Some(full.file_name()?.to_string_lossy().into_owned()));
        let identity = EmbedderIdentity {
            name: name.unwrap_or_default(),
            digest: hash.finalize().into(),
            dim: encoder.dim() as u32,
            metric: "cosine".into(),
            max_tokens: max_tokens as u32,
            prompts,
        };
        Ok(Self { encoder, tokenizer: Arc::new(tokenizer), identity })
    }

    /// The identity: a digest of weights, architecture, pooling, tokenizer, max tokens and prompts. Precision and device are not part of it.
    pub fn identity(&self) -> &EmbedderIdentity {
        &self.identity
    }

    /// Dimensions of a vector.
    pub fn dim(&self) -> usize {
        self.encoder.dim()
    }

    /// The encoder, for texts given as token ids.
    pub fn encoder(&self) -> &TextEncoder {
        &self.encoder
    }

    /// Another handle on the same weights and tokenizer, for another thread.
    pub fn share(&self) -> Self {
        Self { encoder: self.encoder.share(), tokenizer: Arc::clone(&self.tokenizer), identity: self.identity.clone() }
    }

    /// What is put before a text; empty if the embedder has no prompt for it.
    pub fn prompt(&self, embed_as: EmbedAs) -> &str {
        match (&self.identity.prompts, embed_as) {
            (None, _) => "",
            (Some(prompts), EmbedAs::Query) => &prompts.query,
            (Some(prompts), EmbedAs::Passage) => &prompts.passage,
        }
    }

    /// Token ids of a text behind its prompt, with the model's special tokens around them, truncated to its max tokens. Special tokens in
    /// the text are ordinary characters.
    pub fn tokens(&self, embed_as: EmbedAs, text: &str) -> Result<Vec<u32>, ComputeError> {
        let text = match self.prompt(embed_as) {
            "" => Cow::from(text),
            prompt => Cow::from([prompt, text].concat()),
        };
        self.tokenizer.tokens(&text)
    }

    /// Embeds texts, all as queries or all as passages: `[texts, dim]`, row by row, each row of unit length.
    ///
    /// The result is a function of the texts alone; see [`TextEncoder::embed_ids`].
    ///
    /// # Errors
    ///
    /// A failure of the tokenizer or of libtorch.
    pub fn embed(&self, embed_as: EmbedAs, texts: &[&str]) -> Result<Vec<f32>, ComputeError> {
        let ids: Vec<Vec<u32>> = texts.iter().map(|text| self.tokens(embed_as, text)).collect::<Result<_, _>>()?;
        self.encoder.embed_ids(&ids.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    /// How much of texts the embedder's tokenizer does not know, of the parts that are embedded. Encoding takes a small part of the time
    /// that embedding takes.
    ///
    /// # Errors
    ///
    /// A failure of the tokenizer.
    pub fn unknown(&self, texts: &[&str]) -> Result<UnknownText, ComputeError> {
        let mut sum = UnknownText::default();
        for text in texts {
            sum += UnknownText::count(&self.tokenizer.encode(text)?, text, self.tokenizer.unknown);
        }
        Ok(sum)
    }
}

impl Embed for Embedder {
    type Error = ComputeError;

    fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, ComputeError> {
        let rows = self.embed(EmbedAs::Query, texts)?;
        Ok(rows.chunks_exact(self.dim().max(1)).map(<[f32]>::to_vec).collect())
    }
}

/// Refuses prompts that leave no room for texts, and those with a control token, which this library would embed as ordinary characters.
fn check_prompts(folder: &Path, prompts: &EmbedderPrompts, tokenizer: &EmbedderTokenizer, max_tokens: usize) -> Result<(), LoadError> {
    let added = tokenizer.inner.get_added_tokens_decoder();
    for (name, prompt) in [("query", &prompts.query), ("passage", &prompts.passage)] {
        let refuse = |expected: String, found: String| LoadError::Field {
            path: folder.join("config_sentence_transformers.json"),
            field: "prompts".into(),
            expected,
            found: format!("{found} in the {name} prompt {prompt:?}"),
            remedy: "use an embedder whose prompts are short plain text".into(),
        };
        if let Some(token) = added.values().find(|token| token.special && !token.content.is_empty() && prompt.contains(&token.content)) {
            return Err(refuse("plain text".into(), format!("the control token `{}`", token.content)));
        }
        let tokens = tokenizer.tokens(prompt).map_err(|e| refuse("text that can be encoded".into(), e.to_string()))?.len();
        if 2 * tokens > max_tokens {
            return Err(refuse(format!("at most half of the {max_tokens} tokens that a text may have"), format!("{tokens} tokens")));
        }
    }
    Ok(())
}
