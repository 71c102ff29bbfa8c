//! What the section `BUDGET` holds: how many tokens of a reference each key-value head keeps (SPEC 5.3).

use crate::{ManifestError, MemoryShape, manifest};

/// The section's bytes; `None` for a shape whose heads all keep the same number of tokens, which has no such section.
pub(crate) fn encode(shape: &MemoryShape) -> Option<Vec<u8>> {
    shape.budget()
}

/// `shape`, which the manifest gives, with the budget of the section: a number for each head, not all equal, of which the largest is the
/// manifest's.
pub(crate) fn decode(bytes: &[u8], shape: &MemoryShape) -> Result<MemoryShape, ManifestError> {
    let heads = u64::from(shape.layers) * u64::from(shape.heads);
    manifest::between("bytes of the head budget", bytes.len() as u64, heads, heads)?;
    let most = bytes.iter().copied().max().unwrap_or_default();
    manifest::between("largest number of the head budget", most.into(), shape.tokens.into(), shape.tokens.into())?;
    let found = MemoryShape::with_budget(shape.layers, shape.heads, shape.head_dim, bytes);
    let found = found.map_err(|error| manifest::field("head budget", "a table that fits the shape", error))?;
    if found.budget().is_none() {
        return Err(manifest::field("head budget", "numbers that differ; a uniform one has no section", most));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_tables_are_refused() {
        let shape = MemoryShape::new(2, 2, 5, 4);
        for (bytes, named) in [
            (&[5, 1, 0][..], "bytes of the head budget is 3"),
            (&[5, 1, 0, 0, 0], "bytes of the head budget is 5"),
            (&[4, 1, 0, 0], "largest number of the head budget is 4"),
            (&[6, 1, 0, 0], "largest number of the head budget is 6"),
            (&[255, 5, 0, 0], "largest number of the head budget is 255"),
            (&[0; 4], "largest number of the head budget is 0"),
            (&[5; 4], "head budget is 5"),
        ] {
            let error = decode(bytes, &shape).unwrap_err().to_string();
            assert!(error.contains(named), "{bytes:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_budget_is_read_as_it_was_written(budget in proptest::collection::vec(0..=255u8, 6)) {
            prop_assume!(budget.iter().any(|tokens| *tokens > 0));
            let shape = MemoryShape::with_budget(3, 2, 4, &budget).unwrap();
            match encode(&shape) {
                None => prop_assert!(budget.iter().all(|tokens| *tokens == budget[0])),
                Some(bytes) => {
                    prop_assert_eq!(&bytes, &budget);
                    let of_manifest = MemoryShape::new(3, 2, shape.tokens, 4);
                    prop_assert_eq!(decode(&bytes, &of_manifest).unwrap(), shape);
                }
            }
        }

        #[test]
        fn any_bytes_are_a_budget_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..9), tokens in 1..256u32) {
            let shape = MemoryShape::new(2, 2, tokens, 4);
            if let Ok(found) = decode(&bytes, &shape) {
                prop_assert_eq!(found.budget().unwrap(), bytes);
                prop_assert_eq!(found.tokens, tokens);
            }
        }
    }
}
