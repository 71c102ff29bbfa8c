use std::fs;

use tempfile::TempDir;

use super::*;

/// A step as a run would log it.
pub(super) fn line(step: u64) -> LogLine {
    let done = step as f64;
    LogLine {
        step,
        stage: 0,
        loss: 2.0 / (1.0 + 0.1 * done) + 0.2 * (done * 1.7).sin(),
        right: 1.0 - 0.5 / (1.0 + 0.1 * done),
        exact: 0.5 + 0.4 * (done * 2.3).sin(),
        gradient: 1.0,
        rate: 4e-4,
        kept: 8,
        tokens: 2500,
        seconds: 8.0 + (done * 0.9).sin(),
    }
}

fn run(dir: &TempDir, name: &str, lines: &[LogLine]) -> PathBuf {
    let folder = dir.path().join(name);
    fs::create_dir_all(&folder).expect("writable");
    let text: Vec<String> = lines.iter().map(|line| serde_json::to_string(line).expect("JSON") + "\n").collect();
    fs::write(folder.join(LOG), text.concat()).expect("writable");
    folder
}

/// The SVG of some runs.
fn svg(runs: &[PathBuf]) -> String {
    let mut figures = plot(runs, &["figure.svg".into()]).expect("drawn");
    let svg = String::from_utf8(figures.remove(0)).expect("UTF-8");
    well_formed(&svg);
    svg
}

/// Every element is closed, every attribute is whole, and every number finite.
fn well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a bare > in {:?}", &rest[..start]);
        let end = start + rest[start..].find('>').expect("an end of the tag");
        let tag = &rest[start + 1..end];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed as it was opened");
        } else {
            let name = tag.split([' ', '/']).next().expect("a name");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            if !tag.ends_with('/') {
                open.push(name);
            }
            for (attribute, value) in attributes(tag) {
                let numbers = ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "stroke-width", "points", "viewBox"];
                if numbers.contains(&attribute) {
                    let numbers = value.split([' ', ',']).map(|number| number.parse::<f64>());
                    assert!(numbers.into_iter().all(|number| number.is_ok_and(f64::is_finite)), "{tag}");
                }
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest:?}");
}

fn attributes(tag: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = tag.split('"').collect();
    parts.chunks_exact(2).map(|pair| (pair[0].trim().trim_end_matches('=').rsplit(' ').next().expect("a name"), pair[1])).collect()
}

/// The elements of a name that have a colour, as they are written.
fn elements<'a>(svg: &'a str, name: &str, colour: &str) -> Vec<&'a str> {
    let begin = format!("<{name} ");
    svg.lines().filter(|line| line.starts_with(&begin) && line.contains(colour)).collect()
}

const STAGE: &str = "stroke=\"#999999\"";

#[test]
fn a_run_of_three_stages() {
    let dir = TempDir::new().expect("a folder");
    let stage = |step: u64| if step <= 20 { 0 } else { 1 + usize::from(step > 50) };
    let lines: Vec<LogLine> = (1..=90).map(|step| LogLine { stage: stage(step), ..line(step) }).collect();
    let svg = svg(&[run(&dir, "a<b & c", &lines)]);
    assert!(svg.contains(">a&lt;b &amp; c</text>"), "{svg}");
    for title in ["Loss, nats a token", "Share right", "Learning rate", "Tokens kept a head", "Tokens a second", "whole answers"] {
        assert!(svg.contains(&format!(">{title}</text>")), "{title}");
    }
    // Two boundaries in each of five panels, and what they mean in two.
    let stages = elements(&svg, "line", STAGE);
    assert_eq!((stages.len(), svg.matches(">new stage<").count()), (12, 2), "{svg}");
    // Loss, right tokens and exact answers: a faint line each, and a mean for each stage.
    assert_eq!(elements(&svg, "polyline", "stroke-width=\"1\"").len(), 4);
    assert_eq!(elements(&svg, "polyline", "stroke-width=\"2\"").len(), 4 * 3 + 2);
    assert!(!svg.contains("finite"), "{svg}");
}

#[test]
fn one_step_is_a_dot() {
    let dir = TempDir::new().expect("a folder");
    let svg = svg(&[run(&dir, "out", &[line(7)])]);
    assert!(elements(&svg, "polyline", "").is_empty() && elements(&svg, "line", STAGE).is_empty(), "{svg}");
    // Four values with a mean, two without.
    assert_eq!(elements(&svg, "circle", "").len(), 4 * 2 + 2);
    assert!(svg.contains(">7</text>"), "{svg}");
}

#[test]
fn steps_without_a_number_are_counted() {
    let dir = TempDir::new().expect("a folder");
    let mut lines: Vec<LogLine> = (1..=9).map(line).collect();
    lines[3].loss = f64::NAN;
    lines[4].loss = f64::INFINITY;
    lines[8].seconds = 0.0;
    let folder = run(&dir, "out", &lines);
    assert!(fs::read_to_string(folder.join(LOG)).expect("the log").contains("\"loss\":null"), "as JSON has it");
    let some = svg(std::slice::from_ref(&folder));
    assert!(some.contains(">2 steps have no finite value<") && some.contains(">1 step has no finite value<"), "{some}");
    // The loss is the first faint line that is drawn, here in two pieces: three points and four.
    let points = |svg: &str| -> Vec<usize> {
        let faint = elements(svg, "polyline", "stroke-width=\"1\"");
        faint
            .iter()
            .map(|line| line.split("points=\"").nth(1).and_then(|p| p.split('"').next()).map_or(0, |p| p.split(' ').count()))
            .collect()
    };
    assert_eq!(points(&some), [3, 4, 9, 9, 8]);
    lines.iter_mut().for_each(|line| line.loss = f64::NAN);
    let none = svg(&[run(&dir, "out", &lines)]);
    assert!(none.contains(">9 steps have no finite value<"), "{none}");
    assert_eq!(points(&none), [9, 9, 8]);
}

#[test]
fn runs_have_the_same_axes_and_names_of_their_own() {
    let dir = TempDir::new().expect("a folder");
    let long: Vec<LogLine> = (1..=1000).map(line).collect();
    let runs = [run(&dir, "one/out", &long), run(&dir, "two/out", &long[..10]).join(LOG)];
    let both = svg(&runs);
    assert!(both.contains(">one/out</text>") && both.contains(">two/out</text>"), "{both}");
    let marks = both.matches(">800</text>").count();
    assert!(marks >= 10 && both.contains("viewBox=\"0 0 920 "), "five panels and two columns: {marks}");
    assert!(svg(&runs[..1]).contains(">out</text>"));
    let twice = svg(&[runs[0].clone(), runs[0].join(LOG)]);
    assert_eq!(twice.matches(">out</text>").count(), 2, "the same run twice has one name");
    let deep = "very-long-name-".repeat(12);
    let cut = svg(&[run(&dir, &deep, &long), runs[1].clone()]);
    assert!(cut.contains(">...") && cut.contains("name-</text>"), "{cut}");
}

#[test]
fn a_png_shows_what_the_svg_shows() {
    let dir = TempDir::new().expect("a folder");
    let lines: Vec<LogLine> = (1..=60).map(|step| LogLine { stage: usize::from(step > 30), ..line(step) }).collect();
    let figures = plot(&[run(&dir, "out", &lines)], &["a.SVG".into(), "b.png".into()]).expect("drawn");
    let svg = str::from_utf8(&figures[0]).expect("an SVG");
    well_formed(svg);
    let mut reader = png::Decoder::new(std::io::Cursor::new(&figures[1])).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it fits")];
    let frame = reader.next_frame(&mut pixels).expect("an image");
    assert!(svg.contains(&format!("viewBox=\"0 0 {} {}\"", frame.width / 2, frame.height / 2)), "{frame:?}");
    let count = |hex: &str| {
        let colour: Vec<u8> = (1..6).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("a colour")).collect();
        pixels.chunks(3).filter(|pixel| **pixel == colour).count()
    };
    for line in svg.lines().filter(|line| line.starts_with("<polyline") || line.contains(STAGE)) {
        let colour = line.split("stroke=\"").nth(1).expect("a colour");
        assert!(count(&colour[..7]) > 50, "no pixels of {line}");
    }
    assert!(count("#222222") > 2000 && count("#ffffff") > pixels.len() / 3 / 2, "text on paper");
}

#[test]
fn what_is_refused() {
    let dir = TempDir::new().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    let good = run(&dir, "good", &[line(1)]);
    let refused = |runs: &[PathBuf], file: &str, words: &[&str]| {
        let error = plot(runs, &[path("first.svg"), path(file)]).expect_err("refused");
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        error
    };
    let empty = run(&dir, "empty", &[]);
    let error = refused(&[good.clone(), empty.clone()], "a.svg", &["empty/log.jsonl", "at least one step", "wait until"]);
    assert!(matches!(error, PlotError::Empty { .. }));
    fs::write(empty.join(LOG), "{\"step\": 1, \"sta").expect("writable");
    refused(&[empty], "a.svg", &["at least one step"]);
    refused(&[path("absent")], "a.svg", &["absent: no such file", "output folder"]);
    fs::create_dir(path("bare")).expect("writable");
    refused(&[path("bare")], "a.svg", &["bare/log.jsonl: no such file"]);
    fs::write(path("text"), "loss 1.0\nloss 0.9\n").expect("writable");
    refused(&[path("text")], "a.svg", &["text: line 1", "expected a step"]);
    for (file, words) in [("a.pdf", ["found .pdf", ".svg or .png"]), ("svg", ["found no ending", ".svg or .png"])] {
        let error = refused(std::slice::from_ref(&good), file, &words);
        assert!(matches!(error, PlotError::Ending { .. }));
    }
    refused(&[], "a.svg", &["expected 1 to 12 runs", "found 0"]);
    refused(&vec![good.clone(); 13], "a.svg", &["found 13"]);
}
