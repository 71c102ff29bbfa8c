//! Writes the body of a document by the roles that a dialect gives its elements.

use super::dialect::{Cited, Dialect, Stated};
use super::role::Role;
use super::table;
use super::tree::{Child, Element};
use crate::markdown::{Text, one_line};
use crate::{Failure, Limits, Marks, Place};

/// What a part begins with.
#[derive(Default)]
struct Head {
    number: String,
    heading: String,
    /// Whether the number is of an attribute, and has no signs around it.
    is_bare: bool,
    /// The elements that these are.
    used: Vec<usize>,
}

/// An open division or level.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub cited: Cited,
    /// Its number, as it is seen, without the point at its end; empty if it has none.
    pub number: String,
}

/// A body that is being written.
pub(super) struct Writer<'a> {
    pub dialect: &'a dyn Dialect,
    pub roles: &'a [Role],
    pub limits: &'a Limits,
    out: Text,
    path: Vec<Level>,
    /// Where what comes next stands.
    place: String,
    /// Where what was written last stands.
    marked: String,
    /// Divisions with headings that are open.
    headings: u8,
    /// Items and levels that are open.
    items: usize,
    /// The depth and mark of the item that the next paragraph begins.
    mark: Option<(usize, String)>,
    /// What the next paragraph begins with.
    lead: String,
    /// Footnotes and pictures that follow the next block.
    notes: Vec<String>,
    /// Quotes and notes that are open: their numbers are no places.
    quotes: u32,
    /// Quotes that are open: their headings are no headings of what comes after them.
    plain: u32,
}

impl<'a> Writer<'a> {
    pub fn new(dialect: &'a dyn Dialect, roles: &'a [Role], limits: &'a Limits) -> Self {
        Self {
            dialect,
            roles,
            limits,
            out: Text::new(limits),
            path: Vec::new(),
            place: String::new(),
            marked: String::new(),
            headings: 0,
            items: 0,
            mark: None,
            lead: String::new(),
            notes: Vec::new(),
            quotes: 0,
            plain: 0,
        }
    }

    /// The text and its places.
    pub fn finish(self) -> (String, Marks) {
        self.out.finish()
    }

    fn role(&self, element: Element<'_>) -> Role {
        self.roles[element.at()]
    }

    /// A part under a heading that the document does not have as an element.
    pub fn part(&mut self, heading: &str, part: Element<'_>) -> Result<(), Failure> {
        self.heading(heading)?;
        self.headings += 1;
        self.blocks(part)?;
        self.headings -= 1;
        Ok(())
    }

    fn heading(&mut self, text: &str) -> Result<(), Failure> {
        self.here();
        if self.plain > 0 { self.out.paragraph(text) } else { self.out.heading(self.headings.saturating_add(1), text) }
    }

    /// What is in an element.
    pub fn blocks(&mut self, parent: Element<'_>) -> Result<(), Failure> {
        self.blocks_without(parent, &[])
    }

    /// What is in an element, without some elements of it.
    pub fn blocks_without(&mut self, parent: Element<'_>, without: &[usize]) -> Result<(), Failure> {
        let leaves = self.dialect.names_leaves() && !parent.has_words();
        let mut run = String::new();
        for child in parent.children() {
            match child {
                Child::Text(text) => run.push_str(text),
                Child::Element(element) if without.contains(&element.at()) => {}
                Child::Element(element) => match self.role(element) {
                    Role::Leaf if leaves => {
                        self.paragraph(&mut run)?;
                        self.leaf(element)?;
                    }
                    role if role.is_block() => {
                        self.paragraph(&mut run)?;
                        self.block(element, role)?;
                    }
                    _ => self.inline(element, &mut run),
                },
            }
        }
        self.paragraph(&mut run)
    }

    /// An element of a role.
    pub fn block(&mut self, element: Element<'_>, role: Role) -> Result<(), Failure> {
        match role {
            Role::Division => self.division(element),
            Role::Level => self.level(element),
            Role::List => self.list(element),
            Role::Item => self.item(element, "-"),
            Role::Table => self.table(element),
            Role::Captioned => self.captioned(element),
            Role::Heading => {
                self.finish_item()?;
                let text = self.flat(element);
                self.heading(&text)?;
                self.notes()
            }
            Role::Term => {
                self.finish_item()?;
                self.mark = Some((self.items, "-".into()));
                self.lead = format!("{}: ", self.flat(element).trim_end_matches(':'));
                Ok(())
            }
            Role::Preformatted => {
                self.finish_item()?;
                self.here();
                self.out.preformatted(&element.raw_text())?;
                self.pages_within(element).into_iter().for_each(|(_, page)| self.out.mark(page));
                Ok(())
            }
            Role::Quote => {
                self.quotes += 1;
                self.plain += 1;
                let result = self.blocks(element);
                self.quotes -= 1;
                self.plain -= 1;
                result
            }
            _ => self.blocks(element),
        }
    }

    /// A part with a heading.
    fn division(&mut self, element: Element<'_>) -> Result<(), Failure> {
        self.finish_item()?;
        let Head { number, heading, is_bare, used } = self.head(element);
        let (place, headings) = (self.place.clone(), self.headings);
        self.open(element, &number);
        let cited = match self.path.last().map(|level| &level.cited).filter(|_| is_bare) {
            Some(Cited::Named(words)) => words,
            Some(Cited::Given(words)) => words.as_str(),
            _ => "",
        };
        let heading = one_line(&format!("{cited} {number} {heading}"));
        let quotes = self.quotes;
        if self.dialect.is_note(element.name()) {
            self.quotes += 1;
            if !place.is_empty() && !place.ends_with(" note") {
                self.place = format!("{place} note");
            }
        }
        if !heading.is_empty() {
            self.heading(&heading)?;
            self.headings = headings.saturating_add(1);
        }
        self.notes()?;
        let items = std::mem::take(&mut self.items);
        self.blocks_without(element, &used)?;
        self.finish_item()?;
        self.items = items;
        self.headings = headings;
        self.quotes = quotes;
        self.path.pop();
        self.place = place;
        Ok(())
    }

    /// A numbered paragraph.
    fn level(&mut self, element: Element<'_>) -> Result<(), Failure> {
        let Head { number, heading, is_bare, used } = self.head(element);
        let place = self.place.clone();
        self.open(element, &number);
        let items = self.items;
        if !number.is_empty() {
            self.begin_item(&if is_bare { format!("{}.", number.trim_end_matches('.')) } else { number })?;
            self.items += 1;
        }
        if !heading.is_empty() {
            self.lead.push_str(&format!("{heading} "));
        }
        self.blocks_without(element, &used)?;
        self.finish_item()?;
        self.items = items;
        self.path.pop();
        self.place = place;
        Ok(())
    }

    /// The number and the heading of a part.
    fn head(&mut self, element: Element<'_>) -> Head {
        let mut head = Head::default();
        if let Some(number) = self.dialect.number(element) {
            (head.number, head.is_bare) = self.stated(number);
        }
        if let Some(heading) = self.dialect.heading(element) {
            head.heading = self.stated(heading).0;
        }
        for child in element.children() {
            let child = match child {
                Child::Element(child) => child,
                Child::Text(text) if text.trim().is_empty() => continue,
                // What comes after words is in the text.
                Child::Text(_) => break,
            };
            match self.role(child) {
                Role::Number if head.number.is_empty() && head.heading.is_empty() => {
                    head.number = self.flat(child);
                    head.used.push(child.at());
                }
                // A second heading is a heading of what follows it, unless it is the lower line of the first.
                Role::Heading | Role::Caption if head.heading.is_empty() || child.name().starts_with("sub") => {
                    head.heading = one_line(&format!("{} {}", head.heading, self.flat(child)));
                    head.used.push(child.at());
                }
                Role::Skip | Role::Leaf | Role::Inline | Role::Page => {}
                _ => break,
            }
        }
        if head.number.is_empty()
            && let Some(attribute) = element.any_attribute(&["num", "n"]).filter(|_| self.dialect.names_leaves())
        {
            head.number = one_line(attribute);
        }
        head
    }

    /// A number or heading that a rule names, and whether it is a bare number.
    fn stated(&mut self, stated: Stated<'_>) -> (String, bool) {
        match stated {
            Stated::Words(text) => (one_line(&text), text.trim().chars().all(|c| c.is_alphanumeric() || c == '.')),
            Stated::Element(element) => (self.flat(element), false),
        }
    }

    /// Goes into a part: what comes next stands there.
    fn open(&mut self, element: Element<'_>, number: &str) {
        let kind = match element.name() {
            "hcontainer" => element.attribute("name").unwrap_or("hcontainer"),
            name if name.starts_with("div") => element.attribute("type").unwrap_or(name),
            name => name,
        };
        self.path.push(Level { cited: self.dialect.cites(element, kind), number: clean(number) });
        if self.quotes == 0 && !number.is_empty() {
            self.place = cite(&self.path);
        }
    }

    /// The next paragraph begins an item. Where one has begun that has no text yet, its mark comes first: `(a) (1)`.
    fn begin_item(&mut self, mark: &str) -> Result<(), Failure> {
        if !self.lead.is_empty() {
            self.finish_item()?;
        }
        self.mark = Some(match self.mark.take() {
            Some((depth, first)) if first != "-" => (depth, format!("{first} {mark}")),
            Some(bullet) => bullet,
            None => (self.items, mark.to_owned()),
        });
        Ok(())
    }

    /// Ends an item: if it has no text but a heading, that is its text.
    fn finish_item(&mut self) -> Result<(), Failure> {
        if !self.lead.is_empty() {
            let mut lead = std::mem::take(&mut self.lead);
            self.paragraph(&mut lead)?;
        }
        self.mark = None;
        Ok(())
    }

    fn list(&mut self, list: Element<'_>) -> Result<(), Failure> {
        let style = Style::of(list);
        let mut ordinal = list.any_attribute(&["start", "startingnumber"]).and_then(|start| start.trim().parse().ok()).unwrap_or(1);
        let mut run = String::new();
        for child in list.children() {
            match child {
                Child::Text(text) => run.push_str(text),
                Child::Element(element) => match self.role(element) {
                    Role::Item => {
                        self.paragraph(&mut run)?;
                        self.item(element, &style.mark(ordinal))?;
                        ordinal = ordinal.saturating_add(1);
                    }
                    Role::Leaf => {
                        self.paragraph(&mut run)?;
                        self.blocks(element)?;
                    }
                    role if role.is_block() => {
                        self.paragraph(&mut run)?;
                        self.block(element, role)?;
                    }
                    _ => self.inline(element, &mut run),
                },
            }
        }
        self.paragraph(&mut run)
    }

    fn item(&mut self, item: Element<'_>, mark: &str) -> Result<(), Failure> {
        if !self.lead.is_empty() {
            // The text of a definition, after its term.
            self.items += 1;
            let result = self.blocks(item);
            self.items -= 1;
            return result;
        }
        let label = item.elements().find(|child| self.role(*child) == Role::Number);
        let stated = self.dialect.number(item).map(|number| match self.stated(number) {
            (number, true) => format!("{}.", number.trim_end_matches('.')),
            (number, false) => number,
        });
        let own = stated.or_else(|| label.map(|label| self.flat(label))).filter(|label| !label.is_empty());
        let own = own.or_else(|| item.attribute("n").filter(|_| self.dialect.names_leaves()).map(one_line));
        self.begin_item(own.as_deref().unwrap_or(mark))?;
        self.items += 1;
        let used: Vec<usize> = label.iter().map(|label| label.at()).collect();
        self.blocks_without(item, &used)?;
        self.finish_item()?;
        self.items -= 1;
        Ok(())
    }

    /// A line that is named by its element: `strength: 5 mg`. Elements within it are named too; those that have others within become items.
    fn leaf(&mut self, element: Element<'_>) -> Result<(), Failure> {
        let name = element.name().replace(['_', '-'], " ");
        let has_parts = |element: Element<'_>| !element.has_words() && self.parts(element).next().is_some();
        let (is_group, is_list) = (has_parts(element), self.parts(element).all(has_parts));
        if is_group && is_list {
            self.paragraph(&mut format!("{name}:"))?;
            let parts: Vec<_> = self.parts(element).collect();
            for part in parts {
                self.begin_item("-")?;
                let mut text = self.value(part);
                self.paragraph(&mut text)?;
                self.finish_item()?;
            }
            return Ok(());
        }
        let text = self.value(element);
        let is_sentence = text.len() > 80 && text.ends_with(['.', '!', '?', ':', ';']) && !is_group;
        self.paragraph(&mut if is_sentence || text.is_empty() { text } else { format!("{name}: {text}") })
    }

    /// The elements in an element that are text.
    fn parts<'t>(&self, element: Element<'t>) -> impl Iterator<Item = Element<'t>> + use<'a, 't> {
        let roles = self.roles;
        element.elements().filter(move |part| !matches!(roles[part.at()], Role::Skip | Role::Page))
    }

    /// What an element says: its words, or those of the elements within it, each with its name; a value that an attribute has; its unit.
    fn value(&mut self, element: Element<'_>) -> String {
        let mut text = if !element.has_words() && self.parts(element).nth(1).is_some() {
            let parts = self.parts(element).map(|part| (part.name().replace(['_', '-'], " "), self.value(part)));
            let parts: Vec<_> = parts.filter(|(_, text)| !text.is_empty()).map(|(name, text)| format!("{name}: {text}")).collect();
            parts.join("; ")
        } else {
            self.flat(element)
        };
        if text.is_empty() {
            text = element.any_attribute(&["value", "displayName"]).map(one_line).unwrap_or_default();
        }
        match element.any_attribute(&["unit", "units", "uom"]).filter(|_| !text.is_empty()) {
            Some(unit) => format!("{text} {unit}"),
            None => text,
        }
    }

    fn captioned(&mut self, element: Element<'_>) -> Result<(), Failure> {
        let from = self.out.len();
        let (mut used, mut parts) = (Vec::new(), Vec::new());
        for child in element.elements() {
            match self.role(child) {
                Role::Caption if !child.has_words() => parts.extend(child.elements().map(|part| self.flat(part)).collect::<Vec<_>>()),
                Role::Number | Role::Caption | Role::Heading => parts.push(self.flat(child)),
                _ => continue,
            }
            used.push(child.at());
        }
        parts.retain(|part| !part.is_empty());
        let mut line = String::new();
        for part in parts {
            if !line.is_empty() {
                line.push_str(if line.ends_with(['.', ':', '!', '?', ';', '—']) { " " } else { ". " });
            }
            line.push_str(&part);
        }
        self.paragraph(&mut line)?;
        self.blocks_without(element, &used)?;
        if self.lead.is_empty() && matches!(element.name(), "fig" | "figure" | "informalfigure" | "chem-struct-wrap") {
            self.notes()?;
            self.out.set_apart(from);
        }
        Ok(())
    }

    fn table(&mut self, element: Element<'_>) -> Result<(), Failure> {
        self.finish_item()?;
        if let Some(heading) = self.dialect.heading(element) {
            let mut text = self.stated(heading).0;
            self.paragraph(&mut text)?;
        }
        let captions: Vec<_> = element.elements().filter(|child| matches!(self.role(*child), Role::Caption | Role::Heading)).collect();
        for caption in captions {
            let mut text = self.flat(caption);
            self.paragraph(&mut text)?;
        }
        let (roles, limits) = (self.roles, self.limits);
        let table::Rows { rows, nodes } = table::rows(element, roles, limits, &mut |cell| self.line(cell).0)?;
        self.here();
        // A page holds from the first row on that begins after it.
        let pages = self.pages_within(element).into_iter();
        let (within, after): (Vec<_>, Vec<_>) =
            pages.map(|(at, page)| (nodes.partition_point(|row| *row < at), page)).partition(|(row, _)| *row < rows.len());
        self.out.table_at(&rows, &within)?;
        after.into_iter().for_each(|(_, page)| self.out.mark(page));
        self.notes()
    }

    /// The pages that begin within an element, each with its place in the tree.
    fn pages_within(&self, element: Element<'_>) -> Vec<(usize, Place)> {
        let pages = element.descendants().filter(|page| self.role(*page) == Role::Page);
        pages.filter_map(|page| Some((page.at(), Place::Page(self.dialect.page(page)?)))).collect()
    }

    /// The text of an element in one line. Its footnotes follow the next block, and pages that begin in it begin with that.
    pub fn flat(&mut self, element: Element<'_>) -> String {
        let (text, pages) = self.line(element);
        pages.into_iter().for_each(|(_, page)| self.out.mark(page));
        text
    }

    /// The text of an element in one line, and the pages that begin in it.
    fn line(&mut self, element: Element<'_>) -> (String, Vec<(usize, Place)>) {
        let mut text = String::new();
        self.flow(element, &mut text);
        let pages = take_pages(&mut text);
        (one_line(&text), pages)
    }

    /// Adds what is in an element to a line.
    fn flow(&mut self, parent: Element<'_>, run: &mut String) {
        for child in parent.children() {
            match child {
                Child::Text(text) => run.push_str(text),
                Child::Element(element) => self.inline(element, run),
            }
        }
    }

    /// Adds an element to a line.
    fn inline(&mut self, element: Element<'_>, run: &mut String) {
        match self.role(element) {
            Role::Skip => {}
            Role::Page => {
                if let Some(page) = self.dialect.page(element) {
                    run.push_str(&format!("{PAGE}{page}{PAGE}"));
                }
            }
            Role::Break => {
                self.flow(element, run);
                run.push('\u{2028}');
            }
            Role::Number => {
                run.push(' ');
                self.flow(element, run);
                run.push(' ');
            }
            Role::Reference => {
                let text = element.raw_text();
                run.push_str(&format!("[{}]", one_line(&text).trim_matches(['[', ']', '(', ')'])));
            }
            Role::Superscript => {
                let mut text = String::new();
                self.flow(element, &mut text);
                run.push_str(&superscript(&text));
            }
            Role::Formula => run.push_str(&formula(element)),
            Role::Picture => {
                let text = element.any_attribute(&["alt", "alttext", "title"]).map(one_line).unwrap_or_default();
                let within = self.flat(element);
                self.notes.push(one_line(&format!("{text} {within}")));
            }
            Role::Note => {
                let label = element.elements().find(|child| self.role(*child) == Role::Number);
                let own = label.map(|label| one_line(&label.raw_text()));
                let marker = own.or_else(|| element.any_attribute(&["marker", "symbol"]).map(one_line)).unwrap_or_default();
                let mut text = String::new();
                for child in element.children() {
                    match child {
                        Child::Text(words) => text.push_str(words),
                        Child::Element(child) if label.is_some_and(|label| label.at() == child.at()) => {}
                        Child::Element(child) => self.inline(child, &mut text),
                    }
                }
                take_pages(&mut text).into_iter().for_each(|(_, page)| self.out.mark(page));
                let marker = if marker.is_empty() { marker } else { format!("[{}]", marker.trim_matches(['[', ']', '(', ')'])) };
                if !run.trim().is_empty() && !run.ends_with(&marker) {
                    run.push_str(&marker);
                }
                self.notes.push(one_line(&format!("{marker} {text}")));
            }
            role if role.is_block() => {
                run.push(' ');
                self.flow(element, run);
                run.push(' ');
            }
            // What has elements alone within is no running text: its words are not to run together.
            Role::Leaf if !element.has_words() => {
                run.push(' ');
                for child in element.elements() {
                    self.inline(child, run);
                    run.push(' ');
                }
            }
            _ => self.flow(element, run),
        }
    }

    /// Writes a paragraph or, where an item has begun, its first.
    fn paragraph(&mut self, run: &mut String) -> Result<(), Failure> {
        let mut pages = take_pages(run);
        if run.trim().is_empty() {
            pages.into_iter().for_each(|(_, page)| self.out.mark(page));
        } else {
            let text = std::mem::take(&mut self.lead) + run;
            pages.iter_mut().for_each(|(at, _)| *at += text.len() - run.len());
            self.here();
            match self.mark.take() {
                Some((depth, mark)) => self.out.item_at(depth, &mark, &text, &pages)?,
                None => self.out.paragraph_at(&text, &pages)?,
            }
        }
        run.clear();
        // Notes of a heading that runs into the text wait for the text.
        if self.lead.is_empty() { self.notes() } else { Ok(()) }
    }

    fn notes(&mut self) -> Result<(), Failure> {
        for note in std::mem::take(&mut self.notes) {
            self.here();
            self.out.paragraph(&note)?;
        }
        Ok(())
    }

    /// Marks where the next block stands.
    fn here(&mut self) {
        if self.place != self.marked {
            self.marked.clone_from(&self.place);
            self.out.mark(Place::Section(self.place.clone()));
        }
    }
}

/// Stands before and after the number of a page in words that are being gathered. Unicode has it for no character.
const PAGE: char = '\u{FDD0}';

/// Takes the pages out of words. Gives the byte where each begins.
fn take_pages(words: &mut String) -> Vec<(usize, Place)> {
    if !words.contains(PAGE) {
        return Vec::new();
    }
    let mut pages = Vec::new();
    let mut text = String::with_capacity(words.len());
    for (number, part) in words.split(PAGE).enumerate() {
        match part.parse().ok().filter(|_| number % 2 == 1) {
            Some(page) => pages.push((text.len(), Place::Page(page))),
            None => text.push_str(part),
        }
    }
    *words = text;
    pages
}

/// A number without what ends it.
fn clean(number: &str) -> String {
    one_line(number.trim().trim_matches(['[', ']', '"', '“', '”', '‘']).trim_end_matches(['.', ':', '—', '–', '-', ' ']))
}

/// The place of a part as it is cited: the last part that is cited by itself, and the numbers of those in it: `Art. 12(3)(b)`.
fn cite(path: &[Level]) -> String {
    let numbered = |level: &&Level| !level.number.is_empty();
    let by_itself = |level: &Level| numbered(&level) && matches!(level.cited, Cited::Named(_) | Cited::Given(_));
    let alone = |level: &Level| numbered(&level) && level.cited == Cited::Alone;
    let Some(base) = path.iter().rposition(by_itself).or_else(|| path.iter().rposition(alone)) else {
        return path.iter().rev().find(numbered).map(|level| level.number.clone()).unwrap_or_default();
    };
    let (words, is_given) = match &path[base].cited {
        Cited::Named(words) => (*words, false),
        Cited::Given(words) => (words.as_str(), !words.is_empty()),
        Cited::Within | Cited::Alone => ("", false),
    };
    let mut number = path[base].number.clone();
    // `12.` has no word of its own, `Article 12` and `SEC. 2` have one.
    let mut parts = number.split_whitespace();
    let own = parts.next().filter(|word| word.len() > 1 && word.chars().all(|c| c.is_alphabetic() || c == '.'));
    let own = own.filter(|_| number.contains(char::is_whitespace)).map(str::to_owned);
    let own = match own {
        Some(word) => {
            number = parts.collect::<Vec<_>>().join(" ");
            match word.to_lowercase().trim_end_matches('.') {
                _ if is_given => words.into(),
                "article" | "art" => "Art.".into(),
                "section" | "sec" => "Sec.".into(),
                _ => word,
            }
        }
        None if number.starts_with('§') => String::new(),
        None => words.into(),
    };
    if !own.is_empty() {
        number = number.trim_matches(['(', ')', ' ']).to_owned();
    }
    let mut rest = String::new();
    for level in path[base + 1..].iter().filter(numbered) {
        let bare = level.number.trim_matches(['(', ')', '[', ']', '.', ' ']);
        if bare.strip_prefix(number.as_str()).is_some_and(|after| after.starts_with('.')) {
            // `4.2` within `4` says both.
            number = bare.to_owned();
            rest.clear();
        } else {
            rest.push_str(&format!("({bare})"));
        }
    }
    one_line(&format!("{own} {number}{rest}"))
}

/// The marks of a list.
enum Style {
    Bullet,
    Number,
    Letter(char),
    Roman,
}

impl Style {
    fn of(list: Element<'_>) -> Self {
        let said = list.any_attribute(&["list-type", "numeration", "type", "rend", "style"]).unwrap_or_default();
        match said {
            "A" | "alpha-upper" | "upperalpha" => Self::Letter('A'),
            "a" | "alpha-lower" | "loweralpha" => Self::Letter('a'),
            "i" | "roman-lower" | "lowerroman" | "I" | "roman-upper" | "upperroman" => Self::Roman,
            "order" | "ordered" | "arabic" | "numbered" | "1" => Self::Number,
            _ if matches!(list.name(), "ol" | "orderedlist" | "steps" | "procedure" | "substeps") => Self::Number,
            _ => Self::Bullet,
        }
    }

    fn mark(&self, ordinal: u32) -> String {
        match self {
            Self::Letter(first) if (1..=26).contains(&ordinal) => {
                char::from_u32(*first as u32 + ordinal - 1).map_or_else(|| format!("{ordinal}."), |letter| format!("{letter}."))
            }
            Self::Roman if (1..40).contains(&ordinal) => {
                let tens = "x".repeat(ordinal as usize / 10);
                let ones = ["", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"][ordinal as usize % 10];
                format!("{tens}{ones}.")
            }
            Self::Bullet => "-".into(),
            _ => format!("{ordinal}."),
        }
    }
}

/// A superscript: digits and signs as such, so that 10³ is not 103; others as they are.
fn superscript(text: &str) -> String {
    let raised = |c: char| {
        Some(match c {
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '0' | '4'..='9' => char::from_u32('⁰' as u32 + c.to_digit(10)?)?,
            '+' => '⁺',
            '-' | '−' | '–' => '⁻',
            'n' => 'ⁿ',
            _ => return None,
        })
    };
    text.trim().chars().map(raised).collect::<Option<String>>().unwrap_or_else(|| text.to_owned())
}

/// A formula in a line: TeX where it is there, else MathML with its fractions and powers.
fn formula(element: Element<'_>) -> String {
    if let Some(tex) = element.descendant("tex-math").or_else(|| Some(element).filter(|element| element.name() == "tex-math")) {
        let tex = tex.raw_text();
        let body = tex.split_once("\\begin{document}").and_then(|(_, rest)| rest.split_once("\\end{document}")).map(|(body, _)| body);
        return one_line(body.unwrap_or(&tex));
    }
    if let Some(text) = element.any_attribute(&["alttext", "alt"]) {
        return one_line(text);
    }
    let mut text = String::new();
    math(element, &mut text);
    one_line(&text)
}

fn math(element: Element<'_>, text: &mut String) {
    let parts: Vec<String> = match element.name() {
        "mfrac" | "msup" | "msub" | "mroot" | "msubsup" => element.elements().map(|part| grouped(part)).collect(),
        _ => Vec::new(),
    };
    match (element.name(), parts.as_slice()) {
        ("mfrac", [above, below]) => text.push_str(&format!("{above}/{below}")),
        ("msup", [base, power]) => text.push_str(&format!("{base}^{power}")),
        ("msub", [base, below]) => text.push_str(&format!("{base}_{below}")),
        ("msubsup", [base, below, power]) => text.push_str(&format!("{base}_{below}^{power}")),
        // Parts that are too few or too many. They are not read again: within one another that would have no end.
        (_, [_, ..]) => text.push_str(&parts.join(" ")),
        ("annotation" | "annotation-xml", _) => {}
        ("msqrt", _) => {
            text.push('√');
            text.push_str(&grouped_children(element));
        }
        ("mo", _) => text.push_str(&format!(" {} ", element.raw_text().trim())),
        _ => {
            for child in element.children() {
                match child {
                    Child::Text(words) => text.push_str(words.trim()),
                    Child::Element(child) => math(child, text),
                }
            }
        }
    }
}

/// A part of a formula, in parentheses if it is more than a word.
fn grouped(element: Element<'_>) -> String {
    let mut text = String::new();
    math(element, &mut text);
    parenthesized(&text)
}

fn grouped_children(element: Element<'_>) -> String {
    let mut text = String::new();
    element.elements().for_each(|child| math(child, &mut text));
    parenthesized(&text)
}

fn parenthesized(text: &str) -> String {
    let text = one_line(text);
    if text.chars().all(char::is_alphanumeric) { text } else { format!("({text})") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::xml::tree::Tree;

    fn cited(kind: &str) -> Cited {
        match kind {
            "article" => Cited::Named("Art."),
            "section" => Cited::Named("§"),
            "schedule" => Cited::Named(""),
            "rule" => Cited::Given("r.".into()),
            "annex" => Cited::Given(String::new()),
            "part" | "box" => Cited::Alone,
            _ => Cited::Within,
        }
    }

    #[test]
    fn places_are_cited_as_lawyers_do() {
        for (path, expected) in [
            (&[("chapter", "CHAPTER 5—")][..], "CHAPTER 5"),
            (&[("chapter", "5"), ("section", "§ 552."), ("subsection", "(a)"), ("paragraph", "(1)")], "§ 552(a)(1)"),
            (&[("article", "Article 12"), ("paragraph", "3."), ("list", ""), ("point", "(b)")], "Art. 12(3)(b)"),
            (&[("article", "12"), ("paragraph", "12.3"), ("point", "b)")], "Art. 12.3(b)"),
            (&[("section", "SEC. 2."), ("subsection", "(a)")], "Sec. 2(a)"),
            (&[("section", "12A")], "§ 12A"),
            (&[("schedule", "Schedule 2"), ("paragraph", "4")], "Schedule 2(4)"),
            (&[("recital", "(7)")], "(7)"),
            (&[("section", "(7)")], "§ 7"),
            (&[("part", "1"), ("rule", "Rule 7"), ("box", "3"), ("item", "a)")], "r. 7(3)(a)"),
            (&[("part", "1"), ("box", "3"), ("item", "a)")], "3(a)"),
            (&[("annex", "Annex II"), ("item", "4")], "Annex II(4)"),
        ] {
            let path: Vec<Level> = path.iter().map(|(kind, number)| Level { cited: cited(kind), number: clean(number) }).collect();
            assert_eq!(cite(&path), expected);
        }
    }

    #[test]
    fn pages_are_taken_out_of_words() {
        let mut words = "a \u{FDD0}12\u{FDD0}b\u{FDD0}x\u{FDD0}\u{FDD0}".to_owned();
        assert_eq!(take_pages(&mut words), [(2, Place::Page(12))]);
        assert_eq!(words, "a bx");
    }

    #[test]
    fn formulas_within_one_another_are_read_once() {
        let nested = |name: &str, depth: usize| {
            format!("<a>{}<mi>x</mi>{}</a>", format!("<{name}>").repeat(depth), format!("</{name}>").repeat(depth))
        };
        for name in ["mfrac", "msup", "msub", "mroot", "msubsup", "msqrt", "mrow"] {
            let tree = Tree::parse(&nested(name, 100), &Limits::default(), &mut Vec::new()).unwrap();
            assert!(formula(tree.root()).contains('x'), "{name}");
        }
    }

    #[test]
    fn powers_stay_powers() {
        assert_eq!(superscript("3"), "³");
        assert_eq!(superscript("−10"), "⁻¹⁰");
        assert_eq!(superscript("th"), "th");
    }
}
