//! What a token alone stands for: its bytes, or its name.

use tokenizers::{Decoder, DecoderWrapper, Tokenizer};

use crate::TextTokenizer;

/// What a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenText {
    /// These bytes of the text, which may be a part of a character.
    Bytes(Vec<u8>),
    /// Nothing in the text: a special token, by its name.
    Special(String),
}

impl TokenText {
    /// The bytes; `None` of a special token.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Special(_) => None,
        }
    }

    /// The text, with U+FFFD for what is no UTF-8, or the name of a special token.
    pub fn to_text(&self) -> String {
        match self {
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Special(name) => name.clone(),
        }
    }
}

impl TextTokenizer {
    /// What a token stands for behind other text; `None` for an id without a token.
    ///
    /// The bytes of an encoded text's tokens are together the bytes of the text, and of the space that some tokenizers put before it.
    pub fn token_text(&self, id: u32) -> Option<TokenText> {
        let tokenizer = self.parsing();
        let name = tokenizer.id_to_token(id)?;
        if tokenizer.get_added_tokens_decoder().get(&id).is_some_and(|token| token.special) {
            return Some(TokenText::Special(name));
        }
        let decoder = tokenizer.get_decoder();
        let has = |wanted: fn(&DecoderWrapper) -> bool| decoder.is_some_and(|decoder| contains(decoder, wanted));
        let bytes = if has(|decoder| matches!(decoder, DecoderWrapper::ByteLevel(_))) {
            of_byte_level(&name)
        } else if let Some(byte) = fallback(&name).filter(|_| has(|decoder| matches!(decoder, DecoderWrapper::ByteFallback(_)))) {
            vec![byte]
        } else {
            behind_itself(tokenizer, id, &name)
        };
        Some(TokenText::Bytes(bytes))
    }
}

/// Whether a decoder is, or has among its parts, one that is `wanted`.
fn contains(decoder: &DecoderWrapper, wanted: fn(&DecoderWrapper) -> bool) -> bool {
    match decoder {
        DecoderWrapper::Sequence(parts) => parts.get_decoders().iter().any(|part| contains(part, wanted)),
        other => wanted(other),
    }
}

/// The bytes of a token whose name has a character for each of them. Added tokens have their text as their name.
fn of_byte_level(name: &str) -> Vec<u8> {
    name.chars().map(byte_of).collect::<Option<_>>().unwrap_or_else(|| name.as_bytes().to_vec())
}

/// The byte that a character stands for in the names of byte-level tokens: printable characters of Latin-1 stand for themselves, and those from 256 on
/// for the other bytes in their order.
fn byte_of(character: char) -> Option<u8> {
    let is_own = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    match u32::from(character) {
        code @ 0..=255 => u8::try_from(code).ok().filter(|byte| is_own(*byte)),
        code => (0..=255).filter(|byte| !is_own(*byte)).nth(usize::try_from(code - 256).ok()?),
    }
}

/// The byte of a token that is named `<0xHH>`.
fn fallback(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// The bytes that a token adds to a text: some decoders drop a space before the first one.
fn behind_itself(tokenizer: &Tokenizer, id: u32, name: &str) -> Vec<u8> {
    let decode = |times: usize| match tokenizer.get_decoder() {
        Some(decoder) => decoder.decode(vec![name.to_owned(); times]),
        None => tokenizer.decode(&vec![id; times], false),
    };
    let (Ok(once), Ok(twice)) = (decode(1), decode(2)) else { return name.as_bytes().to_vec() };
    twice.strip_prefix(&once).unwrap_or(&once).as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn tiny() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny/tokenizer.json")
    }

    /// A tokenizer of characters and bytes in the manner of SentencePiece: `▁` is a space, and a byte without a character is `<0xHH>`.
    fn sentence_piece() -> TextTokenizer {
        let mut pieces: Vec<Value> = vec![json!(["<unk>", 0.0])];
        pieces.extend((0..=255).map(|byte| json!([format!("<0x{byte:02X}>"), -9.0])));
        pieces.extend(["▁", "▁a", "a", "b", "é", "ab"].map(|piece| json!([piece, -1.0])));
        let file = json!({
            "version": "1.0", "truncation": null, "padding": null, "post_processor": null,
            "added_tokens": [{"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ]},
            "pre_tokenizer": null,
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ]},
            "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": true},
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, file.to_string()).unwrap();
        TextTokenizer::load(&path).unwrap()
    }

    /// The bytes of a text's tokens, one after the other.
    fn joined(tokenizer: &TextTokenizer, text: &str) -> Vec<u8> {
        let ids = tokenizer.encode_plain(text).unwrap();
        ids.iter().flat_map(|id| tokenizer.token_text(*id).unwrap().bytes().unwrap().to_vec()).collect()
    }

    #[test]
    fn the_bytes_of_tokens_are_those_of_the_text() {
        let kinds = [TextTokenizer::load(&tiny()).unwrap(), sentence_piece()];
        proptest!(|(text in "[ -~éß日\\n🙂]{0,30}")| {
            for tokenizer in &kinds {
                let found = joined(tokenizer, &text);
                let spaced = format!(" {text}");
                prop_assert!(found == text.as_bytes() || found == spaced.as_bytes(), "{:?} of {text:?}", String::from_utf8_lossy(&found));
            }
        });
    }

    #[test]
    fn parts_of_characters_and_special_tokens() {
        let tokenizer = sentence_piece();
        let id = |name: &str| tokenizer.token_id(name).unwrap();
        let bytes = |name: &str| tokenizer.token_text(id(name)).unwrap();
        assert_eq!((bytes("<0xE2>"), bytes("<0xE2>").to_text()), (TokenText::Bytes(vec![0xE2]), "\u{FFFD}".into()));
        assert_eq!((bytes("▁a"), bytes("a")), (TokenText::Bytes(b" a".to_vec()), TokenText::Bytes(b"a".to_vec())));
        assert_eq!(bytes("<unk>"), TokenText::Special("<unk>".into()));
        assert_eq!((bytes("<unk>").bytes(), bytes("<unk>").to_text()), (None, "<unk>".into()));
        assert_eq!(tokenizer.token_text(10_000), None);
        let mut all: Vec<u8> = (0..0x200).filter_map(char::from_u32).filter_map(byte_of).collect();
        all.sort_unstable();
        assert_eq!(all, (0..=255).collect::<Vec<u8>>());
        assert_eq!((byte_of('Ġ'), byte_of('Ċ'), byte_of('a'), byte_of(' ')), (Some(b' '), Some(b'\n'), Some(b'a'), None));
    }
}
