//! Gates on kept tokens: their derivatives, and what they hide.

use super::support::{Case, MODELS, folder, folder_with_budget, load};
use crate::training::{AllTokens, GatedLoss, Learning, Sequence, Trainee, WriteOptions};
use crate::{HeadGains, TokensPerHead, integrate, rank_bins};

struct Read {
    trainee: Trainee,
    case: Case,
    all: AllTokens,
    edges: Vec<u32>,
    _folder: tempfile::TempDir,
}

impl Read {
    fn new(name: &str, folder: tempfile::TempDir) -> Self {
        let trainee =
            load(folder.path(), &Learning::Adapter(crate::training::AdapterOptions { rank: 1, alpha: 1.0, targets: Vec::new(), seed: 1 }));
        let case = Case::short(name);
        let edges = rank_bins(trainee.model().memory().reference_length);
        let all = trainee.model().write_all_tokens(&case.references(), &edges).unwrap();
        Self { trainee, case, all, edges, _folder: folder }
    }

    fn gates(&self) -> usize {
        let shape = self.trainee.model().decoder().shape();
        shape.all_heads() * (self.edges.len() - 1)
    }

    /// The case's sequences, of which the last token is learnt: the most likely one where all tokens are read. So memories help, as they do in
    /// a model that was trained to read them.
    fn most_likely_ends(&self) -> Vec<Sequence> {
        let mut sequences = self.case.sequences();
        for sequence in &mut sequences {
            sequence.learnt.fill(false);
            *sequence.learnt.last_mut().unwrap() = true;
        }
        let write = WriteOptions { keep: Some(128), selection_gradient: false, noise: [0.0; 2] };
        let written = self.trainee.write(&self.case.references(), &write).unwrap();
        let logits = self.trainee.model().predict(&sequences, Some(&written)).unwrap().logits().argmax(-1, false);
        for (row, sequence) in sequences.iter_mut().enumerate() {
            *sequence.tokens.last_mut().unwrap() = logits.int64_value(&[row as i64]) as u32;
        }
        sequences
    }

    fn lost(&self, logs: &[f32], derive: bool) -> GatedLoss {
        self.trainee.model().loss_through_gates(&self.case.sequences(), &self.all, logs, derive).unwrap()
    }
}

#[test]
fn derivatives_of_gates_are_those_of_differences() {
    for name in MODELS {
        let read = Read::new(name, folder(name));
        let logs: Vec<f32> = (0..read.gates()).map(|gate| -0.3 * (gate % 7) as f32).collect();
        let slopes = read.lost(&logs, true).slopes;
        let norm = slopes.iter().map(|slope| slope * slope).sum::<f64>().sqrt();
        let mut compared: Vec<usize> = (0..slopes.len()).collect();
        compared.sort_by(|a, b| slopes[*b].abs().total_cmp(&slopes[*a].abs()));
        for gate in compared.into_iter().take(6) {
            let step = 0.03;
            let moved = |step: f32| {
                let mut logs = logs.clone();
                logs[gate] += step;
                read.lost(&logs, false).nats
            };
            let found = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            println!("{name}: gate {gate}: {found:.5} by differences, {:.5} by the derivative", slopes[gate]);
            assert!(norm > 0.0 && (found - slopes[gate]).abs() < 0.02 * norm, "{name}: {gate}: {found} {}", slopes[gate]);
        }
        // References of 24 tokens have none in the last bins.
        let bins = read.edges.len() - 1;
        let beyond = read.edges.iter().position(|edge| *edge >= 24).unwrap();
        assert!(slopes.chunks(bins).all(|bins| bins[beyond..].iter().all(|slope| *slope == 0.0)), "{name}");
    }
}

#[test]
fn gains_add_up_to_what_memories_change() {
    for name in MODELS {
        let read = Read::new(name, folder(name));
        let sequences = read.most_likely_ends();
        let model = read.trainee.model();
        let path = integrate(|log, derive| {
            let loss = model.loss_through_gates(&sequences, &read.all, &vec![log as f32; read.gates()], derive).unwrap();
            Ok::<_, ()>((loss.nats, loss.slopes))
        });
        let path = path.unwrap();
        println!("{name}: none {:.4}, all {:.4}, from {}, ratio {:.4}", path.none, path.all, path.start, path.ratio());
        assert!((path.ratio() - 1.0).abs() < 0.1, "{name}: {path:?}");
        let shape = read.trainee.model().decoder().shape();
        let (layers, heads) = (shape.layers as usize, shape.heads as usize);
        let gains = HeadGains { layers, heads, edges: read.edges.clone(), gains: path.gains };
        assert_eq!(gains.of_heads().len(), shape.all_heads());
    }
}

#[test]
fn open_and_closed_gates_are_all_tokens_and_none() {
    for name in MODELS {
        let read = Read::new(name, folder(name));
        let options = |keep| WriteOptions { keep: Some(keep), selection_gradient: false, noise: [0.0; 2] };
        let written = read.trainee.write(&read.case.references(), &options(128)).unwrap();
        let all = read.trainee.loss(&read.case.sequences(), Some(&written)).unwrap().sum().unwrap();
        let mut blind = read.case.sequences();
        blind.iter_mut().for_each(|sequence| sequence.chunks.clear());
        let none = read.trainee.loss(&blind, None).unwrap().sum().unwrap();
        for (log, expected) in [(0.0, all), (f32::NEG_INFINITY, none)] {
            let found = read.lost(&vec![log; read.gates()], false).nats;
            assert!((found / expected - 1.0).abs() < 1e-5, "{name}: {found} {expected}");
        }
        assert!((all - none).abs() > 1e-3, "{name}");
    }
}

#[test]
fn a_budget_hides_what_is_not_written_with_it() {
    for name in MODELS {
        let read = Read::new(name, folder_with_budget(name));
        let model = read.trainee.model();
        for keep in [None, Some(8)] {
            let write = WriteOptions { keep, selection_gradient: false, noise: [0.0; 2] };
            let written = read.trainee.write(&read.case.references(), &write).unwrap();
            let expected = read.trainee.loss(&read.case.sequences(), Some(&written)).unwrap();
            let budget = keep.map_or_else(|| model.memory().tokens_per_head.clone(), TokensPerHead::Uniform);
            let found = model.loss_of_budget(&read.case.sequences(), &read.all, &budget).unwrap();
            let sum = expected.sum().unwrap();
            assert!((found.nats / sum - 1.0).abs() < 1e-5, "{name}: {} {sum}", found.nats);
            assert_eq!(found.hits, expected.hits().unwrap());
        }
    }
}
