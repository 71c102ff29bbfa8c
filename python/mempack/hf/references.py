"""What model and embedder read of a reference: the title of its document, then its text.

A passage alone often does not say what it is about, so it is read after its title, unless it begins with the title. Documents were cut by this rule,
and it gives the same tokens from the title and the text of a reference in a pack.
"""

from dataclasses import dataclass

from .config import MemoryConfig
from .text import TextTokenizer, reference_ids

_TITLE_SHARE = 4
"""The part of a reference's tokens that its title may take is one in this many."""
_SHORT_TEXT = 16
"""A text of at most so many tokens loses its title rather than be cut."""
_TITLE_BYTES = 4096


@dataclass(frozen=True)
class Composed:
    """A reference as model and embedder read it."""

    text: str
    """Title and text."""
    ids: list[int]
    """The ids that the model reads, with those of the template."""


def compose(tokenizer: TextTokenizer, config: MemoryConfig, title: str, text: str) -> Composed:
    """One reference. It has no title if its text begins with the title, or if there is no room for both."""
    title = " ".join(title.split())
    lead = _lead(tokenizer, config, title)
    text = text.replace("\r\n", "\n")
    if lead and not _opens(text, title):
        ids = reference_ids(tokenizer, config, lead + text)
        if len(ids) <= config.reference_length or len(tokenizer.starts(text)) > _SHORT_TEXT:
            return Composed(lead + text, ids)
    return Composed(text, reference_ids(tokenizer, config, text))


def _lead(tokenizer: TextTokenizer, config: MemoryConfig, title: str) -> str:
    """A title with its punctuation, of at most a quarter of a reference's tokens."""
    most = config.reference_length // _TITLE_SHARE
    template = len(reference_ids(tokenizer, config, ""))
    kept, allowed = title.encode()[:_TITLE_BYTES].decode(errors="ignore"), most
    while True:
        starts = tokenizer.starts(kept)
        if allowed < len(starts):
            kept = _before_word(kept, starts[allowed])
        lead = _punctuated(kept)
        # The space after the title belongs to the token of the next word.
        used = len(reference_ids(tokenizer, config, lead.rstrip()))
        if not kept or used <= template + most or allowed == 0:
            return lead if used <= template + most else ""
        allowed = max(min(len(starts), allowed) - (used - template - most), 0)


def _before_word(text: str, at: int) -> str:
    text = text[:at]
    blank = max((place for place, character in enumerate(text) if character.isspace()), default=None)
    return text if blank is None else text[:blank].rstrip()


def _opens(text: str, title: str) -> bool:
    """Whether a text begins with the title itself, as a heading or in its first sentence."""
    start = 0
    while start < len(text) and (text[start] == "#" or text[start].isspace()):
        start += 1
    if not text.startswith(title, start):
        return False
    following = text[start + len(title) : start + len(title) + 1]
    return not following.isalnum() or _is_cjk(following)


def _punctuated(title: str) -> str:
    if not title:
        return ""
    last = title[-1]
    if last in ".!?:;":
        return f"{title} "
    if last in "。！？：；":
        return title
    return f"{title}。" if _is_cjk(last) else f"{title}. "


def _is_cjk(character: str) -> bool:
    """Han, kana and fullwidth forms: scripts that put no spaces between words."""
    ranges = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF00, 0xFFEF), (0x20000, 0x3FFFF))
    return len(character) == 1 and any(low <= ord(character) <= high for low, high in ranges)
