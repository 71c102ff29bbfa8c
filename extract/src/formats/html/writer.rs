//! Writes the text of a page as Markdown.

use std::collections::HashMap;

use super::content::{Content, property};
use super::line::Line;
use super::numbers::{self, Label, Sections};
use super::table::{Kind, Table};
use super::tree::{Id, Tree};
use crate::markdown::Text;
use crate::{Failure, Place};

/// Elements within one another that are written as such; below them only their words are.
const DEPTH: u32 = 600;
/// Characters of a paragraph that is a heading.
const HEADING: usize = 120;

/// Letters above the line after a number that says which one of several: `1st`.
const ORDINALS: [&str; 11] = ["st", "nd", "rd", "th", "er", "re", "e", "ème", "o", "os", "as"];

/// Elements that begin and end a block.
const BLOCKS: [&str; 42] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "center",
    "dd",
    "details",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "header",
    "hgroup",
    "hr",
    "html",
    "legend",
    "li",
    "main",
    "menu",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "ul",
    "caption",
    "optgroup",
    "search",
];

/// Writes a page.
pub(super) struct Writer<'t> {
    tree: &'t Tree,
    content: &'t Content<'t>,
    /// Pages by the ids of the elements where they begin.
    pages: &'t HashMap<String, u32>,
    text: Text,
    line: Line,
    sections: Sections,
    /// The item that the next block is, by depth and mark.
    item: Option<(usize, String)>,
    /// Lists within one another.
    lists: usize,
    /// Quotations within one another.
    quotes: usize,
    /// Whether blocks are words of one line: in a cell, a heading, a term.
    is_flat: bool,
    is_heading: bool,
    /// The level of the last heading that is an element.
    level: u8,
    /// The section that an empty anchor before a block names.
    anchor: Option<String>,
    /// Bytes of the line that are a term, whose meaning is yet to come.
    term: usize,
    /// Pictures of the paragraph, which come after it.
    pictures: Vec<String>,
    /// Whether `5 Storage` is a heading with a number.
    bare: bool,
}

impl<'t> Writer<'t> {
    /// `level` is that of the heading which the page is under.
    pub fn new(tree: &'t Tree, content: &'t Content<'t>, pages: &'t HashMap<String, u32>, level: u8, text: Text) -> Self {
        let mut writer = Self {
            tree,
            content,
            pages,
            text,
            line: Line::default(),
            sections: Sections::default(),
            item: None,
            lists: 0,
            quotes: 0,
            is_flat: false,
            is_heading: false,
            level,
            anchor: None,
            term: 0,
            pictures: Vec::new(),
            bare: false,
        };
        writer.bare = writer.has_bare_numbers();
        writer
    }

    /// Writes all of it.
    pub fn write(mut self) -> Result<Text, Failure> {
        self.walk(self.content.root, 0)?;
        self.flush()?;
        if self.sections.is_open() {
            self.text.mark(Place::Section(String::new()));
        }
        Ok(self.text)
    }

    /// Whether headings are numbered as in `1 Scope`, `2 Terms`.
    fn has_bare_numbers(&self) -> bool {
        let headings = self.content.nodes().filter(|id| heading_level(self.tree, *id).is_some());
        let mut found = [false; 3];
        for id in headings {
            let words = self.tree.words(id);
            let number = words.split_whitespace().next().and_then(|word| word.parse::<usize>().ok());
            if let Some(found) = number.and_then(|number| found.get_mut(number)) {
                *found = true;
            }
        }
        found[1] && found[2]
    }

    fn walk(&mut self, id: Id, depth: u32) -> Result<(), Failure> {
        if self.content.is_out(id) {
            return Ok(());
        }
        if let Some(words) = self.tree.text(id) {
            self.line.push(words);
            return Ok(());
        }
        if depth > DEPTH {
            let words = self.tree.words(id);
            self.line.push(&words);
            return Ok(());
        }
        if self.page_break(id) {
            return Ok(());
        }
        let name = self.tree.name(id);
        if let Some(level) = heading_level(self.tree, id) {
            return self.heading(id, level, depth);
        }
        if BLOCKS.contains(&name) { self.block(id, name, depth) } else { self.inline(id, name, depth) }
    }

    fn children(&mut self, id: Id, depth: u32) -> Result<(), Failure> {
        let tree = self.tree;
        tree.children(id).try_for_each(|child| self.walk(child, depth + 1))
    }

    /// A page of a book that begins here. Gives whether the element is nothing else.
    fn page_break(&mut self, id: Id) -> bool {
        let attribute = |name| self.tree.attribute(id, name);
        let is_break = attribute("epub:type").is_some_and(|kinds| kinds.split_whitespace().any(|kind| kind == "pagebreak"))
            || attribute("role") == Some("doc-pagebreak");
        let listed = [attribute("id"), attribute("name")].into_iter().flatten().find_map(|id| self.pages.get(id)).copied();
        let stated = || {
            let shown = [attribute("title"), attribute("aria-label"), attribute("value")].into_iter().flatten().map(str::to_owned);
            let mut all = shown.chain([self.tree.words(id)]).chain(attribute("id").map(str::to_owned));
            all.find_map(|text| page_number(&text))
        };
        if let Some(page) = listed.or_else(|| if is_break { stated() } else { None }) {
            self.line.mark(Place::Page(page));
        }
        is_break
    }

    fn block(&mut self, id: Id, name: &str, depth: u32) -> Result<(), Failure> {
        // The first paragraph of a meaning goes on after its term.
        if !(self.term > 0 && self.line.text.len() == self.term && matches!(name, "p" | "div")) {
            self.flush()?;
        }
        let saved = self.open_section(id, name);
        match name {
            "ul" | "ol" | "menu" | "dir" => self.list(id, name, depth)?,
            "li" => {
                // Outside of a list.
                self.item = Some((self.lists.saturating_sub(1), "-".to_owned()));
                self.children(id, depth)?;
            }
            "dl" => self.definitions(id, depth)?,
            "table" => self.table(id, depth)?,
            "figure" if !self.is_flat && self.is_picture(id) => {
                let from = self.text.len();
                self.children(id, depth)?;
                self.flush()?;
                self.text.set_apart(from);
            }
            "pre" => self.preformatted(id, depth)?,
            "blockquote" => {
                self.quotes += 1;
                self.children(id, depth)?;
                self.flush()?;
                self.quotes -= 1;
            }
            _ => self.children(id, depth)?,
        }
        self.flush()?;
        if let Some(saved) = saved {
            let place = self.sections.restore(saved);
            self.text.mark(place);
        }
        Ok(())
    }

    /// Begins the section that an element's id names. Gives the section that goes on after the element, if it ends with it.
    fn open_section(&mut self, id: Id, name: &str) -> Option<Option<numbers::Base>> {
        if self.is_flat {
            return None;
        }
        let found = self.section_of(id)?;
        if matches!(name, "section" | "article" | "div" | "li" | "fieldset" | "details" | "tbody") {
            let saved = self.sections.saved();
            // Of a heading in it, only a number ends it.
            let place = self.sections.begin(found, 0, true);
            self.text.mark(place);
            return Some(saved);
        }
        self.anchor = Some(found);
        None
    }

    /// The section that an element names by its id.
    fn section_of(&self, id: Id) -> Option<String> {
        let name = self.tree.attribute(id, "id").or_else(|| self.tree.attribute(id, "name").filter(|_| self.tree.name(id) == "a"))?;
        let is_seen = |number: &str| {
            let words = self.tree.beginning(id, 40);
            words.split(|c: char| !(c.is_alphanumeric() || c == '.')).any(|word| word.trim_end_matches('.') == number)
        };
        numbers::of_id(name, is_seen)
    }

    fn inline(&mut self, id: Id, name: &str, depth: u32) -> Result<(), Failure> {
        let tree = self.tree;
        match name {
            "br" => {
                if self.is_flat {
                    self.line.blank();
                } else if self.line.feed() {
                    self.flush()?;
                }
            }
            "wbr" => {}
            "img" => self.image(id)?,
            "svg" => {
                let title = tree.children(id).find(|id| tree.name(*id) == "title").map(|id| tree.words(id));
                if let Some(title) = title.or_else(|| tree.attribute(id, "aria-label").map(str::to_owned)) {
                    self.picture(&title)?;
                }
            }
            "math" => {
                let formula = formula(tree, id);
                self.line.push(&formula);
            }
            "b" | "strong" => {
                self.line.begin_bold();
                self.children(id, depth)?;
                self.line.end_bold();
            }
            "sup" | "sub" => self.script(id, name, depth)?,
            "q" => {
                self.line.push("“");
                self.children(id, depth)?;
                self.line.push("”");
            }
            // What is struck out no longer holds, and has to be seen as such.
            "del" | "s" | "strike" if !self.is_blocks(id) => {
                let before = self.line.text.len();
                self.line.push("~~");
                self.children(id, depth)?;
                // Two line breaks within begin another line.
                match self.line.text.get(before..) {
                    Some("~~") => self.line.truncate(before),
                    Some(struck) if struck.starts_with("~~") => self.line.push("~~"),
                    _ => {}
                }
            }
            "rt" => {
                let words = tree.words(id);
                if !words.trim().is_empty() {
                    self.line.push(&format!("({})", words.trim()));
                }
            }
            "rtc" | "label" | "meter" | "progress" => self.children(id, depth)?,
            "a" => {
                if let Some(found) = self.section_of(id).filter(|_| !self.is_flat) {
                    self.anchor = Some(found);
                }
                let is_sign = self.is_heading && matches!(tree.words(id).trim(), "¶" | "#" | "⚓" | "🔗" | "§");
                if !is_sign {
                    self.children(id, depth)?;
                }
            }
            _ => {
                let style = tree.attribute(id, "style").unwrap_or_default();
                let is_bold = property(style, "font-weight")
                    .is_some_and(|weight| matches!(weight, "bold" | "bolder" | "600" | "700" | "800" | "900"));
                if is_bold {
                    self.line.begin_bold();
                }
                self.children(id, depth)?;
                if is_bold {
                    self.line.end_bold();
                }
            }
        }
        Ok(())
    }

    /// Whether an element has blocks within.
    fn is_blocks(&self, id: Id) -> bool {
        self.tree.descendants(id).any(|id| BLOCKS.contains(&self.tree.name(id)))
    }

    /// Whether a figure holds pictures and their caption alone, and neither a table nor a text.
    fn is_picture(&self, id: Id) -> bool {
        !self.tree.descendants(id).any(|id| matches!(self.tree.name(id), "table" | "pre" | "blockquote" | "ul" | "ol" | "dl"))
    }

    /// Words above or below the line: `10³`, `x^(n+1)`, `CO2`; a reference to a note is `[1]`.
    fn script(&mut self, id: Id, name: &str, depth: u32) -> Result<(), Failure> {
        let before = self.line.text.len();
        self.children(id, depth)?;
        let Some(words) = self.line.text.get(before..).map(|words| words.trim().to_owned()) else { return Ok(()) };
        if words.is_empty() {
            return Ok(());
        }
        let is_reference = self.tree.find(id, "a").is_some() || self.tree.parent(id).is_some_and(|parent| self.tree.name(parent) == "a");
        let after_digit = self.line.text[..before].ends_with(|c: char| c.is_ascii_digit());
        let after_word = self.line.text[..before].ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | ']'));
        let is_short = words.chars().count() <= 20;
        let written = match name {
            _ if is_reference => match words.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'*') {
                true => format!("[{words}]"),
                false => return Ok(()),
            },
            "sub" if after_digit && words.starts_with(|c: char| c.is_ascii_digit()) => format!("_{words}"),
            "sup" if is_short => match words.chars().map(superior).collect::<Option<String>>() {
                Some(superior) => superior,
                None if words.chars().count() == 1 && (after_word || before == 0) && !(after_digit && words == "e") && words != "o" => {
                    format!("^{words}")
                }
                None if !after_word || after_digit && ORDINALS.contains(&&*words) => return Ok(()),
                None if words.chars().all(char::is_alphabetic) && words.chars().count() > 1 => return Ok(()),
                None => format!("^({words})"),
            },
            _ => return Ok(()),
        };
        self.line.truncate(before);
        self.line.push(&written);
        Ok(())
    }

    fn heading(&mut self, id: Id, level: u8, depth: u32) -> Result<(), Failure> {
        if self.is_flat {
            self.line.blank();
            self.children(id, depth)?;
            self.line.blank();
            return Ok(());
        }
        self.flush()?;
        let by_id = self.section_of(id).or_else(|| self.anchor.take());
        let mut line = self.flat(id, depth, true)?;
        if line.is_empty() {
            self.line.mark_as(line);
            return Ok(());
        }
        self.anchor = None;
        self.level = level;
        // The number of an item is that of its heading.
        if let Some((_, mark)) = self.item.take().filter(|(_, mark)| mark != "-") {
            line.text = format!("{mark} {}", line.text);
        }
        let label = numbers::label(&line.text, self.bare);
        let label = label.or_else(|| by_id.map(|name| Label { name, end: 0, is_named: true }));
        self.write_heading(level, label, &line)
    }

    fn write_heading(&mut self, level: u8, label: Option<Label>, line: &Line) -> Result<(), Failure> {
        if let Some(place) = self.sections.heading(level, label) {
            self.text.mark(place);
        }
        let before = usize::from(level.clamp(1, 6)) + 1;
        for (at, place) in &line.marks {
            self.text.mark_at(if *at == 0 { 0 } else { before + at }, place.clone());
        }
        self.text.heading(level, &line.text)
    }

    /// The words of an element in one line.
    fn flat(&mut self, id: Id, depth: u32, is_heading: bool) -> Result<Line, Failure> {
        let outer = std::mem::take(&mut self.line);
        let (flat, heading) = (self.is_flat, self.is_heading);
        (self.is_flat, self.is_heading) = (true, is_heading);
        let result = self.children(id, depth);
        (self.is_flat, self.is_heading) = (flat, heading);
        let line = std::mem::replace(&mut self.line, outer).trimmed();
        result.map(|()| line)
    }

    /// Ends a block. What is flat goes on after a blank.
    fn flush(&mut self) -> Result<(), Failure> {
        if self.is_flat {
            self.line.blank();
            return Ok(());
        }
        self.term = 0;
        let next = self.line.next();
        let mut line = std::mem::replace(&mut self.line, next).trimmed();
        if line.is_empty() {
            line.marks.into_iter().for_each(|(_, place)| self.text.mark(place));
        } else {
            let anchor = self.anchor.take();
            let item = self.item.take();
            match item {
                Some((depth, mark)) => self.write_item(depth, mark, anchor, line)?,
                None => {
                    let label = numbers::label(&line.text, false);
                    if let Some(label) = self.heading_label(label.as_ref(), &line) {
                        let level = self.sections.level_of(&label).unwrap_or(self.level + 1).min(6);
                        self.write_heading(level, Some(label), &line)?;
                    } else {
                        self.paragraph(anchor, label, &mut line)?;
                    }
                }
            }
        }
        for alternative in std::mem::take(&mut self.pictures) {
            let from = self.text.len();
            self.text.paragraph(&format!("[Picture: {alternative}]"))?;
            self.text.set_apart(from);
        }
        Ok(())
    }

    /// The number of a paragraph that is a heading: a number alone, or with a title that is bold.
    fn heading_label(&self, label: Option<&Label>, line: &Line) -> Option<Label> {
        let label = label.filter(|_| line.text.chars().count() <= HEADING && self.quotes == 0)?;
        let rest = line.text[label.end..].trim_start_matches(['.', ':', ' ', '\n']);
        let is_bold = line.bold >= line.text.len();
        let is_title = !rest.ends_with(['.', ';', ',', ':']) && !rest.starts_with(|c: char| c.is_lowercase() || c == ',');
        let is_divided = line.text[label.end..].starts_with(['.', ':', '\n', '–', '—']) || line.text[label.end..].starts_with(" – ");
        (label.is_named && (rest.is_empty() || is_title && (is_bold || is_divided && !rest.contains(". ")))
            || is_bold && is_title && !rest.is_empty())
        .then(|| label.clone())
    }

    fn paragraph(&mut self, anchor: Option<String>, label: Option<Label>, line: &mut Line) -> Result<(), Failure> {
        // `Art. 12. The seller ...`, with a bold number.
        let run_in = label.filter(|label| label.is_named && line.bold >= label.end);
        let place = match (run_in, anchor) {
            (Some(label), _) => Some(self.sections.begin(label.name, self.level + 1, true)),
            (None, Some(name)) => Some(self.sections.begin(name, self.level + 1, true)),
            (None, None) => None,
        };
        let place = place.or_else(|| self.sections.run_in(&line.text));
        let mark = numbers::item_mark(&line.text).map(|end| line.text[..end].to_owned());
        let place = place.or_else(|| self.sections.part(&mark?));
        if let Some(place) = place {
            self.text.mark(place);
        }
        let quoted = self.quotes > 0;
        let prefix = if quoted { "> " } else { "" };
        let mut before = prefix.len();
        let mut done = 0;
        for (at, place) in &line.marks {
            before += prefix.len() * line.text[done..*at].matches('\n').count();
            done = *at;
            self.text.mark_at(if *at == 0 { 0 } else { before + at }, place.clone());
        }
        let lines: Vec<String> = line.text.split('\n').map(|line| format!("{prefix}{line}")).collect();
        self.text.paragraph(&lines.join("\u{2028}"))
    }

    fn write_item(&mut self, depth: usize, mut mark: String, anchor: Option<String>, mut line: Line) -> Result<(), Failure> {
        let place = anchor.map(|name| self.sections.begin(name, self.level + 1, true)).or_else(|| self.sections.run_in(&line.text));
        // Words that bring their own mark.
        if let Some(label) = numbers::label(&line.text, false).filter(|label| mark == "-" && !label.is_named && label.name.contains('.')) {
            mark = line.text[..label.end].to_owned();
            line.cut(label.end);
        } else if let Some(end) = numbers::item_mark(&line.text) {
            let own = line.text[..end].to_owned();
            let same = |mark: &str| mark.trim_matches(['(', ')', '.']) == own.trim_matches(['(', ')', '.']);
            if mark == "-" || mark.is_empty() || same(&mark) {
                line.cut(end);
                mark = if own.contains(char::is_alphanumeric) { own } else { "-".to_owned() };
            }
        }
        if mark.is_empty() {
            mark = "-".to_owned();
        }
        let last = mark.rsplit(' ').next().unwrap_or_default().to_owned();
        if let Some(place) = place.or_else(|| self.sections.part(&last)) {
            self.text.mark(place);
        }
        let before = 3 * depth.min(8) + mark.len() + 1;
        for (at, place) in &line.marks {
            self.text.mark_at(if *at == 0 { 0 } else { before + at }, place.clone());
        }
        self.text.item(depth, &mark, &line.text)
    }

    fn list(&mut self, id: Id, name: &str, depth: u32) -> Result<(), Failure> {
        let tree = self.tree;
        let items: Vec<Id> = tree.children(id).filter(|id| !self.content.is_out(*id)).collect();
        let is_ordered = name == "ol";
        let count = items.iter().filter(|id| tree.name(**id) == "li").count();
        let is_reversed = tree.attribute(id, "reversed").is_some();
        let integer = |id: Id, name: &str| tree.attribute(id, name).and_then(|value| value.trim().parse::<i64>().ok());
        let mut number = integer(id, "start").unwrap_or(if is_reversed { i64::try_from(count).unwrap_or(1) } else { 1 });
        // An item that is a list has its mark before that of the first item.
        let mut prefix = self.item.take().map(|(_, mark)| mark).filter(|mark| mark != "-");
        if !self.is_flat {
            self.lists += 1;
        }
        for child in items {
            if tree.name(child) != "li" {
                self.walk(child, depth + 1)?;
                continue;
            }
            let style = |id: Id| {
                tree.attribute(id, "style").and_then(|style| property(style, "list-style-type").or_else(|| property(style, "list-style")))
            };
            let kind = style(child).or_else(|| tree.attribute(child, "type")).or_else(|| style(id)).or_else(|| tree.attribute(id, "type"));
            let mut mark = "-".to_owned();
            if is_ordered {
                number = integer(child, "value").unwrap_or(number);
                mark = numeral(number, kind.unwrap_or("1"));
                number = if is_reversed { number.saturating_sub(1) } else { number.saturating_add(1) };
            }
            if self.is_flat {
                if !self.line.is_empty() && !self.line.text.trim_end().ends_with([';', '.', ':', ',']) {
                    self.line.truncate(self.line.text.trim_end().len());
                    self.line.push(";");
                }
                self.line.blank();
                if is_ordered && !mark.is_empty() {
                    self.line.push(&format!("{mark} "));
                }
                self.children(child, depth + 1)?;
                self.line.blank();
                continue;
            }
            let mut at = self.lists - 1;
            if let Some(prefix) = prefix.take() {
                mark = if is_ordered { format!("{prefix} {mark}") } else { prefix };
                at = at.saturating_sub(1);
            }
            let saved = self.open_section(child, "li");
            self.item = Some((at, mark));
            if let Some(found) = self.page_of(child) {
                self.line.mark(Place::Page(found));
            }
            self.children(child, depth + 1)?;
            self.flush()?;
            self.item = None;
            if let Some(saved) = saved {
                let place = self.sections.restore(saved);
                self.text.mark(place);
            }
        }
        if !self.is_flat {
            self.lists -= 1;
        }
        Ok(())
    }

    fn page_of(&self, id: Id) -> Option<u32> {
        self.tree.attribute(id, "id").and_then(|id| self.pages.get(id)).copied()
    }

    /// Terms and what they mean: an item is `term: meaning`.
    fn definitions(&mut self, id: Id, depth: u32) -> Result<(), Failure> {
        let tree = self.tree;
        let mut parts = Vec::new();
        for child in tree.children(id) {
            if tree.name(child) == "div" { parts.extend(tree.children(child)) } else { parts.push(child) }
        }
        if self.is_flat {
            return parts.into_iter().try_for_each(|part| self.walk(part, depth + 1));
        }
        let mut terms: Vec<String> = Vec::new();
        let mut is_explained = false;
        for part in parts {
            match tree.name(part) {
                "dt" if !self.content.is_out(part) => {
                    if tree.descendants(part).any(|id| heading_level(tree, id).is_some()) {
                        self.children(part, depth + 1)?;
                        self.flush()?;
                        continue;
                    }
                    let line = self.flat(part, depth, false)?;
                    if is_explained {
                        terms.clear();
                        is_explained = false;
                    }
                    if !line.is_empty() {
                        terms.push(line.text.clone());
                    }
                    self.line.mark_as(line);
                }
                "dd" if !self.content.is_out(part) => {
                    self.item = Some((self.lists, "-".to_owned()));
                    if !terms.is_empty() {
                        let joined = terms.join(", ");
                        let joined = joined.trim_end_matches(':');
                        // A term that is the mark of an item.
                        if numbers::is_mark(joined) {
                            self.item = Some((self.lists, joined.to_owned()));
                        } else {
                            self.line.push(joined);
                            self.line.push(": ");
                            self.term = self.line.text.len();
                        }
                        is_explained = true;
                    }
                    self.lists += 1;
                    self.children(part, depth + 1)?;
                    self.flush()?;
                    self.lists -= 1;
                    self.item = None;
                    self.term = 0;
                }
                _ => self.walk(part, depth + 1)?,
            }
        }
        for term in terms.into_iter().filter(|_| !is_explained) {
            self.text.item(self.lists, "-", &term)?;
        }
        Ok(())
    }

    fn table(&mut self, id: Id, depth: u32) -> Result<(), Failure> {
        let (tree, content) = (self.tree, self.content);
        let table = Table::new(tree, id, |id| content.is_out(id), |id| tree.words(id));
        let captions: Vec<Id> = tree.children(id).filter(|id| tree.name(*id) == "caption").collect();
        for caption in captions {
            self.children(caption, depth + 1)?;
            self.flush()?;
        }
        if self.is_flat {
            for cell in table.cells() {
                self.line.blank();
                self.children(cell, depth + 1)?;
                self.line.blank();
            }
            return Ok(());
        }
        match table.kind {
            Kind::Layout => {
                for cell in table.cells() {
                    self.children(cell, depth + 1)?;
                    self.flush()?;
                }
            }
            Kind::Items => {
                for row in table.rows() {
                    let [mark, words] = row[..] else { continue };
                    let mark = self.flat(mark, depth, false)?;
                    self.item = Some((self.lists, mark.text.clone()));
                    self.line.mark_as(mark);
                    self.lists += 1;
                    self.children(words, depth + 1)?;
                    self.flush()?;
                    self.lists -= 1;
                    self.item = None;
                }
            }
            Kind::Pairs => {
                for row in table.rows() {
                    let mut cells = row.into_iter();
                    let (Some(name), value) = (cells.next(), cells.next()) else { continue };
                    let name = self.flat(name, depth, false)?;
                    let value = value.map(|value| self.flat(value, depth, false)).transpose()?;
                    let (mark, text) = match &value {
                        Some(value) if !name.is_empty() => ("-", format!("{}: {}", name.text.trim_end_matches(':'), value.text)),
                        Some(value) => ("-", value.text.clone()),
                        None => ("", name.text.clone()),
                    };
                    for (_, place) in name.marks.into_iter().chain(value.into_iter().flat_map(|value| value.marks)) {
                        self.text.mark(place);
                    }
                    if mark.is_empty() { self.text.paragraph(&text)? } else { self.text.item(self.lists, mark, &text)? }
                }
            }
            Kind::Data => {
                let mut marks = Vec::new();
                let mut failure = None;
                let words = |id: Id| match self.flat(id, depth, false) {
                    Ok(line) => {
                        marks.extend(line.marks);
                        line.text
                    }
                    Err(error) => {
                        failure = Some(error);
                        String::new()
                    }
                };
                let grid = table.grid(words, |id| is_bold(tree, id));
                if let Some(failure) = failure {
                    return Err(failure);
                }
                self.text.table(&grid)?;
                // A page that begins within a table begins after it: a row has one place.
                marks.into_iter().for_each(|(_, place)| self.text.mark(place));
            }
        }
        Ok(())
    }

    fn preformatted(&mut self, id: Id, depth: u32) -> Result<(), Failure> {
        if self.is_flat {
            return self.children(id, depth);
        }
        let mut text = String::new();
        for id in self.tree.descendants(id) {
            if let Some(words) = self.tree.text(id) {
                text.push_str(words);
            } else if self.tree.name(id) == "br" {
                text.push('\n');
            }
        }
        self.item = None;
        self.text.preformatted(&text)
    }

    fn image(&mut self, id: Id) -> Result<(), Failure> {
        let attribute = |name| self.tree.attribute(id, name).map(str::trim);
        if matches!(attribute("role"), Some("presentation" | "none")) {
            return Ok(());
        }
        let Some(alternative) = attribute("alt").filter(|text| !text.is_empty()) else { return Ok(()) };
        let class = attribute("class").unwrap_or_default().to_lowercase();
        let is_formula = ["tex", "math", "formula", "latex", "equation"].iter().any(|name| class.contains(name));
        let is_sign = !alternative.contains(char::is_alphanumeric);
        if is_formula || is_sign || self.is_flat {
            self.line.push(alternative);
            return Ok(());
        }
        let alternative = alternative.to_owned();
        self.picture(&alternative)
    }

    /// The words that stand for a picture: a paragraph after the one that it is in.
    fn picture(&mut self, alternative: &str) -> Result<(), Failure> {
        let alternative = crate::markdown::one_line(alternative);
        let is_name = alternative
            .rsplit_once('.')
            .is_some_and(|(_, end)| matches!(end.to_lowercase().as_str(), "jpg" | "jpeg" | "png" | "gif" | "svg" | "webp"));
        let says_nothing = matches!(alternative.to_lowercase().as_str(), "image" | "picture" | "photo" | "icon" | "logo" | "img" | "bild");
        if !alternative.contains(char::is_alphanumeric) || is_name || says_nothing {
            return Ok(());
        }
        if self.is_flat {
            self.line.push(&alternative);
            return Ok(());
        }
        self.pictures.push(alternative);
        if self.line.is_empty() && self.item.is_none() { self.flush() } else { Ok(()) }
    }
}

/// The level of a heading.
pub(super) fn heading_level(tree: &Tree, id: Id) -> Option<u8> {
    match tree.name(id).as_bytes() {
        [b'h', level @ b'1'..=b'6'] => Some(level - b'0'),
        _ if tree.attribute(id, "role") == Some("heading") => {
            Some(tree.attribute(id, "aria-level").and_then(|level| level.parse().ok()).unwrap_or(2).clamp(1, 6))
        }
        _ => None,
    }
}

/// Whether all words of an element are bold.
fn is_bold(tree: &Tree, id: Id) -> bool {
    let has_words = |id: Id| tree.text(id).is_some_and(|text| !text.trim().is_empty());
    let is_in_bold = |text: Id| {
        std::iter::successors(Some(text), |at| tree.parent(*at))
            .take_while(|at| *at != id)
            .any(|at| matches!(tree.name(at), "b" | "strong"))
    };
    let mut words = tree.descendants(id).filter(|id| has_words(*id)).peekable();
    words.peek().is_some() && words.all(is_in_bold)
}

/// The mark of an item of an ordered list; empty where the list shows none.
fn numeral(number: i64, kind: &str) -> String {
    let natural = u32::try_from(number).ok().filter(|number| *number > 0);
    let written = match (kind.split_whitespace().next().unwrap_or_default(), natural) {
        ("none", _) => return String::new(),
        ("a" | "lower-alpha" | "lower-latin", Some(number)) => numbers::letters(number),
        ("A" | "upper-alpha" | "upper-latin", Some(number)) => numbers::letters(number).to_uppercase(),
        ("i" | "lower-roman", Some(number)) => numbers::roman(number).to_lowercase(),
        ("I" | "upper-roman", Some(number)) => numbers::roman(number),
        _ => number.to_string(),
    };
    format!("{written}.")
}

/// The page that a text names: `12`, `Page 12`, `page_12`.
pub(in crate::formats) fn page_number(text: &str) -> Option<u32> {
    let digits = text.trim().trim_end_matches('.');
    let start = digits.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + digits[at..].chars().next().map_or(0, char::len_utf8));
    digits[start..].parse().ok().filter(|page| *page > 0)
}

/// A character above the line, where Unicode has it.
fn superior(c: char) -> Option<char> {
    Some(match c {
        '0' => '⁰',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4'..='9' => char::from_u32('⁴' as u32 + (c as u32 - '4' as u32))?,
        '+' => '⁺',
        '-' | '−' | '–' => '⁻',
        '(' => '⁽',
        ')' => '⁾',
        'n' => 'ⁿ',
        _ => return None,
    })
}

/// A formula in one line: as it is written in TeX where the page says that, else by its parts.
fn formula(tree: &Tree, id: Id) -> String {
    if let Some(tex) = tree.attribute(id, "alttext") {
        return tex.to_owned();
    }
    let is_tex =
        |id: &Id| tree.name(*id) == "annotation" && tree.attribute(*id, "encoding").is_some_and(|encoding| encoding.contains("tex"));
    if let Some(tex) = tree.descendants(id).find(is_tex) {
        return tree.words(tex).trim().to_owned();
    }
    let mut written = String::new();
    let mut next = tree.children(id).next();
    // What stands before the second child of an element.
    while let Some(at) = next {
        let is_second =
            tree.parent(at).is_some_and(|parent| tree.children(parent).filter(|id| tree.text(*id).is_none()).nth(1) == Some(at));
        let parent = tree.parent(at).map(|parent| tree.name(parent)).unwrap_or_default();
        match parent {
            "msup" | "mover" if is_second => written.push('^'),
            "msub" | "munder" if is_second => written.push('_'),
            "mfrac" if is_second => written.push('/'),
            _ => {}
        }
        if tree.name(at) == "msqrt" {
            written.push('√');
        }
        if let Some(words) = tree.text(at) {
            written.push_str(words.trim());
        }
        let below = tree.children(at).next().filter(|_| !tree.name(at).starts_with("annotation"));
        next = below.or_else(|| tree.after(at, id));
    }
    written
}
