//! Inputs that a fuzzer begins with: the sample files of `mempack-extract`, and texts of `kb-samples`, as the targets read them.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use flate2::read::ZlibDecoder;

use crate::packages::{OFFICE_FILES, book, office_packages};
use crate::{ROWS, gzip};

/// The files of a folder with one of these extensions.
fn files(folder: &str, extensions: &[&str]) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").join(folder);
    let entries = fs::read_dir(folder).expect("a folder of samples").map(|entry| entry.expect("a sample").path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|found| extensions.iter().any(|known| found == *known))).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), fs::read(&path).expect("a sample"))).collect()
}

fn samples(extensions: &[&str]) -> Vec<Vec<u8>> {
    files("extract/tests/files", extensions).into_iter().map(|(_, bytes)| bytes).collect()
}

/// A seed behind bytes that choose.
fn after(choice: &[u8], seed: &[u8]) -> Vec<u8> {
    [choice, seed].concat()
}

/// Seeds of `rtf`.
pub fn of_rtf() -> Vec<Vec<u8>> {
    samples(&["rtf"])
}

/// Seeds of `html`.
pub fn of_html() -> Vec<Vec<u8>> {
    samples(&["html", "htm"])
}

/// Seeds of `xml`.
pub fn of_xml() -> Vec<Vec<u8>> {
    samples(&["xml", "nxml", "akn", "rss"])
}

/// Seeds of `rows`: the samples, for both choices of fields.
pub fn of_rows() -> Vec<Vec<u8>> {
    let of_extension = |(choice, (name, _)): (u8, (&str, &str))| {
        let extension = name.rsplit('.').next().unwrap_or_default().to_owned();
        samples(&[&extension]).into_iter().flat_map(move |seed| [choice, choice | 0x10].map(|choice| after(&[choice], &seed)))
    };
    (0..).zip(ROWS).flat_map(of_extension).collect()
}

/// Seeds of `parquet`.
pub fn of_parquet() -> Vec<Vec<u8>> {
    samples(&["parquet"])
}

/// Seeds of `pdf`: the samples that are small and soon read, and what their pages have.
pub fn of_pdf() -> Vec<Vec<u8>> {
    let mut samples = files("extract/tests/files", &["pdf"]);
    samples.retain(|(name, file)| file.len() < 10_000 && !name.ends_with("laughs.pdf"));
    let samples: Vec<Vec<u8>> = samples.into_iter().map(|(_, file)| file).collect();
    let pages: Vec<Vec<u8>> = samples.iter().flat_map(|file| contents(file)).map(|content| after(&[1], &content)).collect();
    samples.iter().map(|file| after(&[0], file)).chain(pages).collect()
}

/// The streams of a PDF with text to be shown.
fn contents(file: &[u8]) -> Vec<Vec<u8>> {
    const STREAM: &[u8] = b"stream\n";
    let starts = file.windows(STREAM.len()).enumerate().filter(|(at, word)| *word == STREAM && !file[..*at].ends_with(b"end"));
    let streams = starts.filter_map(|(at, _)| {
        let mut content = Vec::new();
        ZlibDecoder::new(&file[at + STREAM.len()..]).take(20_000).read_to_end(&mut content).ok()?;
        content.windows(2).any(|word| word == b"Tj").then_some(content)
    });
    streams.collect()
}

/// Seeds of `office`: the parts of the samples, and samples that are no archives.
pub fn of_office() -> Vec<Vec<u8>> {
    let parts = (0..)
        .zip(office_packages())
        .flat_map(|(base, package)| (0..).zip(&package.parts).map(move |(part, (_, content))| after(&[base, part], content)));
    let files = (0..).zip(OFFICE_FILES).flat_map(|(number, name)| {
        let extension = name.rsplit('.').next().unwrap_or_default().to_owned();
        samples(&[&extension]).into_iter().map(move |file| after(&[u8::MAX, number], &file))
    });
    parts.chain(files).collect()
}

/// Seeds of `epub`: the parts of a book, and books.
pub fn of_epub() -> Vec<Vec<u8>> {
    let parts = (0..).zip(&book().parts).map(|(part, (_, content))| after(&[part], content));
    parts.chain(samples(&["epub"]).into_iter().map(|file| after(&[u8::MAX], &file))).collect()
}

/// Seeds of `mail`.
pub fn of_mail() -> Vec<Vec<u8>> {
    samples(&["eml", "mbox"])
}

/// Seeds of `text`.
pub fn of_text() -> Vec<Vec<u8>> {
    let texts = || samples(&["txt", "srt", "vtt", "md"]).into_iter();
    let mut seeds: Vec<Vec<u8>> = (0..5).flat_map(|choice| texts().map(move |text| after(&[choice], &text))).collect();
    for text in texts() {
        seeds.push(after(&[5], &gzip(&text)));
        seeds.push(after(&[6], &zstd::encode_all(text.as_slice(), 3).expect("packed")));
        seeds.push(after(&[8], &[b"a/b.txt\n", text.as_slice(), b"\xFFc.srt\n", &text].concat()));
    }
    let utf16: Vec<u8> = "\u{FEFF}Die Würde des Menschen\r\n是民法".encode_utf16().flat_map(u16::to_be_bytes).collect();
    seeds.extend([
        b"\0Sie zu sch\xFCtzen ist Verpflichtung aller staatlichen Gewalt.\r\n".to_vec(),
        after(&[0], &utf16),
        after(&[3], &utf16),
    ]);
    seeds
}

/// Seeds of `cut`: see [`cut`](crate::cut) for the first three bytes.
pub fn of_cut() -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = files("kb-samples/structure/corpus", &["md"]).into_iter().map(|(_, bytes)| bytes).collect();
    texts.extend(samples(&["golden"]));
    texts.push("Zorvex\n第一条 申请人应当向所在地的主管机关提交书面的申请，并且附上三名担保人的签名、印章和住址，逾期不提交的视为放弃。\n（一）两万三千五百元；\n（二）６７％。".into());
    texts.push(b"---\ntitle: A\ntags: [a, 'b']\n---\n# A <!-- b -->\n\n![c](d.png) e\n\n```\n# f\n```\n".to_vec());
    let rows = samples(&["jsonl"]).into_iter().map(|rows| after(&[3, 40, 0], &rows));
    let repeated = texts.iter().take(2).map(|text| after(&[0, 60, 0xF1], &text[..text.len().min(4000)]));
    let once =
        texts.iter().flat_map(|text| [[0, 23, 0], [1, 47, 1], [2, 111, 0]].map(|choice| after(&choice, &text[..text.len().min(4000)])));
    once.chain(rows).chain(repeated).collect()
}
