//! What an answer was read from, in the form of OpenAI's annotations.

use mempack_model::{Model, TextStream};
use mempack_retrieval::Hit;
use mempack_runtime::{Answer, OnDamage, PackReference, cite};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::error::ApiError;

/// A reference that a chunk of the conversation read, as an annotation of OpenAI's kind `url_citation`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Annotation {
    /// `url_citation`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What every client of OpenAI's interface understands.
    pub url_citation: UrlCitation,
    /// What this server knows of the reference.
    pub mempack: Citation,
}

/// Where a reference is from, and the part of the answer that could read it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct UrlCitation {
    /// `mempack:PACK_ID/DOCUMENT#bytes=START-END`.
    pub url: String,
    /// The document's title, or its id.
    pub title: String,
    /// Where the tokens that could read it begin in the answer, in Unicode code points.
    pub start_index: usize,
    /// Where they end, exclusive.
    pub end_index: usize,
}

/// A reference that a chunk read.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Citation {
    /// Name of the pack.
    pub pack: String,
    /// Id of the pack's content.
    pub pack_id: String,
    /// Id of the document.
    pub document: String,
    /// Title of the document.
    pub title: String,
    /// Number of the reference in the pack.
    pub reference: u32,
    /// Offset of its text in the document's text, in bytes.
    pub start: u64,
    /// End of its text, exclusive, in bytes.
    pub end: u64,
    /// Where it stands in the document, as a citation says it: `pp. 12-13, § 4.2 (b)`; empty if the pack does not say.
    pub location: String,
    /// The headings that it stands below, the outermost first.
    pub headings: Vec<String>,
    /// The page, or pages such as `12-13`; else the field `page` of the document.
    #[schema(value_type = Object)]
    pub page: Value,
    /// The article or section; else the field `section` of the document.
    #[schema(value_type = Object)]
    pub section: Value,
    /// The chunk of 64 tokens of the conversation that read it, from 0.
    pub chunk: usize,
    /// Its place among the references of this chunk, from 0.
    pub place: usize,
    /// Its text; null if it is damaged.
    pub text: Option<String>,
    /// Its similarity to the chunk's query.
    pub similarity: f32,
    /// The reranker's score, if there is a reranker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank_score: Option<f32>,
    /// The share of attention that the answer's tokens of this chunk gave to its memory, a mean of 0 to 1; null if no token was chosen there.
    pub attention: Option<f64>,
    /// The other fields of the document.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
}

/// What the tokens of an answer leaned on.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Attention {
    /// The tokens, in their order.
    pub tokens: Vec<TokenAttention>,
}

/// What a token leaned on.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TokenAttention {
    /// Its text; the last token of a character has the character.
    pub text: String,
    /// Where it begins in the answer, in Unicode code points.
    pub start: usize,
    /// Where it ends, exclusive.
    pub end: usize,
    /// The chunk whose memories it read.
    pub chunk: usize,
    /// The share of attention that each memory of the chunk got, in the order of their places.
    pub shares: Vec<f32>,
}

/// A token in the text of an answer.
struct Piece {
    text: String,
    start: usize,
    end: usize,
}

/// The tokens of an answer, as parts of its text.
fn pieces(model: &Model, answer: &Answer) -> Result<Vec<Piece>, ApiError> {
    let length = answer.text.chars().count();
    let mut stream = TextStream::new(model.tokenizer());
    let mut at = 0;
    let piece = |token: &u32| {
        let text = stream.push(*token).map_err(|error| {
            tracing::error!(%error, "an answer cannot be cited");
            ApiError::internal()
        })?;
        // White space at the beginning of an answer is no part of it, unless it continues a text.
        let text = if at == 0 && !answer.text.starts_with(char::is_whitespace) { text.trim_start() } else { &text };
        // A stop string may have cut the text.
        let (start, end) = (at.min(length), (at + text.chars().count()).min(length));
        at = end;
        Ok(Piece { text: text.chars().take(end - start).collect(), start, end })
    };
    answer.tokens.iter().map(piece).collect()
}

/// The references that an answer was read from, chunk by chunk.
///
/// # Errors
/// A pack that is damaged.
pub fn annotations(model: &Model, answer: &Answer) -> Result<Vec<Annotation>, ApiError> {
    let (pieces, shares) = (pieces(model, answer)?, answer.attention_of_chunks());
    let mut annotations = Vec::new();
    for (at, chunk) in answer.chunks.iter().enumerate() {
        let mut tokens = pieces.iter().zip(&answer.attention).filter(|(_, token)| token.chunk == at).map(|(piece, _)| piece);
        let first = tokens.next();
        let (start_index, end_index) = first.map_or((0, 0), |first| (first.start, tokens.next_back().unwrap_or(first).end));
        for (place, read) in chunk.reads.iter().enumerate() {
            let attention = shares.get(at).and_then(Option::as_ref).and_then(|shares| shares.get(place)).copied();
            let mut citation = cite_hit(&read.hit, read.rerank_score, OnDamage::Skip(&answer.skipped))?;
            (citation.chunk, citation.place, citation.attention) = (chunk.chunk, place, attention);
            let title = if citation.title.is_empty() { citation.document.clone() } else { citation.title.clone() };
            let url_citation = UrlCitation { url: url(&citation), title, start_index, end_index };
            annotations.push(Annotation { kind: "url_citation", url_citation, mempack: citation });
        }
    }
    Ok(annotations)
}

/// What the tokens of an answer leaned on.
///
/// # Errors
/// A failure of the tokenizer.
pub fn attention(model: &Model, answer: &Answer) -> Result<Attention, ApiError> {
    let tokens = pieces(model, answer)?.into_iter().zip(&answer.attention).map(|(Piece { text, start, end }, attention)| TokenAttention {
        text,
        start,
        end,
        chunk: answer.chunks.get(attention.chunk).map_or(0, |chunk| chunk.chunk),
        shares: attention.shares.clone(),
    });
    Ok(Attention { tokens: tokens.collect() })
}

/// A reference, without the chunk that read it.
///
/// # Errors
/// A pack that is damaged.
pub fn cite_hit(hit: &Hit<PackReference>, rerank_score: Option<f32>, on_damage: OnDamage<'_>) -> Result<Citation, ApiError> {
    let cited = cite(hit, on_damage).map_err(|error| {
        tracing::error!(%error, "a reference cannot be cited");
        if error.is_damage() { ApiError::damaged() } else { ApiError::internal() }
    })?;
    let mut metadata: Map<String, Value> = cited.found.metadata.iter().map(|field| (field.name.clone(), field.to_json())).collect();
    let place = cited.found.place;
    let location = place.to_string();
    let pages = |(first, last)| if first == last { Value::from(first) } else { Value::from(format!("{first}-{last}")) };
    let sections = |(first, last)| Value::from(if first == last { first } else { format!("{first} to {last}") });
    let (page, section) = (place.pages.map(pages), place.sections.map(sections));
    Ok(Citation {
        pack: cited.pack,
        pack_id: cited.id.to_string(),
        document: cited.found.document,
        title: cited.found.title,
        reference: cited.found.reference,
        start: cited.found.start,
        end: cited.found.end,
        location,
        headings: place.headings,
        page: page.or_else(|| metadata.remove("page")).unwrap_or_default(),
        section: section.or_else(|| metadata.remove("section")).unwrap_or_default(),
        chunk: 0,
        place: 0,
        text: (!cited.text_damaged).then_some(cited.found.text),
        similarity: cited.found.similarity,
        rerank_score,
        attention: None,
        metadata,
    })
}

fn url(citation: &Citation) -> String {
    let Citation { pack_id, document, start, end, .. } = citation;
    let mut url = format!("mempack:{pack_id}/");
    for byte in document.bytes() {
        // RFC 3986, section 2.3.
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            url.push(char::from(byte))
        } else {
            url.push_str(&format!("%{byte:02X}"))
        }
    }
    format!("{url}#bytes={start}-{end}")
}
