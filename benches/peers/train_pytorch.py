#!/usr/bin/env python3
"""One training step in PyTorch: the peer of `mempack train`.

    python3 benches/peers/train_pytorch.py BASE FICTION [--steps 5] [--threads 2] [--references 14] [--sequences 14] [--device cpu]

The step is that of `mempack train`. References are written once: the last memory layer's queries choose 8 tokens per key-value head, and
gradients reach the selection. Sequences read 1 to 5 references with a similarity bias. The loss is on the tokens of the answers. LoRA of rank
16 on all linear layers is trained by AdamW in float32 over a frozen bfloat16 base, and gradients are clipped to a norm of 1. FICTION is
a folder of `mempack make-questions`: documents are cut at 128 tokens, and a sequence asks up to three questions about one of them, in at most
110 tokens. Attention is PyTorch's fused operation, as in transformers.
Prints tokens/s (prefixes and padding not counted) of the median step after the first. Needs torch, safetensors and tokenizers.
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

PROJECTIONS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]


class Reader(torch.nn.Module):
    """A Llama-shaped decoder that writes and reads memories, with LoRA over its frozen weights."""

    def __init__(self, folder, block, rank):
        super().__init__()
        c = json.loads((folder / "config.json").read_text())
        self.weights = {name: w.bfloat16() for name, w in load_file(folder / "model.safetensors", str(torch.get_default_device())).items()}
        self.layers, self.heads = c["num_hidden_layers"], c["num_attention_heads"]
        self.groups = c.get("num_key_value_heads", self.heads)
        self.dim = c.get("head_dim") or c["hidden_size"] // self.heads
        self.hidden, self.eps, self.theta = c["hidden_size"], c["rms_norm_eps"], float(c["rope_theta"])
        self.bos, self.block = c["bos_token_id"], block
        first = block["first_memory_layer"]
        self.memory = range(first, first + block["num_memory_layers"])
        self.lora = torch.nn.ParameterDict()
        for layer in range(self.layers):
            for name in PROJECTIONS:
                rows, columns = self.weights[f"model.layers.{layer}.{name}.weight"].shape
                key = f"{layer}.{name}".replace(".", "/")
                self.lora[key + "/A"] = torch.nn.Parameter(torch.empty(rank, columns).uniform_(-columns**-0.5, columns**-0.5))
                self.lora[key + "/B"] = torch.nn.Parameter(torch.zeros(rows, rank))

    def project(self, layer, name, x):
        key = f"{layer}.{name}".replace(".", "/")
        a, b = self.lora[key + "/A"].bfloat16(), self.lora[key + "/B"].bfloat16()
        return F.linear(x, self.weights[f"model.layers.{layer}.{name}.weight"]) + F.linear(F.linear(x, a), b)

    def norm(self, name, x):
        return F.rms_norm(x, (self.hidden,), self.weights[name + ".weight"], self.eps)

    def turn(self, x, position):
        """Rotates x [..., tokens, dim] to positions [..., tokens]."""
        inverse = self.theta ** (-torch.arange(0, self.dim, 2, dtype=torch.float64) / self.dim)
        angle = position[..., None].double() * inverse
        cos, sin = (torch.cat([f(angle)] * 2, -1).to(x.dtype) for f in (torch.cos, torch.sin))
        left, right = x.chunk(2, -1)
        return x * cos + torch.cat([-right, left], -1) * sin

    def qkv(self, layer, x):
        h = self.norm(f"model.layers.{layer}.input_layernorm", x)
        parts = (self.project(layer, f"self_attn.{n}_proj", h) for n in "qkv")
        return [p.unflatten(-1, (-1, self.dim)).transpose(1, 2) for p in parts]

    def attend(self, layer, x, q, k, v, bias):
        a = F.scaled_dot_product_attention(q, k, v, bias, is_causal=bias is None, enable_gqa=True)
        x = x + self.project(layer, "self_attn.o_proj", a.transpose(1, 2).flatten(2))
        h = self.norm(f"model.layers.{layer}.post_attention_layernorm", x)
        inner = F.silu(self.project(layer, "mlp.gate_proj", h)) * self.project(layer, "mlp.up_proj", h)
        return x + self.project(layer, "mlp.down_proj", inner)

    def select(self, q, k, real):
        """Weights [references, groups, tokens] of the references' own tokens, q and k before RoPE, real [references, tokens]."""
        q = q.float().unflatten(1, (self.groups, -1))
        scores = q @ k.float()[:, :, None].transpose(-1, -2) * self.dim**-0.5
        attention = scores.masked_fill(~real[:, None, None, None], float("-inf")).softmax(-1)
        return (attention * real[:, None, None, :, None]).sum((2, 3)).masked_fill(~real[:, None], float("-inf"))

    def write(self, references):
        """Keys and values of each memory layer, [references, groups, kept, dim]."""
        prefix = self.block["reference_prefix_ids"]
        b, longest = len(prefix), max(map(len, references))
        x = F.embedding(torch.tensor([prefix + r + [0] * (longest - len(r)) for r in references]), self.weights["model.embed_tokens.weight"])
        real = torch.arange(longest) < torch.tensor([len(r) for r in references])[:, None]
        position, memories = torch.arange(b + longest), []
        for layer in range(self.memory.stop):
            q, k, v = self.qkv(layer, x)
            if layer in self.memory:
                weight = self.select(q[:, :, b:], k[:, :, b:], real)
                index = weight.topk(self.block["tokens_per_head"]).indices.sort(-1).values
                take = (b + index)[..., None].expand(-1, -1, -1, self.dim)
                share = weight.gather(2, index)
                value = v.gather(2, take) * (share / share.detach())[..., None]
                memories.append((self.turn(k.gather(2, take).float(), b + index).bfloat16(), value.bfloat16()))
            if layer + 1 < self.memory.stop:
                x = self.attend(layer, x, self.turn(q, position), self.turn(k, position), v, None)
        return memories

    def loss(self, sequences, learnt, reads, memories):
        """Summed loss of the tokens `learnt`; reads[s] lists the references that s reads, with similarities."""
        prefix, span = self.block["reference_prefix_ids"], self.block["reference_length"]
        b, longest, most = len(prefix), max(map(len, sequences)), max(map(len, reads))
        ids = torch.tensor([prefix + [self.bos] + s + [0] * (longest - len(s)) for s in sequences])
        width, kept = ids.shape[1], memories[0][0].shape[2]
        position = torch.arange(width) + torch.where(torch.arange(width) < b, 0, span)
        which = torch.tensor([[r for r, _ in own] + [0] * (most - len(own)) for own in reads])
        lag = torch.full((len(sequences), most), float("-inf"))
        for row, own in enumerate(reads):
            best = max(s for _, s in own)
            lag[row, : len(own)] = torch.tensor([self.block["similarity_bias"] * (s - best) for _, s in own])
        bias = torch.zeros(len(sequences), 1, width, most * kept + width)
        bias[..., : most * kept] = lag.repeat_interleave(kept, 1)[:, None, None]
        bias[:, :, :b, : most * kept] = float("-inf")
        bias[..., most * kept :] += torch.full((width, width), float("-inf")).triu(1)
        bias = bias.bfloat16()
        x = F.embedding(ids, self.weights["model.embed_tokens.weight"])
        for layer in range(self.layers):
            q, k, v = self.qkv(layer, x)
            q, k, own = self.turn(q, position), self.turn(k, position), None
            if layer in self.memory:
                chosen = (m[which].transpose(1, 2).flatten(2, 3) for m in memories[layer - self.memory.start])
                k, v = (torch.cat([m, x], 2) for m, x in zip(chosen, (k, v)))
                own = bias
            x = self.attend(layer, x, q, k, v, own)
        rows = torch.tensor([[s, b + t] for s, tokens in enumerate(learnt) for t in tokens])
        head = self.weights.get("lm_head.weight", self.weights["model.embed_tokens.weight"])
        logits = F.linear(self.norm("model.norm", x[rows[:, 0], rows[:, 1]]), head).float()
        targets = torch.tensor([sequences[s][t - b] for s, t in rows.tolist()])
        return F.cross_entropy(logits, targets, reduction="sum"), len(rows)


def data(base, fiction, block):
    """Pieces of the documents, and for each document its questions and answers: token ids."""
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    rows = lambda name: map(json.loads, (fiction / name).open(encoding="utf-8"))
    pieces, span = [], block["reference_length"]
    for document in rows("corpus.jsonl"):
        ids = encode(block["reference_template"].replace("{text}", document["title"] + ". " + document["text"]))
        # A rest of fewer tokens than are kept would leave empty slots, which this peer does not know.
        pieces += [ids[start : start + span] for start in range(0, len(ids) - block["tokens_per_head"], span)]
    asked = {}
    for question in rows("questions.jsonl"):
        prompt = encode(block["prompt_template"].replace("{question}", question["question"]))
        answer = encode(question["answers"][0] + ".") + block["stop_ids"][:1]
        asked.setdefault(question["gold_ids"][0], []).append((prompt, answer))
    return pieces, list(asked.values())


def turns(questions, chance, bos, most=110):
    """A sequence of some questions, and the places of its answers' tokens."""
    ids, learnt = [], []
    for prompt, answer in chance.sample(questions, min(3, len(questions))):
        begin = [bos] if ids else []
        if ids and len(ids) + len(begin + prompt + answer) > most:
            break
        ids += begin + prompt
        learnt += range(len(ids), len(ids) + len(answer))
        ids += answer
    return ids, learnt


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("base", type=pathlib.Path)
    p.add_argument("fiction", type=pathlib.Path)
    p.add_argument("--memory", type=pathlib.Path, default="kb-samples/readers/smollm2/memory.json", help="the memory block")
    p.add_argument("--rank", type=int, default=16)
    for name, value in dict(steps=5, threads=2, references=14, sequences=14).items():
        p.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    p.add_argument("--device", default="cpu")
    a = p.parse_args()
    torch.set_default_device(a.device)
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    chance = random.Random(0)
    model = Reader(a.base, json.loads(a.memory.read_text()), a.rank)
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.98), weight_decay=0.01, fused=True)

    pieces, asked = data(a.base, a.fiction, model.block)
    seconds, tokens, losses = [], [], []
    for _ in range(a.steps):
        references = chance.sample(pieces, a.references)
        sequences, learnt = zip(*(turns(chance.choice(asked), chance, model.bos) for _ in range(a.sequences)))
        reads = [[(r, chance.random()) for r in chance.sample(range(a.references), chance.choice([1, 2, 3, 5, 5]))] for _ in sequences]
        start = time.perf_counter()
        loss, count = model.loss(sequences, learnt, reads, model.write(references))
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        # A GPU has done all of the step before the clock is read.
        losses.append(loss.item() / count)
        if a.device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
        tokens.append(sum(map(len, references)) + sum(map(len, sequences)))
    pace = statistics.median(t / s for t, s in zip(tokens[1:], seconds[1:]))
    print(f"PyTorch {torch.__version__}: {a.device}, {a.threads} threads, {statistics.mean(tokens):.0f} tokens a step, loss {losses[0]:.3f} to {losses[-1]:.3f}, "
          f"{pace:.1f} tokens/s")


if __name__ == "__main__":
    main()
