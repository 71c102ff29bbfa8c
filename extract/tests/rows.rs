//! Tables and lists of rows that are damaged: they end as documents or as a failure, never as a panic.

use std::path::Path;
use std::{env, fs};

use mempack_extract::{Extracted, Input, Limits, Options, extract};
use proptest::prelude::*;

fn options() -> Options {
    Options {
        limits: Limits { row_bytes: 64 << 10, unpacked_bytes: 4 << 20, text_bytes: 1 << 20, ..Limits::default() },
        ..Options::default()
    }
}

fn read(name: &str, bytes: &[u8]) -> Result<Vec<Extracted>, String> {
    let mut documents: Vec<Extracted> = Vec::new();
    extract(Input::new(name, bytes), &options(), &mut documents).map_err(|failure| failure.to_string())?;
    Ok(documents)
}

fn sample(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)).unwrap()
}

#[test]
fn a_row_is_bounded() {
    let long = "a,".repeat(200_000);
    for (name, text) in
        [("x.csv", format!("id,text\n1,\"{long}")), ("x.csv", long.clone()), ("x.json", format!("[{{\"text\":\"{long}\"}}]"))]
    {
        let failure = read(name, text.as_bytes()).unwrap_err();
        assert!(failure.contains("in a row"), "{failure}");
    }
}

#[test]
fn a_table_is_bounded() {
    let text = format!("a,b,c\n{}", "1,2,3\n".repeat(100_000));
    assert!(read("x.csv", text.as_bytes()).unwrap_err().contains("bytes of text"));
    // Each row with a name of its own.
    let rows: Vec<String> = (0..3000).map(|row| format!("{{\"n{row}\": 1}}")).collect();
    assert!(read("x.json", format!("[{}]", rows.join(",")).as_bytes()).unwrap_err().contains("bytes of text"));
}

#[test]
fn a_legacy_encoding_may_begin_late() {
    let mut bytes = b"id,text\n".to_vec();
    for row in 0..10_000 {
        bytes.extend_from_slice(format!("{row},A row of words in English letters alone.\n").as_bytes());
    }
    bytes.extend_from_slice(b"x,Die W\xFCrde des Menschen ist unantastbar; sie zu sch\xFCtzen ist Pflicht.\n");
    let documents = read("x.csv", &bytes).unwrap();
    assert_eq!(documents[10_000].text, "Die Würde des Menschen ist unantastbar; sie zu schützen ist Pflicht.\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..400), magic in prop::sample::select(vec!["", "PAR1", "[{\"", "{\"", "a,b\n"])) {
        for name in ["x.csv", "x.json", "x.parquet"] {
            let mut file = magic.as_bytes().to_vec();
            file.extend_from_slice(&bytes);
            if magic == "PAR1" {
                file.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                file.extend_from_slice(b"PAR1");
            }
            let _ = read(name, &file);
        }
    }

    #[test]
    fn damaged_files_end(
        name in prop::sample::select(vec!["rows.parquet", "gzip2.parquet", "lz41.parquet", "delta.parquet", "pages1.parquet", "pages2.parquet", "data.json", "rows.jsonl", "guideline.csv", "wide.csv"]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut file = sample(name);
        for (at, byte) in damage {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let _ = read(name, &file);
    }

    #[test]
    fn json_that_serde_json_reads_is_read(texts in prop::collection::vec("[a-z\"\\\\\n{}\\[\\],:é]{1,20}", 1..6), spaces in "[ \n\t]{0,3}", list: bool) {
        let rows: Vec<String> = texts.iter().map(|text| serde_json::json!({ "text": text, "n": [1, {"a": text}] }).to_string()).collect();
        let file = if list { format!("[{spaces}{}{spaces}]", rows.join(&format!(",{spaces}"))) } else { rows.join(&format!("{spaces}\n")) };
        let expected: Vec<String> = texts.iter().filter(|text| !text.trim().is_empty()).map(|text| text.trim_end_matches('\n').to_owned()).collect();
        prop_assume!(!expected.is_empty());
        let found: Vec<String> = read("x.json", file.as_bytes()).unwrap().into_iter().map(|document| document.text.trim_end_matches('\n').to_owned()).collect();
        prop_assert_eq!(found, expected);
    }
}
