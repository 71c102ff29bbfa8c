//! Training that changes reading alone: what is written stays, the loss falls, and an interrupted run resumes to the bit.

mod common;

use std::path::Path;

use common::{Bench, files, log, run};
use mempack_model::{DeviceChoice, LoadOptions, Model, Precision};
use mempack_trainer::{LogLine, TrainConfig, TrainError};

const QUESTIONS: &str = "[stage.learn]\nkind = \"questions\"\npool = 6\nreads = [1, 2, 3]\nquestions = 2\nlength = 96\n\
     write = { keep = [[0, 16]], noise = [0.01, 0.02] }\nQUESTIONS\n";
const REPEAT: &str = "[stage.learn]\nkind = \"repeat\"\ncorpora = [\"fiction/corpus.jsonl\"]\npool = 6\nreads = [1, 2, 3]\nwrite = {}\n";

/// A run of 14 steps on `model`, the lines for which stand in place of the tiny model's.
fn config(bench: &Bench, name: &str, model: Option<&Path>, learn: &str, reads_only: bool) -> TrainConfig {
    let text = format!(
        "MODEL\nADAPTER\nreads_only = {reads_only}\n[optimizer]\nrate = 1e-2\n[checkpoints]\nevery = 5\n[[stage]]\nsteps = 14\nbatch = 6\n\
         accumulate = 2\nschedule = {{ kind = \"cosine\", warmup = 2 }}\n{learn}"
    );
    let config = bench.config(name, &text);
    match model {
        Some(folder) => TrainConfig { base: config.model, model: Some(folder.to_owned()), ..config },
        None => config,
    }
}

fn load(folder: &Path, config: &TrainConfig) -> Model {
    let base = config.base.clone().or(config.model.clone());
    let options = LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, base, ..LoadOptions::default() };
    Model::load(folder, &options).unwrap()
}

#[test]
fn reading_is_learnt_and_runs_resume_to_the_bit() {
    let bench = Bench::new();
    let adapted = config(&bench, "adapted", None, REPEAT, false);
    run(&adapted, None).0.unwrap();
    let adapter = adapted.output.join("final");
    for (number, (model, learn)) in [(None, QUESTIONS), (Some(adapter.as_path()), REPEAT)].into_iter().enumerate() {
        let [whole, parts] = ["whole", "parts"].map(|name| config(&bench, &format!("{name} {number}"), model, learn, true));
        let report = run(&whole, None).0.unwrap();
        let lines = log(&whole.output);
        let mean = |lines: &[LogLine]| lines.iter().map(|line| line.loss).sum::<f64>() / lines.len() as f64;
        let (before, after) = (mean(&lines[..4]), mean(&lines[10..]));
        println!("{number}: {before:.3} {after:.3}");
        assert!(after < before - 0.15, "{number}: {before} {after}");

        for stop in [3, 12] {
            assert!(matches!(run(&parts, Some(stop)).0, Err(TrainError::Interrupted { step }) if step == stop), "{number}");
        }
        std::fs::remove_dir_all(parts.output.join("step-00000012")).unwrap();
        assert_eq!(run(&parts, None).0.unwrap().steps, 4, "{number}");
        assert_eq!(lines, log(&parts.output), "{number}");
        assert!(files(&report.folder) == files(&parts.output.join("final")), "{number}: the final files differ");

        // A reading adapter, whose memories are those of the model that it was trained on.
        let writer = load(model.unwrap_or(whole.model.as_deref().unwrap()), &whole);
        let reader = load(&report.folder, &whole);
        assert_eq!(reader.identity(), writer.identity(), "{number}");
        assert!(reader.reading_adapter().is_some() && writer.reading_adapter().is_none());
        let reference: Vec<u32> = (20..90).collect();
        assert!(reader.write(&[&reference]).unwrap() == writer.write(&[&reference]).unwrap(), "{number}");

        // It is trained further as what it is, and as nothing else.
        let more = config(&bench, &format!("more {number}"), Some(&report.folder), learn, true);
        let learnt = run(&more, Some(1)).0.unwrap_err();
        assert!(matches!(learnt, TrainError::Interrupted { step: 1 }), "{learnt}");
        assert!(log(&more.output)[0].loss < before, "{number}: it begins anew");
        let other = config(&bench, &format!("other {number}"), Some(&report.folder), learn, false);
        let error = run(&other, None).0.unwrap_err().to_string();
        assert!(error.contains("`reads_only`") && error.contains("name the writer"), "{error}");
    }
}

#[test]
fn the_selection_does_not_learn() {
    let bench = Bench::new();
    let read = |reads_only: bool, selects: bool| {
        let path = bench.output("read.toml");
        let learn = REPEAT.replace("write = {}", &format!("write = {{ selection_gradient = {selects} }}"));
        let adapter = format!("[adapter]\nrank = 2\nalpha = 1.0\nreads_only = {reads_only}\n");
        std::fs::write(&path, format!("model = \"x\"\noutput = \"y\"\n{adapter}[[stage]]\nsteps = 1\nbatch = 2\n{learn}")).unwrap();
        TrainConfig::read(&path).map_err(|error| error.to_string())
    };
    let error = read(true, true).unwrap_err();
    assert!(error.contains("stage 0: selection_gradient") && error.contains("adapter.reads_only"), "{error}");
    for (reads_only, selects) in [(true, false), (false, true), (false, false)] {
        read(reads_only, selects).unwrap();
    }
}
