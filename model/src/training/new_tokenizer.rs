//! Trains the tokenizer of a new model.

use std::collections::BTreeMap;

use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, Tokenizer};

use crate::fields::Fields;
use crate::{LoadError, MemoryConfig, ModelConfig};

/// Max id of a special token plus 1: a trained tokenizer has the special tokens first.
const SPECIAL_CAP: u32 = 64;

/// The tokenizer.json of a byte-level BPE with `vocab_size` tokens, special tokens first, that splits numbers into digits. It encodes any
/// UTF-8 text. The same texts give the same bytes at any number of threads.
pub(super) fn train_tokenizer(
    fields: &Fields<'_>,
    config: &ModelConfig,
    memory: &MemoryConfig,
    texts: &[String],
) -> Result<Vec<u8>, LoadError> {
    let special = special_tokens(fields, config, memory)?;
    let vocabulary = config.vocabulary as usize;
    let failed = |error: tokenizers::Error| {
        let remedy = "check the texts, or name a `tokenizer`";
        fields.refuse("vocab_size", "a tokenizer that can be trained", error.to_string(), remedy)
    };
    let trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(vocabulary)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(special.into_iter().map(|name| AddedToken::from(name, true)).collect())
        .build();
    let mut trainer = TrainerWrapper::from(trainer);
    let mut tokenizer = Tokenizer::new(BPE::default());
    let words = Sequence::new(vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()]);
    tokenizer.with_pre_tokenizer(Some(words)).with_decoder(Some(ByteLevelDecoder::default()));
    tokenizer.train(&mut trainer, texts.iter()).map_err(failed)?;
    let found = tokenizer.get_vocab_size(true);
    if found != vocabulary {
        let remedy = "give more text or a smaller vocabulary, but at least the special tokens and 256 bytes";
        let found = format!("texts that give {found}");
        return Err(fields.refuse("vocab_size", format!("{vocabulary} tokens"), found, remedy));
    }
    tokenizer.to_string(false).map(String::into_bytes).map_err(failed)
}

/// Names of the special tokens from id 0 on: those whose ids the configuration has, and placeholders between them.
fn special_tokens(fields: &Fields<'_>, config: &ModelConfig, memory: &MemoryConfig) -> Result<Vec<String>, LoadError> {
    let mut names: BTreeMap<u32, String> = BTreeMap::new();
    let pad: Vec<u32> = fields.u32("pad_token_id")?.into_iter().collect();
    // A token with several roles gets the name of the first one.
    for (field, name, ids) in [
        ("bos_token_id", "s", &vec![config.bos]),
        ("eos_token_id", "/s", &config.eos),
        ("memory.reference_prefix_ids", "reference", &memory.reference_prefix_ids),
        ("memory.stop_ids", "stop", &memory.stop_ids),
        ("pad_token_id", "pad", &pad),
    ] {
        let mut first = true;
        for id in ids {
            if *id >= SPECIAL_CAP {
                let expected = format!("ids below {SPECIAL_CAP}, because a trained tokenizer has the special tokens first");
                return Err(fields.refuse(field, expected, id.to_string(), "change the ids, or name a `tokenizer` that has them"));
            }
            names.entry(*id).or_insert_with(|| {
                let name = if first { format!("<{name}>") } else { format!("<{name}-{id}>") };
                first = false;
                name
            });
        }
    }
    let count = names.last_key_value().map_or(0, |(id, _)| id + 1);
    Ok((0..count).map(|id| names.remove(&id).unwrap_or_else(|| format!("<unused-{id}>"))).collect())
}
