"""Reads tables and lists of rows beside Python's csv and json and pandas: rows, characters of their texts, seconds and peak memory.

    python benches/peers/extract_rows.py make FOLDER 200      # writes rows.csv and rows.jsonl, of so many MB each
    python benches/peers/extract_rows.py run EXTRACT FOLDER   # EXTRACT is target/release/examples/extract

The packages are those of extract_rows.txt. Each reader runs in a process of its own; its peak memory is what the system counts for it (ru_maxrss).
Texts that mempack prints end in a line feed each, which counts as a character. Python's readers keep no row longer than it takes to count it; pandas reads a whole file, as it does without chunks.
"""

import codecs
import csv
import json
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

WORDS = "the a dose of tablet patient twice day water renal impairment review after hours court claim seller buyer notice contract term law".split()


def make(folder: Path, megabytes: int) -> None:
    """Writes both files, with the same rows: an id, a title, prose with quotes and line feeds, a number, a date."""
    rng = random.Random(1)
    rows, size = [], 0
    with open(folder / "rows.csv", "w", newline="", encoding="utf-8") as table, open(folder / "rows.jsonl", "w", encoding="utf-8") as lines:
        writer = csv.writer(table)
        writer.writerow(["id", "title", "text", "score", "date"])
        number = 0
        while size < megabytes * 1_000_000:
            number += 1
            text = " ".join(rng.choices(WORDS, k=rng.randrange(40, 300)))
            text = text.replace(" law ", ', "the law" – ').replace(" term ", ".\n")
            row = [f"d{number}", " ".join(rng.choices(WORDS, k=4)), text, rng.randrange(1000) / 8, "2024-05-01"]
            writer.writerow(row)
            lines.write(json.dumps(dict(zip(["id", "title", "text", "score", "date"], row)), ensure_ascii=False) + "\n")
            size += len(text.encode()) + 60


def by_csv(path: Path) -> tuple[int, int]:
    rows = characters = 0
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows, characters = rows + 1, characters + len(row["text"])
    return rows, characters


def by_json(path: Path) -> tuple[int, int]:
    rows = characters = 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            rows, characters = rows + 1, characters + len(json.loads(line)["text"])
    return rows, characters


def by_pandas(path: Path) -> tuple[int, int]:
    import pandas

    frame = pandas.read_csv(path) if path.suffix == ".csv" else pandas.read_json(path, lines=True)
    return len(frame), int(frame["text"].str.len().sum())


def timed(reader, path, queue) -> None:
    begin = time.perf_counter()
    counts = reader(path)
    queue.put((*counts, time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def run(program: str, folder: Path) -> None:
    print(f"{'file':12}{'reader':18}{'rows':>9}{'characters':>13}{'seconds':>9}{'MB/s':>7}{'peak MiB':>10}")
    for name, reader in [("rows.csv", by_csv), ("rows.csv", by_pandas), ("rows.jsonl", by_json), ("rows.jsonl", by_pandas)]:
        queue = multiprocessing.Queue()
        process = multiprocessing.get_context("fork").Process(target=timed, args=(reader, folder / name, queue))
        process.start()
        show(folder / name, reader.__name__.removeprefix("by_"), *queue.get())
        process.join()
    for name in ["rows.csv", "rows.jsonl"]:
        begin = time.perf_counter()
        process = subprocess.Popen([program, folder / name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        decoder = codecs.getincrementaldecoder("utf-8")()
        characters = sum(len(decoder.decode(block)) for block in iter(lambda: process.stdout.read(1 << 20), b""))
        _, _, usage = os.wait4(process.pid, 0)
        show(folder / name, "mempack", 0, characters, time.perf_counter() - begin, usage.ru_maxrss)


def show(path: Path, reader: str, rows: int, characters: int, seconds: float, peak: int) -> None:
    speed = path.stat().st_size / 1e6 / seconds
    print(f"{path.name:12}{reader:18}{rows or '':>9}{characters:>13}{seconds:>9.2f}{speed:>7.0f}{peak / 1024:>10.0f}")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        run(sys.argv[2], Path(sys.argv[3]))
