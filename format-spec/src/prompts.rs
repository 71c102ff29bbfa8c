//! What the section `PROMPTS` holds: the texts that an embedder puts before queries and passages (SPEC 5.2).

use std::fmt;

use crate::constants::MAX_PROMPT_BYTES;
use crate::{ManifestError, manifest};

/// The texts that an embedder puts before what it embeds. An embedder without prompts has no such value, and its packs no such section.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct EmbedderPrompts {
    /// What stands before a query; may be empty.
    pub query: String,
    /// What stands before a passage, which is what a pack holds; may be empty.
    pub passage: String,
}

impl EmbedderPrompts {
    /// Checks the bounds of SPEC 5.2.
    pub(crate) fn check(&self) -> Result<(), ManifestError> {
        for (name, prompt) in [("bytes of the query prompt", &self.query), ("bytes of the passage prompt", &self.passage)] {
            manifest::between(name, prompt.len() as u64, 0, MAX_PROMPT_BYTES)?;
        }
        if self.query.is_empty() && self.passage.is_empty() {
            return Err(manifest::field("prompts", "one that is not empty", "two empty ones"));
        }
        Ok(())
    }
}

impl fmt::Display for EmbedderPrompts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { query, passage } = self;
        write!(f, "query prompt {query:?} and passage prompt {passage:?}")
    }
}

/// The wire form of SPEC 5.2.
pub(crate) fn encode(prompts: &EmbedderPrompts) -> Result<Vec<u8>, ManifestError> {
    prompts.check()?;
    manifest::to_wire(prompts)
}

/// From the wire form: canonical, all bytes used, within the bounds.
pub(crate) fn decode(bytes: &[u8]) -> Result<EmbedderPrompts, ManifestError> {
    let prompts: EmbedderPrompts = manifest::from_wire(bytes)?;
    prompts.check()?;
    Ok(prompts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// SPEC 5.2 for prompts of fewer than 251 bytes, written by hand.
    fn by_hand(query: &str, passage: &str) -> Vec<u8> {
        [&[query.len() as u8], query.as_bytes(), &[passage.len() as u8], passage.as_bytes()].concat()
    }

    #[test]
    fn the_wire_form_is_two_strings() {
        let prompts = EmbedderPrompts { query: "query: ".into(), passage: "passage: ".into() };
        assert_eq!(encode(&prompts).unwrap(), by_hand("query: ", "passage: "));
        assert_eq!(decode(&by_hand("query: ", "passage: ")).unwrap(), prompts);
        assert_eq!(prompts.to_string(), r#"query prompt "query: " and passage prompt "passage: ""#);
    }

    #[test]
    fn bounds_are_kept_on_both_ways() {
        let longest = "x".repeat(MAX_PROMPT_BYTES as usize);
        for (query, passage, named) in [
            (String::new(), String::new(), Some("prompts is two empty ones")),
            (longest.clone(), String::new(), None),
            (String::new(), longest.clone(), None),
            (format!("{longest}x"), String::new(), Some("bytes of the query prompt is 1025")),
            ("q".into(), format!("{longest}x"), Some("bytes of the passage prompt is 1025")),
        ] {
            let prompts = EmbedderPrompts { query, passage };
            let written = encode(&prompts).map_err(|error| error.to_string());
            let read = decode(&manifest::to_wire(&prompts).unwrap()).map_err(|error| error.to_string());
            match named {
                None => assert!(written.is_ok() && read == Ok(prompts)),
                Some(named) => {
                    assert!(written.unwrap_err().contains(named));
                    assert!(read.unwrap_err().contains(named));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_are_the_one_form_of_what_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(prompts) = decode(&bytes) {
                prop_assert_eq!(encode(&prompts).unwrap(), bytes);
            }
        }

        #[test]
        fn prompts_survive_the_round_trip(query in "\\PC{0,60}", passage in "\\PC{1,60}") {
            let prompts = EmbedderPrompts { query, passage };
            let bytes = encode(&prompts).unwrap();
            prop_assert_eq!(decode(&bytes).unwrap(), prompts);
            for end in 0..bytes.len() {
                prop_assert!(decode(&bytes[..end]).is_err());
            }
        }
    }
}
