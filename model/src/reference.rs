//! The text that is encoded for a reference: the title of its document, then its own text.
//!
//! A passage alone often does not name its subject, so the title is put before it, unless the passage begins with the title. Documents
//! are cut by this rule, and a reference's text and title always give the same ids.

use std::borrow::Cow;

use crate::{ComputeError, Model};

/// A title may take one part in this number of a reference's tokens.
const TITLE_SHARE: usize = 4;
/// A text of at most this number of tokens is left without its title rather than cut. It is larger than the length that is never cut,
/// because a text may have more tokens alone than between others.
const SHORT_TEXT: usize = 16;

/// The tokenization that [`Composer`] needs.
pub trait ReferenceTokens {
    /// The byte of `text` where each of its tokens begins.
    ///
    /// # Errors
    /// If the tokenizer fails.
    fn starts(&self, text: &str) -> Result<Vec<usize>, ComputeError>;
    /// The ids that the model reads for a reference of this text, template included.
    ///
    /// # Errors
    /// If the tokenizer fails.
    fn reference(&self, text: &str) -> Result<Vec<u32>, ComputeError>;
    /// Max ids of a reference.
    fn limit(&self) -> usize;
}

impl ReferenceTokens for Model {
    fn starts(&self, text: &str) -> Result<Vec<usize>, ComputeError> {
        Ok(self.tokenizer().encode_spans(text)?.into_iter().map(|(_, span)| span.start).collect())
    }

    fn reference(&self, text: &str) -> Result<Vec<u32>, ComputeError> {
        crate::reference_tokens(self, text)
    }

    fn limit(&self) -> usize {
        self.memory().reference_length as usize
    }
}

/// Puts titles before texts, for one model.
pub struct Composer<'a, T: ReferenceTokens + ?Sized> {
    tokens: &'a T,
    template: usize,
}

/// A reference as model and embedder read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// The title with its punctuation, or nothing.
    pub lead: String,
    /// The ids that the model reads.
    pub ids: Vec<u32>,
}

impl<'a, T: ReferenceTokens + ?Sized> Composer<'a, T> {
    /// A composer for a model's tokenization.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn new(tokens: &'a T) -> Result<Self, ComputeError> {
        Ok(Self { template: tokens.reference("")?.len(), tokens })
    }

    /// Number of ids of an empty reference, which are the template's.
    pub fn template(&self) -> usize {
        self.template
    }

    /// The title as it is put before the references of a document. It takes at most a quarter of their tokens.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn lead(&self, title: &str) -> Result<Lead, ComputeError> {
        let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
        // A longer title is cut anyway, and need not be tokenized whole.
        let head = &title[..title.floor_char_boundary(4096)];
        let max = self.tokens.limit() / TITLE_SHARE;
        let mut kept = head;
        let mut allowed = max;
        loop {
            let starts = self.tokens.starts(kept)?;
            if let Some(&at) = starts.get(allowed) {
                kept = shorten(kept, at);
            }
            let text = punctuate(kept);
            // The space after the title is part of the next word's token.
            let used = self.tokens.reference(text.trim_end())?.len();
            // Punctuation and template may join tokens or add some.
            if kept.is_empty() || used <= self.template + max || allowed == 0 {
                let text = if used <= self.template + max { text } else { String::new() };
                return Ok(Lead { used: used.max(self.template), text, title });
            }
            allowed = starts.len().min(allowed).saturating_sub(used - self.template - max);
        }
    }

    /// Composes a reference. The title is left out if the text begins with it, or if both do not fit.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn compose(&self, lead: &Lead, text: &str) -> Result<Composed, ComputeError> {
        if !lead.text.is_empty() && !lead.opens(text) {
            let ids = self.tokens.reference(&reference_text(&lead.text, text))?;
            if ids.len() <= self.tokens.limit() || self.tokens.starts(text)?.len() > SHORT_TEXT {
                return Ok(Composed { lead: lead.text.clone(), ids });
            }
        }
        Ok(Composed { lead: String::new(), ids: self.tokens.reference(&reference_text("", text))? })
    }
}

/// The title of a document as it is put before its references.
#[derive(Clone, Debug)]
pub struct Lead {
    text: String,
    title: String,
    used: usize,
}

impl Lead {
    /// Tokens of the title and the template.
    pub fn tokens(&self) -> usize {
        self.used
    }

    /// Whether a text begins with the title, as a heading or in its first sentence.
    fn opens(&self, text: &str) -> bool {
        let text = text.trim_start_matches(|c: char| c == '#' || c.is_whitespace());
        text.strip_prefix(self.title.as_str()).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() && !is_cjk(c)))
    }
}

/// The text of a reference that model and embedder read. CRLF line ends become LF.
pub fn reference_text<'t>(lead: &str, text: &'t str) -> Cow<'t, str> {
    let text = if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    if lead.is_empty() { text } else { Cow::Owned(format!("{lead}{text}")) }
}

/// Whether a character is Han, kana or a fullwidth form: scripts without spaces between words.
pub fn is_cjk(c: char) -> bool {
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

/// `text` before byte `at`, without a last word that is cut.
fn shorten(text: &str, at: usize) -> &str {
    let text = &text[..text.floor_char_boundary(at)];
    match text.rfind(char::is_whitespace) {
        Some(blank) => text[..blank].trim_end(),
        None => text,
    }
}
