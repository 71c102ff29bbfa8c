"""Token ids of templates, of anybody's words, and the text of ids that query.

A template may hold special tokens. Words of a user or of a corpus never become one: what looks like a special token in them is encoded as ordinary
characters.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import Encoding, Tokenizer

from .config import MemoryConfig


class TextTokenizer:
    """The tokenizer of a model, apart from padding, truncation and what it puts around texts.

    `tokenizer` is one of transformers that has a `tokenizers.Tokenizer` inside, or such a one itself. It is copied, so that later changes of
    its settings do not matter here.
    """

    def __init__(self, tokenizer: Any, config: MemoryConfig, roles: Iterable[int]) -> None:
        backend = tokenizer if isinstance(tokenizer, Tokenizer) else getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise TypeError(f"the tokenizer is a {type(tokenizer).__name__}; expected one with a tokenizer.json (a fast tokenizer of transformers)")
        self._parsing = Tokenizer.from_str(backend.to_str())
        self._parsing.no_padding()
        self._parsing.no_truncation()
        self._plain = Tokenizer.from_str(self._parsing.to_str())
        self._plain.encode_special_tokens = True
        templates = [config.prompt_template, config.reference_template, config.context_template or "", config.system_template or ""]
        self._control = _control_ids(self._parsing, frozenset(roles), [*templates, *_chat_templates(tokenizer)])

    @property
    def vocabulary(self) -> int:
        """One past the largest id."""
        return max(self._parsing.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def template(self, text: str) -> list[int]:
        """Ids of a part of a template. Special tokens in it are parsed, and none is added."""
        ids: list[int] = self._parsing.encode(text, add_special_tokens=False).ids
        return ids

    def plain(self, text: str) -> list[int]:
        """Ids of anybody's words, in which no special token is parsed."""
        done: list[int] = []
        parts = [text]
        while parts:
            part = parts.pop(0)
            encoding = self._plain.encode(part, add_special_tokens=False)
            cuts = self._cuts(encoding, part)
            if not cuts:
                done.extend(encoding.ids)
                continue
            ends = [*cuts, len(part)]
            parts[:0] = [part[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
        return done

    def starts(self, text: str) -> list[int]:
        """The character of a text at which each of its tokens begins."""
        return [start for start, _ in self._plain.encode(text, add_special_tokens=False).offsets]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, without special tokens and white space around it."""
        text: str = self._parsing.decode([number for number in ids if number not in self._control], skip_special_tokens=True)
        return text.strip()

    def _cuts(self, encoding: Encoding, text: str) -> list[int]:
        """Where to cut a text so that it does not encode to control tokens that are ordinary pieces of the vocabulary too: behind the first
        character of each."""
        found = []
        for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if number in self._control:
                span = text[start:end]
                blank = len(span) - len(span.lstrip())
                cut = start + blank + 1
                if cut < end and cut not in found:
                    found.append(cut)
        return found


def prompt_ids(tokenizer: TextTokenizer, config: MemoryConfig, question: str) -> tuple[list[int], list[bool]]:
    """Ids of the filled `prompt_template`, without the BOS, and which of them are the question's."""
    before, _, after = config.prompt_template.partition("{question}")
    first, words, last = tokenizer.template(before), tokenizer.plain(question), tokenizer.template(after)
    return [*first, *words, *last], [False] * len(first) + [True] * len(words) + [False] * len(last)


def reference_ids(tokenizer: TextTokenizer, config: MemoryConfig, text: str) -> list[int]:
    """Ids of a reference's text in the `reference_template`. Both are encoded as one string, so that a space before the text is part of its
    first token."""
    return tokenizer.plain(config.reference_template.replace("{text}", text, 1))


def _control_ids(tokenizer: Tokenizer, roles: frozenset[int], templates: list[str]) -> frozenset[int]:
    """Added tokens with a role: those that the tokenizer calls special, those that the model's settings name, and the markers of templates."""
    control = set()
    for number, token in tokenizer.get_added_tokens_decoder().items():
        marker = any(not (c.isalnum() or c.isspace()) for c in token.content) and any(token.content in template for template in templates)
        if token.special or (token.content.strip() and (number in roles or marker)):
            control.add(number)
    return frozenset(control)


def _chat_templates(tokenizer: Any) -> list[str]:
    templates = getattr(tokenizer, "chat_template", None)
    if isinstance(templates, str):
        return [templates]
    return [text for text in templates.values() if isinstance(text, str)] if isinstance(templates, dict) else []
