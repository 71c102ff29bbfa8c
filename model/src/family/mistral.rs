//! Mistral (arXiv 2310.06825): Llama with a sliding window. GGUF files call it `llama`.

use super::{Family, SlidingWindow, llama};

pub(super) const FAMILY: Family =
    Family { model_type: "mistral", class: "MistralForCausalLM", sliding_window: SlidingWindow::IfSet, gguf: None, ..llama::FAMILY };
