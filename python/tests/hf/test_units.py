"""Parts of mempack.hf that need no model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from mempack.hf.chunks import Transcript, lists_read
from mempack.hf.config import ConfigError, Defaults, MemoryConfig, parse, read_block
from mempack.hf.digest import blake3
from mempack.hf.embedder import EmbedderError, vectors_of
from mempack.hf.identity import _debug, _exponent
from mempack.hf.prompts import PromptError, rows_of, with_bos
from mempack.hf.text import TextTokenizer, prompt_ids

DEFAULTS = Defaults(layers=4, heads=2, vocabulary=100, bos=1, eos=(2,))


def test_chunks_of_a_prompt_use_their_own_tokens_and_an_unfinished_one_the_last_64() -> None:
    text = Transcript(list(range(150)), 150, 64)
    assert [text.window(chunk) for chunk in range(3)] == [range(64), range(64, 128), range(86, 150)]
    assert Transcript(list(range(10)), 10, 64).window(0) == range(10)
    assert Transcript([], 0, 64).query(0) == []


def test_an_unfinished_chunk_keeps_its_memories_until_it_is_full() -> None:
    text = Transcript(list(range(200)), 100, 64)
    assert [text.list_of(token) for token in (-1, 0, 63, 64, 99, 100, 127, 128, 191, 192)] == [0, 0, 0, 1, 1, 1, 1, 2, 2, 3]
    assert text.window(2) == range(64, 128)


def test_the_first_chunk_after_whole_chunks_keeps_the_prompts_last_memories() -> None:
    text = Transcript(list(range(200)), 64, 64)
    assert [text.list_of(token) for token in (0, 63, 64, 127, 128)] == [0, 0, 0, 0, 2]
    assert text.window(2) == range(64, 128)


def test_the_template_is_left_out_of_the_query() -> None:
    text = Transcript(list(range(12)), 10, 4, [False] * 3 + [True] * 4 + [False] * 3)
    assert [text.query(chunk) for chunk in (0, 1)] == [[3], [4, 5, 6]]
    # Only template in the window of the last chunk of the prompt: 6 is a word, 7 to 9 are not.
    assert text.query(2) == [6]
    assert Transcript(list(range(8)), 8, 4, [True] * 2 + [False] * 6).query(1) == [4, 5, 6, 7]
    assert Transcript(list(range(12)), 7, 4, [False] * 7).query(3) == [8, 9, 10, 11]


def test_padding_after_the_end_changes_nothing() -> None:
    text = Transcript(list(range(200)), 10, 64, ended=50)
    assert lists_read(text, range(-1, 200)) == [0]


@pytest.mark.parametrize(
    ("length", "digest"),
    [
        (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
        (1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"),
        (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
        (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"),
        (2048, "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a"),
        (3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2"),
        (31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47"),
        (102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"),
    ],
)
def test_blake3(length: int, digest: str) -> None:
    """The test vectors of BLAKE3: bytes that count to 250."""
    assert blake3((bytes(range(251)) * (length // 251 + 1))[:length]) == digest


def test_numbers_as_rust_writes_them() -> None:
    values = [1e-5, 100000.0, 1e6, 0.00001, 500000.0, 2.5, 0.0, 1.0, 123.456]
    assert [_exponent(value) for value in values] == ["1e-5", "1e5", "1e6", "1e-5", "5e5", "2.5e0", "0e0", "1e0", "1.23456e2"]
    assert [_debug(value) for value in (8.0, 8192.0, 0.5)] == ["8.0", "8192.0", "0.5"]


def test_a_block_without_fields_has_those_of_the_paper() -> None:
    config = parse({}, DEFAULTS)
    assert (config.first_memory_layer, config.num_memory_layers, config.tokens_per_head, config.reference_length) == (0, 2, 8, 128)
    assert (config.reference_prefix_ids, config.stop_ids, config.similarity_bias, config.similarity_margin) == ((1,), (2,), 0.0, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_memory_layer", 4),
        ("first_memory_layer", "0"),
        ("num_memory_layers", 0),
        ("num_memory_layers", 5),
        ("tokens_per_head", 0),
        ("tokens_per_head", [[1, 2]]),
        ("tokens_per_head", [[1], [2]]),
        ("tokens_per_head", [[0, 0], [0, 0]]),
        ("tokens_per_head", [[1, -2], [3, 4]]),
        ("tokens_per_head", 129),
        ("reference_length", 256),
        ("reference_prefix_ids", []),
        ("reference_prefix_ids", [100]),
        ("reference_prefix_ids", "ids"),
        ("prompt_template", "no place"),
        ("prompt_template", 3),
        ("similarity_bias", -1),
        ("similarity_bias", True),
        ("similarity_margin", 2.5),
        ("retrieval_interval", 0),
        ("stop", "text"),
        ("unheard_of", 1),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field) as caught:
        parse({field: value}, DEFAULTS)
    assert caught.value.field == field


def test_where_a_block_comes_from(tmp_path: Any) -> None:
    with pytest.raises(FileNotFoundError, match="neither"):
        read_block(tmp_path)
    (tmp_path / "config.json").write_text('{"memory": {"similarity_bias": 3}}')
    assert read_block(tmp_path)[0] == {"similarity_bias": 3}
    (tmp_path / "memory.json").write_text('{"similarity_bias": 4}')
    assert read_block(tmp_path)[0] == read_block(tmp_path / "memory.json")[0] == {"similarity_bias": 4}
    (tmp_path / "memory.json").write_text("[")
    with pytest.raises(ConfigError, match="JSON"):
        read_block(tmp_path)
    with pytest.raises(TypeError, match="list"):
        read_block([])  # type: ignore[arg-type]


def test_a_margin() -> None:
    scores = [0.75, 0.5, 0.5, 0.25]
    found = [parse({"similarity_margin": margin}, DEFAULTS).within_margin(scores) for margin in (None, 0.0, 0.25, 0.3, 0.5, 2.0)]
    assert found == [4, 1, 3, 3, 4, 4]
    assert parse({}, DEFAULTS).within_margin([]) == 0


@pytest.mark.parametrize(
    ("embed", "message"),
    [
        (lambda texts: np.ones((len(texts), 2)), "shape"),
        (lambda texts: np.ones(3), "shape"),
        (lambda texts: np.full((len(texts), 3), np.nan), "finite"),
        (lambda texts: np.zeros((len(texts), 3)), "zeros"),
    ],
)
def test_vectors_that_cannot_be_used(embed: Callable[[list[str]], Any], message: str) -> None:
    with pytest.raises(EmbedderError, match=message):
        vectors_of(embed, ["a", "b"], 3)


def test_vectors_have_length_one() -> None:
    found = vectors_of(lambda texts: torch.full((len(texts), 4), 3.0), ["a"], 4)
    assert np.allclose(found, 0.5) and found.dtype == np.float32


def test_rows() -> None:
    ids = torch.tensor([[0, 0, 1, 5], [7, 8, 9, 3]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    assert rows_of(ids, mask, None).begin == [2, 0]
    longer, new, question = with_bos(ids, mask, mask.bool(), 1, 0)
    assert longer.tolist() == [[0, 0, 0, 1, 5], [1, 7, 8, 9, 3]]
    assert new.tolist() == [[0, 0, 0, 1, 1], [1, 1, 1, 1, 1]]
    assert question is not None and question.tolist() == [[False, False, False, True, True], [False, True, True, True, True]]
    for wrong in ([[1, 1, 0, 0], [1, 1, 1, 1]], [[0, 0, 0, 0], [1, 1, 1, 1]], [[1, 0, 1, 1], [1, 1, 1, 1]]):
        with pytest.raises(PromptError):
            rows_of(ids, torch.tensor(wrong), None)
    with pytest.raises(PromptError, match="shape"):
        rows_of(ids, mask[:, :3], None)
    with pytest.raises(PromptError, match="shape"):
        rows_of(ids[0], None, None)


def small_tokenizer() -> Tokenizer:
    words = ["?", "<s>", "</s>", "ask", "a", "b", "answer", "<", "s", ">", "/"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    return tokenizer


def test_special_tokens_are_parsed_in_templates_alone() -> None:
    config: MemoryConfig = parse({"prompt_template": "<s> ask {question} </s> answer"}, DEFAULTS)
    text = TextTokenizer(small_tokenizer(), config, [1, 2])
    ids, question = prompt_ids(text, config, "a </s> b")
    assert ids == [1, 3, 4, 7, 10, 8, 9, 5, 2, 6]
    assert question == [False, False] + [True] * 6 + [False, False]
    assert text.decode([1, 4, 5, 2]) == "a b"


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(TypeError, match="fast"):
        TextTokenizer(object(), parse({}, DEFAULTS), [])
