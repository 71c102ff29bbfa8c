//! Reads JSONL files completely: one JSON value per line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a JSONL file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// The file cannot be opened or read, or is not UTF-8 text.
    #[error("{}: line {line}: {source}; the file must exist and be UTF-8 text", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The line that could not be read; 1 if the file could not be opened.
        line: usize,
        /// The system's error.
        source: std::io::Error,
    },
    /// A line is not a valid row.
    #[error("{}, line {line}: {source}; expected a line like {expected}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The cause.
        source: serde_json::Error,
        /// An example of a valid line.
        expected: &'static str,
    },
    /// The file has no rows.
    #[error("{}: no rows; expected lines like {expected}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// An example of a valid line.
        expected: &'static str,
    },
}

/// Reads the rows of a file. Empty lines are ignored. `expected` is an example of a valid line, for error messages.
///
/// # Errors
/// If the file cannot be read, a line is not a valid row, or there are no rows.
pub fn read_rows<T: DeserializeOwned>(path: &Path, expected: &'static str) -> Result<Vec<T>, RowsError> {
    let failed = |line| move |source| RowsError::Io { path: path.to_owned(), line, source };
    let file = File::open(path).map_err(failed(1))?;
    let mut rows = Vec::new();
    for (line, text) in (1..).zip(BufReader::new(file).lines()) {
        let text = text.map_err(failed(line))?;
        if !text.trim().is_empty() {
            let row = serde_json::from_str(&text);
            rows.push(row.map_err(|source| RowsError::Row { path: path.to_owned(), line, source, expected })?);
        }
    }
    if rows.is_empty() {
        return Err(RowsError::Empty { path: path.to_owned(), expected });
    }
    Ok(rows)
}

/// Selects `limit` evenly spaced rows; all rows if there are no more than that.
pub fn evenly<T>(rows: Vec<T>, limit: Option<usize>) -> Vec<T> {
    let all = rows.len();
    let Some(limit) = limit.filter(|limit| *limit < all) else { return rows };
    // Row i is kept if the number of rows due increases at i.
    rows.into_iter().enumerate().filter(|(i, _)| i * limit / all != (i + 1) * limit / all).map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenly_spaced() {
        let rows: Vec<usize> = (0..10).collect();
        assert_eq!(evenly(rows.clone(), Some(5)), [1, 3, 5, 7, 9]);
        assert_eq!(evenly(rows.clone(), Some(3)), [3, 6, 9]);
        assert_eq!(evenly(rows.clone(), Some(1)), [9]);
        assert_eq!(evenly(rows.clone(), Some(0)), [0; 0]);
        for whole in [None, Some(10), Some(11)] {
            assert_eq!(evenly(rows.clone(), whole), rows);
        }
    }

    #[test]
    fn errors_name_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            read_rows::<u32>(&path, "7").map_err(|error| error.to_string())
        };
        assert_eq!(read(b"1\n\n2\n"), Ok(vec![1, 2]));
        for (content, words) in [
            (&b"1\nx\n"[..], ["rows.jsonl, line 2", "like 7"]),
            (b"1\n\xff\n", ["rows.jsonl: line 2", "UTF-8"]),
            (b" \n", ["rows.jsonl: no rows", "like 7"]),
        ] {
            let error = read(content).unwrap_err();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
        let absent = read_rows::<u32>(&folder.path().join("absent"), "7").unwrap_err().to_string();
        assert!(absent.contains("absent"), "{absent}");
    }
}
