//! Each objective: its loss falls, and an interrupted run resumes with the results of an uninterrupted one.

mod common;

use common::{Bench, files, log, run};
use mempack_trainer::TrainError;

const WRITE: &str = "write = { keep = [[0, 16]], selection_gradient = true, noise = [0.01, 0.02] }";

/// An objective, and how far the mean loss of the last four steps must be below that of the first four.
struct Case {
    name: &'static str,
    learn: &'static str,
    fall: f64,
}

const CASES: [Case; 5] = [
    Case {
        name: "repeat",
        learn: "kind = \"repeat\"\ncorpora = [\"fiction/corpus.jsonl\"]\npool = 6\nreads = [1, 2, 3]\nWRITE\n",
        fall: 0.3,
    },
    Case {
        name: "clusters",
        learn: "kind = \"questions\"\npool = 6\nreads = [1, 2, 3, 5]\nquestions = 2\nlength = 96\nclusters = 4\nrepeats = 50\nwithheld = 0.2\nWRITE\nQUESTIONS\n",
        fall: 0.2,
    },
    Case {
        name: "distil",
        learn: "kind = \"distil\"\n[stage.learn.ask]\npool = 6\nreads = [1, 2, 3]\nquestions = 2\nlength = 96\nclusters = 4\nwithheld = 0.1\nWRITE\nASKED\n",
        fall: 0.1,
    },
    Case {
        name: "preferences",
        learn: "kind = \"preferences\"\ncorpora = [\"fiction/corpus.jsonl\"]\npreferences = [\"preferences.jsonl\"]\nreads = [1, 3]\nbeta = 0.3\nWRITE\n",
        fall: 0.1,
    },
    Case {
        name: "chat",
        learn: "kind = \"chat\"\nconversations = [\"chat.jsonl\"]\nreferences = [\"fiction/corpus.jsonl\"]\nreads = 3\nlength = 128\nWRITE\n",
        fall: 0.2,
    },
];

fn config(bench: &Bench, case: &Case, name: &str, every: u64) -> mempack_trainer::TrainConfig {
    let asked = "[[stage.learn.ask.sources]]\ncorpora = [\"fiction/corpus.jsonl\"]\nquestions = [\"fiction/questions.jsonl\"]";
    let learn = case.learn.replace("WRITE", WRITE).replace("ASKED", asked);
    let text = format!(
        "MODEL\nmemory = \"memory.json\"\nADAPTER\n[optimizer]\nrate = 1e-2\n[checkpoints]\nevery = {every}\n[[stage]]\nsteps = 14\nbatch = 6\n\
         accumulate = 2\nschedule = {{ kind = \"cosine\", warmup = 2 }}\n[stage.learn]\n{learn}"
    );
    bench.config(name, &text)
}

/// The loss falls, and a run that was interrupted twice ends with the same bits.
fn falls_and_resumes(name: &str) {
    let case = CASES.iter().find(|case| case.name == name).unwrap();
    let bench = Bench::new();
    bench.memory_with_context_template();
    bench.preferences_and_chat();
    let whole = config(&bench, case, name, 50);
    run(&whole, None).0.unwrap();
    let lines = log(&whole.output);
    let mean = |lines: &[mempack_trainer::LogLine]| lines.iter().map(|line| line.loss).sum::<f64>() / lines.len() as f64;
    let (before, after) = (mean(&lines[..4]), mean(&lines[10..]));
    println!("{name}: {before:.3} {after:.3}");
    assert!(after < before - case.fall, "{name}: {before} {after}");

    let parts = config(&bench, case, &format!("{name} in parts"), 5);
    for stop in [3, 12] {
        let stopped = run(&parts, Some(stop)).0;
        assert!(matches!(stopped, Err(TrainError::Interrupted { step }) if step == stop), "{name}: {stopped:?}");
    }
    // Killed after the stop, before its checkpoint was complete.
    std::fs::remove_dir_all(parts.output.join("step-00000012")).unwrap();
    assert_eq!(run(&parts, None).0.unwrap().steps, 4, "{name}");
    assert_eq!(lines, log(&parts.output), "{name}");
    assert!(files(&whole.output.join("final")) == files(&parts.output.join("final")), "{name}: the final files differ");
}

// A run has one thread: tests of their own run side by side.
#[test]
fn repeat_learns_and_resumes_to_the_bit() {
    falls_and_resumes("repeat");
}

#[test]
fn clusters_learn_and_resume_to_the_bit() {
    falls_and_resumes("clusters");
}

#[test]
fn distil_learns_and_resumes_to_the_bit() {
    falls_and_resumes("distil");
}

#[test]
fn preferences_learn_and_resume_to_the_bit() {
    falls_and_resumes("preferences");
}

#[test]
fn chat_learns_and_resumes_to_the_bit() {
    falls_and_resumes("chat");
}

const PREFERENCES: &str = "[stage.learn]\nkind = \"preferences\"\ncorpora = [\"fiction/corpus.jsonl\"]\n\
     preferences = [\"preferences.jsonl\"]\nreads = [2]\nbeta = 1.0\nwrite = { keep = [[0, 8]] }\n";

/// The reference model is the model before the stage: its log-likelihoods are those of before after an interruption, and computed anew if
/// training goes back to an earlier stage.
#[test]
fn the_reference_model_is_the_model_before_the_stage() {
    let bench = Bench::new();
    bench.preferences_and_chat();
    let stages = "MODEL\nADAPTER\n[optimizer]\nrate = RATE\n[divergence]\ntries = 1\ncut = 1e-34\n[[stage]]\nsteps = 1\nbatch = 2\n\
         schedule = { warmup = 0 }\nlearn = { kind = \"text\", corpora = [\"fiction/corpus.jsonl\"], length = 40 }\n[[stage]]\nsteps = 3\nbatch = 4\n\
         schedule = { warmup = 0 }\n";
    let config = |name: &str, rate: &str| bench.config(name, &(stages.replace("RATE", rate) + PREFERENCES));
    let calm = config("calm", "1e-4");
    run(&calm, None).0.unwrap();
    let lines = log(&calm.output);
    // At first both models are the same: no answer has gained, and the loss is log(2).
    let distance = |line: &mempack_trainer::LogLine| (line.loss - 2f64.ln()).abs();
    assert!(distance(&lines[1]) < 5e-5 && distance(&lines[2]) > 2e-4, "{lines:?}");

    // The first stage ruins the weights, with which the second begins.
    let absurd = config("absurd", "1e30");
    let (result, recorder) = run(&absurd, None);
    assert_eq!(result.unwrap().steps, 4);
    assert!(recorder.notes().iter().any(|note| note.starts_with("the loss diverged at step 2")), "{:?}", recorder.notes());
    for (calm, absurd) in lines.iter().zip(log(&absurd.output)) {
        assert!((calm.loss - absurd.loss).abs() < 1e-4 * calm.loss, "{calm:?} {absurd:?}");
    }

    let stopped = config("stopped", "1e-4");
    assert!(matches!(run(&stopped, Some(2)).0, Err(TrainError::Interrupted { step: 2 })));
    let path = stopped.output.join("likelihoods-1.f32");
    std::fs::rename(&path, path.with_extension("away")).unwrap();
    let error = run(&stopped, None).0.unwrap_err();
    assert!(matches!(&error, TrainError::Checkpoint { path: named, .. } if *named == path), "{error}");
    std::fs::rename(path.with_extension("away"), &path).unwrap();
    run(&stopped, None).0.unwrap();
    assert_eq!(log(&stopped.output), lines);
}
