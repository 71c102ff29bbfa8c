//! One value of a log as lines to draw.

use mempack_figure::Point;

use crate::LogLine;
use crate::divergence::MEAN;

/// A value over the steps, in the order of the log.
pub(super) struct Curve {
    steps: Vec<f64>,
    /// The values.
    values: Vec<f64>,
    /// The running mean. It starts again with each stage, as stages have different objectives.
    means: Vec<f64>,
}

impl Curve {
    pub fn of(lines: &[LogLine], value: fn(&LogLine) -> f64) -> Self {
        let steps = lines.iter().map(|line| line.step as f64).collect();
        let values: Vec<f64> = lines.iter().map(value).collect();
        let mut means = Vec::with_capacity(values.len());
        // The weighted sum and the sum of the weights, so that the first means average all steps so far.
        let (mut sum, mut weight) = (0.0, 0.0);
        for (number, (line, value)) in lines.iter().zip(&values).enumerate() {
            if number > 0 && lines[number - 1].stage != line.stage {
                (sum, weight) = (0.0, 0.0);
            }
            if value.is_finite() {
                sum = (1.0 - MEAN) * sum + MEAN * value;
                weight = (1.0 - MEAN) * weight + MEAN;
            }
            means.push(if value.is_finite() { sum / weight } else { f64::NAN });
        }
        Self { steps, values, means }
    }

    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The number of steps whose value is not finite.
    pub fn missing(&self) -> usize {
        self.values.iter().filter(|value| !value.is_finite()).count()
    }

    /// The values as lines, broken where a value is not finite.
    pub fn raw(&self, place: impl Fn(f64, f64) -> Point) -> Vec<Vec<Point>> {
        lines(&self.steps, &self.values, &[], place)
    }

    /// The running mean as lines, also broken where one of `stages` begins.
    pub fn mean(&self, stages: &[usize], place: impl Fn(f64, f64) -> Point) -> Vec<Vec<Point>> {
        lines(&self.steps, &self.means, stages, place)
    }
}

/// The indices of the log's lines at which a new stage begins.
pub(super) fn stages(lines: &[LogLine]) -> Vec<usize> {
    (1..lines.len()).filter(|number| lines[*number].stage != lines[number - 1].stage).collect()
}

fn lines(steps: &[f64], values: &[f64], breaks: &[usize], place: impl Fn(f64, f64) -> Point) -> Vec<Vec<Point>> {
    let mut lines = Vec::new();
    let mut line = Vec::new();
    for (number, (step, value)) in steps.iter().zip(values).enumerate() {
        if !value.is_finite() || breaks.binary_search(&number).is_ok() {
            lines.push(std::mem::take(&mut line));
        }
        if value.is_finite() {
            line.push(place(*step, *value));
        }
    }
    lines.push(line);
    lines.iter().filter(|line| !line.is_empty()).map(|line| thinned(line)).collect()
}

/// Thins out points: of neighbours within one horizontal unit, it keeps the first, the last, the highest and the lowest. More cannot be seen, and
/// the figure of a long run stays small.
fn thinned(line: &[Point]) -> Vec<Point> {
    let mut thin = Vec::new();
    for group in line.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        let numbered = || group.iter().map(|point| point.1).enumerate();
        let of = |found: Option<(usize, f64)>| found.map_or(0, |(number, _)| number);
        let mut kept =
            [0, of(numbered().min_by(|a, b| a.1.total_cmp(&b.1))), of(numbered().max_by(|a, b| a.1.total_cmp(&b.1))), group.len() - 1];
        kept.sort_unstable();
        thin.extend(group.iter().enumerate().filter(|(number, _)| kept.contains(number)).map(|(_, point)| *point));
    }
    thin
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::line;

    fn log(losses: &[(usize, f64)]) -> Vec<LogLine> {
        let lines = losses.iter().zip(1..);
        lines.map(|(&(stage, loss), step)| LogLine { stage, loss, ..line(step) }).collect()
    }

    #[test]
    fn a_mean_is_that_of_its_stage() {
        let log = log(&[(0, 1.0), (0, 3.0), (0, f64::NAN), (0, 2.0), (1, 8.0)]);
        let curve = Curve::of(&log, |line| line.loss);
        assert_eq!((stages(&log), curve.missing()), (vec![4], 1));
        let second = (0.95 + 3.0) / 1.95;
        let fourth = (0.95 * 0.95 + 0.95 * 3.0 + 2.0) / (0.95 * 0.95 + 0.95 + 1.0);
        let found = curve.mean(&[4], |step, value| (step, value));
        let expected = [vec![(1.0, 1.0), (2.0, second)], vec![(4.0, fourth)], vec![(5.0, 8.0)]];
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), expected.iter().map(Vec::len).collect::<Vec<_>>());
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!(found.0 == expected.0 && (found.1 - expected.1).abs() < 1e-12, "{found:?} {expected:?}");
        }
        assert_eq!(curve.raw(|step, value| (step, value)), [vec![(1.0, 1.0), (2.0, 3.0)], vec![(4.0, 2.0), (5.0, 8.0)]]);
    }

    #[test]
    fn no_extreme_is_lost_in_a_long_run() {
        let mut losses = vec![(0, 1.0); 50_000];
        losses[31_234].1 = 9.0;
        losses[31_236].1 = -9.0;
        let curve = Curve::of(&log(&losses), |line| line.loss);
        let drawn = curve.raw(|step, value| (step / 100.0, value));
        assert_eq!(drawn.len(), 1);
        assert!(drawn[0].len() < 2 * 502, "{}", drawn[0].len());
        let heights = drawn[0].iter().map(|point| point.1);
        assert_eq!((heights.clone().fold(0.0, f64::min), heights.fold(0.0, f64::max)), (-9.0, 9.0));
        assert!(drawn[0].is_sorted_by(|a, b| a.0 <= b.0));
    }
}
