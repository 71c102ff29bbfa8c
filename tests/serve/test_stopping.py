"""How the service ends, and begins again."""

import http.client
import threading
import time

import pytest
from streams import Stream

LONG = {"max_tokens": 60, "temperature": 2, "seed": 9}


@pytest.fixture
def server(small):
    """No other test uses this server after those here."""
    return small


def test_a_start_after_sigkill_is_ready_as_soon_as_a_first_one(server, asked):
    question, answer = next(iter(asked.items()))
    with Stream(server, question, **LONG) as stream:
        next(stream.texts())
        server.kill()
    assert server.process.returncode == -9
    port, began = server.port, time.monotonic()
    # The same port is free at once.
    server.start(port)
    assert (server.port, server.get("/readyz").status) == (port, 200)
    assert time.monotonic() - began < 60
    assert [pack["name"] for pack in server.get("/packs").json()["data"]] == ["medical", "legal"]
    assert server.answer(question) == answer


def test_sigterm_lets_answers_end(server, asked):
    question = next(iter(asked))
    with Stream(server, question, **LONG) as stream:
        texts = stream.texts()
        next(texts)
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        kept.request("GET", "/readyz")
        assert kept.getresponse().read() == b"ready\n"
        ended = threading.Thread(target=server.stop)
        ended.start()
        server.until(lambda: "stopping" in server.log.read_text(), "it begins to end")
        refused = []
        for ask in (lambda: server.chat(question).status, lambda: server.get("/readyz").status, lambda: status_of(kept)):
            try:
                refused.append(ask())
            except (OSError, http.client.HTTPException):
                refused.append(503)
        assert refused == [503, 503, 503], "new requests are refused"
        for _ in texts:
            pass
        assert stream.whole, "the answer under way is completed"
        assert stream.last["choices"][0]["finish_reason"] in ("stop", "length")
    ended.join(60)
    assert server.process.returncode == 0
    assert server.log.read_text().rstrip().endswith("stopped")


def status_of(connection):
    connection.request("POST", "/v1/embeddings", '{"input": "a"}', {"Content-Type": "application/json"})
    return connection.getresponse().status
