//! A second thread that retrieves while the model decodes. It affects when memories are loaded, never which.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use super::answer::PreparedPrompt;
use super::chunk::{ChunkMemories, Scope};
use super::error::{AskError, SessionError};
use super::prompting::{Asked, Prompter};

/// A request to the thread. Chunks of answers come before prompts, because sequences wait for them, and both before memories that are only probably
/// read.
enum Request {
    /// Retrieve for a chunk.
    Read(Scope, String, Reply<ChunkMemories>),
    /// Make the prompt of a question.
    Prompt(Scope, Asked, Reply<PreparedPrompt>),
    /// Decode the memories that the query will probably retrieve, unless nobody waits for them any more.
    Warm(Scope, String, Weak<()>),
}

type Reply<T> = SyncSender<Result<T, AskError>>;

/// Handle of the thread, which ends when the handle is dropped.
pub(crate) struct Prefetcher {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    /// Whether a processor is free while the model decodes.
    spare: bool,
}

/// Keeps a request to decode memories in advance alive.
pub(crate) struct Warming(#[expect(dead_code, reason = "the thread looks whether it is alive")] Arc<()>);

/// Something that the thread was asked for and that has not been received yet.
pub(crate) struct Pending<Q, T> {
    /// The query or question that it is for.
    asked: Q,
    reply: Option<Receiver<Result<T, AskError>>>,
    received: Option<Result<T, AskError>>,
}

impl Prefetcher {
    pub fn start(prompter: &Prompter) -> Result<Self, SessionError> {
        let (requests, inbox) = channel();
        let prompter = prompter.share();
        let thread = std::thread::Builder::new().name("mempack-prefetch".into()).spawn(move || work(&prompter, &inbox));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let spare = processors > mempack_model::threads();
        Ok(Self { requests: Some(requests), thread: Some(thread.map_err(SessionError::Thread)?), spare })
    }

    /// Whether memories can be decoded in advance without slowing the model down: finding them takes an embedding and a search.
    pub fn can_warm(&self) -> bool {
        self.spare
    }

    /// Starts decoding the memories that a later query will probably retrieve, as long as what it returns is kept.
    pub fn warm(&self, scope: Scope, query: String) -> Warming {
        let wanted = Arc::new(());
        // If the thread has ended, nothing is decoded in advance; retrieval works without it.
        self.send(Request::Warm(scope, query, Arc::downgrade(&wanted)));
        Warming(wanted)
    }

    /// Starts the retrieval for `query`.
    pub fn read(&self, scope: Scope, query: String) -> Pending<String, ChunkMemories> {
        let mut pending = Pending::later(query);
        self.begin(&mut pending, |query, reply| Request::Read(scope, query, reply));
        pending
    }

    /// Starts making a prompt, unless that has begun.
    pub fn prompt(&self, scope: &Scope, pending: &mut Pending<Asked, PreparedPrompt>) {
        if pending.reply.is_none() && pending.received.is_none() {
            self.begin(pending, |asked, reply| Request::Prompt(scope.clone(), asked, reply));
        }
    }

    fn begin<Q: Clone, T>(&self, pending: &mut Pending<Q, T>, request: impl FnOnce(Q, Reply<T>) -> Request) {
        let (reply, receiver) = sync_channel(1);
        let sent = self.send(request(pending.asked.clone(), reply));
        pending.reply = sent.then_some(receiver);
    }

    fn send(&self, request: Request) -> bool {
        self.requests.as_ref().is_some_and(|requests| requests.send(request).is_ok())
    }
}

impl<Q, T> Pending<Q, T> {
    /// What [`wait`](Self::wait) computes.
    pub fn later(asked: Q) -> Self {
        Self { asked, reply: None, received: None }
    }

    /// Keeps what was received, for the next [`wait`](Self::wait).
    pub fn keep(&mut self, received: T) {
        self.received = Some(Ok(received));
    }

    /// Whether [`wait`](Self::wait) returns at once, or has to compute.
    pub fn is_ready(&mut self) -> bool {
        if self.received.is_none() {
            match self.reply.as_ref().map(Receiver::try_recv) {
                Some(Ok(received)) => self.received = Some(received),
                Some(Err(TryRecvError::Empty)) => return false,
                // The thread has ended.
                Some(Err(TryRecvError::Disconnected)) => self.reply = None,
                None => {}
            }
        }
        true
    }

    /// Waits for the result, or computes it on this thread if the prefetch thread did not.
    pub fn wait(&mut self, compute: impl FnOnce(&Q) -> Result<T, AskError>) -> Result<T, AskError> {
        let received = self.received.take().or_else(|| self.reply.take().and_then(|reply| reply.recv().ok()));
        received.unwrap_or_else(|| compute(&self.asked))
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        // Dropping the sender ends the thread's loop.
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Requests that have arrived, by urgency.
#[derive(Default)]
struct Queues {
    reads: VecDeque<Request>,
    prompts: VecDeque<Request>,
    warms: VecDeque<Request>,
}

impl Queues {
    fn add(&mut self, request: Request) {
        let queue = match request {
            Request::Read(..) => &mut self.reads,
            Request::Prompt(..) => &mut self.prompts,
            Request::Warm(..) => &mut self.warms,
        };
        queue.push_back(request);
    }

    fn next(&mut self) -> Option<Request> {
        let Self { reads, prompts, warms } = self;
        [reads, prompts, warms].into_iter().find_map(VecDeque::pop_front)
    }
}

fn work(prompter: &Prompter, inbox: &Receiver<Request>) {
    let mut queues = Queues::default();
    loop {
        loop {
            match inbox.try_recv() {
                Ok(request) => queues.add(request),
                Err(TryRecvError::Empty) => break,
                // The session has ended, and with it whoever waits.
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let request = match queues.next() {
            Some(request) => request,
            None => match inbox.recv() {
                Ok(request) => request,
                Err(_) => return,
            },
        };
        match request {
            Request::Read(scope, query, reply) => {
                let memories = prompter.chunks.read(&scope, query);
                // Drop the packs before the reply, so that the receiver does not wait for an unmapping.
                drop(scope);
                // The send fails if the answer ended first.
                let _ = reply.send(memories);
            }
            Request::Prompt(scope, asked, reply) => {
                let prompt = prompter.prompt(&asked, &scope);
                drop(scope);
                let _ = reply.send(prompt);
            }
            // An error here is reported when a chunk reads the same memory.
            Request::Warm(scope, query, wanted) if wanted.strong_count() > 0 => drop(prompter.chunks.warm(&scope, &query)),
            Request::Warm(..) => {}
        }
    }
}
