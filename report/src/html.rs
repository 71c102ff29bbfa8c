//! Markup that is being written. Tags are literals of this crate, and everything else goes through [`Html::text`], which escapes: so no text of a
//! pack can become markup.

/// An HTML text.
#[derive(Debug, Default)]
pub(crate) struct Html(String);

/// A cell of a table.
pub(crate) enum Cell {
    /// The header of its row.
    Head(String),
    /// Words.
    Text(String),
    /// A number, to the right.
    Number(String),
    /// A share, 0 to 1, as a bar and in percent.
    Share(f64),
    /// A link to a reference of the page: its number, and what the link says.
    Reference(u32, String),
}

/// The header of a column.
pub(crate) struct Column {
    title: String,
    is_number: bool,
}

impl Column {
    /// A column of words.
    pub(crate) fn text(title: impl Into<String>) -> Self {
        Self { title: title.into(), is_number: false }
    }

    /// A column of numbers.
    pub(crate) fn number(title: impl Into<String>) -> Self {
        Self { title: title.into(), is_number: true }
    }
}

impl Html {
    /// Adds markup of this crate.
    pub(crate) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, for the content of an element or for an attribute in quotes. Control characters and those that change the direction of what
    /// stands around them are shown as `\u{1b}`; a carriage return before a line feed is left out.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                '\r' if chars.peek() == Some(&'\n') => {}
                _ if is_obeyed(c) => self.0.extend(c.escape_default()),
                _ => self.0.push(c),
            }
        }
        self
    }

    /// Adds text of which at most about `most` bytes are shown, and says how many are not.
    pub(crate) fn long_text(&mut self, text: &str, most: usize) -> &mut Self {
        let (shown, rest) = text.split_at(text.floor_char_boundary(most));
        self.text(shown);
        if !rest.is_empty() {
            self.markup("<em class=\"fine\"> … and ").text(&crate::words::bytes(rest.len() as u64)).markup(" more</em>");
        }
        self
    }

    /// Adds a number in decimal digits.
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.0.push_str(&number.to_string());
        self
    }

    /// Adds a table with a caption and headers, in a box that scrolls where the window is narrow.
    pub(crate) fn table(&mut self, caption: &str, columns: &[Column], rows: impl IntoIterator<Item = Vec<Cell>>) -> &mut Self {
        self.markup("<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"").text(caption).markup("\"><table><caption>");
        self.text(caption).markup("</caption>\n<thead><tr>");
        for Column { title, is_number } in columns {
            self.markup(if *is_number { "<th scope=\"col\" class=\"number\">" } else { "<th scope=\"col\">" }).text(title).markup("</th>");
        }
        self.markup("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.markup("<tr>");
            row.iter().for_each(|cell| self.cell(cell));
            self.markup("</tr>\n");
        }
        self.markup("</tbody></table></div>\n")
    }

    fn cell(&mut self, cell: &Cell) {
        match cell {
            Cell::Head(text) => self.markup("<th scope=\"row\"><bdi>").text(text).markup("</bdi></th>"),
            Cell::Text(text) => self.markup("<td><bdi>").text(text).markup("</bdi></td>"),
            Cell::Number(text) => self.markup("<td class=\"number\">").text(text).markup("</td>"),
            Cell::Share(share) => {
                let percent = 100.0 * share.clamp(0.0, 1.0);
                self.markup("<td class=\"share\"><span class=\"bar\" aria-hidden=\"true\"><span style=\"inline-size:");
                self.text(&format!("{percent:.2}%")).markup("\"></span></span>");
                self.text(&format!("{percent:.1}%")).markup("</td>")
            }
            Cell::Reference(number, text) => {
                self.markup("<td><a href=\"#reference-").number((*number).into()).markup("\"><bdi>").text(text).markup("</bdi></a></td>")
            }
        };
    }

    /// The text written so far.
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// Whether a browser obeys a character instead of showing it: control characters, separators of lines and paragraphs, and the embeddings,
/// overrides and isolates of the Unicode bidirectional algorithm (UAX 9).
fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        for (text, expected) in [
            ("a < b && c > \"d\" 'e'", "a &lt; b &amp;&amp; c &gt; &quot;d&quot; &#39;e&#39;"),
            ("</p><script>x</script>&lt;", "&lt;/p&gt;&lt;script&gt;x&lt;/script&gt;&amp;lt;"),
            ("\0\u{1b}[1m\u{9b}\u{202e}", "\\u{0}\\u{1b}[1m\\u{9b}\\u{202e}"),
            ("one\r\ntwo\rthree\tété 法律", "one\ntwo\\rthree\tété 法律"),
        ] {
            let mut html = Html::default();
            html.text(text);
            assert_eq!(html.into_string(), expected);
        }
    }

    #[test]
    fn long_text_ends_at_a_character() {
        let mut html = Html::default();
        html.long_text("éé<", 3);
        assert_eq!(html.into_string(), "é<em class=\"fine\"> … and 3 B more</em>");
        let mut html = Html::default();
        html.long_text("éé", 4);
        assert_eq!(html.into_string(), "éé");
    }
}
