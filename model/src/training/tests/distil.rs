//! Distillation: its value and gradients against a teacher that is a model of its own, and reading of prompts against inference.

use tch::{Kind, Tensor};

use super::gradients::check_gradients;
use super::support::{Case, MODELS, fill_b, folder, keeping, load, new_adapter};
use crate::context::ContextLayout;
use crate::training::{DistilWeights, Learning, Sequence, Trainee, TrainingLoss};
use crate::{ComputeError, ReaderOptions};

const WEIGHTS: DistilWeights = DistilWeights { cross_entropy: 0.4, divergence: 0.7 };

/// The case's sequences with other texts before them; the third has no teacher.
fn taught(case: &Case) -> (Vec<Sequence>, Vec<Option<Sequence>>) {
    let sequences = case.sequences();
    let prompt = |(number, sequence): (usize, &Sequence)| {
        let text = &case.references[number];
        (number != 2).then(|| Sequence {
            tokens: text.iter().chain(&sequence.tokens).copied().collect(),
            learnt: text.iter().map(|_| false).chain(sequence.learnt.iter().copied()).collect(),
            chunks: Vec::new(),
        })
    };
    let teachers = sequences.iter().enumerate().map(prompt).collect();
    (sequences, teachers)
}

fn distilled(trainee: &Trainee, case: &Case, rows: usize) -> TrainingLoss {
    let (sequences, teachers) = taught(case);
    let written = trainee.write(&case.references(), &keeping(128)).unwrap();
    trainee.distil_in_rows(&sequences, Some(&written), &teachers, &WEIGHTS, rows).unwrap()
}

/// The logits of the learnt tokens of prompts.
fn plain_logits(trainee: &Trainee, prompts: &[Sequence]) -> Tensor {
    let model = trainee.model();
    let states = model.states(prompts, None, ContextLayout::plain(model.memory())).unwrap();
    model.decoder().logits(&states.x).unwrap()
}

/// The same loss from the whole logits of two models, with libtorch's functions on probabilities.
fn from_two_models(student: &Trainee, teacher: &Trainee, case: &Case) -> f64 {
    let _guard = tch::no_grad_guard();
    let (sequences, teachers) = taught(case);
    let written = student.write(&case.references(), &keeping(128)).unwrap();
    let of_student = student.model().predict(&sequences, Some(&written)).unwrap();
    let prompts: Vec<Sequence> = teachers.iter().flatten().cloned().collect();
    let of_teacher = plain_logits(teacher, &prompts);
    let counts: Vec<i64> = sequences.iter().map(|s| s.learnt.iter().filter(|learnt| **learnt).count() as i64).collect();
    let mut rows = of_student.logits().split_with_sizes(&counts, 0);
    let _ = rows.remove(2);
    let q = Tensor::cat(&rows, 0).to_kind(Kind::Double).softmax(-1, Kind::Double);
    let p = of_teacher.to_kind(Kind::Double).softmax(-1, Kind::Double);
    let divergence = (&p * (&p / &q).log()).sum(Kind::Double).double_value(&[]);
    let entropy = -of_student.log_probabilities().unwrap().sum(Kind::Double).double_value(&[]);
    WEIGHTS.cross_entropy * entropy + WEIGHTS.divergence * divergence
}

#[test]
fn gradients_are_those_of_the_student_alone() {
    for (name, learning) in [("llama_gqa", Learning::Everything), ("qwen2_bias", new_adapter(3)), ("llama_mha", Learning::Everything)] {
        let dir = folder(name);
        let [mut student, mut teacher] = [0, 1].map(|_| load(dir.path(), &learning));
        for trainee in [&mut student, &mut teacher] {
            fill_b(trainee, 0.1);
        }
        let case = Case::short(name);
        let loss = distilled(&student, &case, 5);
        let (found, expected) = (loss.sum().unwrap(), from_two_models(&student, &teacher, &case));
        assert!((found - expected).abs() < 1e-4 * expected, "{name}: {found} {expected}");
        loss.backward(1.0).unwrap();
        check_gradients(name, &mut student, &case, &keeping(128), &|student| from_two_models(student, &teacher, &case));
    }
}

#[test]
fn parts_of_any_size_give_the_same_loss_gradients_and_hits() {
    for name in MODELS {
        let dir = folder(name);
        let trainee = load(dir.path(), &Learning::Everything);
        let case = Case::short(name);
        let with = |rows: usize| {
            let loss = distilled(&trainee, &case, rows);
            loss.backward(0.5).unwrap();
            let gradients: Vec<Tensor> = trainee.parameters.iter().map(|p| p.working.grad().copy()).collect();
            trainee.clear_gradients().unwrap();
            (loss.sum().unwrap(), loss.hits().unwrap(), gradients)
        };
        let (sum, hits, gradients) = with(1000);
        for rows in [1, 4] {
            let (other, other_hits, others) = with(rows);
            assert!((sum - other).abs() < 1e-4 * sum, "{name}: {sum} {other}");
            assert_eq!(hits, other_hits);
            for (one, other) in gradients.iter().zip(&others) {
                let distance = (one - other).norm().double_value(&[]);
                assert!(distance < 1e-4 * one.norm().double_value(&[]) + 1e-6, "{name}: {distance}");
            }
        }
        // The numbers of tokens are those of the sequences that read memories.
        assert_eq!(hits.tokens, case.sequences().iter().flat_map(|s| &s.learnt).filter(|learnt| **learnt).count());
    }
}

#[test]
fn a_teacher_of_other_tokens_is_refused() {
    let dir = folder("llama_gqa");
    let trainee = load(dir.path(), &Learning::Everything);
    let (sequences, teachers) = taught(&Case::short("llama_gqa"));
    let written = trainee.write(&Case::short("llama_gqa").references(), &keeping(8)).unwrap();
    let refused = |change: &dyn Fn(&mut Sequence)| {
        let mut teachers = teachers.clone();
        change(teachers[1].as_mut().unwrap());
        match trainee.distil(&sequences, Some(&written), &teachers, &WEIGHTS) {
            Err(ComputeError::Taught { index, expected, found }) => (index, expected, found),
            other => panic!("{:?}", other.map(|loss| loss.sum())),
        }
    };
    let last = teachers[1].as_ref().unwrap().tokens.len() - 1;
    let at = teachers[1].as_ref().unwrap().learnt.iter().position(|learnt| *learnt).unwrap();
    assert_eq!(refused(&|teacher| teacher.tokens[at] ^= 1), (1, 2, 2));
    assert_eq!(refused(&|teacher| teacher.learnt[last] ^= true).0, 1);
    assert!(matches!(trainee.distil(&sequences, Some(&written), &teachers[1..], &WEIGHTS), Err(ComputeError::Taught { .. })));
}

/// A prompt without memories is read as a reader without prefix reads it.
#[test]
fn prompts_are_read_as_in_inference() {
    for name in MODELS {
        let dir = folder(name);
        let trainee = load(dir.path(), &Learning::Everything);
        let case = Case::short(name);
        let (_, teachers) = taught(&case);
        let prompts: Vec<Sequence> = teachers.into_iter().flatten().collect();
        let found: Vec<f32> = {
            let _guard = tch::no_grad_guard();
            Vec::try_from(plain_logits(&trainee, &prompts).view([-1])).unwrap()
        };
        let vocabulary = trainee.model().config().vocabulary as usize;
        let mut rows = found.chunks(vocabulary);
        for prompt in &prompts {
            let options = ReaderOptions { capacity: 1 + prompt.tokens.len(), prefix: false };
            let logits = trainee.model().decoder().reader(&options).unwrap().prompt(&prompt.tokens, &[], true).unwrap();
            for (token, row) in logits.chunks(vocabulary).take(prompt.tokens.len()).enumerate() {
                if prompt.learnt[token] {
                    let distance = row.iter().zip(rows.next().unwrap()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(distance < 1e-4, "{name}: token {token}: {distance}");
                }
            }
        }
        assert!(rows.next().is_none());
        let targets =
            prompts.iter().flat_map(|p| p.tokens.iter().zip(&p.learnt)).filter(|(_, learnt)| **learnt).map(|(id, _)| *id as usize);
        let of_token = |(row, target): (&[f32], usize)| row.iter().map(|x| f64::from(x - row[target]).exp()).sum::<f64>().ln();
        let expected: f64 = found.chunks(vocabulary).zip(targets).map(of_token).sum();
        let loss = trainee.plain_loss(&prompts).unwrap().sum().unwrap();
        assert!((loss - expected).abs() < 1e-4 * expected, "{name}: {loss} {expected}");
    }
}
