//! Drawings as PNG: two pixels per unit, letters from a bitmap font.

use embedded_graphics::Drawable;
use embedded_graphics::geometry::Point as Pixels;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_10X20;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::text::{Alignment, Text};

use crate::canvas::Canvas;
use crate::colour::INK;
use crate::drawing::{Anchor, Drawing, Point, Shape};

/// Pixels per unit.
const SCALE: f64 = 2.0;
/// The maximum number of pixels along a side. A square image of this size takes 3 GiB.
const MAX_SIDE: f64 = 32768.0;

/// The largest text size of a label; larger text is a title.
const LABEL: u32 = 11;

/// Why a drawing cannot be written as PNG.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PngError {
    /// A side is too long or empty.
    #[error("a PNG of {width} x {height} pixels: expected sides of 1 to {max}; draw less in one figure, or write an SVG", max = MAX_SIDE)]
    Size {
        /// Width in pixels.
        width: f64,
        /// Height in pixels.
        height: f64,
    },
    /// The encoder failed.
    #[error("the PNG cannot be encoded: {source}; write an SVG instead")]
    Encode {
        /// The encoder's error.
        #[from]
        source: png::EncodingError,
    },
}

impl Drawing {
    /// The drawing as a PNG of 8-bit red, green and blue.
    ///
    /// # Errors
    /// If a side has no pixel or more than 32768, or the encoder fails.
    pub fn png(&self) -> Result<Vec<u8>, PngError> {
        let (width, height) = ((self.width * SCALE).ceil(), (self.height * SCALE).ceil());
        let fits = |side: f64| (1.0..=MAX_SIDE).contains(&side);
        if !fits(width) || !fits(height) {
            return Err(PngError::Size { width, height });
        }
        let mut canvas = Canvas::new(width as usize, height as usize);
        for shape in &self.shapes {
            draw(&mut canvas, shape);
        }
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(canvas.pixels())?;
        writer.finish()?;
        Ok(bytes)
    }
}

fn scaled((x, y): Point) -> Point {
    (x * SCALE, y * SCALE)
}

fn draw(canvas: &mut Canvas, shape: &Shape) {
    match shape {
        Shape::Rect { corner, size, fill } => canvas.rect(scaled(*corner), scaled(*size), *fill),
        Shape::Line { from, to, stroke, width } => canvas.stroke(&[scaled(*from), scaled(*to)], *stroke, width * SCALE),
        Shape::Polyline { points, stroke, width } => {
            let points: Vec<Point> = points.iter().copied().map(scaled).collect();
            canvas.stroke(&points, *stroke, width * SCALE);
        }
        Shape::Circle { centre, radius, fill } => canvas.stroke(&[scaled(*centre)], *fill, 2.0 * radius * SCALE),
        Shape::Text { at, size, anchor, text } => letters(canvas, scaled(*at), *size, *anchor, text),
    }
}

/// Draws text. The largest bitmap font has the size of labels at two pixels per unit. Titles use it too, in bold: drawn twice, one pixel
/// apart.
fn letters(canvas: &mut Canvas, (x, y): Point, size: u32, anchor: Anchor, text: &str) {
    let offsets = if size > LABEL { 0..=1 } else { 0..=0 };
    let alignment = match anchor {
        Anchor::Start => Alignment::Left,
        Anchor::Middle => Alignment::Center,
        Anchor::End => Alignment::Right,
    };
    let [red, green, blue] = INK.0;
    let style = MonoTextStyle::new(&FONT_10X20, Rgb888::new(red, green, blue));
    for offset in offsets {
        let at = Pixels::new(x.round() as i32 + offset, y.round() as i32);
        // Drawing on the canvas cannot fail.
        let Ok(_) = Text::with_alignment(text, at, style, alignment).draw(canvas);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{COLOURS, PAPER};

    /// Width, height and pixels.
    fn decoded(bytes: &[u8]) -> (u32, u32, Vec<[u8; 3]>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("it fits")];
        let frame = reader.next_frame(&mut pixels).expect("an image");
        (frame.width, frame.height, pixels.chunks(3).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect())
    }

    #[test]
    fn shapes_lie_where_they_were_put() {
        let mut drawing = Drawing::new(30.0, 20.0);
        drawing.rect((1.0, 2.0), (4.0, 3.0), COLOURS[0]);
        drawing.line((0.0, 10.0), (30.0, 10.0), COLOURS[1], 1.0);
        drawing.circle((20.0, 15.0), 2.0, COLOURS[2]);
        let (width, height, pixels) = decoded(&drawing.png().expect("a PNG"));
        assert_eq!((width, height), (60, 40));
        let count = |colour: crate::Colour| pixels.iter().filter(|pixel| **pixel == colour.0).count();
        assert_eq!(count(COLOURS[0]), 8 * 6);
        assert_eq!(count(COLOURS[1]), 60 * 2);
        assert_eq!(pixels[30 * 60 + 40], COLOURS[2].0, "the circle's centre");
        assert_eq!(pixels[4 * 60 + 1], PAPER.0);
        assert_eq!(pixels[4 * 60 + 2], COLOURS[0].0);
    }

    #[test]
    fn text_has_no_need_of_a_system_font() {
        let ink = |text: &str, anchor: Anchor| {
            let mut drawing = Drawing::new(60.0, 20.0);
            drawing.text((30.0, 15.0), 11, anchor, text);
            let (.., pixels) = decoded(&drawing.png().expect("a PNG"));
            let columns = (0..pixels.len()).filter(|at| pixels[*at] == INK.0).map(|at| at % 120);
            (columns.clone().min(), columns.max())
        };
        assert_eq!(ink("", Anchor::Start), (None, None));
        assert!(ink("lr", Anchor::Start).0 >= Some(60), "{:?}", ink("lr", Anchor::Start));
        assert!(ink("lr", Anchor::End).1 <= Some(60) && ink("lr", Anchor::End).1 > Some(40));
        let (low, high) = ink("MM", Anchor::Middle);
        assert!(low < Some(60) && high > Some(60), "{low:?} {high:?}");
        assert_eq!(ink("\u{6cd5}", Anchor::Start), ink("?", Anchor::Start), "beyond Latin-1");
        // A text that leaves the paper is cut, and nothing else happens.
        assert!(ink(&"long ".repeat(99), Anchor::Middle).0 < Some(9));
    }

    #[test]
    fn a_size_that_no_png_has() {
        for (width, height) in [(0.0, 9.0), (9.0, 1e9), (f64::NAN, 9.0)] {
            let error = Drawing::new(width, height).png().expect_err("refused");
            assert!(matches!(error, PngError::Size { .. }) && error.to_string().contains("32768"), "{error}");
        }
    }
}
