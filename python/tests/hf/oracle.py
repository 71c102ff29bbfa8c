"""Reading as the definition says, slowly: head by head, without padding, masks or caches. The memories may be uneven."""

from typing import Any

import torch
from torch import Tensor

from mempack.hf.architecture import architecture_of, rotated
from mempack.hf.config import MemoryConfig


class Oracle:
    """Reads with the modules of a model of transformers, which must be plain."""

    def __init__(self, model: Any, config: MemoryConfig, memories: Any) -> None:
        self.model, self.config, self.memories = model, config, memories
        self.architecture = architecture_of(model)
        self.counts = config.counts(self.architecture.heads)
        self.shares: dict[int, Tensor] = {}
        """For each text token, the BOS being -1, the share of attention that its memories got: the mean over the query heads that read any."""

    def read(self, text: list[int], lists: list[list[int]], similarities: list[list[float]]) -> Tensor:
        """Logits of the BOS and a text whose chunk `c` reads the references `lists[c]`: `[1 + len(text), vocabulary]`."""
        own, config, decoder = self.architecture, self.config, self.model.model
        prefix = list(config.reference_prefix_ids)
        b, ids = len(prefix), [*prefix, own.bos, *text]
        tokens = len(ids)
        places = [*range(b), *range(b + config.reference_length, config.reference_length + tokens)]
        chunk = [-1] * b + [0] + [min(t // config.retrieval_interval, len(lists) - 1) for t in range(len(text))]
        x = decoder.embed_tokens(torch.tensor(ids))
        reading = own.group * sum(count > 0 for row in self.counts for count in row)
        self.shares = {row - b - 1: torch.zeros(len(lists[chunk[row]])) for row in range(b, tokens)}
        for number, layer in enumerate(decoder.layers):
            q, k, v = self._heads(layer.self_attn, layer.input_layernorm(x))
            cos, sin = own.rotation(own.kinds[number], range(max(places) + 1))
            q, k = rotated(q, cos[places], sin[places]), rotated(k, cos[places], sin[places])
            window = own.windows[number] or tokens
            rows = []
            for row in range(tokens):
                first = max(row + 1 - window, 0)
                heads = []
                for head in range(own.query_heads):
                    group = head // own.group
                    keys, values, bias = self._memory(number, group, chunk[row], lists, similarities, cos, sin, b)
                    keys, values = torch.cat([keys, k[group, first : row + 1]]), torch.cat([values, v[group, first : row + 1]])
                    scores = keys @ q[head, row] * layer.self_attn.scaling
                    scores[: len(bias)] += bias
                    weights = scores.softmax(0)
                    heads.append(weights @ values)
                    if len(bias):
                        held = [int(self.memories.counts[reference, number - config.first_memory_layer, group]) for reference in lists[chunk[row]]]
                        self.shares[row - b - 1] += torch.stack([part.sum() for part in weights[: len(bias)].split(held)]) / reading
                rows.append(torch.cat(heads))
            x = self._finish(layer, x, torch.stack(rows))
        logits: Tensor = self.model.lm_head(decoder.norm(x[b:]))
        return logits

    def _heads(self, attention: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values before the rotation, `[heads, tokens, head_dim]` each."""
        q, k, v = (project(x).view(len(x), -1, self.architecture.head_dim) for project in (attention.q_proj, attention.k_proj, attention.v_proj))
        if hasattr(attention, "q_norm"):
            q, k = attention.q_norm(q), attention.k_norm(k)
        return q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)

    def _memory(
        self, number: int, head: int, chunk: int, lists: list[list[int]], similarities: list[list[float]], cos: Tensor, sin: Tensor, prefix: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Keys, values and bias of what a chunk reads at a head of a layer."""
        layer = number - self.config.first_memory_layer
        none = torch.zeros(0, self.architecture.head_dim)
        keys, values, bias = [none], [none], [torch.zeros(0)]
        if chunk >= 0 and 0 <= layer < self.config.num_memory_layers:
            best = max(similarities[chunk], default=0.0)
            for reference, similarity in zip(lists[chunk], similarities[chunk], strict=True):
                held = int(self.memories.counts[reference, layer, head])
                place = prefix + torch.from_numpy(self.memories.positions[reference, layer, head, :held]).long()
                keys.append(rotated(torch.from_numpy(self.memories.keys[reference, layer, head, :held]), cos[place], sin[place]))
                values.append(torch.from_numpy(self.memories.values[reference, layer, head, :held]))
                bias.append(torch.full((held,), self.config.similarity_bias * (similarity - best)))
        return torch.cat(keys), torch.cat(values), torch.cat(bias)

    def _finish(self, layer: Any, x: Tensor, attended: Tensor) -> Tensor:
        out = layer.self_attn.o_proj(attended)
        if hasattr(layer, "pre_feedforward_layernorm"):
            x = x + layer.post_attention_layernorm(out)
            return x + layer.post_feedforward_layernorm(layer.mlp(layer.pre_feedforward_layernorm(x)))
        x = x + out
        return x + layer.mlp(layer.post_attention_layernorm(x))
