"""Makes tests/fixtures/qwen3_norms and tests/fixtures/gemma3_windows: small random models and what a plain computation finds with them.

    pip install "torch==2.11.0" "transformers==4.57.1" safetensors
    python make_families.py

Each folder has the form of the other decoders there (tests/fixtures/README.md). `plain.logits` are those of transformers. The others come
from the definition below, which is compared with transformers first: keys are stored after their norm; a memory is read by every token of
its chunk, however short the window of a layer is; the window counts the tokens of prefix and context.

What is left out of an implementation shows: norm weights are far from those that do nothing, the window is shorter than references and text,
the queries' scale is not that of a head's dimension, and the rotations of layers with and without a window differ by their bases and by a
factor."""
import copy
import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, Qwen3Config, Qwen3ForCausalLM

FOLDER = pathlib.Path(__file__).parents[3] / "tests/fixtures"
MEMORY = dict(tokens_per_head=4, reference_length=32, retrieval_interval=16, memories_per_chunk=5, reference_prefix_ids=[1, 3], similarity_bias=8.0)
SHAPE = dict(bos_token_id=1, eos_token_id=2, pad_token_id=None, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=4096)
SLIDES, FULL = "sliding_attention", "full_attention"
MODELS = {
    "qwen3_norms": (Qwen3ForCausalLM, Qwen3Config(vocab_size=89, intermediate_size=40, num_hidden_layers=4, head_dim=16, rope_theta=500.0,
                    tie_word_embeddings=False, **SHAPE), dict(first_memory_layer=1, num_memory_layers=2)),
    "gemma3_windows": (Gemma3ForCausalLM, Gemma3TextConfig(vocab_size=83, intermediate_size=36, num_hidden_layers=6, head_dim=12, rope_theta=5000.0,
                       rope_local_base_freq=20.0, rope_scaling=dict(rope_type="linear", factor=3.0), query_pre_attn_scalar=5, sliding_window=7,
                       layer_types=[SLIDES, SLIDES, FULL] * 2, **SHAPE), dict(first_memory_layer=1, num_memory_layers=4)),
}


def rotated(x, positions, base, factor):
    """x [heads, tokens, head_dim] rotated to `positions` [tokens], with angles in f64."""
    angles = positions.double()[:, None] / factor * base ** (-torch.arange(0, x.shape[-1], 2, dtype=torch.float64) / x.shape[-1])
    cos, sin = (torch.cat([part, part], -1).float() for part in (angles.cos(), angles.sin()))
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin


class Definition:
    def __init__(self, model, memory):
        self.model, self.config, self.m = model, model.config, memory
        self.memory_layers = range(memory["first_memory_layer"], memory["first_memory_layer"] + memory["num_memory_layers"])
        gemma = self.config.model_type == "gemma3_text"
        self.scale = (self.config.query_pre_attn_scalar if gemma else self.config.head_dim) ** -0.5

    def qkv(self, number, x):
        """Queries, keys and values [heads, tokens, head_dim] before the rotation."""
        layer = self.model.model.layers[number]
        attention, h = layer.self_attn, layer.input_layernorm(x)
        q, k, v = (project(h).view(len(x), -1, self.config.head_dim) for project in (attention.q_proj, attention.k_proj, attention.v_proj))
        return attention.q_norm(q).transpose(0, 1), attention.k_norm(k).transpose(0, 1), v.transpose(0, 1)

    def slides(self, number):
        return self.config.layer_types[number] == SLIDES

    def rotate(self, number, x, positions):
        if self.slides(number):
            return rotated(x, positions, self.config.rope_local_base_freq, 1.0)
        return rotated(x, positions, self.config.rope_theta, (self.config.rope_scaling or {}).get("factor", 1.0))

    def seen(self, number, tokens):
        """Which token sees which, [tokens, tokens]."""
        back = torch.arange(tokens)[:, None] - torch.arange(tokens)
        return (back >= 0) & (back < (self.config.sliding_window if self.slides(number) else tokens))

    def finish(self, number, x, q, k, v, mask, bias=0.0):
        layer, group = self.model.model.layers[number], q.shape[0] // k.shape[0]
        k, v = k.repeat_interleave(group, 0), v.repeat_interleave(group, 0)
        scores = (q @ k.transpose(-1, -2) * self.scale + bias).masked_fill(~mask, float("-inf"))
        attended = layer.self_attn.o_proj((scores.softmax(-1) @ v).transpose(0, 1).flatten(1))
        if self.config.model_type == "gemma3_text":
            x = x + layer.post_attention_layernorm(attended)
            return x + layer.post_feedforward_layernorm(layer.mlp(layer.pre_feedforward_layernorm(x)))
        x = x + attended
        return x + layer.mlp(layer.post_attention_layernorm(x))

    def write(self, reference):
        """The indices [heads, kept], keys after RoPE and values [heads, kept, head_dim] of a reference, layer by layer."""
        prefix = self.m["reference_prefix_ids"]
        b, kept = len(prefix), []
        x, positions = self.model.model.embed_tokens(torch.tensor(prefix + reference)), torch.arange(b + len(reference))
        for number in range(self.memory_layers.stop):
            q, k, v = self.qkv(number, x)
            # The weights of tokens: no rotation, no causal mask, no window.
            groups = q[:, b:].unflatten(0, (len(k), -1))
            weights = (groups @ k[:, None, b:].transpose(-1, -2) * self.scale).softmax(-1).sum((1, 2))
            index = weights.sort(dim=-1, descending=True, stable=True).indices[:, : self.m["tokens_per_head"]].sort(-1).values
            q, k = self.rotate(number, q, positions), self.rotate(number, k, positions)
            if number in self.memory_layers:
                take = (b + index)[..., None].expand(-1, -1, self.config.head_dim)
                kept.append((index, k.gather(1, take), v.gather(1, take)))
            x = self.finish(number, x, q, k, v, self.seen(number, len(x)))
        return kept

    def read(self, text, memories, similarity=None):
        """Logits of BOS and text, where memories[c] are those of chunk c."""
        prefix, interval = self.m["reference_prefix_ids"], self.m["retrieval_interval"]
        b, n = len(prefix), 1 + len(text)
        x = self.model.model.embed_tokens(torch.tensor(prefix + [self.config.bos_token_id] + text))
        positions = torch.cat([torch.arange(b), b + self.m["reference_length"] + torch.arange(n)])
        chunk = torch.tensor([-1] * b + [0] + [min(t // interval, len(memories) - 1) for t in range(len(text))])
        for number in range(self.config.num_hidden_layers):
            q, k, v = self.qkv(number, x)
            q, k = self.rotate(number, q, positions), self.rotate(number, k, positions)
            mask, bias = self.seen(number, b + n), torch.zeros(b + n)
            for c, chosen in enumerate(memories if number in self.memory_layers else []):
                for i, memory in enumerate(chosen):
                    _, key, value = memory[number - self.memory_layers.start]
                    k, v = torch.cat([key, k], 1), torch.cat([value, v], 1)
                    mask = torch.cat([(chunk == c)[:, None].expand(-1, key.shape[1]), mask], 1)
                    lag = self.m["similarity_bias"] * (similarity[c][i] - max(similarity[c])) if similarity else 0.0
                    bias = torch.cat([torch.full((key.shape[1],), lag), bias])
            x = self.finish(number, x, q, k, v, mask, bias)
        return self.model.lm_head(self.model.model.norm(x[b:]))

    def scores(self, text, memories, similarity):
        """The share of attention that the tokens of a question give to each memory in the first two thirds of the layers (remark 2 of
        the paper; docs/retrieval.md), where 20 times what a memory is less similar than the best is subtracted."""
        prefix = self.m["reference_prefix_ids"]
        b, n = len(prefix), len(text)
        x = self.model.model.embed_tokens(torch.tensor(prefix + [self.config.bos_token_id] + text))
        positions = torch.cat([torch.arange(b), b + self.m["reference_length"] + torch.arange(1 + n)])
        sums, layers = torch.zeros(len(memories)), range(self.memory_layers.start, min(self.memory_layers.stop, 2 * self.config.num_hidden_layers // 3))
        for number in range(layers.stop):
            q, k, v = self.qkv(number, x)
            q, k = self.rotate(number, q, positions), self.rotate(number, k, positions)
            if number in layers:
                keys = [memory[number - self.memory_layers.start][1] for memory in memories]
                widths = [key.shape[1] for key in keys]
                bias = torch.cat([torch.full((width,), 20 * (s - max(similarity))) for width, s in zip(widths, similarity)] + [torch.zeros(len(x))])
                mask = torch.cat([torch.ones(len(x), sum(widths), dtype=torch.bool), self.seen(number, len(x))], 1)
                keys = torch.cat(keys + [k], 1).repeat_interleave(len(q) // len(k), 0)
                shares = (q @ keys.transpose(-1, -2) * self.scale + bias).masked_fill(~mask, float("-inf")).softmax(-1)
                sums += torch.stack([part.sum(-1).mean() for part in shares[:, -n:, : sum(widths)].split(widths, -1)]) / len(layers)
            x = self.finish(number, x, q, k, v, self.seen(number, len(x)))
        return sums

    def plain(self, ids):
        """Logits without prefix and memories."""
        x, positions = self.model.model.embed_tokens(torch.tensor(ids)), torch.arange(len(ids))
        for number in range(self.config.num_hidden_layers):
            q, k, v = self.qkv(number, x)
            x = self.finish(number, x, self.rotate(number, q, positions), self.rotate(number, k, positions), v, self.seen(number, len(ids)))
        return self.model.lm_head(self.model.model.norm(x))


@torch.no_grad()
def make(name, seed):
    cls, config, layers = MODELS[name]
    config._attn_implementation = "eager"
    memory, random = MEMORY | layers, torch.Generator().manual_seed(seed)
    model = cls(config).float().eval()
    offset = float(config.model_type == "gemma3_text")
    for key, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=random)
        weight.data = (1 - offset + 0.4 * noise if key.endswith("norm.weight") else 0.25 * noise).bfloat16().float()
    copy.deepcopy(model).bfloat16().save_pretrained(FOLDER / name / "model")
    (FOLDER / name / "model/generation_config.json").unlink(missing_ok=True)
    path = FOLDER / name / "model/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(memory=memory), indent=1) + "\n")

    ids = lambda count: torch.randint(4, config.vocab_size, (count,), generator=random).tolist()
    references, text = [ids(count) for count in (32, 31, 16, 5, 4, 3, 1)], ids(40)
    retrieved, similarity = [[0, 1, 2, 3, 4], [5, 6], [2]], [[0.71, 0.64, 0.6, 0.55, 0.3], [0.5, 0.45], [0.9]]
    definition = Definition(model, memory)
    expected = {"plain.logits": model(torch.tensor([[1] + text])).logits[0]}
    off = (expected["plain.logits"] - definition.plain([1] + text)).abs().max().item()
    assert off < 1e-4, f"{name}: the definition is {off} from transformers"
    memories = [definition.write(reference) for reference in references]
    for number, kept in enumerate(memories):
        for layer, parts in enumerate(kept):
            expected |= {f"write.{number}.{layer}.{part}": x.contiguous() for part, x in zip(("index", "key", "value"), parts)}
    chosen = [[memories[reference] for reference in chunk] for chunk in retrieved]
    expected["read.logits"] = definition.read(text, chosen)
    expected["read.logits_biased"] = definition.read(text, chosen, similarity)
    expected["scores"] = definition.scores(text, memories, [0.6 - 0.05 * number for number in range(len(memories))])
    expected["read.logits_no_memory"] = definition.read(text, [[], [], []])
    save_file({name: x.contiguous() for name, x in expected.items()}, FOLDER / name / "expected.safetensors")
    (FOLDER / name / "cases.json").write_text(json.dumps(dict(references=references, text=text, retrieved=retrieved, similarity=similarity)))
    moved = lambda other: (expected["read.logits"] - expected[other]).abs().max().item()
    print(f"{name}: {off:.1e} from transformers; logits up to {expected['plain.logits'].abs().max():.1f}, moved by memories",
          f"{moved('read.logits_no_memory'):.2f}, by similarities {moved('read.logits_biased'):.2f}")


for seed, name in enumerate(MODELS, 20261128):
    make(name, seed)
