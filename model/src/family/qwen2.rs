//! Qwen2 and Qwen2.5 (arXiv 2407.10671): Llama with biases in the query, key and value projections.

use super::{Bias, Biases, Family, GgufLayout, SlidingWindow, llama};

pub(super) const FAMILY: Family = Family {
    model_type: "qwen2",
    class: "Qwen2ForCausalLM",
    biases: Biases { qkv: Bias::Always, output: Bias::Never, mlp: Bias::Never },
    sliding_window: SlidingWindow::IfEnabled,
    gguf: Some(GgufLayout { architecture: "qwen2", interleaved_rope: false, ..llama::GGUF }),
    ..llama::FAMILY
};
