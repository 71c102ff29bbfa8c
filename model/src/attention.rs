//! Attention over whole sequences, with or without gradients.

use tch::{Device, Kind, TchError, Tensor};

/// Which columns a token attends to.
#[derive(Clone, Copy)]
pub(crate) enum Mask<'a> {
    /// All of them.
    None,
    /// As many columns as tokens; a token attends to the columns up to its own.
    Causal,
    /// As [`Causal`](Self::Causal), and a token attends to the last so many of these columns.
    Window(i64),
    /// Added to the scaled scores, `[rows or 1, 1, tokens, columns]`. [`by_products`] takes one for each key-value head too,
    /// `[rows or 1, heads, tokens, columns]`.
    Bias(&'a Tensor),
}

impl<'a> Mask<'a> {
    /// The causal mask of a layer, which may have a window.
    pub fn causal(window: Option<i64>) -> Self {
        window.map_or(Self::Causal, Self::Window)
    }

    /// `bias`, which must hide later tokens and those before the window; without one, the [causal](Self::causal) mask.
    pub fn or_causal(bias: Option<&'a Tensor>, window: Option<i64>) -> Self {
        bias.map_or(Self::causal(window), Self::Bias)
    }

    /// `bias`; all columns without one.
    pub fn or_none(bias: Option<&'a Tensor>) -> Self {
        bias.map_or(Self::None, Self::Bias)
    }
}

/// Grouped-query attention of queries `[rows, query_heads, tokens, head_dim]` to keys and values `[rows, heads, columns, head_dim]`:
/// `[rows, query_heads, tokens, head_dim]`.
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Mask<'_>) -> Result<Tensor, TchError> {
    let gradients = q.requires_grad() || k.requires_grad() || v.requires_grad();
    // On the CPU, the fused backward pass in bf16 takes three to four times as long as separate products. On recent GPUs the fused
    // operation is cuDNN's, which prepares a plan for every new shape, and few shapes occur twice here.
    if q.device() != Device::Cpu || gradients && q.kind() == Kind::BFloat16 {
        return by_products(q, k, v, mask);
    }
    let grouped = q.size4()?.1 > k.size4()?.1;
    let hidden;
    let (bias, causal) = match mask {
        Mask::None => (None, false),
        Mask::Window(window) if window < q.size4()?.2 => {
            hidden = causal_bias(q, Some(window))?.f_to_kind(q.kind())?;
            (Some(&hidden), false)
        }
        Mask::Causal | Mask::Window(_) => (None, true),
        Mask::Bias(bias) => (Some(bias), false),
    };
    Tensor::f_scaled_dot_product_attention(q, k, v, bias, 0.0, causal, None, grouped)
}

/// [`attention`] with the rows flattened: `[rows * tokens, query_heads * head_dim]`.
pub(crate) fn attend(q: &Tensor, k: &Tensor, v: &Tensor, mask: Mask<'_>) -> Result<Tensor, TchError> {
    rows_of_heads(vec![attention(q, k, v, mask)?])
}

/// The outputs of [`attention`] of runs of heads that follow one another, with the rows flattened:
/// `[rows * tokens, query_heads * head_dim]`.
pub(crate) fn rows_of_heads(outputs: Vec<Tensor>) -> Result<Tensor, TchError> {
    let out = joined_heads(outputs)?;
    let (rows, query_heads, tokens, dim) = out.size4()?;
    out.f_transpose(1, 2)?.f_reshape([rows * tokens, query_heads * dim])
}

/// Outputs of [`attention`], `[rows, heads, ...]`, as one, with the heads in order.
pub(crate) fn joined_heads(mut outputs: Vec<Tensor>) -> Result<Tensor, TchError> {
    match outputs.len() {
        1 => Ok(outputs.remove(0)),
        _ => Tensor::f_cat(&outputs, 1),
    }
}

/// [`attention`] as two products and a softmax, with gradients for a bias. Scores are f32 whatever the precision, as in the fused
/// operation.
pub(crate) fn by_products(q: &Tensor, k: &Tensor, v: &Tensor, mask: Mask<'_>) -> Result<Tensor, TchError> {
    let (rows, query_heads, tokens, dim) = q.size4()?;
    let (_, heads, columns, _) = k.size4()?;
    let shares = shares(q, k, mask)?.f_to_kind(v.kind())?.f_view([rows, heads, query_heads / heads * tokens, columns])?;
    shares.f_matmul(v)?.f_view([rows, query_heads, tokens, dim])
}

/// The shares of attention of queries `[rows, query_heads, tokens, head_dim]` that columns get, in f32:
/// `[rows, heads, query heads of a head, tokens, columns]`.
pub(crate) fn shares(q: &Tensor, k: &Tensor, mask: Mask<'_>) -> Result<Tensor, TchError> {
    let (rows, query_heads, tokens, dim) = q.size4()?;
    let (_, heads, columns, _) = k.size4()?;
    let group = query_heads / heads;
    // The query heads of a group are rows of one product with their key-value head.
    let grouped = q.f_reshape([rows, heads, group * tokens, dim])?.f_to_kind(Kind::Float)?.f_mul_scalar((dim as f64).sqrt().recip())?;
    let scores = grouped.f_matmul(&k.f_to_kind(Kind::Float)?.f_transpose(-1, -2)?)?.f_view([rows, heads, group, tokens, columns])?;
    let scores = match mask {
        Mask::None => scores,
        Mask::Causal => scores.f_add(&causal_bias(q, None)?)?,
        Mask::Window(window) => scores.f_add(&causal_bias(q, Some(window))?)?,
        Mask::Bias(bias) => scores.f_add(&bias.f_unsqueeze(2)?)?,
    };
    scores.f_softmax(-1, None)
}

/// -inf, in f32, where a token of `q`, `[.., .., tokens, ..]`, does not attend to a token: `[tokens, tokens]`.
fn causal_bias(q: &Tensor, window: Option<i64>) -> Result<Tensor, TchError> {
    let tokens = q.size4()?.2;
    let hidden = || Tensor::f_full([tokens, tokens], f64::NEG_INFINITY, (Kind::Float, q.device()));
    let later = hidden()?.f_triu(1)?;
    match window {
        Some(window) => later.f_add(&hidden()?.f_tril(-window)?),
        None => Ok(later),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Inputs = [Tensor; 3];

    /// Random queries, keys and values of type `kind`.
    fn inputs(columns: i64, kind: Kind) -> Inputs {
        let _drawing = crate::training::drawing(6);
        [[2, 6, 7, 16], [2, 2, columns, 16], [2, 2, columns, 16]]
            .map(|shape| Tensor::randn(shape, tch::kind::FLOAT_CPU).to_kind(Kind::BFloat16).to_kind(kind).set_requires_grad(true))
    }

    /// A bias that hides some columns of one sequence and none of the other.
    fn bias(columns: i64, kind: Kind) -> Tensor {
        let bias = Tensor::zeros([2, 1, 7, columns], tch::kind::FLOAT_CPU);
        let _ = bias.narrow(0, 0, 1).narrow(3, 1, 3).fill_(f64::NEG_INFINITY);
        let _ = bias.narrow(0, 1, 1).narrow(3, 0, 2).fill_(-0.75);
        bias.to_kind(kind)
    }

    /// The output, and the gradients of its weighted sum.
    fn through(inputs: &Inputs, of: impl Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor, TchError>) -> Vec<Tensor> {
        let out = of(&inputs[0], &inputs[1], &inputs[2]).unwrap();
        let weights = Tensor::arange(out.numel() as i64, tch::kind::FLOAT_CPU).sin().view_as(&out);
        (&out * weights).sum(Kind::Float).backward();
        inputs.iter().map(Tensor::grad).chain([out.detach()]).map(|x| x.to_kind(Kind::Float)).collect()
    }

    fn fused(bias: Option<&Tensor>) -> impl Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor, TchError> {
        move |q, k, v| Tensor::f_scaled_dot_product_attention(q, k, v, bias, 0.0, bias.is_none(), None, true)
    }

    fn farthest(a: &[Tensor], b: &[Tensor]) -> f64 {
        let off = |(a, b): (&Tensor, &Tensor)| ((a - b).norm() / b.norm()).double_value(&[]);
        a.iter().zip(b).map(off).fold(0.0, f64::max)
    }

    #[test]
    fn products_give_what_the_fused_operation_gives() {
        for (columns, biased) in [(7, false), (12, true)] {
            let in_kind = |kind| biased.then(|| bias(columns, kind));
            let (exact, half) = (in_kind(Kind::Float), in_kind(Kind::BFloat16));
            let expected = through(&inputs(columns, Kind::Float), fused(exact.as_ref()));
            let own = through(&inputs(columns, Kind::Float), |q, k, v| by_products(q, k, v, Mask::or_causal(exact.as_ref(), None)));
            let own_half = through(&inputs(columns, Kind::BFloat16), |q, k, v| by_products(q, k, v, Mask::or_causal(half.as_ref(), None)));
            let fused_half = through(&inputs(columns, Kind::BFloat16), fused(half.as_ref()));
            let [own, own_half, fused_half] = [own, own_half, fused_half].map(|found| farthest(&found, &expected));
            println!(
                "from the fused operation in f32: products {own:.1e}, in bf16 {own_half:.1e}, where the fused one is {fused_half:.1e}"
            );
            assert!(own < 1e-5 && own_half < 1e-2 && own_half < 2.0 * fused_half, "{columns} columns");
        }
    }

    #[test]
    fn a_window_hides_what_is_before_it() {
        for (window, kind) in [1, 3, 6, 7, 9].into_iter().flat_map(|window| [(window, Kind::Float), (window, Kind::BFloat16)]) {
            let [q, k, v] = inputs(7, kind);
            let seen = |row: i64, column: i64| (0..window).contains(&(row - column));
            let bias = (0..49).map(|at| if seen(at / 7, at % 7) { 0.0 } else { f32::NEG_INFINITY }).collect::<Vec<_>>();
            let bias = Tensor::from_slice(&bias).view([1, 1, 7, 7]).to_kind(kind);
            let expected = by_products(&q, &k, &v, Mask::Bias(&bias)).unwrap();
            for found in [attention(&q, &k, &v, Mask::Window(window)), by_products(&q, &k, &v, Mask::Window(window))] {
                let off = (found.unwrap() - &expected).abs().max().double_value(&[]);
                assert!(off < if kind == Kind::Float { 1e-5 } else { 3e-2 }, "a window of {window} in {kind:?}: {off}");
            }
        }
    }

    #[test]
    fn rows_are_tokens_and_columns_are_heads() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let [q, k, v] = inputs(7, kind);
            let heads_first = by_products(&q, &k, &v, Mask::Causal).unwrap();
            let out = attend(&q, &k, &v, Mask::Causal).unwrap();
            assert_eq!(out.size(), [14, 96]);
            let off = (out.view([2, 7, 6, 16]).transpose(1, 2) - heads_first).abs().max().double_value(&[]);
            assert!(off < 1e-5, "{kind:?}: {off}");
        }
    }
}
