"""Small random models with golden values, read through packs that stand for their references.

The fixtures have token ids and no tokenizer, so that one is made whose words are the ids, and a search that knows which ids query for which chunk.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from mempack.hf import encode
from mempack.hf.architecture import architecture_of
from mempack.hf.config import parse, read_block
from mempack.hf.reader import Reader
from mempack.hf.retrieval import SearchOptions

FOLDER = Path(__file__).parents[3] / "tests" / "fixtures"
NAMES = ["llama_gqa", "llama_mha", "qwen2_bias", "qwen3_norms", "gemma3_windows"]


def followed(output: Any) -> dict[str, Any]:
    """The argument with which a pass follows the one that gave `output`; its name depends on the version of transformers."""
    name = "cache" if "cache" in output else "past_key_values"
    return {name: output[name]}


def word_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer whose words are its ids."""
    backend = Tokenizer(models.WordLevel({str(n): n for n in range(vocabulary)}, unk_token="0"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="0", padding_side="left")


@dataclass
class Fixture:
    """A model of the fixtures, and what was computed with it."""

    name: str

    @property
    def folder(self) -> Path:
        return FOLDER / self.name / "model"

    @cached_property
    def cases(self) -> dict[str, Any]:
        cases: dict[str, Any] = json.loads((FOLDER / self.name / "cases.json").read_text())
        return cases

    @cached_property
    def expected(self) -> dict[str, torch.Tensor]:
        return load_file(FOLDER / self.name / "expected.safetensors")

    def model(self, implementation: str = "sdpa") -> Any:
        return AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32, attn_implementation=implementation).eval()

    def block(self) -> dict[str, Any]:
        return read_block(self.folder)[0]


class StandIn:
    """A pack, mounts and a search in one: `windows` says for the ids of a query, as text, which list of the fixture it finds."""

    id, name = "stand-in", "stand-in"

    def __init__(self, model: Any, tokenizer: Any, fixture: Fixture, block: dict[str, Any], biased: bool) -> None:
        self.memories = encode(model, tokenizer, fixture.cases["references"], block)
        self.fixture, self.biased = fixture, biased
        self.windows: dict[str, int] = {}
        self.packs = {"stand-in": self}
        self.embedder = SimpleNamespace(dim=1, query_prompt="", passage_prompt="", name="none")
        self.asked: list[str] = []

    def memory(self, references: list[int], dtype: str) -> Any:
        keys, values, positions, counts = self.memories
        return SimpleNamespace(keys=keys[references], values=values[references], positions=positions[references], counts=counts[references])

    def search_text(self, texts: list[str], *_: Any, **__: Any) -> list[list[Any]]:
        self.asked += texts
        found = []
        for text in texts:
            number = self.windows[text]
            pairs = zip(self.fixture.cases["retrieved"][number], self.fixture.cases["similarity"][number], strict=True)
            found.append([SimpleNamespace(pack=self, name="stand-in", reference=r, score=s if self.biased else 0.5) for r, s in pairs])
        return found

    def expect(self, ids: list[int], prompt: int, interval: int) -> None:
        """Says which windows of a text with a prompt of so many tokens query for which chunk, by the words of the definition."""
        self.windows[""] = 0
        for chunk in range(-(-len(ids) // interval)):
            start, end = chunk * interval, (chunk + 1) * interval
            if start < prompt:
                end = min(end, prompt)
                window = ids[max(end - interval, 0) : end]
            else:
                window = ids[start - interval : start]
            self.windows[" ".join(map(str, window))] = chunk


def reader_of(fixture: Fixture, model: Any, *, biased: bool = True, watch: bool = False, block: dict[str, Any] | None = None) -> tuple[Reader, StandIn]:
    """A reader of the fixture's memories, which tests put into the model with `installed`."""
    architecture = architecture_of(model)
    block = block or fixture.block()
    config = parse(block, architecture.defaults())
    tokenizer = word_tokenizer(architecture.vocabulary)
    pack: Any = StandIn(model, tokenizer, fixture, block, biased)

    def embed(texts: list[str]) -> Any:
        return np.ones((len(texts), 1), dtype=np.float32)

    reader = Reader(architecture, tokenizer, pack, embed, config, SearchOptions(config.memories_per_chunk), 1 << 20, watch)
    return reader, pack
