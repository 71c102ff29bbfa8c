//! Axes: a range of values with marks at round numbers.

/// The range of values along one side of a plot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    pub low: f64,
    pub high: f64,
    /// The distance between two marks.
    gap: f64,
}

impl Axis {
    /// An axis from the minimum to the maximum of the values, with about `marks` marks. Without values it is 0 to 1; around a single value it leaves some room.
    pub fn of(values: impl IntoIterator<Item = f64>, marks: u32) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match high - low {
            _ if low > high => (0.0, 1.0),
            spread if spread > 1e-9 * low.abs().max(high.abs()) => (low, high),
            // Values that are equal up to rounding are drawn as one.
            _ if low == 0.0 => (0.0, 1.0),
            _ => (low - 0.5 * low.abs(), high + 0.5 * high.abs()),
        };
        Self { low, high, gap: round((high - low) / f64::from(marks)) }
    }

    /// The axis, extended to end at marks.
    pub fn widened(self) -> Self {
        // A tolerance for rounding, as a share of the distance between marks.
        let slack = 1e-9;
        let low = self.gap * (self.low / self.gap + slack).floor();
        let high = self.gap * (self.high / self.gap - slack).ceil();
        Self { low, high, ..self }
    }

    /// The axis with marks at whole numbers only.
    pub fn whole(self) -> Self {
        Self { gap: self.gap.max(1.0), ..self }
    }

    /// The position of a value: 0 at the low end, 1 at the high end.
    pub fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The marks and their labels.
    pub fn marks(&self) -> Vec<(f64, String)> {
        let first = (self.low / self.gap - 1e-9).ceil();
        let count = ((self.high / self.gap + 1e-9).floor() - first) as usize;
        // Multiples rather than sums, so that 0.3 is written as 0.3.
        (0..=count).map(|mark| self.gap * (first + mark as f64)).map(|value| (value, self.label(value))).collect()
    }

    fn label(&self, value: f64) -> String {
        let digits = |gap: f64| (-gap.log10().floor()).max(0.0) as usize;
        let largest = self.low.abs().max(self.high.abs());
        if value == 0.0 {
            "0".into()
        } else if (1e-2..1e6).contains(&largest) {
            format!("{value:.*}", digits(self.gap))
        } else {
            // As many digits as make the labels distinct.
            let power = value.abs().log10().floor();
            format!("{value:.*e}", digits(self.gap / 10_f64.powf(power)))
        }
    }
}

/// The smallest of 1, 2, 5 or 10 times a power of ten that is not below `gap`.
fn round(gap: f64) -> f64 {
    let power = gap.log10().floor();
    let unit = 10_f64.powf(power);
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * unit >= gap * (1.0 - 1e-9)).unwrap_or(10.0);
    // For a negative power, a quotient of two whole numbers, which is rounded only once.
    if power < 0.0 { factor / 10_f64.powf(-power) } else { factor * unit }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.marks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn marks_are_round_numbers() {
        assert_eq!(labels(Axis::of([0.773, 1.501], 4).widened()), ["0.6", "0.8", "1.0", "1.2", "1.4", "1.6"]);
        assert_eq!(labels(Axis::of([0.0, 1.0], 5).widened()), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Axis::of([0.0, 4e-4], 3).widened()), ["0", "2e-4", "4e-4"]);
        assert_eq!(labels(Axis::of([0.0, 1e-4], 2).widened()), ["0", "5e-5", "1.0e-4"]);
        assert_eq!(labels(Axis::of([9.5e-4, 1.05e-3], 2).widened()), ["9.5e-4", "1.00e-3", "1.05e-3"]);
        assert_eq!(labels(Axis::of([1.0, 12_345.0], 7)), ["2000", "4000", "6000", "8000", "10000", "12000"]);
        assert_eq!(labels(Axis::of([0.0, 2.5e6], 3).widened()), ["0", "1e6", "2e6", "3e6"]);
        assert_eq!(labels(Axis::of([-1.5, 1.5], 3).widened()), ["-2", "-1", "0", "1", "2"]);
        assert_eq!(labels(Axis::of([1.0, 3.0], 6).whole()), ["1", "2", "3"]);
    }

    #[test]
    fn few_or_odd_values_have_an_axis_too() {
        assert_eq!(labels(Axis::of([], 2).widened()), ["0", "0.5", "1.0"]);
        assert_eq!(labels(Axis::of([f64::NAN, f64::INFINITY], 2)), ["0", "0.5", "1.0"]);
        assert_eq!(labels(Axis::of([0.0, 0.0], 2)), ["0", "0.5", "1.0"]);
        assert_eq!(labels(Axis::of([8.0], 2).widened()), ["0", "5", "10", "15"]);
        for value in [1e-300, -3.0, 0.1 + 0.2, 1e300] {
            let axis = Axis::of([value, f64::NAN], 4).widened();
            assert!(axis.low < value && value < axis.high && (0.1..0.9).contains(&axis.share(value)), "{axis:?}");
            assert!((2..9).contains(&axis.marks().len()), "{axis:?}");
        }
    }

    #[test]
    fn every_value_is_inside() {
        for number in 1..200 {
            let (low, high) = (0.013 * f64::from(number), 0.013 * f64::from(number) + 0.7 / f64::from(number));
            let axis = Axis::of([high, low], 4).widened();
            let marks = axis.marks();
            assert!(marks.len() >= 3 && marks.len() <= 7, "{axis:?}");
            assert!(axis.low <= low + 1e-9 && axis.high >= high - 1e-9, "{axis:?}");
            assert!((marks[0].0 - axis.low).abs() < 1e-9 && (marks[marks.len() - 1].0 - axis.high).abs() < 1e-9, "{axis:?}");
        }
    }
}
