//! What the codec loses, and how many tokens each head keeps.

use mempack_format::Loss;
use mempack_runtime::MappedPack;

use crate::html::{Cell, Column, Html};
use crate::words::{bytes, code_bytes, quality_line};

/// Heads of all layers up to which tables list each.
pub(crate) const MAX_HEADS_LISTED: usize = 8192;

/// The codec, and its loss by layer.
pub(crate) fn loss(html: &mut Html, pack: &MappedPack) {
    html.markup("<section id=\"codec\"><h2>Codec</h2>\n<p>Codec <strong>");
    html.text(&pack.manifest().codec).markup("</strong>: ").text(&bytes(code_bytes(pack)));
    html.markup(" a key or value, ").text(&bytes(pack.record_bytes())).markup(" a memory.</p>\n");
    match pack.quality() {
        None => {
            html.markup("<p>The pack records no loss: the codec is lossless, or an older program wrote the pack.</p>\n");
        }
        Some(quality) => {
            html.markup("<p>The codec loses ").text(&quality_line(quality)).markup(".</p>\n");
            // Bars are shares of the largest loss: most losses are far below 1.
            let largest = quality.layers.iter().map(|loss| loss.keys.max(loss.values)).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
            let columns = [
                Column::text("Layer"),
                Column::number("Keys"),
                Column::text("Keys, of the largest"),
                Column::number("Values"),
                Column::text("Values, of the largest"),
            ];
            let row = |(Loss { keys, values }, layer): (&Loss, u64)| {
                let figure = |loss: &f64| Cell::Number(format!("{loss:.6}"));
                vec![
                    Cell::Head(layer.to_string()),
                    figure(keys),
                    Cell::Share(keys / largest),
                    figure(values),
                    Cell::Share(values / largest),
                ]
            };
            let layers = u64::from(pack.manifest().model.first_memory_layer)..;
            let caption = "Loss of keys and values by layer: squared error over the variance about the mean, 0 is lossless";
            html.table(caption, &columns, quality.layers.iter().zip(layers).map(row));
        }
    }
    html.markup("</section>\n");
}

/// How many tokens each head of each layer keeps of a reference that has as many.
pub(crate) fn budget(html: &mut Html, pack: &MappedPack) {
    let model = &pack.manifest().model;
    let shape = &model.shape;
    html.markup("<section id=\"budget\"><h2>Tokens kept</h2>\n<p>The heads keep ").text(&crate::words::kept(shape));
    html.markup(", those to which the rest of the reference attends most.</p>\n");
    if shape.all_heads() > MAX_HEADS_LISTED {
        html.markup("<p>There are ").number(shape.all_heads() as u64).markup(" heads, too many for a table.</p>\n");
    } else {
        let mut columns = vec![Column::text("Layer")];
        columns.extend((0..shape.heads).map(|head| Column::number(format!("Head {head}"))));
        columns.push(Column::number("Layer in all"));
        let counts: Vec<usize> = shape.slots_of_heads().map(|slots| slots.len()).collect();
        let row = |(layer, counts): (u64, &[usize])| {
            let mut row = vec![Cell::Head(layer.to_string())];
            row.extend(counts.iter().map(|count| Cell::Number(count.to_string())));
            row.push(Cell::Number(counts.iter().sum::<usize>().to_string()));
            row
        };
        let layers = u64::from(model.first_memory_layer)..;
        html.table(
            "Tokens of a reference that each key-value head keeps",
            &columns,
            layers.zip(counts.chunks(shape.heads.max(1) as usize)).map(row),
        );
    }
    html.markup("</section>\n");
}
