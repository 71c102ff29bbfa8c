//! Packs for the tests, and a strict reader of the pages.
#![allow(dead_code)] // each test file uses its part of this

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mempack_format::{
    CodecSpec, Digest, Document, EmbedderIdentity, FieldColumn, FieldKind, MemoryShape, ModelIdentity, Origin, PackWriter,
};
use mempack_report::{ReportOptions, report};
use mempack_runtime::MappedPack;

/// A golden pack of the format.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../format-spec/tests/golden").join(name)
}

pub const GOLDEN: [&str; 7] = ["v1.0.mpk", "v1.1.mpk", "v1.2.mpk", "v1.2-budget.mpk", "v1.3.mpk", "v1.4.mpk", "v1.5.mpk"];

/// All references of a pack.
pub fn all() -> ReportOptions {
    ReportOptions { references: usize::MAX, ..ReportOptions::default() }
}

/// A node of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Open(String, BTreeMap<String, String>),
    Close(String),
    Text(String),
}

/// The elements that a report has, and those that have no end.
const ELEMENTS: &str = "html head meta title style body a header h1 h2 h3 nav ul li main section p strong div table caption thead tbody tr th td span bdi dl dt \
     dd article details summary q em code";
const VOID: [&str; 1] = ["meta"];

/// Text without its entities. Anything that a report does not write is a panic.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out += &rest[..at];
        rest = &rest[at..];
        let known = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&#39;", '\'')];
        let (entity, c) = known.iter().find(|(entity, _)| rest.starts_with(entity)).unwrap_or_else(|| panic!("no entity: {rest:.40}"));
        out.push(*c);
        rest = &rest[entity.len()..];
    }
    assert!(!rest.contains(['>', '"']) && !out.contains('\0'), "unescaped: {text}");
    out + rest
}

/// The nodes of a page: every element is known and closed, every attribute has a value in quotes.
pub fn nodes(page: &str) -> Vec<Node> {
    let mut rest = page.strip_prefix("<!doctype html>").expect("a page of HTML");
    let (mut nodes, mut open): (Vec<Node>, Vec<String>) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let at = rest.find('<').unwrap_or(rest.len());
        if at > 0 {
            let text = &rest[..at];
            let is_style = open.last().is_some_and(|name| name == "style");
            nodes.push(Node::Text(if is_style { text.to_owned() } else { plain(text) }));
            rest = &rest[at..];
            continue;
        }
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed in order");
            nodes.push(Node::Close(name.to_owned()));
            continue;
        }
        let (name, mut left) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(ELEMENTS.split_whitespace().any(|known| known == name), "no element of a report: {tag}");
        let mut attributes = BTreeMap::new();
        while !left.is_empty() {
            let (attribute, behind) = left.split_once("=\"").unwrap_or_else(|| panic!("an attribute in quotes: {left}"));
            assert!(attribute.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{attribute}");
            assert!(!attribute.starts_with("on") && attribute != "src", "{attribute}");
            let (value, behind) = behind.split_once('"').expect("the quotes end");
            assert!(attributes.insert(attribute.to_owned(), plain(value)).is_none(), "{attribute} is there twice");
            left = behind.trim_start();
        }
        nodes.push(Node::Open(name.to_owned(), attributes));
        if !VOID.contains(&name) {
            open.push(name.to_owned());
        }
    }
    assert_eq!(open, [""; 0], "not closed");
    nodes
}

/// The page without its texts: elements, and the names of their attributes.
pub fn skeleton(page: &str) -> Vec<String> {
    let shape = |node: Node| match node {
        Node::Open(name, attributes) => Some(format!("<{name} {:?}>", attributes.keys().collect::<Vec<_>>())),
        Node::Close(name) => Some(format!("</{name}>")),
        Node::Text(_) => None,
    };
    nodes(page).into_iter().filter_map(shape).collect()
}

/// The part of a page inside the element with an id.
pub fn inside<'n>(nodes: &'n [Node], id: &str) -> &'n [Node] {
    let is_it = |node: &Node| matches!(node, Node::Open(_, attributes) if attributes.get("id").is_some_and(|found| found == id));
    let start = nodes.iter().position(is_it).unwrap_or_else(|| panic!("nothing has the id {id}"));
    let mut depth = 0;
    for (at, node) in nodes.iter().enumerate().skip(start) {
        match node {
            Node::Open(name, _) if !VOID.contains(&name.as_str()) => depth += 1,
            Node::Close(_) => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &nodes[start..=at];
        }
    }
    panic!("{id} does not end")
}

/// The text of nodes.
pub fn text(nodes: &[Node]) -> String {
    nodes.iter().filter_map(|node| if let Node::Text(text) = node { Some(text.as_str()) } else { None }).collect()
}

/// The elements of a name and class, with their nodes.
pub fn elements<'n>(nodes: &'n [Node], wanted: &str, class: Option<&str>) -> Vec<&'n [Node]> {
    let mut found = Vec::new();
    for (start, node) in nodes.iter().enumerate() {
        let Node::Open(name, attributes) = node else { continue };
        let classes = attributes.get("class").map_or("", String::as_str);
        if name != wanted || class.is_some_and(|class| !classes.split(' ').any(|one| one == class)) {
            continue;
        }
        let mut depth = 0;
        let end = nodes[start..].iter().position(|node| {
            match node {
                Node::Open(..) => depth += 1,
                Node::Close(_) => depth -= 1,
                Node::Text(_) => {}
            }
            depth == 0
        });
        found.push(&nodes[start..=start + end.expect("elements end")]);
    }
    found
}

/// An attribute of the first node.
pub fn attribute<'n>(nodes: &'n [Node], name: &str) -> &'n str {
    match nodes.first() {
        Some(Node::Open(_, attributes)) => attributes.get(name).map_or("", String::as_str),
        _ => "",
    }
}

/// The rows of the first table of nodes, without the headers: the texts of their cells.
pub fn rows(nodes: &[Node]) -> Vec<Vec<String>> {
    let table = elements(nodes, "table", None).into_iter().next().expect("a table");
    assert!(!text(elements(table, "caption", None)[0]).is_empty(), "a table has a caption");
    let headers = elements(elements(table, "thead", None)[0], "th", None);
    assert!(headers.iter().all(|header| attribute(header, "scope") == "col" && !text(header).is_empty()));
    let body = elements(table, "tbody", None)[0];
    let cells = |row: &[Node]| {
        let cells: Vec<&[Node]> = row
            .iter()
            .enumerate()
            .filter(|(_, node)| matches!(node, Node::Open(name, _) if name == "td" || name == "th"))
            .map(|(at, _)| &row[at..])
            .collect();
        assert_eq!(cells.len(), headers.len(), "a row has a cell for each header");
        let end = |cell: &&[Node]| cell.iter().position(|node| matches!(node, Node::Close(name) if name == "td" || name == "th"));
        cells.iter().map(|cell| text(&cell[..end(cell).expect("cells end")])).collect::<Vec<_>>()
    };
    elements(body, "tr", None).into_iter().map(cells).collect()
}

/// `1,234` as a number.
pub fn number(text: &str) -> u64 {
    text.replace(',', "").parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

/// What a pack of the tests says.
pub struct Words<'a> {
    pub file: &'a str,
    pub model: &'a str,
    pub template: &'a str,
    pub tokenizer: Digest,
    pub document: [&'a str; 3],
    pub field: [&'a str; 2],
    /// The references: text, and number of tokens.
    pub references: &'a [(&'a str, u16)],
}

impl Words<'_> {
    /// Writes the pack into a folder. It has two documents and a field; the memory of reference r keeps token 0 at every head, and r at one.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let target = folder.join(format!("{}.mpk", self.file));
        let shape = MemoryShape::new(2, 1, 2, 1);
        let mut writer = PackWriter::create(&target, shape.clone(), 2).unwrap();
        writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes()).unwrap();
        let [id, title, source] = self.document.map(str::to_owned);
        let named = |number| Document { id: format!("{id}{number}"), title: title.clone(), source: source.clone(), ..Document::default() };
        let documents = [named(0), named(1)];
        for document in &documents {
            writer.push_document(document).unwrap();
        }
        for (number, (text, tokens)) in self.references.iter().enumerate() {
            let origin = |document| Origin { document, start: 7, end: 7 + text.len() as u64 };
            writer.push_reference(&Digest::of(&number.to_le_bytes()), *tokens, text, &[origin(0), origin(1)]).unwrap();
            let second = u8::try_from(number).unwrap().min(tokens.saturating_sub(1) as u8);
            let of_head = |second: u8| if second > 0 { [0, second] } else { [0, 0xff] };
            let positions = [of_head(second), of_head(0)].concat();
            writer.push_memory(&[positions, vec![0; 2 * 4 * 4]].concat()).unwrap();
            let angle = number as f32 * 0.3;
            writer.push_embedding(&[angle.cos(), angle.sin()]).unwrap();
        }
        let [field, value] = self.field.map(str::to_owned);
        let column =
            FieldColumn { name: field, kind: FieldKind::Text, list: false, values: vec![value], ends: vec![1, 2], codes: vec![0, 0] };
        writer.set_metadata(&[column]).unwrap();
        let digest = Digest::of(b"words");
        let model = ModelIdentity {
            name: self.model.to_owned(),
            weights: digest,
            adapter: None,
            config: digest,
            tokenizer: self.tokenizer,
            layers: 4,
            first_memory_layer: 1,
            query_heads: 2,
            shape,
            rope_base: 1e4,
            prefix_ids: vec![1],
            reference_length: 128,
            reference_template: self.template.to_owned(),
            selection: self.model.to_owned(),
        };
        let embedder =
            EmbedderIdentity { name: self.model.to_owned(), digest, dim: 2, metric: "cosine".into(), max_tokens: 256, prompts: None };
        writer.finish(model, "f32", embedder, self.model).unwrap();
        target
    }
}

/// The page of the pack in a file.
pub fn page(path: &Path, options: &ReportOptions) -> String {
    report(&MappedPack::open(path).unwrap(), options).unwrap()
}

/// A copy of a file with other bytes.
pub fn with_bytes(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("changed.mpk");
    // Another file, and not other bytes of one that may be mapped.
    let _ = fs::remove_file(&path);
    fs::write(&path, bytes).unwrap();
    path
}
