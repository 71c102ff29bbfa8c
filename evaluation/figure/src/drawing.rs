//! The contents of a figure, independent of the file format.

use std::fmt::Display;

use crate::colour::{Colour, PAPER};

/// A position: the distance from the left edge and from the top edge.
pub type Point = (f64, f64);

/// Which part of a text is at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its left end.
    Start,
    /// Its middle.
    Middle,
    /// Its right end.
    End,
}

/// One element of a drawing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Rect { corner: Point, size: Point, fill: Colour },
    Line { from: Point, to: Point, stroke: Colour, width: f64 },
    Polyline { points: Vec<Point>, stroke: Colour, width: f64 },
    Circle { centre: Point, radius: f64, fill: Colour },
    Text { at: Point, size: u32, anchor: Anchor, text: String },
}

/// Shapes on a white background, later ones on top. Lengths are in units of an SVG user unit; a PNG has two pixels per unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) shapes: Vec<Shape>,
}

impl Drawing {
    /// An empty drawing of the given size.
    pub fn new(width: f64, height: f64) -> Self {
        let paper = Shape::Rect { corner: (0.0, 0.0), size: (width, height), fill: PAPER };
        Self { width, height, shapes: vec![paper] }
    }

    /// Adds a filled rectangle with the given upper left corner, width and height.
    pub fn rect(&mut self, corner: Point, size: Point, fill: Colour) {
        self.shapes.push(Shape::Rect { corner, size, fill });
    }

    /// Adds a straight line.
    pub fn line(&mut self, from: Point, to: Point, stroke: Colour, width: f64) {
        self.shapes.push(Shape::Line { from, to, stroke, width });
    }

    /// Adds a line through all points.
    pub fn polyline(&mut self, points: Vec<Point>, stroke: Colour, width: f64) {
        self.shapes.push(Shape::Polyline { points, stroke, width });
    }

    /// Adds a filled circle.
    pub fn circle(&mut self, centre: Point, radius: f64, fill: Colour) {
        self.shapes.push(Shape::Circle { centre, radius, fill });
    }

    /// Adds one line of text in [`INK`](crate::INK), with `at` on its baseline. A PNG shows letters beyond Latin-1 as `?`.
    pub fn text(&mut self, at: Point, size: u32, anchor: Anchor, text: impl Display) {
        // Line breaks, and characters that XML forbids even when escaped.
        let forbidden = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
        let text = text.to_string().replace(forbidden, "\u{fffd}");
        self.shapes.push(Shape::Text { at, size, anchor, text });
    }
}
