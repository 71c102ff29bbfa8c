//! Which encoding a text has that is not UTF-8.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use mempack_extract::{ByteOrder, is_damaged_utf8, utf16_order};

use super::command;
use crate::CorpusError;

/// Bytes that a guess looks at, at most.
const SAMPLE: usize = 64 << 10;

/// The error for a text that is not UTF-8 at byte `at` of `bytes`, which begin at `start` of the file.
pub(crate) fn not_utf8(path: &str, bytes: &[u8], start: u64, at: usize) -> CorpusError {
    let found = bytes.get(at).copied().unwrap_or_default();
    CorpusError::NotUtf8 { path: path.to_owned(), offset: start + at as u64, found, advice: advice(path, bytes, start, at) }
}

fn advice(path: &str, bytes: &[u8], start: u64, at: usize) -> String {
    // A unit of UTF-16 or UTF-32 is not to be divided.
    let from = bytes.len().min(at + SAMPLE / 2).saturating_sub(SAMPLE);
    let from = bytes.len().min(from + (4 - (start + from as u64) % 4) as usize % 4);
    let sample = &bytes[from..bytes.len().min(from + SAMPLE)];
    if let Some(encoding) = wide(sample) {
        return converted(path, encoding);
    }
    if is_damaged_utf8(sample) {
        let cut_off = bytes.len() - at < 4 && std::str::from_utf8(&bytes[at..]).is_err_and(|error| error.error_len().is_none());
        let why = if cut_off {
            "it ends within a character and was cut off: copy it again"
        } else {
            "the rest of it is, so it was damaged: copy it again"
        };
        return format!("{why}, or leave the damaged bytes out: {}", command("iconv -c -f UTF-8 -t UTF-8", path, ".utf8", None));
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(sample, true);
    converted(path, iconv_name(detector.guess(None, Utf8Detection::Deny).name()))
}

fn converted(path: &str, encoding: &str) -> String {
    format!("it looks like {encoding}; convert it: {}", command(&format!("iconv -f {encoding} -t UTF-8"), path, ".utf8", None))
}

/// What iconv calls an encoding of the WHATWG standard. Those of the standard are supersets, which iconv has under other names.
fn iconv_name(name: &str) -> &str {
    match name {
        "GBK" | "gb18030" => "GB18030",
        "Shift_JIS" => "CP932",
        "EUC-KR" => "CP949",
        "Big5" => "BIG5-HKSCS",
        "windows-1250" => "WINDOWS-1250",
        "windows-1251" => "WINDOWS-1251",
        "windows-1252" => "WINDOWS-1252",
        "windows-1253" => "WINDOWS-1253",
        "windows-1254" => "WINDOWS-1254",
        "windows-1255" => "WINDOWS-1255",
        "windows-1256" => "WINDOWS-1256",
        "windows-1257" => "WINDOWS-1257",
        "windows-1258" => "WINDOWS-1258",
        "windows-874" => "CP874",
        "IBM866" => "CP866",
        "ISO-8859-8-I" => "ISO-8859-8",
        other => other,
    }
}

/// The encoding of a text with two or four bytes for each character, by its mark, its zeros, or what the characters would be.
pub(super) fn wide(head: &[u8]) -> Option<&'static str> {
    match head {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => return Some("UTF-32"),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => return Some("UTF-16"),
        _ => {}
    }
    let quads = head.len() / 4;
    let zeros = |width: usize, at: usize| head.chunks_exact(width).filter(|unit| unit[at] == 0).count();
    let most = |count: usize, of: usize| of >= 4 && count * 10 >= of * 9;
    if most(zeros(4, 3), quads) && most(zeros(4, 2), quads) && zeros(4, 0) * 10 < quads {
        return Some("UTF-32LE");
    }
    if most(zeros(4, 0), quads) && most(zeros(4, 1), quads) && zeros(4, 3) * 10 < quads {
        return Some("UTF-32BE");
    }
    utf16_order(head).map(ByteOrder::name)
}
