//! Lists of ids, one a line, as editors and spreadsheets write them.

use crate::{CorpusError, kinds};

/// Reads a list of ids: every line of `bytes` that is not blank, without its line end. A byte order mark, Windows line ends, and UTF-16 with
/// a byte order mark are accepted. Spaces at either end of a line are kept, because they may belong to an id. `path` names the list in
/// errors.
///
/// # Errors
/// [`CorpusError::NotUtf8`] and [`CorpusError::NotText`] if the list is in another encoding or no text.
pub fn read_id_list(path: &str, bytes: &[u8]) -> Result<Vec<String>, CorpusError> {
    let wide = match bytes {
        [0xFF, 0xFE, 0, 0, ..] => None,
        [0xFF, 0xFE, rest @ ..] => Some(decode(rest, u16::from_le_bytes)),
        [0xFE, 0xFF, rest @ ..] => Some(decode(rest, u16::from_be_bytes)),
        _ => None,
    };
    let text = match wide.flatten() {
        Some(text) => text,
        None => {
            kinds::check(path, bytes)?;
            std::str::from_utf8(bytes).map_err(|error| kinds::not_utf8(path, bytes, 0, error.valid_up_to()))?.to_owned()
        }
    };
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    // A lone carriage return ends a line too, as in old files.
    Ok(text.split(['\n', '\r']).filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
}

fn decode(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).collect::<Result<String, _>>().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_are_read_as_editors_write_them() {
        let utf16 = |text: &str, unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
        let cases: [(Vec<u8>, &[&str]); 8] = [
            (b"a\nb\n".to_vec(), &["a", "b"]),
            (b"\xEF\xBB\xBFa\r\nb \r\n\r\n".to_vec(), &["a", "b "]),
            (b"  \n\t\n a".to_vec(), &[" a"]),
            (b"a\rb".to_vec(), &["a", "b"]),
            (utf16("\u{FEFF}法 1\r\nb", u16::to_le_bytes), &["法 1", "b"]),
            (utf16("\u{FEFF}法 1\r\nb", u16::to_be_bytes), &["法 1", "b"]),
            (Vec::new(), &[]),
            (b"\xEF\xBB\xBF".to_vec(), &[]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read_id_list("ids", &bytes).unwrap(), expected);
        }
        assert!(matches!(read_id_list("ids", b"a\n\xE9t\xE9"), Err(CorpusError::NotUtf8 { offset: 2, .. })));
        assert!(matches!(read_id_list("ids", b"a\0\0b"), Err(CorpusError::NotText { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_list_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_id_list("ids", &bytes);
        }
    }
}
