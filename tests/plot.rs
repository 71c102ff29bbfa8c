//! `mempack train plot` through the real binary.
#![cfg(feature = "engine")]

mod common;

use std::fs;

use common::{Bench, run};

/// A log of steps of two stages.
fn log(steps: u32) -> String {
    let line = |step: u32| {
        let (done, stage) = (f64::from(step) / f64::from(steps), u32::from(2 * step > steps));
        let (loss, right, exact) = (1.5 - done, 0.7 + 0.2 * done, 0.5 * done);
        format!(
            "{{\"step\":{step},\"stage\":{stage},\"loss\":{loss},\"right\":{right},\"exact\":{exact},\"gradient\":1.5,\"rate\":0.0004,\
             \"kept\":8,\"tokens\":2466,\"seconds\":8.5}}\n"
        )
    };
    (1..=steps).map(line).collect()
}

/// A run's folder with such a log.
fn trained(bench: &Bench, name: &str, steps: u32) -> String {
    fs::create_dir(bench.path(name)).expect("writable");
    bench.file(&format!("{name}/log.jsonl"), log(steps));
    bench.path(name)
}

#[test]
fn two_runs_as_svg_and_png() {
    let bench = Bench::new();
    let (one, two) = (trained(&bench, "one", 40), trained(&bench, "two", 12));
    let (svg, png) = (bench.path("curves.svg"), bench.path("curves.png"));
    let out = run(["train", "plot", &one, &format!("{two}/log.jsonl"), "-o", &svg, "-o", &png]).ok();
    assert_eq!(out, format!("{svg}\n{png}\n"));

    let text = fs::read_to_string(&svg).expect("the SVG");
    assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n") && text.contains(">one<") && text.contains(">two<"), "{text}");
    // Four values scatter and two do not, in each run.
    assert_eq!(text.matches("<polyline ").count(), 2 * (4 + 4 * 2 + 2), "a mean for each of the two stages");

    let file = std::io::BufReader::new(fs::File::open(&png).expect("the PNG"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it fits")];
    let frame = reader.next_frame(&mut pixels).expect("an image");
    assert!(text.contains(&format!("viewBox=\"0 0 {} {}\"", frame.width / 2, frame.height / 2)), "{frame:?}");
    let drawn = pixels.iter().filter(|byte| **byte != 255).count();
    assert!(drawn > pixels.len() / 100, "{drawn} of {} are not white", pixels.len());
}

#[test]
fn what_is_refused() {
    let bench = Bench::new();
    let run_folder = trained(&bench, "one", 3);
    let svg = bench.path("curves.svg");
    run(["train", "plot", &run_folder]).fails(2, &["--output"]);
    run(["train", "plot", "-o", &svg]).fails(2, &["RUN"]);
    run(["train", "plot", &run_folder, "-o", &bench.path("curves.jpg")]).fails(2, &["curves.jpg", "found .jpg", ".svg or .png"]);
    run(["train", "plot", &bench.path("absent"), "-o", &svg]).fails(1, &["absent: no such file", "output folder"]);
    run(["train", "plot", &bench.file("empty.jsonl", ""), "-o", &svg]).fails(1, &["empty.jsonl", "at least one step", "wait"]);
    // Nothing of training and plotting together.
    run(["train", "config.toml", "plot", &run_folder, "-o", &svg]).fails(2, &["plot"]);
    assert_eq!(bench.names(), ["empty.jsonl", "one"], "nothing is left behind");
}

#[test]
fn training_itself_is_asked_for_as_before() {
    let bench = Bench::new();
    run(["train"]).fails(2, &["CONFIG"]);
    run(["train", &bench.path("absent.toml")]).fails(1, &["absent.toml", "cannot be read"]);
    run(["train", &bench.file("bad.toml", "nonsense = 1\n"), "--device", "cpu", "--json"]).fails(1, &["bad.toml", "nonsense"]);
    // A configuration with the name of the subcommand has a path.
    fs::write(bench.path("plot"), "nonsense = 1\n").expect("writable");
    run(["train", &bench.path("plot")]).fails(1, &["nonsense"]);
}
