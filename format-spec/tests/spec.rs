//! SPEC.md and the code name the same constants, with the same values.

use std::collections::BTreeMap;

use mempack_format as format;

const SPEC: &str = include_str!("../SPEC.md");

/// The table of section 14: name and value.
fn table() -> BTreeMap<String, String> {
    let start = SPEC.find("\n## 14. Constants").expect("SPEC.md has a section 14");
    let section = &SPEC[start + 1..];
    let section = &section[..section.find("\n## 15").expect("SPEC.md has a section 15")];
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').map(str::trim).map(String::from).collect::<Vec<_>>());
    cells.map(|cells| (cells[1].trim_matches('`').to_string(), cells[2].clone())).collect()
}

macro_rules! constants {
    ($($name:ident),+ $(,)?) => {
        BTreeMap::from([$((stringify!($name).to_string(), format::$name.to_string())),+])
    };
}

fn code() -> BTreeMap<String, String> {
    let mut constants = constants![
        MAJOR_VERSION,
        MINOR_VERSION,
        FEATURE_BUDGET,
        FEATURE_CODECS,
        KNOWN_REQUIRED_FEATURES,
        PAGE_BYTES,
        HEADER_BYTES,
        ENTRY_BYTES,
        MAX_SECTIONS,
        SECTION_REQUIRED,
        MAX_MANIFEST_BYTES,
        MAX_PROMPT_BYTES,
        MAX_REFERENCES,
        MAX_LAYERS_OR_HEADS,
        MAX_POSITIONS,
        MAX_HEAD_DIM,
        MAX_MEMORY_FLOATS,
        EMPTY_SLOT,
        MAX_EMBEDDING_DIM,
        MAX_DOCUMENT_BYTES,
        METADATA_HEADER_BYTES,
        METADATA_ENTRY_BYTES,
        MAX_METADATA_FIELDS,
        MAX_METADATA_NAME_BYTES,
        MAX_METADATA_VALUE_BYTES,
        MAX_METADATA_LIST,
        REFERENCE_BYTES,
        ORIGIN_BYTES,
        TEXT_BLOCK_BYTES,
        MAX_REFERENCE_TEXT,
        MAX_PARAMETER_BYTES,
        MAX_CODE_BITS,
        MAX_TRELLIS_BYTES,
        CONTINUED,
        MAX_CODE_PARTS,
        UNIT_TOLERANCE,
        COARSE_ALIGNMENT,
        GRAPH_HEADER_BYTES,
        TERMS_HEADER_BYTES,
        MAX_TERM_BYTES,
        MAX_GRAPH_M,
        MAX_GRAPH_LEVEL,
        NO_NODE,
        DIGEST_BYTES,
        TRAILER_HEADER_BYTES,
        SIGNATURE_BYTES,
        MAX_SIGNATURES,
        SET_VERSION,
        SET_HEADER_BYTES,
        MAX_SET_PACKS,
        MAX_SET_CENTROIDS,
        SET_FILE_NAME_BYTES,
    ];
    for (name, magic) in [("MAGIC", format::MAGIC), ("TRAILER_MAGIC", format::TRAILER_MAGIC), ("SET_MAGIC", format::SET_MAGIC)] {
        let digits: Vec<String> = magic.iter().map(|byte| format!("{byte:02x}")).collect();
        constants.insert(name.into(), digits.join(" "));
    }
    // Floats are shown with no more digits than they need; these are powers of two, integers.
    for (name, power) in [("MAX_TABLE_VALUE", format::MAX_TABLE_VALUE), ("MAX_MAPPED_VALUE", format::MAX_MAPPED_VALUE)] {
        constants.insert(name.into(), (power as u128).to_string());
    }
    constants
}

#[test]
fn the_table_of_constants_is_the_codes() {
    assert_eq!(table(), code());
}

#[test]
fn no_constant_is_missing() {
    let declared = include_str!("../src/constants.rs").lines().filter_map(|line| line.strip_prefix("pub const "));
    let names: Vec<&str> = declared.filter_map(|line| line.split(':').next()).collect();
    assert!(names.len() > 20);
    for name in names {
        assert!(code().contains_key(name), "{name} is missing here");
        assert!(SPEC.contains(&format!("`{name}`")), "{name} is missing in SPEC.md");
    }
}

#[test]
fn every_section_cited_exists() {
    let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
    let files = sources.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let mut cited = 0;
    for text in files.map(|path| std::fs::read_to_string(path).unwrap()) {
        for rest in text.split("SPEC ").skip(1) {
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if !number.is_empty() {
                assert!(SPEC.contains(&format!("\n## {number}. ")), "SPEC.md has no section {number}");
                cited += 1;
            }
        }
    }
    assert!(cited > 30);
}
