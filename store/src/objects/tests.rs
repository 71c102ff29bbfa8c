use mempack_format::Digest;
use proptest::prelude::*;

use super::*;

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn index() -> impl Strategy<Value = FileIndex> {
    prop::collection::vec((digest(), 1u32..1 << 24), 0..5)
        .prop_map(|chunks| FileIndex::new(chunks.into_iter().map(|(digest, bytes)| Piece { digest, bytes }).collect()))
}

fn edition() -> impl Strategy<Value = Edition> {
    let file = (0u32..50, any::<bool>(), any::<u64>(), digest());
    (digest(), prop::collection::vec(file, 1..4)).prop_map(|(id, files)| {
        let mut files: Vec<EditionFile> = files
            .into_iter()
            .map(|(number, set, bytes, index)| EditionFile {
                name: format!("bank-{number}.{}", if set { "mps" } else { "mpk" }),
                bytes,
                index,
            })
            .collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files.dedup_by(|a, b| a.name == b.name);
        Edition::new(files[0].name.clone(), id, files)
    })
}

fn head() -> impl Strategy<Value = Head> {
    prop::collection::vec((digest(), digest()), 1..4).prop_map(|entries| {
        entries
            .into_iter()
            .fold(None, |head: Option<Head>, (edition, id)| Some(Head::after(head.as_ref(), HeadEntry { edition, id })))
            .unwrap()
    })
}

fn object() -> impl Strategy<Value = String> {
    (digest(), 0..3).prop_map(|(digest, kind)| match kind {
        0 => format!("chunks/{}/{digest}", &digest.to_string()[..2]),
        1 => format!("files/{digest}"),
        _ => format!("sets/{digest}"),
    })
}

fn condemned() -> impl Strategy<Value = Condemned> {
    let objects = || prop::collection::btree_set(object(), 0..4);
    (objects(), objects(), any::<u64>(), any::<bool>()).prop_map(|(deleting, waiting, since, some)| {
        let mut condemned = Condemned::nothing();
        condemned.deleting = some.then(|| Deleting { since, token: "a".into(), objects: deleting.into_iter().collect() });
        condemned.waiting = waiting.into_iter().map(|object| Sentence { object, since }).collect();
        condemned
    })
}

/// Changed bytes are refused, or are the one form of something else.
fn refused_or_canonical<T: Stored>(object: &T, changes: &[(prop::sample::Index, u8)], cut: Option<prop::sample::Index>) {
    let mut bytes = object.to_bytes();
    let end = if T::SEALED { bytes.len() - SEAL_BYTES } else { bytes.len() };
    for (at, byte) in changes {
        let at = at.index(end);
        bytes[at] = *byte;
    }
    if T::SEALED {
        // A seal of the changed bytes, so that what is behind it is tried too.
        assert!(bytes == object.to_bytes() || T::from_bytes(&bytes).is_err());
        bytes.truncate(end);
        bytes.extend(format!("\n{}\n", Digest::of(&bytes)).into_bytes());
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
    if let Ok(read) = T::from_bytes(&bytes) {
        assert_eq!(read.to_bytes(), bytes);
    }
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    // Bytes of JSON, so that a part of the changes is still JSON.
    let byte = prop_oneof![prop::sample::select(b"0123456789abcdef\"{}[],: -.eE\\".to_vec()), any::<u8>()];
    prop::collection::vec((any::<prop::sample::Index>(), byte), 0..3)
}

proptest! {
    #[test]
    fn objects_survive_the_round_trip(index in index(), edition in edition(), head in head(), condemned in condemned()) {
        prop_assert_eq!(FileIndex::from_bytes(&index.to_bytes()).unwrap(), index);
        prop_assert_eq!(Edition::from_bytes(&edition.to_bytes()).unwrap(), edition);
        prop_assert_eq!(Head::from_bytes(&head.to_bytes()).unwrap(), head);
        prop_assert_eq!(Condemned::from_bytes(&condemned.to_bytes()).unwrap(), condemned);
    }

    #[test]
    fn changed_bytes_are_refused_or_canonical(
        index in index(), edition in edition(), head in head(), condemned in condemned(),
        changes in changes(), cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        refused_or_canonical(&index, &changes, cut);
        refused_or_canonical(&edition, &changes, cut);
        refused_or_canonical(&head, &changes, cut);
        refused_or_canonical(&condemned, &changes, cut);
    }

    #[test]
    fn any_bytes_are_refused_or_canonical(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(FileIndex::from_bytes(&bytes).is_err());
        prop_assert!(Edition::from_bytes(&bytes).is_err());
        prop_assert!(Head::from_bytes(&bytes).is_err());
        prop_assert!(Condemned::from_bytes(&bytes).is_err());
    }

    #[test]
    fn digests_are_read_as_they_are_written(digest in digest(), text in "[0-9a-fA-F]{62,66}") {
        prop_assert_eq!(hex::parse(&digest.to_string()), Some(digest));
        if let Some(digest) = hex::parse(&text) {
            prop_assert_eq!(digest.to_string(), text);
        }
    }
}

#[test]
fn what_is_out_of_bounds_is_named() {
    let digest = Digest([7; 32]);
    let file = |name: &str| EditionFile { name: name.into(), bytes: 1, index: digest };
    let edition = |names: &[&str], entry: &str| {
        let edition = Edition::new(entry.into(), digest, names.iter().map(|name| file(name)).collect());
        Edition::from_bytes(&edition.to_bytes()).unwrap_err().to_string()
    };
    for (names, entry, named) in [
        (&[][..], "a.mpk", "number of files is 0"),
        (&["../a.mpk"], "../a.mpk", "name of a file is \"../a.mpk\""),
        (&["a/b.mpk"], "a/b.mpk", "name of a file"),
        (&[".a.mpk"], ".a.mpk", "name of a file"),
        (&["-rf.mpk"], "-rf.mpk", "name of a file"),
        (&["a.mpk\0"], "a.mpk\0", "name of a file"),
        (&["a.txt"], "a.txt", "name of a file"),
        (&["a.mpk", "a.mpk"], "a.mpk", "order of the files"),
        (&["A.mpk", "a.mpk"], "a.mpk", "more than case"),
        (&["a.mpk"], "b.mpk", "entry is \"b.mpk\""),
    ] {
        let error = edition(names, entry);
        assert!(error.contains(named), "{names:?}: {error}");
    }
    for bytes in [0, (16 << 20) + 1] {
        let error = FileIndex::from_bytes(&FileIndex::new(vec![Piece { digest, bytes }]).to_bytes()).unwrap_err();
        assert!(error.to_string().contains("length of a chunk"), "{error}");
    }
    let mut index = FileIndex::new(vec![Piece { digest, bytes: 5 }]);
    index.bytes = 6;
    let error = FileIndex::from_bytes(&index.to_bytes()).unwrap_err();
    assert!(error.to_string().contains("length of the file is 6, expected 5"), "{error}");
    let entry = HeadEntry { edition: digest, id: digest };
    let twice = Head::after(Some(&Head::after(None, entry)), entry);
    assert!(Head::from_bytes(&twice.to_bytes()).is_err());
    let mut condemned = Condemned::nothing();
    for object in ["refs/legal", "chunks/00/0707", "../etc/passwd", ""] {
        condemned.waiting = vec![Sentence { object: object.into(), since: 0 }];
        assert!(Condemned::from_bytes(&condemned.to_bytes()).is_err(), "{object}");
    }
    let changed = |from: &str, to: &str| {
        let bytes = String::from_utf8(Head::after(None, entry).to_bytes()).unwrap().replace(from, to);
        let line = bytes.split_once('\n').unwrap().0.to_owned();
        let unsealed = Head::from_bytes(bytes.as_bytes()).unwrap_err();
        assert!(matches!(unsealed, ObjectError::Seal { .. }), "{unsealed}");
        Head::from_bytes(format!("{line}\n{}\n", Digest::of(line.as_bytes())).as_bytes())
    };
    assert!(matches!(changed(",", ", "), Err(ObjectError::NotCanonical { .. })));
    assert!(matches!(changed("head 1", "head 2"), Err(ObjectError::Form { .. })));
}

#[test]
fn a_head_keeps_the_newest_editions() {
    let entry = |number: u8| HeadEntry { edition: Digest([number; 32]), id: Digest([0; 32]) };
    let head = (0..=120).fold(None, |head: Option<Head>, number| Some(Head::after(head.as_ref(), entry(number)))).unwrap();
    assert_eq!((head.count, head.editions.len(), head.current()), (121, MAX_HISTORY, Some(entry(120))));
    assert!(head.check().is_ok());
}

#[test]
fn names_are_those_that_every_store_can_have() {
    for good in ["legal", "legal-2026.11", "9", "a_b"] {
        assert!(is_name(good), "{good}");
    }
    for bad in ["", ".legal", "-x", "a/b", "a b", "gesetze-ä", &"a".repeat(101)] {
        assert!(!is_name(bad), "{bad}");
    }
}
