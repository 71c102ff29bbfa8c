//! The words of a block, while they are gathered.

use crate::Place;

/// The words of a block: white space is single blanks, and a line feed is one that stays.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub text: String,
    /// Places within it, by byte.
    pub marks: Vec<(usize, Place)>,
    /// Bytes at its beginning that are bold.
    pub bold: usize,
    /// Emphasis that words now have.
    is_bold: u32,
}

impl Line {
    /// The line after this one.
    pub fn next(&self) -> Self {
        Self { is_bold: self.is_bold, ..Self::default() }
    }

    /// Adds words.
    pub fn push(&mut self, words: &str) {
        let before = self.text.len();
        for c in words.chars() {
            match c {
                '\u{AD}' | '\u{200B}' | '\u{FEFF}' | '\0'..='\u{8}' => {}
                c if c.is_whitespace() => self.blank(),
                c => self.text.push(c),
            }
        }
        if self.is_bold > 0 && (self.bold == before || self.text[self.bold.min(before)..before].trim().is_empty()) {
            self.bold = self.text.len();
        }
    }

    /// Adds a blank between words.
    pub fn blank(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with([' ', '\n']) {
            self.text.push(' ');
        }
    }

    /// Begins a line. Gives whether it is the second time at once.
    pub fn feed(&mut self) -> bool {
        if self.text.ends_with(' ') {
            self.text.pop();
        }
        let again = self.text.ends_with('\n');
        if !self.text.is_empty() && !again {
            self.text.push('\n');
        }
        again
    }

    /// What is added next stands at a place.
    pub fn mark(&mut self, place: Place) {
        self.marks.push((self.text.len(), place));
    }

    /// Words after this are bold, up to [`end_bold`](Self::end_bold).
    pub fn begin_bold(&mut self) {
        self.is_bold += 1;
    }

    /// Ends what [`begin_bold`](Self::begin_bold) began.
    pub fn end_bold(&mut self) {
        self.is_bold = self.is_bold.saturating_sub(1);
    }

    /// Whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Takes the first bytes off, and the blanks after them.
    pub fn cut(&mut self, bytes: usize) {
        let bytes = self.text.len() - self.text[bytes..].trim_start().len();
        self.text.drain(..bytes);
        self.marks.iter_mut().for_each(|(at, _)| *at = at.saturating_sub(bytes));
        self.bold = self.bold.saturating_sub(bytes);
    }

    /// Takes off all but the first bytes.
    pub fn truncate(&mut self, bytes: usize) {
        self.text.truncate(bytes);
        self.marks.iter_mut().for_each(|(at, _)| *at = (*at).min(bytes));
        self.bold = self.bold.min(bytes);
    }

    /// What is added next stands at the places of another line, whose words are left out or stand elsewhere.
    pub fn mark_as(&mut self, other: Self) {
        other.marks.into_iter().for_each(|(_, place)| self.mark(place));
    }

    /// Without the blanks at the end.
    pub fn trimmed(mut self) -> Self {
        self.truncate(self.text.trim_end().len());
        self
    }
}
