//! What a file is by its first bytes.

use std::path::Path;

use mempack_extract::is_damaged_utf8;
use mempack_format::MAGIC;

use super::encodings::wide;
use super::{command, quoted};
use crate::CorpusError;
use crate::input::STANDARD_INPUT;

/// A kind of file that is no text.
struct Kind {
    /// What it is, with its article.
    name: &'static str,
    advice: Advice,
}

/// How to make a text of a file.
enum Advice {
    /// A command that writes the text to its output, and whether the name of the new file loses the last extension only (`a.txt.gz`).
    Filter(&'static str, Extension),
    /// Anything else.
    Words(&'static str),
}

/// What the new file is called.
enum Extension {
    /// As the old one without its last extension, or `.txt`.
    Inner,
    Text,
}

/// Refuses a file or stream whose first bytes are of another kind of file or encoding. Whether the rest is UTF-8 shows later.
pub(crate) fn check(path: &str, head: &[u8]) -> Result<(), CorpusError> {
    let refuse = |what: String, advice: String| Err(CorpusError::NotText { path: path.to_owned(), what, advice });
    if let Some(kind) = kind(head) {
        return refuse(kind.name.to_owned(), advice(path, &kind));
    }
    if let Some(encoding) = wide(head) {
        let how = format!("iconv -f {encoding} -t UTF-8");
        return refuse(format!("text in {encoding}, expected UTF-8"), format!("convert it: {}", command(&how, path, ".utf8", None)));
    }
    if let Some(at) = head.iter().position(|byte| *byte == 0) {
        let how = "tr -d '\\000' <";
        let clean = if path == STANDARD_INPUT { "pass it through tr -d '\\000'".to_owned() } else { command(how, path, ".clean", None) };
        return refuse(format!("binary data (a NUL at byte {at})"), format!("leave it out; if it is a text with stray NULs, {clean}"));
    }
    let control = control_characters(head);
    if control * 20 > head.len() {
        let what = format!("binary data ({control} of its first {} bytes are control characters)", head.len());
        return refuse(what, "leave it out, or export its text with the program that made it".into());
    }
    Ok(())
}

/// Whether a text that begins with these bytes is in another encoding than UTF-8 that can be read: UTF-16, or one of a character set.
pub(crate) fn is_other_encoding(head: &[u8]) -> bool {
    if let Some(encoding) = wide(head) {
        return encoding.starts_with("UTF-16");
    }
    // Bytes up to here may be a part of a character.
    let invalid = std::str::from_utf8(head).is_err_and(|error| error.error_len().is_some());
    invalid && kind(head).is_none() && !head.contains(&0) && control_characters(head) * 20 <= head.len() && !is_damaged_utf8(head)
}

fn control_characters(head: &[u8]) -> usize {
    head.iter().filter(|byte| **byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0B | 0x0C | 0x1B)).count()
}

fn advice(path: &str, kind: &Kind) -> String {
    match &kind.advice {
        Advice::Words(words) => (*words).to_owned(),
        Advice::Filter(how, extension) => {
            let inner = Path::new(path).file_stem().map(Path::new).and_then(Path::extension).and_then(|extension| extension.to_str());
            match (extension, inner) {
                (Extension::Inner, Some(_)) if path != STANDARD_INPUT => {
                    let new = Path::new(path).with_extension("");
                    format!("unpack it: {how} {} > {}", quoted(path), quoted(&new.to_string_lossy()))
                }
                _ => format!("make a text of it: {}", command(how, path, "", Some("txt"))),
            }
        }
    }
}

/// The kind of a file that begins with these bytes.
fn kind(head: &[u8]) -> Option<Kind> {
    use Advice::{Filter, Words};
    use Extension::{Inner, Text};
    let found = |name, advice| Some(Kind { name, advice });
    if head.starts_with(b"PK\x03\x04") {
        let holds = |name: &[u8]| head.windows(name.len()).any(|window| window == name);
        return if holds(b"word/") {
            found("a Word document (.docx)", Filter("pandoc -f docx -t plain", Text))
        } else if holds(b"xl/") {
            found("a spreadsheet (.xlsx)", Words("export its sheets as CSV, and write each row as one JSON object a line"))
        } else if holds(b"ppt/") {
            found("a presentation (.pptx)", Words("export its text"))
        } else if holds(b"mimetypeapplication/epub") {
            found("an e-book (.epub)", Filter("pandoc -f epub -t plain", Text))
        } else if holds(b"mimetypeapplication/vnd.oasis") {
            found("an OpenDocument file", Filter("pandoc -f odt -t plain", Text))
        } else {
            found("a zip archive", Words("unpack it with unzip into a folder, and name the folder"))
        };
    }
    if head.get(257..262) == Some(b"ustar") {
        return found("a tar archive", Words("unpack it with tar -xf into a folder, and name the folder"));
    }
    let table: [(&[u8], &'static str, Advice); 24] = [
        (b"\x1F\x8B", "a gzip file", Filter("gzip -dc", Inner)),
        (b"\x28\xB5\x2F\xFD", "a Zstandard file", Filter("zstd -dc", Inner)),
        (b"BZh", "a bzip2 file", Filter("bzip2 -dc", Inner)),
        (b"\xFD7zXZ\0", "an xz file", Filter("xz -dc", Inner)),
        (b"7z\xBC\xAF\x27\x1C", "a 7z archive", Words("unpack it into a folder, and name the folder")),
        (b"Rar!\x1A\x07", "a RAR archive", Words("unpack it into a folder, and name the folder")),
        (b"%PDF-", "a PDF", Words("make a text of it with pdftotext, and check that tables and columns are in order")),
        (
            b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
            "an Office document of the old format (.doc, .xls, .ppt)",
            Words("save it as text with the program that made it"),
        ),
        (b"{\\rtf", "a document in RTF", Filter("pandoc -f rtf -t plain", Text)),
        (
            b"version https://git-lfs",
            "a git-LFS pointer, which stands for a file that was not downloaded",
            Words("run git lfs pull in its repository"),
        ),
        (&MAGIC, "a memory pack", Words("name the texts that a pack is to be made of; a pack is made, not read, here")),
        (
            b"PAR1",
            "a Parquet table",
            Words(
                "write its rows as JSON lines, for example in Python with pandas.read_parquet and to_json(orient=\"records\", lines=True)",
            ),
        ),
        (b"ARROW1", "an Arrow table", Words("write its rows as JSON lines, one object with the field text a line")),
        (b"SQLite format 3\0", "an SQLite database", Words("write its rows as JSON lines, one object with the field text a line")),
        (b"GGUF", "a model in GGUF", Words("name texts as the corpus, and the model where models are named")),
        (b"\x93NUMPY", "a NumPy array", Words("leave it out")),
        (b"\x7FELF", "a program", Words("leave it out")),
        (b"\x89PNG", "an image (PNG)", Words("leave it out, or make a text of it with OCR")),
        (b"\xFF\xD8\xFF", "an image (JPEG)", Words("leave it out, or make a text of it with OCR")),
        (b"GIF8", "an image (GIF)", Words("leave it out, or make a text of it with OCR")),
        (b"II*\0", "an image (TIFF)", Words("leave it out, or make a text of it with OCR")),
        (b"MM\0*", "an image (TIFF)", Words("leave it out, or make a text of it with OCR")),
        (b"OggS", "a sound file", Words("leave it out, or write down what is said in it")),
        (b"ID3", "a sound file", Words("leave it out, or write down what is said in it")),
    ];
    table.into_iter().find(|(magic, ..)| head.starts_with(magic)).and_then(|(_, name, advice)| found(name, advice))
}

/// Whether a text begins like a page of HTML.
pub(crate) fn is_html(head: &[u8]) -> bool {
    let begin =
        String::from_utf8_lossy(&head[..head.len().min(512)]).trim_start_matches(['\u{FEFF}', ' ', '\t', '\r', '\n']).to_lowercase();
    begin.starts_with("<!doctype html") || begin.starts_with("<html")
}

/// What to do with a file whose extension is not known and that begins with these bytes.
pub(crate) fn unknown_extension(path: &str, head: &[u8]) -> CorpusError {
    if let Err(error) = check(path, head) {
        return error;
    }
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
    let copy = command("cat", path, "", Some("txt"));
    let advice = match extension.as_str() {
        "json" => json_advice(path, head),
        "html" | "htm" | "xhtml" => format!("make a text of it: {}", command("pandoc -f html -t plain", path, "", Some("txt"))),
        _ if is_html(head) => format!("it is HTML; make a text of it: {}", command("pandoc -f html -t plain", path, "", Some("txt"))),
        "csv" | "tsv" | "xml" | "yaml" | "yml" => {
            "write each of its records as one JSON object a line, with the field `text`, into a .jsonl file".into()
        }
        "tex" | "rst" | "adoc" | "org" => format!("it is read as plain text under another name: {copy}"),
        _ => format!("if it is plain text, give it the extension .txt: {copy}"),
    };
    CorpusError::UnknownKind { path: path.to_owned(), advice }
}

/// How to make JSON lines of a JSON file that begins with these bytes.
pub(crate) fn json_advice(path: &str, head: &[u8]) -> String {
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{FEFF}').trim_start();
    if text.starts_with('[') {
        return format!("it is one list; write one object a line: {}", command("jq -c '.[]'", path, "", Some("jsonl")));
    }
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first_is_whole = lines.next().is_some_and(|line| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line).is_ok());
    if first_is_whole {
        return format!("it has one object a line already; give it the extension .jsonl: {}", command("cat", path, "", Some("jsonl")));
    }
    format!("write each object in one line: {}", command("jq -c .", path, "", Some("jsonl")))
}
