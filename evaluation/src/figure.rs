//! Draws a report as a figure: bars for the modes, a curve of precision over coverage, lines for the sweeps.

use mempack_figure::{Anchor, COLOURS, Drawing, INK};

use crate::Mode;
use crate::panel::{LEFT, Panel, RIGHT, WIDTH, colour};
use crate::report::{ModeReport, QuestionReport, Series};
use crate::selective::{Point, Selective};

/// Draws exact match and F1 of the modes with their 95% intervals; below, precision over coverage of the modes whose answers have a
/// confidence, and a panel for each sweep.
pub fn figure(report: &QuestionReport) -> Drawing {
    let sweeps: Vec<_> = report.sweep.series().collect();
    let curves = report.modes.iter().filter_map(|(mode, figures)| Some((mode, figures.selective.as_ref()?)));
    let curves: Vec<(&Mode, &Selective)> = curves.filter(|(_, selective)| !selective.curve.is_empty()).collect();
    let first_sweep = 1 + usize::from(!curves.is_empty());
    let mut drawing = Panel::drawing(first_sweep + sweeps.len());
    bars(&mut drawing, Panel::new(0), report);
    if !curves.is_empty() {
        selective(&mut drawing, Panel::new(1), report, &curves);
    }
    for (number, series) in (first_sweep..).zip(sweeps) {
        lines(&mut drawing, Panel::new(number), series);
    }
    drawing
}

fn bars(drawing: &mut Drawing, panel: Panel, report: &QuestionReport) {
    panel.frame(drawing, &format!("{}: exact match and F1, {} references given", report.model.short(), report.k));
    panel.legend(drawing, &["exact match".to_owned(), "F1".to_owned()]);
    let group = (WIDTH - LEFT - RIGHT) / report.modes.len().max(1) as f64;
    let wide = (group * 0.35).min(48.0);
    for (number, (mode, figures)) in report.modes.iter().enumerate() {
        let middle = LEFT + group * (number as f64 + 0.5);
        let both: [(Option<f64>, Option<[f64; 2]>); 2] =
            [(figures.exact_match, figures.exact_match_interval), (figures.f1, figures.f1_interval)];
        for (side, (value, interval)) in both.into_iter().enumerate() {
            let x = middle + wide * (side as f64 - 1.0);
            let Some(value) = value else { continue };
            drawing.rect((x, panel.y(value)), (wide - 2.0, panel.y(0.0) - panel.y(value)), COLOURS[side]);
            if let Some([low, high]) = interval {
                let centre = x + wide / 2.0 - 1.0;
                drawing.line((centre, panel.y(low)), (centre, panel.y(high)), INK, 1.5);
            }
        }
        // Names alternate between two lines, so that ten of them fit.
        let line = 18.0 + 16.0 * (number % 2) as f64;
        drawing.text((middle, panel.y(0.0) + line), 11, Anchor::Middle, mode);
    }
    drawing.text((LEFT, panel.y(0.0) + 56.0), 11, Anchor::Start, format_args!("95% bootstrap intervals; n = {}", largest_n(report)));
}

fn largest_n(report: &QuestionReport) -> usize {
    report.modes.values().map(|figures| figures.n).max().unwrap_or_default()
}

/// Draws precision over coverage of modes, with a circle where the threshold of the report is, or where every answer is given.
fn selective(drawing: &mut Drawing, panel: Panel, report: &QuestionReport, curves: &[(&Mode, &Selective)]) {
    panel.frame(drawing, &format!("Precision of the answers given over coverage, by {}", report.measure));
    for fifth in 0..=5 {
        let coverage = f64::from(fifth) / 5.0;
        drawing.text((Panel::x(coverage), panel.y(0.0) + 18.0), 11, Anchor::Middle, format_args!("{coverage:.1}"));
    }
    let name = |(mode, curve): &(&Mode, &Selective)| format!("{mode}: area {:.3}", curve.area.unwrap_or_default());
    panel.legend_below(drawing, &curves.iter().map(name).collect::<Vec<_>>());
    for (number, (_, Selective { curve, .. })) in curves.iter().enumerate() {
        let at = |point: &Point| (Panel::x(point.coverage), panel.y(point.precision));
        drawing.polyline(curve.iter().map(at).collect(), colour(number), 1.5);
        let given = curve.iter().rfind(|point| report.threshold.is_none_or(|threshold| point.threshold >= threshold));
        if let Some(point) = given {
            drawing.circle(at(point), 4.0, colour(number));
        }
    }
}

fn lines(drawing: &mut Drawing, panel: Panel, (what, points, step): Series<'_>) {
    panel.frame(drawing, &format!("Exact match over the {what}"));
    let mut modes: Vec<_> = points.iter().map(|point| point.setting.mode).collect();
    modes.dedup();
    panel.legend(drawing, &modes.iter().map(ToString::to_string).collect::<Vec<_>>());
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
        drawing.text((x(step), panel.y(0.0) + 18.0), 11, Anchor::Middle, step);
    }
    for (number, mode) in modes.iter().enumerate() {
        let colour = colour(number);
        let mut before = None;
        for point in points.iter().filter(|point| point.setting.mode == *mode) {
            let ModeReport { exact_match: Some(value), exact_match_interval, .. } = &point.figures else { continue };
            let here = (x(&step(&point.setting)), panel.y(*value));
            if let Some([low, high]) = exact_match_interval {
                drawing.line((here.0, panel.y(*low)), (here.0, panel.y(*high)), colour, 1.0);
            }
            drawing.circle(here, 3.5, colour);
            if let Some(before) = before.replace(here) {
                drawing.line(before, here, colour, 2.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Setting;
    use crate::contender::{Thousandths, TokensKept};
    use crate::report::{SweepPoint, Sweeps};
    use crate::selective::Judged;

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
        use crate::models::{ModelName, Retrieving};

        let zero = Thousandths::of(0.0);
        let setting = |k| Setting { mode: Mode::Memory, k, tokens: TokensKept::Each(8), similarity_bias: zero, similarity_margin: zero };
        QuestionReport {
            questions: 9,
            pack: "p".into(),
            model: ModelName { model: "a<b & c".into(), reader: None },
            retrieving: Retrieving { search: "dense", strategy: "top-k".into(), reranker: None },
            k: 5,
            overlap: 1.0,
            left_out: 0,
            max_tokens: 8,
            measure: "log_probability",
            threshold: None,
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
        let svg = figure(&report(&[])).svg();
        // The first three are the background and the legend; exact match and F1 of two modes follow.
        assert_eq!(attributes(&svg, "rect", "height")[3..], [44.0, 44.0, 176.0, 176.0]);
        assert!(svg.contains("a&lt;b &amp; c") && svg.contains("closed_book"), "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn a_sweep_has_its_own_panel() {
        let svg = figure(&report(&[1, 3, 5, 7])).svg();
        let (x, y) = (attributes(&svg, "circle", "cx"), attributes(&svg, "circle", "cy"));
        assert_eq!((x.len(), y.len()), (4, 4));
        assert!(x.is_sorted_by(|a, b| a < b) && y.is_sorted_by(|a, b| a > b), "{x:?} {y:?}");
        assert!(y.iter().all(|y| *y > Panel::HEIGHT && *y < 2.0 * Panel::HEIGHT));
        assert_eq!(attributes(&svg, "svg", "height"), [2.0 * Panel::HEIGHT]);
    }

    #[test]
    fn precision_over_coverage_has_its_curve_and_its_area() {
        let judged = |(number, right): (usize, bool)| Judged { confidence: -(number as f64), answerable: true, right, abstains: false };
        let answers: Vec<_> = [true, true, false, false].into_iter().enumerate().map(judged).collect();
        let with = |threshold| {
            let mut report = report(&[1, 3]);
            report.threshold = threshold;
            report.modes.get_mut(&Mode::Memory).unwrap().selective = Selective::of(&answers, threshold);
            figure(&report)
        };
        let svg = with(None).svg();
        // Mean of 1, 1, 2/3 and 1/2.
        assert!(svg.contains(">memory: area 0.792</text>") && svg.contains("by log_probability"), "{svg}");
        let points = svg.lines().find(|line| line.starts_with("<polyline ")).unwrap().split('"').nth(1).unwrap();
        let points: Vec<(f64, f64)> =
            points.split(' ').map(|point| point.split_once(',').unwrap()).map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).collect();
        let panel = Panel::new(1);
        let expected = [(0.25, 1.0), (0.5, 1.0), (0.75, 2.0 / 3.0), (1.0, 0.5)].map(|(x, y)| (Panel::x(x), panel.y(y)));
        assert_eq!(points.len(), 4);
        for ((x, y), (wanted_x, wanted_y)) in points.iter().zip(expected) {
            assert!((x - wanted_x).abs() < 0.1 && (y - wanted_y).abs() < 0.1, "{points:?}");
        }
        // The sweep comes below. The circle is at the threshold, or at the end.
        assert_eq!(attributes(&svg, "svg", "height"), [3.0 * Panel::HEIGHT]);
        for (threshold, (x, _)) in [(None, expected[3]), (Some(-1.5), expected[1]), (Some(-2.0), expected[2])] {
            assert!((attributes(&with(threshold).svg(), "circle", "cx")[0] - x).abs() < 0.1, "{threshold:?}");
        }
        assert!(attributes(&with(Some(0.5)).svg(), "circle", "cx").len() == 2, "no answer is given: only the sweep has circles");
        assert_eq!(with(None).png().unwrap()[1..4], *b"PNG");
    }
}
