//! The fields of requests: which are known, which are refused, and where a wrong one is.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// A field of OpenAI's interface that this server does not support, and the values that ask for nothing.
struct Unsupported {
    name: &'static str,
    neutral: fn(&Value) -> bool,
}

fn none(_: &Value) -> bool {
    false
}

fn zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn one(value: &Value) -> bool {
    value.as_f64() == Some(1.0)
}

fn no(value: &Value) -> bool {
    *value == Value::Bool(false)
}

fn empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

fn text(value: &Value) -> bool {
    value.get("type").and_then(Value::as_str) == Some("text")
}

fn automatic(value: &Value) -> bool {
    matches!(value.as_str(), Some("auto" | "default" | "none"))
}

const UNSUPPORTED: [Unsupported; 25] = [
    Unsupported { name: "audio", neutral: none },
    Unsupported { name: "best_of", neutral: one },
    Unsupported { name: "echo", neutral: no },
    Unsupported { name: "frequency_penalty", neutral: zero },
    Unsupported { name: "function_call", neutral: automatic },
    Unsupported { name: "functions", neutral: empty },
    Unsupported { name: "logit_bias", neutral: empty },
    Unsupported { name: "metadata", neutral: empty },
    Unsupported { name: "modalities", neutral: |value| value.as_array().is_some_and(|all| all.iter().all(|one| one == "text")) },
    Unsupported { name: "moderation", neutral: none },
    Unsupported { name: "parallel_tool_calls", neutral: none },
    Unsupported { name: "prediction", neutral: none },
    Unsupported { name: "presence_penalty", neutral: zero },
    Unsupported { name: "prompt_cache_key", neutral: none },
    Unsupported { name: "prompt_cache_retention", neutral: none },
    Unsupported { name: "reasoning_effort", neutral: automatic },
    Unsupported { name: "response_format", neutral: text },
    Unsupported { name: "safety_identifier", neutral: none },
    Unsupported { name: "service_tier", neutral: automatic },
    Unsupported { name: "store", neutral: no },
    Unsupported { name: "suffix", neutral: |value| value == "" },
    Unsupported { name: "tool_choice", neutral: automatic },
    Unsupported { name: "tools", neutral: empty },
    Unsupported { name: "verbosity", neutral: none },
    Unsupported { name: "web_search_options", neutral: none },
];

/// The fields of a request.
pub struct Fields(Value);

impl Fields {
    /// The fields of a body, which must be among the `known`. A field that asks for nothing is dropped.
    ///
    /// # Errors
    /// A body that is no object, a field that is not supported, a field that is not known.
    pub fn of(body: Value, known: &[&[&str]]) -> Result<Self, ApiError> {
        let Value::Object(mut fields) = body else { return Err(ApiError::body("the body must be a JSON object")) };
        fields.retain(|_, value| !value.is_null());
        let mut problem = None;
        fields.retain(|name, value| {
            if known.iter().any(|names| names.contains(&name.as_str())) {
                return true;
            }
            let refused = match UNSUPPORTED.iter().find(|unsupported| unsupported.name == name) {
                Some(unsupported) if (unsupported.neutral)(value) => return false,
                Some(_) => ApiError::unsupported(name, format!("`{name}` is not supported here; leave it out")),
                None => ApiError { code: "unknown_parameter", ..ApiError::field(name, format!("`{name}` is not known; leave it out")) },
            };
            problem.get_or_insert(refused);
            false
        });
        problem.map_or(Ok(Self(Value::Object(fields))), Err)
    }

    /// The fields by name.
    pub fn into_map(self) -> Map<String, Value> {
        match self.0 {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    /// The part of the fields that `T` has.
    ///
    /// # Errors
    /// The first field with a wrong type.
    pub fn part<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_path_to_error::deserialize(&self.0).map_err(|error| {
            let (path, problem) = (error.path().to_string(), error.inner().to_string());
            if path == "." { ApiError::body(problem) } else { ApiError::field(&path, format!("`{path}`: {problem}")) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Deserialize, Debug)]
    struct Part {
        n: Option<u8>,
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        let known: &[&[&str]] = &[&["n"]];
        let refused = |body| Fields::of(body, known).err().map(|error| (error.param.unwrap_or_default(), error.code));
        let unsupported = |name: &str| Some((name.to_owned(), "unsupported_parameter"));
        assert_eq!(refused(json!({"tools": [{"type": "function"}]})), unsupported("tools"));
        assert_eq!(refused(json!({"presence_penalty": 0.5})), unsupported("presence_penalty"));
        assert_eq!(refused(json!({"response_format": {"type": "json_object"}})), unsupported("response_format"));
        assert_eq!(refused(json!({"colour": 1})), Some(("colour".to_owned(), "unknown_parameter")));
        assert_eq!(refused(json!([1])), Some((String::new(), "invalid_body")));
        let neutral = json!({"n": 1, "tools": [], "presence_penalty": 0, "response_format": {"type": "text"}, "colour": null, "store": false, "echo": false});
        assert_eq!(refused(neutral), None);
    }

    #[test]
    fn a_wrong_type_is_told_with_its_field() {
        let fields = Fields::of(json!({"n": "two"}), &[&["n"]]).unwrap_or_else(|error| panic!("{error:?}"));
        let error = fields.part::<Part>().expect_err("a wrong type");
        assert_eq!((error.param.as_deref(), error.status.as_u16()), (Some("n"), 400));
        let fields = Fields::of(json!({"n": 2}), &[&["n"]]).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(fields.part::<Part>().map(|part| part.n), Ok(Some(2)));
    }
}
