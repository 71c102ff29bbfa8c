//! Drawings as SVG: one element per line.

use std::fmt::{Arguments, Write as _};

use crate::colour::INK;
use crate::drawing::{Anchor, Drawing, Shape};

impl Drawing {
    /// The drawing as an SVG document.
    pub fn svg(&self) -> String {
        let (width, height) = (self.width, self.height);
        let mut svg = String::new();
        put(
            &mut svg,
            format_args!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
                 font-family=\"sans-serif\">"
            ),
        );
        for shape in &self.shapes {
            element(&mut svg, shape);
        }
        put(&mut svg, format_args!("</svg>"));
        svg
    }
}

fn put(svg: &mut String, element: Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(svg, "{element}");
}

fn element(svg: &mut String, shape: &Shape) {
    match shape {
        Shape::Rect { corner: (x, y), size: (width, height), fill } => {
            put(svg, format_args!("<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"));
        }
        Shape::Line { from: (x1, y1), to: (x2, y2), stroke, width } => put(
            svg,
            format_args!(
                "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\" stroke-width=\"{width}\"/>"
            ),
        ),
        Shape::Polyline { points, stroke, width } => {
            let places: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            put(
                svg,
                format_args!(
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" stroke-linejoin=\"round\" \
                     stroke-linecap=\"round\"/>",
                    places.join(" ")
                ),
            );
        }
        Shape::Circle { centre: (x, y), radius, fill } => {
            put(svg, format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\"/>"));
        }
        Shape::Text { at: (x, y), size, anchor, text } => {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            put(
                svg,
                format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{INK}\">{text}</text>"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{COLOURS, GRID};

    #[test]
    fn each_shape_is_an_element() {
        let mut drawing = Drawing::new(40.0, 30.0);
        drawing.line((0.0, 1.0), (2.0, 3.25), GRID, 1.5);
        drawing.polyline(vec![(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)], COLOURS[1], 2.0);
        drawing.circle((7.0, 8.0), 3.5, COLOURS[2]);
        drawing.text((9.0, 10.0), 11, Anchor::End, "a<b> & c\u{1}\nd");
        let svg = drawing.svg();
        let lines: Vec<&str> = svg.lines().collect();
        assert_eq!(lines.len(), 7, "{svg}");
        assert!(lines[0].contains("viewBox=\"0 0 40 30\""), "{svg}");
        assert_eq!(lines[1], "<rect x=\"0.0\" y=\"0.0\" width=\"40.0\" height=\"30.0\" fill=\"#ffffff\"/>");
        assert_eq!(lines[2], "<line x1=\"0.0\" y1=\"1.0\" x2=\"2.0\" y2=\"3.2\" stroke=\"#dddddd\" stroke-width=\"1.5\"/>");
        assert!(lines[3].starts_with("<polyline points=\"1.0,2.0 3.0,4.0 5.0,6.0\" fill=\"none\" stroke=\"#e69f00\""), "{svg}");
        assert_eq!(lines[4], "<circle cx=\"7.0\" cy=\"8.0\" r=\"3.5\" fill=\"#009e73\"/>");
        assert!(lines[5].contains("text-anchor=\"end\"") && lines[5].contains(">a&lt;b&gt; &amp; c\u{fffd}\u{fffd}d</text>"), "{svg}");
        assert_eq!(lines[6], "</svg>");
    }
}
