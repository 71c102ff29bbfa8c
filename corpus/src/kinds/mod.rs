//! What a file is that is no UTF-8 text, and how to make a text of it.

mod content;
mod encodings;

pub(crate) use content::{check, is_other_encoding, json_advice, unknown_extension};
pub(crate) use encodings::not_utf8;

use crate::input::STANDARD_INPUT;

/// A path as an argument of a shell command.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%".contains(c);
    if !path.is_empty() && !path.starts_with('-') && path.chars().all(plain) {
        return path.to_owned();
    }
    let shown = if path.starts_with('-') { format!("./{path}") } else { path.to_owned() };
    // A control character is no part of a command that anyone types.
    if shown.contains(char::is_control) { "FILE".to_owned() } else { format!("'{}'", shown.replace('\'', r"'\''")) }
}

/// A command that makes another file of one: `how FILE > FILE.NAME.EXTENSION`, or what to put before a pipe.
fn command(how: &str, path: &str, name: &str, extension: Option<&str>) -> String {
    if path == STANDARD_INPUT {
        return format!("pass it through {how}");
    }
    let file = std::path::Path::new(path);
    let extension = extension.or_else(|| file.extension().and_then(|extension| extension.to_str())).unwrap_or("txt");
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let named = |name: &str| file.with_file_name(format!("{stem}{name}.{extension}"));
    // The command must not write the file that it reads.
    let new = Some(named(name)).filter(|new| new != file).unwrap_or_else(|| named(".new"));
    format!("{how} {} > {}", quoted(path), quoted(&new.to_string_lossy()))
}

#[cfg(test)]
mod tests;
