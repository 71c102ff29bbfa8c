//! Finds the base model of an adapter, and the writer of a reading adapter.

use std::path::{Path, PathBuf};

use crate::LoadError;
use crate::adapter;

/// The file that a base model has.
const CONFIG: &str = "config.json";

/// The folder of the base model `name` of the adapter in the folder `adapter`.
///
/// `given` is used unchecked. Without it, these are tried in order: `name` as a path relative to the current folder, and to the adapter;
/// then the last component of `name` in `$MEMPACK_MODELS`, in `models/` of the current folder, and in `models/` of the program's
/// folder and of its parents.
pub(crate) fn find_base(adapter: &Path, name: &str, given: Option<&Path>) -> Result<PathBuf, LoadError> {
    if let Some(folder) = given {
        return Ok(folder.to_owned());
    }
    let looked = all_candidates(adapter, name);
    let found = looked.iter().find(|folder| folder.join(CONFIG).is_file()).cloned();
    found.ok_or_else(|| LoadError::BaseNotFound { path: adapter.to_owned(), name: name.to_owned(), looked })
}

/// The folder of the writer `name` of the reading adapter in the folder `adapter`: a base model, or an adapter.
///
/// `name` is tried as a path relative to the adapter first, then as [`find_base`] tries it.
pub(crate) fn find_writer(adapter: &Path, name: &str) -> Result<PathBuf, LoadError> {
    let looked: Vec<PathBuf> = std::iter::once(adapter.join(name)).chain(all_candidates(adapter, name)).collect();
    let writes = |folder: &&PathBuf| [CONFIG, adapter::CONFIG].iter().any(|file| folder.join(file).is_file());
    let found = looked.iter().find(writes).cloned();
    found.ok_or_else(|| LoadError::WriterNotFound { path: adapter.to_owned(), name: name.to_owned(), looked })
}

fn all_candidates(adapter: &Path, name: &str) -> Vec<PathBuf> {
    let program = std::env::current_exe().ok();
    candidates(adapter, name, std::env::var_os("MEMPACK_MODELS").map(PathBuf::from).as_deref(), program.as_deref())
}

fn candidates(adapter: &Path, name: &str, models: Option<&Path>, program: Option<&Path>) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(name), adapter.join(name)];
    // A hub name is `owner/model`; folders are named after the model.
    if let Some(last) = Path::new(name).file_name() {
        folders.extend(models.map(|folder| folder.join(last)));
        folders.push(Path::new("models").join(last));
        let above = program.into_iter().flat_map(|p| p.ancestors().skip(1));
        folders.extend(above.map(|folder| folder.join("models").join(last)));
    }
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_tried_in_order() {
        let found = candidates(Path::new("/a/reader"), "owner/base", Some(Path::new("/m")), Some(Path::new("/r/target/mempack")));
        let expected =
            ["owner/base", "/a/reader/owner/base", "/m/base", "models/base", "/r/target/models/base", "/r/models/base", "/models/base"];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn a_missing_base_is_an_error_that_lists_the_folders() {
        let error = find_base(Path::new("/nowhere/reader"), "no-such-base", None).unwrap_err().to_string();
        for part in ["no-such-base", "/nowhere/reader/no-such-base", "MEMPACK_MODELS", "make"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
