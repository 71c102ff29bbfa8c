//! The endpoints that answer: `/v1/chat/completions` and `/v1/completions`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderValue, Request};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::messages::Prompt;
use super::reply::{AnswerMessage, Choice, Completion, Logprobs, Usage};
use super::request::{Asked, Citations};
use crate::answering::{Answering, Cited, Next};
use crate::body;
use crate::error::ApiError;
use crate::request::Tracked;
use crate::state::{State, now};

/// Events of a stream that wait for a slow client.
const WAITING_EVENTS: usize = 64;

/// The forms of replies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Chat,
    Text,
}

/// Answers the last message of a conversation.
#[utoipa::path(post, path = "/v1/chat/completions", request_body = super::request::ChatRequest, tag = "OpenAI",
    responses((status = 200, description = "The answer, or with `stream` its events", body = Completion),
              (status = "4XX", description = "A request that is refused", body = crate::error::ErrorBody),
              (status = "5XX", description = "A failure", body = crate::error::ErrorBody)))]
pub async fn chat(Shared(state): Shared<Arc<State>>, request: Request<Body>) -> Response {
    answer(state, request, Form::Chat).await
}

/// Continues a text.
#[utoipa::path(post, path = "/v1/completions", request_body = super::request::CompletionRequest, tag = "OpenAI",
    responses((status = 200, description = "The text that follows, or with `stream` its events", body = Completion),
              (status = "4XX", description = "A request that is refused", body = crate::error::ErrorBody),
              (status = "5XX", description = "A failure", body = crate::error::ErrorBody)))]
pub async fn completions(Shared(state): Shared<Arc<State>>, request: Request<Body>) -> Response {
    answer(state, request, Form::Text).await
}

async fn answer(state: Arc<State>, request: Request<Body>, form: Form) -> Response {
    let endpoint = if form == Form::Chat { "/v1/chat/completions" } else { "/v1/completions" };
    let mut tracked = match Tracked::begin(&state, request.headers(), endpoint) {
        Ok(tracked) => tracked,
        Err(error) => return error.into_response(),
    };
    let id = HeaderValue::try_from(&tracked.caller().id);
    let mut response = match begin(&state, &mut tracked, request, form).await {
        Ok((answering, reply)) if reply.asked.stream => stream(state, tracked, answering, reply).await,
        Ok((answering, reply)) => {
            let whole = whole(&state, &mut tracked, answering, &reply).await;
            tracked.end(whole.as_ref().err());
            whole.map_or_else(IntoResponse::into_response, |completion| axum::Json(completion).into_response())
        }
        Err(error) => {
            tracked.end(Some(&error));
            error.into_response()
        }
    };
    if let Ok(id) = id {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// What a reply is made with.
struct Reply {
    asked: Asked,
    form: Form,
    id: String,
    created: u64,
    model: String,
}

async fn begin(state: &State, tracked: &mut Tracked, request: Request<Body>, form: Form) -> Result<(Answering, Reply), ApiError> {
    let value = body::json(request, &state.limits).await?;
    let asked = match form {
        Form::Chat => Asked::chat(value, state.bounds)?,
        Form::Text => Asked::completion(value, state.bounds)?,
    };
    match &asked.prompt {
        Prompt::Question { question, .. } => tracked.asks(question),
        Prompt::Continue(texts) => tracked.asks(&texts.join("\n")),
    }
    let answering = Answering::begin(state, tracked.caller(), &asked)?;
    let prefix = if form == Form::Chat { "chatcmpl" } else { "cmpl" };
    let (id, model) = (format!("{prefix}-{}", tracked.caller().id), state.model.name().to_owned());
    Ok((answering, Reply { asked, form, id, created: now(), model }))
}

/// All answers, once they are complete.
async fn whole(state: &State, tracked: &mut Tracked, mut answering: Answering, reply: &Reply) -> Result<Completion, ApiError> {
    let mut answers: Vec<Option<Box<Cited>>> = Vec::new();
    answers.resize_with(answering.answers(), || None);
    while answers.iter().any(Option::is_none) {
        match answering.next(state, tracked).await? {
            Some(Next::Ended { at, answer }) => {
                if let Some(place) = answers.get_mut(at) {
                    *place = Some(answer);
                }
            }
            Some(Next::Grown { .. }) => {}
            None => return Err(ApiError::internal()),
        }
    }
    let (mut choices, mut usage) = (Vec::with_capacity(answers.len()), Usage::default());
    for (index, cited) in answers.into_iter().flatten().enumerate() {
        usage.add(cited.usage(), answering.repeats_prompt(index));
        choices.push(reply.choice(index, *cited));
    }
    let Reply { id, created, model, .. } = reply;
    let object = if reply.form == Form::Chat { "chat.completion" } else { "text_completion" };
    Ok(Completion { id: id.clone(), object, created: *created, model: model.clone(), choices, usage })
}

impl Reply {
    fn choice(&self, index: usize, cited: Cited) -> Choice {
        let finish_reason = cited.finish_reason();
        let Cited { answer, annotations, attention } = cited;
        let logprobs = self.asked.log_probabilities.map(|_| match self.form {
            Form::Chat => Logprobs::chat(&answer.log_probabilities),
            Form::Text => Logprobs::text(&answer.log_probabilities, 0),
        });
        let (message, text, of_text) = match self.form {
            Form::Chat => (Some(AnswerMessage { role: "assistant", content: answer.text, refusal: (), annotations }), None, None),
            Form::Text => (None, Some(answer.text), Some(annotations).filter(|_| self.asked.citations != Citations::None)),
        };
        Choice { index, message, text, annotations: of_text, logprobs, attention, finish_reason }
    }

    /// An event of the stream with these choices.
    fn event(&self, choices: &Value) -> Value {
        let object = if self.form == Form::Chat { "chat.completion.chunk" } else { "text_completion" };
        let mut event = json!({"id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices});
        if self.asked.include_usage {
            event["usage"] = Value::Null;
        }
        event
    }

    /// The first event of an answer.
    fn opening(&self, index: usize) -> Option<Value> {
        let delta = json!({"role": "assistant", "content": ""});
        (self.form == Form::Chat).then(|| self.event(&json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": null}])))
    }

    /// An answer has grown by `text`, before which it had `length` code points.
    fn grown(&self, index: usize, text: &str, length: usize, tokens: &[mempack_runtime::TokenLogProbabilities]) -> Value {
        let wanted = self.asked.log_probabilities.is_some();
        match self.form {
            Form::Chat => {
                let logprobs = wanted.then(|| Logprobs::chat(tokens));
                self.event(&json!([{"index": index, "delta": {"content": text}, "logprobs": logprobs, "finish_reason": null}]))
            }
            Form::Text => {
                let logprobs = wanted.then(|| Logprobs::text(tokens, length));
                self.event(&json!([{"index": index, "text": text, "logprobs": logprobs, "finish_reason": null}]))
            }
        }
    }

    /// The last event of an answer.
    fn ending(&self, index: usize, cited: &Cited) -> Value {
        let Cited { annotations, attention, .. } = cited;
        let mut choice = match self.form {
            Form::Chat => {
                json!({"index": index, "delta": {"annotations": annotations}, "logprobs": null, "finish_reason": cited.finish_reason()})
            }
            Form::Text => {
                json!({"index": index, "text": "", "annotations": annotations, "logprobs": null, "finish_reason": cited.finish_reason()})
            }
        };
        if let Some(attention) = attention {
            choice["attention"] = json!(attention);
        }
        self.event(&json!([choice]))
    }

    /// The event with the numbers of tokens.
    fn usage(&self, usage: Usage) -> Value {
        let mut event = self.event(&json!([]));
        event["usage"] = json!(usage);
        event
    }
}

/// The answers as server-sent events. An error before the first text is the reply itself; a later one is an event.
async fn stream(state: Arc<State>, mut tracked: Tracked, mut answering: Answering, reply: Reply) -> Response {
    let first = match answering.next(&state, &mut tracked).await.and_then(|next| next.ok_or_else(ApiError::internal)) {
        Ok(first) => first,
        Err(error) => {
            tracked.end(Some(&error));
            return error.into_response();
        }
    };
    let (events, receiver) = mpsc::channel::<Result<Event, Infallible>>(WAITING_EVENTS);
    tokio::spawn(async move {
        let error = send(&state, &mut tracked, answering, &reply, first, &events).await.err();
        match &error {
            Some(Ended::Failed(error)) => {
                let event = Event::default().data(json!(error.to_body()).to_string());
                let _ = events.send(Ok(event)).await;
                tracked.end(Some(error));
            }
            Some(Ended::Gone) => tracked.gone(),
            None => tracked.end(None),
        }
    });
    Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default()).into_response()
}

/// Why a stream ended early.
enum Ended {
    /// The client is gone.
    Gone,
    /// An answer failed.
    Failed(ApiError),
}

impl From<ApiError> for Ended {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

async fn send(
    state: &State,
    tracked: &mut Tracked,
    mut answering: Answering,
    reply: &Reply,
    first: Next,
    events: &mpsc::Sender<Result<Event, Infallible>>,
) -> Result<(), Ended> {
    let give = async |event: Value| events.send(Ok(Event::default().data(event.to_string()))).await.map_err(|_| Ended::Gone);
    let answers = answering.answers();
    let mut lengths = vec![0; answers];
    let (mut ended, mut usage, mut next) = (0, Usage::default(), Some(first));
    for index in 0..answers {
        if let Some(event) = reply.opening(index) {
            give(event).await?;
        }
    }
    while ended < answers {
        let came = match next.take() {
            Some(first) => Some(first),
            // A client that goes away frees its place at once, even if no text comes.
            None => tokio::select! {
                () = events.closed() => return Err(Ended::Gone),
                came = answering.next(state, tracked) => came?,
            },
        };
        match came {
            Some(Next::Grown { at, text, tokens }) => {
                let length = lengths.get_mut(at).map_or(0, |length| {
                    let before = *length;
                    *length += text.chars().count();
                    before
                });
                give(reply.grown(at, &text, length, &tokens)).await?;
            }
            Some(Next::Ended { at, answer }) => {
                ended += 1;
                usage.add(answer.usage(), answering.repeats_prompt(at));
                give(reply.ending(at, &answer)).await?;
            }
            None => return Err(ApiError::internal().into()),
        }
    }
    if reply.asked.include_usage {
        give(reply.usage(usage)).await?;
    }
    events.send(Ok(Event::default().data("[DONE]"))).await.map_err(|_| Ended::Gone)
}
