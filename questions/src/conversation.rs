//! The file of conversations: one JSON object a line, with the messages of a user and an assistant in turn.

use std::path::Path;

use serde_json::Value;

use crate::error::QuestionError;
use crate::lines::{Form, Row, describe, read_all};

const FORM: Form = Form {
    what: "conversations",
    example: r#"{"id": "1", "messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}"#,
};

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Its id; empty if the line has none.
    pub id: String,
    /// Its turns, at least one.
    pub turns: Vec<ConversationTurn>,
    /// Its line in the file, counted from 1, for messages.
    pub line: u64,
}

/// What the user says, and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationTurn {
    /// The user's message; in the first turn, after the message of the system and a blank line, if there is one.
    pub user: String,
    /// The assistant's message.
    pub assistant: String,
}

/// Reads all conversations of a file. The messages of a line are one of the system, which may be missing, and then those of user and
/// assistant in turn, the last of the assistant.
///
/// # Errors
/// [`QuestionError`], also if the file has no conversations.
pub fn read_conversations(path: &Path) -> Result<Vec<Conversation>, QuestionError> {
    read_all(path, FORM, parse)
}

fn parse(row: &Row) -> Result<Conversation, QuestionError> {
    let id = if row.has("id") { row.id()? } else { String::new() };
    let list = row.get("messages").and_then(Value::as_array).ok_or_else(|| row.wrong("messages", "a list of messages"))?;
    let mut messages = Vec::with_capacity(list.len());
    for (number, message) in list.iter().enumerate() {
        let text = |field: &str, expected| {
            let value = message.get(field);
            let text = value.and_then(Value::as_str).filter(|text| !text.trim().is_empty());
            text.ok_or_else(|| row.refuse(format!("messages[{number}].{field}"), describe(value), expected))
        };
        let role = text("role", "`system`, `user` or `assistant`")?;
        messages.push((role, text("content", "a string with words")?));
    }
    let refuse = |number: usize, found, expected| Err(row.refuse(format!("messages[{number}].role"), found, expected));
    let mut turns: Vec<ConversationTurn> = Vec::new();
    let (mut system, mut user) = (String::new(), None);
    for (number, (role, content)) in messages.iter().enumerate() {
        match (*role, user.take()) {
            ("system", None) if number == 0 => system = format!("{content}\n\n"),
            ("system", _) => return refuse(number, "`system`", "`system` in the first message only"),
            ("user", None) => user = Some(std::mem::take(&mut system) + content),
            ("user", Some(_)) => return refuse(number, "`user`", "`assistant`, which answers the user's message before"),
            ("assistant", Some(user)) => turns.push(ConversationTurn { user, assistant: (*content).to_owned() }),
            ("assistant", None) => return refuse(number, "`assistant`", "`user`, whom the assistant answers"),
            _ => return refuse(number, "another role", "`system`, `user` or `assistant`"),
        }
    }
    if turns.is_empty() || user.is_some() {
        let found = if turns.is_empty() { "a list without an answer" } else { "a list that ends with the user" };
        return Err(row.refuse("messages".into(), found, "messages of user and assistant in turn, the last of the assistant"));
    }
    Ok(Conversation { id, turns, line: row.line })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lines::JsonLines;

    fn read(bytes: &[u8]) -> Vec<Result<Conversation, QuestionError>> {
        JsonLines::new(bytes, Path::new("c.jsonl"), FORM).map(|row| parse(&row?)).collect()
    }

    /// A line with messages of these roles, whose contents are their numbers.
    fn line(roles: &[&str]) -> String {
        let messages: Vec<_> =
            roles.iter().enumerate().map(|(number, role)| serde_json::json!({"role": role, "content": number.to_string()})).collect();
        serde_json::json!({"messages": messages}).to_string()
    }

    #[test]
    fn turns_are_pairs_of_messages() {
        let found = read(line(&["system", "user", "assistant", "user", "assistant"]).as_bytes()).remove(0).unwrap();
        let turn = |user: &str, assistant: &str| ConversationTurn { user: user.into(), assistant: assistant.into() };
        assert_eq!(found, Conversation { id: String::new(), turns: vec![turn("0\n\n1", "2"), turn("3", "4")], line: 1 });
    }

    #[test]
    fn errors_name_the_message() {
        let cases = [
            (line(&["assistant"]), "line 1: the field `messages[0].role` is `assistant`, expected `user`"),
            (line(&["user", "user"]), "the field `messages[1].role` is `user`, expected `assistant`"),
            (line(&["user", "assistant", "system"]), "the field `messages[2].role` is `system`"),
            (line(&["user", "tool"]), "the field `messages[1].role` is another role"),
            (line(&["user"]), "the field `messages` is a list without an answer"),
            (line(&["user", "assistant", "user"]), "the field `messages` is a list that ends with the user"),
            (line(&[]), "the field `messages` is a list without an answer"),
            (r#"{"messages": "x"}"#.to_owned(), "the field `messages` is a string, expected a list of messages"),
            (r#"{"messages": [{"role": "user", "content": " "}]}"#.to_owned(), "the field `messages[0].content` is an empty string"),
            (r#"{"messages": [1]}"#.to_owned(), "the field `messages[0].role` is missing"),
            (r#"{"id": true, "messages": []}"#.to_owned(), "the field `id` is true or false"),
        ];
        for (line, expected) in cases {
            let error = read(line.as_bytes()).remove(0).unwrap_err();
            assert!(error.to_string().contains(expected), "{error} / {expected}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), roles in prop::collection::vec(0usize..4, 0..6), cut in 0usize..400) {
            let _ = read(&bytes);
            let line = line(&roles.iter().map(|role| ["system", "user", "assistant", "tool"][*role]).collect::<Vec<_>>());
            for conversation in read(line.as_bytes()).into_iter().flatten() {
                prop_assert_eq!(2 * conversation.turns.len() + usize::from(roles[0] == 0), roles.len());
            }
            let cut = &line.as_bytes()[..cut.min(line.len() - 1)];
            prop_assert!(cut.is_empty() || read(cut).iter().all(Result::is_err));
        }
    }
}
