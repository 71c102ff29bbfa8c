//! The page: its frame, and the order of its sections.

use mempack_runtime::MappedPack;

use crate::html::Html;
use crate::metadata::FieldRow;
use crate::sample::Sample;
use crate::{codec, facts, references, sizes};

/// The first line of every report, by which one is known.
pub const FIRST_LINE: &str =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"generator\" content=\"mempack report\">\n";

/// No script and nothing from elsewhere, whatever the rest of the page says.
const POLICY: &str = concat!(
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<meta name=\"color-scheme\" content=\"light dark\">\n",
    "<meta name=\"referrer\" content=\"no-referrer\">\n",
);

/// Writes the page.
pub(crate) fn write(pack: &MappedPack, fields: &[FieldRow], sample: &Sample) -> String {
    let mut html = Html::default();
    let name = pack.stem();
    html.markup(FIRST_LINE).markup(POLICY).markup("<title>").text(&name).markup(" – memory pack</title>\n<style>\n");
    html.markup(include_str!("style.css")).markup("</style></head>\n<body>\n<a class=\"skip\" href=\"#pack\">To the content</a>\n");
    html.markup("<header><h1><bdi>").text(&name).markup("</bdi></h1>\n<nav aria-label=\"Sections\"><ul>\n");
    let links = [
        ("<li><a href=\"#pack\">Pack</a></li>\n", true),
        ("<li><a href=\"#sizes\">Sizes</a></li>\n", true),
        ("<li><a href=\"#codec\">Codec</a></li>\n", true),
        ("<li><a href=\"#budget\">Tokens kept</a></li>\n", true),
        ("<li><a href=\"#identity\">Model and embedder</a></li>\n", true),
        ("<li><a href=\"#signatures\">Signatures</a></li>\n", true),
        ("<li><a href=\"#metadata\">Fields</a></li>\n", !fields.is_empty()),
        ("<li><a href=\"#references\">References</a></li>\n", true),
    ];
    for (link, _) in links.into_iter().filter(|(_, is_there)| *is_there) {
        html.markup(link);
    }
    html.markup("</ul></nav></header>\n<main>\n");
    facts::pack(&mut html, pack);
    sizes::write(&mut html, pack);
    codec::loss(&mut html, pack);
    codec::budget(&mut html, pack);
    facts::identity(&mut html, pack);
    facts::signatures(&mut html, pack);
    facts::metadata(&mut html, fields);
    references::write(&mut html, pack, sample);
    html.markup("</main>\n</body></html>\n");
    html.into_string()
}
