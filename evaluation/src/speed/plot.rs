//! The report as stacked bars: where the time of an answer goes.

use mempack_figure::{Anchor, Drawing, INK};
use mempack_runtime::Part;

use super::report::{SpeedReport, input};
use crate::panel::colour;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 250.0;
const TOP: f64 = 56.0;
const BAR: f64 = 14.0;
const PITCH: f64 = 22.0;

/// Draws a bar for each case: the milliseconds an answer of each part, one after the other.
pub fn speed_figure(report: &SpeedReport) -> Drawing {
    let mut drawing = Drawing::new(WIDTH, TOP + PITCH * report.rows.len() as f64 + 24.0);
    let title = format!("milliseconds an answer of {} tokens, {}, {}", report.tokens, report.model.short(), report.precision);
    drawing.text((12.0, 18.0), 13, Anchor::Start, title);
    for (number, part) in Part::ALL.into_iter().enumerate() {
        let x = LEFT + 110.0 * number as f64;
        drawing.rect((x, 30.0), (10.0, 10.0), colour(number));
        drawing.text((x + 14.0, 39.0), 11, Anchor::Start, part.name());
    }
    let longest = report.rows.iter().map(|row| row.parts_ms.iter().sum::<f64>()).fold(1e-9, f64::max);
    let scale = (WIDTH - LEFT - 90.0) / longest;
    for (row, place) in report.rows.iter().zip(0..) {
        let y = TOP + PITCH * f64::from(place);
        let name = format!("{}, batch {}, input {}", report.name(&row.case), row.case.batch, input(&row.case));
        drawing.text((LEFT - 8.0, y + BAR - 3.0), 11, Anchor::End, name);
        let mut x = LEFT;
        for (number, milliseconds) in row.parts_ms.into_iter().enumerate() {
            let width = milliseconds.max(0.0) * scale;
            drawing.rect((x, y), (width, BAR), colour(number));
            x += width;
        }
        drawing.text((x + 6.0, y + BAR - 3.0), 11, Anchor::Start, format!("{:.0}", row.parts_ms.iter().sum::<f64>()));
    }
    drawing.line((LEFT, TOP - 6.0), (LEFT, TOP + PITCH * report.rows.len() as f64), INK, 1.0);
    drawing
}
