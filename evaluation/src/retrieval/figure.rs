//! Draws recall over the number of references.

use mempack_figure::{Anchor, Drawing, INK};

use super::report::RetrievalReport;
use crate::bootstrap::Interval;
use crate::panel::{LEFT, Panel, colour};

/// Draws the recall of each stage over the number of references, with 95% intervals where the report has them.
pub fn retrieval_figure(report: &RetrievalReport) -> Drawing {
    let mut drawing = Panel::drawing(1);
    let panel = Panel::new(0);
    let packs: Vec<&str> = report.packs.iter().map(|pack| pack.name.as_str()).collect();
    panel.frame(&mut drawing, &format!("{}: gold documents found, over the number of references", packs.join(", ")));
    panel.legend(&mut drawing, &report.stages.iter().map(|stage| stage.stage.to_owned()).collect::<Vec<_>>());
    let x = |k: usize| Panel::x((k as f64 - 0.5) / report.depth.max(1) as f64);
    for (number, stage) in report.stages.iter().enumerate() {
        let curve = (1..).zip(&stage.recall_curve).map(|(k, recall)| (x(k), panel.y(*recall)));
        drawing.polyline(curve.collect(), colour(number), 2.0);
        // Beside one another, so that none hides another.
        let aside = 3.0 * (number as f64 - (report.stages.len() as f64 - 1.0) / 2.0);
        for (k, Interval { mean, low, high, .. }) in &stage.recall {
            drawing.line((x(*k) + aside, panel.y(*low)), (x(*k) + aside, panel.y(*high)), colour(number), 1.5);
            drawing.circle((x(*k), panel.y(*mean)), 3.0, colour(number));
        }
    }
    for k in report.stages.first().iter().flat_map(|stage| stage.recall.keys()) {
        drawing.line((x(*k), panel.y(0.0)), (x(*k), panel.y(0.0) + 4.0), INK, 1.0);
        drawing.text((x(*k), panel.y(0.0) + 18.0), 11, Anchor::Middle, k);
    }
    drawing.text((LEFT, panel.y(0.0) + 40.0), 11, Anchor::Start, format_args!("95% bootstrap intervals; n = {}", report.questions));
    drawing
}
