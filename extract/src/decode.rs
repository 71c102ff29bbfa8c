//! Bytes as text, in the encoding that they have.

use std::io::{self, BufRead, Read};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::wide::utf16_order;
use crate::{Note, Sink};

/// Bytes that a guess looks at, at most.
const SAMPLE: usize = 1 << 20;

/// The text of bytes. The encoding is that of the byte order mark; else UTF-8 where the bytes are that; else UTF-16 by its units; else the one that the file
/// `declares`; else it is guessed. What is not of the encoding becomes U+FFFD, and is noted.
pub(crate) fn text(bytes: &[u8], declared: Option<&str>, sink: &mut dyn Sink) -> String {
    let (encoding, guessed) = encoding(bytes, declared);
    if guessed {
        sink.note(Note::GuessedEncoding { encoding: encoding.name().to_owned() });
    }
    let (text, encoding, replaced) = encoding.decode(bytes);
    let mut text = text.into_owned();
    if replaced {
        let characters = text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count() as u64;
        sink.note(Note::Replaced { encoding: encoding.name().to_owned(), characters });
    }
    // Line ends of all systems become line feeds.
    if text.contains('\r') {
        text = text.replace("\r\n", "\n").replace('\r', "\n");
    }
    text
}

/// The text of the first bytes of a file, up to a character that is cut.
pub(crate) fn start(head: &[u8]) -> String {
    encoding_of_start(head).decode(head).0.into_owned()
}

/// The encoding of a file by its first bytes, which may end within a character.
fn encoding_of_start(head: &[u8]) -> &'static Encoding {
    match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => encoding(&head[..error.valid_up_to()], None).0,
        _ => encoding(head, None).0,
    }
}

/// Reads a file as UTF-8, block by block, in the encoding that its first bytes that are not ASCII have. For files that are larger than memory.
pub(crate) struct Utf8Reader<R> {
    reader: R,
    /// None while all is ASCII.
    decoder: Option<Decoder>,
    started: bool,
    ended: bool,
    /// What is read, and not decoded.
    raw: Vec<u8>,
    /// What is decoded, and from where on it is not given yet.
    out: Vec<u8>,
    at: usize,
    replaced: u64,
}

/// Bytes that are decoded at once.
const BLOCK: usize = 64 << 10;

impl<R: Read> Utf8Reader<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, decoder: None, started: false, ended: false, raw: Vec::new(), out: Vec::new(), at: 0, replaced: 0 }
    }

    /// Tells what was replaced so far.
    pub fn note(&self, sink: &mut dyn Sink) {
        if let Some(decoder) = self.decoder.as_ref().filter(|_| self.replaced > 0) {
            sink.note(Note::Replaced { encoding: decoder.encoding().name().to_owned(), characters: self.replaced });
        }
    }

    /// Reads until `raw` has so many bytes, or the file ends.
    fn read_raw(&mut self, bytes: usize) -> io::Result<()> {
        let missing = bytes.saturating_sub(self.raw.len());
        let read = self.reader.by_ref().take(missing as u64).read_to_end(&mut self.raw)?;
        self.ended |= read < missing;
        Ok(())
    }

    /// Decodes the next block.
    fn decode(&mut self) -> io::Result<()> {
        self.out.clear();
        self.at = 0;
        self.read_raw(BLOCK)?;
        if !self.started {
            self.started = true;
            if let Some((encoding, _)) = Encoding::for_bom(&self.raw) {
                self.decoder = Some(encoding.new_decoder_with_bom_removal());
            } else if let Some(order) = utf16_order(&self.raw) {
                self.decoder = Some(order.encoding().new_decoder_without_bom_handling());
            }
        }
        if self.decoder.is_none() {
            let ascii = Encoding::ascii_valid_up_to(&self.raw);
            if ascii == self.raw.len() {
                std::mem::swap(&mut self.raw, &mut self.out);
                return Ok(());
            }
            self.out.extend_from_slice(&self.raw[..ascii]);
            self.raw.drain(..ascii);
            self.read_raw(SAMPLE)?;
            self.decoder = Some(encoding_of_start(&self.raw).new_decoder_without_bom_handling());
        }
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        let begin = self.out.len();
        let most = decoder.max_utf8_buffer_length(self.raw.len()).unwrap_or(self.raw.len() * 3 + 16);
        self.out.resize(begin + most, 0);
        let (result, read, written, replaced) = decoder.decode_to_utf8(&self.raw, &mut self.out[begin..], self.ended);
        debug_assert!(result == CoderResult::InputEmpty && read == self.raw.len());
        self.out.truncate(begin + written);
        self.raw.clear();
        if replaced {
            let characters = self.out[begin..].windows(3).filter(|bytes| *bytes == "\u{FFFD}".as_bytes()).count();
            self.replaced += characters as u64;
        }
        Ok(())
    }
}

impl<R: Read> BufRead for Utf8Reader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.out.len() && !self.ended {
            self.decode()?;
        }
        Ok(&self.out[self.at..])
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

impl<R: Read> Read for Utf8Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// The encoding that bytes have, and whether it is guessed.
fn encoding(bytes: &[u8], declared: Option<&str>) -> (&'static Encoding, bool) {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return (encoding, false);
    }
    if std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0) {
        return (UTF_8, false);
    }
    if let Some(order) = utf16_order(&bytes[..bytes.len().min(SAMPLE)]) {
        return (order.encoding(), false);
    }
    // What declares UTF-16 in letters of one byte is not UTF-16.
    let declared =
        declared.and_then(|label| Encoding::for_label(label.trim().as_bytes())).filter(|found| *found != UTF_16LE && *found != UTF_16BE);
    if let Some(declared) = declared {
        return (declared, false);
    }
    if is_damaged_utf8(&bytes[..bytes.len().min(SAMPLE)]) {
        return (UTF_8, false);
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(&bytes[..bytes.len().min(SAMPLE)], true);
    (detector.guess(None, Utf8Detection::Deny), true)
}

/// Whether bytes that are not UTF-8 were: bytes of another encoding hardly ever make so many of its characters.
pub fn is_damaged_utf8(sample: &[u8]) -> bool {
    let (mut valid, mut invalid) = (0, 0);
    for chunk in sample.utf8_chunks() {
        valid += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        invalid += usize::from(!chunk.invalid().is_empty());
    }
    valid >= 3 && valid >= 4 * invalid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Extracted;

    #[test]
    fn encodings_are_recognised() {
        let utf16 = |text: &str, big: bool| -> Vec<u8> {
            text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
        };
        let russian = "Гражданское законодательство основывается на признании равенства участников.";
        let german = "Die Würde des Menschen ist unantastbar. Sie zu achten und zu schützen ist Verpflichtung aller staatlichen Gewalt.";
        let chinese = "民事主体的人身权利、财产权利以及其他合法权益受法律保护，任何组织或者个人不得侵犯。";
        let mut sink: Vec<Extracted> = Vec::new();
        let mut check = |bytes: &[u8], declared, expected: &str| assert_eq!(text(bytes, declared, &mut sink), expected);
        check(b"\xEF\xBB\xBFplain\r\ntext\rend", None, "plain\ntext\nend");
        check(&[b"\xFF\xFE".as_slice(), &utf16(german, false)].concat(), None, german);
        check(&utf16(german, false), None, german);
        check(&utf16(german, true), Some("utf-8"), german);
        check(&encoding_rs::WINDOWS_1251.encode(russian).0, None, russian);
        check(&encoding_rs::WINDOWS_1252.encode(german).0, None, german);
        check(&encoding_rs::GBK.encode(chinese).0, None, chinese);
        check(&encoding_rs::WINDOWS_1251.encode(russian).0, Some("windows-1251"), russian);
        // A declaration that the bytes refute.
        check(german.as_bytes(), Some("iso-8859-1"), german);
        check(b"", None, "");
    }
}
