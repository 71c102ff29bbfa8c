"""Chunks of a text: which chunk a token is in, and which tokens query for the memories of a chunk (arXiv 2407.01178, section 3.2).

Tokens are counted from 0, without the BOS. Token `t` is in chunk `t // interval`, and the BOS reads what chunk 0 reads.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class Transcript:
    """Prompt and answer of one row, without padding and BOS.

    A chunk of the prompt queries with its own tokens, an unfinished last one with the last `interval` tokens of the prompt. A chunk that begins
    in the answer queries with the `interval` tokens before it, and what the prompt left unfinished keeps its memories until it is full. So does
    the first chunk after a prompt of whole chunks, whose query would be the same.
    """

    ids: list[int]
    """Tokens of prompt and answer."""
    prompt: int
    """Tokens of the prompt."""
    interval: int
    """Tokens of a chunk."""
    question: list[bool] | None = None
    """For each token of the prompt whether it is one of the user's words, and not of a template. None: all are."""
    ended: int | None = None
    """The token that ended the answer. What comes after it is padding, which reads what it read."""

    def chunk_of(self, token: int) -> int:
        """The chunk of token number `token`; -1, the BOS, is in chunk 0."""
        return max(token, 0) // self.interval

    def list_of(self, token: int) -> int:
        """The number of the list of memories that a token reads. Lists are numbered as the chunks that they were retrieved for."""
        chunk = self.chunk_of(token if self.ended is None else min(token, self.ended))
        last = self.prompt_chunks() - 1
        # The chunk that begins where the prompt ends keeps what the prompt's last one read.
        return last if chunk == last + 1 and chunk * self.interval <= self.prompt else chunk

    def prompt_chunks(self) -> int:
        """Chunks of the prompt, at least 1."""
        return max(-(-self.prompt // self.interval), 1)

    def window(self, chunk: int) -> range:
        """The tokens that query for a list of memories."""
        end = (chunk + 1) * self.interval
        if chunk < self.prompt_chunks():
            end = min(end, self.prompt)
        else:
            end = chunk * self.interval
        return range(max(end - self.interval, 0), end)

    def query(self, chunk: int) -> list[int]:
        """The ids that make the query for a list: the words of the window that are not a template's; if there are none, all of them."""
        window = self.window(chunk)
        words = [self.ids[index] for index in window if self._is_word(index)]
        return words or [self.ids[index] for index in window]

    def _is_word(self, index: int) -> bool:
        return index >= self.prompt or self.question is None or self.question[index]


def lists_read(transcript: Transcript, tokens: Iterable[int]) -> list[int]:
    """The numbers of the lists that tokens read, each once, in ascending order."""
    return sorted({transcript.list_of(token) for token in tokens})
