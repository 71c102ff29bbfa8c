//! Reading a pipe in a thread of its own, so that a read that waits for data can be given up.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Bytes of a block that the thread hands over, and how many it reads ahead.
const BLOCK_BYTES: usize = 64 << 10;
const AHEAD: usize = 2;
/// How often a waiting reader looks whether it is to stop.
const INTERVAL: Duration = Duration::from_millis(50);

/// Reads what a thread reads from a pipe. Once `stop` is true, reading fails; the thread may wait on, until its process ends.
///
/// Memory: three blocks of 64 KiB.
pub(crate) struct PipeReader {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    /// Bytes of the block that are read.
    read: usize,
    stop: Arc<AtomicBool>,
}

impl PipeReader {
    /// Reads what `open` opens: opening a pipe that has a name may wait too.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn new<R: Read>(open: impl FnOnce() -> io::Result<R> + Send + 'static, stop: Arc<AtomicBool>) -> io::Result<Self> {
        let (sender, blocks) = sync_channel(AHEAD);
        thread::Builder::new().name("pipe".into()).spawn(move || copy(open, &sender))?;
        Ok(Self { blocks, block: Vec::new(), read: 0, stop })
    }

    /// The next block, empty at the end.
    fn next_block(&self) -> io::Result<Vec<u8>> {
        loop {
            match self.blocks.recv_timeout(INTERVAL) {
                Ok(block) => return block,
                Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
                // Not `Interrupted`, which readers retry.
                Err(RecvTimeoutError::Timeout) if self.stop.load(Ordering::Relaxed) => return Err(io::Error::other("stopped")),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Read for PipeReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.read == self.block.len() {
            (self.block, self.read) = (self.next_block()?, 0);
        }
        let count = bytes.len().min(self.block.len() - self.read);
        bytes[..count].copy_from_slice(&self.block[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

/// Hands over all blocks, and then an error if there is one.
fn copy<R: Read>(open: impl FnOnce() -> io::Result<R>, sender: &SyncSender<io::Result<Vec<u8>>>) {
    let mut reader = match open() {
        Ok(reader) => reader,
        Err(error) => {
            // If nobody reads any more, the error does not matter.
            let _ = sender.send(Err(error));
            return;
        }
    };
    loop {
        let mut block = vec![0; BLOCK_BYTES];
        let read = match reader.read(&mut block) {
            Ok(0) => return,
            Ok(read) => {
                block.truncate(read);
                Ok(block)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let ends = read.is_err();
        if sender.send(read).is_err() || ends {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_read_whole_and_its_error_comes_last() {
        let text = "words ".repeat(50_000);
        let failing = {
            let text = text.clone();
            move || Ok(io::Cursor::new(text.into_bytes()).chain(Failing))
        };
        let mut reader = PipeReader::new(failing, Arc::default()).unwrap();
        let mut read = Vec::new();
        assert_eq!(reader.read_to_end(&mut read).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(read, text.as_bytes());
    }

    #[test]
    fn a_read_that_waits_is_given_up() {
        let (held, writer) = io::pipe().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let mut reader = PipeReader::new(move || Ok(held), Arc::clone(&stop)).unwrap();
        let stopping = thread::spawn(move || {
            thread::sleep(2 * INTERVAL);
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(reader.read(&mut [0; 8]).unwrap_err().to_string(), "stopped");
        stopping.join().unwrap();
        drop(writer);
    }

    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
}
