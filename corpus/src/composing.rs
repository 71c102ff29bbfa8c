//! What is read of a reference: the title of its document, then its text.
//!
//! A passage alone often does not say what it is about, so it is read after its title, unless it begins with the title.
//! Documents are cut by this rule, and the same rule gives the same ids from the text and title of a reference in a pack.

use std::borrow::Cow;
use std::error::Error;

/// The part of a reference's tokens that its title may take is one in this many.
const TITLE_SHARE: usize = 4;
/// A text of at most so many tokens loses its title rather than be cut. Passages that are never cut are shorter, even where they take
/// some tokens more alone than within a text.
const SHORT_TEXT: usize = 16;

/// How a model divides references into tokens.
pub trait ReferenceTokens {
    /// Why a text was not encoded.
    type Error: Error + Send + Sync + 'static;

    /// The byte of `text` at which each of its tokens begins.
    ///
    /// # Errors
    /// If the tokenizer fails.
    fn token_starts(&self, text: &str) -> Result<Vec<usize>, Self::Error>;

    /// The ids that the model reads for a reference with this text, with those of the template.
    ///
    /// # Errors
    /// If the tokenizer fails.
    fn encode_reference(&self, text: &str) -> Result<Vec<u32>, Self::Error>;

    /// Maximum number of ids of a reference.
    fn max_reference_tokens(&self) -> usize;
}

/// Puts titles before texts, for one model.
pub struct Composer<'a, T: ?Sized> {
    tokens: &'a T,
    template: usize,
    /// Maximum number of ids of a reference.
    length: usize,
}

/// A reference as model and embedder read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// What is read before the text: the title with its punctuation, or nothing.
    pub lead: String,
    /// The ids that the model reads.
    pub ids: Vec<u32>,
}

/// What [`Composer::recompose`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recomposed {
    /// The reference as its memory was written from it.
    Known(Composed),
    /// The reference has another number of tokens, with its title and without.
    Unknown {
        /// The tokens that it has with its title.
        tokens: usize,
    },
}

impl<'a, T: ReferenceTokens + ?Sized> Composer<'a, T> {
    /// A composer for a model.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn new(tokens: &'a T) -> Result<Self, T::Error> {
        Ok(Self { template: tokens.encode_reference("")?.len(), tokens, length: tokens.max_reference_tokens() })
    }

    /// Limits references to `length` ids. The limit of titles stays that of the model's own length, so that a reader of the pack can compose them again.
    pub(crate) fn with_length(self, length: usize) -> Self {
        Self { length, ..self }
    }

    /// Maximum number of ids of a reference.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Number of ids of the template, which an empty reference has.
    pub fn template(&self) -> usize {
        self.template
    }

    /// What is read before the references of a document with this title. It takes at most a quarter of their tokens.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn lead(&self, title: &str) -> Result<Lead, T::Error> {
        let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
        // A longer title is cut in any case, so the tokenizer need not see more of it.
        let head = &title[..title.floor_char_boundary(4096)];
        let max = self.tokens.max_reference_tokens() / TITLE_SHARE;
        let mut kept = head;
        let mut allowed = max;
        loop {
            let starts = self.tokens.token_starts(kept)?;
            if let Some(&at) = starts.get(allowed) {
                kept = shorten(kept, at);
            }
            let text = punctuate(kept);
            // The space after the title belongs to the token of the next word.
            let used = self.tokens.encode_reference(text.trim_end())?.len();
            // Punctuation and template may join tokens or add some.
            if kept.is_empty() || used <= self.template + max || allowed == 0 {
                let text = if used <= self.template + max { text } else { String::new() };
                return Ok(Lead { tokens: used.max(self.template), text, title });
            }
            allowed = starts.len().min(allowed).saturating_sub(used - self.template - max);
        }
    }

    /// One reference. It has no title if its text begins with the title, or if there is no room for both.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn compose(&self, lead: &Lead, text: &str) -> Result<Composed, T::Error> {
        if !lead.text.is_empty() && !lead.opens(text) {
            let ids = self.tokens.encode_reference(&reference_text(&lead.text, text))?;
            if ids.len() <= self.length || self.tokens.token_starts(text)?.len() > SHORT_TEXT {
                return Ok(Composed { lead: lead.text.clone(), ids });
            }
        }
        Ok(Composed { lead: String::new(), ids: self.tokens.encode_reference(&reference_text("", text))? })
    }

    /// Composes a reference of a pack again, from its title, its text and its number of tokens. The number says whether the title was read.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn recompose(&self, title: &str, text: &str, tokens: usize) -> Result<Recomposed, T::Error> {
        let composed = self.compose(&self.lead(title)?, text)?;
        if composed.ids.len() == tokens {
            return Ok(Recomposed::Known(composed));
        }
        let untitled = self.compose(&self.lead("")?, text)?;
        let is_untitled = untitled.ids.len() == tokens;
        Ok(if is_untitled { Recomposed::Known(untitled) } else { Recomposed::Unknown { tokens: composed.ids.len() } })
    }
}

/// The title of a document as it is read before its references.
#[derive(Clone, Debug)]
pub struct Lead {
    text: String,
    title: String,
    tokens: usize,
}

impl Lead {
    /// Number of its tokens, with those of the template.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Whether a heading is the title itself.
    pub(crate) fn is_title(&self, heading: &str) -> bool {
        heading.split_whitespace().eq(self.title.split_whitespace())
    }

    /// Whether a text begins with the title itself, as a heading or in its first sentence.
    fn opens(&self, text: &str) -> bool {
        let text = text.trim_start_matches(|c: char| c == '#' || c.is_whitespace());
        text.strip_prefix(self.title.as_str()).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() && !is_cjk(c)))
    }
}

/// The text that model and embedder read of a reference: lead and text, with every line ended by a line feed.
pub fn reference_text<'t>(lead: &str, text: &'t str) -> Cow<'t, str> {
    let text = if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    if lead.is_empty() { text } else { Cow::Owned(format!("{lead}{text}")) }
}

/// Han, kana and fullwidth forms: scripts that put no spaces between words.
pub(crate) fn is_cjk(c: char) -> bool {
    matches!(u32::from(c), 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0xFF00..=0xFFEF | 0x20000..=0x3FFFF)
}

fn punctuate(title: &str) -> String {
    match title.chars().next_back() {
        None => String::new(),
        Some('.' | '!' | '?' | ':' | ';') => format!("{title} "),
        Some('。' | '！' | '？' | '：' | '；') => title.to_owned(),
        Some(c) if is_cjk(c) => format!("{title}。"),
        Some(_) => format!("{title}. "),
    }
}

/// `text` before byte `at`, without a word that `at` cuts unless it is the only one.
fn shorten(text: &str, at: usize) -> &str {
    let text = &text[..text.floor_char_boundary(at)];
    match text.rfind(char::is_whitespace) {
        Some(blank) => text[..blank].trim_end(),
        None => text,
    }
}
