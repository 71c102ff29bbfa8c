//! What a command may write: never one of its inputs.

use std::fs;
use std::path::Path;

use mempack_format::{DiskStorage, Storage as _};

use crate::failure::{Failure, Kind};

/// Checks that a pack may be written to `path`, before the work begins. `inputs` are the files that the command reads, except for a pack
/// whose new version is written.
///
/// # Errors
/// If it is one of `inputs`, or [`mempack_format::check_target`] refuses it.
pub fn check_pack(path: &Path, inputs: &[&Path]) -> Result<(), Failure> {
    if path == Path::new("-") {
        return Err(Failure::new(Kind::Usage, "--output -: a pack is not written to standard output; name a file, such as corpus.mpk"));
    }
    let target = mempack_format::check_target(&DiskStorage, path)?;
    match inputs.iter().find(|input| is_same(input, &target)) {
        Some(input) => {
            let why =
                format!("--output {}: this would replace {}, which the command reads; name another file", path.display(), input.display());
            Err(Failure::new(Kind::Usage, why))
        }
        None => Ok(()),
    }
}

/// The folder of a file; `.` for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether two paths lead to one file, also as hard links.
pub fn is_same(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if let (Ok(a), Ok(b)) = (fs::metadata(a), fs::metadata(b)) {
            return (a.dev(), a.ino()) == (b.dev(), b.ino());
        }
    }
    // The files may not exist yet; then their folders do.
    let place = |path: &Path| {
        let path = DiskStorage.follow_links(path).unwrap_or_else(|_| path.to_path_buf());
        Some((folder_of(&path).canonicalize().ok()?, path.file_name()?.to_owned()))
    };
    a == b || place(a).is_some_and(|a| Some(a) == place(b))
}
