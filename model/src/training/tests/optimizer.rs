//! The optimizer on a real model: gradients that are cut, steps that are too small for bf16, states that are put back.

use tch::{Kind, Tensor};

use super::support::{Case, fill_b, folder, keeping, load, lost, new_adapter, options};
use crate::training::{AdamW, AdamWConfig, Learning, StateError, Trainee};
use crate::{Precision, set_threads};

fn norm<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> f64 {
    tensors.map(|x| x.square().sum(Kind::Double).double_value(&[])).sum::<f64>().sqrt()
}

fn masters(trainee: &Trainee) -> Vec<Tensor> {
    trainee.parameters.iter().map(|p| p.master.detach().copy()).collect()
}

/// The gradients have a norm of `clip` together, and their direction.
#[test]
fn gradients_are_cut_together() {
    let (dir, case) = (folder("llama_mha"), Case::read("llama_mha"));
    let mut trainee = load(dir.path(), &Learning::Everything);
    for (clip, is_cut) in [(0.25, true), (0.0, false), (1e9, false)] {
        let config = AdamWConfig { clip, ..AdamWConfig::default() };
        let mut optimizer = AdamW::new(config, &trainee).unwrap();
        lost(&trainee, &case, &keeping(8)).backward(1.0).unwrap();
        let gradients: Vec<Tensor> = trainee.parameters.iter().map(|p| p.working.grad().copy()).collect();
        let whole = norm(gradients.iter());
        assert!(whole > 1.0);
        let reported = optimizer.step(&mut trainee, 1e-4).unwrap();
        assert!((reported - whole).abs() < 1e-4 * whole, "{reported} {whole}");
        // After one step, the first moment is the gradient as it was used, by 1 - beta1.
        let share = if is_cut { clip / whole } else { 1.0 };
        for (gradient, (first, _)) in gradients.iter().zip(&optimizer.moments) {
            assert!(first.allclose(&(gradient * (share * (1.0 - config.beta1))), 1e-4, 1e-7, false));
        }
        let used = norm(optimizer.moments.iter().map(|(first, _)| first)) / (1.0 - config.beta1);
        assert!((used - if is_cut { clip } else { whole }).abs() < 1e-3 * used, "{used}");
        assert!(trainee.parameters.iter().all(|p| p.working.grad().abs().max().double_value(&[]) == 0.0));
    }
}

#[test]
fn gradients_add_up_until_a_step() {
    let (dir, case) = (folder("llama_gqa"), Case::read("llama_gqa"));
    let trainee = load(dir.path(), &Learning::Everything);
    let (written, sequences) = (|| trainee.write(&case.references(), &keeping(8)).unwrap(), case.sequences());
    trainee.loss(&sequences, Some(&written())).unwrap().backward(0.01).unwrap();
    let whole: Vec<Tensor> = trainee.parameters.iter().map(|p| p.working.grad().copy()).collect();
    trainee.clear_gradients().unwrap();
    for part in sequences.chunks(2) {
        trainee.loss(part, Some(&written())).unwrap().backward(0.01).unwrap();
    }
    for (parameter, whole) in trainee.parameters.iter().zip(&whole) {
        let off = (parameter.working.grad() - whole).norm().double_value(&[]) / whole.norm().double_value(&[]);
        assert!(off < 1e-4, "{}: {off}", parameter.name);
    }
}

/// Steps below the resolution of bf16 are not lost: many of them change the weights that the model computes with.
#[test]
fn small_steps_are_kept_in_f32() {
    set_threads(1);
    let (dir, case) = (folder("llama_mha"), Case::read("llama_mha"));
    let mut trainee = Trainee::load(dir.path(), &options(Precision::Bf16), &Learning::Everything).unwrap();
    assert!(trainee.parameters.iter().all(|p| p.working.kind() == Kind::BFloat16 && p.master.kind() == Kind::Float));
    let begun: Vec<Tensor> = trainee.parameters.iter().map(|p| p.working.detach().copy()).collect();
    let mut optimizer = AdamW::new(AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() }, &trainee).unwrap();
    let same = |trainee: &Trainee| {
        let equal = trainee.parameters.iter().zip(&begun).map(|(p, b)| p.working.detach().eq_tensor(b).sum(Kind::Int64).int64_value(&[]));
        equal.sum::<i64>() as f64 / trainee.learnt() as f64
    };
    let mut step = |trainee: &mut Trainee| {
        lost(trainee, &case, &keeping(8)).backward(0.01).unwrap();
        // A weight of 0.1 has neighbours 5e-4 away in bf16; a step is about as long as its rate.
        optimizer.step(trainee, 2e-6).unwrap();
    };
    let first = masters(&trainee);
    step(&mut trainee);
    let moved = masters(&trainee).iter().zip(&first).map(|(a, b)| a.ne_tensor(b).sum(Kind::Int64).int64_value(&[])).sum::<i64>();
    let (moved, kept) = (moved as f64 / trainee.learnt() as f64, same(&trainee));
    for _ in 0..39 {
        step(&mut trainee);
    }
    let later = same(&trainee);
    println!("after one step {moved:.3} of the masters moved and {kept:.3} of the bf16 weights are the same; after 40 steps {later:.3}");
    assert!(moved > 0.5 && kept > 0.9 && later < kept - 0.05);
    for parameter in &trainee.parameters {
        assert!(parameter.working.detach().equal(&parameter.master.detach().to_kind(Kind::BFloat16)), "{}", parameter.name);
    }
}

#[test]
fn a_norm_that_is_no_number_changes_nothing() {
    let (dir, case) = (folder("llama_mha"), Case::read("llama_mha"));
    let mut trainee = load(dir.path(), &Learning::Everything);
    let mut optimizer = AdamW::new(AdamWConfig::default(), &trainee).unwrap();
    lost(&trainee, &case, &keeping(8)).backward(f64::NAN).unwrap();
    let before = masters(&trainee);
    assert!(optimizer.step(&mut trainee, 1e-3).unwrap().is_nan());
    assert_eq!(optimizer.steps(), 0);
    assert!(masters(&trainee).iter().zip(&before).all(|(now, before)| now.equal(before)));
    // The bad gradients are gone: the next step is a good one.
    lost(&trainee, &case, &keeping(8)).backward(0.01).unwrap();
    assert!(optimizer.step(&mut trainee, 1e-3).unwrap().is_finite());
    assert_eq!(optimizer.steps(), 1);
}

#[test]
fn the_loss_goes_down() {
    for learning in [Learning::Everything, new_adapter(4)] {
        let (dir, case) = (folder("qwen2_bias"), Case::read("qwen2_bias"));
        let mut trainee = load(dir.path(), &learning);
        let mut optimizer = AdamW::new(AdamWConfig::default(), &trainee).unwrap();
        let mut losses = Vec::new();
        for _ in 0..25 {
            let loss = lost(&trainee, &case, &keeping(8));
            losses.push(loss.sum().unwrap() / loss.hits().unwrap().tokens as f64);
            loss.backward(1.0 / loss.hits().unwrap().tokens as f64).unwrap();
            optimizer.step(&mut trainee, 1e-2).unwrap();
        }
        println!("{:.3} to {:.3} in 25 steps, {} numbers learn", losses[0], losses[24], trainee.learnt());
        assert!(losses[24] < 0.8 * losses[0], "{losses:?}");
    }
}

#[test]
fn a_state_goes_on_as_if_it_had_not_been_broken_off() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (dir, case) = (folder("llama_mha"), Case::read("llama_mha"));
        set_threads(1);
        let load = || {
            let mut trainee = Trainee::load(dir.path(), &options(precision), &new_adapter(2)).unwrap();
            fill_b(&mut trainee, 0.05);
            trainee
        };
        let step = |trainee: &mut Trainee, optimizer: &mut AdamW| {
            lost(trainee, &case, &keeping(8)).backward(0.01).unwrap();
            optimizer.step(trainee, 1e-3).unwrap()
        };
        let mut whole = load();
        let mut optimizer = AdamW::new(AdamWConfig::default(), &whole).unwrap();
        let path = dir.path().join("state.safetensors");
        for number in 0..6 {
            if number == 3 {
                whole.write_state(&optimizer, &path).unwrap();
            }
            step(&mut whole, &mut optimizer);
        }
        let mut again = load();
        let mut other = AdamW::new(AdamWConfig::default(), &again).unwrap();
        step(&mut again, &mut other);
        again.read_state(&mut other, 3, &path).unwrap();
        for _ in 0..3 {
            step(&mut again, &mut other);
        }
        assert_eq!(other.steps(), optimizer.steps());
        assert!(masters(&whole).iter().zip(&masters(&again)).all(|(a, b)| a.equal(b)), "{precision}");

        let mut stranger = Trainee::load(dir.path(), &options(precision), &new_adapter(3)).unwrap();
        let mut new = AdamW::new(AdamWConfig::default(), &stranger).unwrap();
        let before = masters(&stranger);
        let error = stranger.read_state(&mut new, 3, &path).unwrap_err();
        assert!(
            matches!(&error, StateError::Tensor { expected, found, .. } if expected.contains("[3, ") && found.contains("[2, ")),
            "{error}"
        );
        assert!(masters(&stranger).iter().zip(&before).all(|(now, before)| now.equal(before)) && new.steps() == 0);
        std::fs::write(&path, b"cut").unwrap();
        assert!(matches!(again.read_state(&mut other, 3, &path), Err(StateError::Read { .. })));
    }
}
