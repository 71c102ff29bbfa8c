//! The Model Context Protocol at `/mcp`: `search` and `ask` as tools, under the same keys. Requests are independent of each other (no sessions), so that each
//! shows its key.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answering::Answering;
use crate::body;
use crate::citations::Citation;
use crate::error::ApiError;
use crate::openai::fields::Fields;
use crate::openai::request::{Asked, parse_filter};
use crate::request::Tracked;
use crate::search::search;
use crate::state::State;

/// References that a search gives unless it says how many.
const FOUND: usize = 5;
/// Most references that a search gives.
const MOST_FOUND: usize = 50;

/// The service at `/mcp`. `hosts` are the names under which it may be asked beside those of this machine.
pub fn service(state: &Arc<State>, hosts: &[String]) -> StreamableHttpService<Tools, NeverSessionManager> {
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(state.limits.body)
        .with_allowed_hosts(own.iter().chain(hosts).cloned());
    let tools = Tools { state: Arc::clone(state) };
    StreamableHttpService::new(move || Ok(tools.clone()), Arc::new(NeverSessionManager::default()), config)
}

/// Refuses callers without a valid key before anything of a request is read, and reads the request within the limits.
pub async fn guard(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    if state.who.access(request.headers()).is_err() {
        // The refusal is counted and logged as every other.
        if let Err(error) = Tracked::look(&state, request.headers(), "/mcp") {
            return error.into_response();
        }
    }
    let (parts, body) = request.into_parts();
    let head = Request::from_parts(parts.clone(), body);
    match body::bytes(head, &state.limits).await {
        Ok(bytes) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(error) => error.into_response(),
    }
}

/// The tools.
#[derive(Clone)]
pub struct Tools {
    state: Arc<State>,
}

/// Arguments of `search`.
#[derive(Deserialize)]
struct SearchArguments {
    query: String,
    k: Option<usize>,
    packs: Option<Vec<String>>,
    #[serde(rename = "where")]
    filter: Option<String>,
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let about =
            "Answers from memory packs. `search` finds passages by meaning and words; `ask` answers a question from them and cites.";
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("mempack", env!("CARGO_PKG_VERSION")))
            .with_instructions(about)
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: RequestContext<RoleServer>) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(vec![
            tool(
                "search",
                "Find the passages of the packs that are nearest to a query, with document, byte span and text.",
                search_schema(),
            ),
            tool("ask", "Answer a question from the packs' memories, with the passages that the answer was read from.", ask_schema()),
        ]))
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
        let headers = context.extensions.get::<axum::http::request::Parts>().map(|parts| parts.headers.clone()).unwrap_or_default();
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let mut tracked = match Tracked::begin(&self.state, &headers, "/mcp") {
            Ok(tracked) => tracked,
            Err(error) => return Ok(failed(&error)),
        };
        let done = match request.name.as_ref() {
            "search" => self.search(&mut tracked, arguments).await,
            "ask" => self.ask(&mut tracked, arguments).await,
            other => {
                let error = ApiError::not_found("unknown_tool", format!("there is no tool `{other}`; `search` and `ask` are"));
                tracked.end(Some(&error));
                return Err(ErrorData::invalid_params(error.message, None));
            }
        };
        tracked.end(done.as_ref().err());
        Ok(done.unwrap_or_else(|error| failed(&error)))
    }
}

impl Tools {
    async fn search(&self, tracked: &mut Tracked, arguments: Value) -> Result<CallToolResponse, ApiError> {
        let SearchArguments { query, k, packs, filter } = Fields::of(arguments, &[&["query", "k", "packs", "where"]])?.part()?;
        if query.trim().is_empty() {
            return Err(ApiError::field("query", "`query` is empty"));
        }
        let k = k.unwrap_or(FOUND);
        if !(1..=MOST_FOUND).contains(&k) {
            return Err(ApiError::field("k", format!("`k` is {k}; expected 1 to {MOST_FOUND}")));
        }
        tracked.asks(&query);
        let filter = filter.as_deref().map(parse_filter).transpose()?;
        let packs = self.state.catalog.reading(&tracked.caller().access, packs.as_deref(), filter.as_ref())?;
        let found = search(&self.state, packs, query, k).await?;
        for citation in &found {
            tracked.found(citation.pack_id.clone(), citation.reference);
        }
        let passages: Vec<String> = found.iter().enumerate().map(|(at, citation)| passage(at + 1, citation)).collect();
        Ok(result(passages.join("\n\n"), json!({"passages": found})))
    }

    async fn ask(&self, tracked: &mut Tracked, arguments: Value) -> Result<CallToolResponse, ApiError> {
        let fields = Fields::of(arguments, &[&["question", "k", "packs", "where", "max_tokens"]])?;
        let mut chat = fields.into_map();
        let question = chat.remove("question").unwrap_or_default();
        if !question.is_string() {
            return Err(ApiError::field("question", "`question` must be a text"));
        }
        tracked.asks(question.as_str().unwrap_or_default());
        chat.insert("messages".into(), json!([{"role": "user", "content": question}]));
        let asked = Asked::chat(Value::Object(chat), self.state.bounds)?;
        let mut answering = Answering::begin(&self.state, tracked.caller(), &asked)?;
        let answer = answering.only(&self.state, tracked).await?;
        let mut cited: Vec<&Citation> = answer.annotations.iter().map(|annotation| &annotation.mempack).collect();
        cited.sort_by(|one, other| other.attention.unwrap_or_default().total_cmp(&one.attention.unwrap_or_default()));
        let passages: Vec<String> = cited.iter().enumerate().map(|(at, citation)| passage(at + 1, citation)).collect();
        let text = format!("{}\n\nRead from:\n\n{}", answer.answer.text, passages.join("\n\n"));
        Ok(result(text, json!({"answer": answer.answer.text, "passages": cited})))
    }
}

/// A passage for a model to read.
fn passage(number: usize, citation: &Citation) -> String {
    let Citation { pack, document, title, start, end, text, .. } = citation;
    format!("[{number}] {title} ({pack}: {document}, bytes {start} to {end})\n{}", text.as_deref().unwrap_or("(the text is damaged)"))
}

fn result(text: String, structured: Value) -> CallToolResponse {
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = Some(structured);
    result.into()
}

/// An error that the model may read.
fn failed(error: &ApiError) -> CallToolResponse {
    let mut result = CallToolResult::error(vec![ContentBlock::text(error.message.clone())]);
    result.structured_content = serde_json::to_value(error.to_body()).ok();
    result.into()
}

fn tool(name: &'static str, description: &'static str, schema: Value) -> Tool {
    let schema = match schema {
        Value::Object(schema) => schema,
        _ => JsonObject::new(),
    };
    Tool::new(name, description, Arc::new(schema)).with_annotations(ToolAnnotations::new().read_only(true).open_world(false))
}

fn search_schema() -> Value {
    json!({"type": "object", "required": ["query"], "additionalProperties": false, "properties": {
        "query": {"type": "string", "description": "What to look for, in words."},
        "k": {"type": "integer", "minimum": 1, "maximum": MOST_FOUND, "default": FOUND, "description": "How many passages."},
        "packs": packs_schema(), "where": where_schema(),
    }})
}

fn ask_schema() -> Value {
    json!({"type": "object", "required": ["question"], "additionalProperties": false, "properties": {
        "question": {"type": "string", "description": "The question."},
        "k": {"type": "integer", "minimum": 1, "description": "Memories per chunk of 64 tokens."},
        "max_tokens": {"type": "integer", "minimum": 1, "description": "Most tokens of the answer."},
        "packs": packs_schema(), "where": where_schema(),
    }})
}

fn packs_schema() -> Value {
    json!({"type": "array", "items": {"type": "string"}, "description": "The packs to read, by name; all if it is left out."})
}

fn where_schema() -> Value {
    json!({"type": "string", "description": "A filter over the documents' fields, in CEL, for example: date >= \"2021-01-01\"."})
}
