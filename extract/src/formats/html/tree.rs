//! The tree of a page, as the parser of WHATWG builds it: bounded in depth, size and time.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use html5ever::interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use html5ever::tree_builder::TreeBuilder;
use html5ever::{Attribute, LocalName, QualName, TokenizerResult};

use crate::Failure;

/// Elements within one another, below which those of a line (`span`, `font`) are left out, and their words kept.
const LINE_DEPTH: u32 = 200;
/// Elements within one another, below which all are left out, and their words kept.
const DEPTH: u32 = 400;
/// Elements and texts of a page.
const NODES: usize = 6_000_000;
/// Bytes that the parser reads between two looks at the limits.
const CHUNK: usize = 4 << 10;
/// What the parser may take, and what more for each MiB. A page takes a hundredth of it; attributes by the ten thousand take squares of
/// their number.
const TIME: Duration = Duration::from_secs(20);
const TIME_OF_MIB: Duration = Duration::from_secs(2);

/// Attributes that are kept.
const ATTRIBUTES: [&str; 39] = [
    "alt",
    "alttext",
    "aria-hidden",
    "aria-label",
    "aria-level",
    "charset",
    "class",
    "colspan",
    "content",
    "datetime",
    "encoding",
    "epub:type",
    "height",
    "hidden",
    "href",
    "http-equiv",
    "id",
    "itemprop",
    "lang",
    "name",
    "property",
    "pubdate",
    "rel",
    "reversed",
    "role",
    "rowspan",
    "scope",
    "src",
    "start",
    "style",
    "title",
    "type",
    "value",
    "width",
    "xml:lang",
    "open",
    "summary",
    "data-page",
    "xmlns",
];

/// Elements that have neither an end tag nor content.
const VOID: [&str; 14] = ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

/// Elements of a line: without them nothing but emphasis is lost.
const LINE: [&str; 20] = [
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "em", "font", "i", "ins", "mark", "q", "small", "span", "strong", "time", "tt",
    "u",
];

/// Elements that are opened again in the next paragraph, if they did not end.
const FORMATS: [&str; 11] = ["b", "big", "code", "em", "font", "i", "small", "strike", "strong", "tt", "u"];

/// Elements whose content is no markup; it would be read as markup without them.
const RAW: [&str; 10] = ["iframe", "noembed", "noframes", "noscript", "plaintext", "script", "style", "textarea", "title", "xmp"];

/// A node by its number; [`ROOT`] is the document.
pub(super) type Id = u32;
/// The document.
pub(super) const ROOT: Id = 0;
const NONE: Id = Id::MAX;

/// A page.
pub(super) struct Tree {
    nodes: Vec<Node>,
}

struct Node {
    parent: Id,
    first: Id,
    last: Id,
    previous: Id,
    next: Id,
    depth: u32,
    data: Data,
}

enum Data {
    /// The document, and what is no text: comments.
    Other,
    Element(LocalName, Vec<(LocalName, StrTendril)>),
    Text(StrTendril),
}

impl Tree {
    /// The tree of a page. In `xhtml`, `<a/>` has an end.
    ///
    /// # Errors
    /// [`Failure::TooLarge`] by the number of elements or the time.
    pub fn parse(text: &str, xhtml: bool) -> Result<Self, Failure> {
        Self::parse_within(text, xhtml, TIME)
    }

    fn parse_within(text: &str, xhtml: bool, time: Duration) -> Result<Self, Failure> {
        let tree = Self { nodes: Vec::new() };
        let sink = Builder { tree: RefCell::new(tree), depth: Cell::new(0), document: QualName::new(None, "".into(), "".into()).into() };
        sink.create(Data::Other);
        let filter =
            Filter { builder: TreeBuilder::new(sink, Default::default()), xhtml, dropped: RefCell::default(), formats: Cell::new(0) };
        let tokenizer = Tokenizer::new(filter, TokenizerOpts::default());
        let queue = BufferQueue::default();
        let until = Instant::now() + time + TIME_OF_MIB * u32::try_from(text.len() >> 20).unwrap_or(u32::MAX);
        let mut rest = text;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(rest.floor_char_boundary(CHUNK));
            rest = after;
            queue.push_back(StrTendril::from_slice(chunk));
            while !matches!(tokenizer.feed(&queue), TokenizerResult::Done) {}
            if tokenizer.sink.builder.sink.tree.borrow().nodes.len() > NODES {
                return Err(Failure::TooLarge {
                    what: "elements",
                    limit: NODES as u64,
                    name: "a page",
                    advice: "divide it into several pages",
                });
            }
            if Instant::now() > until {
                return Err(Failure::invalid("HTML page", "its tags take too long to read, as those of a page that is made to do so"));
            }
        }
        tokenizer.end();
        Ok(tokenizer.sink.builder.sink.finish())
    }

    /// How many nodes there are; each is below it.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    fn link(id: Id) -> Option<Id> {
        (id != NONE).then_some(id)
    }

    /// The name of an element in lower case; empty for what is none.
    pub fn name(&self, id: Id) -> &str {
        match &self.node(id).data {
            Data::Element(name, _) => name,
            _ => "",
        }
    }

    /// The words of a text.
    pub fn text(&self, id: Id) -> Option<&str> {
        match &self.node(id).data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of an attribute, of those that are kept.
    pub fn attribute(&self, id: Id, name: &str) -> Option<&str> {
        debug_assert!(ATTRIBUTES.contains(&name), "{name}");
        match &self.node(id).data {
            Data::Element(_, attributes) => attributes.iter().find(|(found, _)| &**found == name).map(|(_, value)| &**value),
            _ => None,
        }
    }

    /// What a node is in.
    pub fn parent(&self, id: Id) -> Option<Id> {
        Self::link(self.node(id).parent)
    }

    /// What is right within a node.
    pub fn children(&self, id: Id) -> impl Iterator<Item = Id> + '_ {
        std::iter::successors(Self::link(self.node(id).first), |id| Self::link(self.node(*id).next))
    }

    /// What is within a node, each before what is in it.
    pub fn descendants(&self, id: Id) -> impl Iterator<Item = Id> + '_ {
        std::iter::successors(Some(id), move |at| {
            let below = Self::link(self.node(*at).first);
            below.or_else(|| self.after(*at, id))
        })
        .skip(1)
    }

    /// What comes after a node and all that is in it, within `root`.
    pub fn after(&self, mut at: Id, root: Id) -> Option<Id> {
        while at != root {
            if let Some(next) = Self::link(self.node(at).next) {
                return Some(next);
            }
            at = self.parent(at)?;
        }
        None
    }

    /// The first element of a name within a node.
    pub fn find(&self, id: Id, name: &str) -> Option<Id> {
        self.descendants(id).find(|id| self.name(*id) == name)
    }

    /// The first words within a node, up to a text that has `characters` or more with those before it.
    pub fn beginning(&self, id: Id, characters: usize) -> String {
        let mut words = String::new();
        for text in self.descendants(id).filter_map(|id| self.text(id)) {
            words.push_str(text.trim_start_matches('\n'));
            if words.trim_start().len() >= characters {
                break;
            }
        }
        words.trim_start().chars().take(characters).collect()
    }

    /// All words within a node.
    pub fn words(&self, id: Id) -> String {
        std::iter::once(id).chain(self.descendants(id)).filter_map(|id| self.text(id)).collect()
    }
}

/// A node as the parser holds it.
#[derive(Clone)]
struct Handle {
    id: Id,
    name: Rc<QualName>,
}

/// Builds the tree.
struct Builder {
    tree: RefCell<Tree>,
    /// How deep the last node went in.
    depth: Cell<u32>,
    document: Rc<QualName>,
}

impl Builder {
    fn create(&self, data: Data) -> Id {
        let nodes = &mut self.tree.borrow_mut().nodes;
        let id = Id::try_from(nodes.len()).unwrap_or(NONE);
        nodes.push(Node { parent: NONE, first: NONE, last: NONE, previous: NONE, next: NONE, depth: 0, data });
        id
    }

    /// Puts a node, or a text, into `parent` before `next`; as the last one if that is `NONE`.
    fn insert(&self, parent: Id, next: Id, child: NodeOrText<Handle>) {
        let at = |id: Id| id as usize;
        let depth = self.tree.borrow().node(parent).depth + 1;
        self.depth.set(depth);
        let id = match child {
            NodeOrText::AppendNode(node) => node.id,
            NodeOrText::AppendText(text) => {
                let mut tree = self.tree.borrow_mut();
                let previous = if next == NONE { tree.node(parent).last } else { tree.node(next).previous };
                if previous != NONE
                    && let Data::Text(before) = &mut tree.nodes[at(previous)].data
                {
                    before.push_tendril(&text);
                    return;
                }
                drop(tree);
                self.create(Data::Text(text))
            }
        };
        self.detach(id);
        let nodes = &mut self.tree.borrow_mut().nodes;
        let previous = if next == NONE { nodes[at(parent)].last } else { nodes[at(next)].previous };
        let node = &mut nodes[at(id)];
        (node.parent, node.previous, node.next, node.depth) = (parent, previous, next, depth);
        match previous {
            NONE => nodes[at(parent)].first = id,
            previous => nodes[at(previous)].next = id,
        }
        match next {
            NONE => nodes[at(parent)].last = id,
            next => nodes[at(next)].previous = id,
        }
    }

    /// Takes a node out of what it is in.
    fn detach(&self, id: Id) {
        let nodes = &mut self.tree.borrow_mut().nodes;
        let node = &mut nodes[id as usize];
        let (parent, previous, next) = (node.parent, node.previous, node.next);
        (node.parent, node.previous, node.next) = (NONE, NONE, NONE);
        if parent == NONE {
            return;
        }
        match previous {
            NONE => nodes[parent as usize].first = next,
            previous => nodes[previous as usize].next = next,
        }
        match next {
            NONE => nodes[parent as usize].last = previous,
            next => nodes[next as usize].previous = previous,
        }
    }
}

/// The attributes that are kept.
fn kept(attributes: Vec<Attribute>) -> Vec<(LocalName, StrTendril)> {
    let known = attributes.into_iter().filter(|attribute| ATTRIBUTES.contains(&&*attribute.name.local));
    known.map(|attribute| (attribute.name.local, attribute.value)).collect()
}

impl TreeSink for Builder {
    type Handle = Handle;
    type Output = Tree;
    type ElemName<'a> = &'a QualName;

    fn finish(self) -> Tree {
        self.tree.into_inner()
    }

    fn parse_error(&self, _message: Cow<'static, str>) {}

    fn get_document(&self) -> Handle {
        Handle { id: ROOT, name: Rc::clone(&self.document) }
    }

    fn elem_name<'a>(&'a self, target: &'a Handle) -> &'a QualName {
        &target.name
    }

    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, _flags: ElementFlags) -> Handle {
        let id = self.create(Data::Element(name.local.clone(), kept(attributes)));
        Handle { id, name: name.into() }
    }

    fn create_comment(&self, _text: StrTendril) -> Handle {
        Handle { id: self.create(Data::Other), name: Rc::clone(&self.document) }
    }

    fn create_pi(&self, _target: StrTendril, _data: StrTendril) -> Handle {
        Handle { id: self.create(Data::Other), name: Rc::clone(&self.document) }
    }

    fn append(&self, parent: &Handle, child: NodeOrText<Handle>) {
        self.insert(parent.id, NONE, child);
    }

    fn append_based_on_parent_node(&self, element: &Handle, previous: &Handle, child: NodeOrText<Handle>) {
        let has_parent = self.tree.borrow().parent(element.id).is_some();
        if has_parent { self.append_before_sibling(element, child) } else { self.append(previous, child) }
    }

    fn append_doctype_to_document(&self, _name: StrTendril, _public: StrTendril, _system: StrTendril) {}

    // What is in a template is left out, wherever it is.
    fn get_template_contents(&self, target: &Handle) -> Handle {
        target.clone()
    }

    fn same_node(&self, a: &Handle, b: &Handle) -> bool {
        a.id == b.id
    }

    fn set_quirks_mode(&self, _mode: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &Handle, child: NodeOrText<Handle>) {
        if let NodeOrText::AppendNode(node) = &child {
            self.detach(node.id);
        }
        let parent = self.tree.borrow().parent(sibling.id);
        if let Some(parent) = parent {
            self.insert(parent, sibling.id, child);
        }
    }

    fn add_attrs_if_missing(&self, target: &Handle, attributes: Vec<Attribute>) {
        if let Data::Element(_, found) = &mut self.tree.borrow_mut().nodes[target.id as usize].data {
            for (name, value) in kept(attributes) {
                if found.iter().all(|(known, _)| *known != name) {
                    found.push((name, value));
                }
            }
        }
    }

    fn remove_from_parent(&self, target: &Handle) {
        self.detach(target.id);
    }

    fn reparent_children(&self, node: &Handle, parent: &Handle) {
        loop {
            let first = self.tree.borrow().node(node.id).first;
            if first == NONE {
                return;
            }
            self.insert(parent.id, NONE, NodeOrText::AppendNode(Handle { id: first, name: Rc::clone(&self.document) }));
        }
    }
}

/// Leaves out the tags of elements that are too deep, and ends those of XHTML that end themselves.
struct Filter {
    builder: TreeBuilder<Handle, Builder>,
    xhtml: bool,
    /// Elements that are left out, and that did not end.
    dropped: RefCell<Vec<LocalName>>,
    /// Elements of [`FORMATS`] that did not end.
    formats: Cell<u32>,
}

impl TokenSink for Filter {
    type Handle = Handle;

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<Handle> {
        let Token::TagToken(mut tag) = token else { return self.builder.process_token(token, line) };
        let name = &*tag.name;
        if tag.kind == TagKind::EndTag {
            let mut dropped = self.dropped.borrow_mut();
            if dropped.pop_if(|last| *last == tag.name).is_some() {
                return TokenSinkResult::Continue;
            }
            drop(dropped);
            if FORMATS.contains(&name) {
                self.formats.set(self.formats.get().saturating_sub(1));
            }
            return self.builder.process_token(Token::TagToken(tag), line);
        }
        let depth = self.builder.sink.depth.get();
        let is_void = VOID.contains(&name);
        let is_format = FORMATS.contains(&name);
        let is_deep = depth >= DEPTH || depth >= LINE_DEPTH && LINE.contains(&name) || is_format && self.formats.get() >= LINE_DEPTH;
        if is_deep && !is_void && !RAW.contains(&name) {
            if !(self.xhtml && tag.self_closing) {
                self.dropped.borrow_mut().push(tag.name);
            }
            return TokenSinkResult::Continue;
        }
        if is_format && !(self.xhtml && tag.self_closing) {
            self.formats.set(self.formats.get() + 1);
        }
        if self.xhtml && tag.self_closing && !is_void {
            tag.self_closing = false;
            let end = Tag { kind: TagKind::EndTag, attrs: Vec::new(), ..tag.clone() };
            // The content of `<title/>` would be the rest of the page.
            let _ = self.builder.process_token(Token::TagToken(tag), line);
            return self.builder.process_token(Token::TagToken(end), line);
        }
        self.builder.process_token(Token::TagToken(tag), line)
    }

    fn end(&self) {
        self.builder.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder.adjusted_current_node_present_but_not_in_html_namespace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(tree: &Tree) -> usize {
        let depth = |id| std::iter::successors(Some(id), |id| tree.parent(*id)).count();
        tree.descendants(ROOT).map(depth).max().unwrap()
    }

    #[test]
    fn elements_within_one_another_are_bounded() {
        for tag in ["div", "b", "table><tr><td", "ul><li", "svg", "a><p", "font size=1", "section><b"] {
            let tree = Tree::parse(&format!("{}x", format!("<{tag}>").repeat(20_000)), false).unwrap();
            assert!(depth(&tree) < 2 * DEPTH as usize, "{tag}: {}", depth(&tree));
            assert_eq!(tree.words(ROOT), "x");
        }
        // Fonts that never end are opened again in each paragraph.
        let fonts: String = (0..3000).map(|size| format!("<p><font size={size}>x")).collect();
        let tree = Tree::parse(&fonts, false).unwrap();
        assert_eq!(tree.descendants(ROOT).filter(|id| tree.name(*id) == "p").count(), 3000);
    }

    #[test]
    fn time_is_bounded() {
        let attributes: String = (0..50_000).map(|number| format!(" a{number}")).collect();
        assert!(Tree::parse_within(&format!("<a{attributes}>"), false, Duration::from_millis(1)).is_err());
    }

    #[test]
    fn elements_of_xhtml_may_end_themselves() {
        let page = "<html><head><title/><script src='a'/></head><body><p>a<span id='p1'/>b</p><div/>c</body></html>";
        let tree = Tree::parse(page, true).unwrap();
        assert_eq!(tree.words(ROOT), "abc");
        let span = tree.find(ROOT, "span").unwrap();
        assert_eq!((tree.words(span).as_str(), tree.attribute(span, "id")), ("", Some("p1")));
    }
}
