//! Draws gains and budget of every head as an SVG figure.

use mempack_figure::{Anchor, COLOURS, Drawing, PAPER};

use super::BudgetReport;

const CELL: (f64, f64) = (46.0, 22.0);
const LEFT: f64 = 70.0;
const TOP: f64 = 56.0;

/// Layers by heads: the darker a cell, the more its head gains; the number is what the budget keeps there.
pub fn budget_figure(report: &BudgetReport) -> String {
    let (layers, heads) = (report.gains.len(), report.gains.first().map_or(0, Vec::len));
    let wide = (2.0 * LEFT + CELL.0 * heads as f64).max(420.0);
    let mut drawing = Drawing::new(wide, TOP + CELL.1 * layers as f64 + 30.0);
    let kept: u32 = report.tokens_per_head.iter().flatten().sum();
    drawing.text((12.0, 20.0), 14, Anchor::Start, format_args!("{}: {kept} tokens, by gain (darker: more)", report.model));
    for head in 0..heads {
        drawing.text((LEFT + CELL.0 * (head as f64 + 0.5), TOP - 8.0), 11, Anchor::Middle, format_args!("head {head}"));
    }
    let most = report.gains.iter().flatten().copied().fold(0.0, f64::max);
    for (layer, (gains, tokens)) in report.gains.iter().zip(&report.tokens_per_head).enumerate() {
        let y = TOP + CELL.1 * layer as f64;
        drawing.text((LEFT - 8.0, y + 15.0), 11, Anchor::End, format_args!("layer {}", report.first_layer as usize + layer));
        for (head, (gain, tokens)) in gains.iter().zip(tokens).enumerate() {
            let x = LEFT + CELL.0 * head as f64;
            // Half the colour at most, so that the number stays legible.
            let share = if most > 0.0 { (gain / most).clamp(0.0, 1.0).sqrt() } else { 0.0 };
            drawing.rect((x, y), (CELL.0 - 2.0, CELL.1 - 2.0), COLOURS[0].over(PAPER, 0.05 + 0.6 * share));
            drawing.text((x + CELL.0 / 2.0 - 1.0, y + 14.0), 11, Anchor::Middle, tokens);
        }
    }
    drawing.svg()
}
