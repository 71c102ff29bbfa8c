//! The fields of a JSON line beside those of its record, with numbers as they are written.

use crate::fields::{DocumentField, FieldValue};

/// The fields of an object of JSON, except those that `is_known` names. An object within it gives the fields that it has, with its name
/// before theirs. Null, an empty list and an empty object give none.
///
/// `line` is an object that a parser of JSON has accepted; of any other text, some fields come out.
pub(super) fn read(line: &str, is_known: impl Fn(&str) -> bool) -> Vec<DocumentField> {
    let mut fields = Vec::new();
    if let Json::Object(members) = (Reader { text: line, at: 0 }).value() {
        for (name, value) in members.into_iter().filter(|(name, _)| !is_known(name)) {
            flatten(name, value, &mut fields);
        }
    }
    fields
}

fn flatten(name: String, value: Json<'_>, fields: &mut Vec<DocumentField>) {
    let mut push = |name, list, values: Vec<FieldValue>| {
        if !values.is_empty() {
            fields.push(DocumentField { name, list, values });
        }
    };
    match value {
        Json::Object(members) => members.into_iter().for_each(|(member, value)| flatten(format!("{name}.{member}"), value, fields)),
        Json::List { items, text } => {
            if items.iter().any(|item| matches!(item, Json::Object(_) | Json::List { .. })) {
                push(name, false, vec![FieldValue::nested(text)]);
            } else {
                push(name, true, items.into_iter().filter_map(scalar).collect());
            }
        }
        value => push(name, false, scalar(value).into_iter().collect()),
    }
}

/// A value that is neither list nor object; `None` for null.
fn scalar(value: Json<'_>) -> Option<FieldValue> {
    match value {
        Json::String(text) => Some(FieldValue::string(text)),
        Json::Plain(text) => FieldValue::plain(text),
        Json::List { .. } | Json::Object(_) => None,
    }
}

/// A value of JSON.
enum Json<'a> {
    String(String),
    /// What has no quotes: null, true, false or a number.
    Plain(&'a str),
    List {
        items: Vec<Json<'a>>,
        text: &'a str,
    },
    Object(Vec<(String, Json<'a>)>),
}

/// Reads values of valid JSON (RFC 8259). On other texts it ends too, with any values.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) {
        if self.peek() == Some(byte) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Json<'a> {
        match self.peek() {
            Some(b'"') => Json::String(self.string()),
            Some(b'[') => {
                let (start, mut items) = (self.at, Vec::new());
                self.at += 1;
                while !matches!(self.peek(), None | Some(b']')) {
                    items.push(self.value());
                    self.skip(b',');
                }
                self.skip(b']');
                Json::List { items, text: &self.text[start..self.at] }
            }
            Some(b'{') => {
                let mut members = Vec::new();
                self.at += 1;
                while self.peek() == Some(b'"') {
                    let name = self.string();
                    self.skip(b':');
                    members.push((name, self.value()));
                    self.skip(b',');
                }
                self.skip(b'}');
                Json::Object(members)
            }
            _ => {
                let rest = &self.text[self.at..];
                let end = rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
                // At least a character, so that every call comes further.
                let end = end.max(rest.chars().next().map_or(0, char::len_utf8));
                self.at += end;
                Json::Plain(&rest[..end])
            }
        }
    }

    /// The string that begins with the quote at the place of the reader.
    fn string(&mut self) -> String {
        let rest = &self.text[self.at..];
        let mut bytes = rest.bytes().enumerate().skip(1);
        let mut end = rest.len();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    end = at + 1;
                    break;
                }
                b'\\' => drop(bytes.next()),
                _ => {}
            }
        }
        self.at += end;
        serde_json::from_str(&rest[..end]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use mempack_format::FieldKind;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn shown(line: &str) -> Vec<String> {
        let value = |value: &FieldValue| format!("{}{} {}", value.kind, if value.nested { " nested" } else { "" }, value.text);
        let field = |field: &DocumentField| {
            let values: Vec<String> = field.values.iter().map(value).collect();
            format!("{}{}: {}", field.name, if field.list { "[]" } else { "" }, values.join(", "))
        };
        read(line, |name| name == "id").iter().map(field).collect()
    }

    #[test]
    fn fields_keep_their_types() {
        for (line, expected) in [
            (r#"{}"#, &[][..]),
            (r#"{"id": 1, "a": null, "b": [], "c": {}, "d": [null], "e": {"f": null}}"#, &[]),
            (r#"{"a":true, "b" : false}"#, &["a: boolean true", "b: boolean false"]),
            (r#"{"a": 2021, "b": -7, "c": 9223372036854775808}"#, &["a: integer 2021", "b: integer -7", "c: number 9223372036854775808"]),
            (
                r#"{"a": 1.50, "b": 1E5, "c": -0, "d": 123456789012345678901234567890}"#,
                &["a: number 1.50", "b: number 1E5", "c: number -0", "d: number 123456789012345678901234567890"],
            ),
            (
                r#"{"a": "", "b": "2024-05-01", "c": "2024-05-01T10:00:00Z", "d": "2024-13-01", "e": "true", "f": "7"}"#,
                &["a: text ", "b: date 2024-05-01", "c: date 2024-05-01T10:00:00Z", "d: text 2024-13-01", "e: text true", "f: text 7"],
            ),
            (
                r#"{"court": {"name": "X", "place": {"id": 3}}, "a.b": 1}"#,
                &["court.name: text X", "court.place.id: integer 3", "a.b: integer 1"],
            ),
            (r#"{"a": ["x", null, "y", "x"], "b": [1, "1"]}"#, &["a[]: text x, text y, text x", "b[]: integer 1, text 1"]),
            (r#"{"a": [{"b": 1}, "x"], "c": [ [1, 2] ]}"#, &[r#"a: text nested [{"b": 1}, "x"]"#, "c: text nested [ [1, 2] ]"]),
            (
                r#"{"\u00e4\"\\": "a\n\ud83d\ude00", "裁判所": "最高裁", "": 0}"#,
                &["ä\"\\: text a\n😀", "裁判所: text 最高裁", ": integer 0"],
            ),
            (r#"{"a": 1, "a": 2}"#, &["a: integer 1", "a: integer 2"]),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }

    /// What the fields of a document say, by serde_json.
    fn expected(name: &str, value: &Value, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(member, value)| expected(&format!("{name}.{member}"), value, found)),
            Value::Null => {}
            Value::Array(items) if items.iter().any(|item| item.is_array() || item.is_object()) => {
                found.push((name.to_owned(), value.clone()))
            }
            Value::Array(items) => {
                let items: Vec<&Value> = items.iter().filter(|item| !item.is_null()).collect();
                if !items.is_empty() {
                    found.push((name.to_owned(), json!(items)));
                }
            }
            value => found.push((name.to_owned(), value.clone())),
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            // Few digits: of more, serde_json may read the f64 beside the nearest one.
            (-1_000_000i32..1_000_000).prop_map(|number| Value::from(f64::from(number) / 1024.0)),
            "\\PC{0,6}|[\"\\\\\n\u{0}é]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,4}", inner, 0..5).prop_map(|members| members.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn serde_json_reads_the_same(members in prop::collection::btree_map("\\PC{0,4}", any_json(), 0..5), pretty: bool) {
            let object: Value = members.into_iter().collect();
            let line = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
            let mut wanted = Vec::new();
            for (name, value) in object.as_object().unwrap() {
                expected(name, value, &mut wanted);
            }
            let json = |value: &FieldValue| match (value.kind, value.nested) {
                (FieldKind::Text | FieldKind::Date, false) => Value::from(value.text.clone()),
                _ => serde_json::from_str(&value.text).unwrap(),
            };
            let value = |field: &DocumentField| if field.list { field.values.iter().map(json).collect() } else { json(&field.values[0]) };
            let found: Vec<(String, Value)> = read(&line, |_| false).iter().map(|field| (field.name.clone(), value(field))).collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn any_text_ends(text in "\\PC{0,60}|[{}\\[\\]\",:\\\\0-9tn é-]{0,60}") {
            let _ = read(&text, |_| false);
        }
    }
}
