//! Rules for elements by their names, as DocBook, TEI, DITA, the formats of feeds and many others have them.

use super::dialect::Dialect;
use super::role::Role;
use super::tree::Element;

/// All vocabularies that are not known otherwise.
pub(super) struct Rules;

impl Dialect for Rules {
    fn role(&self, element: Element<'_>) -> Option<Role> {
        match element.name() {
            // What is about the document, and not in it.
            "metadata" | "meta" | "teiHeader" | "prolog" | "info" | "bookinfo" | "articleinfo" | "sectioninfo" | "docinfo" => {
                Some(Role::Skip)
            }
            name => role(name),
        }
    }

    fn cited(&self, kind: &str) -> Option<&'static str> {
        match kind.to_lowercase().as_str() {
            "article" | "art" => Some("Art."),
            "section" | "sec" | "sect1" | "sect2" | "sect3" | "div" | "div1" | "div2" | "div3" | "chapter" | "clause" | "rule" => Some("§"),
            "schedule" => Some("Schedule"),
            "annex" => Some("Annex"),
            "appendix" => Some("App."),
            _ => None,
        }
    }

    fn names_leaves(&self) -> bool {
        true
    }
}

/// What an element of this name is in most vocabularies.
pub(super) fn role(name: &str) -> Option<Role> {
    Some(match name.to_lowercase().as_str() {
        "script"
        | "style"
        | "toc"
        | "index"
        | "indexterm"
        | "nav"
        | "colspec"
        | "processing-instruction"
        | "bibliography"
        | "pb"
        | "figdesc" => Role::Skip,
        "p" | "para" | "simpara" | "abstract" | "body" | "text" | "front" | "back" | "main" | "block" | "blockquote" | "ab" | "sp"
        | "lg" | "conbody" => Role::Block,
        "taskbody" | "refbody" | "content" | "paragraphs" | "mediaobject" | "imageobject" | "textobject" | "address" | "varlistentry"
        | "dlentry" => Role::Block,
        "dd" | "def" | "glossdef" => Role::Block,
        "div" | "div1" | "div2" | "div3" | "div4" | "section" | "sect1" | "sect2" | "sect3" | "sect4" | "sect5" | "chapter" | "part"
        | "book" | "article" | "appendix" | "annex" | "schedule" | "preface" | "topic" | "concept" | "task" | "reference"
        | "subchapter" | "subpart" | "sec" | "subtitle1" | "refentry" | "refsect1" | "refsect2" | "glossary" | "regulation" | "rule" => {
            Role::Division
        }
        "subsection" | "paragraph" | "subparagraph" | "clause" | "subclause" | "point" | "subpoint" | "alinea" | "indent" => Role::Level,
        "num" | "no" | "label" | "number" | "enum" => Role::Number,
        "title" | "head" | "heading" | "header" | "subtitle" | "subheading" | "headline" | "bridgehead" => Role::Heading,
        "list" | "ul" | "ol" | "sl" | "items" | "itemizedlist" | "orderedlist" | "simplelist" | "variablelist" | "listing" | "steps"
        | "steps-unordered" | "procedure" | "substeps" => Role::List,
        "item" | "li" | "sli" | "listitem" | "member" | "step" => Role::Item,
        "term" | "dt" | "glossterm" => Role::Term,
        "dl" | "glosslist" | "glossentry" => Role::Block,
        "table" | "informaltable" | "simpletable" => Role::Table,
        "tgroup" | "thead" | "tbody" | "tfoot" | "tr" | "row" => Role::Block,
        "figure" | "fig" | "informalfigure" | "sidebar" | "note" | "warning" | "caution" | "important" | "tip" => Role::Captioned,
        "caption" => Role::Caption,
        "img" | "image" | "graphic" | "imagedata" => Role::Picture,
        "footnote" | "fn" => Role::Note,
        "br" | "lb" | "eol" | "l" | "line" | "verse" => Role::Break,
        "pre" | "programlisting" | "screen" | "literallayout" | "codeblock" => Role::Preformatted,
        "sup" | "superscript" => Role::Superscript,
        "math" | "tex-math" => Role::Formula,
        "b" | "i" | "u" | "em" | "strong" | "emphasis" | "hi" | "ref" | "xref" | "link" | "ulink" | "a" | "q" | "sub" | "subscript"
        | "span" | "code" | "tt" | "ph" | "foreign" | "date" | "abbr" | "acronym" | "cite" | "citetitle" | "name" | "persname"
        | "quote" | "phrase" | "small" | "big" => Role::Inline,
        _ => return None,
    })
}
