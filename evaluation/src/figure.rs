//! Draws a report as an SVG figure: bars for the modes, lines for the sweeps.

use mempack_figure::{Anchor, COLOURS, Drawing, GRID, INK};

use crate::report::{ModeReport, QuestionReport, Series};

const WIDTH: f64 = 760.0;
/// Height of a panel's plot, followed by its margins.
const PLOT: f64 = 220.0;
const ABOVE: f64 = 46.0;
const BELOW: f64 = 74.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 20.0;

/// Draws exact match and F1 of the modes with their 95% intervals, and a panel for each sweep below. Returns an SVG document.
pub fn figure(report: &QuestionReport) -> String {
    let sweeps: Vec<_> = report.sweep.series().collect();
    let panel = ABOVE + PLOT + BELOW;
    let mut drawing = Drawing::new(WIDTH, panel * (1 + sweeps.len()) as f64);
    bars(&mut drawing, 0.0, report);
    for (number, series) in (1..).zip(sweeps) {
        lines(&mut drawing, panel * f64::from(number), series);
    }
    drawing.svg()
}

/// The y coordinate of a share, 0 to 1, in the panel that begins at `top`.
fn height(top: f64, share: f64) -> f64 {
    top + ABOVE + PLOT * (1.0 - share.clamp(0.0, 1.0))
}

/// Draws the title, and grid lines at multiples of 0.2.
fn frame(drawing: &mut Drawing, top: f64, title: &str) {
    drawing.text((LEFT, top + 20.0), 15, Anchor::Start, title);
    for fifth in 0..=5 {
        let share = f64::from(fifth) / 5.0;
        let y = height(top, share);
        drawing.line((LEFT, y), (WIDTH - RIGHT, y), if fifth == 0 { INK } else { GRID }, 1.0);
        drawing.text((LEFT - 8.0, y + 4.0), 11, Anchor::End, format_args!("{share:.1}"));
    }
}

/// Draws the legend, in a row above the plot.
fn legend(drawing: &mut Drawing, top: f64, names: &[String]) {
    let mut x = LEFT;
    for (name, colour) in names.iter().zip(COLOURS.iter().cycle()) {
        drawing.rect((x, top + 29.0), (10.0, 10.0), *colour);
        drawing.text((x + 14.0, top + 38.0), 11, Anchor::Start, name);
        x += 30.0 + 7.0 * name.chars().count() as f64;
    }
}

fn bars(drawing: &mut Drawing, top: f64, report: &QuestionReport) {
    frame(drawing, top, &format!("{}: exact match and F1, {} references given", report.model.short(), report.k));
    legend(drawing, top, &["exact match".to_owned(), "F1".to_owned()]);
    let group = (WIDTH - LEFT - RIGHT) / report.modes.len().max(1) as f64;
    let wide = (group * 0.35).min(48.0);
    for (number, (mode, figures)) in report.modes.iter().enumerate() {
        let middle = LEFT + group * (number as f64 + 0.5);
        let both: [(Option<f64>, Option<[f64; 2]>); 2] =
            [(figures.exact_match, figures.exact_match_interval), (figures.f1, figures.f1_interval)];
        for (side, (value, interval)) in both.into_iter().enumerate() {
            let x = middle + wide * (side as f64 - 1.0);
            let Some(value) = value else { continue };
            drawing.rect((x, height(top, value)), (wide - 2.0, height(top, 0.0) - height(top, value)), COLOURS[side]);
            if let Some([low, high]) = interval {
                let centre = x + wide / 2.0 - 1.0;
                drawing.line((centre, height(top, low)), (centre, height(top, high)), INK, 1.5);
            }
        }
        // Names alternate between two lines, so that ten of them fit.
        let line = 18.0 + 16.0 * (number % 2) as f64;
        drawing.text((middle, height(top, 0.0) + line), 11, Anchor::Middle, mode);
    }
    drawing.text((LEFT, height(top, 0.0) + 56.0), 11, Anchor::Start, format_args!("95% bootstrap intervals; n = {}", largest_n(report)));
}

fn largest_n(report: &QuestionReport) -> usize {
    report.modes.values().map(|figures| figures.n).max().unwrap_or_default()
}

fn lines(drawing: &mut Drawing, top: f64, (what, points, step): Series<'_>) {
    frame(drawing, top, &format!("Exact match over the {what}"));
    let mut modes: Vec<_> = points.iter().map(|point| point.setting.mode).collect();
    modes.dedup();
    legend(drawing, top, &modes.iter().map(ToString::to_string).collect::<Vec<_>>());
    // Each mode's points ascend, but modes may have different steps.
    let mut steps: Vec<String> = Vec::new();
    for point in points {
        let name = step(&point.setting);
        if !steps.contains(&name) {
            steps.push(name);
        }
    }
    // Steps are drawn at equal distances, because most of them double.
    let gap = (WIDTH - LEFT - RIGHT) / steps.len().max(1) as f64;
    let x = |name: &String| LEFT + gap * (steps.iter().position(|step| step == name).unwrap_or_default() as f64 + 0.5);
    for step in &steps {
        drawing.text((x(step), height(top, 0.0) + 18.0), 11, Anchor::Middle, step);
    }
    for (mode, colour) in modes.iter().zip(COLOURS.iter().cycle()) {
        let mut before = None;
        for point in points.iter().filter(|point| point.setting.mode == *mode) {
            let ModeReport { exact_match: Some(value), exact_match_interval, .. } = &point.figures else { continue };
            let here = (x(&step(&point.setting)), height(top, *value));
            if let Some([low, high]) = exact_match_interval {
                drawing.line((here.0, height(top, *low)), (here.0, height(top, *high)), *colour, 1.0);
            }
            drawing.circle(here, 3.5, *colour);
            if let Some(before) = before.replace(here) {
                drawing.line(before, here, *colour, 2.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::contender::{Thousandths, TokensKept};
    use crate::report::{SweepPoint, Sweeps};
    use crate::{Mode, Setting};

    fn figures(exact: f64) -> ModeReport {
        let interval = Some([exact - 0.1, exact + 0.1]);
        ModeReport {
            exact_match: Some(exact),
            f1: Some(exact),
            exact_match_interval: interval,
            f1_interval: interval,
            n: 9,
            ..Default::default()
        }
    }

    fn report(k: &[usize]) -> QuestionReport {
        use crate::models::ModelName;

        let zero = Thousandths::of(0.0);
        let setting = |k| Setting { mode: Mode::Memory, k, tokens: TokensKept::Each(8), similarity_bias: zero, similarity_margin: zero };
        QuestionReport {
            questions: 9,
            pack: "p".into(),
            model: ModelName { model: "a<b & c".into(), reader: None },
            k: 5,
            overlap: 1.0,
            left_out: 0,
            max_tokens: 8,
            modes: BTreeMap::from([(Mode::ClosedBook, figures(0.2)), (Mode::Memory, figures(0.8))]),
            hit_at: BTreeMap::new(),
            hit_n: 0,
            differences: Vec::new(),
            gain: None,
            sweep: Sweeps {
                k: k.iter().map(|&k| SweepPoint { setting: setting(k), figures: figures(0.1 * k as f64) }).collect(),
                ..Sweeps::default()
            },
        }
    }

    /// The value of an attribute of each element of a name.
    fn attributes(svg: &str, element: &str, name: &str) -> Vec<f64> {
        let of = |line: &str| line.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?.parse().ok();
        svg.lines().filter(|line| line.starts_with(&format!("<{element} "))).filter_map(of).collect()
    }

    #[test]
    fn bars_are_as_high_as_their_values() {
        let svg = figure(&report(&[]));
        // The first three are the background and the legend; exact match and F1 of two modes follow.
        assert_eq!(attributes(&svg, "rect", "height")[3..], [44.0, 44.0, 176.0, 176.0]);
        assert!(svg.contains("a&lt;b &amp; c") && svg.contains("closed_book"), "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn a_sweep_has_its_own_panel() {
        let svg = figure(&report(&[1, 3, 5, 7]));
        let (x, y) = (attributes(&svg, "circle", "cx"), attributes(&svg, "circle", "cy"));
        assert_eq!((x.len(), y.len()), (4, 4));
        assert!(x.is_sorted_by(|a, b| a < b) && y.is_sorted_by(|a, b| a > b), "{x:?} {y:?}");
        let panel = ABOVE + PLOT + BELOW;
        assert!(y.iter().all(|y| *y > panel && *y < 2.0 * panel));
        assert_eq!(attributes(&svg, "svg", "height"), [2.0 * panel]);
    }
}
