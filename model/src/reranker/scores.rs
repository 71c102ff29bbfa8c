//! A cross-encoder: it reads a query and a text together and scores how well the text answers the query.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use mempack_corpus::ReferenceTokens;
use tch::{TchError, Tensor};

use super::config::{FETCH, load_config, load_max_tokens};
use super::pairs::{Pair, PairLayout, WrongLayout};
use crate::checkpoint::Checkpoint;
use crate::encoder::{AffineMap, Encoder, EncoderText, Tensors};
use crate::folder::check_folder;
use crate::tokenizer::TextTokenizer;
use crate::{ComputeError, LoadError, LoadOptions};

const FOLDER: &str = "a reranker's folder has config.json, model.safetensors and tokenizer.json of a cross-encoder: a BERT or XLM-RoBERTa model \
                      with one label";

/// Scores pairs of a query and a text (Nogueira and Cho, arXiv 1901.04085).
///
/// It is loaded from the folder of a cross-encoder: `BertForSequenceClassification`, `XLMRobertaForSequenceClassification`, or one of the
/// RoBERTa models with the latter's head, with one label. It is `Send`; [`share`](Self::share) makes a handle for another thread.
pub struct Reranker {
    name: String,
    encoder: Encoder,
    dense: AffineMap,
    out: AffineMap,
    tokenizer: TextTokenizer,
    layout: PairLayout,
    max_tokens: usize,
    instance: u64,
}

/// The number of the next reranker that is loaded.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Reranker {
    /// Loads a folder with `config.json`, `model.safetensors` (or its shards) and `tokenizer.json`.
    ///
    /// Pairs have at most `model_max_length` tokens (`tokenizer_config.json`), and at most as many as the model has positions. The padding and
    /// truncation in tokenizer.json are ignored.
    ///
    /// # Errors
    ///
    /// Another architecture, a number of labels other than 1, weights that contradict the configuration, a tokenizer that cannot be read, has
    /// ids that the model lacks, or puts no special tokens around pairs.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        check_folder(folder, "config.json", FOLDER)?;
        let (architecture, config) = load_config(&folder.join("config.json"))?;
        let path = folder.join("tokenizer.json");
        let tokenizer = TextTokenizer::load(&path)?;
        let wrong = |expected: String, found: String| LoadError::Tokenizer {
            path: path.clone(),
            expected,
            found,
            remedy: "put the tokenizer.json of this reranker there".into(),
        };
        if tokenizer.vocab_size() > config.vocabulary as usize {
            let expected = format!("ids below {}, as the model has rows", config.vocabulary);
            return Err(wrong(expected, (tokenizer.vocab_size() - 1).to_string()));
        }
        let layout =
            PairLayout::of(&tokenizer, architecture.typed).map_err(|WrongLayout { expected, found }| wrong(expected.into(), found))?;
        let types = if layout.typed { 2 } else { 1 };
        if config.types < types {
            return Err(wrong("token type 0 for both texts, as the model has one type".into(), "type 1 for the second".into()));
        }
        let max_tokens = load_max_tokens(folder, &config, layout.special() + 2)?;
        let device = options.device.resolve()?;
        let checkpoint = Checkpoint::open(folder)?;
        let tensors = Tensors { checkpoint: &checkpoint, kind: options.precision.kind(), device };
        let hidden = i64::from(config.hidden);
        let name = folder.canonicalize().ok().and_then(|full| Some(full.file_name()?.to_string_lossy().into_owned()));
        Ok(Self {
            name: name.unwrap_or_default(),
            dense: AffineMap::load(&tensors, architecture.dense, hidden, hidden)?,
            out: AffineMap::load(&tensors, architecture.out, 1, hidden)?,
            encoder: Encoder::load(config, types, &tensors, FETCH)?,
            tokenizer,
            layout,
            max_tokens,
            instance: NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// The name of its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A number that this reranker shares with its other handles, and with no reranker that was loaded apart.
    pub fn instance(&self) -> u64 {
        self.instance
    }

    /// Max tokens of a pair, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Another handle on the same weights and tokenizer, for another thread.
    pub fn share(&self) -> Self {
        Self {
            name: self.name.clone(),
            encoder: self.encoder.share(),
            dense: self.dense.share(),
            out: self.out.share(),
            tokenizer: self.tokenizer.clone(),
            layout: self.layout.clone(),
            max_tokens: self.max_tokens,
            instance: self.instance,
        }
    }

    /// How well each text answers the query: the model's one output, before any function is put over it. Higher is better; the scale is the
    /// model's own.
    ///
    /// All pairs are computed as one batch, packed without padding; the scores are in the order of `texts`. A pair that is too long loses the
    /// end of the text, and of the query only what exceeds half of the room. Special tokens in the texts are ordinary characters.
    ///
    /// # Errors
    ///
    /// A failure of the tokenizer or of libtorch, a score that is not finite.
    pub fn score_pairs(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>, ComputeError> {
        let pairs = self.pairs(query, texts)?;
        let pairs: Vec<EncoderText<'_>> = pairs.iter().map(Pair::text).collect();
        let first = |states: &Tensor| states.f_select(1, 0);
        let scores = self.encoder.rows(&pairs, 1, &first, &|states| self.head(states))?;
        match scores.iter().position(|score| !score.is_finite()) {
            Some(index) => Err(ComputeError::Score { index }),
            None => Ok(scores),
        }
    }

    /// Token ids of a pair, as the model reads it.
    ///
    /// # Errors
    ///
    /// A failure of the tokenizer.
    pub fn tokens(&self, query: &str, text: &str) -> Result<Vec<u32>, ComputeError> {
        Ok(self.pairs(query, &[text])?.pop().map(|pair| pair.ids).unwrap_or_default())
    }

    fn pairs(&self, query: &str, texts: &[&str]) -> Result<Vec<Pair>, ComputeError> {
        let query = self.tokenizer.encode_plain(query)?;
        texts.iter().map(|text| Ok(self.layout.pair(&query, &self.tokenizer.encode_plain(text)?, self.max_tokens))).collect()
    }

    /// `[pairs, 1]` of the states of the first tokens, `[pairs, hidden]`.
    fn head(&self, states: &Tensor) -> Result<Tensor, TchError> {
        self.out.apply(&self.dense.apply(states)?.f_tanh()?)
    }
}

/// Shares the weights.
impl Clone for Reranker {
    fn clone(&self) -> Self {
        self.share()
    }
}

impl fmt::Debug for Reranker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reranker").field("name", &self.name).field("max_tokens", &self.max_tokens).finish_non_exhaustive()
    }
}

/// Titles are put before texts as for a model whose references may be as long as a pair.
impl ReferenceTokens for Reranker {
    type Error = ComputeError;

    fn token_starts(&self, text: &str) -> Result<Vec<usize>, ComputeError> {
        Ok(self.tokenizer.encode_spans(text)?.into_iter().map(|(_, span)| span.start).collect())
    }

    fn encode_reference(&self, text: &str) -> Result<Vec<u32>, ComputeError> {
        self.tokenizer.encode_plain(text)
    }

    fn max_reference_tokens(&self) -> usize {
        self.max_tokens
    }
}
