//! The audit log: a line for every request.
//!
//! A line is a JSON object:
//!
//! ```json
//! {"time":"2026-11-28T12:00:00.123Z","request":"r-5f3a","key":"research","endpoint":"/v1/chat/completions","outcome":"ok","status":200,
//!  "packs":[{"id":"9c31...","references":[4,17]}],"tokens_in":41,"tokens_out":128,"ms":{"queue":0.4,"first_token":38.1,"total":912.5}}
//! ```
//!
//! (without the line break). The question is there as `text` only if the log was opened with [`AuditOptions::texts`]. Everything that a
//! terminal or a reader of lines would obey is written as `\u001b`, so no input can end a line or look like another.
//!
//! Requests never wait for the log and never fail with it: lines go through a queue of bounded size to a thread. A line that finds the queue
//! full, or that cannot be written, is lost; [`AuditLog::lost`] counts those, [`Notice`] says once when it begins and when it ends, and the
//! log itself has the line `{"time":...,"lost":12}` where they are missing. A file that was renamed or removed is made again.

mod line;
mod queue;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use queue::Queue;
use writer::Writer;

/// How long the log may take to write what is queued when it is dropped.
const CLOSING: Duration = Duration::from_secs(5);

/// What a request did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The request's id.
    pub request: String,
    /// The key's name, [`Access::name`](crate::Access); none if nobody was recognised.
    pub key: Option<String>,
    /// The interface that was asked, such as `/v1/chat/completions`.
    pub endpoint: String,
    /// How it ended, in a word: `ok`, `cancelled`, `over_quota`, or [`Denied::reason`](crate::Denied::reason).
    pub outcome: String,
    /// The status of the answer.
    pub status: u16,
    /// The packs that it searched, and what it read of them.
    pub packs: Vec<PackRead>,
    /// Tokens of the prompt.
    pub tokens_in: u64,
    /// Tokens of the answer.
    pub tokens_out: u64,
    /// How long it waited for its turn.
    pub queue: Option<Duration>,
    /// From its arrival to the first token of the answer.
    pub first_token: Option<Duration>,
    /// From its arrival to its end.
    pub total: Duration,
    /// What was asked. It is written only if the log was opened with [`AuditOptions::texts`].
    pub text: Option<String>,
}

/// What a request read of a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PackRead {
    /// The pack's id.
    pub id: String,
    /// The numbers of the references whose memories were read.
    pub references: Vec<u64>,
}

/// Something about the log that its owner should hear of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Notice {
    /// Writing failed, and the line is lost. Said once, until writing goes on.
    #[error("{}: the audit log cannot be written: {source}; requests go on, and their lines are lost", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Lines come faster than they are written, and some are lost. Said once, until writing goes on.
    #[error("{}: the audit log is not written as fast as lines come; some are lost", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file was renamed or removed, and no other can be made. Lines go to the old one. Said once.
    #[error("{}: the audit log was renamed, and cannot be made again: {source}; lines go to the renamed file", path.display())]
    Reopen {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Writing goes on.
    #[error("{}: the audit log is written again; {lost} lines are missing", path.display())]
    Resumed {
        /// The file.
        path: PathBuf,
        /// Lines that were lost since it failed.
        lost: u64,
    },
}

type Listener = Arc<dyn Fn(Notice) + Send + Sync>;

/// How a log is kept.
#[derive(Clone)]
pub struct AuditOptions {
    texts: bool,
    queue_bytes: usize,
    listener: Listener,
}

impl Default for AuditOptions {
    /// No texts, a queue of 8 MiB, and nobody hears of notices.
    fn default() -> Self {
        Self { texts: false, queue_bytes: 8 << 20, listener: Arc::new(|_| {}) }
    }
}

impl AuditOptions {
    /// Whether to write what was asked.
    #[must_use]
    pub fn texts(self, texts: bool) -> Self {
        Self { texts, ..self }
    }

    /// How many bytes of lines may wait to be written.
    #[must_use]
    pub fn queue_bytes(self, queue_bytes: usize) -> Self {
        Self { queue_bytes, ..self }
    }

    /// Who hears of notices. The function must not block: requests and the thread that writes call it.
    #[must_use]
    pub fn listener(self, listener: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        Self { listener: Arc::new(listener), ..self }
    }
}

impl fmt::Debug for AuditOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { texts, queue_bytes, listener: _ } = self;
        f.debug_struct("AuditOptions").field("texts", texts).field("queue_bytes", queue_bytes).finish_non_exhaustive()
    }
}

/// An audit log that is open. Threads share it. When it is dropped, what is queued is written, for at most 5 s.
pub struct AuditLog {
    texts: bool,
    path: PathBuf,
    listener: Listener,
    queue: Arc<Queue>,
}

impl AuditLog {
    /// Opens a log, with lines added to those that the file has. A new file is readable by its owner alone.
    ///
    /// # Errors
    /// If the file cannot be opened, or the thread not started.
    pub fn open(path: &Path, options: AuditOptions) -> io::Result<Self> {
        let AuditOptions { texts, queue_bytes, listener } = options;
        let queue = Arc::new(Queue::new(queue_bytes));
        let mut writer = Writer::open(path, Arc::clone(&listener))?;
        let lines = Arc::clone(&queue);
        thread::Builder::new().name("audit".to_owned()).spawn(move || lines.serve(|lines, dropped| writer.write(lines, dropped)))?;
        Ok(Self { texts, path: path.to_owned(), listener, queue })
    }

    /// Queues the line of a request. Its time is now.
    pub fn record(&self, record: &Record) {
        let say = || (self.listener)(Notice::Full { path: self.path.clone() });
        self.queue.push(line::of_request(record, self.texts), say);
    }

    /// How many lines were lost, because the queue was full or because they could not be written.
    pub fn lost(&self) -> u64 {
        self.queue.lost()
    }

    /// Waits until everything that was recorded is written or lost. Returns whether it is.
    pub fn flush(&self, patience: Duration) -> bool {
        self.queue.flush(patience)
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.queue.close();
        self.queue.flush(CLOSING);
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { texts, path, listener: _, queue: _ } = self;
        f.debug_struct("AuditLog").field("path", path).field("texts", texts).field("lost", &self.lost()).finish_non_exhaustive()
    }
}
