"""Streams over plain sockets, whose every byte is known, and questions that go on beside a test."""

import http.client
import json
import socket
import threading
import time

from service import events


class Stream:
    """A streamed answer that is under way."""

    def __init__(self, server, question, key=None, timeout=60, path="/v1/chat/completions", **fields):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        body = {"stream": True, "messages": [{"role": "user", "content": question}], **fields}
        self.connection.request("POST", path, json.dumps(body), headers)
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.whole = False
        self.last = None

    def events(self):
        """The events; `whole` is true after `[DONE]`."""
        assert self.status == 200, self.response.read()
        for data in events(self.response):
            if data == "[DONE]":
                self.whole = True
                return
            event = json.loads(data)
            assert "error" not in event, event
            self.last = event
            yield event

    def texts(self):
        """The pieces of the answer."""
        for event in self.events():
            for choice in event["choices"]:
                piece = choice["delta"].get("content")
                if piece:
                    yield piece

    def text(self):
        """The answer, whole."""
        text = "".join(self.texts())
        assert self.whole, f"the stream ends early: {text!r}"
        return text

    def close(self):
        # The response holds the socket too.
        self.response.close()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def raw(port, data, timeout=30, half_close=False):
    """Sends bytes, then reads until the server ends the connection or `timeout`: status (`None` without a reply) and all bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # A server may refuse before it has read everything.
        return read_all(connection, timeout)


def read_all(connection, timeout):
    """What a connection still brings, and the status of the reply in it."""
    received, until = b"", time.monotonic() + timeout
    while time.monotonic() < until:
        connection.settimeout(max(0.01, until - time.monotonic()))
        try:
            part = connection.recv(1 << 16)
        except (TimeoutError, ConnectionError):
            break
        if not part:
            break
        received += part
    status = received.split(b" ", 2)[1] if received.startswith(b"HTTP/") else None
    return (int(status) if status else None), received


def post(path, body, *headers, close=True):
    """The bytes of a request."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    lines += ["Connection: close"] if close else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Others:
    """A client that keeps asking questions whose answers are known, while a test does harm."""

    PAUSE = 1.0

    def __init__(self, server, expected, key=None):
        self.server, self.expected, self.key = server, list(expected.items()), key
        self.begun, self.answered, self.failures = 0, 0, []
        self.ending, self.wanted = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.ask, daemon=True)
        self.thread.start()

    def ask(self):
        while not self.ending.is_set():
            question, expected = self.expected[self.begun % len(self.expected)]
            self.begun += 1
            begun = self.begun
            try:
                with Stream(self.server, question, key=self.key) as stream:
                    answer = stream.text()
                if answer != expected:
                    self.failures.append(f"{question!r}: {answer!r} is not {expected!r}")
            except Exception as error:  # noqa: BLE001: every failure is one of a good request
                self.failures.append(f"{question!r}: {error!r}")
            self.answered = begun
            self.wanted.wait(self.PAUSE)
            self.wanted.clear()

    def go_on(self, seconds=60):
        """Waits for the end of an answer that begins now, and checks that none failed."""
        wanted, until = self.begun + 1, time.monotonic() + seconds
        while self.answered < wanted and not self.failures and time.monotonic() < until:
            self.wanted.set()
            time.sleep(0.02)
        assert not self.failures, self.failures[:3]
        assert self.answered >= wanted, f"others got no answer for {seconds} s"

    def end(self):
        self.ending.set()
        self.wanted.set()
        self.thread.join(60)
        assert not self.thread.is_alive()
        assert not self.failures, self.failures[:3]
