//! `plan.json`: what a plan fixes, by value or by digest.

use mempack_format::Digest;
use mempack_model::Machine;
use serde::{Deserialize, Serialize};

use crate::graph::MAX_M;

/// The form of `plan.json` and of the files that it names.
pub(crate) const PLAN_FORMAT: u32 = 1;
/// Maximum number of build shards.
pub const MAX_SHARDS: u32 = 100_000;
/// Maximum number of search packs.
pub const MAX_PACKS: u32 = 4096;

/// The contents of `plan.json`. The id of the plan is the digest of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanManifest {
    pub format: u32,
    /// The program that made the plan, with its version.
    pub generator: String,
    /// The id of `plan.mpk`, a pack without references: documents, metadata, codec and quality, and the identities of model and embedder.
    #[serde(with = "hex")]
    pub pack: Digest,
    pub options: PlannedOptions,
    pub documents: u64,
    pub references: u64,
    pub origins: u64,
    pub tokens: u64,
    /// The build shards, in the order of their references.
    pub shards: Vec<PlannedShard>,
    /// How many search packs the references go to, at most.
    pub packs: u32,
    /// The file of the centroids.
    pub centroids: PlannedFile,
    pub probe: PlannedProbe,
}

/// Options that the bytes of packs depend on, beside those that show in the references and in `plan.mpk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlannedOptions {
    pub graph_m: u32,
    pub graph_ef: u32,
    /// How the documents were cut, for people.
    pub reference_length: Option<usize>,
    pub reference_overlap: usize,
    pub title: bool,
}

/// A build shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlannedShard {
    pub references: u64,
    pub tokens: u64,
    /// The file of its references.
    pub file: PlannedFile,
}

/// A file of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlannedFile {
    pub bytes: u64,
    #[serde(with = "hex")]
    pub digest: Digest,
}

/// The references whose outputs show whether a machine computes the same bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlannedProbe {
    pub file: PlannedFile,
    /// Digest of memories, records and embeddings.
    #[serde(with = "hex")]
    pub outputs: Digest,
    /// Where the outputs were computed.
    pub machine: Machine,
}

impl PlanManifest {
    /// Reads the contents of `plan.json`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        // Another form may have other fields.
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let Form { format } = serde_json::from_slice(bytes).map_err(|error| format!("this is no plan: {error}"))?;
        if format != PLAN_FORMAT {
            return Err(format!("the plan has form {format}, and this program reads form {PLAN_FORMAT}; use the program that made it"));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let shards = manifest.shards.len() as u64;
        let within = |what: &str, found: u64, max: u64| match found {
            1.. if found <= max => Ok(()),
            _ => Err(format!("it has {found} {what}, expected 1 to {max}")),
        };
        within("shards", shards, MAX_SHARDS.into())?;
        within("packs", manifest.packs.into(), MAX_PACKS.into())?;
        let PlannedOptions { graph_m, graph_ef, .. } = manifest.options;
        if !(2..=MAX_M).contains(&graph_m) || graph_ef < graph_m {
            return Err(format!("its graph has m {graph_m} and ef {graph_ef}, expected m from 2 to {MAX_M}, and ef at least m"));
        }
        let sum = |of: fn(&PlannedShard) -> u64| manifest.shards.iter().try_fold(0u64, |sum, shard| sum.checked_add(of(shard)));
        for (what, expected, found) in
            [("references", manifest.references, sum(|shard| shard.references)), ("tokens", manifest.tokens, sum(|shard| shard.tokens))]
        {
            if found != Some(expected) {
                return Err(format!("its shards have not the {expected} {what} that it states"));
            }
        }
        Ok(manifest)
    }

    /// The bytes of `plan.json`.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Numbers and texts alone: nothing in it has no JSON.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// Digests as texts.
mod hex {
    use mempack_format::Digest;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(digest)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format!("expected a digest of 64 hexadecimal digits, found {text:?}"));
        if text.len() != 64 || !text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        let mut digest = [0; 32];
        for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Digest(digest))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(name: &str) -> PlannedFile {
        PlannedFile { bytes: 7, digest: Digest::of(name.as_bytes()) }
    }

    pub fn manifest(shards: &[u64]) -> PlanManifest {
        let machine = Machine {
            device: "cpu".into(),
            processor: "made up".into(),
            features: vec!["avx2".into()],
            libtorch: "2".into(),
            settings: Vec::new(),
        };
        PlanManifest {
            format: PLAN_FORMAT,
            generator: "mempack 0".into(),
            pack: Digest::of(b"pack"),
            options: PlannedOptions { graph_m: 16, graph_ef: 200, reference_length: None, reference_overlap: 0, title: true },
            documents: 3,
            references: shards.iter().sum(),
            origins: 9,
            tokens: 2 * shards.iter().sum::<u64>(),
            shards: shards.iter().map(|count| PlannedShard { references: *count, tokens: 2 * count, file: file("refs") }).collect(),
            packs: 2,
            centroids: file("centroids"),
            probe: PlannedProbe { file: file("probe"), outputs: Digest::of(b"outputs"), machine },
        }
    }

    #[test]
    fn a_plan_is_read_as_written() {
        let plan = manifest(&[3, 0, 4]);
        assert_eq!(PlanManifest::read(&plan.to_bytes()), Ok(plan));
    }

    #[test]
    fn what_is_wrong_with_a_plan_is_said() {
        let plan = manifest(&[3, 4]);
        let text = String::from_utf8(plan.to_bytes()).unwrap();
        let other = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            PlanManifest::read(text.replacen(from, to, 1).as_bytes()).unwrap_err()
        };
        let cases = [
            (other("\"format\": 1", "\"format\": 2"), "form 2"),
            (other("\"references\": 7", "\"references\": 8"), "8 references"),
            (other("\"tokens\": 6", "\"tokens\": 5"), "14 tokens"),
            (other("\"packs\": 2", "\"packs\": 0"), "0 packs"),
            (other("\"graph_m\": 16", "\"graph_m\": 256"), "m 256"),
            (other("\"origins\"", "\"origin\""), "origin"),
            (other(&Digest::of(b"pack").to_string(), "xyz"), "64 hexadecimal digits"),
            (PlanManifest::read(b"{}").unwrap_err(), "no plan"),
            (PlanManifest::read(&manifest(&[]).to_bytes()).unwrap_err(), "0 shards"),
        ];
        for (error, word) in cases {
            assert!(error.contains(word), "{word}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_plan_is_read_or_refused(at: prop::sample::Index, byte: u8) {
            let mut bytes = manifest(&[1, 2]).to_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = PlanManifest::read(&bytes);
        }
    }
}
