//! Configurations as transformers writes them, and each with one field that changes what is computed.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::*;

fn parse(config: &Value) -> Result<ModelConfig, String> {
    parse_with(config, &Generation::default())
}

fn parse_with(config: &Value, generation: &Generation) -> Result<ModelConfig, String> {
    let object: &Map<String, Value> = config.as_object().unwrap();
    ModelConfig::parse(Path::new("config.json"), object, generation).map_err(|e| e.to_string())
}

fn with(base: &Value, changes: Value) -> Value {
    let mut config = base.clone();
    for (field, value) in changes.as_object().unwrap() {
        config[field] = value.clone();
    }
    config
}

fn smollm2() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
        "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664, "intermediate_size": 1536,
        "is_llama_config": true, "max_position_embeddings": 8192, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 9,
        "num_hidden_layers": 30, "num_key_value_heads": 3, "pad_token_id": 2, "pretraining_tp": 1, "rms_norm_eps": 1e-5,
        "rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
        "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}}, "transformers_version": "4.42.3",
        "use_cache": true, "vocab_size": 49152
    })
}

fn llama32() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
        "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
        "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
        "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-5,
        "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.45.0.dev0",
        "use_cache": true, "vocab_size": 128256
    })
}

fn mistral(window: Value) -> Value {
    json!({
        "architectures": ["MistralForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "head_dim": null,
        "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
        "max_position_embeddings": 32768, "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "rope_theta": 1000000.0, "sliding_window": window,
        "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.42.0.dev0", "use_cache": true,
        "vocab_size": 32768
    })
}

fn qwen25() -> Value {
    json!({
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645,
        "hidden_act": "silu", "hidden_size": 896, "initializer_range": 0.02, "intermediate_size": 4864, "max_position_embeddings": 32768,
        "max_window_layers": 21, "model_type": "qwen2", "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
        "transformers_version": "4.43.1", "use_cache": true, "use_sliding_window": false, "vocab_size": 151936
    })
}

fn gemma() -> Value {
    json!({
        "architectures": ["GemmaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 2, "eos_token_id": 1,
        "head_dim": 256, "hidden_act": "gelu", "hidden_activation": null, "hidden_size": 2048, "initializer_range": 0.02,
        "intermediate_size": 16384, "max_position_embeddings": 8192, "model_type": "gemma", "num_attention_heads": 8,
        "num_hidden_layers": 18, "num_key_value_heads": 1, "pad_token_id": 0, "rms_norm_eps": 1e-6, "rope_scaling": null,
        "rope_theta": 10000.0, "torch_dtype": "bfloat16", "transformers_version": "4.38.0.dev0", "use_cache": true, "vocab_size": 256000
    })
}

/// As Qwen3-0.6B has it.
fn qwen3() -> Value {
    json!({
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643,
        "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024, "initializer_range": 0.02,
        "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28, "model_type": "qwen3",
        "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-6, "rope_scaling": null,
        "rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
        "transformers_version": "4.51.0", "use_cache": true, "use_sliding_window": false, "vocab_size": 151936
    })
}

/// As gemma-3-1b has it, with the scaling of the larger ones.
fn gemma3() -> Value {
    json!({
        "architectures": ["Gemma3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "attn_logit_softcapping": null,
        "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": [1, 106], "final_logit_softcapping": null, "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152, "initializer_range": 0.02, "intermediate_size": 6912,
        "max_position_embeddings": 32768, "model_type": "gemma3_text", "num_attention_heads": 4, "num_hidden_layers": 26,
        "num_key_value_heads": 1, "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-6, "rope_local_base_freq": 10000,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "rope_theta": 1000000, "sliding_window": 512,
        "sliding_window_pattern": 6, "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0", "use_cache": true,
        "vocab_size": 262144
    })
}

/// As transformers 5 writes it.
fn newest() -> Value {
    json!({
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "dtype": "float32", "eos_token_id": 2,
        "hidden_act": "silu", "hidden_size": 40, "initializer_range": 0.02, "intermediate_size": 64,
        "layer_types": ["full_attention", "full_attention"], "max_position_embeddings": 32768, "max_window_layers": 28,
        "model_type": "qwen2", "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2, "pad_token_id": null,
        "rms_norm_eps": 1e-6, "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"}, "sliding_window": null,
        "tie_word_embeddings": true, "transformers_version": "5.0.0", "use_cache": true, "use_sliding_window": false, "vocab_size": 173
    })
}

/// A configuration of transformers 4.30, which wrote the defaults of generation too.
fn oldest() -> Value {
    json!({
        "_name_or_path": "meta-llama/Llama-2-7b-hf", "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
        "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 11008, "max_length": 4096,
        "max_position_embeddings": 4096, "max_sequence_length": 4096, "model_type": "llama", "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "pad_token_id": 0, "pretraining_tp": 1, "rms_norm_eps": 1e-5,
        "rope_scaling": null, "tie_word_embeddings": false, "torch_dtype": "float16", "transformers_version": "4.31.0.dev0",
        "use_cache": true, "vocab_size": 32000, "do_sample": false, "num_beams": 1, "temperature": 1.0, "top_k": 50, "top_p": 1.0,
        "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, "is_decoder": false, "is_encoder_decoder": false,
        "output_attentions": false, "pruned_heads": {}, "tie_encoder_decoder": false, "chunk_size_feed_forward": 0
    })
}

#[test]
fn real_configurations_are_read() {
    for config in [
        smollm2(),
        llama32(),
        mistral(Value::Null),
        qwen25(),
        gemma(),
        qwen3(),
        gemma3(),
        newest(),
        oldest(),
        mistral(json!(32768)),
        with(&qwen25(), json!({"use_mrope": false})),
    ] {
        parse(&config).unwrap_or_else(|error| panic!("{error}: {config}"));
    }
    let llama = parse(&llama32()).unwrap();
    assert_eq!((llama.rope_base, llama.rope_scaling.unwrap().factor, llama.eos.as_slice()), (5e5, 32.0, &[128001, 128008, 128009][..]));
    assert_eq!(parse(&newest()).unwrap().rope_base, 1e6);
    assert_eq!(parse(&gemma()).unwrap().activation, GateActivation::GeluTanh);
    let gemma3 = parse(&gemma3()).unwrap();
    assert_eq!((gemma3.rope_base, gemma3.rope_factor, gemma3.query_scalar, gemma3.tied), (1e6, 8.0, 256.0, true));
    // Every sixth layer attends to the whole context.
    let windows: Vec<Option<u32>> = (0..26).map(|number| gemma3.sliding(number).map(|sliding| sliding.window)).collect();
    let expected: Vec<Option<u32>> = (1..=26).map(|number| (number % 6 != 0).then_some(512)).collect();
    assert_eq!((windows, gemma3.sliding.unwrap().rope_base), (expected, 1e4));
}

/// What a family computes where a field is absent is what transformers computes.
#[test]
fn absent_fields_have_the_defaults_of_the_family() {
    let without = |mut config: Value, fields: &[&str]| {
        fields.iter().for_each(|field| drop(config.as_object_mut().unwrap().remove(*field)));
        parse(&config).unwrap()
    };
    let fields = ["head_dim", "query_pre_attn_scalar", "rope_theta", "rope_local_base_freq", "sliding_window_pattern", "hidden_activation"];
    assert_eq!(without(gemma3(), &fields), parse(&gemma3()).unwrap());
    assert_eq!(without(gemma3(), &["sliding_window"]).sliding.unwrap().window, 4096);
    let qwen = without(qwen3(), &["head_dim", "rope_theta", "tie_word_embeddings"]);
    assert_eq!((qwen.head_dim, qwen.rope_base, qwen.tied), (128, 1e4, false));
}

/// Newer files list the layers, and have a block of RoPE for each kind of layer.
#[test]
fn layers_with_a_window_are_named_in_several_ways() {
    let old = parse(&gemma3()).unwrap();
    let kinds: Vec<&str> = (1..=26).map(|number| if number % 6 == 0 { "full_attention" } else { "sliding_attention" }).collect();
    let mut newer = with(&gemma3(), json!({"layer_types": kinds, "_sliding_window_pattern": 6}));
    newer.as_object_mut().unwrap().remove("sliding_window_pattern");
    assert_eq!(parse(&newer).unwrap(), old);
    for field in ["rope_theta", "rope_local_base_freq", "rope_scaling"] {
        newer.as_object_mut().unwrap().remove(field);
    }
    newer["rope_parameters"] = json!({
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    });
    assert_eq!(parse(&newer).unwrap(), old);
    newer["rope_parameters"]["sliding_attention"]["rope_theta"] = json!(2e4);
    assert_eq!(parse(&newer).unwrap().sliding.unwrap().rope_base, 2e4);
    // A period of one leaves no layer with a window.
    assert_eq!(parse(&with(&gemma3(), json!({"sliding_window_pattern": 1}))).unwrap().sliding, None);
}

/// Ids of packs depend on these texts.
#[test]
fn the_digest_of_a_family_depends_on_what_it_computes() {
    let llama = "hidden 576\nintermediate 1536\nlayers 30\nquery heads 9\nkey-value heads 3\nhead dimension 64\nvocabulary 49152\n\
                 norm epsilon 1e-5\nrope base 1e5\nrope scaling None\nbos 1\n";
    assert_eq!(parse(&smollm2()).unwrap().canonical(), llama);
    let own = |config: &Value| {
        let text = parse(config).unwrap().canonical();
        text.lines().skip(11).map(str::to_owned).collect::<Vec<_>>()
    };
    for (config, lines) in [
        (qwen25(), &[][..]),
        (gemma(), &["activation GeluTanh", "embedding scale RootOfHidden", "norm offset 1e0"]),
        (qwen3(), &["norms of queries and keys"]),
        (
            with(&gemma3(), json!({"num_hidden_layers": 7, "query_pre_attn_scalar": 168})),
            &[
                "activation GeluTanh",
                "embedding scale RootOfHidden",
                "norm offset 1e0",
                "norms of queries and keys",
                "norms after attention and feed-forward",
                "query scalar 1.68e2",
                "rope factor 8e0",
                "sliding window 512, rope base 1e4, in layers 1111101",
            ],
        ),
    ] {
        assert_eq!(own(&config), lines);
    }
}

#[test]
fn fields_that_change_what_is_computed_are_refused() {
    let llama3 = llama32()["rope_scaling"].clone();
    for (base, changes, words) in [
        // RoPE.
        (
            smollm2(),
            json!({"rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}}),
            &["rope_parameters.rope_theta", "500000", "100000"][..],
        ),
        (smollm2(), json!({"rope_scaling": {"factor": 4.0}}), &["rope_scaling.rope_type", "nothing, but a `factor`"]),
        (smollm2(), json!({"rope_parameters": {"rope_theta": 100000, "factor": 4.0}}), &["rope_parameters.rope_type"]),
        (smollm2(), json!({"rope_scaling": {"type": "default", "factor": 4.0}}), &["rope_scaling.factor", "4.0"]),
        (smollm2(), json!({"rope_scaling": {"type": "linear", "rope_type": "default", "factor": 4.0}}), &["rope_scaling.type", "`linear`"]),
        (smollm2(), json!({"rope_scaling": {"type": "yarn", "factor": 4.0}}), &["rope_scaling.rope_type", "`yarn`"]),
        (smollm2(), json!({"rope_scaling": {"rope_type": "default", "mrope_section": [16, 24, 24]}}), &["rope_scaling.mrope_section"]),
        (smollm2(), json!({"rope_scaling": {"rope_type": "default", "attention_factor": 1.2}}), &["rope_scaling.attention_factor"]),
        (llama32(), json!({"rope_parameters": {"rope_type": "default"}}), &["rope_scaling", "another one"]),
        (llama32(), json!({"rope_scaling": with(&llama3, json!({"attention_factor": 2.0}))}), &["rope_scaling.attention_factor"]),
        (
            newest(),
            json!({"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e6}}}),
            &["rope_parameters.full_attention"],
        ),
        (smollm2(), json!({"partial_rotary_factor": 0.5}), &["partial_rotary_factor", "0.5"]),
        (smollm2(), json!({"rotary_pct": 0.25}), &["rotary_pct"]),
        (smollm2(), json!({"rope_interleaved": true}), &["rope_interleaved", "true"]),
        (smollm2(), json!({"no_rope_layers": [0, 1]}), &["no_rope_layers"]),
        // Attention.
        (mistral(json!(4096)), json!({}), &["sliding_window", "4096"]),
        (smollm2(), json!({"sliding_window": 256}), &["sliding_window", "256"]),
        (qwen25(), json!({"use_sliding_window": true, "sliding_window": 4096}), &["sliding_window", "4096"]),
        (newest(), json!({"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 256}), &["sliding_window", "256"]),
        (newest(), json!({"layer_types": ["sliding_attention", "full_attention"]}), &["layer_types"]),
        (newest(), json!({"layer_types": ["linear_attention", "full_attention"]}), &["layer_types", "`linear_attention`"]),
        (qwen25(), json!({"attention_bias": true}), &["attention_bias", "true"]),
        (gemma(), json!({"mlp_bias": true}), &["mlp_bias", "true"]),
        (smollm2(), json!({"attn_logit_softcapping": 50.0}), &["attn_logit_softcapping", "50.0"]),
        (smollm2(), json!({"final_logit_softcapping": 30.0}), &["final_logit_softcapping"]),
        (smollm2(), json!({"query_pre_attn_scalar": 256}), &["query_pre_attn_scalar"]),
        (smollm2(), json!({"qk_norm": true}), &["qk_norm"]),
        (smollm2(), json!({"is_causal": false}), &["is_causal"]),
        (smollm2(), json!({"attention_multiplier": 0.0078125}), &["attention_multiplier"]),
        (smollm2(), json!({"clip_qkv": 8.0}), &["clip_qkv"]),
        (smollm2(), json!({"alibi": true}), &["alibi"]),
        (qwen3(), json!({"use_sliding_window": true, "sliding_window": 4096}), &["sliding_window", "4096"]),
        (qwen3(), json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}), &["rope_scaling.rope_type", "`yarn`"]),
        (qwen3(), json!({"query_pre_attn_scalar": 64}), &["query_pre_attn_scalar"]),
        (qwen3(), json!({"rope_local_base_freq": 10000}), &["rope_local_base_freq"]),
        (qwen3(), json!({"mlp_bias": true}), &["mlp_bias"]),
        (qwen3(), json!({"model_type": "qwen3_moe"}), &["model_type", "`qwen3_moe`", "`qwen3`"]),
        (gemma3(), json!({"attn_logit_softcapping": 50.0}), &["attn_logit_softcapping", "50.0"]),
        (gemma3(), json!({"final_logit_softcapping": 30.0}), &["final_logit_softcapping", "30.0"]),
        (gemma3(), json!({"use_bidirectional_attention": true}), &["use_bidirectional_attention"]),
        (gemma3(), json!({"query_pre_attn_scalar": 0}), &["query_pre_attn_scalar", "a positive number"]),
        (gemma3(), json!({"sliding_window": 0}), &["sliding_window", "a count from 1"]),
        (gemma3(), json!({"sliding_window_pattern": 0}), &["sliding_window_pattern", "a count from 1"]),
        (gemma3(), json!({"rope_local_base_freq": 1}), &["rope_local_base_freq", "above 1"]),
        (gemma3(), json!({"rope_scaling": {"rope_type": "linear"}}), &["rope_scaling.factor", "a positive number"]),
        (gemma3(), json!({"rope_scaling": {"rope_type": "linear", "factor": 0.0}}), &["rope_scaling.factor", "a positive number"]),
        (gemma3(), json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}), &["rope_scaling.rope_type", "`llama3`"]),
        (gemma3(), json!({"layer_types": ["sliding_attention"]}), &["layer_types", "26 layers", "found 1"]),
        (gemma3(), json!({"layer_types": vec!["chunked_attention"; 26]}), &["layer_types", "`chunked_attention`"]),
        (
            gemma3(),
            json!({"rope_parameters": {"full_attention": {"rope_type": "default"}, "sliding_attention": {"rope_theta": 5e3}}}),
            &["rope_parameters.sliding_attention.rope_theta", "10000", "5000"],
        ),
        (
            gemma3(),
            json!({"rope_parameters": {"full_attention": {"rope_type": "default"}, "sliding_attention": {"rope_type": "linear", "factor": 2.0}}}),
            &["rope_parameters.sliding_attention.rope_type", "`default`"],
        ),
        (
            gemma3(),
            json!({"rope_parameters": {"full_attention": {"rope_type": "default"}, "third_attention": {"rope_theta": 5e3}}}),
            &["rope_parameters.third_attention"],
        ),
        (gemma3(), json!({"hidden_activation": "gelu"}), &["hidden_activation", "`gelu`"]),
        (
            gemma3(),
            json!({"model_type": "gemma3", "text_config": {}}),
            &["model_type", "`gemma3`", "transformers, Gemma3ForCausalLM", "GGUF"],
        ),
        // The rest of the decoder.
        (smollm2(), json!({"hidden_act": "relu"}), &["hidden_act", "`relu`"]),
        (gemma(), json!({"hidden_activation": "silu"}), &["hidden_activation", "`silu`"]),
        (smollm2(), json!({"num_local_experts": 8}), &["num_local_experts", "8"]),
        (smollm2(), json!({"embedding_multiplier": 12.0}), &["embedding_multiplier"]),
        (smollm2(), json!({"residual_multiplier": 0.22}), &["residual_multiplier"]),
        (smollm2(), json!({"logits_scaling": 8.0}), &["logits_scaling"]),
        (smollm2(), json!({"quantization_config": {"quant_method": "gptq", "bits": 4}}), &["quantization_config", "not quantized"]),
        (smollm2(), json!({"quantization": {"bits": 4, "group_size": 64}}), &["quantization"]),
        (smollm2(), json!({"auto_map": {"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}}), &["auto_map", "code of its own"]),
        (smollm2(), json!({"is_encoder_decoder": true}), &["is_encoder_decoder"]),
        (smollm2(), json!({"vision_config": {"hidden_size": 8}}), &["vision_config"]),
        (smollm2(), json!({"something_new": 3}), &["something_new", "a field that is known", "found 3", "remove the field"]),
        (smollm2(), json!({"bos_token_id": null}), &["bos_token_id", "nothing", "such as that of `eos_token_id`, 2"]),
    ] {
        let error = parse(&with(&base, changes.clone())).err().unwrap_or_else(|| panic!("{changes} is accepted"));
        for word in words.iter().chain(&["config.json"]) {
            assert!(error.contains(word), "`{error}` does not name `{word}`");
        }
    }
}

#[test]
fn values_that_change_nothing_are_read() {
    for (base, changes) in [
        (smollm2(), json!({"rope_scaling": {}})),
        (smollm2(), json!({"rope_scaling": {"type": "default", "factor": 1.0}})),
        (smollm2(), json!({"rope_parameters": {"rope_theta": 100000.0, "rope_type": "default"}})),
        (llama32(), json!({"rope_parameters": with(&llama32()["rope_scaling"], json!({"rope_theta": 500000.0}))})),
        (smollm2(), json!({"partial_rotary_factor": 1})),
        (smollm2(), json!({"attn_logit_softcapping": null, "final_logit_softcapping": 0.0, "embedding_multiplier": 1})),
        (smollm2(), json!({"something_new": null, "other": false, "third": [], "fourth": {}, "fifth": ""})),
        (mistral(json!(4096)), json!({"max_position_embeddings": 4096})),
        (qwen25(), json!({"sliding_window": 4096})),
        (gemma(), json!({"hidden_activation": "gelu_pytorch_tanh"})),
        (qwen3(), json!({"sliding_window": 4096})),
        (qwen3(), json!({"layer_types": vec!["full_attention"; 28]})),
        (gemma3(), json!({"rope_scaling": {"type": "linear", "factor": 8.0}})),
        (gemma3(), json!({"rope_scaling": null, "use_bidirectional_attention": false})),
    ] {
        parse(&with(&base, changes.clone())).unwrap_or_else(|error| panic!("{changes}: {error}"));
    }
}

/// An old Mistral file that does not say it has Mistral's window.
#[test]
fn an_absent_window_of_mistral_is_its_default() {
    let mut config = mistral(Value::Null);
    config.as_object_mut().unwrap().remove("sliding_window");
    let error = parse(&config).unwrap_err();
    assert!(error.contains("sliding_window") && error.contains("4096"), "{error}");
}

#[test]
fn texts_end_where_generation_config_says() {
    let generation = |bos, eos: &[u32]| Generation { path: "generation_config.json".into(), bos, eos: eos.to_vec(), pad: None };
    let eos = |config: Value, generation| parse_with(&config, &generation).unwrap().eos;
    assert_eq!(eos(smollm2(), generation(None, &[2, 40])), [2, 40]);
    assert_eq!(eos(smollm2(), generation(None, &[40])), [2, 40]);
    assert_eq!(eos(with(&smollm2(), json!({"eos_token_id": [3, 2]})), generation(None, &[2, 7])), [3, 2, 7]);
    assert_eq!(eos(with(&smollm2(), json!({"eos_token_id": null})), generation(None, &[5])), [5]);
    let without = with(&smollm2(), json!({"bos_token_id": null}));
    assert_eq!(parse_with(&without, &generation(Some(9), &[])).unwrap().bos, 9);
    let error = parse_with(&smollm2(), &generation(None, &[49152])).unwrap_err();
    assert!(error.contains("generation_config.json") && error.contains("eos_token_id") && error.contains("49152"), "{error}");
    // The digest of the architecture, which packs record, does not depend on where texts end.
    let digest = |generation| parse_with(&smollm2(), &generation).unwrap().canonical();
    assert_eq!(digest(generation(None, &[2, 40])), digest(Generation::default()));
}

proptest::proptest! {
    /// Any JSON in the place of a field is read or refused.
    #[test]
    fn any_value(base in 0..2_usize, field in 0..58_usize, text in r#"(-?[0-9]{1,20}|"[a-z]{0,6}"|\[[0-9, ]{0,8}\]|\{"[a-z_]{0,12}": ?[0-9]{1,3}\}|true|null)"#) {
        let mut config = if base == 0 { llama32() } else { gemma3() };
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let object = config.as_object_mut().unwrap();
            let name = object.keys().nth(field % object.len()).unwrap().clone();
            object.insert(name, value);
            let _ = parse(&config);
        }
    }
}
