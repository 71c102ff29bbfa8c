//! What a figure shows, before it is written in a format.

use std::fmt::Display;

use crate::colour::{Colour, PAPER};

/// A place: to the right of the left edge, and below the upper one.
pub type Point = (f64, f64);

/// Which part of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its left end.
    Start,
    /// Its middle.
    Middle,
    /// Its right end.
    End,
}

/// One thing that is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Rect { corner: Point, size: Point, fill: Colour },
    Line { from: Point, to: Point, stroke: Colour, wide: f64 },
    Polyline { points: Vec<Point>, stroke: Colour, wide: f64 },
    Circle { centre: Point, radius: f64, fill: Colour },
    Text { at: Point, size: u32, anchor: Anchor, text: String },
}

/// Shapes on white paper, the later ones on top. All lengths are in units of one size; a PNG has two pixels for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) shapes: Vec<Shape>,
}

impl Drawing {
    /// Empty paper.
    pub fn new(width: f64, height: f64) -> Self {
        let paper = Shape::Rect { corner: (0.0, 0.0), size: (width, height), fill: PAPER };
        Self { width, height, shapes: vec![paper] }
    }

    /// A filled rectangle: its upper left corner, its width and height.
    pub fn rect(&mut self, corner: Point, size: Point, fill: Colour) {
        self.shapes.push(Shape::Rect { corner, size, fill });
    }

    /// A straight line.
    pub fn line(&mut self, from: Point, to: Point, stroke: Colour, wide: f64) {
        self.shapes.push(Shape::Line { from, to, stroke, wide });
    }

    /// A line through all the points.
    pub fn polyline(&mut self, points: Vec<Point>, stroke: Colour, wide: f64) {
        self.shapes.push(Shape::Polyline { points, stroke, wide });
    }

    /// A filled circle.
    pub fn circle(&mut self, centre: Point, radius: f64, fill: Colour) {
        self.shapes.push(Shape::Circle { centre, radius, fill });
    }

    /// One line of text in [`INK`](crate::INK); `at` is on its base line. A PNG shows letters beyond Latin-1 as `?`.
    pub fn text(&mut self, at: Point, size: u32, anchor: Anchor, text: impl Display) {
        // No line breaks, and nothing that XML forbids even when it is escaped.
        let forbidden = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
        let text = text.to_string().replace(forbidden, "\u{fffd}");
        self.shapes.push(Shape::Text { at, size, anchor, text });
    }
}
