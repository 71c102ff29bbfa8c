//! Answering only when sure: precision over coverage, and the choice of a threshold on the confidence (El-Yaniv and Wiener, On the
//! Foundations of Noise-free Selective Classification, 2010; Geifman and El-Yaniv, Selective Classification for Deep Neural Networks,
//! 2017).

use serde::Serialize;

/// [`choose`] loses at most one of this many right answers: 5%.
const RIGHT_PER_LOST: usize = 20;

/// An answer with its confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The confidence, by any measure. Only the order of the confidences matters.
    pub confidence: f64,
    /// Whether the references answer the question.
    pub answerable: bool,
    /// Whether the answer is right: it is accepted, or it abstains and the question is not answerable.
    pub right: bool,
    /// Whether the model itself says that there is no answer. No threshold makes it answer.
    pub abstains: bool,
}

impl Judged {
    fn is_given(&self, threshold: f64) -> bool {
        !self.abstains && self.confidence >= threshold
    }

    fn can_be_lost(&self) -> bool {
        self.answerable && self.right && !self.abstains
    }
}

/// What a threshold gives. An answer is given if its confidence is at least the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The threshold.
    pub threshold: f64,
    /// Share of the questions that are answered.
    pub coverage: f64,
    /// Share of the given answers that are right.
    pub precision: f64,
}

/// What is declined below a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Declined {
    /// The threshold, in the unit of the measure.
    pub threshold: f64,
    /// Number of right answers to answerable questions that are declined.
    pub lost: usize,
    /// Number of right answers to answerable questions.
    pub right: usize,
    /// Number of unanswerable questions on which no answer is given, by the threshold or by the model itself.
    pub unanswerable_declined: usize,
    /// Number of unanswerable questions.
    pub unanswerable: usize,
}

impl Declined {
    /// The share of the right answers that is lost; `None` without right answers.
    pub fn lost_share(&self) -> Option<f64> {
        share(self.lost, self.right)
    }

    /// The share of the unanswerable questions that is declined; `None` without such questions.
    pub fn declined_share(&self) -> Option<f64> {
        share(self.unanswerable_declined, self.unanswerable)
    }
}

/// Precision over coverage of the answers of one setting, before any is declined.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Selective {
    /// The mean precision over all numbers of given answers, 0 to 1: one minus the area under the risk-coverage curve. Answers of equal
    /// confidence count as if they came in random order. `None` if no answer is given.
    pub area: Option<f64>,
    /// The curve: one point for each confidence, the highest first.
    pub curve: Vec<Point>,
    /// The largest threshold that loses at most 5% of the right answers. `None` if none is right.
    pub chosen: Option<Declined>,
    /// The results at the threshold that the caller named.
    pub given: Option<Declined>,
}

impl Selective {
    /// Measures answers; `threshold` is the caller's. `None` without answers.
    pub fn of(answers: &[Judged], threshold: Option<f64>) -> Option<Self> {
        if answers.is_empty() {
            return None;
        }
        let (curve, area) = precision_over_coverage(answers);
        Some(Self { area, curve, chosen: choose(answers), given: threshold.map(|threshold| declined(answers, threshold)) })
    }
}

/// The curve of precision over coverage, and the area under it: see [`Selective`].
pub fn precision_over_coverage(answers: &[Judged]) -> (Vec<Point>, Option<f64>) {
    let mut given: Vec<&Judged> = answers.iter().filter(|answer| !answer.abstains).collect();
    given.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let (mut curve, mut area, mut before, mut right_before) = (Vec::new(), 0.0, 0, 0.0);
    for equal in given.chunk_by(|a, b| a.confidence == b.confidence) {
        let right = equal.iter().filter(|answer| answer.right).count() as f64;
        let each = right / equal.len() as f64;
        area += (1..=equal.len()).map(|n| (right_before + each * n as f64) / (before + n) as f64).sum::<f64>();
        before += equal.len();
        right_before += right;
        let (coverage, precision) = (before as f64 / answers.len() as f64, right_before / before as f64);
        curve.extend(equal.first().map(|answer| Point { threshold: answer.confidence, coverage, precision }));
    }
    (curve, (before > 0).then(|| area / before as f64))
}

/// What is declined below `threshold`.
pub fn declined(answers: &[Judged], threshold: f64) -> Declined {
    let count = |wanted: &dyn Fn(&Judged) -> bool| answers.iter().filter(|answer| wanted(answer)).count();
    Declined {
        threshold,
        lost: count(&|answer| answer.can_be_lost() && !answer.is_given(threshold)),
        right: count(&Judged::can_be_lost),
        unanswerable_declined: count(&|answer| !answer.answerable && !answer.is_given(threshold)),
        unanswerable: count(&|answer| !answer.answerable),
    }
}

/// The largest threshold that loses at most 5% of the right answers to answerable questions, and what it declines. `None` if there are no
/// right answers.
pub fn choose(answers: &[Judged]) -> Option<Declined> {
    let mut right: Vec<f64> = answers.iter().filter(|answer| answer.can_be_lost()).map(|answer| answer.confidence).collect();
    right.sort_by(f64::total_cmp);
    // A threshold at the least confident answer that is kept loses those before it; any larger one loses this answer too.
    right.get(right.len() / RIGHT_PER_LOST).map(|threshold| declined(answers, *threshold))
}

fn share(part: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judged(confidence: f64, answerable: bool, right: bool) -> Judged {
        Judged { confidence, answerable, right, abstains: false }
    }

    #[test]
    fn a_curve_by_hand() {
        let answers = [judged(-0.1, true, true), judged(-0.2, true, true), judged(-0.3, false, false), judged(-0.3, true, true)];
        let (curve, area) = precision_over_coverage(&answers);
        let points: Vec<_> = curve.iter().map(|point| (point.threshold, point.coverage, point.precision)).collect();
        assert_eq!(points, [(-0.1, 0.25, 1.0), (-0.2, 0.5, 1.0), (-0.3, 1.0, 0.75)]);
        // Of three answers, two and a half are right on average.
        assert!((area.unwrap() - (1.0 + 1.0 + 2.5 / 3.0 + 0.75) / 4.0).abs() < 1e-12);
        assert_eq!(declined(&answers, -0.25), Declined { threshold: -0.25, lost: 1, right: 3, unanswerable_declined: 1, unanswerable: 1 });
        assert_eq!(choose(&answers).map(|chosen| (chosen.threshold, chosen.lost)), Some((-0.3, 0)));
    }

    #[test]
    fn one_of_twenty_right_answers_may_be_lost() {
        for (right, threshold, lost) in [(1, 0.0, 0), (19, 0.0, 0), (20, 1.0, 1), (39, 1.0, 1), (40, 2.0, 2)] {
            let answers: Vec<_> = (0..right).map(|n| judged(f64::from(n), true, true)).collect();
            let chosen = choose(&answers).unwrap();
            assert_eq!((chosen.threshold, chosen.lost), (threshold, lost), "of {right}");
        }
    }

    #[test]
    fn without_right_answers_nothing_is_chosen() {
        assert_eq!(Selective::of(&[], None), None);
        let abstaining = Judged { abstains: true, ..judged(-0.5, false, true) };
        let found = Selective::of(&[abstaining], Some(-1.0)).unwrap();
        assert_eq!((found.area, found.curve.len(), found.chosen), (None, 0, None));
        let given = found.given.unwrap();
        assert_eq!((given.declined_share(), given.lost_share()), (Some(1.0), None), "the model itself declines");
    }

    fn any_answers() -> impl Strategy<Value = Vec<Judged>> {
        let one = (-6i32..=0, any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
        let judged = |(step, answerable, right, abstains): (i32, bool, bool, bool)| {
            // Abstaining is right exactly where there is no answer; an answer where there is none is wrong.
            let right = if abstains { !answerable } else { right && answerable };
            Judged { confidence: f64::from(step) / 4.0, answerable, right, abstains }
        };
        prop::collection::vec(one.prop_map(judged), 0..60)
    }

    /// The mean precision by definition: for each number of given answers, the chance of each answer to be among them.
    fn slow_area(answers: &[Judged]) -> Option<f64> {
        let given: Vec<&Judged> = answers.iter().filter(|answer| !answer.abstains).collect();
        let chance = |answer: &Judged, n: usize| {
            let above = given.iter().filter(|other| other.confidence > answer.confidence).count() as f64;
            let equal = given.iter().filter(|other| other.confidence == answer.confidence).count() as f64;
            ((n as f64 - above) / equal).clamp(0.0, 1.0)
        };
        let precision = |n| given.iter().filter(|answer| answer.right).map(|answer| chance(answer, n)).sum::<f64>() / n as f64;
        (!given.is_empty()).then(|| (1..=given.len()).map(precision).sum::<f64>() / given.len() as f64)
    }

    proptest! {
        #[test]
        fn the_area_is_the_mean_precision(answers in any_answers()) {
            let (curve, area) = precision_over_coverage(&answers);
            match (area, slow_area(&answers)) {
                (Some(fast), Some(slow)) => prop_assert!((fast - slow).abs() < 1e-9, "{fast}, not {slow}"),
                (fast, slow) => prop_assert_eq!(fast, slow),
            }
            for point in &curve {
                let given: Vec<_> = answers.iter().filter(|a| !a.abstains && a.confidence >= point.threshold).collect();
                let right = given.iter().filter(|a| a.right).count();
                prop_assert_eq!(point.coverage, given.len() as f64 / answers.len() as f64);
                prop_assert_eq!(point.precision, right as f64 / given.len() as f64);
            }
            prop_assert!(curve.windows(2).all(|pair| pair[0].coverage < pair[1].coverage && pair[0].threshold > pair[1].threshold));
        }

        #[test]
        fn the_order_of_the_answers_does_not_matter(answers in any_answers()) {
            let reversed: Vec<_> = answers.iter().rev().copied().collect();
            prop_assert_eq!(Selective::of(&answers, Some(-0.5)), Selective::of(&reversed, Some(-0.5)));
        }

        #[test]
        fn the_chosen_threshold_is_the_largest(answers in any_answers()) {
            let Some(chosen) = choose(&answers) else {
                prop_assert!(!answers.iter().any(|a| a.right && a.answerable && !a.abstains));
                return Ok(());
            };
            prop_assert!(chosen.lost * 20 <= chosen.right);
            for other in answers.iter().map(|a| a.confidence + 1e-9).filter(|other| *other > chosen.threshold) {
                prop_assert!(declined(&answers, other).lost * 20 > chosen.right, "{other} is larger and loses no more");
            }
        }
    }
}
