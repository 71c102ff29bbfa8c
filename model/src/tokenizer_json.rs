//! Reading of a tokenizer.json.

use serde::Deserialize;
use tokenizers::models::{bpe::BPE, unigram::Unigram, wordpiece::WordPiece};
use tokenizers::{
    DecoderWrapper, Model, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer, TokenizerImpl,
};

/// A tokenizer whose model is known to be an `M`.
type Of<M> = TokenizerImpl<M, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// The tokenizer of these bytes, as `Tokenizer::from_bytes` reads it.
///
/// That function finds out which model a file has by making three trees of values of it, of which each has every token of the vocabulary. Here the
/// models are tried in its order, and each reads the file directly.
///
/// # Errors
/// Those of `Tokenizer::from_bytes`.
pub(crate) fn read(bytes: &[u8]) -> tokenizers::Result<Tokenizer> {
    let known = as_model::<BPE>(bytes).or_else(|| as_model::<WordPiece>(bytes)).or_else(|| as_model::<Unigram>(bytes));
    known.map_or_else(|| Tokenizer::from_bytes(bytes), Ok)
}

/// The tokenizer if its model is an `M`. Of other models little is read, as the type comes before the vocabulary.
fn as_model<M: Model + for<'de> Deserialize<'de> + Into<ModelWrapper>>(bytes: &[u8]) -> Option<Tokenizer> {
    serde_json::from_slice::<Of<M>>(bytes).ok().map(Tokenizer::from)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A tokenizer.json with this model.
    fn file(model: Value) -> Value {
        let added = json!([{"id": 4, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}]);
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": {"type": "Lowercase"},
            "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null, "model": model,
        })
    }

    /// What a reader makes of a file: all that the tokenizer holds, or the error.
    fn outcome(read: tokenizers::Result<Tokenizer>) -> Result<String, String> {
        let tokenizer = read.map_err(|error| error.to_string())?;
        let encoding = tokenizer.encode("abba <s> cab", true).map_err(|error| error.to_string())?;
        Ok(format!("{} {:?}", tokenizer.to_string(false).map_err(|error| error.to_string())?, encoding.get_ids()))
    }

    #[test]
    fn every_model_is_read_as_the_library_reads_it() {
        let vocab = json!({"a": 0, "b": 1, "ab": 2, "[UNK]": 3});
        let models = [
            json!({"type": "BPE", "vocab": vocab, "merges": [["a", "b"]], "unk_token": "[UNK]", "dropout": null}),
            json!({"type": "BPE", "vocab": vocab, "merges": ["a b"], "ignore_merges": true}),
            json!({"vocab": vocab, "merges": ["a b"]}),
            json!({"type": "WordPiece", "vocab": vocab, "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}),
            json!({"vocab": vocab, "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}),
            json!({"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}),
            json!({"vocab": vocab, "unk_token": "[UNK]"}),
            json!({"type": "Unigram", "vocab": [["[UNK]", 0.0], ["a", -1.5], ["b", -2.0], ["ab", -0.5]], "unk_id": 0}),
            json!({"vocab": [["[UNK]", 0.0], ["a", -1.5]], "unk_id": 0}),
            // Refused by the library.
            json!({"type": "BPE", "vocab": vocab}),
            json!({"type": "BPE", "vocab": vocab, "merges": [["a", "z"]]}),
            json!({"type": "BPE", "vocab": {"a": -1}, "merges": []}),
            json!({"type": "BPE", "vocab": vocab, "merges": [], "dropout": 7.0}),
            // Of several missing fields the library names any.
            json!({"type": "WordPiece", "vocab": vocab, "unk_token": "[UNK]", "continuing_subword_prefix": "##"}),
            json!({"type": "Unigram", "vocab": [], "unk_id": 9}),
            json!({"type": "Other", "vocab": vocab}),
            json!(null),
        ];
        for model in models {
            let text = file(model).to_string();
            assert_eq!(outcome(read(text.as_bytes())), outcome(Tokenizer::from_bytes(&text)), "{text}");
        }
    }

    #[test]
    fn files_in_another_order_or_damaged() {
        let model = r#"{"vocab":{"a":0,"b":1,"ab":2},"merges":["a b"],"type":"BPE"}"#;
        let whole = format!(r#"{{"model":{model},"version":"1.0","added_tokens":[],"other":1}}"#);
        let mut texts: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole.as_bytes()[..end].to_vec()).collect();
        texts.push(whole.clone().into_bytes());
        texts.push(whole.replace("\"1.0\"", "\"2.0\"").into_bytes());
        texts.push(whole.replace("BPE", "B\\u0050E").into_bytes());
        texts.push(whole.replace("\"type\"", "\"type\":\"WordPiece\",\"type\"").into_bytes());
        texts.push([whole.as_bytes(), b"x"].concat());
        texts.push(whole.replace("\"a\":0", "\"\u{e4}\":0").into_bytes().into_iter().filter(|byte| *byte != 0xc3).collect());
        for text in texts {
            let shown = String::from_utf8_lossy(&text).into_owned();
            assert_eq!(outcome(read(&text)), outcome(Tokenizer::from_bytes(&text)), "{shown}");
        }
    }
}
