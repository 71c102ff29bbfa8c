//! Files as users have them, beside the text that is to come of each: `tests/files/NAME` and `tests/files/NAME.golden`. An XML file may have rules for its elements
//! beside it: `tests/files/NAME.rules.toml`.
//!
//! A golden text is written anew by `UPDATE_GOLDEN=1 cargo test -p mempack-extract --test golden`; read what changed before it is committed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use mempack_extract::{Gathered, Input, Options, XmlRules, extract};

/// How the name of the rules of a file ends.
const RULES: &str = ".rules.toml";

/// What comes of a file, as a text to compare: fields and notes, then the text with its places before the lines where they begin.
fn shown(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut found = Gathered::default();
    let file = fs::File::open(path).unwrap();
    let mut options = Options::default();
    if let Ok(rules) = fs::read_to_string(format!("{}{RULES}", path.display())) {
        match XmlRules::parse(&format!("{name}{RULES}"), &rules) {
            Ok(rules) => options.xml_rules = Some(rules),
            Err(error) => return format!("rules: {error}\n"),
        }
    }
    let result = extract(Input::new(name, file), &options, &mut found);
    let mut shown = String::new();
    if let Err(failure) = result {
        return format!("failure: {name} {failure}\n");
    }
    for note in &found.notes {
        writeln!(shown, "note: {note:?}").unwrap();
    }
    for document in &found.documents {
        writeln!(shown, "document: {:?}", document.name).unwrap();
        if let Some(row) = document.row {
            writeln!(shown, "row: {row}").unwrap();
        }
        for (name, value) in [
            ("id", &document.id),
            ("title", &document.title),
            ("source", &document.source),
            ("date", &document.date),
            ("version", &document.version),
            ("license", &document.license),
        ] {
            if let Some(value) = value {
                writeln!(shown, "{name}: {value}").unwrap();
            }
        }
        for (name, value) in &document.fields {
            writeln!(shown, "field {name}: {value:?}").unwrap();
        }
        writeln!(shown, "----").unwrap();
        let mut at = 0;
        for line in document.text.split_inclusive('\n') {
            let mut within: Vec<String> = document
                .marks
                .iter()
                .filter(|(mark, _)| (at..at + line.len()).contains(mark))
                .map(|(mark, place)| if mark == at { format!("{place:?}") } else { format!("{place:?} at {}", mark - at) })
                .collect();
            for range in document.marks.apart().iter().filter(|range| (at..at + line.len()).contains(&range.start)) {
                within.push(format!("apart, {} bytes", range.len()));
            }
            if !within.is_empty() {
                writeln!(shown, "[{}]", within.join(", ")).unwrap();
            }
            shown.push_str(line);
            at += line.len();
        }
    }
    shown
}

#[test]
fn files_become_their_golden_texts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.retain(|path| ![".golden", RULES].iter().any(|end| path.display().to_string().ends_with(end)));
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for file in files {
        let golden = PathBuf::from(format!("{}.golden", file.display()));
        let found = shown(&file);
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &found).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{}\nfound:\n{found}\nexpected:\n{expected}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
