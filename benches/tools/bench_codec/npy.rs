//! Matrices of floats in numpy's file format, `.npy` version 1.

use std::{io, path::PathBuf};

/// Vectors, `[n, dim]`.
#[derive(Debug, PartialEq)]
pub struct Matrix {
    /// Dimensions of a vector; at least 1.
    pub dim: usize,
    /// `[n, dim]`
    pub floats: Vec<f32>,
}

/// Why a file cannot be read as a matrix.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: no .npy file of version 1")]
    Magic { path: PathBuf },
    #[error(
        "{path}: the header is {found:?}, expected {{'descr': '<f4', 'fortran_order': False, 'shape': (n, dim), }}: \
         save numpy.ascontiguousarray(matrix, 'float32')"
    )]
    Header { path: PathBuf, found: String },
    #[error("{path}: {found} bytes of numbers, but the header says {expected}")]
    Length { path: PathBuf, expected: u128, found: usize },
}

/// Reads a matrix, float32 in C order, as `numpy.save` writes it.
///
/// # Errors
/// If the file cannot be read, or is anything else.
pub fn read(path: PathBuf) -> Result<Matrix, NpyError> {
    match std::fs::read(&path) {
        Ok(bytes) => parse(path, &bytes),
        Err(source) => Err(NpyError::Read { path, source }),
    }
}

fn parse(path: PathBuf, bytes: &[u8]) -> Result<Matrix, NpyError> {
    let Some((length, rest)) = bytes.strip_prefix(b"\x93NUMPY\x01\x00").and_then(<[u8]>::split_first_chunk::<2>) else {
        return Err(NpyError::Magic { path });
    };
    let length = usize::from(u16::from_le_bytes(*length));
    let Some((header, numbers)) = rest.split_at_checked(length) else {
        return Err(NpyError::Magic { path });
    };
    let header = String::from_utf8_lossy(header);
    let Some((count, dim)) = shape(&header) else {
        return Err(NpyError::Header { path, found: header.trim_end().into() });
    };
    let expected = 4 * u128::from(count) * u128::from(dim);
    if numbers.len() as u128 != expected {
        return Err(NpyError::Length { path, expected, found: numbers.len() });
    }
    let floats = numbers.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok(Matrix { dim: dim as usize, floats })
}

/// The shape in a header, which numpy always writes in this one way.
fn shape(header: &str) -> Option<(u64, u32)> {
    let shape = header.strip_prefix("{'descr': '<f4', 'fortran_order': False, 'shape': (")?.trim_end().strip_suffix("), }")?;
    let (count, dim) = shape.split_once(", ")?;
    let (count, dim) = (count.parse().ok()?, dim.parse().ok()?);
    (dim > 0).then_some((count, dim))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";

    /// A file of the header, padded as numpy pads it, and of so many numbers.
    fn file(header: &str, numbers: usize) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        bytes.extend(format!("{header:117}\n").bytes());
        bytes.extend((0..numbers).flat_map(|number| (number as f32).to_le_bytes()));
        bytes
    }

    fn parsed(bytes: &[u8]) -> Result<Matrix, NpyError> {
        parse("some.npy".into(), bytes)
    }

    #[test]
    fn what_numpy_writes_is_read() {
        let found = parsed(&file(HEADER, 6)).unwrap();
        assert_eq!(found, Matrix { dim: 3, floats: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0] });
        let none = parsed(&file(&HEADER.replace("(2,", "(0,"), 0)).unwrap();
        assert_eq!(none, Matrix { dim: 3, floats: vec![] });
    }

    #[test]
    fn another_type_order_or_shape_is_refused() {
        for (what, instead) in [
            ("<f4", "<f8"),
            ("<f4", ">f4"),
            ("False", "True"),
            ("(2, 3)", "(6,)"),
            ("(2, 3)", "(1, 2, 3)"),
            ("(2, 3)", "(2, 0)"),
            ("(2, 3)", "(-2, -3)"),
            ("(2, 3)", "(18446744073709551616, 3)"),
            ("shape", "shapes"),
            (", }", ", 'more': 1, }"),
        ] {
            let error = parsed(&file(&HEADER.replace(what, instead), 6)).unwrap_err();
            assert!(matches!(error, NpyError::Header { .. }), "{instead}: {error}");
            assert!(error.to_string().starts_with("some.npy: the header is \"{'descr'"), "{error}");
        }
    }

    #[test]
    fn another_version_or_format_is_refused() {
        let whole = file(HEADER, 6);
        for damaged in [&whole[..0], &whole[..9], &whole[..100], &[b"\x93NUMPY\x02\x00", &whole[8..]].concat(), b"{'descr': '<f4'"] {
            assert!(matches!(parsed(damaged), Err(NpyError::Magic { .. })));
        }
    }

    #[test]
    fn too_few_and_too_many_numbers_are_refused() {
        for (numbers, size) in [(5, 20), (7, 28)] {
            let error = parsed(&file(HEADER, numbers)).unwrap_err();
            assert!(matches!(error, NpyError::Length { expected: 24, found, .. } if found == size), "{error}");
        }
        let whole = file(HEADER, 6);
        assert!(matches!(parsed(&whole[..whole.len() - 1]), Err(NpyError::Length { expected: 24, found: 23, .. })));
        // Sizes that only overflow: no room is made for what is not there.
        let huge = HEADER.replace("(2, 3)", "(18446744073709551615, 4294967295)");
        assert!(matches!(parsed(&file(&huge, 6)), Err(NpyError::Length { .. })));
    }
}
