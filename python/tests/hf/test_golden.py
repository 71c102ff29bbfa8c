"""Memories written and read as the definition says, on small models of each family."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from mempack.hf import encode, retrieval
from mempack.hf.architecture import architecture_of, rotated
from mempack.hf.config import parse

from .golden import NAMES, Fixture, StandIn, followed, reader_of, word_tokenizer
from .oracle import Oracle

TOLERANCE = 1e-3


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set of packs that is pinned is the stand-in itself."""
    monkeypatch.setattr(retrieval, "Mounts", lambda packs: next(iter(packs.values())))


@pytest.fixture(params=NAMES)
def fixture(request: pytest.FixtureRequest) -> Fixture:
    return Fixture(request.param)


@pytest.fixture(params=["sdpa", "eager"])
def implementation(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def installed(fixture: Fixture, model: Any, **options: Any) -> tuple[Any, StandIn, list[int], int]:
    reader, pack = reader_of(fixture, model, **options)
    reader._install()
    return reader, pack, fixture.cases["text"], reader.config.retrieval_interval


def ids_of(model: Any, text: list[int]) -> torch.Tensor:
    return torch.tensor([[model.config.bos_token_id, *text]])


def test_what_is_written(fixture: Fixture) -> None:
    model = fixture.model()
    architecture = architecture_of(model)
    block = fixture.block()
    config = parse(block, architecture.defaults())
    keys, values, positions, counts = encode(model, word_tokenizer(architecture.vocabulary), fixture.cases["references"], block)
    prefix = len(config.reference_prefix_ids)
    for reference in range(len(fixture.cases["references"])):
        for layer in range(config.num_memory_layers):
            index, key, value = (fixture.expected[f"write.{reference}.{layer}.{part}"] for part in ("index", "key", "value"))
            held = index.shape[1]
            assert (counts[reference, layer] == held).all()
            assert (positions[reference, layer, :, :held] == index.numpy()).all()
            assert (positions[reference, layer, :, held:] == -1).all()
            kind = architecture.kinds[config.first_memory_layer + layer]
            cos, sin = architecture.rotation(kind, range(prefix, prefix + config.reference_length))
            turned = rotated(torch.from_numpy(keys[reference, layer, :, :held]), cos[index], sin[index])
            assert torch.allclose(turned, key, atol=1e-4, rtol=1e-4)
            assert torch.allclose(torch.from_numpy(values[reference, layer, :, :held]), value, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("biased", [True, False])
def test_a_whole_prompt(fixture: Fixture, implementation: str, biased: bool) -> None:
    model = fixture.model(implementation)
    _, pack, text, interval = installed(fixture, model, biased=biased)
    pack.expect(text, len(text), interval)
    with torch.no_grad():
        logits = model(ids_of(model, text)).logits[0]
    expected = fixture.expected["read.logits_biased" if biased else "read.logits"]
    assert (logits - expected).abs().max() < TOLERANCE
    assert (logits - fixture.expected["read.logits_no_memory"]).abs().max() > 10 * TOLERANCE


@pytest.mark.parametrize("share", [0.3, 0.55, 0.9])
def test_a_prompt_and_then_tokens_one_by_one(fixture: Fixture, implementation: str, share: float) -> None:
    model = fixture.model(implementation)
    _, pack, text, interval = installed(fixture, model)
    prompt = int(len(text) * share)
    assert prompt % interval != 0
    pack.expect(text, prompt, interval)
    whole = ids_of(model, text)
    with torch.no_grad():
        output = model(whole[:, : prompt + 1])
        found = [output.logits[0]]
        for column in range(prompt + 1, whole.shape[1]):
            output = model(whole[:, column : column + 1], **followed(output))
            found.append(output.logits[0])
    # Chunks that the prompt begins and does not end have other queries, and the same lists.
    assert (torch.cat(found) - fixture.expected["read.logits_biased"]).abs().max() < TOLERANCE


def test_rows_with_padding_are_what_they_are_alone(fixture: Fixture, implementation: str) -> None:
    model = fixture.model(implementation)
    _, pack, text, interval = installed(fixture, model)
    lengths = [len(text), interval + 3, 5]
    for length in lengths:
        pack.expect(text[:length], length, interval)
    width = max(lengths) + 1
    rows = [[0] * (width - 1 - length) + ids_of(model, text[:length])[0].tolist() for length in lengths]
    mask = [[0] * (width - 1 - length) + [1] * (length + 1) for length in lengths]
    with torch.no_grad():
        together = model(torch.tensor(rows), attention_mask=torch.tensor(mask)).logits
        for row, length in enumerate(lengths):
            alone = model(ids_of(model, text[:length])).logits[0]
            assert (together[row, width - 1 - length :] - alone).abs().max() < TOLERANCE


def test_steps_of_rows_with_padding(fixture: Fixture) -> None:
    model = fixture.model()
    _, pack, text, interval = installed(fixture, model)
    lengths, steps = [interval + 5, interval // 2, 3], interval + 4
    for length in lengths:
        pack.expect(text[: length + steps], length, interval)
    width = max(lengths) + 1
    rows = torch.tensor([[0] * (width - 1 - length) + ids_of(model, text[:length])[0].tolist() for length in lengths])
    mask = torch.tensor([[0] * (width - 1 - length) + [1] * (length + 1) for length in lengths])
    with torch.no_grad():
        output = model(rows, attention_mask=mask)
        batched = [output.logits[:, -1]]
        for step in range(steps - 1):
            mask = torch.cat([mask, torch.ones(3, 1, dtype=torch.long)], 1)
            new = torch.tensor([[text[length + step]] for length in lengths])
            output = model(new, attention_mask=mask, **followed(output))
            batched.append(output.logits[:, -1])
        for row, length in enumerate(lengths):
            output = model(ids_of(model, text[:length]))
            assert (batched[0][row] - output.logits[0, -1]).abs().max() < TOLERANCE
            for step in range(steps - 1):
                output = model(torch.tensor([[text[length + step]]]), **followed(output))
                assert (batched[step + 1][row] - output.logits[0, -1]).abs().max() < TOLERANCE


def test_off_and_detach_leave_the_model_as_it_was(fixture: Fixture, implementation: str) -> None:
    model = fixture.model(implementation)
    text = fixture.cases["text"]
    before = dict(model.__dict__)
    with torch.no_grad():
        plain = model(ids_of(model, text)).logits
        reader, pack, _, interval = installed(fixture, model)
        pack.expect(text, len(text), interval)
        read = model(ids_of(model, text)).logits
        assert (read - plain).abs().max() > 10 * TOLERANCE
        with reader.off():
            assert not reader.active
            assert torch.equal(model(ids_of(model, text)).logits, plain)
            assert model.__dict__ == before
        assert torch.equal(model(ids_of(model, text)).logits, read)
        reader.detach()
        assert torch.equal(model(ids_of(model, text)).logits, plain)
    assert model.config._attn_implementation == implementation
    assert model.__dict__ == before
    assert not model.model._forward_pre_hooks


@pytest.mark.parametrize("table", ["uneven", "empty heads and layers"])
def test_a_head_budget(fixture: Fixture, implementation: str, table: str) -> None:
    """Heads that keep different numbers of tokens, some none, as the slow oracle reads them: in a prompt and token by token."""
    model = fixture.model(implementation)
    block = fixture.block()
    defaults = architecture_of(model).defaults()
    config = parse(block, defaults)
    counts = [[1 + (2 * layer + head) % 5 for head in range(defaults.heads)] for layer in range(config.num_memory_layers)]
    if table != "uneven":
        counts = [[0] * defaults.heads for _ in counts]
        counts[-1][-1] = 6
    block = {**block, "tokens_per_head": counts}
    reader, pack = reader_of(fixture, model, block=block)
    text, interval = fixture.cases["text"][: 2 * config.retrieval_interval - 3], config.retrieval_interval
    prompt = interval + 2
    pack.expect(text, prompt, interval)
    oracle = Oracle(model, reader.config, pack.memories)
    with torch.no_grad():
        expected = oracle.read(text, fixture.cases["retrieved"][:2], fixture.cases["similarity"][:2])
        even = Oracle(model, config, encode(model, reader.tokenizer, fixture.cases["references"], fixture.block()))
        whole = even.read(text, fixture.cases["retrieved"][:2], fixture.cases["similarity"][:2])
        reader._install()
        output = model(ids_of(model, text[:prompt]))
        found = [output.logits[0]]
        for token in text[prompt:]:
            output = model(torch.tensor([[token]]), **followed(output))
            found.append(output.logits[0])
    assert (torch.cat(found) - expected).abs().max() < TOLERANCE
    assert (expected - whole).abs().max() > 2 * TOLERANCE


def test_shares_of_attention(fixture: Fixture, implementation: str) -> None:
    """The means of what the slow oracle finds, over the tokens that predict an answer: the last of the prompt and those after it."""
    model = fixture.model(implementation)
    block = fixture.block()
    defaults = architecture_of(model).defaults()
    layers = parse(block, defaults).num_memory_layers
    block = {**block, "tokens_per_head": [[(layer + head) % 4 for head in range(defaults.heads)] for layer in range(layers)]}
    reader, pack = reader_of(fixture, model, watch=True, block=block)
    interval = reader.config.retrieval_interval
    prompt, text = interval + 4, fixture.cases["text"][: interval + 9]
    pack.expect(text, prompt, interval)
    oracle = Oracle(model, reader.config, pack.memories)
    with torch.no_grad():
        oracle.read(text, fixture.cases["retrieved"][:2], fixture.cases["similarity"][:2])
        reader._install()
        output = model(ids_of(model, text[:prompt]))
        for token in text[prompt:]:
            output = model(torch.tensor([[token]]), **followed(output))
    chunks = reader._passes.followed()[0]
    assert [chunk.chunk for chunk in chunks] == [0, 1]
    assert chunks[0].attention is None
    expected = torch.stack([oracle.shares[token] for token in range(prompt - 1, len(text))]).mean(0)
    assert chunks[1].attention is not None
    assert torch.allclose(torch.tensor(chunks[1].attention), expected, atol=1e-5)
    assert expected.sum() > 0.01


@pytest.mark.parametrize(("name", "what"), [("llama_mha", "forward"), ("gemma3_windows", "model")])
def test_a_compiled_model_reads_the_same(name: str, what: str) -> None:
    """Memories stay out of the compiled graphs, which break at each layer's attention."""
    fixture = Fixture(name)
    model = fixture.model()
    reader, pack, text, interval = installed(fixture, model)
    prompt = interval + 2
    pack.expect(text, prompt, interval)
    torch.compiler.reset()
    if what == "forward":
        model.forward = torch.compile(model.forward, backend="eager")
        compiled = model
    else:
        compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        output = compiled(ids_of(model, text[:prompt]))
        found = [output.logits[0]]
        for token in text[prompt : prompt + interval - 1]:
            output = compiled(torch.tensor([[token]]), **followed(output))
            found.append(output.logits[0])
    expected = fixture.expected["read.logits_biased"][: prompt + interval]
    assert (torch.cat(found) - expected).abs().max() < TOLERANCE
    reader.detach()
    torch.compiler.reset()
