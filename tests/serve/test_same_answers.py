"""Streamed answers are those of `mempack ask` (greedy, f32): alone, in a batch, and in a conversation."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import rows
from service import Server
from streams import Stream


def streamed(server, question, **fields):
    with Stream(server, question, timeout=300, **fields) as stream:
        return stream.text()


def test_alone(service, asked):
    for question, answer in list(asked.items())[:2]:
        assert streamed(service, question) == answer


def test_sixteen_at_once(service, asked):
    sixteen = (list(asked) * 3)[:16]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda question: streamed(service, question), sixteen))
    assert answers == [asked[question] for question in sixteen]
    assert service.metrics()["mempack_running"] == 0


def test_all_sample_questions(request, program, folder):
    if not request.config.getoption("--all-questions"):
        pytest.skip("asked for by --all-questions")
    whole = [folder / "whole-medical.mpk", folder / "whole-legal.mpk"]
    for domain, pack in zip(("medical", "legal"), whole, strict=True):
        program.run("build", f"kb-samples/{domain}/corpus.jsonl", "-o", pack)
    all_questions = [row["question"] for domain in ("medical", "legal") for row in rows(domain, "questions.jsonl")]
    expected = {answer["question"]: answer["answer"] for answer in program.ask(whole, [{"question": question} for question in all_questions], folder)}
    with Server(program, folder, *whole, name="whole") as server:
        alone = [question for question in all_questions if streamed(server, question) != expected[question]]
        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(lambda question: streamed(server, question), all_questions))
    together = [question for question, answer in zip(all_questions, answers, strict=True) if answer != expected[question]]
    assert (alone, together) == ([], [])


def test_conversations_go_on_from_what_was_read(service, all_asked):
    for conversation, answer in zip(all_asked.conversations, all_asked.of_conversations, strict=True):
        messages = []
        for turn in conversation["earlier"]:
            messages.append({"role": "user", "content": turn["question"]})
            # The turn itself is asked first, as a client would.
            assert service.post("/v1/chat/completions", {"messages": messages, "max_tokens": 1}).status == 200
            messages.append({"role": "assistant", "content": turn["answer"]})
        messages.append({"role": "user", "content": conversation["question"]})
        reply = service.post("/v1/chat/completions", {"messages": messages}).json()
        assert reply["choices"][0]["message"]["content"] == answer
        usage = reply["usage"]
        assert 0 < usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"], usage
        assert streamed(service, conversation["question"], messages=messages) == answer


def test_an_answer_can_be_sent_back_as_it_came(service, asked):
    (first, _), (second, _) = list(asked.items())[:2]
    message = service.chat(first).json()["choices"][0]["message"]
    reply = service.post("/v1/chat/completions", {"messages": [{"role": "user", "content": first}, message, {"role": "user", "content": second}]})
    assert reply.status == 200, reply.body
