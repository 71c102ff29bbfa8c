//! An XML document as a tree: nodes in the order of the document, each with the end of its subtree, 16 bytes for each.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use quick_xml::Reader;
use quick_xml::escape::{resolve_html5_entity, resolve_xml_entity};
use quick_xml::events::{BytesStart, Event};

use crate::{Failure, Limits, Note, Sink};

/// Elements within one another. Documents of the formats that are known have fewer than 60.
const MAX_DEPTH: usize = 200;
/// Entities within one another.
const MAX_ENTITY_DEPTH: u32 = 16;
/// Bytes that all references to entities become, each with one byte more.
const MAX_EXPANDED: u64 = 8 << 20;
/// Elements and texts of a file: 512 MiB of nodes.
const MAX_NODES: usize = 32 << 20;

/// The name of a text.
const TEXT: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    /// Of an element in `names`.
    name: u32,
    /// The node after its last descendant.
    end: u32,
    /// Its attributes; of a text its bytes.
    from: u32,
    to: u32,
}

struct Attribute {
    name: u32,
    from: u32,
    to: u32,
}

/// A document.
pub(super) struct Tree {
    nodes: Vec<Node>,
    attributes: Vec<Attribute>,
    /// Names with their prefixes, and where the local part begins.
    names: Vec<(String, usize)>,
    /// Texts and values of attributes.
    text: String,
}

/// An element of a tree.
#[derive(Clone, Copy)]
pub(super) struct Element<'t> {
    tree: &'t Tree,
    at: usize,
}

/// What is in an element.
pub(super) enum Child<'t> {
    Element(Element<'t>),
    Text(&'t str),
}

impl Tree {
    /// The tree of a document. Internal entities are expanded within bounds, HTML's names are known without a DTD, and external entities are never read.
    pub fn parse(source: &str, limits: &Limits, sink: &mut dyn Sink) -> Result<Self, Failure> {
        let tree = Self { nodes: Vec::new(), attributes: Vec::new(), names: Vec::new(), text: " ".into() };
        let mut builder = Builder {
            tree,
            open: Vec::new(),
            names: HashMap::new(),
            entities: HashMap::new(),
            expanded: 0,
            allowed: MAX_EXPANDED.min(limits.unpacked_bytes),
            size: source.len() as u64,
            joins: false,
            skipped: BTreeSet::new(),
        };
        builder.read(source, 0)?;
        if builder.tree.nodes.is_empty() {
            return Err(Failure::invalid("XML document", "it has no element"));
        }
        for name in builder.skipped {
            let reason = match builder.entities.get(&name) {
                Some(None) => "is another file, which is not read; put its content into the file",
                _ => "is not declared in the file, and stays as it is",
            };
            sink.note(Note::PartSkipped { part: format!("the entity &{name};"), reason: reason.into() });
        }
        Ok(builder.tree)
    }

    /// The outermost element.
    pub fn root(&self) -> Element<'_> {
        Element { tree: self, at: 0 }
    }

    /// How many elements and texts there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The text at a place of the tree; `None` for an element.
    pub fn text(&self, at: usize) -> Option<&str> {
        self.nodes.get(at).filter(|node| node.name == TEXT).map(|node| &self.text[node.from as usize..node.to as usize])
    }

    /// The element at a place of the tree; `None` for a text.
    pub fn element(&self, at: usize) -> Option<Element<'_>> {
        self.nodes.get(at).filter(|node| node.name != TEXT).map(|_| Element { tree: self, at })
    }
}

impl<'t> Element<'t> {
    fn node(self) -> Node {
        self.tree.nodes[self.at]
    }

    /// Its place in the tree, which tells it from all others.
    pub fn at(self) -> usize {
        self.at
    }

    /// The node after all that is in it.
    pub fn end(self) -> usize {
        self.node().end as usize
    }

    /// Its name without prefix.
    pub fn name(self) -> &'t str {
        let (name, local) = &self.tree.names[self.node().name as usize];
        &name[*local..]
    }

    /// Its prefix; empty if it has none.
    pub fn prefix(self) -> &'t str {
        let (name, local) = &self.tree.names[self.node().name as usize];
        &name[..local.saturating_sub(1)]
    }

    /// The namespace that its prefix has by its own attributes; empty if they say nothing.
    pub fn own_namespace(self) -> &'t str {
        let prefix = self.prefix();
        let binds = |name: &str| if prefix.is_empty() { name == "xmlns" } else { name.strip_prefix("xmlns:") == Some(prefix) };
        self.attributes().find(|(name, _)| binds(name)).map_or("", |(_, value)| value)
    }

    fn attributes(self) -> impl Iterator<Item = (&'t str, &'t str)> {
        let (tree, node) = (self.tree, self.node());
        let all = &tree.attributes[node.from as usize..node.to as usize];
        all.iter().map(|attribute| {
            let (name, _) = &tree.names[attribute.name as usize];
            (name.as_str(), &tree.text[attribute.from as usize..attribute.to as usize])
        })
    }

    /// The value of an attribute, by its name without prefix.
    pub fn attribute(self, name: &str) -> Option<&'t str> {
        self.attributes().find(|(full, _)| full.rsplit(':').next() == Some(name)).map(|(_, value)| value)
    }

    /// The value of the first of these attributes that it has, and that is not blank.
    pub fn any_attribute(self, names: &[&str]) -> Option<&'t str> {
        names.iter().find_map(|name| self.attribute(name).filter(|value| !value.trim().is_empty()))
    }

    /// What is in it.
    pub fn children(self) -> impl Iterator<Item = Child<'t>> {
        let (tree, end) = (self.tree, self.end());
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            let node = tree.nodes.get(at).filter(|_| at < end)?;
            let child = match node.name {
                TEXT => Child::Text(&tree.text[node.from as usize..node.to as usize]),
                _ => Child::Element(Element { tree, at }),
            };
            at = node.end as usize;
            Some(child)
        })
    }

    /// The elements in it.
    pub fn elements(self) -> impl Iterator<Item = Self> {
        self.children().filter_map(|child| match child {
            Child::Element(element) => Some(element),
            Child::Text(_) => None,
        })
    }

    /// All elements in it and in those, in the order of the document.
    pub fn descendants(self) -> impl Iterator<Item = Self> {
        let tree = self.tree;
        (self.at + 1..self.end()).filter_map(move |at| tree.element(at))
    }

    /// The first element in it that has this name.
    pub fn child(self, name: &str) -> Option<Self> {
        self.elements().find(|element| element.name() == name)
    }

    /// The first element within it, at any depth, that has this name.
    pub fn descendant(self, name: &str) -> Option<Self> {
        self.descendants().find(|element| element.name() == name)
    }

    /// Whether words stand in it beside its elements.
    pub fn has_words(self) -> bool {
        self.children().any(|child| matches!(child, Child::Text(text) if !text.trim().is_empty()))
    }

    /// All text in it, as it is.
    pub fn raw_text(self) -> String {
        let nodes = &self.tree.nodes[self.at + 1..self.end()];
        nodes.iter().filter(|node| node.name == TEXT).map(|node| &self.tree.text[node.from as usize..node.to as usize]).collect()
    }

    /// All text in it in one line; `None` if it has no words.
    pub fn words(self) -> Option<String> {
        Some(crate::markdown::one_line(&self.raw_text())).filter(|text| !text.is_empty())
    }
}

struct Builder {
    tree: Tree,
    /// The elements that are open.
    open: Vec<usize>,
    names: HashMap<String, u32>,
    /// The entities that the file declares; `None` for those of other files.
    entities: HashMap<String, Option<Rc<str>>>,
    expanded: u64,
    allowed: u64,
    size: u64,
    /// Whether the last node is a text that the next text continues.
    joins: bool,
    /// Entities that are not known.
    skipped: BTreeSet<String>,
}

impl Builder {
    /// Reads a document, or the text of an entity within `entities` others.
    fn read(&mut self, source: &str, entities: u32) -> Result<(), Failure> {
        let mut reader = Reader::from_str(source);
        reader.config_mut().allow_dangling_amp = true;
        let opened = self.open.len();
        loop {
            let event = reader.read_event().map_err(|error| invalid(source, reader.error_position(), &error))?;
            match event {
                Event::Start(start) => self.start(&start).map_err(|failure| at_line(failure, source, reader.buffer_position()))?,
                Event::Empty(start) => {
                    self.start(&start).map_err(|failure| at_line(failure, source, reader.buffer_position()))?;
                    self.end();
                }
                Event::End(_) => self.end(),
                Event::Text(text) => self.text(&text).map_err(|failure| at_line(failure, source, reader.buffer_position()))?,
                Event::CData(text) => self.text(&text)?,
                Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                    Ok(Some(character)) => self.text(character.encode_utf8(&mut [0; 4]))?,
                    Ok(None) => self.reference(&reference, entities)?,
                    Err(error) => return Err(invalid(source, reader.buffer_position(), &error)),
                },
                Event::DocType(declaration) if entities == 0 => self.declarations(&declaration),
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) | Event::DocType(_) => {}
                Event::Eof => break,
            }
        }
        match self.open.get(opened..).and_then(|open| open.last()) {
            Some(open) => {
                let name = Element { tree: &self.tree, at: *open }.name();
                Err(Failure::invalid("XML document", format!("it ends within the element {name}; it may be cut off, so fetch it again")))
            }
            None => Ok(()),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), Failure> {
        if self.open.is_empty() && !self.tree.nodes.is_empty() {
            return Err(Failure::invalid("XML document", "it has a second outermost element"));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(too_large("elements within one another", MAX_DEPTH, "the depth of elements"));
        }
        let name = self.name(start.name().as_ref());
        let from = index(self.tree.attributes.len())?;
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| Failure::invalid("XML document", error))?;
            let begin = index(self.tree.text.len())?;
            let value: &str = &attribute.value;
            self.value(value, 0)?;
            let name = self.name(attribute.key.as_ref());
            self.tree.attributes.push(Attribute { name, from: begin, to: index(self.tree.text.len())? });
        }
        self.open.push(self.tree.nodes.len());
        self.joins = false;
        self.node(Node { name, end: 0, from, to: index(self.tree.attributes.len())? })
    }

    fn end(&mut self) {
        self.joins = false;
        if let Some(open) = self.open.pop() {
            self.tree.nodes[open].end = self.tree.nodes.len() as u32;
        }
    }

    fn node(&mut self, node: Node) -> Result<(), Failure> {
        if self.tree.nodes.len() == MAX_NODES {
            return Err(too_large("elements and texts", MAX_NODES, "the parts of an XML document"));
        }
        self.tree.nodes.push(node);
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        if self.open.is_empty() {
            return match text.trim().trim_matches('\u{FEFF}').is_empty() {
                true => Ok(()),
                false => Err(Failure::invalid("XML document", "it has text outside of its outermost element")),
            };
        }
        if text.is_empty() {
            return Ok(());
        }
        let end = index(self.tree.nodes.len() + 1)?;
        // White space is kept once; the blank is the first byte of the text.
        if !self.joins && text.bytes().all(|byte| byte.is_ascii_whitespace()) && !text.contains("\n\n") {
            return self.node(Node { name: TEXT, end, from: 0, to: 1 });
        }
        let from = index(self.tree.text.len())?;
        self.tree.text.push_str(text);
        let to = index(self.tree.text.len())?;
        if let Some(last) = self.tree.nodes.last_mut().filter(|_| self.joins) {
            last.to = to;
            return Ok(());
        }
        self.joins = true;
        self.node(Node { name: TEXT, end, from, to })
    }

    /// The number of a name.
    fn name(&mut self, name: &str) -> u32 {
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        let number = self.tree.names.len() as u32;
        self.names.insert(name.to_owned(), number);
        self.tree.names.push((name.to_owned(), name.rfind(':').map_or(0, |colon| colon + 1)));
        number
    }

    /// Reads a reference to an entity in a text.
    fn reference(&mut self, name: &str, entities: u32) -> Result<(), Failure> {
        if let Some(text) = resolve_xml_entity(name) {
            return self.text(text);
        }
        match self.entity(name, entities)? {
            Some(value) => self.read(&value, entities + 1),
            None => match resolve_html5_entity(name) {
                Some(text) if !self.entities.contains_key(name) => self.text(text),
                _ => {
                    self.skip(name);
                    // One of another file is nothing, one that is not known stays as it is.
                    if self.entities.contains_key(name) { Ok(()) } else { self.text(&format!("&{name};")) }
                }
            },
        }
    }

    /// The text of an entity that the file declares. Each use counts.
    fn entity(&mut self, name: &str, entities: u32) -> Result<Option<Rc<str>>, Failure> {
        let Some(Some(value)) = self.entities.get(name) else { return Ok(None) };
        if entities == MAX_ENTITY_DEPTH {
            return Err(Failure::invalid(
                "XML document",
                format!("the entity &{name}; is within {MAX_ENTITY_DEPTH} others, or within itself"),
            ));
        }
        self.expanded += value.len() as u64 + 1;
        if self.expanded > self.allowed {
            return Err(Failure::Bomb { limit: self.allowed, ratio: self.allowed / self.size.max(1) });
        }
        Ok(Some(Rc::clone(value)))
    }

    /// Remembers an entity that is not known.
    fn skip(&mut self, name: &str) {
        if self.skipped.len() < 20 && name.len() < 100 {
            self.skipped.insert(name.to_owned());
        }
    }

    /// Adds the value of an attribute to the text.
    fn value(&mut self, mut value: &str, entities: u32) -> Result<(), Failure> {
        while let Some((before, rest)) = value.split_once('&') {
            self.tree.text.push_str(before);
            let Some((name, after)) = rest.split_once(';').filter(|(name, _)| name.len() < 100) else {
                self.tree.text.push('&');
                value = rest;
                continue;
            };
            value = after;
            let number = name.strip_prefix('#').map(|number| match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            });
            if let Some(number) = number {
                self.tree.text.push(number.ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
            } else if let Some(text) = resolve_xml_entity(name) {
                self.tree.text.push_str(text);
            } else if let Some(text) = self.entity(name, entities)? {
                self.value(&text, entities + 1)?;
            } else if let Some(text) = resolve_html5_entity(name) {
                self.tree.text.push_str(text);
            } else {
                self.skip(name);
                self.tree.text.push_str(&format!("&{name};"));
            }
        }
        self.tree.text.push_str(value);
        Ok(())
    }

    /// Reads the entities that a document type declaration has within. The first declaration of a name counts.
    fn declarations(&mut self, declaration: &str) {
        let Some((_, mut rest)) = declaration.split_once('[') else { return };
        while let Some(at) = rest.find("<!") {
            rest = &rest[at..];
            if let Some(comment) = rest.strip_prefix("<!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
                continue;
            }
            let Some(entity) = rest.strip_prefix("<!ENTITY") else {
                rest = &rest[2..];
                continue;
            };
            let entity = entity.trim_start();
            let name: &str = entity.split(|c: char| c.is_whitespace()).next().unwrap_or_default();
            let value = entity[name.len()..].trim_start();
            rest = value;
            let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''));
            let text = quote.and_then(|quote| value[1..].split_once(quote));
            if let Some((_, after)) = text {
                rest = after;
            }
            // Those of parameters are of the declaration alone.
            if name != "%" && !name.is_empty() {
                self.entities.entry(name.to_owned()).or_insert_with(|| text.map(|(text, _)| text.into()));
            }
        }
    }
}

fn index(number: usize) -> Result<u32, Failure> {
    u32::try_from(number)
        .ok()
        .filter(|number| *number != TEXT)
        .ok_or_else(|| too_large("bytes of text", TEXT as usize, "the text of an XML document"))
}

fn too_large(what: &'static str, limit: usize, name: &'static str) -> Failure {
    Failure::TooLarge { what, limit: limit as u64, name, advice: "divide it into several files" }
}

fn invalid(source: &str, at: u64, error: &quick_xml::Error) -> Failure {
    let error = error.to_string();
    let advice = if error.contains("before end of input") { "; it may be cut off, so fetch it again" } else { "" };
    at_line(Failure::invalid("XML document", format!("{error}{advice}")), source, at)
}

/// A failure, and where it is.
fn at_line(failure: Failure, source: &str, at: u64) -> Failure {
    match failure {
        Failure::Invalid { format, reason } if !reason.starts_with("line ") => {
            let before = &source.as_bytes()[..source.len().min(usize::try_from(at).unwrap_or(usize::MAX))];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            Failure::Invalid { format, reason: format!("line {line}: {reason}") }
        }
        other => other,
    }
}
