"""Clients that ask one question after the other: requests and tokens a second, and the time to the first token.

usage: python load.py clients --url http://127.0.0.1:8080 --questions FILE [--clients 1,4,16,64] [--seconds 60] [--mode memories|texts|none] [--out FILE]
       python load.py clients --url http://127.0.0.1:8080 --questions FILE --llama http://127.0.0.1:8081 [...]
       python load.py shuffled --url http://127.0.0.1:8080 --documents FILE --questions FILE [--count 200] [--mode memories|texts|none] [--out FILE]

`clients` is closed loop: each client asks its next question when it has the whole answer to the last one. With --mode texts the server puts the texts of the
references into the prompt in place of memories; with none it reads nothing. With --llama the questions go to llama.cpp's server, whose prompts have the texts
that the server at --url read for the same questions (its annotations), and whose answers have at most as many tokens as those of the server at --url: the
reader's are short. --own-length lets it go on to --tokens. These are asked for beforehand, and are not part of the time.

`shuffled` is the workload of LMCache's issue 4663: the same 14 documents, in another order for every question, and no question twice. With memories the server
at --url reads its packs, which must have been built from these documents; in the other modes they are in the prompt, in the order drawn. The time to the first
token over the question's number is flat if nothing has to be read anew. With --llama the prompts go to llama.cpp's server.

Figures are written as JSON, and as a table on standard output. A key is taken from the variable MEMPACK_KEY.
"""

import argparse
import http.client
import json
import os
import random
import statistics
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

READ_SECONDS = 600
SHUFFLED_DOCUMENTS = 14
# The questions of `shuffled` are this many parts, whose medians are compared.
PARTS = 5


class Endpoint:
    """A server of OpenAI's interface."""

    def __init__(self, url):
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise SystemExit(f"{url} is no address such as http://127.0.0.1:8080")
        self.host, self.port = parts.hostname, parts.port or 80
        self.headers = {"Content-Type": "application/json"}
        if os.environ.get("MEMPACK_KEY"):
            self.headers["Authorization"] = f"Bearer {os.environ['MEMPACK_KEY']}"

    def connect(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=READ_SECONDS)

    def whole(self, body):
        """The whole reply to a question."""
        connection = self.connect()
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), self.headers)
            response = connection.getresponse()
            reply = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {reply[:300]}")
        return json.loads(reply)

    def stream(self, body):
        """Asks on a connection of its own, because llama.cpp's server ends one after a stream: seconds to the first text, to the end, tokens of the prompt and of
        the answer, and its text."""
        connection = self.connect()
        try:
            return self.streamed(connection, body)
        finally:
            connection.close()

    def streamed(self, connection, body):
        began = time.perf_counter()
        body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), self.headers)
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {response.read()[:300]}")
        first, usage, text, done = None, None, [], False
        for line in response:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                done = True
                continue
            event = json.loads(data)
            if "error" in event:
                raise RuntimeError(str(event["error"]))
            usage = event.get("usage") or usage
            for choice in event["choices"]:
                piece = choice["delta"].get("content")
                if piece:
                    first = first or time.perf_counter() - began
                    text.append(piece)
        total = time.perf_counter() - began
        if not done or usage is None:
            raise RuntimeError("the stream ended early")
        # An answer without text has its first token at its end.
        return first or total, total, usage["prompt_tokens"], usage["completion_tokens"], "".join(text)


def question_body(question, mode, tokens):
    fields = {"memories": {}, "texts": {"texts": True}, "none": {"memories": False}}[mode]
    return {"messages": [{"role": "user", "content": question}], "max_tokens": tokens, "temperature": 0, **fields}


def with_texts(question, texts):
    """A prompt that has texts before a question."""
    return "\n\n".join(["Answer the question from these texts.", *texts, question])


def llama_body(content, tokens):
    return {"messages": [{"role": "user", "content": content}], "max_tokens": tokens, "temperature": 0}


def read_questions(path):
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    questions = [row["question"] for row in rows]
    if not questions:
        raise SystemExit(f"{path} has no questions")
    return questions


def answered(endpoint, questions, tokens):
    """For each question the texts that the server reads, and the tokens of its answer."""
    found = {}
    for question in questions:
        reply = endpoint.whole(question_body(question, "memories", tokens))
        notes = reply["choices"][0]["message"]["annotations"]
        found[question] = list(dict.fromkeys(note["mempack"]["text"] for note in notes)), max(1, reply["usage"]["completion_tokens"])
    return found


def percentile(values, share):
    """The smallest value that so large a share of all is not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * share // 100) - 1))]


def closed_loop(endpoint, bodies, clients, seconds, seed):
    """Figures of so many clients."""
    done, failures, lock = [], [], threading.Lock()
    began = time.perf_counter()
    until = began + seconds

    def ask(number):
        drawn = random.Random(f"{seed} {number}")
        order = drawn.sample(bodies, len(bodies))
        at = 0
        while time.perf_counter() < until and len(failures) < 100:
            try:
                figures = endpoint.stream(order[at % len(order)])
                with lock:
                    done.append((time.perf_counter(), *figures[:4]))
            except Exception as error:  # noqa: BLE001: a failure is a figure here
                failures.append(repr(error)[:300])
            at += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Answers that are under way at the end are completed, and count with the time that they took.
    elapsed = time.perf_counter() - began
    first = [row[1] for row in done]
    return {
        "clients": clients,
        "seconds": round(elapsed, 3),
        "requests": len(done),
        "failures": len(failures),
        "first_failures": failures[:3],
        "requests_per_second": round(len(done) / elapsed, 3),
        "answer_tokens_per_second": round(sum(row[4] for row in done) / elapsed, 2),
        "prompt_tokens_per_second": round(sum(row[3] for row in done) / elapsed, 2),
        "first_token_p50_seconds": round(percentile(first, 50), 4) if first else None,
        "first_token_p99_seconds": round(percentile(first, 99), 4) if first else None,
        "duration_p50_seconds": round(percentile([row[2] for row in done], 50), 4) if done else None,
    }


def run_clients(options):
    questions = read_questions(options.questions)
    ours = Endpoint(options.url)
    if options.llama:
        ours_said = answered(ours, questions, options.tokens)
        endpoint, mode = Endpoint(options.llama), "llama"
        bodies = [llama_body(with_texts(question, texts), options.tokens if options.own_length else length) for question, (texts, length) in ours_said.items()]
    else:
        endpoint, mode = ours, options.mode
        bodies = [question_body(question, mode, options.tokens) for question in questions]
    # The first requests of a server are not those that count.
    for body in bodies[:2]:
        endpoint.stream(body)
    runs = []
    for clients in options.clients:
        runs.append(closed_loop(endpoint, bodies, clients, options.seconds, options.seed))
        print(json.dumps(runs[-1]), file=sys.stderr)
    columns = ["clients", "requests", "failures", "requests_per_second", "answer_tokens_per_second", "first_token_p50_seconds", "first_token_p99_seconds"]
    table(columns, [[run[column] for column in columns] for run in runs])
    return {"workload": "clients", "mode": mode, "questions": len(questions), "max_tokens": options.tokens, "seed": options.seed, "runs": runs}


def run_shuffled(options):
    documents = [json.loads(line) for line in options.documents.read_text().splitlines() if line.strip()]
    texts = [document["text"] for document in documents[:SHUFFLED_DOCUMENTS]]
    if len(texts) < SHUFFLED_DOCUMENTS:
        raise SystemExit(f"{options.documents} has {len(texts)} documents; {SHUFFLED_DOCUMENTS} are needed")
    questions = list(dict.fromkeys(read_questions(options.questions)))
    if len(questions) < options.count:
        raise SystemExit(f"{options.questions} has {len(questions)} questions; {options.count} are needed, each asked once")
    drawn = random.Random(options.seed)
    mode = "llama" if options.llama else options.mode
    endpoint = Endpoint(options.llama or options.url)
    rows = []
    for number, question in enumerate(drawn.sample(questions, options.count), 1):
        content = with_texts(question, drawn.sample(texts, len(texts)))
        if mode == "llama":
            body = llama_body(content, options.tokens)
        elif mode == "texts":
            # All documents are in the prompt; the server adds nothing.
            body = question_body(content, "none", options.tokens)
        else:
            body = question_body(question, mode, options.tokens)
        first, total, prompt, answer, _ = endpoint.stream(body)
        rows.append({"question": number, "first_token_seconds": round(first, 4), "seconds": round(total, 4), "prompt_tokens": prompt, "answer_tokens": answer})
    first = [row["first_token_seconds"] for row in rows]
    size = -(-len(first) // PARTS)
    medians = [round(statistics.median(first[at : at + size]), 4) for at in range(0, len(first), size)]
    table(["questions", "first_token_p50_seconds"], [[f"{at * size + 1} to {min(len(first), (at + 1) * size)}", median] for at, median in enumerate(medians)])
    # The least-squares slope of the time over the number, in seconds a question.
    slope = statistics.linear_regression(range(len(first)), first).slope if len(first) > 1 else 0.0
    return {
        "workload": "shuffled",
        "mode": mode,
        "documents": len(texts),
        "seed": options.seed,
        "max_tokens": options.tokens,
        "first_token_p50_seconds": round(statistics.median(first), 4),
        "first_token_p99_seconds": round(percentile(first, 99), 4),
        "first_token_p50_of_parts_seconds": medians,
        "slope_seconds_per_question": round(slope, 7),
        "rows": rows,
    }


def table(head, rows):
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    for row in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("a number of 1 or more is expected")
    return number


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    workloads = parser.add_subparsers(dest="workload", required=True)
    clients = workloads.add_parser("clients", help="closed-loop clients")
    shuffled = workloads.add_parser("shuffled", help="documents in another order for every question")
    for workload in (clients, shuffled):
        workload.add_argument("--url", required=True, help="the address of `mempack serve`")
        workload.add_argument("--questions", type=Path, required=True, help='a file of {"question": ...}, one per line')
        workload.add_argument("--mode", choices=["memories", "texts", "none"], default="memories")
        workload.add_argument("--llama", help="the address of llama.cpp's server, which is asked in its place")
        workload.add_argument("--tokens", type=positive, default=64, help="most tokens of an answer")
        workload.add_argument("--seed", type=int, default=1)
        workload.add_argument("--out", type=Path)
    clients.add_argument("--clients", type=lambda text: [positive(one) for one in text.split(",")], default=[1, 4, 16, 64])
    clients.add_argument("--own-length", action="store_true", help="with --llama: its answers are as long as they come, up to --tokens")
    clients.add_argument("--seconds", type=float, default=60)
    shuffled.add_argument("--documents", type=Path, required=True, help='a corpus of {"text": ...}, one per line, of which the first 14 are taken')
    shuffled.add_argument("--count", type=positive, default=200)
    options = parser.parse_args()
    figures = run_clients(options) if options.workload == "clients" else run_shuffled(options)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if any(run["failures"] for run in figures.get("runs", [])) else 0


if __name__ == "__main__":
    sys.exit(main())
