//! What the documents of several folders are named after.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Input;

/// The prefix of the names of each input's files. A single folder adds nothing to the paths below it, so a pack does not depend on where its
/// corpus is stored. One of several inputs adds the folder's name, and as much of the path to it as makes the prefixes differ.
pub(super) fn prefixes(inputs: &[Input]) -> Vec<String> {
    let folders: Vec<Option<Vec<String>>> = inputs.iter().map(|input| components(input).filter(|_| inputs.len() > 1)).collect();
    let mut lengths = vec![1; inputs.len()];
    loop {
        let named: Vec<Option<String>> =
            folders.iter().zip(&lengths).map(|(folder, length)| Some(last(folder.as_ref()?, *length))).collect();
        let mut groups: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, name) in named.iter().enumerate() {
            groups.entry(name.as_deref().unwrap_or_default()).or_default().push(at);
        }
        let mut longer = false;
        for group in groups.into_values() {
            let differ = group.iter().any(|at| folders[*at] != folders[group[0]]);
            for at in group.into_iter().filter(|_| differ) {
                longer |= folders[at].as_ref().is_some_and(|folder| lengths[at] < folder.len());
                lengths[at] += 1;
            }
        }
        if !longer {
            return named.into_iter().map(|name| name.map_or_else(String::new, |name| format!("{name}/"))).collect();
        }
    }
}

/// The parts of the absolute path of a folder; `None` for any other input.
fn components(input: &Input) -> Option<Vec<String>> {
    let Input::Path(path) = input else { return None };
    if !fs::metadata(path).is_ok_and(|data| data.is_dir()) {
        return None;
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    // `.` and `..` are no names.
    let dotted = path.file_name().is_none() || absolute.components().any(|part| part.as_os_str() == "..");
    let absolute: PathBuf = if dotted { fs::canonicalize(path).unwrap_or(absolute) } else { absolute };
    Some(parts(&absolute))
}

fn parts(path: &Path) -> Vec<String> {
    let normal = path.components().filter(|part| matches!(part, std::path::Component::Normal(_)));
    normal.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
}

fn last(parts: &[String], length: usize) -> String {
    parts[parts.len().saturating_sub(length)..].join("/")
}
