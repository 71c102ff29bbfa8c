//! What the pack is: counts, model, embedder, signatures, metadata.

use mempack_format::Manifest;
use mempack_runtime::MappedPack;

use crate::html::{Cell, Column, Html};
use crate::metadata::FieldRow;
use crate::words::{bytes, kept, signers, thousands};

/// A table of names and what they are.
fn facts<const N: usize>(html: &mut Html, caption: &str, rows: [(&str, String); N]) {
    let rows = rows.into_iter().map(|(name, value)| vec![Cell::Head(name.to_owned()), Cell::Text(value)]);
    html.table(caption, &[Column::text("Field"), Column::text("Value")], rows);
}

/// The pack as a whole, and how much it holds.
pub(crate) fn pack(html: &mut Html, pack: &MappedPack) {
    let Manifest { generator, counts, .. } = pack.manifest();
    let (major, minor) = pack.version();
    html.markup("<section id=\"pack\"><h2>Pack</h2>\n");
    facts(
        html,
        "The pack and what it holds",
        [
            ("Id", pack.id().to_string()),
            ("Format", format!("version {major}.{minor}, written by {generator}")),
            ("Size", format!("{} ({} bytes)", bytes(pack.bytes()), thousands(pack.bytes()))),
            ("Documents", thousands(counts.documents.into())),
            ("References", thousands(counts.references.into())),
            ("Places of references in documents", thousands(counts.origins)),
            ("Tokens of references", thousands(counts.tokens)),
            ("Text before compression", bytes(counts.text_bytes)),
        ],
    );
    html.markup("</section>\n");
}

/// What memories and embeddings depend on.
pub(crate) fn identity(html: &mut Html, pack: &MappedPack) {
    let Manifest { model, precision, embedder, graph, .. } = pack.manifest();
    let shape = &model.shape;
    let last = u64::from(model.first_memory_layer) + u64::from(shape.layers.saturating_sub(1));
    html.markup(
        "<section id=\"identity\"><h2>Model and embedder</h2>\n<p>A model can read the pack if everything but its name is the same.</p>\n",
    );
    facts(
        html,
        "The model that wrote the memories",
        [
            ("Name", model.name.clone()),
            ("Precision of the memories", precision.clone()),
            ("Layers", format!("{}, of which {} to {last} have memories", model.layers, model.first_memory_layer)),
            ("Heads of a layer", format!("{} query heads, {} key-value heads", model.query_heads, shape.heads)),
            ("Dimensions of a key or value", shape.head_dim.to_string()),
            ("Tokens kept by a head", kept(shape)),
            ("Longest reference", format!("{} tokens", model.reference_length)),
            ("Reference template", format!("{:?}", model.reference_template)),
            ("Tokens before a reference", format!("{:?}", model.prefix_ids)),
            ("Selection of tokens", model.selection.clone()),
            ("Base of the rotary embedding", model.rope_base.to_string()),
            ("Digest of the weights", model.weights.to_string()),
            ("Digest of the adapter", model.adapter.map_or("none".into(), |digest| digest.to_string())),
            ("Digest of the configuration", model.config.to_string()),
            ("Digest of the tokenizer", model.tokenizer.to_string()),
        ],
    );
    let prompts = embedder.prompts.as_ref().map_or("none".into(), |prompts| format!("{:?}, {:?}", prompts.query, prompts.passage));
    facts(
        html,
        "The embedder",
        [
            ("Name", embedder.name.clone()),
            ("Dimensions", embedder.dim.to_string()),
            ("Similarity", embedder.metric.clone()),
            ("Longest text", format!("{} tokens", embedder.max_tokens)),
            ("Prompts of queries and passages", prompts),
            ("Digest", embedder.digest.to_string()),
            ("Search graph", graph.map_or("none".into(), |g| format!("HNSW, m {}, ef_construction {}", g.m, g.ef_construction))),
        ],
    );
    html.markup("</section>\n");
}

/// Who signed.
pub(crate) fn signatures(html: &mut Html, pack: &MappedPack) {
    html.markup("<section id=\"signatures\"><h2>Signatures</h2>\n");
    let signers = signers(pack.signatures(), pack.id());
    if signers.is_empty() {
        html.markup("<p>Nobody signed the pack.</p>\n");
    } else {
        let said = |right| if right { "right" } else { "wrong: not a signature of this pack" };
        let rows = signers.into_iter().map(|(key, right)| vec![Cell::Head(key), Cell::Text(said(right).to_owned())]);
        html.table("Keys that signed, by their ids", &[Column::text("Key"), Column::text("Signature")], rows);
        html.markup(
            "<p class=\"fine\">A key id names a key and proves nothing: <code>mempack verify --trusted</code> compares whole keys.</p>\n",
        );
    }
    html.markup("</section>\n");
}

/// The fields of documents, if they have any.
pub(crate) fn metadata(html: &mut Html, fields: &[FieldRow]) {
    if fields.is_empty() {
        return;
    }
    html.markup("<section id=\"metadata\"><h2>Fields of documents</h2>\n");
    let columns = [Column::text("Field"), Column::text("Kind"), Column::number("Values"), Column::number("Documents")];
    let rows = fields.iter().map(|FieldRow { name, kind, list, values, documents }| {
        let kind = format!("{}{kind}", if *list { "list of " } else { "" });
        vec![Cell::Head(name.clone()), Cell::Text(kind), Cell::Number(thousands(u64::from(*values))), Cell::Number(thousands(*documents))]
    });
    html.table("Fields, their distinct values, and the documents that have them", &columns, rows);
    html.markup("</section>\n");
}
