//! Why a corpus was not read or cut.

use std::error::Error as StdError;
use std::io;

use thiserror::Error;

/// Why a corpus was not read or cut. `path` is a file, a folder or `standard input`; lines and bytes are those of the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// A path that does not exist.
    #[error("{path}: no such file or folder; check the path")]
    Missing {
        /// The path.
        path: String,
    },
    /// A named path that is a link to nothing.
    #[error("{path}: a link that leads nowhere; name the file that it stands for")]
    DanglingLink {
        /// The path.
        path: String,
    },
    /// A named file of an unknown kind.
    #[error("{path}: a kind of file that is not read; {advice}")]
    UnknownKind {
        /// The path.
        path: String,
        /// What to do with it.
        advice: String,
    },
    /// A file or stream that is no UTF-8 text, by its first bytes.
    #[error("{path}: this is {what}; {advice}")]
    NotText {
        /// The path.
        path: String,
        /// What it is.
        what: String,
        /// What to do with it.
        advice: String,
    },
    /// A file that is not read, because it is damaged, encrypted, too large or of no known format.
    #[error("{path}: not read, because it {reason}")]
    Unreadable {
        /// The path.
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A comment of Markdown that does not end. Whether the text after it may be read is not known.
    #[error("{path}: the comment that begins with <!-- at byte {offset} does not end; close it with -->, or put `<!--` between backticks")]
    OpenComment {
        /// The path.
        path: String,
        /// Where it begins.
        offset: u64,
    },
    /// Two documents with one id.
    #[error(
        "the id {id:?} occurs twice: {first} and {second}; ids are unique in a pack, so that one document can be withdrawn: give one of the two \
         another id (in JSON lines and in the metadata of Markdown, the field `id`), or have equal ids numbered"
    )]
    DuplicateId {
        /// The id.
        id: String,
        /// The place of the first document.
        first: String,
        /// The place of the second document.
        second: String,
    },
    /// Reading failed.
    #[error("{path}: cannot be read: {source}; check the file and its permissions")]
    Read {
        /// The path.
        path: String,
        /// What the system reports.
        source: io::Error,
    },
    /// Bytes that are not UTF-8.
    #[error("{path}: not UTF-8 at byte {offset} (found {found:#04x}); {advice}")]
    NotUtf8 {
        /// The path.
        path: String,
        /// Offset of the first byte that is not part of a character.
        offset: u64,
        /// That byte.
        found: u8,
        /// Which encoding it may be, and what to do.
        advice: String,
    },
    /// A JSON line above the cap.
    #[error("{path}, line {line}: longer than {cap} bytes, the maximum of a JSON line; split the document into several lines")]
    LineTooLong {
        /// The path.
        path: String,
        /// The line, counted from 1.
        line: u64,
        /// The cap, [`MAX_LINE_BYTES`](crate::MAX_LINE_BYTES).
        cap: usize,
    },
    /// A line that is not JSON.
    #[error("{path}, line {line}: not a JSON object: {source}; each line must be one object such as {{\"text\": \"...\"}}: {advice}")]
    NotJson {
        /// The path.
        path: String,
        /// The line, counted from 1.
        line: u64,
        /// What the parser reports.
        source: serde_json::Error,
        /// How to make lines of it.
        advice: String,
    },
    /// JSON that is not an object.
    #[error("{path}, line {line}: found {found}, expected an object such as {{\"text\": \"...\"}}: {advice}")]
    NotAnObject {
        /// The path.
        path: String,
        /// The line, counted from 1.
        line: u64,
        /// What was found.
        found: &'static str,
        /// How to make lines of it.
        advice: String,
    },
    /// A line without its text.
    #[error(
        "{path}, line {line}: the field `text` is missing; give the document's text in it, name the field that has it (--text-field), or remove the line"
    )]
    NoText {
        /// The path.
        path: String,
        /// The line, counted from 1.
        line: u64,
    },
    /// A field of the wrong type.
    #[error("{path}, line {line}: the field `{field}` is {found}, expected a string; write it in quotes")]
    FieldType {
        /// The path.
        path: String,
        /// The line, counted from 1.
        line: u64,
        /// The field.
        field: &'static str,
        /// The type found.
        found: &'static str,
    },
    /// A field above the cap.
    #[error(
        "{path}, line {line}: the field `{field}` has {found} bytes, at most {cap} are allowed; shorten it, and put long text into `text`"
    )]
    FieldTooLong {
        /// The path.
        path: String,
        /// The line, counted from 1.
        line: u64,
        /// The field.
        field: &'static str,
        /// Bytes found.
        found: usize,
        /// The cap, [`MAX_FIELD_BYTES`](crate::MAX_FIELD_BYTES).
        cap: usize,
    },
    /// A field beside those of the record, above a cap of packs.
    #[error("{place}: the field {field:?} has {found} {what}, at most {cap} are allowed; {advice}")]
    FieldCap {
        /// The file, and the line of a document that is a line.
        place: String,
        /// The field, shortened.
        field: String,
        /// What there is too much of.
        what: &'static str,
        /// How much was found.
        found: u64,
        /// The cap.
        cap: u64,
        /// What to do.
        advice: &'static str,
    },
    /// More different fields than a pack has room for.
    #[error(
        "{place}: the field {field:?} is field {} of the corpus, at most {cap} are allowed; leave fields out, or make keys that are data, such as \
         ids, into values", cap + 1
    )]
    TooManyFields {
        /// The file, and the line of a document that is a line.
        place: String,
        /// The field, shortened.
        field: String,
        /// The cap.
        cap: u64,
    },
    /// A field that a document has twice.
    #[error(
        "{place}: the field {field:?} occurs twice, and one of the two would be lost; rename one (the field `b` of an object `a` is named \
         `a.b`)"
    )]
    FieldTwice {
        /// The file, and the line of a document that is a line.
        place: String,
        /// The field, shortened.
        field: String,
    },
    /// A document above the cap for texts that are read whole.
    #[error(
        "the document {id} has more than {cap} bytes of text, the maximum of a text that is read whole; split it into several documents"
    )]
    DocumentTooLong {
        /// The document.
        id: String,
        /// The cap, [`MAX_LINE_BYTES`](crate::MAX_LINE_BYTES).
        cap: usize,
    },
    /// A corpus without words.
    #[error("the corpus {inputs} holds no document with words; name files with text (.txt, .md, .jsonl with `text`)")]
    Empty {
        /// The inputs.
        inputs: String,
    },
    /// A model whose references have no room for text.
    #[error(
        "the model's reference length is {found} tokens, of which its template takes {template}; at least {needed} are needed: change the \
         `memory` block of its config.json"
    )]
    ReferenceLength {
        /// The reference length, in tokens.
        found: usize,
        /// Tokens of the template around the text.
        template: usize,
        /// The smallest reference length that would do.
        needed: usize,
    },
    /// A length of references that the model cannot read, or that leaves no room for text.
    #[error("a reference length of {asked} tokens: this model reads references of {least} to {model} tokens")]
    CutLength {
        /// The length that was asked for, in tokens.
        asked: usize,
        /// The smallest length: the template and some words.
        least: usize,
        /// The model's own length.
        model: usize,
    },
    /// An overlap that leaves too little of a passage to what is new in it.
    #[error("an overlap of {asked} tokens is too much for references of {length}: at most {most} can be repeated")]
    Overlap {
        /// The overlap that was asked for, in tokens.
        asked: usize,
        /// The length of references.
        length: usize,
        /// The largest overlap.
        most: usize,
    },
    /// The model's tokenizer failed.
    #[error("{0}")]
    Tokens(#[source] Box<dyn StdError + Send + Sync>),
}

impl CorpusError {
    pub(crate) fn tokens(source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Tokens(Box::new(source))
    }
}
