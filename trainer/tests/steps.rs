//! Steps in several parts, and diverging losses.

mod common;

use common::{Bench, checkpoints, log, run};
use mempack_trainer::TrainError;

/// A stage of questions in which every sequence reads the reference that answers it, and none depends on the other sequences of its part.
const ALONE: &str = r#"
[stage.learn]
kind = "questions"
pool = 100
reads = [1]
questions = 1
length = 96
write = { keep = [[0, 8]], selection_gradient = true }
QUESTIONS
"#;

fn relative(a: f64, b: f64) -> f64 {
    (a - b).abs() / a.abs().max(b.abs())
}

/// A step in several parts equals the step in one part if the sequences are the same: texts, or questions that share no references. (In
/// general, the questions of a part share a pool of references, and another division into parts gives other pools.)
#[test]
fn parts_add_up_to_the_step() {
    let bench = Bench::new();
    let text = "learn = { kind = \"text\", corpora = [\"fiction/corpus.jsonl\"], length = 40 }";
    for (name, learn) in [("text", text), ("questions", ALONE)] {
        let run_with = |accumulate: usize| {
            let config = format!(
                "MODEL\nADAPTER\n[[stage]]\nsteps = 4\nbatch = 4\naccumulate = {accumulate}\nschedule = {{ warmup = 0 }}\n{learn}\n"
            );
            let config = bench.config(&format!("{name}{accumulate}"), &config);
            run(&config, None).0.unwrap();
            log(&config.output)
        };
        let [one, two, four] = [1, 2, 4].map(run_with);
        for parts in [&two, &four] {
            for (one, other) in one.iter().zip(parts) {
                println!(
                    "{name}: step {}: loss {:.5} {:.5}, gradient {:.5} {:.5}",
                    one.step, one.loss, other.loss, one.gradient, other.gradient
                );
                // After the first step, a rounding difference may let another token be kept.
                let limit = if one.step == 1 { 1e-5 } else { 5e-3 };
                assert!(
                    relative(one.loss, other.loss) < limit && relative(one.gradient, other.gradient) < 2.0 * limit,
                    "{name}: {one:?} {other:?}"
                );
            }
            assert_eq!((one[0].right, one[0].exact, one[0].rate), (parts[0].right, parts[0].exact, parts[0].rate));
        }
        assert!(one.windows(2).all(|pair| pair[0].loss != pair[1].loss), "every step has its own sequences");
    }
}

/// A run whose first step has a learning rate that ruins the weights.
fn absurd(bench: &Bench, name: &str, every: u64, tries: u32, cut: f64) -> mempack_trainer::TrainConfig {
    let config = format!(
        "MODEL\n[optimizer]\nrate = 100.0\n[checkpoints]\nevery = {every}\n[divergence]\nfactor = 2.0\ntimes = 1\npatience = 1\n\
         tries = {tries}\ncut = {cut}\n[[stage]]\nsteps = 4\nbatch = 2\nschedule = {{ warmup = 0, decay = 0.0 }}\n{ALONE}"
    );
    bench.config(name, &config)
}

#[test]
fn a_diverging_run_goes_back_and_recovers() {
    let bench = Bench::new();
    // With a checkpoint after every step, the last one holds the ruined weights, and going back to it would not help.
    for every in [50, 1] {
        let config = absurd(&bench, &format!("recovers{every}"), every, 3, 1e-6);
        let (result, recorder) = run(&config, None);
        assert_eq!(result.unwrap().steps, 4);
        let notes = recorder.notes();
        let back: Vec<_> = notes.iter().filter(|note| note.contains("diverged")).collect();
        println!("{back:?}");
        assert_eq!(back.len(), 1, "{notes:?}");
        assert!(back[0].starts_with("the loss diverged at step 2") && back[0].ends_with("back to step 0, with 0.000001 of the rate"));
        assert_eq!(recorder.steps(), [1, 1, 2, 3, 4]);
        let lines = log(&config.output);
        assert_eq!(lines.iter().map(|line| line.step).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(lines.iter().all(|line| relative(line.rate, 1e-4) < 1e-9 && line.loss.is_finite()), "{lines:?}");
    }
}

#[test]
fn it_gives_up_after_the_tries() {
    let bench = Bench::new();
    for every in [50, 1] {
        let config = absurd(&bench, &format!("gives up{every}"), every, 2, 0.9);
        let (result, recorder) = run(&config, None);
        let error = result.unwrap_err();
        assert!(matches!(error, TrainError::Diverged { tries: 2, .. }), "{error}");
        assert!(error.to_string().contains("after 2 retries with lower rates; lower optimizer.rate"), "{error}");
        assert_eq!(recorder.notes().iter().filter(|note| note.contains("diverged")).count(), 2, "{:?}", recorder.notes());
        assert!(!config.output.join("final").exists());
        // The number of retries is saved: the same command does not retry again.
        let (result, recorder) = run(&config, None);
        assert!(matches!(result, Err(TrainError::Diverged { tries: 2, .. })), "{result:?}");
        assert!(!recorder.notes().iter().any(|note| note.contains("diverged")), "{:?}", recorder.notes());
        assert!(!checkpoints(&config.output).is_empty());
    }
}

/// The loss of a new stage is not compared with the stage before: a model of text has a higher loss on random tokens than on text.
#[test]
fn a_new_stage_is_not_compared_with_the_one_before() {
    let bench = Bench::new();
    let config = bench.config(
        "stages",
        "MODEL\n[optimizer]\nrate = 1e-7\n[divergence]\nfactor = 1.3\ntimes = 1\npatience = 1\n\
         [[stage]]\nsteps = 3\nbatch = 8\nlearn = { kind = \"text\", corpora = [\"fiction/corpus.jsonl\"], length = 64 }\n\
         [[stage]]\nsteps = 2\nbatch = 8\nlearn = { kind = \"copy\", length = 24, period = [12, 16] }\n",
    );
    let (result, recorder) = run(&config, None);
    assert_eq!(result.unwrap().steps, 5);
    assert!(!recorder.notes().iter().any(|note| note.contains("diverged")), "{:?}", recorder.notes());
    let losses: Vec<f64> = log(&config.output).iter().map(|line| line.loss).collect();
    println!("{losses:?}");
    assert!(losses[3] > 1.3 * losses[2], "the stages must differ for this to say anything: {losses:?}");
}
