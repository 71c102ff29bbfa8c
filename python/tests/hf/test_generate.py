"""`generate` with memories of a real pack, beside the program's own engine."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TextIteratorStreamer

import mempack.hf
from mempack import MismatchError, Mounts, Pack
from mempack.hf import AttachError, ConfigError, ModelError, PromptError, Reader
from mempack.hf.embedder import FolderEmbedder
from mempack.hf.references import compose

from .conftest import READER
from .golden import followed
from .peer import ask, long_questions, sample_questions

TOKENS = 40
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def asked(program: Path, pack_file: Path, base_folder: Path, embedder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the program answers to twenty short questions and to long ones."""
    questions = [*sample_questions(20), *long_questions()]
    return ask(program, pack_file, READER, base_folder, embedder_folder, questions, tmp_path_factory.mktemp("asked"), TOKENS, "--attention")


@pytest.fixture(scope="module")
def embedder(embedder_folder: Path) -> FolderEmbedder:
    return FolderEmbedder(embedder_folder)


@pytest.fixture
def reader(smollm: tuple[Any, Any], pack_file: Path, embedder: FolderEmbedder) -> Iterator[Reader]:
    """The default reader, which reads the medical pack."""
    model, tokenizer = smollm
    attached = mempack.hf.attach(model, tokenizer, pack_file, embedder, READER, attention=True)
    yield attached
    attached.detach()


def answered(reader: Reader, model: Any, questions: list[str], **options: Any) -> SimpleNamespace:
    """Texts of greedy answers, the mean log-probability of their tokens, and what they read."""
    prompts = reader.prompts(questions)
    out = model.generate(**prompts, max_new_tokens=TOKENS, do_sample=False, return_dict_in_generate=True, output_logits=True, **options)
    new = out.sequences[:, prompts["input_ids"].shape[1] :]
    chosen = torch.stack([logits.float().log_softmax(-1).gather(1, new[:, step : step + 1])[:, 0] for step, logits in enumerate(out.logits)], 1)
    eos = model.config.eos_token_id
    lengths = [next((at + 1 for at, token in enumerate(row) if token == eos), len(row)) for row in new.tolist()]
    texts = [reader.tokenizer.decode(row, skip_special_tokens=True).strip() for row in new.tolist()]
    confidences = [float(chosen[row, :length].mean()) for row, length in enumerate(lengths)]
    return SimpleNamespace(texts=texts, confidences=confidences, citations=reader.citations(), lengths=lengths, logits=out.logits, sequences=out.sequences)


def same(found: SimpleNamespace, row: int, expected: dict[str, Any]) -> None:
    """An answer is what the program answers, from the same references, as sure of it."""
    assert found.texts[row] == expected["answer"]
    assert abs(found.confidences[row] - expected["confidence"]) < TOLERANCE
    chunks = found.citations[row]
    assert [(chunk.chunk, chunk.query) for chunk in chunks] == [(chunk["chunk"], chunk["query"]) for chunk in expected["chunks"]]
    for chunk, of_program in zip(chunks, expected["chunks"], strict=True):
        for citation, read in zip(chunk.citations, of_program["reads"], strict=True):
            assert (citation.reference, citation.document, citation.title) == (read["reference"], read["document"], read["title"])
            assert (citation.start, citation.end, citation.text) == (read["start"], read["end"], read["text"])
            assert abs(citation.similarity - read["score"]) < 1e-4
            if read["attention"] is None:
                assert citation.attention is None
            else:
                # The program leaves out the token that ends an answer.
                assert citation.attention is not None and abs(citation.attention - read["attention"]) < 0.05


def test_the_answers_of_the_program_one_by_one(smollm: tuple[Any, Any], reader: Reader, asked: list[dict[str, Any]]) -> None:
    for expected in asked:
        same(answered(reader, smollm[0], [expected["question"]]), 0, expected)


def test_the_answers_of_the_program_in_padded_batches(smollm: tuple[Any, Any], reader: Reader, asked: list[dict[str, Any]]) -> None:
    # Long and short prompts side by side.
    order = [*asked[20:], *asked[:20]]
    for start in range(0, len(order), 8):
        batch = order[start : start + 8]
        found = answered(reader, smollm[0], [expected["question"] for expected in batch])
        for row, expected in enumerate(batch):
            same(found, row, expected)


def test_some_answers_go_past_the_64th_token(asked: list[dict[str, Any]]) -> None:
    """The comparison covers prompts of several chunks, and chunks that begin in an answer."""
    prompts = [expected["prompt_tokens"] for expected in asked]
    assert max(prompts) > 128
    begun = [chunk["chunk"] for expected in asked for chunk in expected["chunks"] if chunk["chunk"] * 64 > expected["prompt_tokens"]]
    assert begun, "no answer begins a chunk"


def test_eager_attention_reads_the_same(smollm: tuple[Any, Any], pack_file: Path, embedder: FolderEmbedder, asked: list[dict[str, Any]]) -> None:
    model, tokenizer = smollm
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    reader = mempack.hf.attach(model, tokenizer, pack_file, embedder, READER, attention=True)
    try:
        some = [asked[0], asked[21], asked[25]]
        found = answered(reader, model, [expected["question"] for expected in some])
        for row, expected in enumerate(some):
            same(found, row, expected)
    finally:
        reader.detach()
        model.set_attn_implementation(before)


def test_a_peft_model(base_folder: Path, pack_file: Path, embedder: FolderEmbedder, asked: list[dict[str, Any]]) -> None:
    """The adapter beside the weights, and without it other logits."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, READER).eval()
    reader = mempack.hf.attach(model, AutoTokenizer.from_pretrained(base_folder), pack_file, embedder, READER, attention=True)
    some = [asked[1], asked[20], asked[25]]
    questions = [expected["question"] for expected in some]
    found = answered(reader, model, questions)
    for row, expected in enumerate(some):
        same(found, row, expected)
    with model.disable_adapter():
        without = answered(reader, model, questions)
    assert (without.logits[0] - found.logits[0]).abs().max() > 10 * TOLERANCE
    again = answered(reader, model, questions)
    assert torch.equal(again.logits[0], found.logits[0])
    reader.detach()


def test_streaming(smollm: tuple[Any, Any], reader: Reader, asked: list[dict[str, Any]]) -> None:
    model, tokenizer = smollm
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    prompts = reader.prompts(asked[2]["question"])
    thread = threading.Thread(target=model.generate, kwargs={**prompts, "max_new_tokens": TOKENS, "do_sample": False, "streamer": streamer})
    thread.start()
    text = "".join(streamer)
    thread.join()
    assert text.strip() == asked[2]["answer"]


def test_beams_and_several_sequences(smollm: tuple[Any, Any], reader: Reader, asked: list[dict[str, Any]]) -> None:
    """One beam is greedy, and two beams find a text that is at least as probable."""
    model = smollm[0]
    prompts = reader.prompts([asked[3]["question"], asked[25]["question"]])
    width = prompts["input_ids"].shape[1]
    options = {"max_new_tokens": 24, "do_sample": False, "return_dict_in_generate": True, "output_scores": True}
    beams = model.generate(**prompts, num_beams=3, num_return_sequences=2, length_penalty=0.0, **options)
    assert len(reader.citations()) == 4
    greedy = model.generate(**prompts, **options)
    for row in range(2):
        # The probability of each text, computed in one pass without a cache.
        texts = [beams.sequences[2 * row, width:], greedy.sequences[row, width:]]
        scores = []
        for text in texts:
            kept = text[: (text == model.config.eos_token_id).nonzero()[0] + 1] if (text == model.config.eos_token_id).any() else text
            scores.append(_log_probability(model, prompts, row, kept))
        assert scores[0] >= scores[1] - 1e-3
        assert abs(scores[0] - float(beams.sequences_scores[2 * row])) < 1e-2


def _log_probability(model: Any, prompts: Any, row: int, text: torch.Tensor) -> float:
    """Forced token by token, as the answer was decoded."""
    start = int(prompts["attention_mask"][row].argmax())
    ids, question = (prompts[name][row : row + 1, start:] for name in ("input_ids", "question_mask"))
    total = 0.0
    with torch.no_grad():
        output = model(input_ids=ids, question_mask=question)
        for token in text:
            total += float(output.logits[0, -1].log_softmax(-1)[token])
            output = model(input_ids=token.view(1, 1), **followed(output))
    return total


def test_without_a_cache_the_logits_are_the_same(smollm: tuple[Any, Any], reader: Reader, asked: list[dict[str, Any]]) -> None:
    questions = [asked[25]["question"], asked[0]["question"]]
    cached, fresh = (answered(reader, smollm[0], questions, use_cache=use) for use in (True, False))
    assert cached.texts == fresh.texts
    assert max(float((a - b).abs().max()) for a, b in zip(cached.logits, fresh.logits, strict=True)) < TOLERANCE


def test_a_static_cache(smollm: tuple[Any, Any], reader: Reader, asked: list[dict[str, Any]]) -> None:
    found = answered(reader, smollm[0], [asked[0]["question"], asked[25]["question"]], cache_implementation="static")
    assert found.texts == [asked[0]["answer"], asked[25]["answer"]]


def test_rows_do_not_see_each_other(smollm: tuple[Any, Any], reader: Reader, asked: list[dict[str, Any]]) -> None:
    first, other, third = (asked[number]["question"] for number in (4, 5, 21))
    alone = answered(reader, smollm[0], [first])
    for companion in (other, third):
        beside = answered(reader, smollm[0], [first, companion])
        assert beside.texts[0] == alone.texts[0]
        assert max(float((a[0] - b[0]).abs().max()) for a, b in zip(alone.logits, beside.logits, strict=False)) < TOLERANCE


def test_unmarked_input_queries_with_all_of_its_text(smollm: tuple[Any, Any], reader: Reader) -> None:
    """Text of the tokenizer alone: the BOS is added within, and what comes back begins with what was given."""
    model, tokenizer = smollm
    tokenizer.padding_side = "left"
    texts = ["Velmorine is a medicine with an elimination half-life of", "The antidote to a velmorine overdose is"]
    given = tokenizer(texts, return_tensors="pt", padding=True)
    out = model.generate(**given, max_new_tokens=8, do_sample=False)
    assert torch.equal(out[:, : given["input_ids"].shape[1]], given["input_ids"])
    assert [row[0].query for row in reader.citations()] == texts
    marked = torch.cat([torch.tensor([[model.config.bos_token_id]] * 2), torch.zeros(2, 0, dtype=torch.long)], 1)
    for row, text in enumerate(texts):
        ids = torch.cat([marked[:1], tokenizer(text, return_tensors="pt")["input_ids"]], 1)
        alone = model.generate(ids, max_new_tokens=8, do_sample=False)
        own, beside = alone[0, ids.shape[1] :], out[row, given["input_ids"].shape[1] :]
        assert torch.equal(own, beside[: len(own)])
        assert (beside[len(own) :] == model.config.pad_token_id).all()


def test_off_and_detach(smollm: tuple[Any, Any], reader: Reader, asked: list[dict[str, Any]]) -> None:
    model, _ = smollm
    prompts = reader.prompts([asked[0]["question"]])
    plain_prompts = {name: prompts[name] for name in ("input_ids", "attention_mask")}
    options = {"max_new_tokens": 12, "do_sample": False}
    with reader.off():
        assert "generate" not in model.__dict__
        plain = model.generate(**plain_prompts, **options)
    read = model.generate(**prompts, **options)
    assert not torch.equal(plain, read)
    reader.detach()
    assert torch.equal(model.generate(**plain_prompts, **options), plain)
    with pytest.raises(AttachError, match="detached"):
        reader._install()
    reader.detach()


def test_memories_are_those_that_the_compiler_wrote(smollm: tuple[Any, Any], pack_file: Path) -> None:
    """The pack's codec is lossy: keys and values come back within its error, and the tokens that are kept are nearly all the same."""
    model, tokenizer = smollm
    pack = Pack(pack_file)
    references = list(range(0, len(pack), max(len(pack) // 24, 1)))
    titles = [pack.document(reference).title for reference in references]
    found = mempack.hf.encode(model, tokenizer, [pack.text(reference) for reference in references], READER, titles=titles)
    stored = pack.memory(references)
    assert (found.counts == stored.counts).all()
    agree = (found.positions == stored.positions)[stored.positions >= 0]
    assert agree.mean() > 0.99
    alike = (found.positions == stored.positions) & (stored.positions >= 0)
    for own, packed in ((found.keys, stored.keys), (found.values, stored.values)):
        error = np.square(own[alike] - packed[alike]).sum() / np.square(own[alike]).sum()
        assert error < 0.02


def test_the_embedder_gives_the_vectors_of_the_pack(reader: Reader, pack_file: Path, embedder: FolderEmbedder) -> None:
    pack = Pack(pack_file)
    references = list(range(len(pack)))
    own = embedder([compose(reader._text, reader.config, pack.document(reference).title, pack.text(reference)).text for reference in references])
    assert np.abs(own - pack.embeddings(references)).max() < 1e-4


def test_packs_that_change(smollm: tuple[Any, Any], pack_file: Path, embedder: FolderEmbedder, asked: list[dict[str, Any]]) -> None:
    model, tokenizer = smollm
    mounts = Mounts({"first": Pack(pack_file)})
    reader = mempack.hf.attach(model, tokenizer, mounts, embedder, READER)
    try:
        assert answered(reader, model, [asked[0]["question"]]).citations[0][0].citations[0].pack == "first"
        mounts.mount("second", Pack(pack_file))
        mounts.unmount("first")
        found = answered(reader, model, [asked[0]["question"]])
        assert found.citations[0][0].citations[0].pack == "second"
        assert found.texts == [asked[0]["answer"]]
    finally:
        reader.detach()


def test_what_does_not_fit(smollm: tuple[Any, Any], pack_file: Path, embedder: FolderEmbedder, reader: Reader) -> None:
    model, tokenizer = smollm
    with pytest.raises(AttachError, match="already"):
        mempack.hf.attach(model, tokenizer, pack_file, embedder, READER)
    prompts = reader.prompts(["a question", "a longer question than that"])
    with pytest.raises(PromptError, match="left"):
        model.generate(input_ids=prompts["input_ids"], attention_mask=prompts["attention_mask"].flip(1))
    with pytest.raises(TypeError, match="input_ids"):
        model.generate(inputs_embeds=torch.zeros(1, 2, 576))
    with pytest.raises(PromptError, match="BOS"):
        model(torch.tensor([[5, 6, 7]]))
    with pytest.raises(TypeError, match="question"):
        reader.prompts([3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="no questions"):
        reader.prompts([])
    reader.detach()
    with pytest.raises(ValueError, match="k is 6"):
        mempack.hf.attach(model, tokenizer, pack_file, embedder, READER, k=6)
    with pytest.raises(TypeError, match="embedder"):
        mempack.hf.attach(model, tokenizer, pack_file, 3, READER)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="causal"):
        mempack.hf.attach(object(), tokenizer, pack_file, embedder, READER)
    with pytest.raises(ConfigError, match="similarity_bias"):
        mempack.hf.attach(model, tokenizer, pack_file, embedder, {"similarity_bias": "much"})
    assert "generate" not in model.__dict__


def test_another_model_is_named_before_anything_is_generated(smollm: tuple[Any, Any], pack_file: Path, embedder: FolderEmbedder) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    from mempack.hf.config import read_block

    model, tokenizer = smollm
    block = read_block(READER)[0]
    for field, value, name in [
        ("first_memory_layer", 4, "first memory layer"),
        ("reference_length", 65, "reference length"),
        ("reference_prefix_ids", [1], "prefix ids"),
        ("tokens_per_head", 8, "tokens per head"),
        ("reference_template", "{text}", "reference template"),
    ]:
        with pytest.raises(MismatchError, match=name) as caught:
            mempack.hf.attach(model, tokenizer, pack_file, embedder, {**block, field: value})
        assert name in [difference[0] for difference in caught.value.differences]
    shape = {
        "vocab_size": 49152,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    other = LlamaForCausalLM(LlamaConfig(num_hidden_layers=26, **shape))
    with pytest.raises(MismatchError, match="layers") as caught:
        mempack.hf.attach(other, tokenizer, pack_file, embedder)
    assert {"layers", "query heads", "key-value heads", "head dimension", "architecture"} <= {difference[0] for difference in caught.value.differences}

    def another(texts: list[str]) -> Any:
        return np.random.default_rng(0).normal(size=(len(texts), 384))

    with pytest.raises(MismatchError, match="embedder"):
        mempack.hf.attach(model, tokenizer, pack_file, another, READER)
    flash = model.config._attn_implementation
    model.config._attn_implementation = "flex_attention"
    try:
        with pytest.raises(ModelError, match="sdpa"):
            mempack.hf.attach(model, tokenizer, pack_file, embedder, READER)
    finally:
        model.config._attn_implementation = flash
