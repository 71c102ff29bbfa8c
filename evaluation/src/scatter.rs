//! Scores over model sizes as a scatter figure, from the details of runs with several models.

use std::collections::BTreeMap;
use std::path::Path;

use mempack_figure::{Anchor, Drawing, INK};
use serde::Deserialize;
use serde::de::Error as _;

use crate::Mode;
use crate::bootstrap::interval;
use crate::choice_question::{ChoiceScores, main_metric};
use crate::panel::{Panel, colour};
use crate::rows::{RowsError, read_rows};

/// What a point is about: the task, the number of the model's parameters and its name, the mode and the number of references.
type Key = (String, u64, String, Mode, usize);

/// Scores of questions, grouped to the points of a figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScatterPoints(BTreeMap<Key, Vec<f64>>);

impl ScatterPoints {
    /// Adds the score of a question, if it has one.
    pub(crate) fn add(&mut self, task: &str, model: &str, parameters: u64, mode: Mode, memories: usize, score: Option<f64>) {
        let key = (task.to_owned(), parameters, model.to_owned(), mode, memories);
        self.0.entry(key).or_default().extend(score);
    }

    /// Adds the points of another run. Of a point that both have, the later one counts.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// A line of the details of a suite, as far as a figure needs it.
#[derive(Deserialize)]
struct Row {
    task: String,
    model: String,
    parameters: std::num::NonZeroU64,
    settings: Vec<RowSetting>,
}

#[derive(Deserialize)]
struct RowSetting {
    #[serde(deserialize_with = "mode")]
    mode: Mode,
    memories: usize,
    #[serde(deserialize_with = "share", default)]
    accuracy: Option<f64>,
    #[serde(deserialize_with = "share", default)]
    accuracy_normalised: Option<f64>,
    #[serde(deserialize_with = "share", default)]
    mc1: Option<f64>,
}

fn mode<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(|error| D::Error::custom(format_args!("`mode`: {error}")))
}

fn share<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let value = Option::<f64>::deserialize(deserializer)?;
    match value.filter(|value| !(0.0..=1.0).contains(value)) {
        Some(value) => Err(D::Error::custom(format_args!("a score is {value}; expected 0 to 1"))),
        None => Ok(value),
    }
}

/// Reads the points of a run from the details that it wrote.
///
/// # Errors
/// If the file cannot be read, a line is not from the details of a suite, or there is none.
pub fn read_points(path: &Path) -> Result<ScatterPoints, RowsError> {
    let expected = r#"{"task": "mmlu_law", "model": "...", "parameters": 134515008, "settings": [{"mode": "closed_book", "memories": 0, "accuracy": 1.0}]}, as the details of a suite have"#;
    let mut points = ScatterPoints::default();
    for Row { task, model, parameters, settings } in read_rows::<Row>(path, expected)? {
        for RowSetting { mode, memories, accuracy, accuracy_normalised, mc1 } in settings {
            let scores = ChoiceScores { accuracy, accuracy_normalised, mc1, mc2: None };
            points.add(&task, &model, parameters.get(), mode, memories, scores.get(main_metric(&task)));
        }
    }
    Ok(points)
}

/// Draws a panel for each task: the mean score of each model, mode and number of references, with its 95% interval, over the number of
/// parameters on a logarithmic axis. Points of one mode and number are joined.
pub fn scatter_figure(points: &ScatterPoints) -> Drawing {
    let mut tasks: Vec<&str> = points.0.keys().map(|key| key.0.as_str()).collect();
    tasks.dedup();
    let mut drawing = Panel::drawing(tasks.len());
    let axis = Axis::of(points.0.keys().map(|key| key.1));
    for (number, task) in tasks.iter().enumerate() {
        let own = points.0.iter().filter(|(key, _)| key.0 == *task);
        draw(&mut drawing, Panel::new(number), task, &axis, &own.collect::<Vec<_>>());
    }
    drawing
}

/// The logarithmic axis of parameters.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// From below the smallest model to above the largest.
    fn of(parameters: impl Iterator<Item = u64>) -> Self {
        let logs = parameters.map(|count| (count.max(1) as f64).log10());
        let (low, high) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), log| (low.min(log), high.max(log)));
        if low > high { Self { low: 8.0, high: 9.0 } } else { Self { low: low - 0.2, high: high + 0.2 } }
    }

    fn x(&self, parameters: f64) -> f64 {
        Panel::x((parameters.log10() - self.low) / (self.high - self.low))
    }

    /// Round numbers within the axis: 1, 2 and 5 times powers of ten.
    fn ticks(&self) -> Vec<f64> {
        let powers = self.low.floor() as i32..=self.high.ceil() as i32;
        let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
        all.filter(|tick| (self.low..=self.high).contains(&tick.log10())).collect()
    }
}

/// A number of parameters as people say it: `135M`, `1.5B`.
fn short(parameters: f64) -> String {
    let (value, unit) = match parameters {
        count if count >= 1e9 => (count / 1e9, "B"),
        count if count >= 1e6 => (count / 1e6, "M"),
        count if count >= 1e3 => (count / 1e3, "k"),
        count => (count, ""),
    };
    let digits = usize::from(value < 10.0 && value.fract() > 0.049);
    format!("{value:.digits$}{unit}")
}

fn draw(drawing: &mut Drawing, panel: Panel, task: &str, axis: &Axis, points: &[(&Key, &Vec<f64>)]) {
    panel.frame(drawing, &format!("{task}: score over the model's parameters"));
    for tick in axis.ticks() {
        drawing.line((axis.x(tick), panel.y(0.0)), (axis.x(tick), panel.y(0.0) + 4.0), INK, 1.0);
        drawing.text((axis.x(tick), panel.y(0.0) + 17.0), 11, Anchor::Middle, short(tick));
    }
    let mut models: Vec<(u64, &str)> = points.iter().map(|(key, _)| (key.1, key.2.as_str())).collect();
    models.dedup();
    // Names take turns on three lines, because models of one size stand close together.
    for (number, (parameters, name)) in models.iter().enumerate() {
        let line = 32.0 + 14.0 * (number % 3) as f64;
        drawing.text((axis.x(*parameters as f64), panel.y(0.0) + line), 11, Anchor::Middle, name);
    }
    let mut series: Vec<(Mode, usize)> = points.iter().map(|(key, _)| (key.3, key.4)).collect();
    series.sort_unstable();
    series.dedup();
    let name = |(mode, memories): &(Mode, usize)| if mode.uses_retrieval() { format!("{mode} {memories}") } else { mode.to_string() };
    panel.legend(drawing, &series.iter().map(name).collect::<Vec<_>>());
    for (number, (mode, memories)) in series.iter().enumerate() {
        let colour = colour(number);
        let mut before = None;
        for (key, scores) in points.iter().filter(|(key, _)| (key.3, key.4) == (*mode, *memories)) {
            let Some(score) = interval(scores) else { continue };
            let here = (axis.x(key.1 as f64), panel.y(score.mean));
            drawing.line((here.0, panel.y(score.low)), (here.0, panel.y(score.high)), colour, 1.0);
            drawing.circle(here, 4.0, colour);
            if let Some(before) = before.replace(here) {
                drawing.line(before, here, colour, 1.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LINE: &str = r#"{"suite": "factual", "task": "truthfulqa", "model": "small", "parameters": 1000000, "id": "1", "choices": ["a", "b"],
        "settings": [{"mode": "closed_book", "memories": 0, "mc1": 1.0, "mc2": 0.7, "accuracy": null, "hit": null}]}"#;

    fn read(content: &str) -> Result<ScatterPoints, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        fs::write(&path, content).unwrap();
        read_points(&path).map_err(|error| error.to_string())
    }

    fn line() -> String {
        LINE.replace("\n", " ")
    }

    #[test]
    fn lines_of_a_run_become_points() {
        let second = line().replace("\"mc1\": 1.0", "\"mc1\": 0.0");
        let mut expected = ScatterPoints::default();
        for score in [1.0, 0.0] {
            expected.add("truthfulqa", "small", 1_000_000, Mode::ClosedBook, 0, Some(score));
        }
        assert_eq!(read(&format!("{}\n{second}\n", line())), Ok(expected));
    }

    #[test]
    fn each_task_has_its_metric() {
        let scores = "\"mc1\": 0.0, \"accuracy\": 1.0, \"accuracy_normalised\": 0.5";
        for (task, score) in [("truthfulqa", 0.0), ("mmlu_law", 1.0), ("halueval_qa", 0.5)] {
            let row = format!(
                r#"{{"task": "{task}", "model": "m", "parameters": 5, "settings": [{{"mode": "memory", "memories": 3, {scores}}}]}}"#
            );
            let mut expected = ScatterPoints::default();
            expected.add(task, "m", 5, Mode::Memory, 3, Some(score));
            assert_eq!(read(&row), Ok(expected));
        }
    }

    #[test]
    fn other_lines_are_refused_with_their_field() {
        for (old, new, words) in [
            ("\"task\": \"truthfulqa\", ", "", "task"),
            ("1000000", "0", "nonzero"),
            ("1000000", "-5", "-5"),
            ("closed_book", "open_book", "unknown mode `open_book`"),
            ("\"mc1\": 1.0", "\"mc1\": 1.5", "a score is 1.5; expected 0 to 1"),
            ("\"memories\": 0, ", "", "memories"),
            ("\"settings\"", "\"outcomes\"", "settings"),
        ] {
            let good = line();
            assert!(good.contains(old), "{old}");
            let error = read(&format!("{good}\n{}\n", good.replace(old, new))).unwrap_err();
            assert!(error.contains("run.jsonl, line 2") && error.contains(words) && error.contains("details of a suite"), "{error}");
        }
    }

    /// The attribute of each circle.
    fn circles(svg: &str, name: &str) -> Vec<f64> {
        let of = |line: &str| line.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?.parse().ok();
        svg.lines().filter(|line| line.starts_with("<circle ")).filter_map(of).collect()
    }

    #[test]
    fn larger_models_stand_further_right_and_better_ones_higher() {
        let mut points = ScatterPoints::default();
        for (model, parameters, right) in [("s<1>", 100_000_000, 2), ("middle", 1_000_000_000, 5), ("large", 10_000_000_000, 8)] {
            for question in 0..10 {
                points.add("mmlu_law", model, parameters, Mode::ClosedBook, 0, Some(f64::from(u8::from(question < right))));
            }
        }
        let svg = scatter_figure(&points).svg();
        let (x, y) = (circles(&svg, "cx"), circles(&svg, "cy"));
        assert!(x.len() == 3 && x.is_sorted_by(|a, b| a < b) && y.is_sorted_by(|a, b| a > b), "{x:?} {y:?}");
        assert!((x[1] - x[0] - (x[2] - x[1])).abs() < 0.2, "the axis is logarithmic: {x:?}");
        let height = |share: f64| Panel::new(0).y(share);
        for (y, share) in y.iter().zip([0.2, 0.5, 0.8]) {
            assert!((y - height(share)).abs() < 0.1);
        }
        for words in ["s&lt;1&gt;", ">middle<", ">100M<", ">1B<", ">5B<", ">closed_book<", "mmlu_law"] {
            assert!(svg.contains(words), "{words}: {svg}");
        }
    }

    #[test]
    fn each_task_has_a_panel_and_nothing_is_drawn_of_nothing() {
        let mut points = ScatterPoints::default();
        for task in ["truthfulqa", "halueval_qa"] {
            for memories in [1, 3] {
                points.add(task, "m", 134_515_008, Mode::MemoryQuantized, memories, Some(0.5));
            }
            points.add(task, "m", 134_515_008, Mode::Memory, 9, None);
        }
        let svg = scatter_figure(&points).svg();
        assert_eq!(circles(&svg, "cx").len(), 4, "a series without scores has no point");
        assert!(svg.contains(">memory_quantized 3<") && svg.contains("truthfulqa"));
        let mut again = points.clone();
        again.extend(points.clone());
        assert_eq!(again, points, "a point that was read twice counts once");
        assert!(scatter_figure(&ScatterPoints::default()).svg().starts_with("<svg "));
    }
}
