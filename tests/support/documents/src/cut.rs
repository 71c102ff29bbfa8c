//! Cutting documents into passages.

use std::convert::Infallible;
use std::io::{Cursor, Write as _, empty};

use mempack_corpus::{Composer, CorpusItem, Documents, Input, OpenDocument, Passage, ReferenceTokens, Segmenter, reference_text};

/// A tokenizer: a token for each word of ASCII letters with the blank before it, a token a byte for anything else, one for the template.
struct Words {
    limit: usize,
    /// Tokens that a text has more when it is encoded as a reference.
    extra: usize,
}

impl ReferenceTokens for Words {
    type Error = Infallible;

    fn token_starts(&self, text: &str) -> Result<Vec<usize>, Infallible> {
        let bytes = text.as_bytes();
        let goes_on = |at: usize| {
            let before = at.checked_sub(1).map(|before| bytes[before]);
            bytes[at].is_ascii_alphabetic() && before.is_some_and(|before| before.is_ascii_alphabetic() || before == b' ')
        };
        // A token may begin within a character; it counts where that begins.
        Ok((0..bytes.len()).filter(|at| !goes_on(*at)).map(|at| text.floor_char_boundary(at)).collect())
    }

    fn encode_reference(&self, text: &str) -> Result<Vec<u32>, Infallible> {
        let extra = if text.len() > 40 { self.extra } else { 0 };
        Ok(vec![0; self.count(text) + 1 + extra])
    }

    fn max_reference_tokens(&self) -> usize {
        self.limit
    }
}

impl Words {
    fn count(&self, text: &str) -> usize {
        self.token_starts(text).map_or(0, |starts| starts.len())
    }
}

/// Least tokens of a reference that a segmenter takes with [`Words`].
const MIN_TOKENS: u8 = 17;

/// Bytes of a text that is repeated until it has more blocks than one.
const LONG: usize = 150_000;

/// Cuts a text. The first byte says what the rest is: 0 a title, a line feed and a text; 1 a text file; 2 a Markdown file; 3 lines of JSON. The second is the number of
/// tokens of a reference, and the third has how many of them the tokenizer adds; if its upper half is full, a text is repeated.
pub fn cut(input: &[u8]) -> bool {
    let [kind, limit, rest, bytes @ ..] = input else { return false };
    let tokens = Words { limit: usize::from((*limit).max(MIN_TOKENS)), extra: usize::from(rest % 4) };
    let text = String::from_utf8_lossy(bytes);
    let repeated = |text: &str| match rest >> 4 {
        15 if !text.is_empty() => text.repeat(LONG.div_ceil(text.len()).min(100)),
        _ => text.to_owned(),
    };
    match kind % 4 {
        0 => {
            let (title, text) = text.split_once('\n').unwrap_or(("", &text));
            let text = repeated(text);
            let row = serde_json::json!({ "title": title, "text": text }).to_string();
            for document in documents(&[Input::Stdin], row.into_bytes()) {
                check(&tokens, document, Some(&text));
            }
        }
        1 | 2 => {
            let text = repeated(&text);
            if mempack_extract::is_known(&text.as_bytes()[..text.len().min(64 << 10)]) {
                return false;
            }
            let (suffix, plain) = if kind % 4 == 1 { (".txt", true) } else { (".md", false) };
            let mut file = tempfile::Builder::new().suffix(suffix).tempfile().expect("a temporary file");
            file.write_all(text.as_bytes()).expect("written");
            for document in documents(&[Input::Path(file.path().into())], Vec::new()) {
                // What has NUL characters may be read as UTF-16.
                check(&tokens, document, (plain && !text.contains('\0')).then_some(&text));
            }
        }
        _ => {
            if mempack_extract::is_known(bytes) {
                return false;
            }
            let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile().expect("a temporary file");
            file.write_all(bytes).expect("written");
            for document in documents(&[Input::Path(file.path().into())], Vec::new()) {
                check(&tokens, document, None);
            }
        }
    }
    true
}

/// The documents of a corpus, up to an error.
fn documents(inputs: &[Input], stdin: Vec<u8>) -> Vec<OpenDocument> {
    let documents = if stdin.is_empty() { Documents::new(inputs, empty()) } else { Documents::new(inputs, Cursor::new(stdin)) };
    let items = documents.with_fields().map_while(|item| match item {
        Ok(CorpusItem::Document(document)) => Some(Some(document)),
        Ok(CorpusItem::Note(note)) => {
            assert!(note.to_string().len() > 10, "{note:?} does not say what is wrong");
            Some(None)
        }
        Err(error) => {
            assert!(error.to_string().len() > 10, "{error:?} does not say what is wrong");
            None
        }
    });
    items.flatten().collect()
}

/// Cuts a document. Panics if a passage is not as it must be; more must hold where the text is known.
fn check(tokens: &Words, document: OpenDocument, text: Option<&str>) {
    let segmenter = Segmenter::new(tokens).expect("room for a text");
    let Ok(cut) = segmenter.cut(document) else { return };
    let Some(passages) = cut else {
        assert!(text.is_none_or(|text| !has_words(text)), "a text without passages has words: {text:?}");
        return;
    };
    let composer = Composer::new(tokens).expect("a tokenizer that does not fail");
    let lead = composer.lead(&passages.metadata().title).expect("a tokenizer that does not fail");
    let mut from = text.map_or(0, |text| if text.starts_with('\u{FEFF}') { 3 } else { 0 });
    let mut ended = false;
    for passage in passages {
        let Ok(passage) = passage else {
            ended = true;
            break;
        };
        let (start, end) = (passage.start as usize, passage.end as usize);
        assert!(from <= start && start < end, "{start}..{end} after {from}");
        assert!(passage.ids.len() <= tokens.limit, "{} tokens: {passage:?}", passage.ids.len());
        let composed = reference_text(&passage.lead, &passage.text);
        assert_eq!(passage.ids, tokens.encode_reference(&composed).unwrap_or_default(), "{passage:?}");
        // A reader composes the reference from the title and the text of the pack.
        let again = composer.compose(&lead, &passage.text).expect("a tokenizer that does not fail");
        assert_eq!((&again.lead, &again.ids), (&passage.lead, &passage.ids));
        if let Some(text) = text {
            check_passage(tokens, &passage, text, from);
        }
        from = end;
    }
    if let Some(text) = text.filter(|_| !ended) {
        assert!(!has_words(&text[from..]), "{:?} is in no passage", &text[from..]);
    }
}

/// What must hold of a passage where the text is known; the passage before it ends at byte `from`.
fn check_passage(tokens: &Words, passage: &Passage, text: &str, from: usize) {
    let (start, end) = (passage.start as usize, passage.end as usize);
    // Blocks without words are left out.
    assert!(!has_words(&text[from..start]), "{:?} is in no passage", &text[from..start]);
    let own = &text[start..end];
    assert!(!own.is_empty() && own.trim() == own, "{own:?} begins or ends with white space");
    let above = passage.text.strip_suffix(own).expect("a passage ends with the document's own bytes");
    assert!(above.is_empty() || above.trim_end_matches(' ').ends_with('\n') && above.trim_start() == above, "{above:?}");
    // Lines above stand in the document, whole or but for their end, and keep to their share. (The header of a table may lose words.)
    let all = words(text);
    for line in above.trim_end().lines().filter(|line| !line.contains('|')) {
        assert!(all.contains(&words(line.trim_end_matches('…'))), "{line:?} is not in the text");
    }
    assert!(tokens.count(above.trim_end_matches(' ')) <= tokens.limit / 2, "{above:?} has more than its share");
}

/// A text with one blank for all white space between words.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has_words(text: &str) -> bool {
    text.contains(char::is_alphanumeric)
}
