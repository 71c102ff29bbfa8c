//! Files of JSON lines that commands read whole: queries and questions.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::failure::{Failure, Kind};

/// The rows of a file, one JSON object a line; empty lines are passed over.
pub fn read<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<Vec<T>, Failure> {
    let failed = |what: String| Failure::new(Kind::Work, format!("{}{what}", path.display()));
    let file = File::open(path).map_err(|e| failed(format!(": {e}; check the path")))?;
    let mut rows = Vec::new();
    for (line, text) in (1..).zip(BufReader::new(file).lines()) {
        let text = text.map_err(|e| failed(format!(", line {line}: {e}; the file must be UTF-8 text")))?;
        if !text.trim().is_empty() {
            rows.push(serde_json::from_str(&text).map_err(|e| failed(format!(", line {line}: {e}; expected {expected}")))?);
        }
    }
    if rows.is_empty() {
        return Err(failed(format!(": no rows; expected lines such as {expected}")));
    }
    Ok(rows)
}
