//! The switch that lets gradients into the selection: 1 in value, and the derivative of the weight's logarithm.

use tch::{Kind, Tensor};

use super::support::{Case, folder, kept_shape, load, lost};
use crate::layer::Sizes;
use crate::training::{Learning, Trainee, WriteOptions};
use crate::write::Selection;

const KEEP: u32 = 8;

fn writing(selection_gradient: bool) -> WriteOptions {
    WriteOptions { keep: Some(KEEP), selection_gradient, noise: [0.0; 2] }
}

/// The gradient of the joined query, key and value projections of a layer.
fn projections(trainee: &Trainee, layer: usize) -> Tensor {
    let name = format!("model.layers.{layer}.self_attn.q_proj.weight");
    trainee.parameters.iter().find(|p| p.name.starts_with(&name)).unwrap().working.grad().copy()
}

/// The gradient that what the last memory layer wrote of values alone leaves in its own projections: the sum of squares over the rows
/// of queries, of keys, and of values.
fn of_values(trainee: &Trainee, case: &Case, selection_gradient: bool) -> [f64; 3] {
    let decoder = trainee.model().decoder();
    let written = trainee.write(&case.references(), &writing(selection_gradient)).unwrap();
    let values = &written.layers.last().unwrap()[0].values;
    trainee.clear_gradients().unwrap();
    (values * values.detach().sin()).sum(Kind::Float).backward();
    let gradient = projections(trainee, decoder.memory_layers().end - 1);
    let s = Sizes::of(&decoder.config);
    let (q, k) = (s.query_heads * s.head_dim, s.heads * s.head_dim);
    [(0, q), (q, k), (q + k, k)].map(|(first, rows)| gradient.narrow(0, first, rows).square().sum(Kind::Double).double_value(&[]))
}

#[test]
fn the_loss_is_the_same_to_the_bit() {
    for name in ["llama_gqa", "qwen2_bias"] {
        let (dir, case) = (folder(name), Case::read(name));
        let trainee = load(dir.path(), &Learning::Everything);
        let [without, with] = [false, true].map(|on| lost(&trainee, &case, &writing(on)));
        assert_eq!(without.sum().unwrap().to_bits(), with.sum().unwrap().to_bits(), "{name}");
        let gradients = [without, with].map(|loss| {
            trainee.clear_gradients().unwrap();
            loss.backward(1.0).unwrap();
            projections(&trainee, 0)
        });
        assert!(!gradients[0].allclose(&gradients[1], 1e-3, 1e-6, false), "{name}: the switch changes no gradient");
    }
}

/// Nothing is attended in the last memory layer when references are written: its queries decide what is kept, and that is all.
#[test]
fn gradients_reach_queries_that_only_select() {
    for name in ["llama_gqa", "qwen2_bias"] {
        let (dir, case) = (folder(name), Case::read(name));
        let trainee = load(dir.path(), &Learning::Everything);
        // The gradient is defined from the start, because an undefined one would look like zero.
        lost(&trainee, &case, &writing(false)).backward(1.0).unwrap();
        let ([q, k, v], [q_with, k_with, v_with]) = (of_values(&trainee, &case, false), of_values(&trainee, &case, true));
        println!(
            "{name}: squares of gradients of q, k, v without {q:.1e} {k:.1e} {v:.1e} and with the switch {q_with:.1e} {k_with:.1e} {v_with:.1e}"
        );
        assert!(q == 0.0 && k == 0.0 && v > 0.0, "{name}");
        assert!(q_with > 0.0 && k_with > 0.0 && v_with > 0.0, "{name}");
    }
}

/// Weights (`[heads, tokens]`) and values (`[heads, tokens, head_dim]`) of a reference in the first layer, by the definition and in
/// f64, if the weight and bias of its joined projections were these.
fn first_layer(trainee: &Trainee, reference: &[u32], weight: &Tensor, bias: Option<&Tensor>) -> (Tensor, Tensor) {
    let decoder = trainee.model().decoder();
    let s = Sizes::of(&decoder.config);
    let ids: Vec<i64> = reference.iter().map(|id| i64::from(*id)).collect();
    let x = decoder.embed(&ids).unwrap().detach().to_kind(Kind::Double);
    let root = (x.square().mean_dim([-1i64].as_slice(), true, Kind::Double) + decoder.config.norm_eps).rsqrt();
    let norm = trainee.parameters.iter().find(|p| p.name == "model.layers.0.input_layernorm.weight").unwrap();
    let h = x * root * norm.master.detach().to_kind(Kind::Double);
    let all = h.linear(weight, bias).view([ids.len() as i64, -1, s.head_dim]).transpose(0, 1);
    let q = all.narrow(0, 0, s.query_heads).reshape([s.heads, s.group(), -1, s.head_dim]);
    let k = all.narrow(0, s.query_heads, s.heads);
    let scores = q.matmul(&k.unsqueeze(1).transpose(-1, -2)) / (s.head_dim as f64).sqrt();
    let weights = scores.softmax(-1, Kind::Double).sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Double);
    (weights, all.narrow(0, s.query_heads + s.heads, s.heads))
}

/// The forward pass does not show the switch, so the differences are those of what it stands for: kept values times their weights
/// over the weights before the step.
#[test]
fn the_gradient_is_that_of_values_times_weights() {
    for name in ["llama_gqa", "qwen2_bias"] {
        let (dir, case) = (folder(name), Case::read(name));
        let trainee = load(dir.path(), &Learning::Everything);
        let reference = case.references[2].as_slice();
        let written = trainee.write(&[reference], &writing(true)).unwrap();
        let values = &written.layers[0][0].values;
        let factors = values.detach().sin();
        (values * &factors).sum(Kind::Float).backward();

        let selection = Selection { shape: kept_shape(&trainee, Some(KEEP)), gradient: false, padded: false, ranks: false };
        let kept = trainee.model().decoder().write_layers(&[reference], &selection).unwrap();
        let index = kept[0][0].index.squeeze_dim(0);
        let factors = factors.squeeze_dim(0).to_kind(Kind::Double);
        let own = |what: &str| trainee.parameters.iter().find(|p| p.name.starts_with(&format!("model.layers.0.self_attn.q_proj.{what}")));
        let weight = own("weight").unwrap();
        let bias = own("bias").map(|p| p.master.detach().to_kind(Kind::Double));
        let at = weight.master.detach().to_kind(Kind::Double);
        let (before, _) = first_layer(&trainee, reference, &at, bias.as_ref());
        let before = before.gather(1, &index, false);
        let surrogate = |weight: &Tensor| {
            let (weights, values) = first_layer(&trainee, reference, weight, bias.as_ref());
            let take = index.unsqueeze(-1).expand([-1, -1, values.size()[2]], false);
            let share = (weights.gather(1, &index, false) / &before).unsqueeze(-1);
            (values.gather(1, &take, false) * share * &factors).sum(Kind::Double).double_value(&[])
        };
        let gradient = weight.working.grad().to_kind(Kind::Double);
        tch::manual_seed(9);
        for _ in 0..5 {
            let direction = at.randn_like();
            let step = 1e-5;
            let found = (surrogate(&(&at + &direction * step)) - surrogate(&(&at - &direction * step))) / (2.0 * step);
            let expected = (&direction * &gradient).sum(Kind::Double).double_value(&[]);
            let off = (found - expected).abs() / gradient.norm().double_value(&[]);
            println!("{name}: difference {found:.5}, derivative {expected:.5}, distance {off:.1e} of the norm");
            assert!(off < 1e-4, "{name}");
        }
    }
}

/// Noise has the size that was asked for, depends on the seed alone, and leaves gradients alone.
#[test]
fn noise_is_drawn_from_the_seed() {
    let (dir, case) = (folder("llama_gqa"), Case::read("llama_gqa"));
    let trainee = load(dir.path(), &Learning::Everything);
    let write =
        |noise| trainee.write(&case.references()[..2], &WriteOptions { noise, ..writing(false) }).unwrap().layers.into_iter().flatten();
    let write = |noise| write(noise).map(|span| (span.keys, span.values)).collect::<Vec<_>>();
    let quiet = write([0.0; 2]);
    let shares = [0.02, 0.05];
    let noisy = [4, 4, 5].map(|seed| {
        trainee.seed(seed);
        (write(shares), write(shares))
    });
    let equal = |a: &[(Tensor, Tensor)], b: &[(Tensor, Tensor)]| a.iter().zip(b).all(|(a, b)| a.0.equal(&b.0) && a.1.equal(&b.1));
    assert!(equal(&noisy[0].0, &noisy[1].0) && equal(&noisy[0].1, &noisy[1].1));
    assert!(!equal(&noisy[0].0, &noisy[2].0) && !equal(&noisy[0].0, &noisy[0].1));
    let square = |x: &Tensor| x.square().sum(Kind::Double).double_value(&[]);
    for (quiet, noisy) in quiet.iter().zip(&noisy[0].0) {
        // Rotation keeps lengths, so the noise of rotated keys is as large as that of keys.
        for (quiet, noisy, share) in [(&quiet.0, &noisy.0, shares[0]), (&quiet.1, &noisy.1, shares[1])] {
            let found = square(&(noisy - quiet)) / square(quiet);
            assert!((found / share - 1.0).abs() < 0.25, "{found} {share}");
        }
    }
    let gradients = [[0.0; 2], shares].map(|noise| {
        trainee.clear_gradients().unwrap();
        write(noise).iter().map(|(_, values)| values.sum(Kind::Float)).sum::<Tensor>().backward();
        projections(&trainee, 0)
    });
    assert!(gradients[0].allclose(&gradients[1], 1e-5, 1e-6, false));
}
