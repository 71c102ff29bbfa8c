//! The figure: one column for each run, one row for each panel. All columns share their axes, so that runs can be compared.

use mempack_figure::{Anchor, COLOURS, Colour, Drawing, GRID, INK, PAPER, Point};

use super::PlottedRun;
use super::axis::Axis;
use super::curve::{Curve, stages};
use crate::LogLine;

/// The width of a single column, and of one of several.
const ALONE: f64 = 760.0;
const AMONG: f64 = 460.0;
/// The space for the names above and for the remark below.
const HEAD: f64 = 34.0;
const FOOT: f64 = 30.0;
/// The heights of plots, and the space around each.
const LARGE: f64 = 200.0;
const SMALL: f64 = 84.0;
const ABOVE: f64 = 30.0;
const BELOW: f64 = 24.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 20.0;
/// The colour of the line where a stage begins.
const STAGE: Colour = Colour([0x99, 0x99, 0x99]);
/// The share of its colour that a faint line keeps.
const FAINT: f64 = 0.35;

/// A row of the figure.
struct Panel {
    title: &'static str,
    height: f64,
    /// Values that the axis includes beside those of the runs.
    holds: &'static [f64],
    /// The approximate number of marks on the axis.
    marks: u32,
    /// Whether the values scatter: then they are drawn faintly, with their running mean.
    scatters: bool,
    curves: &'static [Drawn],
}

/// One of a panel's curves.
struct Drawn {
    name: &'static str,
    value: fn(&LogLine) -> f64,
    colour: Colour,
}

const PANELS: [Panel; 5] = [
    Panel {
        title: "Loss, nats a token",
        height: LARGE,
        holds: &[],
        marks: 5,
        scatters: true,
        curves: &[Drawn { name: "loss", value: |line| line.loss, colour: COLOURS[0] }],
    },
    Panel {
        title: "Share right",
        height: LARGE,
        holds: &[0.0, 1.0],
        marks: 5,
        scatters: true,
        curves: &[
            Drawn { name: "tokens", value: |line| line.right, colour: COLOURS[0] },
            Drawn { name: "whole answers", value: |line| line.exact, colour: COLOURS[1] },
        ],
    },
    Panel {
        title: "Learning rate",
        height: SMALL,
        holds: &[0.0],
        marks: 2,
        scatters: false,
        curves: &[Drawn { name: "rate", value: |line| line.rate, colour: COLOURS[2] }],
    },
    Panel {
        title: "Tokens kept a head",
        height: SMALL,
        holds: &[0.0],
        marks: 2,
        scatters: false,
        curves: &[Drawn { name: "kept", value: |line| f64::from(line.kept), colour: COLOURS[3] }],
    },
    Panel {
        title: "Tokens a second",
        height: SMALL,
        holds: &[0.0],
        marks: 2,
        scatters: true,
        curves: &[Drawn { name: "tokens a second", value: |line| line.tokens as f64 / line.seconds, colour: COLOURS[2] }],
    },
];

/// The position and the axes of a panel's plot.
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    steps: Axis,
    values: Axis,
}

impl Plot {
    fn x(&self, step: f64) -> f64 {
        self.left + (self.right - self.left) * self.steps.share(step)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * self.values.share(value)
    }

    fn place(&self, step: f64, value: f64) -> Point {
        (self.x(step), self.y(value))
    }
}

/// Draws the runs; each has at least one step.
pub(super) fn draw(runs: &[PlottedRun]) -> Drawing {
    let column = if runs.len() == 1 { ALONE } else { AMONG };
    let width = column * runs.len() as f64;
    let height = HEAD + PANELS.iter().map(|panel| ABOVE + panel.height + BELOW).sum::<f64>() + FOOT;
    let mut drawing = Drawing::new(width, height);
    let all_steps = runs.iter().flat_map(|run| &run.lines).map(|line| line.step as f64);
    let steps = Axis::of(all_steps, (column / 90.0) as u32).whole();
    for (number, run) in runs.iter().enumerate() {
        // As much of the name as fits.
        let room = ((column - LEFT - RIGHT) / 9.0) as usize;
        drawing.text((column * number as f64 + LEFT, 22.0), 15, Anchor::Start, end_of(&run.name, room));
    }
    let mut top = HEAD;
    for panel in &PANELS {
        let of_run = |run: &PlottedRun| panel.curves.iter().map(|drawn| Curve::of(&run.lines, drawn.value)).collect::<Vec<_>>();
        let curves: Vec<Vec<Curve>> = runs.iter().map(of_run).collect();
        let drawn = curves.iter().flatten().flat_map(|curve| curve.values().iter().copied());
        let values = Axis::of(drawn.chain(panel.holds.iter().copied()), panel.marks).widened();
        for (number, (run, curves)) in runs.iter().zip(&curves).enumerate() {
            let side = column * number as f64;
            let (left, right) = (side + LEFT, side + column - RIGHT);
            let plot = Plot { left, right, top: top + ABOVE, bottom: top + ABOVE + panel.height, steps, values };
            let stages = stages(&run.lines);
            header(&mut drawing, &plot, panel, !stages.is_empty());
            frame(&mut drawing, &plot);
            for &stage in &stages {
                // Between the last step of a stage and the first step of the next.
                let x = plot.x((run.lines[stage - 1].step as f64 + run.lines[stage].step as f64) / 2.0);
                drawing.line((x, plot.top), (x, plot.bottom), STAGE, 1.0);
            }
            draw_curves(&mut drawing, &plot, panel, curves, &stages);
        }
        top += ABOVE + panel.height + BELOW;
    }
    drawing.text((LEFT, height - 12.0), 11, Anchor::Start, "Over the steps. Faint: each step; bold: running mean of the stage.");
    drawing
}

/// The title, followed by the legend.
fn header(drawing: &mut Drawing, plot: &Plot, panel: &Panel, has_stages: bool) {
    let line = plot.top - 10.0;
    drawing.text((plot.left, line), 12, Anchor::Start, panel.title);
    let mut x = plot.left + 24.0 + 7.0 * panel.title.len() as f64;
    // A single curve needs no legend.
    for Drawn { name, colour, .. } in panel.curves.iter().filter(|_| panel.curves.len() > 1) {
        drawing.rect((x, line - 9.0), (10.0, 10.0), *colour);
        drawing.text((x + 14.0, line), 11, Anchor::Start, name);
        x += 30.0 + 6.5 * name.len() as f64;
    }
    if has_stages && panel.height == LARGE {
        drawing.line((x + 5.0, line - 10.0), (x + 5.0, line + 2.0), STAGE, 1.0);
        drawing.text((x + 14.0, line), 11, Anchor::Start, "new stage");
    }
}

/// Grid lines at the marks of both axes, and their labels.
fn frame(drawing: &mut Drawing, plot: &Plot) {
    for (value, label) in plot.values.marks() {
        let y = plot.y(value);
        drawing.line((plot.left, y), (plot.right, y), if value == plot.values.low { INK } else { GRID }, 1.0);
        drawing.text((plot.left - 8.0, y + 4.0), 11, Anchor::End, label);
    }
    drawing.line((plot.left, plot.bottom), (plot.right, plot.bottom), INK, 1.0);
    for (step, label) in plot.steps.marks() {
        let x = plot.x(step);
        drawing.line((x, plot.bottom), (x, plot.bottom + 4.0), INK, 1.0);
        drawing.text((x, plot.bottom + 16.0), 11, Anchor::Middle, label);
    }
}

fn draw_curves(drawing: &mut Drawing, plot: &Plot, panel: &Panel, curves: &[Curve], stages: &[usize]) {
    let place = |step, value| plot.place(step, value);
    let coloured = || curves.iter().zip(panel.curves.iter().map(|drawn| drawn.colour));
    // Faint lines are drawn first, so that they do not cover bold ones.
    for (curve, colour) in coloured() {
        let (colour, wide) = if panel.scatters { (colour.over(PAPER, FAINT), 1.0) } else { (colour, 2.0) };
        trace(drawing, curve.raw(place), colour, wide);
    }
    for (curve, colour) in coloured().filter(|_| panel.scatters) {
        trace(drawing, curve.mean(stages, place), colour, 2.0);
    }
    let missing = curves.iter().map(Curve::missing).max().unwrap_or_default();
    if missing > 0 {
        let remark = format!("{missing} {} no finite value", if missing == 1 { "step has" } else { "steps have" });
        let wide = 6.5 * remark.len() as f64;
        drawing.rect((plot.right - 6.0 - wide, plot.top + 3.0), (wide + 6.0, 16.0), PAPER);
        drawing.text((plot.right - 4.0, plot.top + 15.0), 11, Anchor::End, remark);
    }
}

/// Lines; a line of one point is a dot.
fn trace(drawing: &mut Drawing, lines: Vec<Vec<Point>>, colour: Colour, wide: f64) {
    for line in lines {
        match line[..] {
            [point] => drawing.circle(point, 1.25 * wide, colour),
            _ => drawing.polyline(line, colour, wide),
        }
    }
}

/// A name cut to its last `room` letters, because folder names differ at the end.
fn end_of(name: &str, room: usize) -> String {
    let count = name.chars().count();
    if count <= room { name.to_owned() } else { "...".chars().chain(name.chars().skip(count + 3 - room)).collect() }
}
