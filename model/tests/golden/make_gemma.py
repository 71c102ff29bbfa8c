"""Makes tiny-gemma/: a random Gemma model and the logits that transformers computes with it.

    pip install "jax==0.4.30" "jaxlib==0.4.30" "flax==0.8.5" "transformers==4.41.2" "numpy<2" safetensors
    python make_gemma.py

Norm weights are far from 0 and the embeddings are small, so that a norm without Gemma's offset of 1, an embedding without its scale
and another activation all give other logits."""
import json
import pathlib

import numpy as np
from safetensors.numpy import save_file
from transformers import FlaxGemmaForCausalLM, GemmaConfig

folder = pathlib.Path(__file__).parent / "tiny-gemma"
folder.mkdir(exist_ok=True)
fields = dict(vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1,
              head_dim=8, hidden_act="gelu_pytorch_tanh", rms_norm_eps=1e-6, rope_theta=10000.0, max_position_embeddings=128,
              bos_token_id=2, eos_token_id=1, pad_token_id=0)
(folder / "config.json").write_text(json.dumps(dict(model_type="gemma", architectures=["GemmaForCausalLM"], **fields), indent=2) + "\n")

random = np.random.default_rng(7)
hidden, inner = fields["hidden_size"], fields["intermediate_size"]
queries, keys = fields["num_attention_heads"] * fields["head_dim"], fields["num_key_value_heads"] * fields["head_dim"]
draw = lambda *shape, size: (random.standard_normal(shape) * size).astype(np.float32)
weights = {"model.embed_tokens.weight": draw(fields["vocab_size"], hidden, size=0.3), "model.norm.weight": draw(hidden, size=0.4)}
for layer in range(fields["num_hidden_layers"]):
    name = f"model.layers.{layer}."
    for part, rows, columns in [("self_attn.q_proj", queries, hidden), ("self_attn.k_proj", keys, hidden), ("self_attn.v_proj", keys, hidden),
                                ("self_attn.o_proj", hidden, queries), ("mlp.gate_proj", inner, hidden), ("mlp.up_proj", inner, hidden),
                                ("mlp.down_proj", hidden, inner)]:
        weights[f"{name}{part}.weight"] = draw(rows, columns, size=0.3)
    for norm in ["input_layernorm", "post_attention_layernorm"]:
        weights[f"{name}{norm}.weight"] = draw(hidden, size=0.4)
save_file(weights, folder / "model.safetensors")

params = {}
for name, value in weights.items():
    *path, last = name.split(".")[:-1]
    place = params
    for part in path:
        place = place.setdefault(part, {})
    leaf = "embedding" if last == "embed_tokens" else "kernel" if value.ndim == 2 else "weight"
    place[last] = {leaf: value.T if leaf == "kernel" else value}
ids = np.concatenate([[fields["bos_token_id"]], random.integers(3, fields["vocab_size"], 20)])
model = FlaxGemmaForCausalLM(GemmaConfig(**fields), _do_init=False)
logits = model(ids[None].astype(np.int32), params=params).logits[0]
save_file({"ids": ids.astype(np.int64), "logits": np.asarray(logits, np.float32)}, folder / "logits.safetensors")
