//! Fields of configuration files that do not change what a model computes. A field that is neither read nor here is refused, unless its
//! value says that something is not used.
//!
//! Sources: `PretrainedConfig` and the configurations of the families in transformers 4 and 5, `LoraConfig` in peft 0.18,
//! `SentenceTransformer` in sentence-transformers 5.

/// Fields that any configuration of transformers may have: where a model comes from, how it is trained, and how texts are generated with
/// it, which is not done by these fields here.
pub(crate) const ANY: &[&str] = &[
    // Origin, storage and implementation.
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_comment",
    "_commit_hash",
    "_flash_attn_2_enabled",
    "_from_model_config",
    "_name_or_path",
    "architectures",
    "attn_implementation",
    "cache_implementation",
    "chunk_size_feed_forward",
    "dtype",
    "gradient_checkpointing",
    "model_name",
    "name_or_path",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "return_dict",
    "tf_legacy_loss",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_flash_attention",
    "use_flash_attn",
    // Training, and tasks that are not done here.
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "classifier_dropout",
    "dropout",
    "embd_pdrop",
    "finetuning_task",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "label2id",
    "label_smoothing",
    "num_labels",
    "problem_type",
    "resid_pdrop",
    "task_specific_params",
    // Ids and names of tokens that are not used, or that other files are read for.
    "bos_token",
    "cls_token_id",
    "decoder_start_token_id",
    "eos_token",
    "mask_token_id",
    "pad_token",
    "pad_token_id",
    "sep_token_id",
    "unk_token_id",
    // Generation.
    "bad_words_ids",
    "begin_suppress_tokens",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "max_length",
    "max_new_tokens",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_scores",
    "prefix",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict_in_generate",
    "suppress_tokens",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
];

/// Further fields of a decoder's config.json.
pub(crate) const DECODER: &[&str] = &[
    // Read by other functions.
    "memory",
    // `LlamaForCausalLM` for SmolLM2.
    "is_llama_config",
    // Only used with a sliding window, which is checked by its own fields.
    "max_window_layers",
    // Lengths that a tokenizer or a trainer keeps to.
    "max_sequence_length",
    "model_max_length",
    "seq_length",
    // The products are computed in slices, with the same result.
    "pretraining_tp",
    "is_decoder",
];

/// Further fields of an encoder's config.json.
pub(crate) const ENCODER: &[&str] = &[
    "bos_token_id",
    "eos_token_id",
    "tie_word_embeddings",
    // Of the pooler and the head of multilingual BERT, which are not computed.
    "directionality",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
];

/// Further fields of a cross-encoder's config.json: the function that sentence-transformers puts over scores, which keeps their order.
pub(crate) const RERANKER: &[&str] = &["sbert_ce_default_activation_function", "sentence_transformers"];

/// Fields of adapter_config.json that are used in training, or that say where the adapter comes from.
pub(crate) const ADAPTER: &[&str] = &[
    "auto_mapping",
    "corda_config",
    "eva_config",
    "inference_mode",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
];

/// Fields of the files of sentence-transformers: names and versions, and the prompts, which `embedder/prompts.rs` reads.
pub(crate) const SENTENCES: &[&str] = &[
    "__version__",
    "config_args",
    "default_prompt_name",
    "embedding_dimension",
    "include_prompt",
    "modality_config",
    "model_args",
    "module_output_name",
    "processing_kwargs",
    "prompts",
    "tokenizer_args",
    "transformer_task",
    "truncate_dim",
];
