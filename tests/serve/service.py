"""The program: packs that it builds, answers that it gives on the command line, and servers that are started and ended by their process ids."""

import http.client
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90
END_SECONDS = 60


class Program:
    """The binary `mempack`."""

    def __init__(self, path):
        self.path = Path(path)

    def begin(self, *arguments, **options):
        """Starts a command."""
        command = [str(self.path), *map(str, arguments)]
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def end(self, process, seconds=300):
        """What a command printed. A failure raises."""
        try:
            printed, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        assert process.returncode == 0, f"{process.args} ended with {process.returncode}:\n{said}"
        return printed

    def run(self, *arguments):
        """What a command prints. A failure raises."""
        return self.end(self.begin(*arguments))

    def ask(self, packs, rows, folder):
        """The answers of `mempack ask` (greedy, f32) to rows of questions, in their order."""
        file = folder / "asked.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        others = [argument for pack in packs[1:] for argument in ("--with", pack)]
        printed = self.run("ask", packs[0], *others, "--precision", "f32", "--questions", file, "--json")
        answers = [json.loads(line) for line in printed.splitlines()]
        assert len(answers) == len(rows)
        return answers


class Reply:
    """A reply with its body."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """The error in OpenAI's form."""
        error = self.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        return error


class Server:
    """A running `mempack serve`."""

    def __init__(self, program, folder, *arguments, name="server"):
        self.program, self.arguments, self.name = program, [str(argument) for argument in arguments], name
        self.folder = folder
        self.process = None
        self.port = 0
        self.starts = 0
        self.start()

    def start(self, port=0):
        """Starts it on a free port and waits until it says that it is ready."""
        self.starts += 1
        self.out = self.folder / f"{self.name}-{self.starts}.out"
        self.log = self.folder / f"{self.name}-{self.starts}.log"
        command = [str(self.program.path), "serve", *self.arguments, "--precision", "f32", "--listen", f"127.0.0.1:{port}"]
        with self.out.open("w") as out, self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=log)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            said = re.search(r"at https?://127\.0\.0\.1:(\d+), ready after", self.out.read_text())
            if said:
                self.port = int(said[1])
                self.until(lambda: self.get("/readyz").status == 200, "the packs are checked")
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"{command} does not get ready:\n{self.log.read_text()[-4000:]}")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """SIGTERM; returns the exit status."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        try:
            return self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        """SIGKILL."""
        if self.alive():
            self.process.kill()
            self.process.wait(END_SECONDS)

    def resident(self):
        """Bytes of resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def request(self, method, path, body=None, key=None, headers=None, timeout=60):
        """A reply. A body that is not bytes is sent as JSON."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        if key:
            headers["Authorization"] = f"Bearer {key}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, **options):
        return self.request("POST", path, body, **options)

    def chat(self, question, key=None, headers=None, **fields):
        """The reply to a question."""
        body = {"messages": [{"role": "user", "content": question}], **fields}
        return self.post("/v1/chat/completions", body, key=key, headers=headers)

    def answer(self, question, key=None, **fields):
        """The text of the answer to a question."""
        reply = self.chat(question, key=key, **fields)
        assert reply.status == 200, reply.body
        return reply.json()["choices"][0]["message"]["content"]

    def metrics(self, key=None):
        """The metrics by name, with labels."""
        reply = self.get("/metrics", key=key)
        assert reply.status == 200, reply.body
        lines = (line.rsplit(" ", 1) for line in reply.body.decode().splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in lines}

    def until(self, wanted, what, seconds=20):
        """Waits until `wanted()` is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if wanted():
                return
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds} s: {what}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.alive():
            self.stop()


def events(stream):
    """The data of server-sent events of an open HTTP response, `[DONE]` too."""
    for line in stream:
        line = line.rstrip(b"\r\n")
        if line.startswith(b"data:"):
            yield line[5:].strip().decode()


def environment_is_whole():
    """Models and samples that are missing, by name."""
    needed = [Path(os.environ.get("MEMPACK_EMBEDDER", "")), Path(os.environ.get("MEMPACK_BASE", "")), ROOT / "kb-samples/medical/corpus.jsonl"]
    return [str(path) for path in needed if not path.exists() or str(path) == "."]
