//! What is in a pack, in words and numbers: for the page, and for `mempack inspect`.

use mempack_format::{Divergence, Loss, MemoryShape, Quality, Signature, SignedId};
use mempack_runtime::MappedPack;

/// `1234567` as `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size in binary units: `1.5 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = n as f64;
    let mut of = None;
    for unit in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        of = Some(unit);
    }
    of.map_or_else(|| format!("{n} B"), |unit| format!("{value:.1} {unit}"))
}

/// Bytes of one key or value in the pack's codec.
pub fn code_bytes(pack: &MappedPack) -> u64 {
    let slots = pack.manifest().model.shape.slots() as u64;
    (pack.record_bytes() - slots) / (2 * slots).max(1)
}

/// How many tokens of a reference the heads of a memory keep.
pub fn kept(shape: &MemoryShape) -> String {
    match shape.budget() {
        None => format!("{} tokens each", shape.tokens),
        Some(budget) => {
            let holding = budget.iter().filter(|tokens| **tokens > 0).count();
            let (all, most) = (shape.slots(), shape.tokens);
            format!("{all} tokens in all: 1 to {most} at {holding} heads of the memory layers, none at {}", budget.len() - holding)
        }
    }
}

/// The loss of all layers of a codec together.
pub fn quality_line(quality: &Quality) -> String {
    let Quality { memories, layers, divergence } = quality;
    let mean = |of: fn(&Loss) -> f64| layers.iter().map(of).sum::<f64>() / layers.len().max(1) as f64;
    let mut line = format!(
        "{:.4} of keys and {:.4} of values of {} memories, the mean of {} layers",
        mean(|loss| loss.keys),
        mean(|loss| loss.values),
        thousands(u64::from(*memories)),
        layers.len()
    );
    if let Some(Divergence { nats, tokens }) = divergence {
        line += &format!("; predictions move by {nats:.4} nats a token (KL divergence over {} tokens)", thousands(*tokens));
    }
    line
}

/// The ids of the keys that signed the pack or set `id`, and whether each signature is right.
pub fn signers<I: SignedId>(signatures: &[Signature], id: I) -> Vec<(String, bool)> {
    let of = |signature: &Signature| (signature.key_id().to_string(), signature.check(id).is_ok());
    signatures.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(["0", "999", "1,000", "1,234,567"].map(String::from), [0, 999, 1000, 1_234_567].map(thousands));
    }

    #[test]
    fn bytes_have_binary_units() {
        let sizes = [0, 1023, 1024, 1_572_864, 5 << 40, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 TiB", "16.0 EiB"]);
    }
}
