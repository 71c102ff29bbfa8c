"""Types of the native module. Arrays are C-contiguous; shapes are in brackets, and lengths are in bytes where nothing else is said."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, SupportsIndex, final

import numpy as np
from numpy.typing import NDArray

StrPath = str | os.PathLike[str]
Ranking = Literal["dense", "lexical", "hybrid"]

__version__: str

class MempackError(Exception):
    """What every error of this package is."""

class PackOpenError(MempackError):
    """A file that is no pack, or a pack of another version of the format. Fields: `path`."""

    path: str

class DamageError(MempackError):
    """A pack whose bytes are not what was written. Fields: `path`, `section`, `offset`."""

    path: str
    section: str | None
    offset: int | None

class MismatchError(MempackError):
    """A pack of another model or embedder. Fields: `path`, and `differences`: for each field its name, what the pack has, and what the other has."""

    path: str | None
    differences: list[tuple[str, str, str]]

class FilterError(MempackError):
    """A filter that cannot be read, or does not fit the fields of a pack. Fields: `expression`."""

    expression: str

class MountError(MempackError):
    """A pack that cannot be mounted under a name, or a name that is not mounted. Fields: `name`."""

    name: str

class SignatureError(MempackError):
    """A signature that is missing or wrong, or a file that is no key. Fields: `path`."""

    path: str

class RepairError(MempackError):
    """A pack that the donors cannot repair. Fields: `path`."""

    path: str

@final
class MemoryShape:
    """The shape of a pack's memories."""

    @property
    def layers(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def tokens(self) -> int:
        """Most tokens that a head keeps."""
    @property
    def head_dim(self) -> int: ...
    @property
    def counts(self) -> NDArray[np.uint8]:
        """`[layers, heads]`: tokens that each head keeps of a reference that has as many."""

@final
class ModelIdentity:
    """What memories depend on in the model that wrote them. Digests are in hexadecimal."""

    @property
    def name(self) -> str: ...
    @property
    def weights(self) -> str: ...
    @property
    def adapter(self) -> str | None: ...
    @property
    def config(self) -> str: ...
    @property
    def tokenizer(self) -> str: ...
    @property
    def layers(self) -> int: ...
    @property
    def first_memory_layer(self) -> int: ...
    @property
    def query_heads(self) -> int: ...
    @property
    def shape(self) -> MemoryShape: ...
    @property
    def rope_base(self) -> float: ...
    @property
    def prefix_ids(self) -> list[int]: ...
    @property
    def reference_length(self) -> int: ...
    @property
    def reference_template(self) -> str: ...
    @property
    def selection(self) -> str: ...

@final
class EmbedderIdentity:
    """What embeddings depend on in the embedder."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def metric(self) -> str: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def query_prompt(self) -> str:
        """What is put before a text that queries; empty if nothing is."""
    @property
    def passage_prompt(self) -> str: ...

@final
class Place:
    """A place of a reference's text in a document of the corpus."""

    @property
    def document(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def start(self) -> int:
        """The first byte in the document's text (UTF-8)."""
    @property
    def end(self) -> int: ...
    @property
    def location(self) -> str:
        """Where it stands in the document, as a citation says it: `p. 12, § 4.2 (b)`; empty if the pack does not say."""

@final
class Document:
    """The document of a reference, and where the reference is in it."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def license(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def date(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def location(self) -> str:
        """Where the reference stands in the document, as a citation says it: `p. 12, § 4.2 (b)`; empty if the pack does not say."""
    @property
    def headings(self) -> list[str]:
        """The headings that it stands below, the outermost first."""
    @property
    def metadata(self) -> dict[str, Any]: ...
    @property
    def further(self) -> list[Place]:
        """Other places of the same text, at most 32."""

@final
class Memories:
    """Decoded memories of references. Keys are those before the rotary embedding. Unpacks as `keys, values, positions, counts`."""

    def __len__(self) -> int:
        """References."""
    def __iter__(self) -> Iterator[NDArray[Any]]: ...
    @property
    def keys(self) -> NDArray[Any]:
        """`[references, layers, heads, tokens, head_dim]`, float32 or float16; zero in empty slots."""
    @property
    def values(self) -> NDArray[Any]:
        """As `keys`."""
    @property
    def positions(self) -> NDArray[np.int16]:
        """`[references, layers, heads, tokens]`: index of the token in its reference, ascending; -1 in empty slots, which are at the end of a head's."""
    @property
    def counts(self) -> NDArray[np.uint8]:
        """`[references, layers, heads]`: slots that are not empty."""

@final
class Pack:
    """A memory pack, mapped into memory. Opening costs the same for every size. Everything read is compared with its digest first."""

    def __init__(self, path: StrPath) -> None: ...
    def __len__(self) -> int:
        """References."""
    def _repr_html_(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def name(self) -> str:
        """The file's name without its extension."""
    @property
    def id(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def documents(self) -> int:
        """Documents."""
    @property
    def identity(self) -> ModelIdentity: ...
    @property
    def embedder(self) -> EmbedderIdentity: ...
    @property
    def codec(self) -> str: ...
    @property
    def quality(self) -> dict[str, Any] | None:
        """What the codec loses: the object that `mempack inspect --json` prints as `quality`; None if the pack does not say."""
    @property
    def sections(self) -> dict[str, int]:
        """Bytes of each section."""
    @property
    def fields(self) -> list[str]:
        """Fields of documents, for filters."""
    @property
    def signed_by(self) -> list[str]:
        """Ids of the keys whose signatures are right."""
    def search(
        self, vectors: NDArray[Any], k: int = 5, *, exact: bool = False, ef: int | None = None, where: str | None = None, threads: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The references nearest to each vector, best first.

        `vectors`: `[n, dim]` or `[dim]`, float32 or float64, of length 1. Returns ids and cosines, both `[n, k]` (or `[k]`); places without a hit are -1
        and -inf. `where` is a filter over the fields of documents. The GIL is released; Ctrl-C ends the search.
        """
    def search_text(
        self,
        texts: str | Sequence[str],
        vectors: NDArray[Any] | None = None,
        k: int = 5,
        *,
        ranking: Ranking | None = None,
        exact: bool = False,
        where: str | None = None,
        threads: int | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The references that share most terms with each text (BM25), or, with vectors of the texts, are best by terms and vectors together.

        `ranking` is `lexical` without vectors and `hybrid` with them. Returns as `search`.
        """
    def text(self, reference: SupportsIndex) -> str: ...
    def document(self, reference: SupportsIndex) -> Document: ...
    def embeddings(self, references: Sequence[int] | NDArray[Any]) -> NDArray[np.float32]:
        """`[n, dim]`: the unit vectors of references."""
    def memory(
        self,
        references: SupportsIndex | Sequence[int] | NDArray[Any],
        *,
        dtype: Any = "float32",
        out: tuple[NDArray[Any], NDArray[Any]] | None = None,
        threads: int | None = None,
    ) -> Memories:
        """The memories of references, decoded in parallel. `out` has arrays for keys and values, of the right shape and of `dtype`."""
    def verify(self, sample: float | None = None, seed: int = 0) -> None:
        """Compares every byte, or a share of memories, embeddings and texts, with its digest. Raises `DamageError` for the first damage."""
    def diff(self, newer: Pack) -> dict[str, Any]:
        """What `newer` has that this pack has not, and the reverse: the object that `mempack diff --json` ends with, and its `changes`."""
    def repair(self, donors: Sequence[StrPath], out: StrPath | None = None) -> int:
        """Writes this pack, with what is damaged taken from donors, to `out`, or in place of its file. Returns how many parts were damaged."""
    def sign(self, key: StrPath) -> str:
        """Adds a signature to the file. Returns the key's id."""

@final
class Hit:
    """A reference that was found in one of several packs."""

    @property
    def pack(self) -> Pack: ...
    @property
    def name(self) -> str:
        """The name under which the pack is mounted."""
    @property
    def reference(self) -> int: ...
    @property
    def score(self) -> float: ...
    def text(self) -> str: ...
    def document(self) -> Document:
        """The document, the first that the filter of the search admits, and where the reference is in it."""

@final
class Mounts:
    """Packs of one model and one embedder, searched with one ranking. They may be replaced while others search."""

    def __init__(self, packs: Mapping[str, Pack] | Sequence[Pack | StrPath] | Pack | StrPath, *, trusted: Sequence[StrPath] = ()) -> None: ...
    def __len__(self) -> int: ...
    @property
    def packs(self) -> dict[str, Pack]: ...
    @property
    def identity(self) -> ModelIdentity: ...
    @property
    def embedder(self) -> EmbedderIdentity: ...
    def mount(self, name: str, pack: Pack | StrPath) -> None: ...
    def replace(self, name: str, pack: Pack | StrPath) -> None: ...
    def unmount(self, name: str) -> None: ...
    def search(
        self, vectors: NDArray[Any], k: int = 5, *, exact: bool = False, ef: int | None = None, where: str | None = None, threads: int | None = None
    ) -> list[list[Hit]]: ...
    def search_text(
        self,
        texts: str | Sequence[str],
        vectors: NDArray[Any] | None = None,
        k: int = 5,
        *,
        ranking: Ranking | None = None,
        exact: bool = False,
        where: str | None = None,
        threads: int | None = None,
    ) -> list[list[Hit]]: ...

def report(pack: Pack, tokenizer: StrPath | None = None, *, references: int = 20, neighbours: int = 5, seed: int = 0) -> str:
    """One HTML page about a pack: see `mempack report`. `tokenizer` is the path of a tokenizer.json."""

def main(arguments: Sequence[str]) -> int:
    """The command line of mempack without what needs a model. Returns the exit code."""
