"""A server that speaks as `mempack serve` does to the page, without a model.

    python3 mock.py [--port N] [--delay SECONDS]      (port 0, the default: a free one; the address is printed)

Loopback only. Tests steer it: `PUT /mock` with a JSON object changes what `State` has, `GET /mock` gives the requests that came.
"""

import argparse
import json
import pathlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import answers

PAGE = pathlib.Path(__file__).resolve().parents[2] / "server" / "page"
KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
# Stricter than what the page needs: no text can become HTML, whatever the page does.
POLICY = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
LONGEST_BODY = 4 << 20
FIELDS = {
    "model": str, "messages": list, "stream": bool, "stream_options": dict, "temperature": (int, float), "seed": int, "max_tokens": int,
    "memories": bool, "k": int, "packs": list, "exact": bool, "citations": str, "where": str, "strategy": str, "rerank": bool,
}


MAX_HOLD = 60  # seconds


class State:
    """What the server does. Every field can be set by `PUT /mock`."""

    def __init__(self, delay=0.01):
        self.first_state = {
            "delay": delay,  # seconds before each piece of an answer
            "hold_after": None,  # after so many pieces nothing comes until this is set to something else
            "key": None,  # the key that requests must have
            "fail": [],  # answers to the next completions, before any is given: {"status", "error", "headers", "body", "kind", "wait"}
            "fail_packs": [],  # the same for `GET /packs`
            "break_after": None,  # the connection is closed after so many pieces
            "error_after": None,  # an error event comes after so many pieces
            "garbage_after": None,  # an event that is not JSON comes after so many pieces
            "hostile": False,
            "attention": True,  # the last event has shares for each token
            "annotations": True,
            "pieces": None,  # bytes that are sent at once, so that characters and events are cut anywhere
            "return_lines": False,  # lines end with CR LF
            "answer": None,  # another answer, without passages
        }
        self.lock = threading.Lock()
        self.reset()

    def reset(self):
        with self.lock:
            self.__dict__.update(json.loads(json.dumps(self.first_state)))
            self.requests = []
            self.gone = 0  # clients that went away in the middle of an answer

    def next_failure(self, name):
        with self.lock:
            failures = getattr(self, name)
            return failures.pop(0) if failures else None


class Refusal(Exception):
    def __init__(self, status, message, param=None, code=None, kind="invalid_request_error", headers=None):
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.error = {"message": message, "type": kind, "param": param, "code": code}


def check(request):
    """Refuses what `mempack serve` would refuse."""
    if not isinstance(request, dict):
        raise Refusal(400, "the body is not a JSON object")
    for name, value in request.items():
        kind = FIELDS.get(name)
        if kind is None:
            raise Refusal(400, f"unknown field `{name}`", param=name, code="unknown_parameter")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise Refusal(400, f"`{name}` has the wrong type", param=name)
    messages = request.get("messages") or []
    roles = [m.get("role") for m in messages]
    if not messages or roles[-1] != "user" or any(a == b for a, b in zip(roles, roles[1:])):
        raise Refusal(400, "messages are not turns of user and assistant that end with a user", param="messages")
    if any(not isinstance(m.get("content"), str) or m["content"] == "" for m in messages):
        raise Refusal(400, "a message has no text", param="messages")
    if request.get("model") != "SmolLM2-135M-Instruct":
        raise Refusal(404, f"there is no model `{request.get('model')}`", param="model", code="model_not_found")
    for name in request.get("packs") or []:
        if name not in [pack["name"] for pack in answers.PACKS]:
            raise Refusal(404, f"there is no pack `{name}`", param="packs", code="pack_not_found")
    if request.get("where", "").count('"') % 2:
        raise Refusal(400, "the filter's text is not closed, at character 17", param="where", code="invalid_filter")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_):
        pass

    @property
    def state(self):
        return self.server.state

    def reply(self, status, body, kind="application/json", headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(data)), "x-content-type-options": "nosniff", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, refusal):
        self.reply(refusal.status, {"error": refusal.error}, headers=refusal.headers)

    def scripted(self, failure):
        time.sleep(failure.get("wait", 0))
        body = failure.get("body")
        data = body.encode() if body is not None else {"error": failure.get("error", {"message": "a failure", "type": "server_error"})}
        self.reply(failure["status"], data, kind=failure.get("kind", "application/json"), headers=failure.get("headers"))

    def body(self):
        length = int(self.headers.get("content-length") or 0)
        if length > LONGEST_BODY:
            raise Refusal(413, "the body is too long")
        return json.loads(self.rfile.read(length))

    def authorize(self):
        key = self.state.key
        if key is not None and self.headers.get("authorization") != f"Bearer {key}":
            raise Refusal(401, "this server demands an API key it knows", code="invalid_api_key", kind="authentication_error")

    def do_GET(self):
        try:
            self.get()
        except Refusal as refusal:
            self.refuse(refusal)

    def get(self):
        path = self.path.split("?")[0]
        if path == "/mock":
            with self.state.lock:
                self.reply(200, {"requests": self.state.requests, "gone": self.state.gone})
        elif path == "/packs":
            failure = self.state.next_failure("fail_packs")
            if failure:
                return self.scripted(failure)
            self.authorize()
            self.reply(200, {"object": "list", "data": answers.HOSTILE_PACKS if self.state.hostile else answers.PACKS})
        elif path == "/v1/models":
            self.authorize()
            model = {"id": "SmolLM2-135M-Instruct", "object": "model", "created": 0, "owned_by": "mempack"}
            self.reply(200, {"object": "list", "data": [model]})
        elif path == "/":
            self.file("index.html")
        elif path.startswith("/page/"):
            self.file(path.removeprefix("/page/"))
        else:
            raise Refusal(404, f"nothing is at {path}")

    def file(self, name):
        files = {path.name: path for path in PAGE.iterdir()}
        if name not in files:
            raise Refusal(404, f"the page has no file `{name}`")
        headers = {"content-security-policy": POLICY, "cache-control": "no-store", "referrer-policy": "no-referrer"}
        self.reply(200, files[name].read_bytes(), kind=KINDS[files[name].suffix], headers=headers)

    def do_PUT(self):
        changes = self.body()
        if changes.pop("reset", False):
            self.state.reset()
        unknown = set(changes) - set(self.state.first_state)
        if unknown:
            return self.reply(400, {"error": {"message": f"unknown: {sorted(unknown)}"}})
        with self.state.lock:
            self.state.__dict__.update(changes)
        self.reply(200, {})

    def do_POST(self):
        try:
            request = self.body()
            if self.path != "/v1/chat/completions":
                raise Refusal(404, f"nothing is at {self.path}")
            self.authorize()
            with self.state.lock:
                self.state.requests.append(request)
            failure = self.state.next_failure("fail")
            if failure:
                return self.scripted(failure)
            check(request)
            self.stream(request)
        except Refusal as refusal:
            self.refuse(refusal)
        except (BrokenPipeError, ConnectionResetError):
            with self.state.lock:
                self.state.gone += 1
            self.close_connection = True

    def answer(self, request):
        """Pieces, annotations and attention."""
        memories = request.get("memories", True)
        if self.state.answer is not None:
            return answers.cited(self.state.answer, [], [[]])
        if self.state.hostile:
            return answers.cited(answers.HOSTILE_ANSWER, answers.HOSTILE_SOURCES if memories else [], answers.HOSTILE_LEANS)
        if not memories:
            return answers.cited(answers.WITHOUT, [], [[]])
        packs = request.get("packs") or [pack["name"] for pack in answers.PACKS]
        kept = [i for i, source in enumerate(answers.SOURCES) if source[8] in packs][: request.get("k", 5)]
        leans = [[row[i] for i in kept] for row in answers.LEANS]
        return answers.cited(answers.ANSWER, [answers.SOURCES[i] for i in kept], leans)

    def stream(self, request):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("cache-control", "no-store")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        tokens, annotations, attention = self.answer(request)
        common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": request["model"]}

        def choice(delta, finish=None, **more):
            return {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}

        self.event(choice({"role": "assistant", "content": ""}))
        most = request.get("max_tokens", len(tokens))
        for number, token in enumerate(tokens[:most]):
            time.sleep(self.state.delay)
            end = time.monotonic() + MAX_HOLD
            while self.state.hold_after == number and time.monotonic() < end:
                time.sleep(0.005)
            if number == self.state.break_after:
                self.close_connection = True
                return self.connection.shutdown(socket.SHUT_RDWR)
            if number == self.state.garbage_after:
                self.bytes(b"data: {\n\n")
            if number == self.state.error_after:
                self.event({"error": {"message": "the pack `legal` is damaged at byte 4096", "type": "server_error", "param": None, "code": "damaged_pack"}})
                return self.chunk(b"")
            self.event(choice({"content": token}))
        finish = "length" if most < len(tokens) else "stop"
        last = {"annotations": annotations if self.state.annotations else []}
        wanted = request.get("citations") == "tokens" and self.state.attention
        self.event(choice(last, finish, **({"attention": {"tokens": attention[:most]}} if wanted else {})))
        if (request.get("stream_options") or {}).get("include_usage"):
            prompt = sum(len(answers.tokens_of(m["content"])) for m in request["messages"]) + 8
            written = min(most, len(tokens))
            cached = prompt - 8 - len(answers.tokens_of(request["messages"][-1]["content"]))
            usage = {
                "prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written,
                "prompt_tokens_details": {"cached_tokens": cached},
            }
            self.event({**common, "choices": [], "usage": usage})
        self.bytes(b"data: [DONE]\n\n")
        self.chunk(b"")
        return None

    def event(self, value):
        self.bytes(f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode())

    def bytes(self, data):
        if self.state.return_lines:
            data = b": a comment\r\n" + data.replace(b"\n", b"\r\n")
        size = self.state.pieces or len(data)
        for at in range(0, len(data), size):
            self.chunk(data[at : at + size])

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port=0, delay=0.01):
        super().__init__(("127.0.0.1", port), Handler)
        self.state = State(delay)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


def main():
    parser = argparse.ArgumentParser(description="a mock of `mempack serve` for its page")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.04, help="seconds before each piece of an answer")
    arguments = parser.parse_args()
    server = Server(arguments.port, arguments.delay)
    print(f"mock at {server.url}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
