//! What the figures share: panels below one another, each with its title, a scale of shares, and a legend.

use mempack_figure::{Anchor, COLOURS, Colour, Drawing, GRID, INK, Point};

pub(crate) const WIDTH: f64 = 760.0;
/// Height of a panel's plot, and of the margins above and below.
const PLOT: f64 = 220.0;
const ABOVE: f64 = 46.0;
const BELOW: f64 = 84.0;
pub(crate) const LEFT: f64 = 52.0;
pub(crate) const RIGHT: f64 = 20.0;

/// One of the panels of a drawing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    top: f64,
}

impl Panel {
    /// The height of a panel with its margins.
    pub const HEIGHT: f64 = ABOVE + PLOT + BELOW;

    /// An empty drawing of as many panels as are wanted, at least one.
    pub fn drawing(count: usize) -> Drawing {
        Drawing::new(WIDTH, Self::HEIGHT * count.max(1) as f64)
    }

    /// The panel of this number, from 0.
    pub fn new(number: usize) -> Self {
        Self { top: Self::HEIGHT * number as f64 }
    }

    /// The y coordinate of a share, 0 to 1.
    pub fn y(self, share: f64) -> f64 {
        self.top + ABOVE + PLOT * (1.0 - share.clamp(0.0, 1.0))
    }

    /// The x coordinate of a place between the left end, 0, and the right one, 1.
    pub fn x(place: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * place
    }

    /// Draws the title, and grid lines at multiples of 0.2.
    pub fn frame(self, drawing: &mut Drawing, title: &str) {
        drawing.text((LEFT, self.top + 20.0), 15, Anchor::Start, title);
        for fifth in 0..=5 {
            let share = f64::from(fifth) / 5.0;
            let y = self.y(share);
            drawing.line((LEFT, y), (WIDTH - RIGHT, y), if fifth == 0 { INK } else { GRID }, 1.0);
            drawing.text((LEFT - 8.0, y + 4.0), 11, Anchor::End, format_args!("{share:.1}"));
        }
    }

    /// Draws the legend above the plot, in one row: the names of series in the order of their [colours](colour).
    pub fn legend<'a>(self, drawing: &mut Drawing, names: impl IntoIterator<Item = &'a String>) {
        legend(drawing, self.top + 38.0, names);
    }

    /// Draws the legend below the labels of the horizontal axis, in as many rows as it needs.
    pub fn legend_below<'a>(self, drawing: &mut Drawing, names: impl IntoIterator<Item = &'a String>) {
        legend(drawing, self.y(0.0) + 40.0, names);
    }
}

/// Draws a legend whose first row has this baseline.
fn legend<'a>(drawing: &mut Drawing, baseline: f64, names: impl IntoIterator<Item = &'a String>) {
    let (mut x, mut y): Point = (LEFT, baseline);
    for (number, name) in names.into_iter().enumerate() {
        let width = 30.0 + 7.0 * name.chars().count() as f64;
        if x > LEFT && x + width > WIDTH {
            (x, y) = (LEFT, y + 15.0);
        }
        drawing.rect((x, y - 9.0), (10.0, 10.0), colour(number));
        drawing.text((x + 14.0, y), 11, Anchor::Start, name);
        x += width;
    }
}

/// The colour of a series: those of the palette, and then darker ones.
pub(crate) fn colour(number: usize) -> Colour {
    let shade = [1.0, 0.6, 0.3][(number / COLOURS.len()).min(2)];
    COLOURS[number % COLOURS.len()].over(INK, shade)
}
