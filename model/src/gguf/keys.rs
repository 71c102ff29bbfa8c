//! Keys of a GGUF file that were not needed for the import: which of them change what the model computes.
//!
//! Sources: the GGUF specification of the ggml project, and the keys that llama.cpp reads for the architectures imported here.

use super::error::ImportError;
use super::metadata::Metadata;

/// Keys of an architecture, after its name, that change nothing: notes, and numbers that the tensors give too.
const HARMLESS: [&str; 5] =
    ["vocab_size", "rope.scaling.finetuned", "rope.scaling.original_context_length", "attention.layer_norm_epsilon", "pooling_type"];
/// Keys with one value that changes nothing, unless they were needed.
const NEUTRAL: [(&str, f64); 6] = [
    ("rope.scaling.factor", 1.0),
    ("rope.scale_linear", 1.0),
    ("rope.scaling.attn_factor", 1.0),
    ("logit_scale", 1.0),
    ("embedding_scale", 1.0),
    ("residual_scale", 1.0),
];
/// Keys of the tokenizer that change nothing: scores and types are of other kinds of vocabulary, prompts are made by templates of
/// mempack, and roles of tokens in tasks that are not done.
const TOKENIZER: [&str; 21] = [
    "chat_template",
    "chat_templates",
    "ggml.add_eos_token",
    "ggml.add_sep_token",
    "ggml.added_tokens",
    "ggml.cls_token_id",
    "ggml.fim_mid_token_id",
    "ggml.fim_pad_token_id",
    "ggml.fim_pre_token_id",
    "ggml.fim_rep_token_id",
    "ggml.fim_sep_token_id",
    "ggml.fim_suf_token_id",
    "ggml.mask_token_id",
    "ggml.middle_token_id",
    "ggml.prefix_token_id",
    "ggml.scores",
    "ggml.separator_token_id",
    "ggml.seperator_token_id",
    "ggml.token_type_count",
    "ggml.suffix_token_id",
    "huggingface.json",
];
const OTHER: &str = "use a model without it, or remove the key if it does not change what the model computes";
const KNOWN: &str = "a key that is known";

/// Refuses a key of the architecture or the tokenizer that was not read and may change what is computed. A `given` tokenizer stands for
/// the file's.
pub(super) fn refuse_unknown(m: &Metadata<'_>, architecture: &str, given: bool) -> Result<(), ImportError> {
    if let Some(kind) = m.str("general.type")?.filter(|kind| *kind != "model") {
        return Err(m.wrong("general.type", "`model`", format!("`{}`", kind.escape_debug()), "use the file of the whole model"));
    }
    if let Some(files) = m.u32("split.count")?.filter(|files| *files > 1) {
        return Err(m.wrong("split.count", "1 file", files.to_string(), "merge the parts with llama.cpp's `llama-gguf-split --merge`"));
    }
    let prefix = format!("{architecture}.");
    let key = |suffix: &str| format!("{prefix}{suffix}");
    for (suffix, neutral) in NEUTRAL.into_iter().filter(|(suffix, _)| !m.was_read(&key(suffix))) {
        // ggml takes 0 for absent.
        if let Some(found) = m.number(&key(suffix))?.filter(|found| *found != neutral && *found != 0.0) {
            return Err(m.wrong(&key(suffix), neutral.to_string(), found.to_string(), OTHER));
        }
    }
    if m.bool(&key("attention.causal"))? == Some(false) {
        return Err(m.wrong(&key("attention.causal"), "true", "false", OTHER));
    }
    // The order of rows that the import expects.
    let layout = key("tensor_data_layout");
    if let Some(other) = m.str(&layout)?.filter(|layout| !layout.is_empty() && *layout != "Meta AI original pth") {
        return Err(m.wrong(&layout, "`Meta AI original pth`", format!("`{}`", other.escape_debug()), OTHER));
    }
    for (key, found) in m.unread() {
        if let Some(suffix) = key.strip_prefix(&prefix) {
            if !HARMLESS.contains(&suffix) {
                return Err(m.wrong(key, KNOWN, found, OTHER));
            }
        } else if let Some(rest) = key.strip_prefix("tokenizer.") {
            // Chat templates may have names.
            if !given && !TOKENIZER.contains(&rest) && !rest.starts_with("chat_template.") {
                return Err(m.vocabulary(key, KNOWN, found));
            }
        }
    }
    Ok(())
}
