//! Answers questions: from a checked request to the engine and back.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mempack_runtime::{Answer, AnswerOptions, Method, ReadFrom, Sampling, Stop, TokenLogProbabilities};

use crate::citations::{self, Annotation, Attention};
use crate::engine::{Adjust, Asking, Happened, Job};
use crate::error::ApiError;
use crate::openai::messages::Prompt;
use crate::openai::reply::Usage;
use crate::openai::request::{Asked, Citations, ReadingOptions};
use crate::request::Tracked;
use crate::state::State;
use crate::who::Caller;

/// Answers that are on their way.
pub struct Answering {
    asking: Asking,
    /// When they are overdue.
    deadline: tokio::time::Instant,
    limit: Duration,
    times: Vec<Times>,
    citations: Citations,
    /// Answers to each prompt.
    n: usize,
}

/// When an answer grew.
#[derive(Clone, Copy)]
struct Times {
    asked: Instant,
    last: Option<Instant>,
}

/// What comes next of some answers, each named by its place.
pub enum Next {
    /// An answer grows.
    Grown {
        /// Its place.
        at: usize,
        /// New text.
        text: String,
        /// Its tokens, if log-probabilities are wanted.
        tokens: Vec<TokenLogProbabilities>,
    },
    /// An answer is complete.
    Ended {
        /// Its place.
        at: usize,
        /// The answer.
        answer: Box<Cited>,
    },
}

/// A complete answer with what it was read from.
pub struct Cited {
    /// The answer.
    pub answer: Answer,
    /// The references.
    pub annotations: Vec<Annotation>,
    /// What each token leaned on, if that is wanted.
    pub attention: Option<Attention>,
}

impl Cited {
    /// Why the answer ended, in OpenAI's words.
    pub fn finish_reason(&self) -> &'static str {
        match self.answer.stop {
            Stop::Token(_) | Stop::Text(_) | Stop::Interrupted => "stop",
            Stop::MaxTokens | Stop::ContextFull => "length",
        }
    }

    /// Its tokens.
    pub fn usage(&self) -> Usage {
        let Answer { prompt_tokens, reused_tokens, tokens, .. } = &self.answer;
        Usage::of(*prompt_tokens, *reused_tokens, tokens.len())
    }
}

impl Answering {
    /// Asks the engine.
    ///
    /// # Errors
    /// Another model than the one that is served, packs or filters that cannot be read, a full queue.
    pub fn begin(state: &State, caller: &Caller, asked: &Asked) -> Result<Self, ApiError> {
        if !state.ready.load(Ordering::Acquire) {
            return Err(ApiError::starting());
        }
        check_model(state, asked.model.as_deref())?;
        let ReadingOptions { memories, texts, packs, filter, rerank, .. } = &asked.reading;
        if *rerank == Some(true) && !state.limits.reranker {
            return Err(ApiError::unsupported("rerank", "this server has no reranker; leave `rerank` out"));
        }
        let reads = *memories || *texts;
        let packs =
            if reads { state.catalog.reading(&caller.access, packs.as_deref(), filter.as_ref())? } else { std::sync::Arc::default() };
        let prompts = match &asked.prompt {
            Prompt::Continue(texts) => texts.len(),
            Prompt::Question { .. } => 1,
        };
        let mut jobs = Vec::with_capacity(prompts * asked.n);
        for prompt in 0..prompts {
            for answer in 0..asked.n {
                let (system, earlier, question, continues) = match &asked.prompt {
                    Prompt::Question { system, earlier, question } => (system.clone(), earlier.clone(), question.clone(), false),
                    Prompt::Continue(texts) => (None, Vec::new(), texts.get(prompt).cloned().unwrap_or_default(), true),
                };
                jobs.push(Job { system, earlier, question, continues, packs: packs.clone(), adjust: adjust(asked, answer) });
            }
        }
        let times = vec![Times { asked: Instant::now(), last: None }; jobs.len()];
        let limit = state.limits.answer;
        let asking = state.engine.ask(jobs)?;
        Ok(Self { asking, deadline: tokio::time::Instant::now() + limit, limit, times, citations: asked.citations, n: asked.n })
    }

    /// Answers that have been asked for.
    pub fn answers(&self) -> usize {
        self.times.len()
    }

    /// What comes next; `None` after the last answer has ended.
    ///
    /// # Errors
    /// A question that cannot be answered, or an answer that is overdue.
    pub async fn next(&mut self, state: &State, tracked: &mut Tracked) -> Result<Option<Next>, ApiError> {
        let Ok(event) = tokio::time::timeout_at(self.deadline, self.asking.next()).await else {
            return Err(ApiError::overdue(self.limit));
        };
        let Some((at, happened)) = event else { return Ok(None) };
        match happened {
            Happened::Grown { text, tokens } => {
                let now = Instant::now();
                if let Some(Times { asked, last }) = self.times.get_mut(at) {
                    match last.replace(now) {
                        None => tracked.first_text(now - *asked),
                        Some(before) => tracked.next_text(now - before),
                    }
                }
                Ok(Some(Next::Grown { at, text, tokens }))
            }
            Happened::Ended(ended) => {
                let answer = (*ended).map_err(|error| {
                    if error.is_damage() {
                        state.metrics.damage();
                    }
                    let (said, told) = (error.to_string(), ApiError::from(error));
                    if told.status.is_server_error() {
                        tracing::error!(request = tracked.caller().id, error = said, "a question was not answered");
                    }
                    told
                })?;
                if answer.slow_path {
                    static SAID: std::sync::Once = std::sync::Once::new();
                    SAID.call_once(|| {
                        tracing::warn!(
                            "prompt and `max_tokens` go beyond the positions that have a fast path; such answers take several times as long"
                        )
                    });
                }
                tracked.answered(&answer);
                let wanted = self.citations != Citations::None;
                let annotations = if wanted { citations::annotations(&state.model.get(), &answer)? } else { Vec::new() };
                let attention =
                    (self.citations == Citations::Tokens).then(|| citations::attention(&state.model.get(), &answer)).transpose()?;
                Ok(Some(Next::Ended { at, answer: Box::new(Cited { answer, annotations, attention }) }))
            }
            Happened::Lost => Err(ApiError::internal()),
        }
    }

    /// The only answer, once it is complete.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn only(&mut self, state: &State, tracked: &mut Tracked) -> Result<Box<Cited>, ApiError> {
        loop {
            match self.next(state, tracked).await? {
                Some(Next::Ended { answer, .. }) => return Ok(answer),
                Some(Next::Grown { .. }) => {}
                None => return Err(ApiError::internal()),
            }
        }
    }

    /// Whether the answer at a place is to the same prompt as the one before it.
    pub fn repeats_prompt(&self, at: usize) -> bool {
        !at.is_multiple_of(self.n)
    }
}

/// Refuses a model that is not served.
///
/// # Errors
/// If it has another name.
pub fn check_model(state: &State, wanted: Option<&str>) -> Result<(), ApiError> {
    match wanted {
        Some(other) if other != state.model.name() => {
            let message = format!("the model `{other}` is not served here; `{}` is", state.model.name());
            Err(ApiError { param: Some("model".into()), ..ApiError::not_found("model_not_found", message) })
        }
        _ => Ok(()),
    }
}

/// What a request changes of the session's options.
fn adjust(asked: &Asked, answer: usize) -> Adjust {
    let ReadingOptions { memories, texts, k, exact, strategy, rerank, .. } = asked.reading.clone();
    let Asked { sampling, stop, max_tokens, log_probabilities, citations, .. } = asked.clone();
    Box::new(move |options: &mut AnswerOptions| {
        options.read_from = match (texts, memories) {
            (true, _) => ReadFrom::Texts,
            (false, true) => ReadFrom::PackMemories,
            (false, false) => ReadFrom::Weights { prefix: true },
        };
        options.sampling = match sampling {
            Sampling::TopP { temperature, top_p, seed } => Sampling::TopP { temperature, top_p, seed: seed.wrapping_add(answer as u64) },
            Sampling::Greedy => Sampling::Greedy,
        };
        options.stop = stop;
        options.max_tokens = max_tokens.unwrap_or(options.max_tokens);
        options.k = k.or(options.k);
        options.method = if exact { Method::Exact } else { options.method };
        options.strategy = strategy.unwrap_or(options.strategy);
        if rerank == Some(false) {
            options.reranking = None;
        }
        options.log_probabilities = log_probabilities;
        options.attention = citations != Citations::None;
    })
}
