//! The thread that decodes answers, many at once, and how requests reach it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use mempack_model::Exchange;
use mempack_runtime::{
    Answer, AnswerOptions, AskError, BatchOptions, Batching, PackSet, Piece, Request, Session, SessionError, TokenLogProbabilities,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::error::ApiError;

/// Changes the session's options to those of a request.
pub type Adjust = Box<dyn FnOnce(&mut AnswerOptions) + Send>;

/// A question for the thread.
pub struct Job {
    /// The system's words.
    pub system: Option<String>,
    /// The turns of the conversation before the question.
    pub earlier: Vec<Exchange>,
    /// The question.
    pub question: String,
    /// Whether the question is a text to continue, without a template.
    pub continues: bool,
    /// The packs that it reads.
    pub packs: Arc<PackSet>,
    /// How it is answered.
    pub adjust: Adjust,
}

/// What happens to a question. The first number is its place among those that were asked together.
pub type Event = (usize, Happened);

/// What happens to a question.
pub enum Happened {
    /// The answer grows.
    Grown {
        /// New text.
        text: String,
        /// Its tokens, if log-probabilities are wanted.
        tokens: Vec<TokenLogProbabilities>,
    },
    /// The answer is complete, or there is none.
    Ended(Box<Result<Answer, AskError>>),
    /// The thread failed.
    Lost,
}

/// How busy the thread is.
#[derive(Debug, Default)]
pub struct Load {
    /// Answers that are decoded.
    pub running: AtomicUsize,
    /// Questions that wait for a place.
    pub waiting: AtomicUsize,
    /// Bytes of caches in use.
    pub bytes: AtomicUsize,
    /// Steps so far.
    pub steps: AtomicU64,
    /// Tokens of all steps: divided by the steps, the mean size of a batch.
    pub rows: AtomicU64,
    /// How often the thread failed and began again.
    pub failures: AtomicU64,
}

/// Answers questions on a thread of its own.
pub struct Engine {
    commands: Sender<Command>,
    /// Places of answers that are decoded, and of questions that wait.
    places: Arc<Semaphore>,
    load: Arc<Load>,
    draining: AtomicBool,
    next: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Command {
    Ask { ticket: u64, at: usize, job: Job, events: mpsc::UnboundedSender<Event>, permit: OwnedSemaphorePermit },
    Cancel { ticket: u64 },
    Stop,
}

/// Questions that were asked together. Those that are not answered are cancelled when it is dropped.
pub struct Asking {
    events: mpsc::UnboundedReceiver<Event>,
    tickets: Vec<u64>,
    commands: Sender<Command>,
}

impl Asking {
    /// What happens next; `None` if nothing can.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        for ticket in self.tickets.drain(..) {
            // Without a thread there is nothing to cancel.
            let _ = self.commands.send(Command::Cancel { ticket });
        }
    }
}

impl Engine {
    /// Starts the thread. `queue` questions may wait beside those that are decoded.
    ///
    /// # Errors
    /// A thread that cannot be started, or options of batches out of range.
    pub fn start(session: Session, options: BatchOptions, queue: usize) -> Result<Self, SessionError> {
        // Refuses options that are out of range before the thread starts.
        drop(session.batching(options)?);
        let (commands, inbox) = channel();
        let load = Arc::<Load>::default();
        let thread = std::thread::Builder::new().name("mempack-engine".into());
        let of_thread = Arc::clone(&load);
        let thread = thread.spawn(move || work(&session, options, &inbox, &of_thread)).map_err(SessionError::Thread)?;
        Ok(Self {
            commands,
            places: Arc::new(Semaphore::new(options.sequences.saturating_add(queue).min(Semaphore::MAX_PERMITS))),
            load,
            draining: AtomicBool::new(false),
            next: AtomicU64::new(0),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Asks questions together.
    ///
    /// # Errors
    /// If they find no place in the queue, or the server is being stopped.
    pub fn ask(&self, jobs: Vec<Job>) -> Result<Asking, ApiError> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(ApiError::draining());
        }
        let number = u32::try_from(jobs.len()).map_err(|_| ApiError::busy())?;
        let mut permits = Arc::clone(&self.places).try_acquire_many_owned(number).map_err(|_| ApiError::busy())?;
        let (sender, events) = mpsc::unbounded_channel();
        let mut asking = Asking { events, tickets: Vec::with_capacity(jobs.len()), commands: self.commands.clone() };
        for (at, job) in jobs.into_iter().enumerate() {
            let permit = permits.split(1).ok_or_else(ApiError::internal)?;
            let ticket = self.next.fetch_add(1, Ordering::Relaxed);
            asking.tickets.push(ticket);
            let ask = Command::Ask { ticket, at, job, events: sender.clone(), permit };
            self.commands.send(ask).map_err(|_| ApiError::internal())?;
        }
        Ok(asking)
    }

    /// How busy the thread is.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Whether the thread answers questions.
    pub fn is_alive(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Accepts no further question.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether no further question is accepted.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Ends the thread. Questions that are not answered are dropped.
    pub fn stop(&self) {
        self.drain();
        let _ = self.commands.send(Command::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the thread has been told.
            let _ = thread.join();
        }
    }
}

/// A question that the thread has accepted.
struct Accepted {
    ticket: u64,
    at: usize,
    events: mpsc::UnboundedSender<Event>,
    /// Freed with the question.
    _permit: OwnedSemaphorePermit,
}

/// Questions by the number that the batch gave them.
type Open = HashMap<u64, Accepted>;

fn work(session: &Session, options: BatchOptions, inbox: &Receiver<Command>, load: &Load) {
    let mut open = Open::new();
    loop {
        match catch_unwind(AssertUnwindSafe(|| serve(session, options, inbox, load, &mut open))) {
            Ok(()) => return,
            Err(_) => {
                // The panic's message is in the log. Whoever waited is told, and others can be answered.
                load.failures.fetch_add(1, Ordering::Relaxed);
                for (_, Accepted { at, events, .. }) in open.drain() {
                    let _ = events.send((at, Happened::Lost));
                }
            }
        }
    }
}

/// Answers questions until it is told to stop.
fn serve(session: &Session, options: BatchOptions, inbox: &Receiver<Command>, load: &Load, open: &mut Open) {
    let mut batching = match session.batching(options) {
        Ok(batching) => batching,
        Err(error) => {
            tracing::error!(%error, "answers cannot be decoded");
            return;
        }
    };
    loop {
        if batching.pending() == 0 {
            match inbox.recv() {
                Ok(command) => {
                    if accept(command, session, &mut batching, open).is_break() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
        loop {
            match inbox.try_recv() {
                Ok(command) => {
                    if accept(command, session, &mut batching, open).is_break() {
                        return;
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        if batching.pending() > 0 {
            let answered = batching.step();
            load.steps.fetch_add(1, Ordering::Relaxed);
            load.rows.fetch_add((batching.running() + answered.len()) as u64, Ordering::Relaxed);
            // Whoever gets the answer sees that its place is free.
            note(&batching, load);
            for (number, answer) in answered {
                if let Some(Accepted { at, events, .. }) = open.remove(&number) {
                    let _ = events.send((at, Happened::Ended(Box::new(answer))));
                }
            }
        }
        note(&batching, load);
    }
}

fn note(batching: &Batching<'_>, load: &Load) {
    load.running.store(batching.running(), Ordering::Relaxed);
    load.waiting.store(batching.waiting(), Ordering::Relaxed);
    load.bytes.store(batching.bytes_in_use(), Ordering::Relaxed);
}

/// Does what a command says. Breaks if it is to stop.
fn accept<'a>(command: Command, session: &Session, batching: &mut Batching<'a>, open: &mut Open) -> ControlFlow<()> {
    match command {
        Command::Stop => return ControlFlow::Break(()),
        Command::Cancel { ticket } => {
            let number = open.iter().find(|(_, accepted)| accepted.ticket == ticket).map(|(number, _)| *number);
            if let Some(number) = number {
                batching.cancel(number);
                open.remove(&number);
            }
        }
        Command::Ask { ticket, at, job, events, permit } => {
            let Job { system, earlier, question, continues, packs, adjust } = job;
            let mut options = session.answer_options().clone();
            adjust(&mut options);
            let sender = events.clone();
            let on_piece = move |piece: &Piece<'_>| {
                let grown = Happened::Grown { text: piece.text.to_owned(), tokens: piece.tokens.to_vec() };
                if sender.send((at, grown)).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            let request = Request {
                question,
                continues,
                earlier,
                system,
                references: None,
                packs: Some(packs),
                options: Some(options),
                on_piece: Box::new(on_piece),
            };
            match batching.submit(request) {
                Ok(number) => {
                    open.insert(number, Accepted { ticket, at, events, _permit: permit });
                }
                Err(error) => {
                    let _ = events.send((at, Happened::Ended(Box::new(Err(error)))));
                }
            }
        }
    }
    ControlFlow::Continue(())
}
