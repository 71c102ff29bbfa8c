//! A request from its arrival to its end: who sends it, and what is counted and logged of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, StatusCode};
use mempack_keys::audit::{PackRead, Record};
use mempack_runtime::Answer;

use crate::error::ApiError;
use crate::spans::Ended;
use crate::state::State;
use crate::who::Caller;

/// A request that is under way. If it is dropped before it ends, its client is gone.
pub struct Tracked {
    state: Arc<State>,
    caller: Caller,
    began: Instant,
    arrived: SystemTime,
    traceparent: Option<String>,
    endpoint: &'static str,
    record: Record,
    /// The references that were read, by the ids of their packs.
    reads: BTreeMap<String, Vec<u64>>,
    ended: bool,
}

impl Tracked {
    /// A request for work arrives. It takes one from the quota of its key.
    ///
    /// # Errors
    /// If its sender has no valid key, or has used up the quota.
    pub fn begin(state: &Arc<State>, headers: &HeaderMap, endpoint: &'static str) -> Result<Self, ApiError> {
        let tracked = Self::look(state, headers, endpoint)?;
        match tracked.caller.access.take(1) {
            Ok(()) => Ok(tracked),
            Err(over) => {
                let error = ApiError::over_quota(over.retry_after);
                tracked.end(Some(&error));
                Err(error)
            }
        }
    }

    /// A request that only looks arrives. It takes nothing from the quota.
    ///
    /// # Errors
    /// If its sender has no valid key.
    pub fn look(state: &Arc<State>, headers: &HeaderMap, endpoint: &'static str) -> Result<Self, ApiError> {
        let (began, arrived, id) = (Instant::now(), SystemTime::now(), state.who.next_id());
        let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let record = Record { request: id.clone(), endpoint: endpoint.to_owned(), ..Record::default() };
        let access = match state.who.access(headers) {
            Ok(access) => access,
            Err(denied) => {
                let error = ApiError::unauthorized();
                let key = denied.name().map(str::to_owned);
                let outcome = denied.reason().to_owned();
                state.audit(&Record { key, outcome, status: error.status.as_u16(), total: began.elapsed(), ..record });
                state.metrics.refused(endpoint, denied.reason());
                return Err(error);
            }
        };
        let record = Record { key: Some(access.name.clone()), ..record };
        let caller = Caller { access, id };
        Ok(Self { state: Arc::clone(state), caller, began, arrived, traceparent, endpoint, record, reads: BTreeMap::new(), ended: false })
    }

    /// Who sends it.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Notes what is asked, for logs that keep it.
    pub fn asks(&mut self, text: &str) {
        self.record.text = Some(text.to_owned());
    }

    /// The first text of an answer came.
    pub fn first_text(&mut self, after: Duration) {
        self.record.first_token.get_or_insert_with(|| self.began.elapsed());
        self.state.metrics.first_token(&self.caller, after);
    }

    /// A further text of an answer came.
    pub fn next_text(&self, after: Duration) {
        self.state.metrics.next_token(&self.caller, after);
    }

    /// An answer is complete.
    pub fn answered(&mut self, answer: &Answer) {
        self.record.tokens_in += answer.prompt_tokens as u64;
        self.record.tokens_out += answer.tokens.len() as u64;
        for read in answer.chunks.iter().flat_map(|chunk| &chunk.reads) {
            let reference = &read.hit.reference;
            self.reads.entry(reference.pack.id().to_string()).or_default().push(reference.number.into());
        }
        self.state.metrics.answered(&self.caller, answer);
    }

    /// References were found for it.
    pub fn found(&mut self, pack: String, reference: u32) {
        self.reads.entry(pack).or_default().push(reference.into());
    }

    /// It ended, by an error or with a reply.
    pub fn end(mut self, error: Option<&ApiError>) {
        self.note(error.map_or("ok", |error| error.code), error.map_or(StatusCode::OK, |error| error.status));
    }

    /// Its client went away.
    pub fn gone(self) {
        drop(self);
    }

    fn note(&mut self, outcome: &'static str, status: StatusCode) {
        self.ended = true;
        let total = self.began.elapsed();
        self.state.metrics.ended(&self.caller, self.endpoint, outcome, total);
        let each = |(id, mut references): (String, Vec<u64>)| {
            references.sort_unstable();
            references.dedup();
            PackRead { id, references }
        };
        let packs = std::mem::take(&mut self.reads).into_iter().map(each).collect();
        let record = Record { outcome: outcome.to_owned(), status: status.as_u16(), packs, total, ..std::mem::take(&mut self.record) };
        tracing::info!(
            request = record.request,
            key = record.key,
            endpoint = self.endpoint,
            outcome,
            tokens_in = record.tokens_in,
            tokens_out = record.tokens_out,
            seconds = total.as_secs_f64(),
            "request"
        );
        if let Some(spans) = &self.state.spans {
            spans.request(&Ended {
                endpoint: self.endpoint,
                outcome,
                status: status.as_u16(),
                id: &record.request,
                key: &self.caller.access.name,
                began: self.arrived,
                first_token: record.first_token,
                total,
                tokens: [record.tokens_in, record.tokens_out],
                traceparent: self.traceparent.as_deref(),
            });
        }
        self.state.audit(&record);
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if !self.ended {
            // The status that other servers log for it (client closed request).
            self.note("cancelled", StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT));
        }
    }
}
