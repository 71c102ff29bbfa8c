//! What a file states of itself: title, author, dates and language (ISO 32000-2, 14.3), bookmarks (12.3.3), alternative texts (14.9.3).

use std::collections::{HashMap, HashSet};

use hayro_interpret::hayro_syntax::Pdf;
use hayro_interpret::hayro_syntax::object::{
    Array, DateTime, Dict, MaybeRef, Number, Object, ObjectIdentifier, Stream, String as PdfString,
};

use crate::{Extracted, Value};

/// Bookmarks or elements of structure within one another that are followed.
const DEPTH: usize = 64;
/// Bookmarks, and elements of structure, that are read.
const ENTRIES: usize = 200_000;
/// Bytes of XMP that are searched.
const XMP_BYTES: usize = 1 << 20;

/// The text of a string: UTF-16 or UTF-8 with a byte order mark, else PDFDocEncoding (ISO 32000-2, annex D.3).
pub(super) fn text(bytes: &[u8]) -> String {
    let wide = |read: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    let text = match bytes {
        [0xFE, 0xFF, rest @ ..] => wide(u16::from_be_bytes, rest),
        [0xFF, 0xFE, rest @ ..] => wide(u16::from_le_bytes, rest),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => bytes.iter().map(|byte| pdf_doc_char(*byte)).collect(),
    };
    without_language(&text)
}

/// UTF-16 strings may have a language between two escapes.
fn without_language(text: &str) -> String {
    let mut parts = text.split('\u{1B}');
    let mut kept: String = parts.next().unwrap_or_default().into();
    while let (Some(_), Some(after)) = (parts.next(), parts.next()) {
        kept.push_str(after);
    }
    kept
}

fn pdf_doc_char(byte: u8) -> char {
    const ACCENTS: [char; 8] = ['˘', 'ˇ', 'ˆ', '˙', '˝', '˛', '˚', '˜'];
    const HIGH: [char; 33] = [
        '•', '†', '‡', '…', '—', '–', 'ƒ', '⁄', '‹', '›', '−', '‰', '„', '“', '”', '‘', '’', '‚', '™', 'ﬁ', 'ﬂ', 'Ł', 'Œ', 'Š', 'Ÿ', 'Ž',
        'ı', 'ł', 'œ', 'š', 'ž', '\u{FFFD}', '€',
    ];
    match byte {
        0x18..=0x1F => ACCENTS[usize::from(byte - 0x18)],
        0x80..=0xA0 => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// A text as a reader would type it: ligatures as letters, no control characters.
pub(super) fn readable(text: &str) -> String {
    let mut typed = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            'ﬀ' => typed.push_str("ff"),
            'ﬁ' => typed.push_str("fi"),
            'ﬂ' => typed.push_str("fl"),
            'ﬃ' => typed.push_str("ffi"),
            'ﬄ' => typed.push_str("ffl"),
            'ﬅ' | 'ﬆ' => typed.push_str("st"),
            '\u{2010}' => typed.push('-'),
            // Radicals that fonts give in place of the characters of the same shape are left: to change them takes a table.
            '\u{200B}' | '\u{FEFF}' | '\u{200E}' | '\u{200F}' => {}
            c if c.is_control() => typed.push(' '),
            c => typed.push(c),
        }
    }
    typed
}

/// Adds what the file states to a document.
pub(super) fn state(pdf: &Pdf, document: &mut Extracted) {
    let metadata = pdf.metadata();
    let catalog = catalog(pdf);
    let xmp = catalog.as_ref().and_then(|catalog| catalog.get::<Stream<'_>>("Metadata")?.decoded_data().ok()).unwrap_or_default();
    let xmp = String::from_utf8_lossy(&xmp[..xmp.len().min(XMP_BYTES)]);
    let own = |bytes: &Option<Box<[u8]>>| bytes.as_deref().map(text).into_iter().collect::<Vec<_>>();
    let either = |own: Vec<String>, element: &str| {
        let found = [own, xmp_values(&xmp, element)].into_iter().map(words).find(|found| !found.is_empty());
        found.unwrap_or_default()
    };
    document.title = either(own(&metadata.title), "dc:title").into_iter().next();
    let created = metadata.creation_date.map(date).or_else(|| xmp_values(&xmp, "xmp:CreateDate").into_iter().next());
    let modified = metadata.modification_date.map(date).or_else(|| xmp_values(&xmp, "xmp:ModifyDate").into_iter().next());
    let mut fields = Vec::new();
    for author in either(own(&metadata.author), "dc:creator") {
        let authors = author.split(';').map(str::trim).filter(|author| !author.is_empty());
        fields.extend(authors.map(|author| ("author", author.to_owned())));
    }
    fields.extend(either(own(&metadata.subject), "dc:description").into_iter().map(|subject| ("subject", subject)));
    for keywords in either(own(&metadata.keywords), "dc:subject") {
        let keywords = keywords.split([',', ';']).map(str::trim).filter(|keyword| !keyword.is_empty());
        fields.extend(keywords.map(|keyword| ("keywords", keyword.to_owned())));
    }
    document.license = words(xmp_values(&xmp, "dc:rights")).into_iter().next();
    fields.extend(words(xmp_values(&xmp, "dc:publisher")).into_iter().map(|publisher| ("publisher", publisher)));
    let language = catalog.as_ref().and_then(|catalog| catalog.get::<PdfString<'_>>("Lang")).map(|language| text(&language));
    fields.extend(words(language.into_iter().collect()).into_iter().map(|language| ("language", language)));
    if let (Some(created), Some(_)) = (&created, &modified)
        && created != modified.as_ref().unwrap_or(created)
    {
        fields.push(("created", created.clone()));
    }
    document.date = modified.or(created);
    document.fields = fields.into_iter().map(|(name, value)| (name.to_owned(), Value::Text(value))).collect();
}

/// What programs write where nothing was stated.
const UNSTATED: [&str; 6] = ["untitled", "anonymous", "unspecified", "(anonymous)", "(unspecified)", "unknown"];

/// Those of `values` that have words, each in one line.
fn words(values: Vec<String>) -> Vec<String> {
    let stated = |value: &String| value.contains(char::is_alphanumeric) && !UNSTATED.contains(&value.to_lowercase().as_str());
    values.iter().map(|value| crate::markdown::one_line(&readable(value))).filter(stated).collect()
}

/// ISO 8601, with the time where it is not midnight.
fn date(date: DateTime) -> String {
    let day = format!("{:04}-{:02}-{:02}", date.year, date.month, date.day);
    if (date.hour, date.minute, date.second) == (0, 0, 0) {
        return day;
    }
    let zone = match (date.utc_offset_hour, date.utc_offset_minute) {
        (0, 0) => "Z".to_owned(),
        (hour, minute) => format!("{hour:+03}:{minute:02}"),
    };
    format!("{day}T{:02}:{:02}:{:02}{zone}", date.hour, date.minute, date.second)
}

/// The values of an element of XMP, as an element with or without a list, or as an attribute.
fn xmp_values(xmp: &str, name: &str) -> Vec<String> {
    if let Some((_, rest)) = xmp.split_once(&format!("{name}=\"")) {
        return rest.split('"').next().map(unescaped).into_iter().collect();
    }
    let Some((_, rest)) = xmp.split_once(&format!("<{name}")) else { return Vec::new() };
    let Some((inner, _)) = rest.split_once('>').and_then(|(_, rest)| rest.split_once(&format!("</{name}>"))) else { return Vec::new() };
    if !inner.contains('<') {
        return vec![unescaped(inner)];
    }
    inner.split("<rdf:li").skip(1).filter_map(|item| Some(unescaped(item.split_once('>')?.1.split('<').next()?))).collect()
}

fn unescaped(text: &str) -> String {
    let names = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    names.into_iter().fold(text.to_owned(), |text, (name, character)| text.replace(name, character))
}

fn catalog(pdf: &Pdf) -> Option<Dict<'_>> {
    pdf.xref().get(pdf.xref().root_id())
}

/// The pages that the file says it has.
pub(super) fn stated_pages(pdf: &Pdf) -> Option<usize> {
    let count = catalog(pdf)?.get::<Dict<'_>>("Pages")?.get::<i32>("Count")?;
    usize::try_from(count).ok()
}

/// Letters and digits of a heading, to compare it with a bookmark.
pub(super) fn heading_key(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The depth of each bookmark, 0 for the outermost, by the [`heading_key`] of its title.
pub(super) fn bookmarks(pdf: &Pdf) -> HashMap<String, usize> {
    let mut found = HashMap::new();
    let Some(outlines) = catalog(pdf).and_then(|catalog| catalog.get::<Dict<'_>>("Outlines")) else { return found };
    let mut seen = HashSet::new();
    let mut open: Vec<(Dict<'_>, usize)> = outlines.get::<Dict<'_>>("First").map(|first| (first, 0)).into_iter().collect();
    while let Some((entry, depth)) = open.pop() {
        if !entry.obj_id().is_none_or(|id| seen.insert(id)) || seen.len() > ENTRIES {
            continue;
        }
        if let Some(title) = entry.get::<PdfString<'_>>("Title") {
            found.entry(heading_key(&readable(&text(&title)))).or_insert(depth);
        }
        open.extend(entry.get::<Dict<'_>>("Next").map(|next| (next, depth)));
        open.extend(entry.get::<Dict<'_>>("First").filter(|_| depth < DEPTH).map(|first| (first, depth + 1)));
    }
    found.remove("");
    found
}

/// Alternative texts of the elements of structure: by page, by the number of marked content.
pub(super) fn alternatives(pdf: &Pdf) -> HashMap<ObjectIdentifier, HashMap<i64, String>> {
    let mut found: HashMap<ObjectIdentifier, HashMap<i64, String>> = HashMap::new();
    let Some(root) = catalog(pdf).and_then(|catalog| catalog.get::<Dict<'_>>("StructTreeRoot")) else { return found };
    let mut seen = HashSet::new();
    let mut count = 0;
    // An element, its page, the text that belongs to what is in it, and its depth.
    let mut open: Vec<(Object<'_>, Option<ObjectIdentifier>, Option<String>, usize)> = vec![(Object::Dict(root), None, None, 0)];
    while let Some((element, page, given, depth)) = open.pop() {
        count += 1;
        if count > ENTRIES {
            break;
        }
        let number = |object: Object<'_>| if let Object::Number(number) = object { Some(number.as_i64()) } else { None };
        match element {
            Object::Dict(dict) => {
                if depth > DEPTH || !dict.obj_id().is_none_or(|id| seen.insert(id)) {
                    continue;
                }
                let page = dict.get_ref("Pg").map(ObjectIdentifier::from).or(page);
                if let (Some(page), Some(given), Some(content)) = (page, &given, dict.get::<Number>("MCID")) {
                    found.entry(page).or_default().entry(content.as_i64()).or_insert_with(|| given.clone());
                }
                let alternative = dict.get::<PdfString<'_>>("Alt").map(|alternative| text(&alternative)).or(given);
                open.extend(dict.get::<Object<'_>>("K").map(|kids| (kids, page, alternative, depth + 1)));
            }
            Object::Array(kids) => push_kids(&kids, page, &given, depth, &mut open, pdf),
            other => {
                if let (Some(page), Some(given), Some(content)) = (page, given, number(other)) {
                    found.entry(page).or_default().entry(content).or_insert(given);
                }
            }
        }
    }
    found
}

type Element<'a> = (Object<'a>, Option<ObjectIdentifier>, Option<String>, usize);

fn push_kids<'a>(
    kids: &Array<'a>,
    page: Option<ObjectIdentifier>,
    given: &Option<String>,
    depth: usize,
    open: &mut Vec<Element<'a>>,
    pdf: &'a Pdf,
) {
    for kid in kids.raw_iter() {
        let kid = match kid {
            MaybeRef::Ref(id) => pdf.xref().get::<Object<'_>>(id.into()),
            MaybeRef::NotRef(kid) => Some(kid),
        };
        if open.len() < ENTRIES {
            open.extend(kid.map(|kid| (kid, page, given.clone(), depth + 1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_all_encodings() {
        assert_eq!(text(b"Na\xEFve \x93fi\x94 \x80"), "Naïve ﬁfiﬂ •");
        assert_eq!(text(b"\xFE\xFF\x00\x1B\x00e\x00n\x00\x1B\x54\x08\x54\x0C"), "合同");
        assert_eq!(text(b"\xEF\xBB\xBF\xC2\xA7 4"), "§ 4");
        assert_eq!(readable("e\u{FB03}cient \u{FB01}le"), "efficient file");
    }

    #[test]
    fn values_of_xmp() {
        let xmp = "<rdf:Description xmp:CreateDate=\"2024-03-01\"><dc:title><rdf:Alt><rdf:li xml:lang=\"x-default\">A &amp; B</rdf:li></rdf:Alt></dc:title>\
            <dc:creator><rdf:Seq><rdf:li>One</rdf:li><rdf:li>Two</rdf:li></rdf:Seq></dc:creator></rdf:Description>";
        assert_eq!(xmp_values(xmp, "dc:title"), ["A & B"]);
        assert_eq!(xmp_values(xmp, "dc:creator"), ["One", "Two"]);
        assert_eq!(xmp_values(xmp, "xmp:CreateDate"), ["2024-03-01"]);
        assert!(xmp_values(xmp, "dc:rights").is_empty());
    }
}
