//! Writing lines to a file that may be full or renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Listener, Notice, line};

/// The file of a log.
pub(super) struct Writer {
    path: PathBuf,
    file: File,
    listener: Listener,
    /// Whether the file ends within a line: the next one must not continue it.
    torn: bool,
    /// Lines that are missing and not yet stated in the file.
    missing: u64,
    /// Whether the last write failed.
    failing: bool,
    /// Whether it was said that the file cannot be made again.
    lost_its_name: bool,
}

impl Writer {
    pub fn open(path: &Path, listener: Listener) -> io::Result<Self> {
        let file = append(path)?;
        let torn = ends_within_a_line(path, &file)?;
        Ok(Self { path: path.to_owned(), file, listener, torn, missing: 0, failing: false, lost_its_name: false })
    }

    /// Writes lines; after them `dropped` others are missing. Returns how many of the lines are lost.
    pub fn write(&mut self, lines: Vec<Vec<u8>>, dropped: u64) -> u64 {
        self.follow();
        let mut lost = 0;
        for line in lines {
            if !(self.state_missing() && self.put(&line)) {
                lost += 1;
                self.missing += 1;
            }
        }
        self.missing += dropped;
        self.state_missing();
        lost
    }

    /// Writes how many lines are missing, if any are. Returns whether none is missing now.
    fn state_missing(&mut self) -> bool {
        let lost = self.missing;
        if lost == 0 {
            return true;
        }
        if !self.put(&line::of_lost(lost)) {
            return false;
        }
        self.missing = 0;
        (self.listener)(Notice::Resumed { path: self.path.clone(), lost });
        true
    }

    /// Writes a line. Returns whether it is in the file.
    fn put(&mut self, line: &[u8]) -> bool {
        match put(&mut self.file, &mut self.torn, line) {
            Ok(()) => {
                self.failing = false;
                true
            }
            Err(source) => {
                if !std::mem::replace(&mut self.failing, true) {
                    (self.listener)(Notice::Failed { path: self.path.clone(), source });
                }
                false
            }
        }
    }

    /// Makes the file again if it was renamed or removed.
    fn follow(&mut self) {
        if is_at(&self.file, &self.path) {
            return;
        }
        let opened = append(&self.path).and_then(|file| ends_within_a_line(&self.path, &file).map(|torn| (file, torn)));
        match opened {
            Ok((file, torn)) => {
                (self.file, self.torn, self.lost_its_name) = (file, torn, false);
            }
            Err(source) => {
                if !std::mem::replace(&mut self.lost_its_name, true) {
                    (self.listener)(Notice::Reopen { path: self.path.clone(), source });
                }
            }
        }
    }
}

/// Writes a line, on a line of its own. Of a line that fails in the middle, a part stays: `torn` remembers that. A line of which only the
/// end is missing is written: the next one ends it.
fn put(file: &mut impl Write, torn: &mut bool, line: &[u8]) -> io::Result<()> {
    let joined;
    let mut rest = if *torn {
        joined = [b"\n", line].concat();
        &joined
    } else {
        line
    };
    while !rest.is_empty() {
        let error = match file.write(rest) {
            Ok(0) => ErrorKind::WriteZero.into(),
            Ok(written) => {
                let (done, left) = rest.split_at(written.min(rest.len()));
                *torn = !done.ends_with(b"\n");
                rest = left;
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        return if *torn && rest == b"\n" { Ok(()) } else { Err(error) };
    }
    Ok(())
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Whether the last line of a file has no end, because a program or a machine stopped while it was written.
fn ends_within_a_line(path: &Path, file: &File) -> io::Result<bool> {
    let data = file.metadata()?;
    if !data.is_file() || data.len() == 0 {
        return Ok(false);
    }
    // A log that may be written but not read is taken for whole.
    let Ok(mut file) = File::open(path) else { return Ok(false) };
    let mut last = [0];
    file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last))?;
    Ok(last != *b"\n")
}

/// Whether a path still leads to the file that is open.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |data: fs::Metadata| (data.dev(), data.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => id(open) == id(there),
        // Something else is wrong than that the file is gone: another file would not be better.
        (Err(_), _) => true,
        (_, Err(error)) => error.kind() != ErrorKind::NotFound,
    }
}

/// Without the identity of files, a file is made again only if there is none.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    !matches!(fs::metadata(path), Err(error) if error.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file that takes some bytes and then fails, as its list says.
    struct Full {
        taken: Vec<u8>,
        room: Vec<Option<usize>>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.room.pop() {
                Some(None) => Err(ErrorKind::StorageFull.into()),
                Some(Some(0)) => Err(ErrorKind::Interrupted.into()),
                room => {
                    let count = room.flatten().unwrap_or(bytes.len()).min(bytes.len());
                    self.taken.extend(&bytes[..count]);
                    Ok(count)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        /// However a disk fails in the middle of lines, those that were written are whole, and parts of others stand alone.
        #[test]
        fn lines_that_were_written_are_whole(room in prop::collection::vec(prop::option::of(0..12usize), 0..40)) {
            let mut file = Full { taken: Vec::new(), room };
            let (mut torn, mut whole) = (false, Vec::new());
            let lines: Vec<String> = (0..30).map(|at| format!("<line {at}>\n")).collect();
            for line in &lines {
                if put(&mut file, &mut torn, line.as_bytes()).is_ok() {
                    whole.push(line.clone());
                }
            }
            let text = String::from_utf8(file.taken).unwrap();
            let found: Vec<_> = text.split_inclusive('\n').filter(|line| line.ends_with(">\n")).map(str::to_owned).collect();
            prop_assert_eq!(found, whole);
            for part in text.split_terminator('\n').filter(|part| !part.ends_with('>')) {
                prop_assert!(lines.iter().any(|line| line.starts_with(part)), "{}", part);
            }
        }
    }
}
