//! Codes of a few bits as bytes (SPEC.md, 9.2).

/// Packs codes `[n, parts]` of so many bits into bytes `[n, code]`, the lowest bit first.
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
