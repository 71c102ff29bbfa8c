//! The file of keys as text: what it may hold, and what is said of anything else.

use std::path::Path;

use mempack_keys::{Defect, Filter, Key, KeyName, Keys, KeysError, NewKey, PackScope, Period, Quota, moment};
use proptest::prelude::*;

const FULL: &str = r#"# a comment
version = 1

[[key]]
name = "research"
hash = "blake3:bce0f918b275647e4f1e3dd4aae0c66943ccbea7385b1c4a75bd6753bc9877f5"
packs = ["legal", "medical"]
quota = "60/min"
where = 'jurisdiction == "BY"'
admin = true
created = 2026-11-28T12:00:00Z
expires = 2027-11-28
revoked = 2027-01-01T08:30:00+01:00

[[key]]
name = "all"
hash = "blake3:0000000000000000000000000000000000000000000000000000000000000000"
packs = "all"
created = 2026-11-28T12:00:00Z
"#;

fn parse(bytes: impl AsRef<[u8]>) -> Result<Keys, KeysError> {
    Keys::parse(Path::new("keys.toml"), bytes.as_ref())
}

#[test]
fn every_field_is_read() {
    let keys = parse(FULL).unwrap();
    let [research, all] = keys.list() else { panic!("two keys: {keys:?}") };
    assert_eq!(research.name.as_str(), "research");
    assert_eq!(research.hash.to_string(), "blake3:bce0f918b275647e4f1e3dd4aae0c66943ccbea7385b1c4a75bd6753bc9877f5");
    assert_eq!(research.packs, PackScope::Named(["legal", "medical"].map(String::from).into()));
    assert_eq!(research.quota, Quota::new(60, Period::Minute));
    assert_eq!(research.filter.as_ref().map(Filter::text), Some(r#"jurisdiction == "BY""#));
    assert!(research.admin);
    assert_eq!(research.created.to_string(), "2026-11-28T12:00:00Z");
    assert_eq!(research.expires.unwrap().to_string(), "2027-11-28T00:00:00Z");
    assert_eq!(research.revoked.unwrap().to_string(), "2027-01-01T07:30:00Z");
    assert_eq!(
        (&all.packs, all.quota, &all.filter, all.admin, all.expires, all.revoked),
        (&PackScope::All, None, &None, false, None, None)
    );
}

#[test]
fn what_is_written_is_what_the_documentation_shows() {
    let text = parse(FULL).unwrap().compose().unwrap();
    let expected = FULL
        .replace("# a comment", "# Keys of `mempack serve`, written by `mempack api-keys`, which does not keep comments.")
        .replace("2027-11-28\n", "2027-11-28T00:00:00Z\n")
        .replace("2027-01-01T08:30:00+01:00", "2027-01-01T07:30:00Z")
        .replace("packs = \"all\"\n", "packs = \"all\"\nadmin = false\n");
    assert_eq!(text, expected);
    assert_eq!(parse(Keys::new().compose().unwrap()).unwrap().list(), []);
}

/// Each change of the file, the line and field that the error names, and words of its message.
#[test]
fn what_is_wrong_is_said_with_its_place() {
    let hash = "blake3:bce0f918b275647e4f1e3dd4aae0c66943ccbea7385b1c4a75bd6753bc9877f5";
    for (from, to, line, field, words) in [
        ("version = 1\n", "", 1, "version", "the field is missing; expected version = 1"),
        ("version = 1", "version = 2", 2, "version", "version \"2\""),
        ("version = 1", "version = \"1\"", 2, "version", "expected the number 1, found a value of type string"),
        ("version = 1", "version = 1\nkeys = 3", 3, "keys", "no such field; the fields are version, key"),
        ("version = 1", "version = ", 2, "", "not TOML"),
        ("[[key]]\nname = \"research\"", "[key]\nname = \"research\"", 15, "", "not TOML: duplicate key"),
        ("name = \"research\"", "nama = \"research\"", 5, "key.nama", "the fields are name, hash, packs"),
        ("name = \"research\"\n", "", 4, "key.name", "missing"),
        ("name = \"research\"", "name = 7", 5, "key.name", "found a value of type integer"),
        ("name = \"research\"", "name = \"re search\"", 5, "key.name", "' '"),
        ("name = \"research\"", "name = \"research\"\nname = \"again\"", 6, "", "not TOML"),
        ("name = \"all\"", "name = \"research\"", 16, "key.name", "line 5"),
        ("blake3:0000000000000000000000000000000000000000000000000000000000000000", hash, 17, "key.hash", "line 6"),
        (hash, "blake3:bce0", 6, "key.hash", "64 digits"),
        (hash, "mpk-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq5fba", 6, "key.hash", "blake3:"),
        ("packs = \"all\"\n", "", 15, "key.packs", "missing; expected \"all\", or a list"),
        ("packs = \"all\"", "packs = \"legal\"", 18, "key.packs", "\"all\", or a list"),
        ("packs = \"all\"", "packs = [\"legal\", 7]", 18, "key.packs", "type integer"),
        ("packs = \"all\"", "packs = [\"\"]", 18, "key.packs", "no name of a pack"),
        ("packs = \"all\"", "packs = [\n  \"a\",\n  \"b\\nc\",\n]", 20, "key.packs", "\"b\\nc\" is no name of a pack"),
        ("60/min", "60 per minute", 8, "key.quota", "60/min"),
        ("60/min", "0/min", 8, "key.quota", "between 1 and 1000000000"),
        ("quota = \"60/min\"", "quota = 60", 8, "key.quota", "expected a text such as"),
        ("jurisdiction == ", "jurisdiction = ", 9, "key.where", "character 14"),
        ("admin = true", "admin = \"true\"", 10, "key.admin", "expected true or false"),
        ("created = 2026-11-28T12:00:00Z\nexpires", "expires", 4, "key.created", "missing"),
        ("created = 2026-11-28T12:00:00Z\nexpires", "created = 2026-11-28T12:00:00\nexpires", 11, "key.created", "2027-01-31T12:00:00Z"),
        ("expires = 2027-11-28", "expires = \"2027-11-28\"", 12, "key.expires", "type string"),
        ("expires = 2027-11-28", "expires = 12:00:00", 12, "key.expires", "no date"),
        ("revoked = 2027-01-01T08:30:00+01:00", "revoked = true", 13, "key.revoked", "type boolean"),
    ] {
        assert!(FULL.contains(from), "{from}");
        let error = parse(FULL.replacen(from, to, 1)).unwrap_err();
        let message = error.to_string();
        let KeysError::Malformed { line: at, field: of, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*at, of.as_deref().unwrap_or_default()), (line, field), "{to}: {message}");
        assert!(message.starts_with(&format!("keys.toml: line {line}")) && message.contains(words), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn other_files_are_no_files_of_keys() {
    let defect = |bytes: &[u8]| match parse(bytes).unwrap_err() {
        KeysError::Malformed { line, defect, .. } => (line, *defect),
        error => panic!("{error:?}"),
    };
    assert!(matches!(defect(b""), (1, Defect::Missing { .. })));
    assert_eq!(defect(b"version = 1\n# \xff\n"), (2, Defect::NotText));
    assert!(matches!(defect(b"{\"version\": 1}"), (1, Defect::Syntax(_))));
    assert!(matches!(defect(&b"[".repeat(100_000)), (1, Defect::Syntax(_))));
    assert!(matches!(defect(format!("version = {}", "[".repeat(100_000)).as_bytes()), (1, Defect::Syntax(_))));
    assert!(matches!(defect(b"version = 1\nkey = 3"), (2, Defect::Kind { found: "integer", .. })));
    assert!(matches!(defect(b"version = 1\nkey = [3]"), (2, Defect::Kind { found: "integer", .. })));
}

#[test]
fn a_file_may_be_without_keys() {
    assert_eq!(parse("version = 1").unwrap().list(), []);
    assert_eq!(parse("version = 1\nkey = []").unwrap().list(), []);
    // A key that reads no pack, for administration.
    let text = FULL.replace("packs = \"all\"", "packs = []");
    assert_eq!(parse(text).unwrap().list()[1].packs, PackScope::Named([].into()));
}

fn new_keys() -> impl Strategy<Value = Vec<NewKey>> {
    let packs = prop_oneof![Just(PackScope::All), prop::collection::btree_set(r#"[^\p{Cc}]{1,12}"#, 0..4).prop_map(PackScope::Named),];
    let period = prop::sample::select(vec![Period::Second, Period::Minute, Period::Hour, Period::Day]);
    let quota = prop::option::of((1..=mempack_keys::MAX_QUOTA, period).prop_map(|(count, period)| Quota::new(count, period).unwrap()));
    let filter = prop::option::of(
        r#"[^\p{Cc}"\\]{0,8}"#.prop_map(|text| format!("court.name == \"{text}\" &&\n\t!(date > '2021-01-01')").parse().unwrap()),
    );
    let expires = prop::option::of((2_000_000_000..250_000_000_000i64).prop_map(|second| jiff::Timestamp::from_second(second).unwrap()));
    let key = ("[A-Za-z0-9][A-Za-z0-9._-]{0,63}", packs, quota, filter, any::<bool>(), expires).prop_map(
        |(name, packs, quota, filter, admin, expires): (String, _, _, Option<Filter>, _, _)| NewKey {
            packs,
            quota,
            filter,
            admin,
            expires,
            ..NewKey::new(name.parse::<KeyName>().unwrap())
        },
    );
    prop::collection::vec(key, 0..6)
}

/// Keys, some of them revoked.
fn keys() -> impl Strategy<Value = Keys> {
    new_keys().prop_map(|new| {
        let mut keys = Keys::new();
        for (at, key) in new.into_iter().enumerate() {
            let name = key.name.clone();
            if keys.add(key).is_ok() && at % 3 == 1 {
                keys.revoke(name.as_str()).unwrap();
            }
        }
        keys
    })
}

proptest! {
    #[test]
    fn keys_are_read_as_they_are_written(keys in keys()) {
        let text = keys.compose().unwrap();
        let read = parse(&text).unwrap();
        prop_assert_eq!(read.list(), keys.list());
        prop_assert_eq!(read.compose().unwrap(), text);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        if let Err(error) = parse(&bytes) {
            let malformed = matches!(error, KeysError::Malformed { line: 1.., .. });
            prop_assert!(malformed);
        }
    }

    /// Files with bytes that are changed, lost or added, and files that are cut short. What is read can be written and read again.
    #[test]
    fn damaged_files_are_read_or_refused(
        changes in prop::collection::vec((0..FULL.len(), 0..3u8, any::<u8>()), 1..4),
        end in prop::option::of(0..FULL.len()),
    ) {
        let mut bytes = FULL.as_bytes().to_vec();
        for (at, what, byte) in changes {
            let at = at.min(bytes.len() - 1);
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes.truncate(end.unwrap_or(usize::MAX));
        match parse(&bytes) {
            Ok(keys) => {
                let again = parse(keys.compose().unwrap()).unwrap();
                prop_assert_eq!(again.list(), keys.list());
            }
            Err(KeysError::Malformed { line, .. }) => {
                let lines = 1 + bytes.iter().filter(|&&byte| byte == b'\n').count();
                prop_assert!((1..=lines).contains(&line));
            }
            Err(error) => prop_assert!(false, "{error:?}"),
        }
    }

    /// Values of every kind in every field.
    #[test]
    fn any_value_of_a_field_is_read_or_refused(
        field in prop::sample::select(vec!["name", "hash", "packs", "quota", "where", "admin", "created", "expires", "revoked", "other"]),
        value in prop::sample::select(vec!["1", "-0x7", "1.5", "nan", "true", "\"\"", "\"all\"", "[]", "[[\"a\"]]", "{}", "{a = 1}", "1979-05-27", "07:32:00",
            "1979-05-27T07:32:00", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00Z", "\"60/min\"", "'a == 1'", "\"\\u0000\""]),
    ) {
        let lines = FULL.lines().filter(|line| !line.starts_with(&format!("{field} ="))).collect::<Vec<_>>().join("\n");
        match parse(format!("{lines}\n{field} = {value}\n")) {
            Ok(keys) => {
                let again = parse(keys.compose().unwrap()).unwrap();
                prop_assert_eq!(again.list(), keys.list());
            }
            Err(error) => {
                let malformed = matches!(error, KeysError::Malformed { .. });
                prop_assert!(malformed);
            }
        }
    }
}

/// `Key` can be made by reading alone, so its parts are those of the file.
#[test]
fn dates_of_new_keys_are_whole_seconds() {
    let mut keys = Keys::new();
    keys.add(NewKey::new("a".parse().unwrap())).unwrap();
    let Key { created, .. } = &keys.list()[0];
    assert_eq!(moment(&created.to_string()).unwrap(), *created);
}
