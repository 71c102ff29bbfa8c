"""The `memory` block of a model: which layers have memories, how memories are written, and how they are read."""

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "memory.json"
"""The file that holds the block beside an adapter or a model."""

MAX_REFERENCE_LENGTH = 255
_COUNT_CAP = 4096
_PREFIX_CAP = 1024

TokensPerHead = int | tuple[tuple[int, ...], ...]


class ConfigError(ValueError):
    """A field of a `memory` block that is missing, has the wrong type or a value out of range.

    Fields: `field`, `expected`, `found`, and `path` of the file, if it comes from one.
    """

    def __init__(self, field: str, expected: str, found: str, path: str | None = None) -> None:
        where = f"{path}: " if path else ""
        super().__init__(f"{where}`{field}` of the memory block: expected {expected}, found {found}; correct the block")
        self.field, self.expected, self.found, self.path = field, expected, found, path


@dataclass(frozen=True)
class MemoryConfig:
    """The settings with which a checkpoint reads memories. The defaults are those of Memory3 (arXiv 2407.01178, section 3).

    Lengths are in tokens, similarities are cosines.
    """

    first_memory_layer: int
    """The first memory layer."""
    num_memory_layers: int
    """Memory layers, which are consecutive."""
    tokens_per_head: TokensPerHead
    """Tokens of a reference that each key-value head keeps: a number, or a row for each memory layer with a number for each head."""
    reference_length: int
    """Max tokens of a reference, and the length of the interval of positions that memories share."""
    memories_per_chunk: int
    """Max memories that a chunk reads."""
    retrieval_interval: int
    """Tokens of a chunk."""
    reference_prefix_ids: tuple[int, ...]
    """Ids before a reference when it is written, and before the context when memories are read."""
    reference_template: str = "{text}"
    prompt_template: str = "{question}"
    """What stands after the BOS in a prompt, with `{question}` once in it."""
    context_template: str | None = None
    system_template: str | None = None
    stop_ids: tuple[int, ...] = ()
    """Ids that end an answer."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer and are part of it."""
    similarity_bias: float = 0.0
    """Factor of a memory's similarity in the scores of attention. 0 ignores similarities."""
    similarity_margin: float | None = None
    """How far below the best similarity a memory may be and still be read. None reads all that were found."""

    def counts(self, heads: int) -> list[list[int]]:
        """Tokens that each head keeps, a row for each memory layer with a number for each of the `heads` key-value heads."""
        if isinstance(self.tokens_per_head, int):
            return [[self.tokens_per_head] * heads for _ in range(self.num_memory_layers)]
        return [list(row) for row in self.tokens_per_head]

    def within_margin(self, similarities: list[float]) -> int:
        """How many memories are read of those found, whose similarities are given, best first."""
        if not similarities:
            return 0
        if self.similarity_margin is None:
            return len(similarities)
        kept = 1
        while kept < len(similarities) and similarities[0] - similarities[kept] <= self.similarity_margin:
            kept += 1
        return kept


@dataclass(frozen=True)
class Defaults:
    """What a block may leave out, from the architecture of the model it belongs to."""

    layers: int
    heads: int
    vocabulary: int
    bos: int
    eos: tuple[int, ...]


_IGNORED = frozenset({"_comment", "answer_threshold", "answer_measure", "no_answer", "reads_only", "writer"})
"""Fields that change nothing in attention: what is withheld from answers, and what a reading adapter says of its writer."""


def read_block(source: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The object of a `memory` block, and the path it comes from.

    `source` is the path of a memory.json or of a config.json with a `memory` block, a folder that has one of them, or the object itself.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: the file holds no block.
    """
    if isinstance(source, Mapping):
        return dict(source), None
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"memory_config is a path or a dict, not {type(source).__name__}")
    path = Path(source)
    if path.is_dir():
        found = block_of_folder(path)
        if found is None:
            raise FileNotFoundError(f"{path} has neither a {FILE} nor a config.json with a `memory` block; name the reader's folder")
        return found
    whole = _read_object(path)
    if path.name == "config.json":
        return _memory_of(whole, path), str(path)
    return whole, str(path)


def block_of_folder(folder: Path) -> tuple[dict[str, Any], str] | None:
    """The block of a model's or an adapter's folder, and its path; None if the folder has none."""
    own, config = folder / FILE, folder / "config.json"
    if own.is_file():
        return _read_object(own), str(own)
    if config.is_file():
        whole = _read_object(config)
        if isinstance(whole.get("memory"), dict):
            return _memory_of(whole, config), str(config)
    return None


def block_of_folders(folders: Iterable[Path]) -> tuple[dict[str, Any], str | None] | None:
    """The block of the first folder that has one."""
    return next((found for folder in folders if (found := block_of_folder(folder)) is not None), None)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError("memory", "a JSON object", str(error), str(path)) from None
    if not isinstance(whole, dict):
        raise ConfigError("memory", "a JSON object", type(whole).__name__, str(path))
    return whole


def _memory_of(whole: dict[str, Any], path: Path) -> dict[str, Any]:
    block = whole.get("memory")
    if not isinstance(block, dict):
        raise ConfigError("memory", "an object", "nothing" if block is None else type(block).__name__, str(path))
    return block


def parse(block: Mapping[str, Any], defaults: Defaults, path: str | None = None) -> MemoryConfig:
    """Checks a `memory` block and fills in what it leaves out.

    Raises:
        ConfigError: an unknown field, a value of the wrong type, or a value that does not fit the model.
    """
    fields = _Fields(block, path)
    known = {field.name for field in dataclasses.fields(MemoryConfig)} | _IGNORED
    for name in block:
        if name not in known:
            raise fields.wrong(name, f"one of {', '.join(sorted(known))}", "an unknown field")
    config = MemoryConfig(
        first_memory_layer=fields.count("first_memory_layer", 0),
        num_memory_layers=fields.count("num_memory_layers", defaults.layers // 2),
        tokens_per_head=fields.tokens_per_head(8),
        reference_length=fields.count("reference_length", 128),
        memories_per_chunk=fields.count("memories_per_chunk", 5),
        retrieval_interval=fields.count("retrieval_interval", 64),
        reference_prefix_ids=fields.ids("reference_prefix_ids", (defaults.bos,)),
        reference_template=fields.text("reference_template", "{text}"),
        prompt_template=fields.text("prompt_template", "{question}"),
        context_template=fields.text_or_none("context_template"),
        system_template=fields.text_or_none("system_template"),
        stop_ids=fields.ids("stop_ids", defaults.eos),
        stop=fields.texts("stop"),
        similarity_bias=fields.number("similarity_bias", 0.0),
        similarity_margin=fields.number_or_none("similarity_margin"),
    )
    _check(config, defaults, fields)
    return config


class _Fields:
    """Reads typed fields of a block. A field that is null counts as absent."""

    def __init__(self, block: Mapping[str, Any], path: str | None) -> None:
        self.block, self.path = block, path

    def wrong(self, field: str, expected: str, found: object) -> ConfigError:
        return ConfigError(field, expected, found if isinstance(found, str) else json.dumps(found, default=str), self.path)

    def count(self, name: str, default: int) -> int:
        value = self.block.get(name)
        if value is None:
            return default
        if not _is_count(value):
            raise self.wrong(name, "a count", value)
        return int(value)

    def number_or_none(self, name: str) -> float | None:
        value = self.block.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, "a number", value)
        return float(value)

    def number(self, name: str, default: float) -> float:
        value = self.number_or_none(name)
        return default if value is None else value

    def text_or_none(self, name: str) -> str | None:
        value = self.block.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self.wrong(name, "a text", value)

    def text(self, name: str, default: str) -> str:
        value = self.text_or_none(name)
        return default if value is None else value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.block.get(name)
        if value is None:
            return ()
        if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
            raise self.wrong(name, "a list of texts", value)
        return tuple(value)

    def ids(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        value = self.block.get(name)
        if value is None:
            return default
        listed = [value] if _is_count(value) else value
        if not isinstance(listed, list | tuple) or not all(_is_count(number) for number in listed):
            raise self.wrong(name, "a list of token ids", value)
        return tuple(listed)

    def tokens_per_head(self, default: int) -> TokensPerHead:
        value = self.block.get("tokens_per_head")
        if value is None:
            return default
        if _is_count(value):
            return int(value)
        if not isinstance(value, list | tuple) or not all(isinstance(row, list | tuple) and all(_is_count(n) for n in row) for row in value):
            raise self.wrong("tokens_per_head", "a number, or a table with a row for each memory layer and a number for each of its heads", value)
        return tuple(tuple(row) for row in value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32


def _check(config: MemoryConfig, defaults: Defaults, fields: _Fields) -> None:
    def within(name: str, low: int, high: int) -> None:
        value = getattr(config, name)
        if not low <= value <= high:
            raise fields.wrong(name, f"{low} to {high}", value)

    within("first_memory_layer", 0, defaults.layers - 1)
    within("num_memory_layers", 1, defaults.layers - config.first_memory_layer)
    within("reference_length", 1, MAX_REFERENCE_LENGTH)
    within("memories_per_chunk", 1, _COUNT_CAP)
    within("retrieval_interval", 1, _COUNT_CAP)
    _check_table(config, defaults, fields)
    if not 1 <= len(config.reference_prefix_ids) <= _PREFIX_CAP:
        raise fields.wrong("reference_prefix_ids", f"1 to {_PREFIX_CAP} ids", len(config.reference_prefix_ids))
    for name in ("reference_prefix_ids", "stop_ids"):
        for number in getattr(config, name):
            if number >= defaults.vocabulary:
                raise fields.wrong(name, f"ids below {defaults.vocabulary}", number)
    marks = [("reference_template", "{text}"), ("prompt_template", "{question}"), ("context_template", "{question}"), ("context_template", "{text}")]
    for name, mark in [*marks, ("system_template", "{system}")]:
        template = getattr(config, name)
        if template is not None and template.count(mark) != 1:
            raise fields.wrong(name, f"a text with {mark} in it once", template)
    if not 0.0 <= config.similarity_bias <= 1e6:
        raise fields.wrong("similarity_bias", "a number from 0 to 1e6", config.similarity_bias)
    if config.similarity_margin is not None and not 0.0 <= config.similarity_margin <= 2.0:
        raise fields.wrong("similarity_margin", "a number from 0 to 2, or no such field", config.similarity_margin)


def _check_table(config: MemoryConfig, defaults: Defaults, fields: _Fields) -> None:
    most, table = config.reference_length, config.tokens_per_head
    if isinstance(table, int):
        if not 1 <= table <= most:
            raise fields.wrong("tokens_per_head", f"1 to {most}", table)
        return
    if len(table) != config.num_memory_layers:
        raise fields.wrong("tokens_per_head", f"{config.num_memory_layers} rows, one for each memory layer", f"{len(table)} rows")
    for number, row in enumerate(table):
        if len(row) != defaults.heads:
            raise fields.wrong("tokens_per_head", f"{defaults.heads} numbers in row {number}, one for each key-value head", f"{len(row)} numbers")
    kept = [tokens for row in table for tokens in row]
    if max(kept) > most or max(kept) == 0:
        raise fields.wrong("tokens_per_head", f"numbers up to {most}, one of them above 0", max(kept))
