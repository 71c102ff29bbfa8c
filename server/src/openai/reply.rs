//! Replies of `/v1/chat/completions` and `/v1/completions`.

use mempack_runtime::TokenLogProbabilities;
use serde::Serialize;
use utoipa::ToSchema;

use crate::citations::{Annotation, Attention};

/// An answer, or several.
#[derive(Serialize, ToSchema)]
pub struct Completion {
    /// Identifies the request in the logs.
    pub id: String,
    /// `chat.completion`, or `text_completion`.
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    /// The model that answered.
    pub model: String,
    /// The answers.
    pub choices: Vec<Choice>,
    /// Numbers of tokens.
    pub usage: Usage,
}

/// An answer. A chat has a `message`, another completion a `text`.
#[derive(Serialize, ToSchema)]
pub struct Choice {
    /// Its place.
    pub index: usize,
    /// The message of a chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<AnswerMessage>,
    /// The text of another completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The references that another completion was read from; those of a chat are in its message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Vec<Annotation>>,
    /// Log-probabilities of its tokens, if they were wanted.
    pub logprobs: Option<Logprobs>,
    /// What each token leaned on, if that was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<Attention>,
    /// `stop` if the model or a stop string ended it, `length` if it has as many tokens as allowed.
    pub finish_reason: &'static str,
}

/// The message of a chat.
#[derive(Serialize, ToSchema)]
pub struct AnswerMessage {
    /// `assistant`.
    pub role: &'static str,
    /// The answer.
    pub content: String,
    /// Always null.
    #[schema(value_type = Option<String>)]
    pub refusal: (),
    /// The references that it was read from.
    pub annotations: Vec<Annotation>,
}

/// Numbers of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answers.
    pub completion_tokens: usize,
    /// Both.
    pub total_tokens: usize,
    /// Of the prompt's tokens.
    pub prompt_tokens_details: PromptTokensDetails,
}

/// Of a prompt's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct PromptTokensDetails {
    /// Those whose keys and values an earlier request had left.
    pub cached_tokens: usize,
}

impl Usage {
    /// The tokens of an answer to a prompt.
    pub fn of(prompt: usize, cached: usize, completion: usize) -> Self {
        Self {
            prompt_tokens: prompt,
            completion_tokens: completion,
            total_tokens: prompt + completion,
            prompt_tokens_details: PromptTokensDetails { cached_tokens: cached },
        }
    }

    /// Adds the tokens of another answer. Answers to one prompt count its tokens once.
    pub fn add(&mut self, other: Self, same_prompt: bool) {
        if !same_prompt {
            self.prompt_tokens += other.prompt_tokens;
            self.prompt_tokens_details.cached_tokens += other.prompt_tokens_details.cached_tokens;
        }
        self.completion_tokens += other.completion_tokens;
        self.total_tokens = self.prompt_tokens + self.completion_tokens;
    }
}

/// Log-probabilities of tokens.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Logprobs {
    /// In the form of a chat.
    Chat {
        /// The tokens.
        content: Vec<TokenLogprob>,
        /// Always null.
        #[schema(value_type = Option<String>)]
        refusal: (),
    },
    /// In the form of other completions.
    Text {
        /// The texts of the tokens.
        tokens: Vec<String>,
        /// Their log-probabilities, in nats.
        token_logprobs: Vec<f64>,
        /// The most likely tokens at each place.
        #[schema(value_type = Vec<Object>)]
        top_logprobs: Vec<serde_json::Map<String, serde_json::Value>>,
        /// Where each begins in the text, in Unicode code points.
        text_offset: Vec<usize>,
    },
}

/// The log-probability of a token.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TokenLogprob {
    /// Its text.
    pub token: String,
    /// In nats.
    pub logprob: f64,
    /// The bytes of its text, which may be a part of a character; null for a special token.
    pub bytes: Option<Vec<u8>>,
    /// The most likely tokens at its place.
    pub top_logprobs: Vec<TopLogprob>,
}

/// The log-probability of a likely token.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TopLogprob {
    /// Its text.
    pub token: String,
    /// In nats.
    pub logprob: f64,
    /// The bytes of its text, which may be a part of a character; null for a special token.
    pub bytes: Option<Vec<u8>>,
}

impl Logprobs {
    /// In the form of a chat.
    pub fn chat(tokens: &[TokenLogProbabilities]) -> Self {
        let top = |token: &TokenLogProbabilities| {
            let likely = token.top.iter();
            likely
                .map(|other| TopLogprob { token: other.text.clone(), logprob: other.log_probability, bytes: other.bytes.clone() })
                .collect()
        };
        let of = |token: &TokenLogProbabilities| TokenLogprob {
            token: token.text.clone(),
            logprob: token.log_probability,
            bytes: token.bytes.clone(),
            top_logprobs: top(token),
        };
        Self::Chat { content: tokens.iter().map(of).collect(), refusal: () }
    }

    /// In the form of other completions. The first token begins at code point `offset` of the text.
    pub fn text(tokens: &[TokenLogProbabilities], mut offset: usize) -> Self {
        let mut text_offset = Vec::with_capacity(tokens.len());
        for token in tokens {
            text_offset.push(offset);
            offset += token.text.chars().count();
        }
        let top = |token: &TokenLogProbabilities| {
            token.top.iter().map(|other| (other.text.clone(), serde_json::json!(other.log_probability))).collect()
        };
        Self::Text {
            tokens: tokens.iter().map(|token| token.text.clone()).collect(),
            token_logprobs: tokens.iter().map(|token| token.log_probability).collect(),
            top_logprobs: tokens.iter().map(top).collect(),
            text_offset,
        }
    }
}
