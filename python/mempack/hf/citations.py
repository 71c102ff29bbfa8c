"""What an answer read, with where it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass

from .retrieval import Read


@dataclass(frozen=True)
class Citation:
    """A reference that a chunk read."""

    pack: str
    """The name under which the pack is mounted."""
    pack_id: str
    reference: int
    document: str
    """The document's id."""
    title: str
    source: str
    start: int
    """The first byte of the reference in the document's text (UTF-8)."""
    end: int
    text: str
    similarity: float
    """Its similarity to what the chunk queried with: the cosine, with a share for common terms in hybrid rankings."""
    attention: float | None
    """The share of attention that tokens of the answer gave to it, 0 to 1: the mean over them and over the query heads that read memories. None
    unless the reader was attached with `attention=True`, and for a chunk that no token of the answer was predicted in."""


@dataclass(frozen=True)
class ChunkCitations:
    """What a chunk of prompt or answer read, best first."""

    chunk: int
    query: str
    """The text that found it."""
    citations: tuple[Citation, ...]


@dataclass(frozen=True)
class ChunkReads:
    """A chunk, what it queried with, the references that it read, and the attention that they got."""

    chunk: int
    query: str
    reads: tuple[Read, ...]
    attention: tuple[float, ...] | None = None


def cited(chunks: Sequence[ChunkReads]) -> list[ChunkCitations]:
    """Reads texts and documents from the packs, which is done only for citations that are asked for."""
    return [ChunkCitations(of.chunk, of.query, tuple(_citation(of, place) for place in range(len(of.reads)))) for of in chunks]


def _citation(chunk: ChunkReads, place: int) -> Citation:
    read = chunk.reads[place]
    document = read.pack.document(read.reference)
    return Citation(
        pack=read.name,
        pack_id=read.pack.id,
        reference=read.reference,
        document=document.id,
        title=document.title,
        source=document.source,
        start=document.start,
        end=document.end,
        text=read.pack.text(read.reference),
        similarity=read.similarity,
        attention=None if chunk.attention is None else chunk.attention[place],
    )
