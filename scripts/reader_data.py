#!/usr/bin/env python3
"""Writes the data that the default reader is trained and measured on (kb-samples/readers/smollm2/train.toml).

    python3 scripts/reader_data.py MEMPACK SQUAD OUT

MEMPACK is the program; SQUAD a folder with corpus.jsonl and qa_train_part.jsonl, whose rows have `title` and `gold_ids`; OUT the folder to
write. The tenth of SQuAD's articles whose titles have the lowest SHA-256 digests is held out. Fiction for training, choosing and
testing has different seeds, so that they share no document. Existing parts are left unchanged.
"""
import hashlib
import json
import pathlib
import subprocess
import sys

HELD_OUT = 0.1
# Documents and seed of each part.
FICTION = {"fiction-train": (8000, 101), "fiction-dev": (200, 202), "fiction-test": (1000, 303)}


def rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write(path, part):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in part)


def split_squad(squad, out):
    corpus, questions = rows(squad / "corpus.jsonl"), rows(squad / "qa_train_part.jsonl")
    title_of = {row["id"]: row["title"] for row in corpus}
    titles = sorted(set(title_of.values()), key=lambda title: hashlib.sha256(title.encode()).digest())
    held = set(titles[: round(len(titles) * HELD_OUT)])
    asked = lambda test: [q for q in questions if all((title_of[gold] in held) == test for gold in q["gold_ids"])]
    for name, test in (("squad-train", False), ("squad-test", True)):
        if (out / name).exists():
            continue
        part = out / (name + ".part")
        part.mkdir(parents=True, exist_ok=True)
        about = asked(test)
        # Passages without questions stay: retrieval must distinguish them from the others.
        write(part / "corpus.jsonl", [row for row in corpus if (row["title"] in held) == test])
        write(part / "questions.jsonl", about)
        part.rename(out / name)
        print(f"{name}: {len(about)} questions about {len(held) if test else len(titles) - len(held)} articles")


def main():
    mempack, squad, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    split_squad(squad, out)
    for name, (documents, seed) in FICTION.items():
        if not (out / name).exists():
            options = ["--documents", str(documents), "--seed", str(seed), "-o", str(out / name)]
            subprocess.run([mempack, "make-questions", "fiction", *options], check=True)


if __name__ == "__main__":
    main()
