//! Files that commands write beside packs: details, figures and pages. An output replaces nothing but an older one of its kind, and never an input
//! of the same command. Packs obey the same rule in `mempack_format::check_target`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};

#[cfg(feature = "engine")]
use mempack_evaluation::Drawing;
use mempack_format::{DiskStorage, Storage as _};
use serde_json::Value;

use crate::failure::{Failure, Kind};
use crate::outputs::{folder_of, is_same};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "engine"), allow(dead_code))]
pub enum Contents {
    /// The lines of `eval --details`.
    Details,
    /// An SVG figure.
    Svg,
    /// A PNG figure.
    Png,
    /// A memory block.
    Memory,
    /// The page of `report`.
    Report,
    /// The page of `corpus`.
    Cuts,
}

/// The first line of the page of `corpus`.
pub const CUTS_FIRST_LINE: &str =
    "<!doctype html><!-- mempack corpus --><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">";

impl Contents {
    fn name(self) -> &'static str {
        match self {
            Self::Details => "details of an evaluation",
            Self::Svg => "an SVG figure",
            Self::Png => "a PNG figure",
            Self::Memory => "a memory block",
            Self::Report => "a report about a pack",
            Self::Cuts => "a page of references",
        }
    }

    /// A figure, in the format that the file's ending names: PNG for .png, SVG for all others.
    #[cfg(feature = "engine")]
    pub fn of_figure(path: &Path) -> Self {
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) { Self::Png } else { Self::Svg }
    }

    /// Whether a file holds this, or nothing.
    fn is_in(self, path: &Path) -> io::Result<bool> {
        /// A longer first line is not examined further; a line of details is shorter by far.
        const LINE: u64 = 16 << 20;
        let mut line = Vec::new();
        BufReader::new(File::open(path)?).take(LINE).read_until(b'\n', &mut line)?;
        Ok(line.is_empty()
            || match self {
                Self::Details => match serde_json::from_slice::<Value>(&line) {
                    // A line about a question, a search, a multiple choice, or a window of text.
                    Ok(row) => ["outcomes", "stages", "chosen", "nats_per_token"].iter().any(|field| row.get(field).is_some()),
                    // The beginning of one, if writing it was interrupted.
                    Err(_) => [&b"{\"id\":"[..], b"{\"choices\":", b"{\"text\":"].iter().any(|start| line.starts_with(start)),
                },
                Self::Svg => line.starts_with(b"<svg "),
                Self::Png => line.starts_with(b"\x89PNG\r\n"),
                Self::Memory => has_memory_block(path)?,
                Self::Report => line == mempack_report::FIRST_LINE.as_bytes(),
                Self::Cuts => line.trim_ascii_end() == CUTS_FIRST_LINE.as_bytes(),
            })
    }
}

/// Whether a file is a JSON object with the fields of a memory block.
fn has_memory_block(path: &Path) -> io::Result<bool> {
    /// Blocks are smaller by far, also with a budget of many heads.
    const BLOCK: u64 = 4 << 20;
    let mut bytes = Vec::new();
    File::open(path)?.take(BLOCK).read_to_end(&mut bytes)?;
    let block = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
    Ok(["num_memory_layers", "tokens_per_head"].iter().all(|field| block.get(field).is_some()))
}

/// A file that a command will write, checked before its work begins.
#[derive(Debug)]
pub struct OutputFile {
    /// Where it will be: the path that the user named, with links followed.
    path: PathBuf,
    contents: Contents,
}

impl OutputFile {
    /// Checks that `path`, the value of `option`, may be written. `others` are the inputs and the other outputs of the command.
    ///
    /// # Errors
    /// If it is one of `others`, names a folder, its folder is missing, or something other than `contents` is there.
    pub fn check(option: &str, path: &Path, contents: Contents, others: &[&Path]) -> Result<Self, Failure> {
        let refuse = |why: String| Err(Failure::new(Kind::Usage, format!("{option} {}: {why}", path.display())));
        let target = follow(path)?;
        if let Some(other) = others.iter().find(|other| is_same(other, &target)) {
            return refuse(format!("this would replace {}, which the command reads or writes too; name another file", other.display()));
        }
        if names_folder(path, &target) {
            return refuse(format!("this names a folder; name the file in it, such as {}", path.join("results").display()));
        }
        let folder = folder_of(&target);
        if !folder.is_dir() {
            let why = format!("{option} {}: there is no folder {}; make it first", path.display(), folder.display());
            return Err(Failure::new(Kind::Work, why));
        }
        if target.is_file() {
            let fits = contents.is_in(&target).map_err(|error| Failure::new(Kind::Work, format!("{}: {error}", target.display())))?;
            if !fits {
                return refuse(format!("the file there is not {}, and nothing else is replaced; name another file", contents.name()));
            }
        } else if target.exists() {
            return refuse("this is a pipe, a socket or a device; name a file on a disk".into());
        }
        Ok(Self { path: target, contents })
    }

    /// Begins to write.
    ///
    /// # Errors
    /// If the file beside it cannot be created.
    pub fn begin(self) -> Result<NewFile, Failure> {
        let mut name = self.path.file_name().map(OsString::from).unwrap_or_default();
        name.push(".part");
        let part = self.path.with_file_name(name);
        // What an earlier run left there, if it was killed; anything else would not be ours to replace.
        if part.exists() && !self.contents.is_in(&part).unwrap_or(false) {
            return Err(Failure::new(Kind::Work, format!("{}: the file is needed to write beside it; move it away", part.display())));
        }
        let file = File::create(&part).map_err(|error| failed(&part, &error))?;
        Ok(NewFile { file, part, target: self.path })
    }

    /// Writes a figure, as PNG if that is what the file [holds](Contents::of_figure).
    ///
    /// # Errors
    /// As [`write`](Self::write), and if the figure is too large for a PNG.
    #[cfg(feature = "engine")]
    pub fn draw(self, figure: &Drawing) -> Result<(), Failure> {
        let bytes = match self.contents {
            Contents::Png => figure.png().map_err(|error| Failure::new(Kind::Work, format!("{}: {error}", self.path.display())))?,
            _ => figure.svg().into_bytes(),
        };
        self.write(&bytes)
    }

    /// Writes all of the file.
    ///
    /// # Errors
    /// If writing fails; a file that was there before is then unchanged.
    pub fn write(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut file = self.begin()?;
        match file.file.write_all(bytes) {
            Ok(()) => file.finish(),
            Err(error) => {
                // The error is reported; the part is of no use.
                let _ = fs::remove_file(&file.part);
                Err(failed(&file.target, &error))
            }
        }
    }
}

/// A file that is being written under a temporary name beside its place.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    part: PathBuf,
    target: PathBuf,
}

impl NewFile {
    /// Where it is until it is finished.
    #[cfg(feature = "engine")]
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// Syncs the file and renames it. It has the permissions of a file that it replaces.
    ///
    /// # Errors
    /// If the system refuses; what was written is then under the temporary name.
    pub fn finish(self) -> Result<(), Failure> {
        let Self { file, part, target } = self;
        let kept = match DiskStorage.copy_permissions(&target, &part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            kept => kept,
        };
        kept.and_then(|()| file.sync_all()).and_then(|()| fs::rename(&part, &target)).map_err(|error| failed(&target, &error))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn follow(path: &Path) -> Result<PathBuf, Failure> {
    DiskStorage.follow_links(path).map_err(|error| failed(path, &error))
}

/// Whether a path is meant as a folder: it is one, or ends in `/`.
fn names_folder(path: &Path, target: &Path) -> bool {
    target.is_dir() || target.file_name().is_none() || path.as_os_str().to_string_lossy().ends_with(std::path::is_separator)
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Kind::Work, format!("{}: cannot be written: {error}; check the path", path.display()))
}
