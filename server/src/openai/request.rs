//! Requests of `/v1/chat/completions` and `/v1/completions`.

use mempack_filter::Expression;
use mempack_retrieval::Strategy;
use mempack_runtime::{MAX_ANSWER_TOKENS, Sampling};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::fields::Fields;
use super::messages::{Message, Prompt, conversation};
use crate::error::ApiError;

/// Most stop strings, as OpenAI has it.
const MAX_STOPS: usize = 4;
/// Most alternatives of a token.
const MAX_TOP_LOGPROBS: usize = 20;

/// What both endpoints accept.
const COMMON: [&str; 20] = [
    "model",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "max_tokens",
    "n",
    "user",
    "memories",
    "texts",
    "k",
    "packs",
    "exact",
    "citations",
    "where",
    "strategy",
    "rerank",
    "logprobs",
];
const OF_CHAT: [&str; 3] = ["messages", "max_completion_tokens", "top_logprobs"];
const OF_COMPLETION: [&str; 1] = ["prompt"];

/// A request to `/v1/chat/completions`, as it is published. Its parts are read one by one, so that an error names its field.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "for the schema")]
pub struct ChatRequest {
    #[serde(flatten)]
    chat: ChatFields,
    #[serde(flatten)]
    generation: Generation,
    #[serde(flatten)]
    reading: Reading,
}

/// A request to `/v1/completions`, as it is published.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "for the schema")]
pub struct CompletionRequest {
    #[serde(flatten)]
    completion: CompletionFields,
    #[serde(flatten)]
    generation: Generation,
    #[serde(flatten)]
    reading: Reading,
}

/// The fields of a chat alone.
#[derive(Deserialize, ToSchema)]
struct ChatFields {
    /// The conversation. Its last message is the user's.
    messages: Vec<Message>,
    /// As `max_tokens`.
    max_completion_tokens: Option<usize>,
    /// Whether each token comes with its log-probability.
    logprobs: Option<bool>,
    /// The most likely tokens at each place to list beside it, 0 to 20.
    top_logprobs: Option<usize>,
}

/// The fields of other completions alone.
#[derive(Deserialize, ToSchema)]
struct CompletionFields {
    /// The text to continue. The model's template is not put around it.
    prompt: OneOrMany,
    /// The most likely tokens at each place to list, 0 to 20; with it, each token comes with its log-probability.
    logprobs: Option<usize>,
}

/// How tokens are chosen: OpenAI's fields.
#[derive(Deserialize, ToSchema)]
struct Generation {
    /// The name of the model; the one that is served if it is left out.
    model: Option<String>,
    /// Whether the answer is sent as server-sent events while it grows.
    #[serde(default)]
    stream: bool,
    /// Options of a stream.
    stream_options: Option<StreamOptions>,
    /// 0 to 2; 0, the default, takes the most likely token.
    temperature: Option<f32>,
    /// Tokens are drawn from the most likely ones that together have this probability, above 0, at most 1.
    top_p: Option<f32>,
    /// The same seed gives the same answer; chosen at random without it.
    seed: Option<i64>,
    /// Texts, at most 4, before which the answer ends.
    stop: Option<OneOrMany>,
    /// Most tokens of the answer.
    max_tokens: Option<usize>,
    /// How many answers to give.
    n: Option<usize>,
    /// A name for the end user. It affects nothing.
    #[expect(dead_code, reason = "accepted so that clients may send it")]
    user: Option<String>,
}

/// What the answer is read from: this server's own fields.
#[derive(Deserialize, ToSchema)]
struct Reading {
    /// `false` answers from the weights alone.
    memories: Option<bool>,
    /// `true` puts the texts of the references into the prompt in place of memories, to compare with.
    texts: Option<bool>,
    /// Memories per chunk of 64 tokens.
    k: Option<usize>,
    /// The packs to read, by name; all that the key may read if it is left out.
    packs: Option<Vec<String>>,
    /// Whether every reference is compared with the query, in place of a search in the graph.
    #[serde(default)]
    exact: bool,
    /// Which citations come with the answer.
    #[serde(default)]
    citations: Citations,
    /// A filter over the fields of documents, in CEL: only documents that pass are read and cited.
    #[serde(rename = "where")]
    filter: Option<String>,
    /// Which of the references found are read: `top-k`, `similarity:X`, `diverse:X`.
    strategy: Option<String>,
    /// Whether the server's reranker puts them into its order; as the server is configured if it is left out.
    rerank: Option<bool>,
}

/// Which citations come with an answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Citations {
    /// None.
    None,
    /// The references that each chunk read, with their shares of attention.
    #[default]
    Chunks,
    /// These, and what each token of the answer leaned on.
    Tokens,
}

/// Options of a stream.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StreamOptions {
    /// Whether the last event has the numbers of tokens.
    #[serde(default)]
    include_usage: bool,
    /// Random characters that hide the lengths of tokens; `true` is refused.
    #[serde(default)]
    include_obfuscation: bool,
}

/// A text, or several.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// What packs a request reads, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadingOptions {
    /// Whether memories are read.
    pub memories: bool,
    /// Whether texts are put into the prompt.
    pub texts: bool,
    /// References per chunk.
    pub k: Option<usize>,
    /// Names of packs; `None` for all.
    pub packs: Option<Vec<String>>,
    /// Whether the search is exact.
    pub exact: bool,
    /// Which documents may be read.
    pub filter: Option<Expression>,
    /// Which references are read.
    pub strategy: Option<Strategy>,
    /// Whether a reranker is used.
    pub rerank: Option<bool>,
}

/// A request for answers that has been checked as far as it can be without a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The model's name.
    pub model: Option<String>,
    /// What is asked.
    pub prompt: Prompt,
    /// What is read.
    pub reading: ReadingOptions,
    /// How tokens are chosen. Answers of one request have successive seeds.
    pub sampling: Sampling,
    /// Texts before which an answer ends.
    pub stop: Vec<String>,
    /// Most tokens of an answer.
    pub max_tokens: Option<usize>,
    /// How many answers to each prompt.
    pub n: usize,
    /// Whether tokens come with log-probabilities, and with how many alternatives.
    pub log_probabilities: Option<usize>,
    /// Which citations are wanted.
    pub citations: Citations,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether a stream ends with the numbers of tokens.
    pub include_usage: bool,
}

/// What a server allows.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most answers to a prompt, and most prompts.
    pub answers: usize,
    /// Most tokens of an answer.
    pub tokens: usize,
}

impl Asked {
    /// A request to `/v1/chat/completions`.
    ///
    /// # Errors
    /// The first field that is wrong or not supported.
    pub fn chat(body: Value, bounds: Bounds) -> Result<Self, ApiError> {
        let fields = Fields::of(body, &[&COMMON, &OF_CHAT])?;
        let ChatFields { messages, max_completion_tokens, logprobs, top_logprobs } = fields.part()?;
        let (mut generation, reading): (Generation, Reading) = (fields.part()?, fields.part()?);
        if let Some(most) = max_completion_tokens {
            if generation.max_tokens.is_some_and(|other| other != most) {
                return Err(ApiError::field("max_tokens", "`max_tokens` and `max_completion_tokens` differ; give one of them"));
            }
            generation.max_tokens = Some(most);
        }
        let log_probabilities = match (logprobs.unwrap_or_default(), top_logprobs) {
            (true, top) => Some(top.unwrap_or_default()),
            (false, None | Some(0)) => None,
            (false, Some(_)) => return Err(ApiError::field("top_logprobs", "`top_logprobs` needs `logprobs`: true")),
        };
        if log_probabilities.is_some_and(|top| top > MAX_TOP_LOGPROBS) {
            return Err(out_of_range("top_logprobs", log_probabilities.unwrap_or_default(), "0 to 20"));
        }
        Self::of(conversation(messages)?, log_probabilities, generation, reading, bounds)
    }

    /// A request to `/v1/completions`.
    ///
    /// # Errors
    /// The first field that is wrong or not supported.
    pub fn completion(body: Value, bounds: Bounds) -> Result<Self, ApiError> {
        if body.get("prompt").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| !one.is_string())) {
            return Err(ApiError::unsupported("prompt", "`prompt` must be a text or a list of texts; token ids are not supported"));
        }
        let fields = Fields::of(body, &[&COMMON, &OF_COMPLETION])?;
        let CompletionFields { prompt, logprobs } = fields.part()?;
        let (generation, reading): (Generation, Reading) = (fields.part()?, fields.part()?);
        if logprobs.is_some_and(|top| top > MAX_TOP_LOGPROBS) {
            return Err(out_of_range("logprobs", logprobs.unwrap_or_default(), "0 to 20"));
        }
        let prompts = prompt.into_vec();
        if prompts.is_empty() || prompts.len() > bounds.answers {
            return Err(out_of_range("prompt", prompts.len(), &format!("1 to {} texts", bounds.answers)));
        }
        if prompts.iter().any(|prompt| prompt.trim().is_empty()) {
            return Err(ApiError::field("prompt", "`prompt` has an empty text; give something to continue"));
        }
        if reading.texts == Some(true) {
            return Err(ApiError::unsupported(
                "texts",
                "`texts` puts references before a question, and is not supported in completions; use `/v1/chat/completions`",
            ));
        }
        Self::of(Prompt::Continue(prompts), logprobs, generation, reading, bounds)
    }

    fn of(
        prompt: Prompt,
        log_probabilities: Option<usize>,
        generation: Generation,
        reading: Reading,
        bounds: Bounds,
    ) -> Result<Self, ApiError> {
        let Generation { model, stream, stream_options, temperature, top_p, seed, stop, max_tokens, n, .. } = generation;
        if stream_options.is_some() && !stream {
            return Err(ApiError::field("stream_options", "`stream_options` needs `stream`: true"));
        }
        if stream_options.as_ref().is_some_and(|options| options.include_obfuscation) {
            return Err(ApiError::unsupported(
                "stream_options.include_obfuscation",
                "`include_obfuscation` is not supported here; leave it out",
            ));
        }
        let n = n.unwrap_or(1);
        if !(1..=bounds.answers).contains(&n) {
            return Err(out_of_range("n", n, &format!("1 to {}", bounds.answers)));
        }
        let most = bounds.tokens.min(MAX_ANSWER_TOKENS);
        if let Some(tokens) = max_tokens.filter(|tokens| !(1..=most).contains(tokens)) {
            return Err(out_of_range("max_tokens", tokens, &format!("1 to {most}")));
        }
        let stop = stop.map(OneOrMany::into_vec).unwrap_or_default();
        if stop.len() > MAX_STOPS || stop.iter().any(String::is_empty) {
            return Err(ApiError::field("stop", format!("`stop` must have at most {MAX_STOPS} texts, none of them empty")));
        }
        Ok(Self {
            model,
            prompt,
            reading: reading.checked()?,
            sampling: sampling(temperature, top_p, seed)?,
            stop,
            max_tokens,
            n,
            log_probabilities,
            citations: reading.citations,
            stream,
            include_usage: stream_options.is_some_and(|options| options.include_usage),
        })
    }
}

impl Reading {
    fn checked(&self) -> Result<ReadingOptions, ApiError> {
        let texts = self.texts.unwrap_or_default();
        if self.packs.as_ref().is_some_and(Vec::is_empty) {
            return Err(ApiError::field("packs", "`packs` names none; leave it out to read all, or use `memories`: false to read none"));
        }
        if texts && self.memories == Some(true) {
            return Err(ApiError::field(
                "texts",
                "`texts` and `memories` cannot both be true: references are read as texts or as memories",
            ));
        }
        let strategy = |word: &String| {
            word.parse().map_err(|error: mempack_retrieval::UnknownStrategy| ApiError::field("strategy", error.to_string()))
        };
        Ok(ReadingOptions {
            memories: self.memories.unwrap_or(!texts),
            texts,
            k: self.k,
            packs: self.packs.clone(),
            exact: self.exact,
            filter: self.filter.as_deref().map(parse_filter).transpose()?,
            strategy: self.strategy.as_ref().map(strategy).transpose()?,
            rerank: self.rerank,
        })
    }
}

/// A filter over the fields of documents.
///
/// # Errors
/// If it does not parse; with the position.
pub fn parse_filter(text: &str) -> Result<Expression, ApiError> {
    Expression::parse(text).map_err(|error| ApiError::field("where", error.to_string()))
}

fn out_of_range(name: &str, found: impl std::fmt::Display, expected: &str) -> ApiError {
    ApiError::field(name, format!("`{name}` is {found}; expected {expected}"))
}

/// How tokens are chosen. Without a temperature the most likely one is taken.
fn sampling(temperature: Option<f32>, top_p: Option<f32>, seed: Option<i64>) -> Result<Sampling, ApiError> {
    if let Some(found) = temperature.filter(|temperature| !(0.0..=2.0).contains(temperature)) {
        return Err(out_of_range("temperature", found, "0 to 2"));
    }
    if let Some(found) = top_p.filter(|top_p| !(*top_p > 0.0 && *top_p <= 1.0)) {
        return Err(out_of_range("top_p", found, "a number above 0, at most 1"));
    }
    match temperature {
        None if top_p.is_some_and(|top_p| top_p < 1.0) => {
            Err(ApiError::field("top_p", "`top_p` needs `temperature`: without one, the most likely token is taken"))
        }
        None | Some(0.0) => Ok(Sampling::Greedy),
        Some(temperature) => {
            let seed = match seed {
                Some(seed) => seed.cast_unsigned(),
                None => getrandom::u64().map_err(|_| ApiError::internal())?,
            };
            Ok(Sampling::TopP { temperature, top_p: top_p.unwrap_or(1.0), seed })
        }
    }
}

#[cfg(test)]
mod tests;
