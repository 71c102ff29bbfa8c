//! Each objective: its loss falls, and an interrupted run resumes with the results of an uninterrupted one.

mod common;

use common::{Bench, files, log, run};
use mempack_trainer::TrainError;

const WRITE: &str = "write = { keep = [[0, 16]], selection_gradient = true, noise = [0.01, 0.02] }";

/// An objective, and how far the mean loss of the last five steps must be below that of the first five.
struct Case {
    name: &'static str,
    learn: &'static str,
    fall: f64,
}

const CASES: [Case; 3] = [
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
];

fn config(bench: &Bench, case: &Case, name: &str, every: u64) -> mempack_trainer::TrainConfig {
    let asked = "[[stage.learn.ask.sources]]\ncorpora = [\"fiction/corpus.jsonl\"]\nquestions = [\"fiction/questions.jsonl\"]";
    let learn = case.learn.replace("WRITE", WRITE).replace("ASKED", asked);
    let text = format!(
        "MODEL\nmemory = \"memory.json\"\nADAPTER\n[optimizer]\nrate = 1e-2\n[checkpoints]\nevery = {every}\n[[stage]]\nsteps = 24\nbatch = 6\n\
         accumulate = 2\nschedule = {{ warmup = 2 }}\n[stage.learn]\n{learn}"
    );
    bench.config(name, &text)
}

#[test]
fn losses_fall_and_runs_resume_to_the_bit() {
    let bench = Bench::new();
    bench.memory_with_context_template();
    for case in &CASES {
        let whole = config(&bench, case, case.name, 50);
        run(&whole, None).0.unwrap();
        let lines = log(&whole.output);
        let mean = |lines: &[mempack_trainer::LogLine]| lines.iter().map(|line| line.loss).sum::<f64>() / lines.len() as f64;
        let (before, after) = (mean(&lines[..5]), mean(&lines[19..]));
        println!("{}: {before:.3} {after:.3}", case.name);
        assert!(after < before - case.fall, "{}: {before} {after}", case.name);

        let parts = config(&bench, case, &format!("{} in parts", case.name), 5);
        for stop in [3, 17] {
            let stopped = run(&parts, Some(stop)).0;
            assert!(matches!(stopped, Err(TrainError::Interrupted { step }) if step == stop), "{}: {stopped:?}", case.name);
        }
        // Killed after the stop, before its checkpoint was complete.
        std::fs::remove_dir_all(parts.output.join("step-00000017")).unwrap();
        assert_eq!(run(&parts, None).0.unwrap().steps, 9, "{}", case.name);
        assert_eq!(lines, log(&parts.output), "{}", case.name);
        assert!(files(&whole.output.join("final")) == files(&parts.output.join("final")), "{}: the final files differ", case.name);
    }
}
