//! A process that reads files, one after the other, and may be ended.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use mempack_extract::Options;
use serde::{Deserialize, Serialize};

use super::messages::{self, END};
use super::spool_failure;

/// Lines that are read ahead.
const AHEAD: usize = 4;
/// How often a wait looks whether it is to end.
const INTERVAL: Duration = Duration::from_millis(20);

/// The command that is a worker: it calls [`read_files`] with its standard input and output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// How long it may take to give the next document of a file, or the end of it.
    pub time: Duration,
    /// Megabytes that it may use, for messages: the worker keeps the limit by itself.
    pub megabytes: u64,
}

impl fmt::Display for WorkerCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program.display())
    }
}

/// What a worker is asked.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    path: PathBuf,
    /// The name that identifies the format.
    name: String,
    options: Options,
}

/// Reads the files that `requests` asks for, up to its end, and writes what comes of them. This is all that a worker does.
///
/// # Errors
/// If reading a request or writing fails, as when the other side has ended.
pub fn read_files(requests: impl Read, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    for request in BufReader::new(requests).lines() {
        let Request { path, name, options } = serde_json::from_str(&request?)?;
        match File::open(&path) {
            Ok(file) => drop(messages::write(&mut out, &name, file, &options)?),
            Err(error) => messages::end(&mut out, Some(format!("cannot be read: {error}")))?,
        }
        out.flush()?;
    }
    Ok(())
}

/// A worker that waits for a file.
pub(super) struct Worker {
    child: Child,
    requests: ChildStdin,
    lines: Receiver<Vec<u8>>,
    time: Duration,
    megabytes: u64,
}

impl Worker {
    /// Starts one.
    ///
    /// # Errors
    /// If the system does not start it.
    pub fn start(command: &WorkerCommand) -> io::Result<Self> {
        let mut child = Command::new(&command.program)
            .args(&command.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        let (sender, lines) = sync_channel(AHEAD);
        thread::Builder::new().name("extraction".into()).spawn(move || {
            let mut answers = BufReader::with_capacity(1 << 16, answers);
            loop {
                let mut line = Vec::new();
                match answers.read_until(b'\n', &mut line) {
                    Ok(read) if read > 0 && line.ends_with(b"\n") && sender.send(line).is_ok() => {}
                    _ => return,
                }
            }
        })?;
        Ok(Self { child, requests, lines, time: command.time, megabytes: command.megabytes })
    }

    /// Has a file read into `spool`. Returns the worker, unless it ended, and why the file is not read, if it is not.
    pub fn read(
        mut self,
        path: &Path,
        name: &str,
        options: &Options,
        spool: &mut impl Write,
        stop: Option<&Arc<AtomicBool>>,
    ) -> (Option<Self>, Option<String>) {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let request = Request { path, name: name.to_owned(), options: options.clone() };
        let asked = serde_json::to_vec(&request).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.requests.write_all(&line)
        });
        if let Err(error) = asked {
            return (None, Some(format!("was not read, because its reader has ended: {error}")));
        }
        let mut deadline = Instant::now() + self.time;
        loop {
            match self.lines.recv_timeout(INTERVAL) {
                Ok(line) => {
                    if let Err(error) = spool.write_all(&line) {
                        return (None, Some(spool_failure(&error)));
                    }
                    if line.starts_with(END) {
                        return (Some(self), messages::failure_of(&line));
                    }
                    deadline = Instant::now() + self.time;
                }
                Err(RecvTimeoutError::Timeout) => {
                    if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                        return (None, Some("was not read, because the reading was stopped".into()));
                    }
                    if Instant::now() > deadline {
                        let reason = format!("takes more than {} seconds; divide it, or save it anew", self.time.as_secs());
                        return (None, Some(reason));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                    let reason = format!(
                        "made its reader end ({status}): it needs more than {} MB of memory, or is damaged; divide it, or save it anew",
                        self.megabytes
                    );
                    return (None, Some(reason));
                }
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be busy with a file that takes too long. What cannot be ended has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
