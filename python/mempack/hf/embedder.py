"""Embedders: from texts to unit vectors, whose inner product is the texts' similarity.

A folder in the layout of sentence-transformers is computed with transformers; that library itself is not needed.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

EmbedTexts = Callable[[list[str]], Any]
"""From texts to an array or a tensor `[texts, dim]`."""

_BATCH_TOKENS = 16384


class EmbedderError(ValueError):
    """A folder that holds no embedder of a kind that is computed here, or vectors that cannot be used."""


class FolderEmbedder:
    """A sentence encoder in a folder, with mean or CLS pooling and vectors of length 1.

    Max tokens are those of sentence_bert_config.json, else those of tokenizer.json, else the number of positions.
    """

    def __init__(self, folder: str | os.PathLike[str], device: torch.device | str = "cpu") -> None:
        from transformers import AutoModel

        self.folder = Path(folder)
        if not (self.folder / "config.json").is_file() or not (self.folder / "tokenizer.json").is_file():
            raise EmbedderError(f"{self.folder} is no folder of an embedder: it needs config.json, tokenizer.json and model.safetensors")
        _check_modules(self.folder)
        self._model: Any = AutoModel.from_pretrained(str(self.folder), dtype=torch.float32, local_files_only=True)
        self._model.eval().to(device)
        config = self._model.config
        self._device = torch.device(device)
        self._cls = _pools_first_token(self.folder)
        tokenizer: Any = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        own = tokenizer.truncation
        # RoBERTa counts positions from behind the id of its padding.
        positions = int(config.max_position_embeddings) - (int(config.pad_token_id) + 1 if "roberta" in config.model_type else 0)
        asked = _max_tokens(self.folder) or (int(own["max_length"]) if own else positions)
        self.max_tokens = min(max(asked, 2), positions)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_tokens)
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self.dim = int(config.hidden_size)

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        """Vectors `[texts, dim]` of length 1. Prompts must be in the texts already."""
        ids = [self._tokenizer.encode(text).ids for text in texts]
        vectors = np.zeros((len(ids), self.dim), dtype=np.float32)
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        while order:
            # Padded to the longest, which comes last.
            count = 1
            while count < len(order) and (count + 1) * len(ids[order[count]]) <= _BATCH_TOKENS:
                count += 1
            rows, order = order[:count], order[count:]
            vectors[rows] = self._batch([ids[row] for row in rows])
        return vectors

    @torch.inference_mode()
    def _batch(self, ids: list[list[int]]) -> NDArray[np.float32]:
        width = max(len(row) for row in ids)
        pad = self._model.config.pad_token_id or 0
        tokens = torch.tensor([row + [pad] * (width - len(row)) for row in ids], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids], device=self._device)
        states = self._model(input_ids=tokens, attention_mask=mask).last_hidden_state.float()
        pooled = states[:, 0] if self._cls else (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        unit = pooled / pooled.norm(dim=1, keepdim=True).clamp_min(1e-12)
        array: NDArray[np.float32] = unit.cpu().numpy()
        return array


def load_embedder(embedder: str | os.PathLike[str] | EmbedTexts, device: torch.device | str = "cpu") -> EmbedTexts:
    """The embedder in a folder, or a function of the caller as it is."""
    if isinstance(embedder, str | os.PathLike):
        return FolderEmbedder(embedder, device)
    if callable(embedder):
        return embedder
    raise TypeError(f"embedder is the path of a folder or a function from a list of texts to an array, not {type(embedder).__name__}")


def vectors_of(embed: EmbedTexts, texts: Sequence[str], dim: int) -> NDArray[np.float32]:
    """Unit vectors `[texts, dim]` in float32 of what an embedder returns.

    Raises:
        EmbedderError: another shape, or numbers that are not finite.
    """
    found = embed(list(texts))
    if isinstance(found, torch.Tensor):
        found = found.detach().float().cpu().numpy()
    array = np.ascontiguousarray(found, dtype=np.float32)
    if array.shape != (len(texts), dim):
        shape = list(array.shape)
        raise EmbedderError(
            f"the embedder returned an array of shape {shape} for {len(texts)} texts; expected [{len(texts)}, {dim}], as the pack has {dim} dimensions"
        )
    if not np.isfinite(array).all():
        raise EmbedderError("the embedder returned numbers that are not finite")
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    if (lengths < 1e-12).any():
        raise EmbedderError(f"the embedder returned a vector of zeros for {texts[int(lengths.argmin())]!r}")
    unit: NDArray[np.float32] = (array / lengths).astype(np.float32)
    return unit


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    whole = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(whole, dict):
        raise EmbedderError(f"{path} holds no object")
    return whole


def _max_tokens(folder: Path) -> int | None:
    whole = _object(folder / "sentence_bert_config.json")
    if whole.get("do_lower_case"):
        raise EmbedderError(f"{folder / 'sentence_bert_config.json'} asks for lower case, which only a tokenizer.json can do here")
    found = whole.get("max_seq_length")
    return int(found) if found else None


def _pools_first_token(folder: Path) -> bool:
    path = folder / "1_Pooling" / "config.json"
    whole = _object(path)
    named = whole.get("pooling_mode")
    modes = [named] if isinstance(named, str) else [key.removeprefix("pooling_mode_") for key, on in whole.items() if key.startswith("pooling_mode_") and on]
    mode = modes[0] if len(modes) == 1 else ("mean" if not path.exists() else ", ".join(modes) or "none")
    if mode in ("mean", "mean_tokens"):
        return False
    if mode in ("cls", "cls_token"):
        return True
    raise EmbedderError(f"{path}: expected mean or CLS pooling, found {mode}; pass a function that embeds in place of the folder")


def _check_modules(folder: Path) -> None:
    """Refuses a folder with steps beyond encoder, pooling and normalization."""
    path = folder / "modules.json"
    if not path.is_file():
        return
    for module in json.loads(path.read_text(encoding="utf-8")):
        kind = str(module.get("type", "")).rsplit(".", 1)[-1]
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise EmbedderError(f"{path}: expected Transformer, Pooling and Normalize, found {kind}; pass a function that embeds in place of the folder")
