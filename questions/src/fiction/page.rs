//! Layout: sentences become a text with paragraphs, capitals, and names or pronouns for the subject.

use mempack_numeric::Rng;

use super::Domain;
use super::english::{articles, capital};
use super::kind::DocumentKind;
use super::sentence::{Sentence, begins_with_pronoun};
use super::subject::{SUBJECT, Subject};

/// How a text is divided.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    OneParagraph,
    Paragraphs,
    /// Numbered, as laws and contracts often are.
    Numbered,
}

/// Lays out the sentences of a document.
pub(super) struct Page<'a> {
    pub kind: &'a DocumentKind,
    pub subject: &'a Subject,
}

impl Page<'_> {
    /// The text of the document.
    pub fn lay_out(&self, sentences: Vec<Sentence>, rng: &mut Rng) -> String {
        let layout = match rng.below(10) {
            0..2 if self.kind.domain == Domain::Legal => Layout::Numbered,
            0..5 if sentences.len() > 5 => Layout::Paragraphs,
            _ => Layout::OneParagraph,
        };
        let mut text = String::new();
        let mut numbered = 0;
        // Sentences left in this paragraph.
        let mut left = 0;
        // Whether the text has named the subject, and whether the sentence before begins with it.
        let mut known = false;
        let mut about_subject = false;
        for sentence in &sentences {
            let first = text.is_empty();
            let new = first || (layout != Layout::OneParagraph && left == 0 && !begins_with_pronoun(&sentence.text));
            if new {
                left = rng.between(1, if layout == Layout::Numbered { 2 } else { 5 });
                numbered += 1;
                if !first {
                    text.push_str(if layout == Layout::Numbered { "\n" } else { "\n\n" });
                }
                if layout == Layout::Numbered {
                    text.push_str(&format!("{numbered}. "));
                }
            } else {
                text.push(' ');
            }
            left = usize::saturating_sub(left, 1);
            let (named, leads) = self.name(&sentence.text, known, about_subject && !new, rng);
            known |= named.contains(&self.subject.full) || named.contains(&capital(&self.subject.full));
            about_subject = sentence.about_subject && leads;
            text.push_str(&capital(&articles(&named)));
        }
        text
    }

    /// The sentence with words for the subject in place of its marks, and whether it begins with the subject. `known`: the text has
    /// named the subject before. `pronoun`: a pronoun would be understood.
    fn name(&self, sentence: &str, known: bool, pronoun: bool, rng: &mut Rng) -> (String, bool) {
        let leads = sentence.starts_with(SUBJECT) || sentence.starts_with(&self.subject.full);
        let mut out = String::new();
        let mut known = known;
        let mut rest = sentence;
        while let Some((before, behind)) = rest.split_once(SUBJECT) {
            out.push_str(before);
            let possessive = behind.starts_with("'s");
            if known && pronoun && out.is_empty() && !self.kind.person && rng.chance(0.5) {
                out.push_str(if possessive { "its" } else { "it" });
                rest = if possessive { behind.trim_start_matches("'s") } else { behind };
                continue;
            }
            let noun = rng.pick(&self.kind.nouns).filter(|_| known && rng.chance(0.7));
            out.push_str(noun.copied().unwrap_or(&self.subject.full));
            known = true;
            rest = behind;
        }
        (out + rest, leads)
    }
}
