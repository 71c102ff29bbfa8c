//! An interrupted run resumes with the results of an uninterrupted one.

mod common;

use common::{Bench, checkpoints, files, log, run};
use mempack_trainer::{TrainConfig, TrainError};

/// Two stages, noise, a token selection that changes within a stage, and accumulated parts: everything that a resumed run must reproduce.
fn config(bench: &Bench, name: &str, head: &str) -> TrainConfig {
    let stages = r#"
MODEL
HEAD
[checkpoints]
every = 2
[[stage]]
steps = 2
batch = 2
schedule = { warmup = 1 }
learn = { kind = "text", corpora = ["fiction/corpus.jsonl"], length = 48 }
[[stage]]
steps = 4
batch = 4
accumulate = 2
[stage.learn]
kind = "questions"
pool = 4
reads = [1, 2, 3]
questions = 2
length = 96
write = { keep = [[0, 128], [2, 8]], selection_gradient = true, noise = [0.01, 0.02] }
QUESTIONS
"#;
    bench.config(name, &stages.replace("HEAD", head))
}

#[test]
fn losses_and_files_are_the_same_to_the_bit() {
    let bench = Bench::new();
    for (number, head) in ["precision = \"f32\"\nADAPTER", "precision = \"bf16\""].into_iter().enumerate() {
        let [whole, parts] = ["whole", "parts"].map(|name| format!("{name}{number}"));
        let whole = config(&bench, &whole, head);
        let (report, recorder) = run(&whole, None);
        let report = report.unwrap();
        assert_eq!((report.steps, recorder.steps()), (6, (1..=6).collect()));
        assert_eq!(log(&whole.output).last().map(|line| line.loss), report.last.map(|line| line.loss));

        let parts = config(&bench, &parts, head);
        // Stopped in the first stage and in the second, each time with a checkpoint.
        for (stop, from) in [(1, 0), (5, 1)] {
            let (result, recorder) = run(&parts, Some(stop));
            assert!(matches!(result, Err(TrainError::Interrupted { step }) if step == stop), "{result:?}");
            assert_eq!(recorder.steps(), (from + 1..=stop).collect::<Vec<_>>());
            assert!(!parts.output.join("final").exists());
        }
        // Killed after step 5, before its checkpoint was complete: the log has one step too many, and half a line.
        assert_eq!(checkpoints(&parts.output), ["step-00000004", "step-00000005"]);
        let unfinished = parts.output.join(".step-00000005.part-x1y2z3");
        std::fs::rename(parts.output.join("step-00000005"), &unfinished).unwrap();
        std::fs::write(unfinished.join("state.json"), b"{").unwrap();
        let path = parts.output.join("log.jsonl");
        let text = std::fs::read_to_string(&path).unwrap() + "{\"step\": 6, \"sta";
        std::fs::write(&path, text).unwrap();
        let (result, recorder) = run(&parts, None);
        assert_eq!((result.unwrap().steps, recorder.steps()), (2, vec![5, 6]));
        assert!(recorder.notes().iter().any(|note| note == "resuming after step 4 of 6"), "{:?}", recorder.notes());

        let (expected, found) = (log(&whole.output), log(&parts.output));
        assert_eq!(expected.iter().map(|line| line.step).collect::<Vec<_>>(), (1..=6).collect::<Vec<_>>());
        assert_eq!(expected.iter().map(|line| line.kept).collect::<Vec<_>>(), [0, 0, 128, 128, 8, 8]);
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(expected.loss.to_bits(), found.loss.to_bits(), "step {}: {expected:?} {found:?}", expected.step);
            assert_eq!(expected.gradient.to_bits(), found.gradient.to_bits(), "step {}", expected.step);
        }
        assert_eq!(expected, found);
        let (expected, found) = (files(&whole.output.join("final")), files(&parts.output.join("final")));
        let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let all: &[&str] = if number == 0 {
            &["adapter_config.json", "adapter_model.safetensors", "memory.json"]
        } else {
            &["config.json", "model.safetensors", "tokenizer.json"]
        };
        assert_eq!(names(&expected), all);
        assert!(expected == found, "the final files differ");

        // A finished run does nothing.
        let (result, recorder) = run(&whole, None);
        assert_eq!((result.unwrap().steps, recorder.steps().len()), (0, 0));
    }
}

#[test]
fn another_configuration_is_refused() {
    let bench = Bench::new();
    let begun = config(&bench, "begun", "ADAPTER");
    assert!(matches!(run(&begun, Some(1)).0, Err(TrainError::Interrupted { step: 1 })));
    let before = files(&begun.output.join("step-00000001"));
    for head in ["ADAPTER\n[optimizer]\nrate = 1e-4", "[adapter]\nrank = 2\nalpha = 3.0", "ADAPTER\n[divergence]\npatience = 3"] {
        let other = config(&bench, "begun", head);
        let error = run(&other, None).0.unwrap_err();
        let TrainError::Checkpoint { path, part, expected, found } = &error else { panic!("{error}") };
        assert_eq!((path, part.as_str()), (&begun.output.join("step-00000001"), "configuration"));
        assert_ne!(expected, found);
        assert!(error.to_string().contains("remove the checkpoint, or train into another folder"), "{error}");
    }
    assert_eq!(files(&begun.output.join("step-00000001")), before);
    // The output folder and the checkpoint settings may change.
    let often = TrainConfig { checkpoints: mempack_trainer::CheckpointConfig { every: 1, keep: 3 }, ..config(&bench, "begun", "ADAPTER") };
    let moved = bench.output("moved");
    std::fs::rename(&begun.output, &moved).unwrap();
    assert!(matches!(run(&TrainConfig { output: moved.clone(), ..often }, Some(4)).0, Err(TrainError::Interrupted { step: 4 })));
    assert_eq!(checkpoints(&moved), ["step-00000002", "step-00000003", "step-00000004"]);
}

#[test]
fn a_damaged_checkpoint_is_an_error_that_names_it() {
    let bench = Bench::new();
    let config = config(&bench, "damaged", "ADAPTER");
    assert!(matches!(run(&config, Some(1)).0, Err(TrainError::Interrupted { step: 1 })));
    let checkpoint = config.output.join("step-00000001");
    for (file, part) in [("tensors.safetensors", "tensors.safetensors"), ("state.json", "state.json")] {
        let path = checkpoint.join(file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = run(&config, None).0.unwrap_err();
        assert!(matches!(&error, TrainError::Checkpoint { path, part: found, .. } if *path == checkpoint && found == part), "{error}");
        std::fs::write(&path, whole).unwrap();
    }
}
