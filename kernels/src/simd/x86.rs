//! Vectors of AVX2 and AVX-512.

use std::arch::x86_64::*;

use super::{Kernel, Simd};

/// A processor with AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// A processor with AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
pub(crate) struct Avx512 {
    bf16: bool,
    vnni: bool,
}

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        has.then_some(Self(()))
    }

    /// Runs `kernel`, compiled for AVX2.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn compiled<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: The token exists only on processors with these instructions.
        unsafe { compiled(self, kernel) }
    }
}

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        Avx2::detect()?;
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        has.then(|| Self { bf16: is_x86_feature_detected!("avx512bf16"), vnni: is_x86_feature_detected!("avx512vnni") })
    }

    pub(crate) fn avx2(self) -> Avx2 {
        Avx2(())
    }

    /// Whether it multiplies bf16 (AVX512_BF16).
    pub(crate) fn bf16(self) -> bool {
        self.bf16
    }

    /// Whether it multiplies 8-bit integers (AVX512_VNNI).
    pub(crate) fn vnni(self) -> bool {
        self.vnni
    }

    /// Runs `kernel`, compiled for AVX-512.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn compiled<K: Kernel>(token: Avx512, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: The token exists only on processors with these instructions.
        unsafe { compiled(self, kernel) }
    }
}

// SAFETY of all blocks: the token exists only on processors with the instructions, and a load or store touches a slice whose length the
// line before has checked.
impl Simd for Avx2 {
    type F = __m256;

    const LANES: usize = 8;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> __m256 {
        let x = &x[..8];
        // SAFETY: as above.
        unsafe { _mm256_loadu_ps(x.as_ptr()) }
    }

    #[inline(always)]
    fn load_part(self, x: &[f32]) -> __m256 {
        let mut whole = [0.0; 8];
        whole[..x.len()].copy_from_slice(x);
        self.load(&whole)
    }

    #[inline(always)]
    fn load_bf16(self, x: &[u16]) -> __m256 {
        let x = &x[..8];
        // SAFETY: as above.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(x.as_ptr().cast())))) }
    }

    #[inline(always)]
    fn load_bf16_part(self, x: &[u16]) -> __m256 {
        let mut whole = [0; 8];
        whole[..x.len()].copy_from_slice(x);
        self.load_bf16(&whole)
    }

    #[inline(always)]
    fn store(self, x: __m256, to: &mut [f32]) {
        let to = &mut to[..8];
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn store_part(self, x: __m256, to: &mut [f32]) {
        let mut whole = [0.0; 8];
        self.store(x, &mut whole);
        to.copy_from_slice(&whole[..to.len()]);
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn round(self, x: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
    }

    #[inline(always)]
    fn power_of_two(self, n: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)))) }
    }

    #[inline(always)]
    fn sum4(self, x: [__m256; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // SAFETY: as above; `sums` has the four numbers that are stored.
        unsafe {
            let halves = x.map(|x| _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x)));
            _mm_storeu_ps(sums.as_mut_ptr(), sums_of_four(halves));
        }
        sums
    }
}

// SAFETY of all blocks: as for AVX2.
impl Simd for Avx512 {
    type F = __m512;

    const LANES: usize = 16;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> __m512 {
        let x = &x[..16];
        // SAFETY: as above.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }

    #[inline(always)]
    fn load_part(self, x: &[f32]) -> __m512 {
        let mask = mask(x.len());
        // SAFETY: as above; the mask has no lane beyond the slice.
        unsafe { _mm512_maskz_loadu_ps(mask, x.as_ptr()) }
    }

    #[inline(always)]
    fn load_bf16(self, x: &[u16]) -> __m512 {
        let x = &x[..16];
        // SAFETY: as above.
        unsafe { widened(_mm256_loadu_si256(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_bf16_part(self, x: &[u16]) -> __m512 {
        let mask = mask(x.len());
        // SAFETY: as above; the mask has no lane beyond the slice.
        unsafe { widened(_mm256_maskz_loadu_epi16(mask, x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store(self, x: __m512, to: &mut [f32]) {
        let to = &mut to[..16];
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn store_part(self, x: __m512, to: &mut [f32]) {
        let mask = mask(to.len());
        // SAFETY: as above; the mask has no lane beyond the slice.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), mask, x) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn round(self, x: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
    }

    #[inline(always)]
    fn power_of_two(self, n: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)))) }
    }

    #[inline(always)]
    fn sum4(self, x: [__m512; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // SAFETY: as above; `sums` has the four numbers that are stored.
        unsafe { _mm_storeu_ps(sums.as_mut_ptr(), sums_of_wide(x)) };
        sums
    }
}

/// The mask of the first `lanes` lanes, at most 16.
#[inline(always)]
fn mask(lanes: usize) -> __mmask16 {
    assert!(lanes <= 16, "a part of a vector has at most 16 lanes");
    ((1u32 << lanes) - 1) as u16
}

/// 16 bf16 as `f32`.
#[inline]
#[target_feature(enable = "avx512f")]
fn widened(x: __m256i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(x)))
}

/// The sums of the lanes of four vectors, each in the same order.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx2,fma,f16c")]
pub(crate) fn sums_of_wide(x: [__m512; 4]) -> __m128 {
    let half = |x: __m512| _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
    let quarter = |x: __m256| _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let [a, b, c, d] = x;
    sums_of_four([quarter(half(a)), quarter(half(b)), quarter(half(c)), quarter(half(d))])
}

/// The sums of the lanes of four vectors: `(x0 + x2) + (x1 + x3)` each.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sums_of_four([a, b, c, d]: [__m128; 4]) -> __m128 {
    // a0+a2 b0+b2 a1+a3 b1+b3
    let ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
    let cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
    _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab))
}
