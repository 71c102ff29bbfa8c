"""Mixed traffic for a while: answers that must be right, packs that are replaced every second, clients that vanish, requests that are mutated.

usage: tests/serve/soak.sh MEMPACK_BINARY [--minutes 30] [--seed 1] [--out FILE]

Prints figures as JSON. It ends with 1 if a good request failed, a mutated one got a status of 500 or more, the server ended, or its memory grew: the means of
the first and of the last sixth of the time differ by 5% or more. Memory is not judged in runs below 10 minutes, in which caches still fill.
"""

import argparse
import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import conftest
from service import Program, Server
from streams import Stream, post, read_all

CLIENTS = 4
SAMPLE_SECONDS = 1
# The packs are warm, and the first of everything has been allocated.
WARM_UP_SECONDS = 10


class Traffic:
    """What goes on, and what is counted."""

    def __init__(self, server, folder, packs, expected, seed, seconds):
        self.server, self.folder, self.packs, self.seed = server, folder, packs, seed
        self.expected = list(expected.items())
        self.until = time.monotonic() + seconds
        self.counts, self.failures, self.lock = Counter(), [], threading.Lock()
        self.memory = []

    def going(self):
        return time.monotonic() < self.until and self.server.alive()

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def fail(self, what, error):
        with self.lock:
            self.counts[f"failed, {what}"] += 1
            if self.counts[f"failed, {what}"] <= 5:
                self.failures.append(f"{what}: {error!r}"[:2000])

    def loop(self, name, number, step, pause=0.0):
        """Does `step` over and over; each failure is counted."""
        drawn = random.Random(f"{self.seed} {name} {number}")
        while self.going():
            try:
                self.count(step(drawn))
            except Exception as error:  # noqa: BLE001: a failure is a figure here
                if self.server.alive():
                    self.fail(name, error)
            time.sleep(pause)

    def good(self, drawn):
        """A request whose reply is known."""
        # The pack `legal` stays; `medical` is replaced all the time, so that answers from it differ by version.
        question, answer = drawn.choice(self.expected)
        kind = drawn.choice(["stream", "stream", "stream", "whole", "whole", "replaced", "embeddings", "lists", "bad"])
        if kind == "stream":
            with Stream(self.server, question, packs=["legal"], timeout=120) as stream:
                text = stream.text()
            assert text == answer, f"{text!r} is not {answer!r}"
        elif kind == "whole":
            text = self.server.answer(question, packs=["legal"])
            assert text == answer, f"{text!r} is not {answer!r}"
        elif kind == "replaced":
            reply = self.server.chat(question, max_tokens=8)
            assert reply.status == 200, reply.body
            read = {(note["mempack"]["pack"], note["mempack"]["pack_id"]) for note in reply.json()["choices"][0]["message"]["annotations"]}
            assert len(read) == len({name for name, _ in read}), "an answer reads one version of a pack"
        elif kind == "embeddings":
            reply = self.server.post("/v1/embeddings", {"input": [question, answer]})
            assert reply.status == 200 and len(reply.json()["data"]) == 2, reply.body
        elif kind == "lists":
            path = drawn.choice(["/v1/models", "/packs", "/metrics", "/healthz", "/readyz", "/openapi.json", "/"])
            reply = self.server.get(path)
            assert reply.status == 200, (path, reply.status)
        else:
            reply = self.server.chat(question, temperature=5)
            assert reply.status == 400, reply.body
        return kind

    def vanish(self, drawn):
        """A client that goes away in the middle of a stream, or before its answer comes."""
        question = drawn.choice(self.expected)[0]
        if drawn.random() < 0.5:
            with Stream(self.server, question, max_tokens=100, temperature=2, n=2, timeout=120) as stream:
                texts = stream.texts()
                for _ in range(drawn.randrange(4)):
                    next(texts, None)
        else:
            body = json.dumps({"messages": [{"role": "user", "content": question}], "max_tokens": 100}).encode()
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=20) as connection:
                connection.sendall(post("/v1/chat/completions", body)[: drawn.choice([None, None, 30, 150])])
                time.sleep(drawn.random() / 4)
        return "vanished"

    def replace(self, drawn):
        """Another version of the pack is renamed into the folder, or the pack is administered."""
        self.number = getattr(self, "number", 0) + 1
        part = self.folder / ".medical.part"
        part.write_bytes(self.packs[self.number % 2])
        part.rename(self.folder / "medical.mpk")
        if drawn.random() < 0.2:
            reply = self.server.request("PUT", "/packs/medical", {"path": "medical.mpk"})
            assert reply.status == 200, reply.body
        if drawn.random() < 0.1:
            (self.folder / "broken.mpk").write_bytes(self.packs[0][: drawn.randrange(5000)])
        return "replaced a pack"

    def fuzz(self, drawn):
        """A mutated request: any reply or none is right, but a failure of the server is not."""
        data = mutated(drawn, self.expected)
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=20) as connection:
            try:
                for at in range(0, len(data), step := drawn.choice([1 << 20, 1 << 20, 64])):
                    connection.sendall(data[at : at + step])
                if drawn.random() < 0.3:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            status, received = read_all(connection, drawn.choice([0.05, 1, 5]))
        # 501 and 505 tell of HTTP that the server does not speak.
        assert status is None or status < 500 or status in (501, 505), (status, received[:500], data[:1000])
        return f"mutated, {status}"

    def watch(self):
        """Resident memory over time."""
        while self.going():
            self.memory.append(self.server.resident())
            time.sleep(SAMPLE_SECONDS)


def mutated(drawn, expected):
    """A valid request, changed in one to four places."""
    question = drawn.choice(expected)[0]
    path, body = drawn.choice(
        [
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": question}], "max_tokens": 2, "stream": drawn.random() < 0.5, "k": 2, "where": "true"}),
            ("/v1/completions", {"prompt": question, "max_tokens": 2, "logprobs": 1, "stop": ["."]}),
            ("/v1/embeddings", {"input": [question], "encoding_format": "base64"}),
            ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}),
            ("/packs/fuzzed", {"path": "medical.mpk"}),
        ]
    )
    body = mutate_value(drawn, body) if drawn.random() < 0.5 else body
    content = mutate_bytes(drawn, json.dumps(body).encode()) if drawn.random() < 0.4 else json.dumps(body).encode()
    method = drawn.choice(["POST", "POST", "POST", "POST", "PUT", "GET", "DELETE", "HEAD", "OPTIONS", "PATCH", "X" * drawn.randrange(1, 30)])
    # Packs that the good requests read are left alone.
    path = drawn.choice([path] * 6 + [path + "/..", path.replace("/", "//"), "/%00", "/v1/models/%ff", "*", "/packs/\u00e9", "/?" + "a" * drawn.randrange(10_000)])
    headers = {"Host": "127.0.0.1", "Content-Type": "application/json", "Connection": "close", "Accept": "application/json, text/event-stream"}
    if drawn.random() < 0.3:
        content = chunked(drawn, content)
        headers["Transfer-Encoding"] = "chunked"
    else:
        headers["Content-Length"] = str(max(0, len(content) + drawn.choice([0, 0, 0, 0, 0, -1, 1, 1000])))
    for _ in range(drawn.randrange(3)):
        name = drawn.choice([*headers, "Authorization", "Expect", "Upgrade", "Content-Encoding", "X-Any"])
        values = ["", "100-continue", "gzip", "chunked, chunked", "-1", "99999999999999999999", "Bearer \u00ff", "h2c", "text/plain", "a" * drawn.randrange(20_000), "evil.example"]
        headers[name] = drawn.choice(values)
    head = f"{method} {path} {drawn.choice(['HTTP/1.1'] * 8 + ['HTTP/1.0', 'HTTP/2', 'HTCPCP/1.0'])}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    data = head.encode("utf-8", "surrogateescape") + content
    return mutate_bytes(drawn, data) if drawn.random() < 0.2 else data


def mutate_bytes(drawn, data):
    data = bytearray(data)
    for _ in range(drawn.randrange(1, 5)):
        at = drawn.randrange(len(data) + 1)
        action = drawn.randrange(4)
        if action == 0 and at < len(data):
            data[at] ^= 1 << drawn.randrange(8)
        elif action == 1:
            data[at:at] = drawn.randbytes(drawn.randrange(1, 20))
        elif action == 2:
            del data[at : at + drawn.randrange(1, 20)]
        else:
            data[at:at] = data[at : at + drawn.randrange(1, 200)] * drawn.randrange(1, 5)
    return bytes(data)


def mutate_value(drawn, value):
    """Another value in the place of one, at any depth."""
    odd = [None, True, -1, 0, 1e308, 2**63, "", "\u0000", "\ud7ff", [], {}, [[[[]]]], "a" * 1000, {"a": {"b": []}}, ["a"] * 50]
    if isinstance(value, dict) and value and drawn.random() < 0.8:
        name = drawn.choice(list(value))
        changed = {**value, name: mutate_value(drawn, value[name])}
        if drawn.random() < 0.2:
            changed[drawn.choice(["packs", "n", "seed", "temperature", "top_p", "strategy", "citations", "exact", "logprobs", "colour"])] = drawn.choice(odd)
        return changed
    if isinstance(value, list) and value and drawn.random() < 0.6:
        at = drawn.randrange(len(value))
        return [*value[:at], mutate_value(drawn, value[at]), *value[at + 1 :]]
    return drawn.choice(odd)


def chunked(drawn, content):
    """The chunks of a body, some of them wrong."""
    data, at = b"", 0
    while at < len(content):
        size = drawn.randrange(1, 40)
        part = content[at : at + size]
        told = len(part) + drawn.choice([0] * 12 + [1, -1, 1000])
        data += f"{max(told, 0):x}{drawn.choice([''] * 8 + [';a=b', ' '])}\r\n".encode() + part + drawn.choice([b"\r\n"] * 12 + [b"\n", b""])
        at += size
    return data + drawn.choice([b"0\r\n\r\n"] * 6 + [b"0\r\nX-Trailer: a\r\n\r\n", b"", b"ffffffffffffffff\r\n"])


def soak(program, minutes, seed, folder):
    packs = conftest.Packs(program, folder)
    questions = [row["question"] for row in conftest.rows("legal", "questions.jsonl")][:6]
    answers = program.ask([packs.legal], [{"question": question} for question in questions], folder)
    expected = {answer["question"]: answer["answer"] for answer in answers}
    shelf = folder / "shelf"
    shelf.mkdir()
    versions = [packs.medical.read_bytes(), packs.next.read_bytes()]
    (shelf / "medical.mpk").write_bytes(versions[0])
    arguments = ["--packs-dir", shelf, "--admin", "--receive-timeout", "5", "--audit-log", folder / "audit.jsonl"]
    with Server(program, folder, packs.legal, *arguments, name="soak") as server:
        traffic = Traffic(server, shelf, versions, expected, seed, minutes * 60 + WARM_UP_SECONDS)
        loops = [("good", number, traffic.good, 0.0) for number in range(CLIENTS)]
        loops += [("vanish", 0, traffic.vanish, 0.2), ("replace", 0, traffic.replace, 1.0), ("fuzz", 0, traffic.fuzz, 0.02), ("fuzz", 1, traffic.fuzz, 0.02)]
        threads = [threading.Thread(target=traffic.loop, args=loop) for loop in loops]
        threads.append(threading.Thread(target=traffic.watch))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        alive = server.alive()
        settled = settles(server) if alive else False
        status = server.stop() if alive else server.process.returncode
        panics = server.log.read_text(errors="replace").count("panicked")
    samples = traffic.memory[WARM_UP_SECONDS // SAMPLE_SECONDS :]
    sixth = max(1, len(samples) // 6)
    first, last = (sum(part) / len(part) for part in (samples[:sixth], samples[-sixth:])) if samples else (0, 0)
    good = ("stream", "whole", "replaced", "embeddings", "lists", "bad")
    return {
        "minutes": minutes,
        "seed": seed,
        "good_requests": sum(traffic.counts[kind] for kind in good),
        "failed_good_requests": sum(traffic.counts[f"failed, {loop}"] for loop in ("good", "replace", "vanish")),
        "server_errors_of_mutated_requests": traffic.counts["failed, fuzz"],
        "failures": traffic.failures,
        "counts": dict(sorted(traffic.counts.items())),
        "mutated_requests": sum(count for what, count in traffic.counts.items() if what.startswith("mutated")),
        "packs_replaced": traffic.counts["replaced a pack"],
        "resident_bytes_first_sixth": round(first),
        "resident_bytes_last_sixth": round(last),
        "resident_change": round(last / first - 1, 4) if first else None,
        "alive_at_the_end": alive,
        "no_answer_left_at_the_end": settled,
        "panics": panics,
        "exit_status": status,
    }


def settles(server):
    """Whether nothing is decoded once all clients are gone."""
    try:
        server.until(lambda: server.metrics()["mempack_running"] == 0, "nothing is decoded")
    except AssertionError:
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mempack", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mempack-soak-") as folder:
        figures = soak(Program(options.mempack.resolve()), options.minutes, options.seed, Path(folder))
    text = json.dumps(figures, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    grown = options.minutes >= 10 and (figures["resident_change"] is None or abs(figures["resident_change"]) >= 0.05)
    right = figures["alive_at_the_end"] and figures["no_answer_left_at_the_end"] and figures["exit_status"] == 0 and not figures["panics"]
    failed = figures["failed_good_requests"] or figures["server_errors_of_mutated_requests"]
    return 1 if failed or not right or grown or not figures["good_requests"] else 0


if __name__ == "__main__":
    sys.exit(main())
