//! Rotary position embedding (RoPE, arXiv 2104.09864) in Hugging Face's convention: dimension `i` of a head rotates with dimension
//! `i + head_dim / 2`.

use std::f64::consts::PI;
use std::slice;

use tch::{Device, Kind, TchError, Tensor};

use crate::ModelConfig;

/// The frequencies by which some layers of a model rotate.
#[derive(Clone, Debug)]
pub(crate) struct Rope {
    frequencies: Vec<f64>,
}

/// Cosines and sines of a list of positions, `[positions, 1, head_dim]` each. The sines of the first half of a head are negated.
pub(crate) struct Rotation {
    cos: Tensor,
    sin: Tensor,
    half: i64,
}

impl Rope {
    /// Those of a model: of the layers that attend to the whole context, then of those that attend to a window, if there are such layers.
    pub(crate) fn all(config: &ModelConfig) -> Vec<Self> {
        let local = config.sliding.as_ref().map(|sliding| Self { frequencies: frequencies(config, sliding.rope_base).collect() });
        std::iter::once(Self::scaled(config)).chain(local).collect()
    }

    fn scaled(config: &ModelConfig) -> Self {
        let frequencies = frequencies(config, config.rope_base).map(|plain| {
            let Some(scaling) = config.rope_scaling else { return plain / config.rope_factor };
            // Llama 3.1 scaling: long wavelengths are stretched, short ones stay, those between are interpolated.
            let wavelength = 2.0 * PI / plain;
            let ratio = scaling.original_max_position_embeddings / wavelength;
            let smooth = ((ratio - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)).clamp(0.0, 1.0);
            (1.0 - smooth) * plain / scaling.factor + smooth * plain
        });
        Self { frequencies: frequencies.collect() }
    }

    /// Cosines and sines of `positions`, `[positions, head_dim / 2]` each, with angles as in [`rotation`](Self::rotation).
    pub(crate) fn tables(&self, positions: impl Iterator<Item = u32>) -> (Vec<f32>, Vec<f32>) {
        let angles = positions.flat_map(|position| self.frequencies.iter().map(move |f| (f * f64::from(position)).sin_cos()));
        angles.map(|(sin, cos)| (cos as f32, sin as f32)).unzip()
    }

    /// Rotations of `positions`. Angles are computed in f64, because at position 10^5 an f32 angle is off in the third digit.
    pub(crate) fn rotation(&self, positions: impl Iterator<Item = u32> + Clone, kind: Kind, device: Device) -> Result<Rotation, TchError> {
        Self::rotation_by_each(slice::from_ref(self), positions, kind, device)
    }

    /// Rotations of `positions` by each of `ropes` in turn, in one list. The ropes are of heads of one size.
    pub(crate) fn rotation_by_each(
        ropes: &[Self],
        positions: impl Iterator<Item = u32> + Clone,
        kind: Kind,
        device: Device,
    ) -> Result<Rotation, TchError> {
        let half = ropes.first().map_or(0, |rope| rope.frequencies.len()) as i64;
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for rope in ropes {
            let (cosines, sines) = rope.tables(positions.clone());
            for (cosines, sines) in cosines.chunks(half.max(1) as usize).zip(sines.chunks(half.max(1) as usize)) {
                cos.extend(cosines.iter().chain(cosines));
                sin.extend(sines.iter().map(|s| -s).chain(sines.iter().copied()));
            }
        }
        let table = |values: &[f32]| Tensor::f_from_slice(values)?.f_view([-1, 1, 2 * half])?.f_to_kind(kind)?.f_to_device(device);
        Ok(Rotation { cos: table(&cos)?, sin: table(&sin)?, half })
    }
}

impl Rotation {
    /// Rotates `x`, `[..., positions, heads, head_dim]`, each position by its own angles.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor, TchError> {
        rotate(x, &self.cos, &self.sin, self.half)
    }

    /// Rotates `x`, `[..., head_dim]`, whose vectors have the positions `index`, `[vectors]`, in order.
    pub(crate) fn apply_at(&self, x: &Tensor, index: &Tensor) -> Result<Tensor, TchError> {
        let of = |table: &Tensor| table.f_index_select(0, index)?.f_view_as(x);
        rotate(x, &of(&self.cos)?, &of(&self.sin)?, self.half)
    }

    /// The rotations of `length` positions from number `start` of the list.
    pub(crate) fn narrow(&self, start: i64, length: i64) -> Result<Self, TchError> {
        Ok(Self { cos: self.cos.f_narrow(0, start, length)?, sin: self.sin.f_narrow(0, start, length)?, half: self.half })
    }

    pub(crate) fn shallow_clone(&self) -> Self {
        Self { cos: self.cos.shallow_clone(), sin: self.sin.shallow_clone(), half: self.half }
    }
}

/// The frequencies of half a head's dimensions.
fn frequencies(config: &ModelConfig, base: f64) -> impl Iterator<Item = f64> {
    let dim = f64::from(config.head_dim);
    (0..config.head_dim / 2).map(move |i| base.powf(-2.0 * f64::from(i) / dim))
}

/// `x * cos + (x with its halves swapped) * sin`: three operations, whatever the number of heads.
fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor, half: i64) -> Result<Tensor, TchError> {
    x.f_mul(cos)?.f_addcmul_(&x.f_roll([half], [-1])?, sin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_rotate_by_their_positions() {
        // One frequency of 1: position p rotates (1, 0) to (cos p, sin p).
        let rope = Rope { frequencies: vec![1.0] };
        let rotation = rope.rotation(0..3, Kind::Float, Device::Cpu).unwrap();
        let x = Tensor::from_slice(&[1f32, 0.0, 1.0, 0.0, 0.0, 1.0]).view([3, 1, 2]);
        let y: Vec<f32> = Vec::try_from(rotation.apply(&x).unwrap().reshape([-1])).unwrap();
        let expected = [1.0, 0.0, 1f32.cos(), 1f32.sin(), -2f32.sin(), 2f32.cos()];
        assert!(y.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{y:?}");
        // By two ropes, of which the second turns twice as far: its positions follow those of the first.
        let both = Rope::rotation_by_each(&[rope, Rope { frequencies: vec![2.0] }], 0..3, Kind::Float, Device::Cpu).unwrap();
        let turned = both.apply_at(&x.view([3, 2]), &Tensor::from_slice(&[1i64, 4, 5])).unwrap();
        let turned: Vec<f32> = Vec::try_from(turned.reshape([-1])).unwrap();
        let expected = [1f32.cos(), 1f32.sin(), 2f32.cos(), 2f32.sin(), -4f32.sin(), 4f32.cos()];
        assert!(turned.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{turned:?}");
        let at = rotation.apply_at(&x.view([3, 2]), &Tensor::from_slice(&[0i64, 1, 2])).unwrap();
        assert!(at.allclose(&rotation.apply(&x).unwrap().view([3, 2]), 1e-6, 1e-6, false));
    }
}
