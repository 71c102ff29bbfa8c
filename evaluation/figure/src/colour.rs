//! Colours, and the ones that all figures have in common.

use std::fmt;

/// Red, green and blue, 0 to 255. Drawings are opaque: a faint colour is a lighter one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

/// Colours that remain apart in print and for most eyes.
pub const COLOURS: [Colour; 4] =
    [Colour([0x00, 0x72, 0xb2]), Colour([0xe6, 0x9f, 0x00]), Colour([0x00, 0x9e, 0x73]), Colour([0xcc, 0x79, 0xa7])];
/// Text and axes.
pub const INK: Colour = Colour([0x22, 0x22, 0x22]);
/// Lines that help the eye.
pub const GRID: Colour = Colour([0xdd, 0xdd, 0xdd]);
/// What is drawn on.
pub const PAPER: Colour = Colour([0xff, 0xff, 0xff]);

impl Colour {
    /// The colour when only `share` of it, 0 to 1, covers `under`.
    pub fn over(self, under: Self, share: f64) -> Self {
        let mut mixed = under.0;
        for (mixed, own) in mixed.iter_mut().zip(self.0) {
            // A mean of two bytes is one.
            *mixed = (f64::from(*mixed) + (f64::from(own) - f64::from(*mixed)) * share.clamp(0.0, 1.0)).round() as u8;
        }
        Self(mixed)
    }
}

/// As SVG writes it: `#0072b2`.
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
