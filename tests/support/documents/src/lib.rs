//! What must hold of a document, whatever its bytes are: for the fuzz targets of `tests/fuzz`, and for tests that need no fuzzer.
//!
//! A target is a function of an input. It reads what the input stands for as a build does, with limits that are small, and panics where something does not
//! hold. It returns whether the input is of its format: a fuzzer drops one that is not. [`seeds`] has inputs to begin with. Inputs that were found
//! to break something are in `found`, in a folder for each target.
//!
//! For tests only: functions panic.
#![forbid(unsafe_code)]

mod check;
mod cut;
mod packages;
mod panics;
pub mod seeds;

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use mempack_extract::{Options, format_of};

pub use cut::cut;
pub use packages::{epub, office};
pub use panics::abort_on_own_panics;

use check::{check, options};

/// A target: its name, what it does with an input, and its seeds.
pub type Target = (&'static str, fn(&[u8]) -> bool, fn() -> Vec<Vec<u8>>);

/// All targets.
pub const TARGETS: [Target; 11] = [
    ("rtf", rtf, seeds::of_rtf),
    ("html", html, seeds::of_html),
    ("xml", xml, seeds::of_xml),
    ("rows", rows, seeds::of_rows),
    ("parquet", parquet, seeds::of_parquet),
    ("pdf", pdf, seeds::of_pdf),
    ("office", office, seeds::of_office),
    ("epub", epub, seeds::of_epub),
    ("mail", mail, seeds::of_mail),
    ("text", text, seeds::of_text),
    ("cut", cut, seeds::of_cut),
];

/// Checks a file if it has a format, by the same rule as a build.
fn check_as(format: &str, name: &str, file: &[u8], options: &Options) -> bool {
    let is_one = is_of(format, name, file);
    if is_one {
        check(name, file, options);
    }
    is_one
}

/// Whether a file has a format.
fn is_of(format: &str, name: &str, file: &[u8]) -> bool {
    let head = &file[..file.len().min(64 << 10)];
    format_of(head, name.rsplit('.').next().unwrap_or_default()) == Some(format)
}

/// RTF: the input is a file.
pub fn rtf(input: &[u8]) -> bool {
    check_as("an RTF file", "a.rtf", input, &options())
}

/// HTML: the input is a file.
pub fn html(input: &[u8]) -> bool {
    check_as("an HTML page", "a.html", input, &options())
}

/// XML: the input is a file; JATS, USLM, Akoma Ntoso, feeds, records or any other, by its content.
pub fn xml(input: &[u8]) -> bool {
    check_as("an XML document", "a.xml", input, &options())
}

/// Parquet: the input is a file.
pub fn parquet(input: &[u8]) -> bool {
    check_as("a Parquet file", "a.parquet", input, &options())
}

/// E-mail: the input is a file, of a message or a mailbox.
pub fn mail(input: &[u8]) -> bool {
    check_as("an e-mail", "a.eml", input, &options())
}

/// Names of files with rows, by the first byte of an input.
const ROWS: [(&str, &str); 4] = [("a.csv", "a CSV file"), ("a.tsv", "a CSV file"), ("a.json", "a JSON file"), ("a.jsonl", "a JSON file")];

/// Rows: the first byte chooses the extension, and whether the user names fields; the rest is a file.
pub fn rows(input: &[u8]) -> bool {
    let Some((choice, file)) = input.split_first() else { return false };
    let (name, format) = ROWS[usize::from(choice % 4)];
    let mut options = options();
    if choice & 0x10 != 0 {
        options.text_field = Some("text".into());
        options.title_field = Some("a.b".into());
    }
    check_as(format, name, file, &options)
}

/// PDF: after a 0 the input is a file; after any other byte it is the content of its only page.
pub fn pdf(input: &[u8]) -> bool {
    match input.split_first() {
        None => false,
        Some((0, file)) => check_as("a PDF", "a.pdf", file, &options()),
        Some((_, content)) => check_as("a PDF", "a.pdf", &page(content), &options()),
    }
}

/// A PDF whose only page has this content, with fonts that state what their glyphs are.
fn page(content: &[u8]) -> Vec<u8> {
    let fonts = ["Helvetica", "Times-Roman", "Times-Bold", "Symbol"];
    let font = |(number, name): (usize, &&str)| {
        format!("/F{} << /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>", number + 1)
    };
    let fonts: Vec<String> = fonts.iter().enumerate().map(font).collect();
    let mut file =
        b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids [3 0 R] /Count 1 >>\nendobj\n"
            .to_vec();
    file.extend(b"3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << ");
    file.extend(fonts.join(" ").bytes());
    file.extend(format!(" >> >> >>\nendobj\n4 0 obj\n<< /Length {} >>\nstream\n", content.len()).bytes());
    file.extend(content);
    file.extend(b"\nendstream\nendobj\ntrailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n0\n%%EOF\n");
    file
}

/// Texts, subtitles and containers. The first byte says what the rest is: 0 to 2 a text or subtitles; 3 and 4 what is packed by gzip and Zstandard;
/// 5 to 7 a file of these and a zip archive; 8 the files of an archive, each a name, a line feed and its bytes up to the next byte 0xFF.
pub fn text(input: &[u8]) -> bool {
    let Some((choice, rest)) = input.split_first() else { return false };
    let is_text = |name: &str, file: &[u8]| is_of("a text", name, file) || is_of("a file of subtitles", name, file);
    let (name, file) = match choice % 9 {
        0 => ("a.txt", rest.to_vec()),
        1 => ("a.srt", rest.to_vec()),
        2 => ("a.vtt", rest.to_vec()),
        3 => ("a.txt.gz", gzip(rest)),
        4 => ("a.vtt.zst", zstd::encode_all(rest, 1).expect("packed")),
        5 => ("a.txt.gz", rest.to_vec()),
        6 => ("a.txt.zst", rest.to_vec()),
        7 => ("a.zip", rest.to_vec()),
        _ => ("a.zip", archive(rest)),
    };
    let is_one = match choice % 9 {
        0..=2 => is_text(name, &file),
        3 | 4 => is_text("a.txt", rest),
        5 => is_of("a gzip file", name, &file),
        6 => is_of("a Zstandard file", name, &file),
        _ => is_of("a zip archive", name, &file),
    };
    if is_one {
        check(name, &file, &options());
    }
    is_one
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("written to memory");
    encoder.finish().expect("written to memory")
}

/// The archive of the files that an input has.
fn archive(input: &[u8]) -> Vec<u8> {
    let parts = input.split(|byte| *byte == 0xFF).map(|part| {
        let end = part.iter().position(|byte| *byte == b'\n');
        let (name, bytes) = part.split_at(end.unwrap_or(part.len()));
        (String::from_utf8_lossy(name).into_owned(), bytes.get(1..).unwrap_or_default())
    });
    packages::zip(parts.take(8))
}
