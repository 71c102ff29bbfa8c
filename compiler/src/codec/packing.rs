//! The codes of stages as bytes (SPEC.md, 9.2).

/// Packs codes `[n, parts]`, part i of `bits[i]` bits, into bytes `[n, code]`, the lowest bit first.
pub(super) fn pack(codes: &[u16], bits: &[u32], code: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(codes.len() / bits.len().max(1) * code);
    for rows in codes.chunks_exact(bits.len().max(1)) {
        let (mut held, mut filled) = (0u32, 0);
        for (&row, bits) in rows.iter().zip(bits) {
            held |= u32::from(row) << filled;
            filled += bits;
            while filled >= 8 {
                bytes.push(held as u8);
                held >>= 8;
                filled -= 8;
            }
        }
        if filled > 0 {
            bytes.push(held as u8);
        }
    }
    bytes
}

/// Codes of several coders, each `[n, its parts]`, as `[n, all parts]`.
pub(super) fn side_by_side<T: Copy>(codes: &[Vec<T>], count: usize) -> Vec<T> {
    let rows = |vector: usize| {
        codes.iter().flat_map(move |codes| {
            let parts = codes.len() / count;
            &codes[vector * parts..(vector + 1) * parts]
        })
    };
    (0..count).flat_map(rows).copied().collect()
}
