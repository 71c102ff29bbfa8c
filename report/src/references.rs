//! References: where they come from, which of their tokens are kept, and what is near them.

use mempack_runtime::{MappedPack, ResolvedHit};

use crate::codec::MAX_HEADS_LISTED;
use crate::heat::{Kept, legend};
use crate::html::{Cell, Column, Html};
use crate::sample::{Sample, Shown};
use crate::token_text::{Piece, TokenText};
use crate::words::thousands;

/// Bytes of a text that are shown. References of the compiler are shorter by far.
const MAX_TEXT: usize = 32 << 10;
/// Bytes of an id, a title or a value that are shown.
const MAX_WORDS: usize = 1 << 10;
/// Tokens that are named as those that most heads keep.
const MOST_KEPT: usize = 8;

/// The opening tag of a token that heads keep, by its shade.
const TOKENS: [&str; crate::heat::LEVELS] = [
    "<span class=\"token k0\" title=\"",
    "<span class=\"token k1\" title=\"",
    "<span class=\"token k2\" title=\"",
    "<span class=\"token k3\" title=\"",
    "<span class=\"token k4\" title=\"",
    "<span class=\"token k5\" title=\"",
];
/// The same of the legend.
const SHADES: [&str; crate::heat::LEVELS] = [
    "<li><span class=\"token k0\">",
    "<li><span class=\"token k1\">",
    "<li><span class=\"token k2\">",
    "<li><span class=\"token k3\">",
    "<li><span class=\"token k4\">",
    "<li><span class=\"token k5\">",
];

/// The sample, and what is near it.
pub(crate) fn write(html: &mut Html, pack: &MappedPack, sample: &Sample) {
    html.markup("<section id=\"references\"><h2>References</h2>\n");
    if sample.references.is_empty() {
        html.markup("<p>There are none to show.</p>\n</section>\n");
        return;
    }
    html.markup("<p>").number(sample.references.len() as u64).markup(" of ").text(&thousands(pack.manifest().counts.references.into()));
    html.markup(" references, spread over the pack. Shaded tokens are those that heads keep; the more heads keep a token, the stronger its shade.</p>\n");
    let holding = sample.references.first().map_or(0, |reference| reference.kept.holding());
    write_legend(html, holding);
    index(html, &sample.references);
    for reference in &sample.references {
        shown(html, pack, reference, sample.exact);
    }
    html.markup("</section>\n");
    if !sample.others.is_empty() {
        html.markup("<section id=\"near\"><h2>Other references that are near</h2>\n");
        sample.others.iter().for_each(|found| other(html, found));
        html.markup("</section>\n");
    }
}

fn write_legend(html: &mut Html, holding: usize) {
    html.markup("<ul class=\"legend\" aria-label=\"Shades\">\n");
    for (level, fewest, most) in legend(holding) {
        html.markup(SHADES.get(level).copied().unwrap_or_default()).number(fewest as u64);
        if most > fewest {
            html.markup("–").number(most as u64);
        }
        html.markup("</span></li>\n");
    }
    html.markup("</ul>\n<p class=\"fine\">Heads that keep a token, of the ").number(holding as u64).markup(" that keep any.</p>\n");
}

/// Links to the references shown.
fn index(html: &mut Html, references: &[Shown]) {
    let columns = [Column::text("Reference"), Column::text("Document"), Column::number("Tokens"), Column::number("Kept by a head")];
    let row = |Shown { found, kept, .. }: &Shown| {
        let some = (0..kept.tokens).filter(|token| kept.count(*token) > 0).count();
        vec![
            Cell::Reference(found.reference, found.reference.to_string()),
            Cell::Text(cut(name(found))),
            Cell::Number(kept.tokens.to_string()),
            Cell::Number(some.to_string()),
        ]
    };
    html.table("The references of the sample", &columns, references.iter().map(row));
}

fn shown(html: &mut Html, pack: &MappedPack, reference: &Shown, exact: bool) {
    let Shown { found, kept, text, near } = reference;
    begin(html, found);
    match text {
        Some(TokenText::Known { text, pieces }) => map(html, text, pieces, kept),
        Some(TokenText::Unknown(why)) => {
            html.markup("<p class=\"fine\">The text is shown without its tokens: ").text(why).markup(".</p>\n");
            unmarked(html, &found.text);
            cells(html, kept, 0);
        }
        None => {
            unmarked(html, &found.text);
            cells(html, kept, 0);
        }
    }
    most_kept(html, reference);
    positions(html, pack, kept);
    if !near.is_empty() {
        let columns = [Column::text("Reference"), Column::number("Cosine")];
        let row = |hit: &mempack_runtime::Hit| {
            let number = hit.reference.to_string();
            vec![Cell::Reference(hit.reference, format!("Reference {number}")), Cell::Number(format!("{:.4}", hit.similarity))]
        };
        let caption = if exact { "Nearest references" } else { "Nearest references that the search graph finds" };
        html.table(caption, &columns, near.iter().map(row));
    }
    html.markup("</article>\n");
}

/// A reference that is not of the sample.
fn other(html: &mut Html, found: &ResolvedHit) {
    begin(html, found);
    unmarked(html, &found.text);
    html.markup("</article>\n");
}

/// The document's title, or its id if it has none.
fn name(found: &ResolvedHit) -> &str {
    if found.title.is_empty() { &found.document } else { &found.title }
}

/// A text for a cell, cut where it is long.
fn cut(text: &str) -> String {
    let shown = text.get(..text.floor_char_boundary(MAX_WORDS)).unwrap_or_default();
    if shown.len() < text.len() { format!("{shown} …") } else { shown.to_owned() }
}

/// The opening of an article: heading, document, places, fields.
fn begin(html: &mut Html, found: &ResolvedHit) {
    let number = u64::from(found.reference);
    html.markup("<article id=\"reference-")
        .number(number)
        .markup("\" aria-labelledby=\"title-")
        .number(number)
        .markup("\">\n<h3 id=\"title-");
    html.number(number).markup("\">Reference ").number(number).markup(": <bdi>").text(&cut(name(found))).markup("</bdi></h3>\n");
    html.markup("<dl>\n");
    let mut fact = |name: &str, value: &str| {
        html.markup("<div><dt><bdi>")
            .text(&cut(name))
            .markup("</bdi></dt><dd><bdi>")
            .long_text(value, MAX_WORDS)
            .markup("</bdi></dd></div>\n");
    };
    fact("Document", &found.document);
    fact("Title", if found.title.is_empty() { "none" } else { &found.title });
    fact("Bytes of the document", &format!("{} to {}", thousands(found.start), thousands(found.end)));
    if !found.place.is_empty() {
        fact("Place", &found.place.to_string());
        if !found.place.headings.is_empty() {
            fact("Headings", &found.place.headings.join(" > "));
        }
    }
    for place in &found.further {
        let (start, end) = (thousands(place.start), thousands(place.end));
        fact("Also in", &format!("{}, bytes {start} to {end}", cut(&place.document)));
    }
    let listed = found.further.len() as u64 + 1;
    if u64::from(found.origins) > listed {
        fact("And in", &format!("{} more places", thousands(u64::from(found.origins) - listed)));
    }
    for field in &found.metadata {
        fact(&field.name, &field.values.join(", "));
    }
    html.markup("</dl>\n");
}

fn unmarked(html: &mut Html, text: &str) {
    html.markup("<p class=\"words\" dir=\"auto\">").long_text(text, MAX_TEXT).markup("</p>\n");
}

/// How often a token is kept, in words.
fn describe(html: &mut Html, kept: &Kept, token: usize) {
    html.markup("token ").number(token as u64).markup(": ");
    match kept.count(token) {
        0 => html.markup("kept by no head"),
        heads => {
            html.markup("kept by ").number(heads as u64).markup(if heads == 1 { " head in " } else { " heads in " });
            let layers = kept.layers(token);
            html.number(layers as u64).markup(if layers == 1 { " layer" } else { " layers" })
        }
    };
}

fn shade(kept: &Kept, count: usize) -> &'static str {
    TOKENS.get(Kept::level(count, kept.holding())).copied().unwrap_or_default()
}

/// The text, with its tokens shaded.
fn map(html: &mut Html, text: &str, pieces: &[Piece], kept: &Kept) {
    html.markup("<p class=\"words map\" dir=\"auto\">");
    let mut at = 0;
    for Piece { text: range, tokens } in pieces {
        html.text(text.get(at..range.start).unwrap_or_default());
        let most = tokens.clone().map(|token| kept.count(token)).max().unwrap_or_default();
        html.markup(shade(kept, most));
        for token in tokens.clone() {
            if token > tokens.start {
                html.markup("; ");
            }
            describe(html, kept, token);
        }
        html.markup("\">").text(text.get(range.clone()).unwrap_or_default()).markup("</span>");
        at = range.end;
    }
    html.text(text.get(at..).unwrap_or_default()).markup("</p>\n");
    let known = pieces.last().map_or(0, |piece| piece.tokens.end);
    if known < kept.tokens {
        html.markup("<p class=\"fine\">Positions behind the last token:</p>\n");
        cells(html, kept, known);
    }
}

/// The tokens from `first` on, by their numbers.
fn cells(html: &mut Html, kept: &Kept, first: usize) {
    html.markup("<p class=\"cells\" aria-label=\"Tokens by number\">");
    for token in first..kept.tokens {
        html.markup(shade(kept, kept.count(token)));
        describe(html, kept, token);
        html.markup("\">").number(token as u64).markup("</span> ");
    }
    html.markup("</p>\n");
}

/// The tokens that most heads keep.
fn most_kept(html: &mut Html, Shown { kept, text, .. }: &Shown) {
    let tokens = kept.most_kept(MOST_KEPT);
    if tokens.is_empty() {
        html.markup("<p class=\"fine\">No head keeps a token of it.</p>\n");
        return;
    }
    html.markup("<p class=\"fine\">Kept by most heads: ");
    for (at, token) in tokens.iter().enumerate() {
        html.markup(if at > 0 { "; " } else { "" });
        describe(html, kept, *token);
        if let Some(TokenText::Known { text, pieces }) = text
            && let Some(piece) = pieces.iter().find(|piece| piece.tokens.contains(token))
        {
            html.markup(" <q><bdi>").text(text.get(piece.text.clone()).unwrap_or_default().trim()).markup("</bdi></q>");
        }
    }
    html.markup(".</p>\n");
}

/// The positions that each head keeps, layer by layer.
fn positions(html: &mut Html, pack: &MappedPack, kept: &Kept) {
    let model = &pack.manifest().model;
    let slots: usize = kept.positions.iter().map(Vec::len).sum();
    html.markup("<details><summary>Tokens kept by each head</summary>\n");
    if kept.positions.len() > MAX_HEADS_LISTED || slots > 8 * MAX_HEADS_LISTED {
        html.markup("<p>The ").number(slots as u64).markup(" tokens kept are too many for a table.</p>\n");
    } else {
        let mut columns = vec![Column::text("Layer")];
        columns.extend((0..model.shape.heads).map(|head| Column::text(format!("Head {head}"))));
        let listed = |positions: &Vec<u8>| Cell::Text(positions.iter().map(u8::to_string).collect::<Vec<_>>().join(" "));
        let row = |(layer, heads): (u64, &[Vec<u8>])| {
            let mut row = vec![Cell::Head(layer.to_string())];
            row.extend(heads.iter().map(listed));
            row
        };
        let layers = u64::from(model.first_memory_layer)..;
        let heads = kept.positions.chunks(model.shape.heads.max(1) as usize);
        html.table("Numbers of the tokens that each key-value head keeps", &columns, layers.zip(heads).map(row));
    }
    html.markup("</details>\n");
}
