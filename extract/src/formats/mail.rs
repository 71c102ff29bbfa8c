//! E-mail: messages (.eml; RFC 5322 and MIME, RFC 2045 to 2049) and mailboxes (.mbox; RFC 4155).
//!
//! A message is a document: its plain text, or where it has none its HTML. Its attachments and the messages that it forwards are documents of their own. Quoted
//! replies stay, each line behind `>`, and so do signatures: what was agreed often stands in a quote, and whose word it is in a signature.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Address, Encoding, HeaderName, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use super::Format;
use super::embedded::{self, Names};
use crate::markdown::Text;
use crate::{Extracted, Failure, Gathered, Input, Note, Options, Sink, Value, decode};

/// The parser looks for the end of each multipart up to the end of the message: bytes of a message times its boundaries.
const MAX_SEARCHED: u64 = 1 << 34;
/// How often a message is read anew to tell the encoded messages in it from others.
const MAX_REREADS: usize = 4;
/// Letters of a line that is broken to fit a screen, at least.
const FULL_LINE: usize = 58;

pub(super) struct Mail;

impl Format for Mail {
    fn name(&self) -> &'static str {
        "an e-mail"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["eml", "mbox", "mht", "mhtml"]
    }

    fn recognizes(&self, head: &[u8]) -> bool {
        is_mailbox(head) || is_message(head)
    }

    fn extract(&self, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
        let Input { name, reader, depth } = input;
        let mut reader = BufReader::with_capacity(super::HEAD_BYTES, reader);
        if is_mailbox(reader.fill_buf()?) {
            return mailbox(reader, depth, options, sink);
        }
        let bytes = Input { name, reader: Box::new(reader), depth }.whole(&options.limits)?;
        if bytes.is_empty() {
            return Err(Failure::Empty { advice: "the file has no bytes; export the message again" });
        }
        let mut reading = Reading { options, sink, names: Names::default(), found: 0 };
        let _ = reading.message(&bytes, "", depth)?;
        if reading.found == 0 {
            return Err(Failure::Empty { advice: "neither the message nor its attachments have words" });
        }
        Ok(())
    }
}

/// Whether a file begins as a mailbox does: `From sender Mon Mar  3 10:15:00 2025`, then a header.
fn is_mailbox(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n').skip_while(|line| line.trim_ascii().is_empty());
    lines.next().is_some_and(is_separator)
        && lines.next().is_some_and(|line| line.is_empty() || field_name(line).is_some() || line.starts_with(b">From "))
}

/// Whether a line comes before a message of a mailbox: it has a time and a year.
fn is_separator(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From ") else { return false };
    let Ok(rest) = std::str::from_utf8(rest) else { return false };
    let mut words = rest.split_whitespace().skip(1).peekable();
    words.peek().is_none()
        || words.clone().any(|word| word.contains(':') && word.starts_with(|c: char| c.is_ascii_digit()))
            && words.any(|word| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The name of the field that a line of a header begins.
fn field_name(line: &[u8]) -> Option<String> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(&line[..colon]).ok()?.trim_end();
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())).then(|| name.to_ascii_lowercase())
}

/// Whether a file begins with the header of a message: fields alone up to an empty line, two of them of e-mail.
fn is_message(head: &[u8]) -> bool {
    let (mut known, mut certain, mut fields) = (0, false, 0);
    for line in head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).split(|byte| *byte == b'\n') {
        if line.trim_ascii().is_empty() {
            break;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if fields == 0 {
                return false;
            }
            continue;
        }
        let Some(name) = field_name(line) else { return false };
        fields += 1;
        certain |= matches!(name.as_str(), "from" | "received" | "return-path" | "message-id" | "mime-version" | "delivered-to");
        known += usize::from(matches!(
            name.as_str(),
            "from"
                | "to"
                | "cc"
                | "subject"
                | "date"
                | "received"
                | "return-path"
                | "message-id"
                | "mime-version"
                | "content-type"
                | "delivered-to"
                | "reply-to"
                | "sender"
                | "dkim-signature"
        ));
    }
    certain && known >= 2
}

/// Reads the messages of a mailbox, one at a time. One that cannot be read is noted.
fn mailbox(mut reader: impl BufRead, depth: u32, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    let mut reading = Reading { options, sink, names: Names::default(), found: 0 };
    let (mut message, mut line) = (Vec::new(), Vec::new());
    let (mut number, mut after_blank, mut refused) = (0u64, true, 0u64);
    loop {
        line.clear();
        // A line of any length is read in pieces.
        let read = reader.by_ref().take(options.limits.row_bytes.max(1024)).read_until(b'\n', &mut line)?;
        let ends = read == 0 || after_blank && is_separator(&line);
        if ends && number > 0 {
            let name = format!("message {number}");
            match reading.message(&message, &name, depth) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(()),
                Err(failure) => {
                    refused += 1;
                    reading.sink.note(Note::PartSkipped { part: name, reason: failure.to_string() });
                }
            }
        }
        if read == 0 {
            break;
        }
        if ends {
            number += 1;
            message.clear();
        } else {
            // `>From ` in a text is what the mailbox made of `From `.
            let quoted = line.iter().position(|byte| *byte != b'>').is_some_and(|at| at > 0 && line[at..].starts_with(b"From "));
            message.extend_from_slice(if quoted { &line[1..] } else { &line });
            if message.len() as u64 > options.limits.file_bytes {
                return Err(Failure::TooLarge {
                    what: "bytes in a message",
                    limit: options.limits.file_bytes,
                    name: "a file that is read as a whole",
                    advice: "take that message out of the mailbox",
                });
            }
        }
        after_blank = line.trim_ascii().is_empty();
    }
    match (reading.found, refused) {
        (0, 0) => Err(Failure::Empty { advice: "no message of the mailbox has words" }),
        (0, _) => Err(Failure::invalid("mailbox", format!("none of its {number} messages can be read"))),
        _ => Ok(()),
    }
}

/// Messages that are being read.
struct Reading<'a> {
    options: &'a Options,
    sink: &'a mut dyn Sink,
    names: Names,
    /// Documents with text.
    found: usize,
}

impl Reading<'_> {
    /// Gives the documents of a message: itself, then those it has within. `name` is that of a message without a subject; empty for the only one of a file.
    fn message(&mut self, bytes: &[u8], name: &str, depth: u32) -> Result<ControlFlow<()>, Failure> {
        let boundaries = bytes.windows(9).filter(|word| word.eq_ignore_ascii_case(b"boundary=")).count() as u64;
        if boundaries * bytes.len() as u64 > MAX_SEARCHED {
            return Err(Failure::TooLarge {
                what: "parts for its size",
                limit: boundaries,
                name: "the parts of a message",
                advice: "save its attachments, and name those",
            });
        }
        let mut bytes = Cow::Borrowed(bytes);
        if bytes.windows(8).any(|word| word.eq_ignore_ascii_case(b"message/")) {
            for _ in 0..MAX_REREADS {
                let encoded = encoded_messages(&unfold(parse(&bytes)?), &bytes);
                if encoded.is_empty() {
                    break;
                }
                let bytes = bytes.to_mut();
                encoded.into_iter().for_each(|at| bytes[at..at + 8].copy_from_slice(b"encoded/"));
            }
        }
        let bytes = bytes.as_ref();
        let mut messages = unfold(parse(bytes)?);
        let (all, nesting) = (messages.len(), self.options.limits.nesting);
        messages.retain(|(_, level)| depth.saturating_add(*level) <= nesting);
        if messages.len() < all {
            let part = format!("{} forwarded messages", all - messages.len());
            let reason = format!("are within more than {nesting} messages and archives, the limit of nesting; save them by themselves");
            self.sink.note(Note::PartSkipped { part, reason });
        }
        if messages.iter().map(|(message, _)| message.parts.len()).sum::<usize>() > self.options.limits.parts as usize {
            return Err(Failure::TooLarge {
                what: "parts",
                limit: self.options.limits.parts.into(),
                name: "the parts of a message",
                advice: "save its attachments, and name those",
            });
        }
        let only = name.is_empty();
        let mut outer = String::new();
        for (number, (message, level)) in messages.into_iter().enumerate() {
            let depth = depth + level;
            let has_header =
                message.subject().is_some() || message.from().is_some() || message.date().is_some() || message.content_type().is_some();
            if number == 0 && !has_header {
                return Err(Failure::invalid("e-mail", "its header has no sender, no subject, no date and no type"));
            }
            let subject = message.subject().map(crate::markdown::one_line).filter(|subject| !subject.is_empty());
            // The only message of a file needs no name.
            let title = subject.clone().unwrap_or_else(|| if name.is_empty() { "message".into() } else { name.to_owned() });
            let own = match (number, only) {
                (0, true) => String::new(),
                (0, false) => self.names.unique(title),
                _ if outer.is_empty() => self.names.unique(title),
                _ => self.names.unique(format!("{outer}/{title}")),
            };
            if number == 0 {
                outer.clone_from(&own);
            }
            if number == 0
                && let Some(end) = missing_end(&message, bytes)
            {
                let reason = format!("is missing: the boundary {end} is not there, so the file is cut off");
                self.sink.note(Note::PartSkipped { part: "the end of the message".into(), reason });
            }
            match self.parts(&message, bytes, subject, &own, depth) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(flow) => return Ok(flow),
                Err(failure) if number == 0 => return Err(failure),
                Err(failure) => self.sink.note(Note::PartSkipped { part: own, reason: failure.to_string() }),
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Gives a message without those it forwards, and its attachments.
    fn parts(
        &mut self,
        message: &Message<'_>,
        bytes: &[u8],
        subject: Option<String>,
        name: &str,
        depth: u32,
    ) -> Result<ControlFlow<()>, Failure> {
        let part = |id: &u32| message.parts.get(*id as usize);
        let mut plain: Vec<u32> =
            message.text_body.iter().copied().filter(|id| part(id).is_some_and(|part| matches!(part.body, PartType::Text(_)))).collect();
        let html: Vec<u32> =
            message.html_body.iter().copied().filter(|id| part(id).is_some_and(|part| matches!(part.body, PartType::Html(_)))).collect();
        if plain.is_empty() && html.is_empty() {
            // A text whose end is cut off.
            plain.extend(message.attachments.iter().copied().find(|id| part(id).is_some_and(is_cut_text)));
        }
        let texts: Vec<(String, bool)> = plain
            .iter()
            .filter_map(part)
            .filter_map(|part| {
                let flowed = part
                    .content_type()
                    .and_then(|kind| kind.attribute("format"))
                    .is_some_and(|format| format.eq_ignore_ascii_case("flowed"));
                Some((words(part, &content(part, bytes)?, self.sink), flowed))
            })
            .collect();
        if is_encrypted(message) || texts.iter().any(|(text, _)| text.trim_start().starts_with("-----BEGIN PGP MESSAGE-----")) {
            return Err(Failure::Encrypted { advice: "open the message in the program that has the key, and save it decrypted" });
        }
        let limits = &self.options.limits;
        let mut document = Extracted { name: name.to_owned(), title: subject, ..Extracted::default() };
        describe(message, &mut document);
        if !texts.is_empty() || html.is_empty() {
            let mut text = Text::new(limits);
            for (words, flowed) in texts {
                write(&without_uuencoded(&words, self.sink), flowed, &mut text)?;
            }
            (document.text, document.marks) = text.finish();
        } else {
            let html = html.iter().filter_map(part).filter_map(|part| Some(words(part, &content(part, bytes)?, self.sink)));
            let html: Vec<String> = html.collect();
            (document.text, document.marks) = embedded::html(&html.join("\n"), depth, self.options, self.sink)?;
        }
        if !document.text.is_empty() {
            self.found += 1;
            if self.sink.document(document).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let bodies: HashSet<u32> = plain.into_iter().chain(html).chain(message.text_body.iter().copied()).collect();
        for (number, id) in message.attachments.iter().enumerate() {
            let Some(part) = message.parts.get(*id as usize).filter(|_| !bodies.contains(id)) else { continue };
            if self.attachment(part, bytes, number, name, depth + 1).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Gives the documents of an attachment. One that cannot be read is noted.
    fn attachment(&mut self, part: &MessagePart<'_>, bytes: &[u8], number: usize, outer: &str, depth: u32) -> ControlFlow<()> {
        let kind = part
            .content_type()
            .map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_lowercase())
            .unwrap_or_default();
        // A picture that the HTML shows, and what proves who signed, have no text.
        let is_shown = matches!(part.body, PartType::InlineBinary(_)) || part.content_id().is_some();
        // Forwarded messages are read already, unless they are encoded.
        let is_read = matches!(part.body, PartType::Message(_) | PartType::Multipart(_)) && encoding(part, bytes) == Encoding::None;
        if is_read || kind.contains("signature") || is_shown && kind.starts_with("image/") {
            return ControlFlow::Continue(());
        }
        let content = content(part, bytes).map(|content| match charset(part) {
            Some(_) if kind.starts_with("text/") => Cow::Owned(words(part, &content, self.sink).into_bytes()),
            _ => content,
        });
        let extension = match kind.as_str() {
            "text/html" => ".html",
            "text/plain" => ".txt",
            "text/csv" => ".csv",
            "application/pdf" => ".pdf",
            "encoded/rfc822" | "encoded/global" => ".eml",
            _ => "",
        };
        let file = part.attachment_name().map(crate::markdown::one_line).filter(|name| !name.is_empty());
        let file = file.unwrap_or_else(|| format!("attachment {}{extension}", number + 1));
        let full = if outer.is_empty() { file.clone() } else { format!("{outer}/{file}") };
        let limit = self.options.limits.nesting;
        let mut parts = Gathered::default();
        let result = match content {
            None => Err("is damaged: it is not in base64 as it says; fetch the message again".to_owned()),
            Some(_) if depth > limit => {
                Err(format!("is within more than {limit} messages and archives, the limit of nesting; save it by itself"))
            }
            Some(_) if kind.ends_with("/mac-binhex40") => Err("is encoded in BinHex; save it decoded, and name it".to_owned()),
            Some(content) => {
                let input = Input { name: &file, reader: Box::new(content.as_ref()), depth };
                super::extract(input, self.options, &mut parts).map_err(|failure| failure.to_string())
            }
        };
        if let Err(reason) = result {
            self.sink.note(Note::PartSkipped { part: full, reason });
            return ControlFlow::Continue(());
        }
        parts.notes.into_iter().for_each(|note| self.sink.note(note));
        for mut document in parts.documents {
            let name = if document.name.is_empty() { full.clone() } else { format!("{full}/{}", document.name) };
            document.name = self.names.unique(name);
            self.found += 1;
            self.sink.document(document)?;
        }
        ControlFlow::Continue(())
    }
}

/// Reads a message without decoding its parts. The parser would read a message that is encoded in another with all that it forwards in turn, and copy the
/// whole of it for each: an attack on memory and stack. What is encoded is decoded in [`content`], and counts as nesting.
fn parser() -> MessageParser {
    MessageParser::new()
        .with_mime_headers()
        .with_address_headers()
        .with_date_headers()
        .with_message_ids()
        .header_text(HeaderName::Subject)
        .ignore_header(HeaderName::ContentTransferEncoding)
}

/// The name of the encoding that a part of a message says it has, in lower case.
fn encoding_name(part: &MessagePart<'_>, bytes: &[u8]) -> String {
    let header = part.headers.iter().find(|header| header.name == HeaderName::ContentTransferEncoding);
    let value = header.and_then(|header| bytes.get(header.offset_start as usize..header.offset_end as usize)).unwrap_or_default();
    let value = String::from_utf8_lossy(value).trim().to_lowercase();
    value.split(|c: char| c.is_whitespace() || c == ';').next().unwrap_or_default().to_owned()
}

/// The encoding that a part of a message says it has.
fn encoding(part: &MessagePart<'_>, bytes: &[u8]) -> Encoding {
    match encoding_name(part, bytes).as_str() {
        "base64" => Encoding::Base64,
        "quoted-printable" => Encoding::QuotedPrintable,
        _ => Encoding::None,
    }
}

/// The bytes of a file in uuencode, from its line `begin` to its line `end`; `None` if there is none.
fn uudecoded(content: &[u8]) -> Option<Vec<u8>> {
    let mut lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).skip_while(|line| !line.starts_with(b"begin "));
    lines.next()?;
    let mut decoded = Vec::new();
    for line in lines.take_while(|line| *line != b"end") {
        let Some((count, digits)) = line.split_first() else { continue };
        let end = decoded.len() + usize::from(count.wrapping_sub(b' ') & 63);
        for group in digits.chunks(4) {
            let digit = |at: usize| u32::from(group.get(at).unwrap_or(&b' ').wrapping_sub(b' ') & 63);
            let value = digit(0) << 18 | digit(1) << 12 | digit(2) << 6 | digit(3);
            decoded.extend_from_slice(&value.to_be_bytes()[1..]);
        }
        // Blanks at the end of a line may be lost.
        decoded.resize(end, 0);
    }
    Some(decoded)
}

/// A text without files that are written into it in uuencode (POSIX, `uuencode`), as mail had them before MIME. They are noted.
fn without_uuencoded(text: &str, sink: &mut dyn Sink) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let name = |line: &str| {
        let (mode, name) = line.strip_prefix("begin ")?.trim_end().split_once(' ')?;
        let is_mode = (3..=4).contains(&mode.len()) && mode.bytes().all(|byte| (b'0'..b'8').contains(&byte));
        (is_mode && !name.trim().is_empty()).then(|| name.trim().to_owned())
    };
    // Its first character counts the bytes of a line; blanks at its end may be lost.
    let is_encoded = |line: &str| {
        let line = line.trim_end_matches(['\r', '\n']);
        let (count, length) = (usize::from(line.bytes().next().unwrap_or(b' ').wrapping_sub(b' ') & 63), line.len().saturating_sub(1));
        line.bytes().all(|byte| (b' '..=b'`').contains(&byte)) && length <= count.div_ceil(3) * 4 + 1
    };
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let found = name(line).map(|name| (name, at + 1 + lines[at + 1..].iter().take_while(|line| is_encoded(line)).count()));
        match found.filter(|(_, after)| *after > at + 1 && lines.get(*after).is_some_and(|line| line.trim_end() == "end")) {
            Some((part, after)) => {
                sink.note(Note::PartSkipped { part, reason: "is written into the text in uuencode; save it decoded, and name it".into() });
                at = after + 1;
            }
            None => {
                kept.push_str(line);
                at += 1;
            }
        }
    }
    kept
}

/// What a part of a message has within, decoded; `None` if it is not encoded as it says.
fn content<'b>(part: &MessagePart<'_>, bytes: &'b [u8]) -> Option<Cow<'b, [u8]>> {
    let end = if part.offset_end > part.offset_body { part.offset_end as usize } else { bytes.len() };
    let content = bytes.get(part.offset_body as usize..end.min(bytes.len()))?;
    if ["x-uuencode", "uuencode", "x-uue"].contains(&encoding_name(part, bytes).as_str()) {
        return uudecoded(content).map(Cow::Owned);
    }
    match encoding(part, bytes) {
        Encoding::Base64 => base64_decode(content).map(Cow::Owned),
        Encoding::QuotedPrintable => quoted_printable_decode(content).map(Cow::Owned),
        Encoding::None => Some(Cow::Borrowed(content)),
    }
}

/// The encoding of characters that a part says it has.
fn charset<'p>(part: &'p MessagePart<'_>) -> Option<&'p str> {
    part.content_type().and_then(|kind| kind.attribute("charset"))
}

/// The text of a part of a message.
fn words(part: &MessagePart<'_>, content: &[u8], sink: &mut dyn Sink) -> String {
    let charset = charset(part);
    // What has letters of 7 bits for others, such as ISO-2022-JP, looks like UTF-8.
    let shifted =
        charset.and_then(|charset| encoding_rs::Encoding::for_label(charset.as_bytes())).filter(|charset| !charset.is_ascii_compatible());
    match shifted {
        Some(shifted) => shifted.decode(content).0.into_owned(),
        None => decode::text(content, charset, sink),
    }
}

/// Whether a part is a text without a name whose last boundary is not there.
fn is_cut_text(part: &MessagePart<'_>) -> bool {
    part.is_encoding_problem
        && part.attachment_name().is_none()
        && part.content_type().is_none_or(|_| part.is_content_type("text", "plain"))
}

/// Reads the structure of a message.
fn parse(bytes: &[u8]) -> Result<Message<'_>, Failure> {
    let parsed = catch_unwind(AssertUnwindSafe(|| parser().parse(bytes)));
    let parsed = parsed.map_err(|_| Failure::invalid("e-mail", "its parts are not as MIME demands"))?;
    parsed.ok_or_else(|| Failure::invalid("e-mail", "it has no header"))
}

/// A message and all that it forwards, each with the number of those that it is in. They are taken apart here, as their number has no limit.
fn unfold(message: Message<'_>) -> Vec<(Message<'_>, u32)> {
    let (mut waiting, mut messages) = (vec![(message, 0u32)], Vec::new());
    while let Some((mut message, level)) = waiting.pop() {
        let from = waiting.len();
        for part in &mut message.parts {
            if matches!(part.body, PartType::Message(_))
                && let PartType::Message(inner) = std::mem::take(&mut part.body)
            {
                waiting.push((inner, level.saturating_add(1)));
            }
        }
        waiting[from..].reverse();
        messages.push((message, level));
    }
    messages
}

/// Where the types of parts stand that are messages in base64 or the like. The parser would take their encoded text for a header, up to the end of the file.
fn encoded_messages(messages: &[(Message<'_>, u32)], bytes: &[u8]) -> Vec<usize> {
    let parts = messages.iter().flat_map(|(message, _)| &message.parts);
    let encoded = parts.filter(|part| encoding(part, bytes) != Encoding::None);
    let types = encoded.filter_map(|part| part.headers.iter().find(|header| header.name == HeaderName::ContentType));
    let at = types.filter_map(|header| {
        let value = bytes.get(header.offset_start as usize..header.offset_end as usize)?;
        let at = value.windows(8).position(|word| word.eq_ignore_ascii_case(b"message/"))?;
        Some(header.offset_start as usize + at)
    });
    at.collect()
}

/// Whether a message is encrypted, by S/MIME or OpenPGP.
fn is_encrypted(message: &Message<'_>) -> bool {
    let root = message.parts.first();
    root.is_some_and(|part| {
        part.is_content_type("multipart", "encrypted")
            || (part.is_content_type("application", "pkcs7-mime") || part.is_content_type("application", "x-pkcs7-mime"))
                && !part.content_type().and_then(|kind| kind.attribute("smime-type")).is_some_and(|kind| kind.starts_with("signed"))
    })
}

/// The last boundary of a message of several parts, if it is not there.
fn missing_end(message: &Message<'_>, bytes: &[u8]) -> Option<String> {
    let root = message.parts.first()?;
    let kind = root.content_type().filter(|kind| kind.ctype().eq_ignore_ascii_case("multipart"))?;
    let end = format!("--{}--", kind.attribute("boundary")?);
    let body = bytes.get(root.offset_body as usize..)?;
    let found = end.len() <= body.len() && body.windows(end.len()).any(|bytes| bytes == end.as_bytes());
    (!found).then_some(end)
}

fn describe(message: &Message<'_>, document: &mut Extracted) {
    document.date = message.date().filter(|date| date.is_valid()).map(|date| date.to_rfc3339());
    let mut field = |name: &str, value: String| {
        let value = crate::markdown::one_line(&value);
        if !value.is_empty() {
            document.fields.push((name.to_owned(), Value::Text(value)));
        }
    };
    for (name, addresses) in [("from", message.from()), ("to", message.to()), ("cc", message.cc())] {
        for address in addresses.into_iter().flat_map(Address::iter) {
            field(
                name,
                match (&address.name, &address.address) {
                    (Some(name), Some(address)) => format!("{name} <{address}>"),
                    (name, address) => name.as_ref().or(address.as_ref()).map(ToString::to_string).unwrap_or_default(),
                },
            );
        }
    }
    field("message-id", message.message_id().unwrap_or_default().to_owned());
    field("in-reply-to", message.in_reply_to().as_text().unwrap_or_default().to_owned());
}

/// Writes a plain text: lines that were broken to fit a screen become paragraphs again.
fn write(text: &str, flowed: bool, out: &mut Text) -> Result<(), Failure> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut block: Vec<&str> = Vec::new();
    let mut quotes = 0;
    for line in text.split('\n').chain([""]) {
        let (depth, words) = quoted(line);
        let is_rule = words.trim().len() >= 2 && words.trim().chars().all(|c| matches!(c, '-' | '_' | '=' | '*' | '~'));
        if words.trim().is_empty() || is_rule || depth != quotes {
            write_block(&block, quotes, flowed, out)?;
            block.clear();
        }
        quotes = depth;
        if !words.trim().is_empty() && !is_rule {
            block.push(words);
        }
    }
    write_block(&block, quotes, flowed, out)
}

/// How many `>` a line is behind, and what is behind them.
fn quoted(line: &str) -> (usize, &str) {
    let (mut depth, mut rest) = (0, line);
    while let Some(after) = rest.strip_prefix('>').or_else(|| if depth > 0 { rest.strip_prefix(" >") } else { None }) {
        depth += 1;
        rest = after;
    }
    (depth, if depth > 0 { rest.strip_prefix(' ').unwrap_or(rest) } else { rest })
}

/// Writes lines without an empty one among them.
fn write_block(lines: &[&str], quotes: usize, flowed: bool, out: &mut Text) -> Result<(), Failure> {
    let is_column = |line: &&&str| line.trim().contains("   ") || line.trim().contains('\t');
    if lines.len() > 1 && lines.iter().filter(is_column).count() * 3 >= lines.len() * 2 {
        return out.preformatted(&lines.join("\n"));
    }
    let prefix = if quotes > 0 { format!("{} ", ">".repeat(quotes.min(8))) } else { String::new() };
    let mut at = 0;
    let mut paragraph = String::new();
    while at < lines.len() {
        let (mark, first) = item(lines[at]);
        let mut words = first.trim_end().to_owned();
        let mut last = lines[at];
        at += 1;
        // The line goes on in the next one, if that one's first word had no more room in it.
        while let Some(next) = lines.get(at) {
            let word = next.split_whitespace().next().unwrap_or_default().chars().count();
            let goes_on = if flowed { last.ends_with(' ') } else { last.trim_end().chars().count() + word >= FULL_LINE };
            if !goes_on || !item(next).0.is_empty() {
                break;
            }
            words.push(' ');
            words.push_str(next.trim());
            last = next;
            at += 1;
        }
        if mark.is_empty() || quotes > 0 {
            if !paragraph.is_empty() {
                paragraph.push('\u{2028}');
            }
            let mark = if mark.is_empty() { String::new() } else { format!("{mark} ") };
            paragraph.push_str(&format!("{prefix}{mark}{words}"));
        } else {
            out.paragraph(&std::mem::take(&mut paragraph))?;
            out.item(0, mark, &words)?;
        }
    }
    out.paragraph(&paragraph)
}

/// The mark of an item that a line begins, and what is behind it; the mark is empty if it begins none.
fn item(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    let Some((mark, rest)) = line.split_once(' ') else { return ("", line) };
    let number = mark.trim_start_matches('(').trim_end_matches([')', '.']);
    let is_number =
        mark.ends_with([')', '.']) && !number.is_empty() && number.len() <= 2 && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_letter = mark.ends_with(')') && number.len() == 1 && number.bytes().all(|byte| byte.is_ascii_lowercase());
    match mark {
        "-" | "*" | "•" | "–" => ("-", rest),
        _ if is_number || is_letter => (mark, rest),
        _ => ("", line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn written(text: &str) -> String {
        let mut out = Text::new(&Limits::default());
        write(text, false, &mut out).unwrap();
        out.finish().0
    }

    #[test]
    fn files_in_uuencode() {
        assert_eq!(uudecoded(b"begin 644 note.txt\r\n#0V%T\r\n`\r\nend\r\n").as_deref(), Some(b"Cat".as_slice()));
        assert_eq!(uudecoded(b"no file"), None);
        let mut documents: Vec<Extracted> = Vec::new();
        let text = "Before.\nbegin 644 note.txt\n#0V%T\n`\nend\nAfter.\nbegin 100 metres on\n";
        assert_eq!(without_uuencoded(text, &mut documents), "Before.\nAfter.\nbegin 100 metres on\n");
    }

    #[test]
    fn broken_lines_become_paragraphs() {
        let text = "Dear Ms Lund,\n\nplease note that the dose of Zorvex was lowered for patients over\n75 years. It is 5 mg.\n\nKind regards\nA. Berg\n-- \nBerg Ltd\nOslo\n";
        let expected = "Dear Ms Lund,\n\nplease note that the dose of Zorvex was lowered for patients over 75 years. It is 5 mg.\n\nKind regards\nA. Berg\n\nBerg Ltd\nOslo\n";
        assert_eq!(written(text), expected);
    }

    #[test]
    fn quotes_items_and_columns_stay() {
        assert_eq!(written("Yes.\n> Is it 5 mg?\n> > It was 10.\n"), "Yes.\n\n> Is it 5 mg?\n\n>> It was 10.\n");
        assert_eq!(
            written("Please bring:\n- the contract\n- 2) not an item\n1. a pen\n"),
            "Please bring:\n\n- the contract\n- 2) not an item\n1. a pen\n"
        );
        assert_eq!(written("Age    Dose\n1-5    2 mg\n"), "```\nAge    Dose\n1-5    2 mg\n```\n");
    }

    #[test]
    fn messages_are_recognised() {
        for (head, expected) in [
            (&b"From: a@example.org\r\nSubject: b\r\n\r\nText"[..], true),
            (b"Return-Path: <a@example.org>\nReceived: from b\n by c\nDate: d\n\n", true),
            (b"From a@example.org Mon Mar  3 10:15:00 2025\nFrom: a@example.org\n\nText", true),
            (b"From here on all is well: 5 mg.\nTake it.", false),
            (b"Title: a\nDate: b\n\nText", false),
            (b"Subject: a\nThis is a text", false),
            (b"", false),
        ] {
            assert_eq!(Mail.recognizes(head), expected, "{}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn messages_within_one_another_are_bounded() {
        let mut text = String::from("From: a@example.org\nSubject: outer\n");
        for _ in 0..20_000 {
            text.push_str("Content-Type: message/rfc822\n\nSubject: inner\nFrom: b@example.org\n");
        }
        text.push_str("\nText\n");
        let mut parts = Gathered::default();
        let result = Mail.extract(Input::new("a.eml", text.as_bytes()), &Options::default(), &mut parts);
        assert!(matches!(result, Err(Failure::Empty { .. })), "{result:?}");
        assert!(matches!(&parts.notes[..], [Note::PartSkipped { .. }]));
    }
}
