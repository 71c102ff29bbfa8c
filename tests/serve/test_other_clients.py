"""LangChain and curl."""

import json
import subprocess

import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


@pytest.fixture(scope="module")
def chat(service):
    name = service.get("/v1/models").json()["data"][0]["id"]
    return ChatOpenAI(base_url=f"{service.url}/v1", api_key="none", model=name, max_retries=0, timeout=60)


def test_langchain_asks(chat, asked):
    question, answer = next(iter(asked.items()))
    message = chat.invoke(question)
    assert message.content == answer or message.text == answer
    assert message.usage_metadata["output_tokens"] > 0


def test_langchain_streams(chat, asked):
    question, answer = next(iter(asked.items()))
    assert "".join(chunk.text for chunk in chat.stream(question)) == answer


def test_langchain_asks_many(chat, asked):
    few = list(asked.items())[:3]
    assert [message.text for message in chat.batch([question for question, _ in few])] == [answer for _, answer in few]


def test_langchain_holds_a_conversation(chat, asked):
    (first, answer), (second, _) = list(asked.items())[:2]
    assert chat.invoke([("human", first), ("ai", answer), ("human", second)]).text


def test_langchain_embeds(service):
    name = service.get("/v1/models").json()["data"][1]["id"]
    embeddings = OpenAIEmbeddings(base_url=f"{service.url}/v1", api_key="none", model=name, check_embedding_ctx_length=False, max_retries=0)
    documents = embeddings.embed_documents(["one text", "another"])
    assert embeddings.embed_query("one text") == pytest.approx(documents[0], abs=1e-5)


def curl(*arguments, data=None):
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60", *arguments]
    if data is not None:
        command += ["--header", "Content-Type: application/json", "--data", json.dumps(data)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=90)


def test_curl_asks(service, asked):
    question, answer = next(iter(asked.items()))
    body = {"messages": [{"role": "user", "content": question}]}
    done = curl(f"{service.url}/v1/chat/completions", data=body)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == answer
    # A body of unknown length, which is sent in chunks.
    chunked = curl(f"{service.url}/v1/chat/completions", "--header", "Transfer-Encoding: chunked", data=body)
    assert json.loads(chunked.stdout)["choices"][0]["message"]["content"] == answer


def test_curl_streams(service, asked):
    question, answer = next(iter(asked.items()))
    done = curl("-N", "--include", f"{service.url}/v1/chat/completions", data={"stream": True, "messages": [{"role": "user", "content": question}]})
    head, _, body = done.stdout.partition("\n\n")
    assert "content-type: text/event-stream" in head.lower() and "cache-control: no-" in head.lower()
    events = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    deltas = [choice["delta"] for event in events[:-1] for choice in json.loads(event)["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == answer


def test_curl_keeps_a_connection(service):
    done = curl("--verbose", "--http1.1", f"{service.url}/healthz", f"{service.url}/readyz", f"{service.url}/v1/models")
    assert done.stderr.count("Connected to") + done.stderr.count("Established connection") == 1, done.stderr
    assert done.stdout.startswith("ok\nready\n")
