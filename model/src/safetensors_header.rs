//! The header of a safetensors file, parsed from untrusted bytes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value};

use crate::LoadError;

/// Max bytes of a header: the limit of the safetensors format.
const HEADER_CAP: u64 = 100_000_000;

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Name of the type, as `F32` or `BF16`.
    pub dtype: String,
    /// The shape.
    pub shape: Vec<i64>,
    /// The bytes' range in the file, which is inside it.
    pub span: Range<usize>,
}

/// Parses and checks the header of the safetensors file `bytes`: every range is inside the file and matches shape and type, and the
/// ranges cover the data without gaps and overlaps.
pub(crate) fn parse_header(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Entry>, LoadError> {
    let wrong =
        |part: &str, expected: String, found: String| LoadError::Safetensors { path: path.to_owned(), part: part.into(), expected, found };
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(wrong("header length", "8 bytes".into(), format!("a file of {}", bytes.len())));
    };
    let length = u64::from_le_bytes(*length);
    let max = HEADER_CAP.min(rest.len() as u64);
    if length > max {
        return Err(wrong("header length", format!("at most {max} bytes, as the file has {}", bytes.len()), format!("{length}")));
    }
    let (header, data) = rest.split_at(length as usize);
    let object: Map<String, Value> = serde_json::from_slice(header).map_err(|e| wrong("header", "a JSON object".into(), e.to_string()))?;
    let base = 8 + header.len();
    let mut entries = BTreeMap::new();
    for (name, value) in object {
        if name == "__metadata__" {
            continue;
        }
        let entry = parse_entry(&value, data.len())
            .map_err(|(field, expected, found)| wrong(&format!("tensor `{name}`, {field}"), expected, found))?;
        entries.insert(name, Entry { span: base + entry.span.start..base + entry.span.end, ..entry });
    }
    let mut spans: Vec<(&Range<usize>, &String)> = entries.iter().map(|(name, entry)| (&entry.span, name)).collect();
    spans.sort_by_key(|(span, _)| (span.start, span.end));
    let mut end = base;
    for (span, name) in spans {
        if span.start != end {
            return Err(wrong(
                &format!("tensor `{name}`, data_offsets"),
                format!("data from byte {}", end - base),
                (span.start - base).to_string(),
            ));
        }
        end = span.end;
    }
    if end != bytes.len() {
        return Err(wrong("data", format!("{} bytes", end - base), data.len().to_string()));
    }
    Ok(entries)
}

type Wrong = (&'static str, String, String);

fn parse_entry(value: &Value, data: usize) -> Result<Entry, Wrong> {
    let dtype = value.get("dtype").and_then(Value::as_str).ok_or_else(|| ("dtype", "a type's name".to_owned(), "none".to_owned()))?;
    let shape: Vec<i64> = numbers(value.get("shape")).ok_or_else(|| ("shape", "a list of dimensions".to_owned(), "none".to_owned()))?;
    let offsets: Option<Vec<i64>> = numbers(value.get("data_offsets"));
    let span = match offsets.as_deref() {
        Some([start, end]) if start <= end && *end as u64 <= data as u64 => *start as usize..*end as usize,
        Some(other) => return Err(("data_offsets", format!("a start and an end within {data} bytes of data"), format!("{other:?}"))),
        None => return Err(("data_offsets", "a start and an end".to_owned(), "none".to_owned())),
    };
    let size = match dtype {
        "F64" | "I64" | "U64" => Some(8),
        "F32" | "I32" | "U32" => Some(4),
        "F16" | "BF16" | "I16" | "U16" => Some(2),
        "BOOL" | "U8" | "I8" => Some(1),
        _ => None,
    };
    if let Some(size) = size {
        let bytes = shape.iter().try_fold(size, |product: u64, n| product.checked_mul(*n as u64));
        if bytes != Some(span.len() as u64) {
            return Err(("data_offsets", format!("the bytes of {dtype} {shape:?}"), span.len().to_string()));
        }
    }
    Ok(Entry { dtype: dtype.to_owned(), shape, span })
}

/// A list of whole numbers from 0 to 2^63 - 1.
fn numbers(value: Option<&Value>) -> Option<Vec<i64>> {
    value?.as_array()?.iter().map(|n| n.as_i64().filter(|n| *n >= 0)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
        parse_header(Path::new("w.safetensors"), bytes).map_err(|e| e.to_string())
    }

    const GOOD: &str = r#"{"__metadata__": {"format": "pt"}, "b": {"dtype": "BF16", "shape": [3], "data_offsets": [8, 14]}, "a": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}}"#;

    #[test]
    fn a_good_header() {
        let entries = parse(&file(GOOD, 14)).unwrap();
        let base = 8 + GOOD.len();
        assert_eq!(entries["a"], Entry { dtype: "F32".into(), shape: vec![2, 1], span: base..base + 8 });
        assert_eq!(entries["b"].span, base + 8..base + 14);
        assert!(parse(&file("{}", 0)).unwrap().is_empty());
    }

    #[test]
    fn each_malformed_field_is_named() {
        let entry = |fields: &str| format!("{{\"t\": {{{fields}}}}}");
        for (header, data, part) in [
            ("[]".to_owned(), 0, "header"),
            ("{".to_owned(), 0, "header"),
            ("{\"t\": 3}".to_owned(), 0, "dtype"),
            (entry(r#""dtype": "F32", "data_offsets": [0, 4]"#), 4, "shape"),
            (entry(r#""dtype": "F32", "shape": [-1], "data_offsets": [0, 4]"#), 4, "shape"),
            (entry(r#""dtype": "F32", "shape": [1.5], "data_offsets": [0, 4]"#), 4, "shape"),
            (entry(r#""dtype": "F32", "shape": [1]"#), 4, "data_offsets"),
            (entry(r#""dtype": "F32", "shape": [1], "data_offsets": [0]"#), 4, "data_offsets"),
            (entry(r#""dtype": "F32", "shape": [1], "data_offsets": [4, 0]"#), 4, "data_offsets"),
            (entry(r#""dtype": "F32", "shape": [1], "data_offsets": [0, 8]"#), 4, "data_offsets"),
            (entry(r#""dtype": "F32", "shape": [2], "data_offsets": [0, 4]"#), 4, "data_offsets"),
            (entry(r#""dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 0]"#), 0, "data_offsets"),
            (entry(r#""dtype": "F32", "shape": [1], "data_offsets": [4, 8]"#), 8, "data_offsets"),
            (entry(r#""dtype": "F32", "shape": [1], "data_offsets": [0, 4]"#), 8, "data"),
            (GOOD.replace("[8, 14]", "[6, 12]"), 12, "`b`"),
        ] {
            let error = parse(&file(&header, data)).unwrap_err();
            assert!(error.contains("w.safetensors") && error.contains(part), "{header}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_json_object(header in r#"\{("[ab]": ?\{"(dtype|shape|data_offsets)": ?("F32"|\[-?[0-9]{0,20}(, ?[0-9]{1,20})?\]),? ?("[a-z_]{1,12}": ?[0-9]{1,20})?\},? ?){0,2}\}"#, data in 0usize..64) {
            let _ = parse(&file(&header, data));
        }

        /// One byte of a good file changed: refused, or spans that lie in the file.
        #[test]
        fn a_changed_byte(at in 0usize..8 + GOOD.len() + 14, byte in any::<u8>()) {
            let mut bytes = file(GOOD, 14);
            bytes[at] = byte;
            if let Ok(entries) = parse(&bytes) {
                prop_assert!(entries.values().all(|e| e.span.start <= e.span.end && e.span.end <= bytes.len()));
            }
        }
    }
}
