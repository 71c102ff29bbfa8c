//! The XML of office documents, one element within another.

use std::borrow::Cow;
use std::str::FromStr;

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::QName;
use quick_xml::{Reader, XmlVersion};

use crate::{Failure, Note, Sink};

/// Elements within one another that are read; what is deeper is left out.
pub(super) const MAX_DEPTH: usize = 250;

/// Reads elements of an XML text. Whoever gets a [`Node::Start`] reads its content up to the end, or skips it.
pub(super) struct Xml<'a> {
    reader: Reader<&'a [u8]>,
    /// The name of the format in failures.
    format: &'static str,
    /// How many elements are open.
    open: usize,
    /// Whether something was left out because it was too deep.
    cut: bool,
}

/// A part of an element's content.
pub(super) enum Node<'a> {
    /// An element begins. One without content ends next.
    Start(Element<'a>),
    /// Words, with references resolved.
    Text(Cow<'a, str>),
}

/// The beginning of an element.
pub(super) struct Element<'a>(BytesStart<'a>);

impl Element<'_> {
    /// Its name without the prefix.
    pub fn name(&self) -> &str {
        self.0.name().local_name().into_inner()
    }

    /// Its name with the prefix.
    pub fn full_name(&self) -> &str {
        self.0.name().into_inner()
    }

    /// The value of the attribute with this name, whatever its prefix is.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let mut attributes = self.0.attributes();
        attributes.with_checks(false);
        let found = attributes.flatten().find(|attribute| attribute.key.local_name().into_inner() == name)?;
        Some(match found.normalized_value(XmlVersion::Implicit1_0) {
            Ok(value) => value.into_owned(),
            Err(_) => found.value.into_owned(),
        })
    }

    /// The value of the attribute with this name that has a prefix, as `r:id` beside `id`.
    pub fn prefixed(&self, name: &str) -> Option<String> {
        let mut attributes = self.0.attributes();
        attributes.with_checks(false);
        let is_it = |key: QName| key.prefix().is_some() && key.local_name().into_inner() == name;
        let found = attributes.flatten().find(|attribute| is_it(attribute.key))?;
        Some(found.value.into_owned())
    }

    /// The number that an attribute is.
    pub fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.attribute(name)?.trim().parse().ok()
    }

    /// The value of `val`, which most elements of WordprocessingML have.
    pub fn val(&self) -> Option<String> {
        self.attribute("val")
    }

    /// Whether it says yes, as `<w:b/>` and `<w:b w:val="1"/>` do.
    pub fn is_on(&self) -> bool {
        !matches!(self.val().as_deref(), Some("0" | "false" | "off" | "none"))
    }
}

impl<'a> Xml<'a> {
    /// Reads `text`; `format` names it in failures.
    pub fn new(text: &'a str, format: &'static str) -> Self {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.allow_dangling_amp = true;
        Self { reader, format, open: 0, cut: false }
    }

    /// The next part of the element that is open; `None` when that ends.
    pub fn next(&mut self) -> Result<Option<Node<'a>>, Failure> {
        loop {
            let event = self.reader.read_event().map_err(|error| {
                let at = self.reader.error_position();
                Failure::invalid(self.format, format!("its XML is damaged at byte {at}: {error}"))
            })?;
            return Ok(match event {
                Event::Start(start) => {
                    self.open += 1;
                    if self.open > MAX_DEPTH {
                        self.cut = true;
                        self.skip()?;
                        continue;
                    }
                    Some(Node::Start(Element(start)))
                }
                Event::End(_) => {
                    self.open = self.open.saturating_sub(1);
                    None
                }
                Event::Text(text) => Some(Node::Text(text.into_inner())),
                Event::CData(text) => Some(Node::Text(text.into_inner())),
                Event::GeneralRef(reference) => {
                    let character = match &*reference {
                        "amp" => Some('&'),
                        "lt" => Some('<'),
                        "gt" => Some('>'),
                        "quot" => Some('"'),
                        "apos" => Some('\''),
                        // Entities that a document defines itself are not read.
                        _ => reference.resolve_char_ref().ok().flatten(),
                    };
                    match character {
                        Some(character) => Some(Node::Text(Cow::Owned(character.into()))),
                        None => continue,
                    }
                }
                Event::Eof if self.open > 0 => return Err(Failure::invalid(self.format, "its XML breaks off")),
                Event::Eof => None,
                _ => continue,
            });
        }
    }

    /// Goes into the element that all others are in.
    pub fn root(&mut self) -> Result<(), Failure> {
        while self.open == 0 {
            if self.next()?.is_none() {
                return Err(Failure::invalid(self.format, "a part of it is empty"));
            }
        }
        Ok(())
    }

    /// Says whether something was left out because it was too deep.
    pub fn note_cut(&self, sink: &mut dyn Sink) {
        if self.cut {
            sink.note(Note::PartSkipped { part: "what is deepest in it".into(), reason: "is within too many other parts".into() });
        }
    }

    /// Skips the content of the element that began last.
    pub fn skip(&mut self) -> Result<(), Failure> {
        let outside = self.open.saturating_sub(1);
        while self.open > outside {
            match self.reader.read_event() {
                Ok(Event::Start(_)) => self.open += 1,
                Ok(Event::End(_)) => self.open -= 1,
                Ok(Event::Eof) => return Err(Failure::invalid(self.format, "its XML breaks off")),
                Ok(_) => {}
                Err(error) => return Err(Failure::invalid(self.format, format!("its XML is damaged: {error}"))),
            }
        }
        Ok(())
    }

    /// The words of the element that began last and of all in it.
    pub fn words(&mut self) -> Result<String, Failure> {
        let outside = self.open.saturating_sub(1);
        let mut words = String::new();
        while self.open > outside {
            if let Some(Node::Text(text)) = self.next()? {
                words.push_str(&text);
            }
        }
        Ok(words)
    }

    /// Goes into elements until one of this name begins; `None` if there is none.
    pub fn find(&mut self, name: &str) -> Result<Option<Element<'a>>, Failure> {
        loop {
            match self.next()? {
                Some(Node::Start(element)) if element.name() == name => return Ok(Some(element)),
                None if self.open == 0 => return Ok(None),
                _ => {}
            }
        }
    }
}

/// Reads the first of several versions of the same content (`mc:AlternateContent`), which the element that is open has.
pub(super) fn first_version(xml: &mut Xml, mut content: impl FnMut(&mut Xml) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut read = false;
    while let Some(node) = xml.next()? {
        if !matches!(node, Node::Start(_)) {
            continue;
        }
        if read {
            xml.skip()?;
        } else {
            content(xml)?;
            read = true;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_one_within_another() {
        let mut xml =
            Xml::new("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY e 'x'>]><w:a><b w:val='0&amp;1'/>x &lt; &#233;&e;<c>no</c></w:a>", "test");
        let Some(Node::Start(a)) = xml.next().unwrap() else { panic!() };
        assert_eq!((a.name(), a.full_name()), ("a", "w:a"));
        let Some(Node::Start(b)) = xml.next().unwrap() else { panic!() };
        assert_eq!(b.val().unwrap(), "0&1");
        assert!(xml.next().unwrap().is_none());
        let mut words = String::new();
        while let Some(node) = xml.next().unwrap() {
            match node {
                Node::Text(text) => words.push_str(&text),
                Node::Start(_) => xml.skip().unwrap(),
            }
        }
        assert_eq!(words, "x < é");
        assert!(xml.next().unwrap().is_none());
        let mut broken = Xml::new("<a><b>", "test");
        assert!(broken.words().is_ok());
        while let Ok(node) = broken.next() {
            assert!(node.is_some());
        }
    }

    #[test]
    fn what_is_too_deep_is_left_out() {
        let deep = format!("{}x{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        let mut xml = Xml::new(&deep, "test");
        assert!(matches!(xml.next(), Ok(Some(Node::Start(_)))));
        assert_eq!(xml.words().unwrap(), "");
        assert!(xml.cut);
    }
}
