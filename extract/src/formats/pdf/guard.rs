//! Bounds what the streams of a file unpack to, before they are unpacked into memory.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::{DeflateDecoder, ZlibDecoder};
use memchr::memmem;

use crate::{Failure, Limits};

/// Bytes before a stream in which its dictionary is looked for.
const DICTIONARY_BYTES: usize = 4096;
/// Filters over one another that are counted; more is no PDF that a program makes.
const FILTERS: usize = 8;
/// How many times larger than the file its streams may become; DEFLATE makes at most 1,032 bytes of one, a page of text hardly more than 10.
const RATIO: u64 = 300;
/// Bytes that a small file may become at any ratio.
const ANY_RATIO: u64 = 64 << 20;
/// Codes of LZW (ISO 32000-2, 7.4.4).
const LZW_CODES: usize = 4096;

/// A file whose streams unpack to more than the limits is refused.
pub(super) fn check(file: &[u8], limits: &Limits) -> Result<(), Failure> {
    let size = file.len() as u64;
    let limit = limits.unpacked_bytes.min(size.saturating_mul(RATIO).max(ANY_RATIO));
    let mut left = limit;
    let mut from = 0;
    // `stream` also ends `endstream`, which is skipped.
    while let Some(at) = memmem::find(&file[from..], b"stream").map(|at| from + at) {
        from = at + b"stream".len();
        if file[..at].ends_with(b"end") {
            continue;
        }
        let mut data = &file[from..];
        data = data.strip_prefix(b"\r\n").or_else(|| data.strip_prefix(b"\n")).or_else(|| data.strip_prefix(b"\r")).unwrap_or(data);
        let before = &file[at.saturating_sub(DICTIONARY_BYTES)..at];
        let before = &before[memmem::rfind(before, b"obj").unwrap_or(0)..];
        let end = memmem::find(data, b"endstream").unwrap_or(data.len());
        let used = unpacked(&data[..end], before, left);
        left = left.checked_sub(used).ok_or(Failure::Bomb { limit, ratio: limit / size.max(1) })?;
        from = from.max(at + end);
    }
    Ok(())
}

/// The bytes that a stream unpacks to, or `limit` and one more.
fn unpacked(data: &[u8], dictionary: &[u8], limit: u64) -> u64 {
    let mut reader: Box<dyn BufRead + '_> = Box::new(data);
    let names = dictionary.split(|byte| *byte == b'/').map(|name| {
        let end = name.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(name.len());
        &name[..end]
    });
    let mut filters: usize = 0;
    let mut counted = false;
    for name in names {
        reader = match name {
            b"FlateDecode" | b"Fl" => Box::new(BufReader::new(Inflated::new(reader))),
            b"LZWDecode" | b"LZW" => {
                // Only its length is known; what is packed within has no more than that.
                return lzw_bytes(reader, limit);
            }
            b"ASCII85Decode" | b"A85" => Box::new(BufReader::new(Ascii85::new(reader))),
            b"ASCIIHexDecode" | b"AHx" => Box::new(BufReader::new(Hex(reader))),
            _ => continue,
        };
        counted = true;
        filters += 1;
        if filters > FILTERS {
            return limit.saturating_add(1);
        }
    }
    // A dictionary that names its filters elsewhere.
    if !counted {
        if !matches!(data, [0x08 | 0x18 | 0x28 | 0x38 | 0x48 | 0x58 | 0x68 | 0x78, second, ..] if (u16::from(data[0]) * 256 + u16::from(*second)) % 31 == 0)
        {
            return 0;
        }
        reader = Box::new(BufReader::new(Inflated::new(reader)));
    }
    let mut bytes = 0;
    loop {
        // What is damaged ends here, as it does for the parser.
        let Ok(buffer) = reader.fill_buf() else { return bytes };
        let read = buffer.len();
        if read == 0 || bytes > limit {
            return bytes;
        }
        bytes += read as u64;
        reader.consume(read);
    }
}

/// zlib, or DEFLATE without its head.
enum Inflated<'a> {
    Zlib(ZlibDecoder<Box<dyn BufRead + 'a>>),
    Deflate(DeflateDecoder<Box<dyn BufRead + 'a>>),
}

impl<'a> Inflated<'a> {
    fn new(mut reader: Box<dyn BufRead + 'a>) -> Self {
        let zlib = reader.fill_buf().is_ok_and(
            |head| matches!(head, [first, second, ..] if first & 15 == 8 && (u16::from(*first) * 256 + u16::from(*second)) % 31 == 0),
        );
        if zlib { Self::Zlib(ZlibDecoder::new(reader)) } else { Self::Deflate(DeflateDecoder::new(reader)) }
    }
}

impl Read for Inflated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Zlib(reader) => reader.read(buffer),
            Self::Deflate(reader) => reader.read(buffer),
        }
    }
}

/// Hexadecimal digits.
struct Hex<'a>(Box<dyn BufRead + 'a>);

impl Read for Hex<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut digit = || -> io::Result<Option<u8>> {
            loop {
                let mut byte = [0];
                if self.0.read(&mut byte)? == 0 || byte[0] == b'>' {
                    return Ok(None);
                }
                if let Some(digit) = char::from(byte[0]).to_digit(16) {
                    return Ok(Some(digit as u8));
                }
            }
        };
        for (number, place) in buffer.iter_mut().enumerate() {
            let Some(high) = digit()? else { return Ok(number) };
            *place = high << 4 | digit()?.unwrap_or(0);
        }
        Ok(buffer.len())
    }
}

/// Base 85.
struct Ascii85<'a> {
    reader: Box<dyn BufRead + 'a>,
    bytes: [u8; 4],
    /// How many of `bytes` are still to be given.
    left: usize,
    count: usize,
}

impl<'a> Ascii85<'a> {
    fn new(reader: Box<dyn BufRead + 'a>) -> Self {
        Self { reader, bytes: [0; 4], left: 0, count: 0 }
    }

    /// Reads the next group.
    fn group(&mut self) -> io::Result<()> {
        let (mut value, mut digits) = (0u32, 0usize);
        while digits < 5 {
            let mut byte = [0];
            if self.reader.read(&mut byte)? == 0 || byte[0] == b'~' {
                break;
            }
            match byte[0] {
                b'z' if digits == 0 => digits = 5,
                digit @ b'!'..=b'u' => {
                    value = value.wrapping_mul(85).wrapping_add(u32::from(digit - b'!'));
                    digits += 1;
                }
                _ => {}
            }
        }
        for _ in digits..5 {
            value = value.wrapping_mul(85).wrapping_add(84);
        }
        (self.bytes, self.count) = (value.to_be_bytes(), digits.saturating_sub(1));
        self.left = self.count;
        Ok(())
    }
}

impl Read for Ascii85<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for (number, place) in buffer.iter_mut().enumerate() {
            if self.left == 0 {
                self.group()?;
                if self.left == 0 {
                    return Ok(number);
                }
            }
            *place = self.bytes[self.count - self.left];
            self.left -= 1;
        }
        Ok(buffer.len())
    }
}

/// The bytes that LZW unpacks to, from the lengths of its codes alone; `limit` and one more where it is more.
fn lzw_bytes(mut reader: Box<dyn BufRead + '_>, limit: u64) -> u64 {
    let (mut bits, mut have, mut bytes) = (0u32, 0u32, 0u64);
    let mut lengths: Vec<u64> = Vec::with_capacity(LZW_CODES);
    let mut last: Option<u64> = None;
    lengths.resize(258, 1);
    loop {
        let width = match lengths.len() + 1 {
            ..=511 => 9,
            512..=1023 => 10,
            1024..=2047 => 11,
            _ => 12,
        };
        while have < width {
            let mut byte = [0];
            if !matches!(reader.read(&mut byte), Ok(1)) {
                return bytes;
            }
            (bits, have) = (bits << 8 | u32::from(byte[0]), have + 8);
        }
        have -= width;
        let code = (bits >> have & ((1 << width) - 1)) as usize;
        match code {
            256 => {
                lengths.truncate(258);
                last = None;
                continue;
            }
            257 => return bytes,
            _ => {}
        }
        let length = lengths.get(code).copied().unwrap_or_else(|| last.map_or(1, |last| last + 1));
        if let Some(last) = last.filter(|_| lengths.len() < LZW_CODES) {
            lengths.push(last + 1);
        }
        last = Some(length);
        bytes += length;
        if bytes > limit {
            return bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn deflated(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn unpacked_bytes_are_counted() {
        let count = |data: &[u8], filter: &str| unpacked(data, format!("obj << {filter} >>").as_bytes(), 1 << 20);
        let packed = deflated(&[b' '; 5000]);
        assert_eq!(count(&packed, "/Filter /FlateDecode"), 5000);
        assert_eq!(count(&packed, "/Filter 7 0 R"), 5000);
        assert_eq!(count(&deflated(&packed), "/Filter [/FlateDecode /Fl]"), 5000);
        assert_eq!(count(b"48 65 6C 6c 6F>", "/Filter /ASCIIHexDecode"), 5);
        assert_eq!(count(b"87cURD]j7BEbo80~>", "/Filter /ASCII85Decode"), 12);
        // The example of ISO 32000-2, 7.4.4.2.
        assert_eq!(count(&[0x80, 0x0B, 0x60, 0x50, 0x22, 0x0C, 0x0C, 0x85, 0x01], "/Filter /LZWDecode"), 10);
        assert_eq!(count(b"plain", ""), 0);
        assert!(count(&deflated(&vec![0; 2 << 20]), "/Filter /FlateDecode") > 1 << 20);
        assert!(count(&[], &"/Fl ".repeat(9)) > 1 << 20);
    }

    #[test]
    fn all_streams_count() {
        let packed = deflated(&vec![b' '; 40 << 20]);
        let stream = [b"1 0 obj << /Filter /FlateDecode >>\nstream\n".as_slice(), &packed, b"\nendstream endobj\n"].concat();
        check(&stream, &Limits::default()).unwrap();
        assert!(matches!(check(&stream.repeat(2), &Limits::default()), Err(Failure::Bomb { .. })));
    }
}
