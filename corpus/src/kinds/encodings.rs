//! Which encoding a text has that is not UTF-8.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use mempack_extract::is_damaged_utf8;

use super::command;
use crate::CorpusError;

/// Bytes that a guess looks at, at most.
const SAMPLE: usize = 64 << 10;

/// The error for a text that is not UTF-8 at byte `at` of `bytes`, which begin at `start` of the file.
pub(crate) fn not_utf8(path: &str, bytes: &[u8], start: u64, at: usize) -> CorpusError {
    let found = bytes.get(at).copied().unwrap_or_default();
    CorpusError::NotUtf8 { path: path.to_owned(), offset: start + at as u64, found, advice: advice(path, bytes, at) }
}

fn advice(path: &str, bytes: &[u8], at: usize) -> String {
    let from = bytes.len().min(at + SAMPLE / 2).saturating_sub(SAMPLE);
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

/// The encoding of a text with two or four bytes for each character, by its mark or its zeros; for Chinese and Japanese, by what the
/// characters would be.
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
    let pairs = head.len() / 2;
    let (first, second) = (zeros(2, 0), zeros(2, 1));
    if pairs >= 4 && second * 5 >= pairs * 2 && first * 20 <= pairs {
        return Some("UTF-16LE");
    }
    if pairs >= 4 && first * 5 >= pairs * 2 && second * 20 <= pairs {
        return Some("UTF-16BE");
    }
    let le = |unit: &[u8]| u16::from_le_bytes([unit[0], unit[1]]);
    let be = |unit: &[u8]| u16::from_be_bytes([unit[0], unit[1]]);
    if is_east_asian(head.chunks_exact(2).map(le)) {
        return Some("UTF-16LE");
    }
    is_east_asian(head.chunks_exact(2).map(be)).then_some("UTF-16BE")
}

/// Whether units of UTF-16 are Chinese, Japanese or Korean text with punctuation and line ends.
fn is_east_asian(units: impl Iterator<Item = u16>) -> bool {
    let (mut all, mut letters, mut others, mut marks) = (0, 0, 0, 0);
    for unit in units {
        all += 1;
        match unit {
            0x4E00..=0x9FFF | 0x3040..=0x30FF | 0xAC00..=0xD7A3 => letters += 1,
            0x0A | 0x20 | 0x3000..=0x3002 | 0xFF0C => marks += 1,
            0x09 | 0x0D | 0x21..=0x7E | 0x3003..=0x303F | 0xFF01..=0xFFEF => {}
            _ => others += 1,
        }
    }
    all >= 8 && marks > 0 && letters * 2 > all && others * 20 <= all
}
