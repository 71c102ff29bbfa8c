//! Figures. A [`Drawing`] consists of lines, rectangles, circles and text; [`Drawing::svg`] and [`Drawing::png`] write it.
//!
//! No system font is used. An SVG names `sans-serif` and leaves the choice to the viewer; a PNG uses a built-in bitmap font.
//!
//! ```
//! use mempack_figure::{Anchor, COLOURS, Drawing, INK};
//!
//! let mut drawing = Drawing::new(200.0, 100.0);
//! drawing.line((20.0, 80.0), (180.0, 80.0), INK, 1.0);
//! drawing.polyline(vec![(20.0, 70.0), (100.0, 30.0), (180.0, 40.0)], COLOURS[0], 2.0);
//! drawing.text((100.0, 95.0), 11, Anchor::Middle, "steps");
//! assert!(drawing.svg().contains(">steps</text>"));
//! assert_eq!(drawing.png()?[1..4], *b"PNG");
//! # Ok::<(), mempack_figure::PngError>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod canvas;
mod colour;
mod drawing;
mod png;
mod svg;

pub use colour::{COLOURS, Colour, GRID, INK, PAPER};
pub use drawing::{Anchor, Drawing, Point};
pub use png::PngError;
