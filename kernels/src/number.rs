//! Numbers of 16 bits.

/// The nearest bf16 of `x`, ties to even. A NaN stays a NaN.
#[inline(always)]
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        // The quiet bit keeps the number a NaN when its low bits are cut off.
        return (bits >> 16) as u16 | 0x40;
    }
    (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// The value of a bf16.
#[inline(always)]
pub fn from_bf16(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_the_crate_half() {
        for x in [0.0, -0.0, 1.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, 3.4e38, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -7.3e-5]
        {
            assert_eq!(to_bf16(x), half::bf16::from_f32(x).to_bits(), "{x}");
        }
        assert!(from_bf16(to_bf16(f32::NAN)).is_nan());
        assert!(from_bf16(to_bf16(f32::from_bits(0x7f80_0001))).is_nan());
        assert!((0..=u16::MAX).all(|bits| from_bf16(bits).is_nan() || to_bf16(from_bf16(bits)) == bits));
    }
}
