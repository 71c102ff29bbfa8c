//! Styles of OpenDocument: what of them is seen in a text.

use std::collections::{HashMap, HashSet};

use super::FORMAT;
use super::lists::ListStyle;
use crate::Failure;
use crate::formats::office::blocks::Run;
use crate::formats::office::xml::{Node, Xml};

/// Styles that a style is based on, one on another, at most.
const MAX_PARENTS: usize = 20;

/// All styles of a document.
#[derive(Debug, Default)]
pub(super) struct Styles {
    paragraphs: HashMap<String, Style>,
    texts: HashMap<String, Style>,
    /// Tables and paragraphs that begin a page, by their styles.
    table_breaks: HashSet<String>,
    /// Slides that are not shown.
    hidden_slides: HashSet<String>,
    lists: HashMap<String, ListStyle>,
    /// The numbers of headings.
    pub outline: ListStyle,
}

#[derive(Debug, Default)]
struct Style {
    parent: Option<String>,
    is_title: bool,
    list: Option<String>,
    hidden: Option<bool>,
    raised: Option<Option<bool>>,
    font: Option<String>,
    break_before: Option<bool>,
    break_after: bool,
}

/// What is seen of a paragraph's style.
#[derive(Debug, Default)]
pub(super) struct Paragraph {
    pub is_title: bool,
    /// The list that the style names; empty if it names that there is none.
    pub list: Option<String>,
    pub break_before: bool,
    pub break_after: bool,
    pub run: Run,
}

impl Styles {
    /// Adds the styles of a part. One of the same name is replaced.
    pub fn read(&mut self, text: &str) -> Result<(), Failure> {
        let mut xml = Xml::new(text, FORMAT);
        xml.root()?;
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "styles" | "automatic-styles" => self.group(&mut xml)?,
                _ => xml.skip()?,
            }
        }
        Ok(())
    }

    fn group(&mut self, xml: &mut Xml) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            let name = element.attribute("name").unwrap_or_default();
            match element.name() {
                "list-style" => {
                    let list = ListStyle::read(xml)?;
                    self.lists.insert(name, list);
                }
                "outline-style" => self.outline = ListStyle::read(xml)?,
                "style" => {
                    let begins_page = element.attribute("master-page-name").is_some_and(|page| !page.is_empty());
                    let mut style = Style {
                        parent: element.attribute("parent-style-name"),
                        is_title: name == "Title" || element.attribute("display-name").is_some_and(|name| name == "Title"),
                        list: element.attribute("list-style-name"),
                        break_before: begins_page.then_some(true),
                        ..Style::default()
                    };
                    let family = element.attribute("family").unwrap_or_default();
                    let hidden_slide = style.read(xml)?;
                    match family.as_str() {
                        "paragraph" => {
                            self.paragraphs.insert(name, style);
                        }
                        "text" => {
                            self.texts.insert(name, style);
                        }
                        "table" if style.break_before == Some(true) => {
                            self.table_breaks.insert(name);
                        }
                        "drawing-page" if hidden_slide => {
                            self.hidden_slides.insert(name);
                        }
                        _ => {}
                    }
                }
                _ => xml.skip()?,
            }
        }
        Ok(())
    }

    pub fn list(&self, name: &str) -> Option<&ListStyle> {
        self.lists.get(name)
    }

    pub fn is_hidden_slide(&self, style: &str) -> bool {
        self.hidden_slides.contains(style)
    }

    /// Whether a table of this style begins a page.
    pub fn is_table_break(&self, style: &str) -> bool {
        self.table_breaks.contains(style)
    }

    pub fn paragraph(&self, name: Option<&str>) -> Paragraph {
        let mut found = Paragraph::default();
        let (mut hidden, mut raised, mut break_before) = (None, None, None);
        for style in chain(&self.paragraphs, name) {
            found.is_title |= style.is_title;
            found.list = found.list.or_else(|| style.list.clone());
            found.break_after |= style.break_after;
            break_before = break_before.or(style.break_before);
            hidden = hidden.or(style.hidden);
            raised = raised.or(style.raised);
            found.run.font = found.run.font.or_else(|| style.font.clone());
        }
        found.break_before = break_before.unwrap_or(false);
        found.run.hidden = hidden.unwrap_or(false);
        found.run.raised = raised.flatten();
        found
    }

    /// Changes a run as a style of texts says.
    pub fn change(&self, run: &mut Run, name: &str) {
        let (mut hidden, mut raised, mut font) = (None, None, None);
        for style in chain(&self.texts, Some(name)) {
            hidden = hidden.or(style.hidden);
            raised = raised.or(style.raised);
            font = font.or_else(|| style.font.clone());
        }
        run.hidden = hidden.unwrap_or(run.hidden);
        run.raised = raised.unwrap_or(run.raised);
        run.font = font.or_else(|| run.font.take());
    }
}

/// A style and those that it is based on.
fn chain<'a>(styles: &'a HashMap<String, Style>, name: Option<&str>) -> impl Iterator<Item = &'a Style> {
    let first = name.and_then(|name| styles.get(name));
    std::iter::successors(first, |style| styles.get(style.parent.as_deref()?)).take(MAX_PARENTS)
}

impl Style {
    /// Reads the properties of the style that is open, and gives whether it hides a slide.
    fn read(&mut self, xml: &mut Xml) -> Result<bool, Failure> {
        let mut hides = false;
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "text-properties" => {
                    self.hidden = element.attribute("display").map(|display| display == "none");
                    self.font = element.attribute("font-name").or_else(|| element.attribute("font-family"));
                    self.raised = element.attribute("text-position").map(|position| raised(&position));
                }
                "paragraph-properties" | "table-properties" => {
                    let is_page = |name: &str| element.attribute(name).map(|kind| kind == "page");
                    self.break_before = self.break_before.or_else(|| is_page("break-before"));
                    self.break_after = is_page("break-after").unwrap_or(false);
                }
                "drawing-page-properties" => hides = element.attribute("visibility").is_some_and(|visibility| visibility == "hidden"),
                _ => {}
            }
            xml.skip()?;
        }
        Ok(hides)
    }
}

/// Whether words stand above or, if true, below the line: `super 58%`, `-33% 58%`.
fn raised(position: &str) -> Option<bool> {
    match position.split_whitespace().next()? {
        "super" => Some(false),
        "sub" => Some(true),
        shift => shift.trim_end_matches('%').parse::<f64>().ok().filter(|shift| *shift != 0.0).map(|shift| shift < 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_style_is_what_it_is_based_on_says() {
        let mut styles = Styles::default();
        let text = "<d><office:styles>\
            <style:style style:name='Title' style:family='paragraph'/>\
            <style:style style:name='A' style:family='paragraph' style:parent-style-name='B'/>\
            <style:style style:name='B' style:family='paragraph' style:parent-style-name='A' style:list-style-name='L'/>\
            </office:styles><office:automatic-styles>\
            <style:style style:name='P1' style:family='paragraph' style:parent-style-name='Title'><style:paragraph-properties fo:break-before='page'/></style:style>\
            <style:style style:name='T1' style:family='text'><style:text-properties text:display='none' style:text-position='-33% 58%'/></style:style>\
            <style:style style:name='dp1' style:family='drawing-page'><style:drawing-page-properties presentation:visibility='hidden'/></style:style>\
            </office:automatic-styles></d>";
        styles.read(text).unwrap();
        let title = styles.paragraph(Some("P1"));
        assert!(title.is_title && title.break_before && !title.break_after);
        assert_eq!(styles.paragraph(Some("A")).list.as_deref(), Some("L"));
        let mut run = Run::default();
        styles.change(&mut run, "T1");
        assert!(run.hidden && run.raised == Some(true));
        assert!(styles.is_hidden_slide("dp1") && !styles.is_hidden_slide("P1"));
    }
}
