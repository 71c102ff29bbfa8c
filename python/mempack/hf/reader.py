"""A model of transformers that reads the memories of packs."""

import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor
from transformers import BatchEncoding

from mempack._native import Mounts, Pack

from . import attention, identity
from .architecture import Architecture, ModelError, architecture_of
from .citations import ChunkCitations, ChunkReads, cited
from .config import MemoryConfig, block_of_folders, parse, read_block
from .embedder import EmbedTexts, load_embedder
from .memories import Layout, MemoryLoader
from .passes import Passes, Sources
from .prefix import PrefixSource
from .prompts import QUESTION_MASK, padded, rows_of, with_bos, without_bos
from .references import compose
from .retrieval import Retriever, SearchOptions
from .text import TextTokenizer, prompt_ids

StrPath = str | os.PathLike[str]
Packs = Mounts | Pack | StrPath | Sequence[Pack | StrPath] | Mapping[str, Pack]

_ATTACHED: "WeakKeyDictionary[Any, ref[Reader]]" = WeakKeyDictionary()


_eager: Any = torch.compiler.disable
"""Keeps a function out of compiled graphs."""


class AttachError(RuntimeError):
    """A reader that cannot be attached, or is used after it was detached."""


def attached(model: Any) -> "Reader | None":
    """The reader that is attached to a model, given without the wrapper of an adapter."""
    known = _ATTACHED.get(model)
    return known() if known is not None else None


class Reader:
    """Memories for a model. `attach` makes one, and the model reads from then on.

    One call of `generate` runs at a time; others wait.
    """

    def __init__(
        self,
        model: Architecture,
        tokenizer: Any,
        mounts: Mounts,
        embed: EmbedTexts,
        config: MemoryConfig,
        options: SearchOptions,
        cache_bytes: int,
        watch: bool,
    ) -> None:
        self._model, self.tokenizer, self.mounts, self.config = model, tokenizer, mounts, config
        implementation = model.config._attn_implementation
        if implementation not in attention.NAMES:
            known = " or ".join(f"'{name}'" for name in attention.NAMES)
            remedy = "call model.set_attn_implementation('sdpa') first; the others take no bias"
            raise ModelError("attn_implementation", known, repr(implementation), remedy)
        roles = {model.bos, *model.eos, *config.stop_ids, *config.reference_prefix_ids}
        self._text = TextTokenizer(tokenizer, config, roles | {self._pad()})
        self._layout = Layout(model, config)
        self._loader = MemoryLoader(model, config, self._layout, cache_bytes)
        self._prefix = PrefixSource(model, config)
        self._retriever = Retriever(mounts, embed, config, options)
        sources = Sources(model, config, self._text, self._retriever, self._loader, self._layout, options.k, watch, self._pad())
        self._passes = Passes(sources)
        self._lock = threading.RLock()
        self._undo: list[Callable[[], None]] = []
        self._detached = False
        self._bare = False
        self._read: list[list[ChunkReads]] | None = None

    # What the user calls.

    def prompts(self, texts: str | Sequence[str]) -> BatchEncoding:
        """Questions in the model's `prompt_template`, as a batch that is padded on the left: `model.generate(**reader.prompts(questions))`.

        Returns `input_ids`, `attention_mask` and `question_mask`, `[questions, columns]` each, on the model's device. Each row begins with the BOS.
        The question mask says which tokens are the user's words: those query for memories, and the template around them does not. Special tokens
        are parsed in the template and not in the questions.
        """
        listed = [texts] if isinstance(texts, str) else list(texts)
        if not listed:
            raise ValueError("there are no questions")
        for text in listed:
            if not isinstance(text, str):
                raise TypeError(f"a question is a text, not {type(text).__name__}")
        rows = [prompt_ids(self._text, self.config, text) for text in listed]
        return BatchEncoding(padded(rows, self._model.bos, self._pad(), self.device))

    def citations(self) -> list[list[ChunkCitations]]:
        """What the last call of `generate` read: for each row of what it returned, for each chunk, the references, best first.

        After passes outside of `generate` it is what those read.
        """
        reads = self._read if self._read is not None else self._passes.followed()
        return [cited(chunks) for chunks in reads]

    @contextmanager
    def off(self) -> Iterator[None]:
        """Within this context the model computes as it did before `attach`."""
        with self._lock:
            was = bool(self._undo)
            self._uninstall()
            try:
                yield
            finally:
                if was and not self._detached:
                    self._install()

    def detach(self) -> None:
        """Leaves the model as it was before `attach`. Citations can still be read."""
        with self._lock:
            self._uninstall()
            self._detached = True
            if attached(self._model.model) is self:
                del _ATTACHED[self._model.model]

    @property
    def device(self) -> torch.device:
        """Where prompts have to be."""
        device: torch.device = self._model.decoder.get_input_embeddings().weight.device
        return device

    @property
    def active(self) -> bool:
        """Whether the model reads now."""
        return bool(self._undo)

    # What the model calls.

    def _generate(self, generate: Callable[..., Any], inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        question = kwargs.pop(QUESTION_MASK, None)
        ids = inputs if inputs is not None else kwargs.pop("input_ids", None)
        if not isinstance(ids, Tensor):
            raise TypeError(f"generate needs input_ids as a tensor to read memories, not {type(ids).__name__}")
        mask = kwargs.pop("attention_mask", None)
        if mask is None:
            mask = self._inferred_mask(ids, kwargs)
        given, inserted = ids, 0
        if without_bos(rows_of(ids, mask, question), self._model.bos):
            ids, mask, question = with_bos(ids, mask, question, self._model.bos, self._pad())
            inserted = 1
            if kwargs.get("max_length") is not None:
                kwargs["max_length"] += 1
        self._stops(kwargs)
        # Memories change between steps, which a compiled step would not see.
        kwargs.setdefault("disable_compile", True)
        with self._lock:
            call = self._passes.begin(rows_of(ids, mask, question), self._searches_beams(args, kwargs))
            try:
                output = generate(ids, *args, attention_mask=mask, **kwargs)
                sequences = output if isinstance(output, Tensor) else output.sequences
                self._read = self._passes.finished(call, sequences)
            finally:
                self._passes.generating = None
        if not inserted:
            return output
        own = torch.cat([given.repeat_interleave(len(sequences) // len(given), 0), sequences[:, ids.shape[1] :]], 1)
        if isinstance(output, Tensor):
            return own
        output.sequences = own
        return output

    def _prepare(self, prepare: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Takes note of all ids before a pass of `generate`."""
        if self._passes.generating is not None:
            self._passes.generating.full = args[0] if args else kwargs.get("input_ids")
        return prepare(*args, **kwargs)

    def _before(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Called before each pass of the decoder."""
        if self._bare:
            return None
        named = dict(zip(("input_ids", "attention_mask", "position_ids", self._model.cache_name()), args, strict=False)) | kwargs
        self._passes.before(named, self._bare_prefix)
        if self._passes.generating is None:
            self._read = None
        return (), named

    def _bare_prefix(self) -> Any:
        """The prefix, computed by the model without memories."""
        config = self._model.config
        ours, self._bare = config._attn_implementation, True
        config._attn_implementation = self._implementation
        try:
            return self._prefix.prefix()
        finally:
            config._attn_implementation, self._bare = ours, False

    # Putting it in and out.

    def _install(self) -> None:
        if self._detached:
            raise AttachError("the reader was detached; call mempack.hf.attach again")
        model, config = self._model, self._model.config
        self._implementation = config._attn_implementation
        slots = {own.layer: own for own in self._layout.layers}
        for layer, module in enumerate(model.attentions):
            attention.attach_layer(module, attention.Reading(layer, slots.get(layer), model.windows[layer], self._passes.batch))
            self._undo.append(functools.partial(attention.detach_layer, module))
        config._attn_implementation = attention.NAMES[self._implementation]
        self._undo.append(functools.partial(setattr, config, "_attn_implementation", self._implementation))
        self._undo.append(model.decoder.register_forward_pre_hook(_eager(self._before), with_kwargs=True).remove)
        self._wrap("generate", self._generate)
        self._wrap("prepare_inputs_for_generation", self._prepare)

    def _wrap(self, name: str, wrapper: Callable[..., Any]) -> None:
        """Puts `wrapper` in the place of a method of this one model, which it gets as its first argument."""
        model = self._model.model
        before = model.__dict__.get(name)
        method = getattr(model, name)

        @functools.wraps(method)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return wrapper(method, *args, **kwargs)

        model.__dict__[name] = wrapped
        self._undo.append(functools.partial(model.__dict__.__setitem__, name, before) if before is not None else functools.partial(model.__dict__.pop, name))

    def _uninstall(self) -> None:
        while self._undo:
            self._undo.pop()()

    # What `generate` is asked for.

    def _pad(self) -> int:
        for pad in (getattr(self.tokenizer, "pad_token_id", None), getattr(self._model.config, "pad_token_id", None)):
            if isinstance(pad, int) and 0 <= pad < self._model.vocabulary:
                return pad
        return self._model.eos[0] if self._model.eos else self._model.bos

    def _inferred_mask(self, ids: Tensor, kwargs: dict[str, Any]) -> Tensor:
        """As transformers infers it: columns of a padding token that ends no text are padding."""
        pad = kwargs.get("pad_token_id", getattr(self._model.model.generation_config, "pad_token_id", None))
        if not isinstance(pad, int) or pad in self._model.eos:
            return torch.ones_like(ids)
        return (ids != pad).long()

    def _stops(self, kwargs: dict[str, Any]) -> None:
        """Adds what ends the model's answers, unless the caller says what ends them."""
        if kwargs.get("generation_config") is not None:
            return
        known = getattr(self._model.model.generation_config, "eos_token_id", None)
        known = [known] if isinstance(known, int) else list(known or [])
        if "eos_token_id" not in kwargs and not set(self.config.stop_ids) <= set(known):
            kwargs["eos_token_id"] = [*known, *(stop for stop in self.config.stop_ids if stop not in known)]
        if self.config.stop and "stop_strings" not in kwargs:
            kwargs["stop_strings"] = list(self.config.stop)
            kwargs.setdefault("tokenizer", self.tokenizer)

    def _searches_beams(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        config = kwargs.get("generation_config") or (args[0] if args else None) or self._model.model.generation_config
        beams = kwargs.get("num_beams", getattr(config, "num_beams", 1))
        return bool(beams is not None and beams > 1)


def attach(
    model: Any,
    tokenizer: Any,
    packs: Packs,
    embedder: StrPath | EmbedTexts,
    memory_config: StrPath | Mapping[str, Any] | None = None,
    *,
    k: int | None = None,
    ranking: Literal["dense", "lexical", "hybrid"] | None = None,
    exact: bool = False,
    where: str | None = None,
    cache_bytes: int = 256 << 20,
    attention: bool = False,
) -> Reader:
    """Lets a causal language model of transformers read the memories of packs in `generate` and in each pass of its decoder.

    At the memory layers, tokens attend beside the context to the memories of the references that their chunk of 64 tokens retrieved, with one
    softmax over all; at every layer they attend to the reference prefix. Each row of a batch retrieves for itself, for its prompt and while its answer grows.
    Rows are padded on the left. A row that does not begin with the BOS gets one inside of `generate`; it is not in what is returned.

    Args:
        model: a model of the Llama, Mistral, Qwen 2, Qwen 3 or Gemma 3 shape that computes attention with `sdpa` or `eager`, with a LoRA adapter
            or without. The weights must be those that wrote the packs, which is not checked; what surrounds them is.
        tokenizer: the model's tokenizer, a fast one.
        packs: a pack or its path, several of them, a mapping from names to packs, or `mempack.Mounts`, whose packs may change between calls.
        embedder: the folder of the embedder that the packs were built with, or a function from a list of texts to an array `[texts, dim]`. The text
            that it gets has the embedder's prompt for queries before it.
        memory_config: how memories are read: the path of a memory.json or of a folder that has one, or its object. Without it, it is looked for in
            the model's folder; else what packs state is used, with a warning about the rest.
        k: references of a chunk, at most as many as the model reads.
        ranking: by what references are ranked: `dense`, `lexical` or `hybrid`, the default.
        exact: whether every reference is compared.
        where: a filter over the fields of documents.
        cache_bytes: bytes of decoded memories that are kept, on the model's device.
        attention: whether citations come with shares of attention, which takes a little time for each token.

    Raises:
        MismatchError: a pack of another model or embedder. The message and `differences` name the fields.
        ModelError, ConfigError, EmbedderError: a model, a `memory` block or an embedder that cannot be used.
        AttachError: the model has a reader already.
    """
    architecture = architecture_of(model)
    if attached(architecture.model) is not None:
        raise AttachError("the model has a reader already; call its detach() first")
    _check_adapters(model)
    mounts = packs if isinstance(packs, Mounts) else Mounts(packs)
    _check_packs(architecture, mounts, None, tokenizer)
    config = _config_of(architecture, mounts, memory_config)
    _check_packs(architecture, mounts, config, tokenizer)
    wanted = config.memories_per_chunk if k is None else k
    if not 1 <= wanted <= config.memories_per_chunk:
        raise ValueError(f"k is {wanted}; expected 1 to {config.memories_per_chunk}, as many as the model reads")
    embed = load_embedder(embedder)
    reader = Reader(architecture, tokenizer, mounts, embed, config, SearchOptions(wanted, ranking, exact, where), cache_bytes, attention)
    reader._retriever.check_embedder(lambda title, text: compose(reader._text, config, title, text).text)
    reader._install()
    _ATTACHED[architecture.model] = ref(reader)
    return reader


def _config_of(model: Architecture, mounts: Mounts, given: StrPath | Mapping[str, Any] | None) -> MemoryConfig:
    import warnings

    stated = identity.block_of(mounts.identity)
    found = read_block(given) if given is not None else block_of_folders(model.folders())
    if found is None:
        names = ", ".join(identity.unstated())
        warnings.warn(
            f"no memory.json is known, and packs do not state how they are read: {names} have their defaults; name the reader's folder as memory_config",
            stacklevel=3,
        )
        return parse(stated, model.defaults())
    block, path = found
    # A reading adapter's block leaves out what its writer's says.
    return parse({**stated, **block} if block.get("reads_only") else block, model.defaults(), path)


def _check_packs(model: Architecture, mounts: Mounts, config: MemoryConfig | None, tokenizer: Any) -> None:
    folder = getattr(tokenizer, "name_or_path", None)
    file = Path(folder) / "tokenizer.json" if folder else None
    known = file if file is not None and file.is_file() else None
    for pack in mounts.packs.values():
        found = identity.differences(pack.identity, model, config, known)
        if found:
            raise identity.mismatch(pack.path, found)


def _check_adapters(model: Any) -> None:
    for name, config in (getattr(model, "peft_config", None) or {}).items():
        if getattr(config, "is_prompt_learning", False):
            raise ModelError("peft_config", "adapters that change weights, such as LoRA", f"prompt learning in `{name}`", "use another adapter")
