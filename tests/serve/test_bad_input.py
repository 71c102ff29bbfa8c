"""What bad input gets, while everybody else's answers go on."""

import json
import selectors
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from streams import Stream, post, raw, read_all

CHAT = "/v1/chat/completions"
GOOD = {"messages": [{"role": "user", "content": "What is it?"}], "max_tokens": 1}


@pytest.fixture(autouse=True)
def _others_are_answered(others):
    yield
    assert not others.failures, others.failures[:3]


@pytest.fixture
def go_on(others):
    """After the test others get an answer to a question that they ask then."""
    yield
    others.go_on()


def all_refused(service, path, cases, code):
    """Every case, with its field, is refused with status 400, this code and the field's name; a list of those that are not."""
    wrong = []
    for body, param in cases:
        reply = service.post(path, body)
        error = reply.error if reply.status >= 400 else {}
        if (reply.status, error.get("code"), error.get("param")) != (400, code, param):
            wrong.append((str(body)[:100], param, reply.status, error))
    return wrong


def refused(reply, status, code, param=None):
    error = reply.error
    assert (reply.status, error["code"], error["param"]) == (status, code, param), error
    return error["message"]


# What is no request, and why.
BODIES = {
    "nothing": b"",
    "cut short": b'{"messages": [',
    "no JSON": b"messages=What",
    "two values": b'{"messages": []} {}',
    "not UTF-8": b'{"messages": [{"role": "user", "content": "\xff\xfe"}]}',
    "UTF-16": json.dumps(GOOD).encode("utf-16"),
    "half a surrogate pair": b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "deep in a field": b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a list": b"[1]",
    "null": b"null",
    "a number out of range": b'{"messages": [], "temperature": 1e999}',
}


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings"])
def test_bodies_that_are_no_request(service, path, go_on):
    assert all_refused(service, path, [(body, None) for body in BODIES.values()], "invalid_body") == []


# Fields with wrong values, and the field that is named.
WRONG = [
    ({"messages": "What?"}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": "a", "colour": 1}]}, "messages[0].colour"),
    ({"messages": [{"role": "assistant", "content": "a"}]}, "messages[0].role"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_p": 0, "temperature": 1}, "top_p"),
    ({"n": 0}, "n"),
    ({"n": 1000}, "n"),
    ({"n": 2.5}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 10**9}, "max_tokens"),
    ({"max_tokens": 2, "max_completion_tokens": 3}, "max_tokens"),
    ({"seed": 2**70}, "seed"),
    ({"stop": [""]}, "stop"),
    ({"stop": list("abcde")}, "stop"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"k": -1}, "k"),
    ({"k": 0}, "k"),
    ({"k": 10**9}, "k"),
    ({"packs": "legal"}, "packs"),
    ({"citations": "all"}, "citations"),
    ({"strategy": "best"}, "strategy"),
    ({"memories": True, "texts": True}, "texts"),
    ({"where": 3}, "where"),
]


def test_wrong_values_are_refused_by_name(service):
    assert all_refused(service, CHAT, [({**GOOD, **fields}, param) for fields, param in WRONG], "invalid_value") == []


# Fields that are not supported, and the field that is named.
UNSUPPORTED = [
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"logit_bias": {"1": 5}}, "logit_bias"),
    ({"presence_penalty": 0.5}, "presence_penalty"),
    ({"frequency_penalty": 1}, "frequency_penalty"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"audio": {"voice": "any"}}, "audio"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"prediction": {"type": "content", "content": "a"}}, "prediction"),
    ({"reasoning_effort": "high"}, "reasoning_effort"),
    ({"store": True}, "store"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"rerank": True}, "rerank"),
    ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
    ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]}, "messages[0].content[0].type"),
]


def test_an_empty_list_of_packs(service):
    refused(service.post(CHAT, {**GOOD, "packs": []}), 400, "invalid_value", "packs")


def test_what_is_not_supported_is_refused_by_name(service):
    assert all_refused(service, CHAT, [({**GOOD, **fields}, param) for fields, param in UNSUPPORTED], "unsupported_parameter") == []


def test_a_system_message_is_read_before_the_conversation(service):
    plain, told = (service.post(CHAT, {"messages": [*more, *GOOD["messages"]], "max_tokens": 1}) for more in ([], [{"role": "system", "content": "Be brief."}]))
    assert (plain.status, told.status) == (200, 200)
    assert told.json()["usage"]["prompt_tokens"] > plain.json()["usage"]["prompt_tokens"]


def test_fields_that_ask_for_nothing_are_accepted(service):
    nothing = {"tools": [], "presence_penalty": 0, "response_format": {"type": "text"}, "store": False, "logit_bias": {}, "metadata": None}
    assert service.post(CHAT, {**GOOD, **nothing}).status == 200


def test_a_prompt_longer_than_the_context(service):
    for path, fields in [(CHAT, {"messages": [{"role": "user", "content": "word " * 20_000}]}), ("/v1/completions", {"prompt": "word " * 20_000})]:
        reply = service.post(path, {**fields, "max_tokens": 1})
        assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded"), reply.body


def test_a_wrong_filter_is_told_with_its_position(service):
    message = refused(service.chat("What?", where='date > "2020" && colour == "red"'), 400, "invalid_value", "where")
    assert "character 18 " in message and "colour" in message
    assert "character 7 " in refused(service.chat("What?", where="date >"), 400, "invalid_value", "where")
    refused(service.chat("What?", where="(" * 5_000), 400, "invalid_value", "where")
    refused(service.chat("What?", where="date == 3"), 400, "invalid_value", "where")


def test_unknown_packs_and_models(service):
    refused(service.chat("What?", packs=["legal", "tax"]), 404, "pack_not_found", "packs")
    refused(service.chat("What?", model="another"), 404, "model_not_found", "model")
    refused(service.get("/v1/models/another"), 404, "model_not_found")


def test_addresses_and_methods_that_are_not_there(service):
    refused(service.get("/v1/nothing"), 404, "unknown_url")
    refused(service.get(CHAT), 405, "wrong_method")


def test_names_that_are_not_utf_8(service):
    for method, path in [("GET", "/v1/models/%ff"), ("DELETE", "/packs/%ff")]:
        reply = service.request(method, path)
        assert 400 <= reply.status < 500 and reply.error["message"], (path, reply.body)


def test_a_body_of_100_megabytes(service, go_on):
    before = service.resident()
    # Of known length, and of unknown length. The server may end the connection while it is sent.
    for length, chunk in [(b"Content-Length: 104857600", b" " * 0x10000), (b"Transfer-Encoding: chunked", b"10000\r\n" + b" " * 0x10000 + b"\r\n")]:
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
            connection.sendall(post(CHAT, b"").replace(b"Content-Length: 0", length))
            sent = 0
            try:
                while sent < 100 << 20:
                    connection.sendall(chunk)
                    sent += 0x10000
            except OSError:
                pass
            status, received = read_all(connection, 5)
        assert sent < 50 << 20, "the server reads no further than it must"
        assert status in (413, None), received[:300]
    assert service.resident() - before < 64 << 20
    # A body of a byte more than the most is refused with a reply, one of the most is read.
    refused(service.post(CHAT, b" " * ((4 << 20) + 1)), 413, "request_too_large")
    refused(service.post(CHAT, b" " * (4 << 20)), 400, "invalid_body")


def test_a_body_that_is_announced_as_too_large_is_refused_at_once(service):
    request = post(CHAT, b"").replace(b"Content-Length: 0", b"Content-Length: 104857600")
    status, received = raw(service.port, request + b"{", timeout=2)
    assert status == 413 and b"request_too_large" in received


def test_a_long_header_and_no_http(service, go_on):
    status, _ = raw(service.port, b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n", timeout=5)
    assert status in (431, 400, None)
    for nonsense in [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"\x00" * 1000, b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]:
        status, _ = raw(service.port, nonsense, timeout=5)
        assert status in (400, 505, 408, None), nonsense


def test_a_client_that_sends_a_byte_a_second(service, go_on):
    """The server of these tests waits 3 s for a request."""
    request = post(CHAT, json.dumps(GOOD).encode())
    head = request.index(b"\r\n\r\n") + 4
    # Slow with the headers, and slow with the body.
    slow = [(request, 10), (request[head:], 0)]
    connections = [socket.create_connection(("127.0.0.1", service.port), timeout=20) for _ in slow]
    connections[1].sendall(request[:head])
    began, ended = time.monotonic(), [None, None]
    for second in range(12):
        for at, connection in enumerate(connections):
            if ended[at] is None:
                connection.settimeout(0.5)
                try:
                    connection.sendall(slow[at][0][second : second + 1])
                    part = connection.recv(1 << 16)
                except TimeoutError:
                    continue
                except ConnectionError:
                    part = b""
                ended[at] = part
                assert 2.5 < time.monotonic() - began < 6
        if None not in ended:
            break
    for connection in connections:
        connection.close()
    assert ended[0] is not None and (ended[0] == b"" or b" 408 " in ended[0]), ended
    assert ended[1] is not None and b" 408 " in ended[1] and b"request_timeout" in ended[1], ended


def test_a_slow_body_of_any_endpoint(service):
    """The server of these tests waits 3 s for a request."""
    paths = ["/v1/completions", "/v1/embeddings"]
    with ThreadPoolExecutor() as threads:
        assert list(threads.map(lambda path: slow_body(service, path), paths)) == [408, 408]


def test_a_slow_body_at_mcp(service):
    assert slow_body(service, "/mcp") in (408, None)


def test_a_broken_body_at_mcp(service):
    head = post("/mcp", b"", "Accept: application/json, text/event-stream").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    status, received = raw(service.port, head + b"5\r\n{\"jso\r\nno length\r\n", timeout=10)
    assert status in (400, None), received


def slow_body(service, path):
    """The status of a request whose body does not come; -1 if the server waits for it."""
    request = post(path, b"{", "Accept: application/json, text/event-stream").replace(b"Content-Length: 1", b"Content-Length: 100")
    began = time.monotonic()
    status, _ = raw(service.port, request, timeout=5)
    return status if time.monotonic() - began < 4.8 else -1


def test_a_client_that_promises_more_than_it_sends(service, go_on):
    body = json.dumps(GOOD).encode()
    request = post(CHAT, body).replace(f"Content-Length: {len(body)}".encode(), f"Content-Length: {len(body) + 10}".encode())
    status, received = raw(service.port, request, timeout=10, half_close=True)
    assert status in (400, None), received
    status, _ = raw(service.port, request[:40], timeout=10, half_close=True)
    assert status in (400, 408, None)


def test_a_half_closed_connection_gets_its_answer_or_nothing(service, asked, go_on):
    """A client that has sent its request and then closes its side may still read, or be taken for one that has gone."""
    question, answer = next(iter(asked.items()))
    request = post(CHAT, json.dumps({"messages": [{"role": "user", "content": question}]}).encode())
    status, received = raw(service.port, request, timeout=30, half_close=True)
    assert (status == 200 and answer.encode() in received) or received == b"", received[:300]


def test_clients_that_vanish_free_their_places(service, others, go_on):
    others.go_on()
    cancelled = 'mempack_requests_total{endpoint="/v1/chat/completions",outcome="cancelled"}'
    before = service.metrics().get(cancelled, 0)
    long = {"max_tokens": 1000, "temperature": 2, "seed": 3, "n": 7, "memories": False}
    with Stream(service, "Tell a long story.", **long) as stream:
        next(stream.texts())
        # Another waits for its whole answers.
        whole = socket.create_connection(("127.0.0.1", service.port), timeout=20)
        whole.sendall(post(CHAT, json.dumps({"messages": [{"role": "user", "content": "Tell a long story."}], **long}).encode()))
        service.until(lambda: service.metrics()["mempack_running"] >= 10, "14 answers are decoded")
        whole.close()
    # One answer at most is that of the others.
    service.until(lambda: service.metrics()["mempack_running"] <= 1, "the places are free", seconds=5)
    service.until(lambda: service.metrics().get(cancelled, 0) == before + 2, "both are counted")


def test_a_client_that_sends_and_does_not_read(service, go_on):
    """It sends many requests on one connection and reads nothing; after the time for reading (3 s) the server ends the connection."""
    request = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Padding: " + b"x" * 4000 + b"\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", service.port))
        connection.settimeout(0.5)
        sent, most = 0, 20_000
        try:
            while sent < most:
                connection.sendall(request * 100)
                sent += 100
        except TimeoutError:
            pass
        assert sent < most, "the server does not read on"
        time.sleep(3.5)
        _, received = read_all(connection, 10)
    assert 0 < received.count(b"HTTP/1.1 200") < sent, "what was not read in time is lost"


def test_a_client_that_does_not_read_its_stream(service, thorough, go_on):
    """What a stream has sent waits for the client until the time for reading is over; then its places are free."""
    if not thorough:
        pytest.skip("asked for by --thorough")
    options = {"stream": True, "n": 7, "max_tokens": 2000, "temperature": 2, "seed": 1, "logprobs": True, "top_logprobs": 20, "memories": False}
    body = json.dumps({"messages": [{"role": "user", "content": "Tell a long story."}], **options}).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", service.port))
        connection.sendall(post(CHAT, body))
        service.until(lambda: service.metrics()["mempack_running"] >= 5, "the answers are decoded")
        service.until(lambda: service.metrics()["mempack_running"] <= 1, "the places are free", seconds=240)


def test_idle_connections(service, thorough, others):
    """The server of this test has room for 11,000 connections."""
    connections = []
    try:
        for _ in range(10_000 if thorough else 2_000):
            connections.append(socket.create_connection(("127.0.0.1", service.port), timeout=20))
        others.go_on()
    finally:
        for connection in connections:
            connection.close()
    others.go_on()


def test_connections_beyond_the_limit_are_closed(small, asked):
    """The server of this test has room for 64 connections. Those that it has go on. Which of a burst get in is not said: each is accepted by a task of its own."""
    question = next(iter(asked))
    connections = []
    try:
        with Stream(small, question, max_tokens=20, temperature=2, seed=2) as stream:
            texts = stream.texts()
            next(texts)
            for _ in range(100):
                connections.append(socket.create_connection(("127.0.0.1", small.port), timeout=20))
            ended = ends_of(connections, 100 - 64 + 1, seconds=10)
            assert ended >= 100 - 64 + 1, "one place is the stream's"
            for _ in texts:
                pass
            assert stream.whole
    finally:
        for connection in connections:
            connection.close()
    small.until(lambda: answers(small), "there is room again")


def ends_of(connections, least, seconds):
    """How many connections the server has ended, once it is `least` or the time is over. Nothing else is sent on them."""
    with selectors.DefaultSelector() as waiting:
        for connection in connections:
            waiting.register(connection, selectors.EVENT_READ)
        ended, last = 0, time.monotonic() + seconds
        while ended < least and time.monotonic() < last:
            for key, _ in waiting.select(timeout=0.1):
                waiting.unregister(key.fileobj)
                ended += closed(key.fileobj)
        return ended


def closed(connection):
    """Whether the server has ended a connection from which something can be read."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def answers(server):
    try:
        return server.get("/healthz").status == 200
    except OSError:
        return False


def test_a_full_queue(small, asked):
    """The server of this test decodes 1 answer, and 2 wait."""
    question, answer = next(iter(asked.items()))
    long = {"max_tokens": 200, "temperature": 2, "seed": 5}
    with Stream(small, question, **long) as running:
        next(running.texts())
        with Waiting(small, question) as waiting:
            small.until(lambda: small.metrics()["mempack_waiting"] == 2, "2 questions wait")
            for _ in range(3):
                reply = small.chat(question)
                assert (reply.status, reply.error["code"]) == (429, "queue_full")
                assert int(reply.headers["Retry-After"]) >= 1
            running.close()
            assert waiting.answers() == [answer, answer]
    # Afterwards there is room.
    assert small.answer(question) == answer


class Waiting:
    """Two questions that wait."""

    def __init__(self, server, question):
        self.connections = [socket.create_connection(("127.0.0.1", server.port), timeout=90) for _ in range(2)]
        for connection in self.connections:
            connection.sendall(post(CHAT, json.dumps({"messages": [{"role": "user", "content": question}]}).encode()))

    def answers(self):
        bodies = [read_all(connection, 90)[1].partition(b"\r\n\r\n")[2] for connection in self.connections]
        return [json.loads(body)["choices"][0]["message"]["content"] for body in bodies]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.connections:
            connection.close()


def test_a_pack_that_is_damaged_while_it_is_served(folder, asked, server_of_copies):
    server, medical = server_of_copies
    question = next(iter(asked))
    good = {"What does the other pack tell?": server.answer("What does the other pack tell?", packs=["legal"])}
    assert server.answer(question, packs=["medical"])
    with medical.open("r+b") as file:
        file.seek(0, 2)
        for at in range(file.tell() // 4, file.tell(), 512):
            file.seek(at)
            file.write(b"\xa5" * 64)
    # A filter gives another set, whose memories are read anew.
    reply = server.chat(question, packs=["medical"], where='id != "none"', exact=True)
    if reply.status != 200:
        assert (reply.status, reply.error["code"]) == (500, "pack_damaged"), reply.body
        assert str(folder) not in reply.body.decode()
    medical.write_bytes(b"")
    for _ in range(3):
        reply = server.chat(question, packs=["medical"], where='id != "no"', exact=True)
        assert reply.status in (200, 500), reply.body
    for known, expected in good.items():
        assert server.answer(known, packs=["legal"]) == expected
    assert server.get("/readyz").status == 200 and server.alive()
