//! tokenizer.json, made from the vocabulary in a GGUF file's metadata or given by the caller.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use super::error::{FETCH, ImportError};
use super::metadata::Metadata;
use crate::foreign::{BOM, recognise};

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const KINDS: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";

/// Types of tokens, as the GGUF specification numbers them.
const NORMAL: i64 = 1;
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Llama 3's pre-tokenizer: contractions, words with one character before them, up to three digits, other characters, white space.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen2's pre-tokenizer: the same, with single digits.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How text is split before the merges of a byte-level vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Splitting {
    /// GPT-2's rule.
    Gpt2,
    /// Single digits, and GPT-2's rule between them.
    Digits,
    Llama3,
    Qwen2,
}

impl Splitting {
    /// The rule of a file. Files from before the key was introduced name none, and `default` stands for a rule that the converter did
    /// not know: any choice could split text otherwise than the model's own tokenizer.
    fn of(m: &Metadata<'_>) -> Result<Self, ImportError> {
        let refuse = |found: String| Err(m.vocabulary(PRE, "`smollm`, `gpt-2`, `llama-bpe` or `qwen2`", found));
        match m.str(PRE)? {
            Some("gpt-2" | "gpt2") => Ok(Self::Gpt2),
            Some("smollm" | "starcoder" | "refact" | "command-r") => Ok(Self::Digits),
            Some("llama-bpe" | "llama3" | "llama-v3") => Ok(Self::Llama3),
            Some("qwen2" | "deepseek-r1-qwen") => Ok(Self::Qwen2),
            Some("default") => refuse("`default`, which names no rule".into()),
            Some(other) => refuse(format!("`{}`", other.escape_debug())),
            None => refuse("nothing".into()),
        }
    }

    fn pre_tokenizer(self) -> Result<PreTokenizerWrapper, tokenizers::Error> {
        let split = |pattern: &str| -> Result<PreTokenizerWrapper, tokenizers::Error> {
            let split = Split::new(SplitPattern::Regex(pattern.into()), SplitDelimiterBehavior::Isolated, false)?;
            Ok(Sequence::new(vec![split.into(), ByteLevel::new(false, true, false).into()]).into())
        };
        match self {
            Self::Gpt2 => Ok(ByteLevel::new(false, true, true).into()),
            Self::Digits => Ok(Sequence::new(vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()]).into()),
            Self::Llama3 => split(LLAMA3),
            Self::Qwen2 => split(QWEN2),
        }
    }
}

/// The bytes of tokenizer.json: those of `given`, else made from the metadata. The model has `rows` ids.
pub(super) fn tokenizer_json(m: &Metadata<'_>, rows: u32, given: Option<&Path>) -> Result<Vec<u8>, ImportError> {
    if let Some(path) = given {
        return given_tokenizer(m, rows, path);
    }
    match m.str(MODEL)? {
        Some("gpt2") => {}
        Some("llama") => return Err(m.vocabulary(MODEL, "`gpt2`, a byte-level vocabulary", "`llama`, a SentencePiece vocabulary")),
        other => return Err(m.vocabulary(MODEL, "`gpt2`", other.map_or("nothing".into(), |o| format!("`{}`", o.escape_debug())))),
    }
    let tokens = m.strings(TOKENS)?.ok_or_else(|| m.vocabulary(TOKENS, "the vocabulary", "nothing"))?;
    if tokens.is_empty() || tokens.len() > rows as usize {
        return Err(m.wrong(
            TOKENS,
            format!("1 to {rows} tokens, one for each row of the embedding at most"),
            tokens.len().to_string(),
            FETCH,
        ));
    }
    let mut vocabulary: HashMap<&str, u32> = HashMap::with_capacity(tokens.len());
    for (id, token) in (0u32..).zip(&tokens) {
        if let Some(before) = vocabulary.insert(token, id) {
            return Err(m.vocabulary(TOKENS, "tokens that differ", format!("`{}` as {before} and as {id}", token.escape_debug())));
        }
    }
    // Only vocabularies of other kinds have these.
    for key in ["tokenizer.ggml.add_space_prefix", "tokenizer.ggml.remove_extra_whitespaces"] {
        if m.bool(key)? == Some(true) {
            return Err(m.vocabulary(key, "false, for a byte-level vocabulary", "true"));
        }
    }
    let merges = read_merges(m, &vocabulary)?;
    let splitting = Splitting::of(m)?;
    let fail = |e: tokenizers::Error| m.vocabulary(TOKENS, "a vocabulary that makes a tokenizer", e.to_string());
    let owned: tokenizers::models::bpe::Vocab = vocabulary.iter().map(|(token, id)| ((*token).to_owned(), *id)).collect();
    // Llama 3's vocabulary has words that its merges do not make.
    let model = BPE::builder().vocab_and_merges(owned, merges).ignore_merges(splitting == Splitting::Llama3).build().map_err(fail)?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(splitting.pre_tokenizer().map_err(fail)?));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    if splitting == Splitting::Qwen2 {
        tokenizer.with_normalizer(Some(NFC)).map_err(fail)?;
    }
    tokenizer.add_tokens(added_tokens(m, &tokens)?).map_err(fail)?;
    if let (Some(true), Some(bos)) = (m.bool("tokenizer.ggml.add_bos_token")?, m.u32("tokenizer.ggml.bos_token_id")?) {
        let token = tokens
            .get(bos as usize)
            .ok_or_else(|| m.wrong("tokenizer.ggml.bos_token_id", format!("an id below {}", tokens.len()), bos.to_string(), FETCH))?;
        tokenizer.with_post_processor(Some(begin_with(token, bos).map_err(|e| fail(e.into()))?));
    }
    Ok(tokenizer.to_string(false).map_err(fail)?.into_bytes())
}

/// The merges. The two parts and the merged text must be tokens.
fn read_merges(m: &Metadata<'_>, vocabulary: &HashMap<&str, u32>) -> Result<Vec<(String, String)>, ImportError> {
    let list = m.strings(MERGES)?.ok_or_else(|| m.vocabulary(MERGES, "the merges of the vocabulary", "nothing"))?;
    let mut merges = Vec::with_capacity(list.len());
    for (number, merge) in list.iter().enumerate() {
        let wrong = |found: &str| {
            m.wrong(
                MERGES,
                "two tokens with a space between them, that make a third",
                format!("`{}` as number {number}, {found}", merge.escape_debug()),
                FETCH,
            )
        };
        let (left, right) = merge.split_once(' ').ok_or_else(|| wrong("which has no space"))?;
        if [left, right].into_iter().any(|part| part.is_empty() || !vocabulary.contains_key(part)) {
            return Err(wrong("of which a part is no token"));
        }
        if !vocabulary.contains_key([left, right].concat().as_str()) {
            return Err(wrong("which makes no token"));
        }
        merges.push((left.to_owned(), right.to_owned()));
    }
    Ok(merges)
}

/// Tokens that are matched in a text before it is split. Control tokens are special, whatever their type in the file, and user-defined
/// ones are not.
fn added_tokens(m: &Metadata<'_>, tokens: &[&str]) -> Result<Vec<AddedToken>, ImportError> {
    let kinds = m.integers(KINDS)?.unwrap_or_else(|| vec![NORMAL; tokens.len()]);
    if kinds.len() != tokens.len() {
        return Err(m.wrong(KINDS, format!("{} types, one a token", tokens.len()), kinds.len().to_string(), FETCH));
    }
    let mut control = BTreeSet::new();
    for role in ["bos", "eos", "eot", "eom", "padding"] {
        control.extend(m.u32(&format!("tokenizer.ggml.{role}_token_id"))?);
    }
    let added = |(id, (token, kind)): (u32, (&&str, &i64))| match *kind {
        UNKNOWN | CONTROL => Some(AddedToken::from(*token, true)),
        _ if control.contains(&id) => Some(AddedToken::from(*token, true)),
        USER_DEFINED => Some(AddedToken::from(*token, false).normalized(false)),
        _ => None,
    };
    Ok((0..).zip(tokens.iter().zip(&kinds)).filter(|(_, (token, _))| !token.is_empty()).filter_map(added).collect())
}

/// A post-processor that puts a token before a text if special tokens are requested.
fn begin_with(token: &str, id: u32) -> Result<TemplateProcessing, serde_json::Error> {
    let special = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let [first, second] = ["A", "B"].map(|id| json!({ "Sequence": { "id": id, "type_id": 0 } }));
    serde_json::from_value(json!({
        "type": "TemplateProcessing",
        "single": [special, first],
        "pair": [special, first, special, second],
        "special_tokens": { token: { "id": token, "ids": [id], "tokens": [token] } },
    }))
}

/// The tokenizer.json at `path`, which must have the file's ids for ordinary tokens.
fn given_tokenizer(m: &Metadata<'_>, rows: u32, path: &Path) -> Result<Vec<u8>, ImportError> {
    let mut bytes = std::fs::read(path).map_err(|source| ImportError::Read { path: path.to_owned(), source })?;
    let wrong = |expected: &str, found: String| ImportError::Tokenizer {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found,
        remedy: "use the tokenizer.json of the same model",
    };
    if let Some(foreign) = recognise(&bytes) {
        return Err(ImportError::Tokenizer {
            path: path.to_owned(),
            expected: "JSON".into(),
            found: foreign.found.into(),
            remedy: foreign.remedy,
        });
    }
    if bytes.starts_with(BOM) {
        bytes.drain(..BOM.len());
    }
    let tokenizer = Tokenizer::from_bytes(&bytes).map_err(|e| wrong("a tokenizer.json of the tokenizers library", e.to_string()))?;
    // Text is never encoded to control tokens, for which the embedding may have no rows.
    let added = tokenizer.get_added_tokens_decoder();
    let ordinary = |id: &u32| !added.get(id).is_some_and(|token| token.special);
    if let Some(id) = tokenizer.get_vocab(true).into_values().filter(ordinary).max().filter(|id| *id >= rows) {
        return Err(wrong(&format!("ids below {rows}"), id.to_string()));
    }
    if let (Some(tokens), Some(kinds)) = (m.strings(TOKENS)?, m.integers(KINDS)?) {
        for (id, (token, kind)) in (0u32..).zip(tokens.iter().zip(&kinds)) {
            let found = tokenizer.id_to_token(id);
            if *kind == NORMAL && found.as_deref() != Some(*token) {
                let found = found.map_or("none".to_owned(), |f| format!("`{}`", f.escape_debug()));
                return Err(wrong(&format!("`{}` as token {id}", token.escape_debug()), found));
            }
        }
    }
    Ok(bytes)
}

/// tokenizer_config.json: the names of special tokens and the chat template, for other programs.
pub(super) fn tokenizer_config(m: &Metadata<'_>) -> Result<Value, ImportError> {
    let mut config = Map::new();
    config.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
    let tokens = m.strings(TOKENS)?.unwrap_or_default();
    for (field, key) in [("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding")] {
        if let Some(token) = m.u32(&format!("tokenizer.ggml.{key}_token_id"))?.and_then(|id| tokens.get(id as usize)) {
            config.insert(field.into(), json!(token));
        }
    }
    if let Some(add) = m.bool("tokenizer.ggml.add_bos_token")? {
        config.insert("add_bos_token".into(), json!(add));
    }
    if let Some(template) = m.str("tokenizer.chat_template")? {
        config.insert("chat_template".into(), json!(template));
    }
    Ok(Value::Object(config))
}
