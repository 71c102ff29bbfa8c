//! Where the bytes of the file are.

use mempack_format::{PAGE_BYTES, SIGNATURE_BYTES, Section, TRAILER_HEADER_BYTES, Tag};
use mempack_runtime::MappedPack;

use crate::html::{Cell, Column, Html};
use crate::words::thousands;

/// A part of the file: its name, what it holds, its bytes.
type Part = (String, &'static str, u64);

/// What a section holds.
fn holds(tag: Tag) -> &'static str {
    const SECTIONS: [(Tag, &str); 19] = [
        (Tag::MANIFEST, "what the pack is and depends on"),
        (Tag::DOCUMENT_INDEX, "where each document begins"),
        (Tag::DOCUMENTS, "documents"),
        (Tag::REFERENCES, "references"),
        (Tag::ORIGINS, "where references come from"),
        (Tag::TEXT, "texts, compressed"),
        (Tag::TEXT_INDEX, "where each block of text begins"),
        (Tag::CODEC, "codebooks"),
        (Tag::MEMORIES, "memories"),
        (Tag::EMBEDDINGS, "embeddings"),
        (Tag::COARSE_EMBEDDINGS, "embeddings of 8 bits a dimension"),
        (Tag::GRAPH, "search graph"),
        (Tag::LEAVES, "digests of memories, embeddings and texts"),
        (Tag::QUALITY, "what the codec loses"),
        (Tag::PROMPTS, "prompts of the embedder"),
        (Tag::BUDGET, "how many tokens each head keeps"),
        (Tag::TERMS, "index of words"),
        (Tag::METADATA, "fields of documents"),
        (Tag::PLACES, "places in documents"),
    ];
    SECTIONS.iter().find(|(known, _)| *known == tag).map_or("not known to this program", |(_, what)| what)
}

/// The parts of the file: they add up to it.
fn parts(pack: &MappedPack) -> Vec<Part> {
    let sections = pack.sections();
    let of = |Section { tag, length, .. }: &Section| (tag.to_string(), holds(*tag), *length);
    let inside = sections.iter().map(|section| section.length).sum::<u64>() + PAGE_BYTES;
    let mut parts = vec![("Header".to_owned(), "header and table of sections", PAGE_BYTES)];
    parts.extend(sections.iter().map(of));
    parts.push(("Padding".to_owned(), "zeros between sections", pack.bytes().saturating_sub(inside)));
    match pack.signatures().len() as u64 {
        0 => {}
        count => parts.push(("Signatures".to_owned(), "signatures behind the pack", TRAILER_HEADER_BYTES + count * SIGNATURE_BYTES)),
    }
    parts
}

/// A table of the parts of the file.
pub(crate) fn write(html: &mut Html, pack: &MappedPack) {
    let parts = parts(pack);
    let whole: u64 = parts.iter().map(|(_, _, bytes)| bytes).sum();
    html.markup("<section id=\"sizes\"><h2>Sizes</h2>\n");
    let columns = [Column::text("Section"), Column::text("Holds"), Column::number("Bytes"), Column::text("Share of the file")];
    let row = |(name, holds, bytes): Part| {
        let share = bytes as f64 / whole as f64;
        vec![Cell::Head(name), Cell::Text(holds.to_owned()), Cell::Number(thousands(bytes)), Cell::Share(share)]
    };
    let total = vec![Cell::Head("File".to_owned()), Cell::Text("all of it".to_owned()), Cell::Number(thousands(whole)), Cell::Share(1.0)];
    html.table("Bytes of each section, in the order of the file", &columns, parts.into_iter().map(row).chain([total]));
    html.markup("</section>\n");
}
