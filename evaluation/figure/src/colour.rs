//! Colours, and the palette of all figures.

use std::fmt;

/// Red, green and blue, 0 to 255. There is no transparency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

/// Colours for curves and bars, distinguishable in print and with most colour vision deficiencies (Okabe and Ito).
pub const COLOURS: [Colour; 4] =
    [Colour([0x00, 0x72, 0xb2]), Colour([0xe6, 0x9f, 0x00]), Colour([0x00, 0x9e, 0x73]), Colour([0xcc, 0x79, 0xa7])];
/// The colour of text and axes.
pub const INK: Colour = Colour([0x22, 0x22, 0x22]);
/// The colour of grid lines.
pub const GRID: Colour = Colour([0xdd, 0xdd, 0xdd]);
/// The background.
pub const PAPER: Colour = Colour([0xff, 0xff, 0xff]);

impl Colour {
    /// This colour blended over `under` with weight `share`, 0 to 1.
    pub fn over(self, under: Self, share: f64) -> Self {
        let mut mixed = under.0;
        for (mixed, own) in mixed.iter_mut().zip(self.0) {
            // A weighted mean of two bytes fits a byte.
            *mixed = (f64::from(*mixed) + (f64::from(own) - f64::from(*mixed)) * share.clamp(0.0, 1.0)).round() as u8;
        }
        Self(mixed)
    }
}

/// The SVG notation: `#0072b2`.
impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_lies_between_both() {
        assert_eq!(INK.over(PAPER, 0.0), PAPER);
        assert_eq!(INK.over(PAPER, 1.0), INK);
        assert_eq!(Colour([0, 100, 200]).over(PAPER, 0.5), Colour([128, 178, 228]));
        assert_eq!(COLOURS.map(|colour| colour.to_string()), ["#0072b2", "#e69f00", "#009e73", "#cc79a7"]);
    }
}
