//! Gradients of the loss, through reading and writing, against central finite differences.

use tch::{Kind, Tensor};

use super::support::{Case, MODELS, fill_b, folder, keeping, kept_shape, load, lost, new_adapter, noise};
use crate::training::{Learning, Trainee, WriteOptions};
use crate::write::{Selection, copy_out};

/// How far a derivative may lie from the difference, as a share of the norm of its tensor's gradient.
const TOLERANCE: f64 = 1e-2;

/// The loss when one parameter is moved along `direction`, a unit vector, by `step`.
fn moved(trainee: &mut Trainee, number: usize, direction: &Tensor, step: f64, of: &dyn Fn(&Trainee) -> f64) -> f64 {
    let before = {
        let _guard = tch::no_grad_guard();
        let master = &mut trainee.parameters[number].master;
        let before = master.copy();
        let _ = master.g_add_(&(direction * step));
        trainee.parameters[number].publish().unwrap();
        before
    };
    let value = of(trainee);
    let _guard = tch::no_grad_guard();
    trainee.parameters[number].master.copy_(&before);
    trainee.parameters[number].publish().unwrap();
    value
}

/// Which tokens each memory layer keeps of the case's references.
fn selected(trainee: &Trainee, case: &Case, keep: Option<u32>) -> Vec<Vec<i64>> {
    let _guard = tch::no_grad_guard();
    let selection = Selection { shape: kept_shape(trainee, keep), gradient: false, padded: false, ranks: false };
    let kept = trainee.model().writer().decoder().write_layers(&case.references(), &selection).unwrap();
    kept.iter().flatten().map(|span| copy_out(&span.index).unwrap()).collect()
}

/// Compares the gradient of every parameter with differences, along the gradient and along a random direction, at two step sizes.
///
/// Steps are so long that the loss, which is known to some 1e-5 of its size, changes by enough, and no longer than a hundredth of the
/// parameter. Where a step would let another token be kept, the loss jumps and has no derivative: then a smaller one is taken.
fn check(name: &str, trainee: &mut Trainee, case: &Case, write: &WriteOptions) {
    let value = |trainee: &Trainee| lost(trainee, case, write).sum().unwrap();
    lost(trainee, case, write).backward(1.0).unwrap();
    check_gradients(name, trainee, case, write, &value);
}

/// As [`check`], for the gradients that the parameters of `trainee` have, which are those of `value`.
pub(super) fn check_gradients(name: &str, trainee: &mut Trainee, case: &Case, write: &WriteOptions, value: &dyn Fn(&Trainee) -> f64) {
    let gradients: Vec<Tensor> = trainee.parameters.iter().map(|p| p.working.grad().copy()).collect();
    trainee.clear_gradients().unwrap();
    let whole = trainee.model().memory().reference_length;
    let before = selected(trainee, case, write.keep);
    let same = |trainee: &Trainee| {
        f64::from(u8::from(write.keep.is_some_and(|keep| keep >= whole) || selected(trainee, case, write.keep) == before))
    };
    let value = |trainee: &Trainee| {
        let _guard = tch::no_grad_guard();
        value(trainee)
    };
    let size = |x: &Tensor| x.norm().double_value(&[]);
    tch::manual_seed(3);
    let (mut worst, mut halved) = (0.0f64, 0);
    for (number, gradient) in gradients.iter().enumerate() {
        let parameter = trainee.parameters[number].name.clone();
        assert!(gradient.defined(), "{name}: no gradient reaches {parameter}");
        let norm = size(gradient);
        assert!(norm > 0.0, "{name}: the gradient of {parameter} is zero");
        let random = noise(gradient);
        for direction in [gradient / norm, &random / size(&random)] {
            let expected = (&direction * gradient).sum(Kind::Double).double_value(&[]);
            for change in [0.1, 0.03] {
                let mut step = f64::min(change / norm, 1e-2 * size(&trainee.parameters[number].master));
                while [step, -step].into_iter().any(|step| moved(trainee, number, &direction, step, &same) == 0.0) {
                    step /= 2.0;
                    halved += 1;
                    assert!(step > 1e-2 / norm, "{name}: {parameter}: the selection hangs on a hair");
                }
                let up = moved(trainee, number, &direction, step, &value);
                let down = moved(trainee, number, &direction, -step, &value);
                let found = (up - down) / (2.0 * step);
                let off = (found - expected).abs() / norm;
                worst = worst.max(off);
                assert!(
                    off < TOLERANCE,
                    "{name}: {parameter}: difference {found}, derivative {expected}, norm of the gradient {norm}, step {step}"
                );
            }
        }
    }
    println!("{name}: {} tensors, worst distance {worst:.1e} of the gradient's norm; steps were halved {halved} times", gradients.len());
}

#[test]
fn all_weights_all_tokens_kept() {
    for name in MODELS {
        let dir = folder(name);
        let mut trainee = load(dir.path(), &Learning::Everything);
        check(&format!("{name}, all weights, all tokens"), &mut trainee, &Case::short(name), &keeping(128));
    }
}

#[test]
fn an_adapter_over_a_frozen_base() {
    for name in MODELS {
        let dir = folder(name);
        let mut trainee = load(dir.path(), &new_adapter(3));
        fill_b(&mut trainee, 0.1);
        check(&format!("{name}, adapter, all tokens"), &mut trainee, &Case::short(name), &keeping(128));
    }
}

#[test]
fn few_tokens_kept() {
    for name in MODELS {
        let dir = folder(name);
        let mut trainee = load(dir.path(), &Learning::Everything);
        let keep = trainee.model().memory().tokens_per_head.most();
        check(&format!("{name}, all weights, {keep} tokens"), &mut trainee, &Case::short(name), &keeping(keep));
    }
}
