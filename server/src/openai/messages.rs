//! The messages of a conversation.

use mempack_model::Exchange;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::ApiError;

/// What a request asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// A question after the turns of a conversation.
    Question {
        /// The system's words.
        system: Option<String>,
        /// The turns before it.
        earlier: Vec<Exchange>,
        /// The question.
        question: String,
    },
    /// Texts to continue, each by itself.
    Continue(Vec<String>),
}

/// A message.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `system` or `developer` (before all others), `user`, or `assistant`.
    role: String,
    /// The words.
    content: Option<Content>,
    /// A name of the writer. It affects nothing.
    #[serde(rename = "name")]
    #[expect(dead_code, reason = "accepted so that clients may send it")]
    name: Option<String>,
    /// Citations of an earlier answer. They affect nothing.
    #[expect(dead_code, reason = "accepted so that clients may send answers back")]
    #[serde(default)]
    #[schema(value_type = Object)]
    annotations: Value,
    /// Null, or the message is refused.
    #[serde(default)]
    #[schema(value_type = Object)]
    refusal: Value,
    /// Null, or the message is refused.
    #[serde(default)]
    #[schema(value_type = Object)]
    audio: Value,
    /// Null, or the message is refused.
    #[serde(default)]
    #[schema(value_type = Object)]
    function_call: Value,
    /// Null or empty, or the message is refused.
    #[serde(default)]
    #[schema(value_type = Object)]
    tool_calls: Value,
}

/// The words of a message.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Deserialize, ToSchema)]
struct Part {
    /// `text`.
    #[serde(rename = "type")]
    kind: String,
    /// The words.
    text: Option<String>,
}

/// The words of message `at`.
fn words(at: usize, content: Option<Content>) -> Result<String, ApiError> {
    match content {
        None => Ok(String::new()),
        Some(Content::Text(text)) => Ok(text),
        Some(Content::Parts(parts)) => {
            let mut texts = Vec::with_capacity(parts.len());
            for (part, Part { kind, text }) in parts.into_iter().enumerate() {
                match text {
                    Some(text) if kind == "text" => texts.push(text),
                    _ => {
                        let message = format!("parts of type `{kind}` are not supported here; send text");
                        return Err(ApiError::unsupported(format!("messages[{at}].content[{part}].type"), message));
                    }
                }
            }
            Ok(texts.join("\n"))
        }
    }
}

/// A conversation from its messages: what the system says, then user and assistant in turn, the user last.
///
/// # Errors
/// A role that is not supported or not in its turn, content that is not text, a user's message without words.
pub fn conversation(messages: Vec<Message>) -> Result<Prompt, ApiError> {
    let mut system: Vec<String> = Vec::new();
    let mut earlier = Vec::new();
    let mut question: Option<String> = None;
    for (at, Message { role, content, refusal, audio, function_call, tool_calls, .. }) in messages.into_iter().enumerate() {
        let used = |value: &Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
        let unsupported = [("refusal", refusal), ("audio", audio), ("function_call", function_call), ("tool_calls", tool_calls)];
        if let Some((name, _)) = unsupported.iter().find(|(_, value)| used(value)) {
            return Err(ApiError::unsupported(format!("messages[{at}].{name}"), format!("`{name}` is not supported here; leave it out")));
        }
        let words = words(at, content)?;
        let misplaced = |message: &str| Err(ApiError::field(format!("messages[{at}].role"), message));
        match (role.as_str(), &question) {
            ("system" | "developer", None) if earlier.is_empty() => system.push(words),
            ("system" | "developer", _) => return misplaced("a system message must come before all others"),
            ("user", None) if words.trim().is_empty() => {
                return Err(ApiError::field(format!("messages[{at}].content"), "the message is empty; ask something"));
            }
            ("user", None) => question = Some(words),
            ("user", Some(_)) => {
                return misplaced("two messages of the user follow each other; put them into one, or the assistant's answer between them");
            }
            ("assistant", Some(_)) => earlier.push(Exchange { question: question.take().unwrap_or_default(), answer: words }),
            ("assistant", None) => return misplaced("an assistant's message must follow one of the user"),
            _ => {
                let message = format!("messages of role `{role}` are not supported here; expected system, user or assistant");
                return Err(ApiError::unsupported(format!("messages[{at}].role"), message));
            }
        }
    }
    let Some(question) = question else {
        return Err(ApiError::field("messages", "the last message must be the user's"));
    };
    let system = system.join("\n\n");
    Ok(Prompt::Question { system: Some(system).filter(|words| !words.trim().is_empty()), earlier, question })
}
