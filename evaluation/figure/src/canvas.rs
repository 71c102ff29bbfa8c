//! A raster image, and drawing of shapes on it with antialiasing.

use std::convert::Infallible;

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};

use crate::colour::{Colour, PAPER};
use crate::drawing::Point;

/// An image of 8-bit red, green and blue, row by row from the top.
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// A rectangle of pixels. The ends are excluded.
struct Area {
    columns: std::ops::Range<usize>,
    rows: std::ops::Range<usize>,
}

impl Canvas {
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: PAPER.0.repeat(width * height) }
    }

    /// The pixels, row by row from the top: red, green and blue of each.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The pixels between two corners, clipped to the canvas.
    fn area(&self, low: Point, high: Point) -> Area {
        // The conversion saturates: a negative float becomes 0, a large one the largest integer.
        let range = |low: f64, high: f64, end: usize| (low.floor() as usize).min(end)..(high.ceil() as usize).min(end);
        Area { columns: range(low.0, high.0, self.width), rows: range(low.1, high.1, self.height) }
    }

    /// Blends `colour` into a pixel with weight `share`, 0 to 1.
    fn cover(&mut self, column: usize, row: usize, colour: Colour, share: f64) {
        let at = 3 * (row * self.width + column);
        if let Some(pixel) = self.pixels.get_mut(at..at + 3).filter(|_| column < self.width)
            && share > 0.0
        {
            let under = Colour([pixel[0], pixel[1], pixel[2]]);
            pixel.copy_from_slice(&colour.over(under, share).0);
        }
    }

    /// Fills a rectangle. A pixel at an edge is covered by the share of it inside.
    pub fn rect(&mut self, (x, y): Point, (width, height): Point, fill: Colour) {
        let inside = |pixel: usize, low: f64, high: f64| ((pixel + 1) as f64).min(high) - (pixel as f64).max(low);
        let area = self.area((x, y), (x + width, y + height));
        for row in area.rows {
            for column in area.columns.clone() {
                let share = inside(column, x, x + width).max(0.0) * inside(row, y, y + height).max(0.0);
                self.cover(column, row, fill, share);
            }
        }
    }

    /// Draws a line through the points, with round ends. One point gives a dot.
    pub fn stroke(&mut self, points: &[Point], stroke: Colour, width: f64) {
        // Pixels whose centre is farther from the line are not touched.
        let reach = width / 2.0 + 0.5;
        let over = |pick: fn(f64, f64) -> f64, start: f64| {
            points.iter().fold((start, start), |found, point| (pick(found.0, point.0), pick(found.1, point.1)))
        };
        let (low, high) = (over(f64::min, f64::INFINITY), over(f64::max, f64::NEG_INFINITY));
        let area = self.area((low.0 - reach, low.1 - reach), (high.0 + reach, high.1 + reach));
        let (columns, rows) = (area.columns.len(), area.rows.len());
        // The maximum coverage of each pixel by any segment. Blending each segment would make joints darker than the line.
        let mut coverage = vec![0.0_f32; columns * rows];
        let segments = points.windows(2).map(|pair| (pair[0], pair[1]));
        let dot = points.first().filter(|_| points.len() == 1).map(|point| (*point, *point));
        for (from, to) in segments.chain(dot) {
            let low = (from.0.min(to.0) - reach, from.1.min(to.1) - reach);
            let high = (from.0.max(to.0) + reach, from.1.max(to.1) + reach);
            let segment = self.area(low, high);
            for row in segment.rows {
                for column in segment.columns.clone() {
                    let share = (reach - distance((column as f64 + 0.5, row as f64 + 0.5), from, to)).clamp(0.0, 1.0) as f32;
                    let at = (row - area.rows.start) * columns + (column - area.columns.start);
                    if let Some(covered) = coverage.get_mut(at) {
                        *covered = covered.max(share);
                    }
                }
            }
        }
        for (row, line) in area.rows.zip(coverage.chunks(columns.max(1))) {
            for (column, share) in area.columns.clone().zip(line) {
                self.cover(column, row, stroke, f64::from(*share));
            }
        }
    }
}

/// The distance of a point from the line segment between two others.
fn distance(point: Point, from: Point, to: Point) -> f64 {
    let (along, off) = ((to.0 - from.0, to.1 - from.1), (point.0 - from.0, point.1 - from.1));
    let length = along.0 * along.0 + along.1 * along.1;
    let share = if length > 0.0 { ((off.0 * along.0 + off.1 * along.1) / length).clamp(0.0, 1.0) } else { 0.0 };
    (off.0 - share * along.0).hypot(off.1 - share * along.1)
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        // A PNG's limit is far below `u32::MAX`.
        Size::new(self.width as u32, self.height as u32)
    }
}

/// Used by the bitmap font.
impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            if let (Ok(column), Ok(row)) = (usize::try_from(at.x), usize::try_from(at.y)) {
                self.cover(column, row, Colour([colour.r(), colour.g(), colour.b()]), 1.0);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLACK: Colour = Colour([0, 0, 0]);

    /// Red of each pixel, row by row.
    fn reds(canvas: &Canvas) -> Vec<Vec<u8>> {
        canvas.pixels().chunks(3 * canvas.width).map(|row| row.chunks(3).map(|pixel| pixel[0]).collect()).collect()
    }

    #[test]
    fn a_rectangle_covers_shares_of_pixels_and_ends_at_the_edge() {
        let mut canvas = Canvas::new(4, 2);
        canvas.rect((-1.0, -1.0), (2.5, 2.0), BLACK);
        assert_eq!(reds(&canvas), [[0, 128, 255, 255], [255, 255, 255, 255]]);
        canvas.rect((3.0, 1.0), (1e300, f64::INFINITY), BLACK);
        canvas.rect((f64::NAN, 0.0), (9.0, 9.0), BLACK);
        assert_eq!(reds(&canvas), [[0, 128, 255, 255], [255, 255, 255, 0]]);
    }

    #[test]
    fn a_line_is_as_wide_as_it_says() {
        let mut canvas = Canvas::new(5, 5);
        canvas.stroke(&[(-9.0, 2.5), (2.0, 2.5), (99.0, 2.5)], BLACK, 2.0);
        assert_eq!(reds(&canvas), [[255; 5], [128; 5], [0; 5], [128; 5], [255; 5]]);
        canvas.stroke(&[], BLACK, 2.0);
        canvas.stroke(&[(0.5, 0.5)], BLACK, 1.0);
        assert_eq!(reds(&canvas)[0], [0, 255, 255, 255, 255], "one point is a dot");
    }
}
