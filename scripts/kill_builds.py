#!/usr/bin/env python3
"""Kills builds at random moments until each has completed, and checks that nothing is lost.

    scripts/kill_builds.py MEMPACK [--kills 200] [--seed 1] [--documents 40] [--model DIR] [--keep]

One build runs undisturbed. Then the same build is started over an older pack, killed at a random moment (four times of five with SIGKILL,
else with SIGINT or SIGTERM), and started again until it completes. Every second time the moment is counted from the start, else from
when the process first saves something that it computed. After every kill the pack at the target must be whole, and be the old or the new
one. A completed build must have the id of the undisturbed one, with no other file beside it. This repeats until --kills processes have
been killed.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIGNALS = [signal.SIGKILL] * 8 + [signal.SIGINT, signal.SIGTERM]


def corpus(path, documents):
    """Sentences without repetition, the same on every call."""
    words = random.Random(7)
    syllables = ["ba", "co", "di", "fe", "gu", "ha", "jo", "ki", "lu", "me", "no", "pa", "ri", "so", "tu", "ve"]
    word = lambda: "".join(words.choice(syllables) for _ in range(words.randint(1, 4)))
    with open(path, "w", encoding="utf-8") as out:
        for number in range(documents):
            sentences = (" ".join(word() for _ in range(words.randint(6, 14))).capitalize() + "." for _ in range(8))
            out.write(json.dumps({"id": f"d{number}", "title": word().capitalize(), "text": " ".join(sentences)}) + "\n")


class Builds:
    def __init__(self, arguments, folder):
        self.program, self.folder, self.target = str(Path(arguments.mempack).resolve()), folder, folder / "target" / "pack.mpk"
        self.target.parent.mkdir()
        self.corpus = folder / "corpus.jsonl"
        corpus(self.corpus, arguments.documents)
        self.more = ["--model", arguments.model, "--threads", str(arguments.threads), "--codec", arguments.codec, "--sample", "64", "--json"]

    def command(self, target, documents=None):
        return [self.program, "build", str(documents or self.corpus), "-o", str(target), *self.more]

    def build(self, target, documents=None):
        done = subprocess.run(self.command(target, documents), capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"an undisturbed build failed with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def verified_id(self):
        """The id of the pack at the target, after checking every byte."""
        done = subprocess.run([self.program, "verify", str(self.target)], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"the pack at the target is not whole: {done.stderr}")
        shown = subprocess.run([self.program, "inspect", str(self.target), "--json"], capture_output=True, text=True, check=True)
        return json.loads(shown.stdout)["id"]

    def strangers(self):
        return sorted(name for name in os.listdir(self.target.parent) if name not in ("pack.mpk", "pack.mpk.building"))

    def kept(self):
        """Modification times of the files that survive a kill."""
        times = {}
        for name in ("sample", "codec", "records"):
            try:
                times[name] = os.stat(self.target.parent / "pack.mpk.building" / name).st_mtime_ns
            except FileNotFoundError:
                pass
        return times

    def wait(self, process, seconds, after_work):
        """Waits for `seconds`, from the start or from the first file written; returns whether the process ended before, and its stage."""
        before, began = self.kept(), not after_work
        while process.poll() is None and (seconds > 0 or not began):
            time.sleep(0.005)
            began = began or self.kept() != before
            seconds -= 0.005 if began else 0
        written = self.kept()
        stage = next((name for name in ("records", "codec", "sample") if written.get(name) != before.get(name)), "nothing")
        return process.poll() is not None, stage


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("mempack")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--codec", default="SQ8")
    parser.add_argument("--model", default=str(ROOT / "tests/fixtures/tiny"))
    parser.add_argument("--keep", action="store_true", help="do not delete the folder of the builds")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    folder = Path(tempfile.mkdtemp(prefix="kill-builds-"))
    try:
        run(arguments, Builds(arguments, folder), chance)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)


def run(arguments, builds, chance):
    started = time.monotonic()
    undisturbed = builds.build(builds.folder / "undisturbed.mpk")
    length = time.monotonic() - started
    short = builds.folder / "short.jsonl"
    short.write_text("".join(builds.corpus.read_text(encoding="utf-8").splitlines(True)[:2]), encoding="utf-8")
    old_pack = builds.folder / "old.mpk"
    old = builds.build(old_pack, short)["id"]
    expected, references = undisturbed["id"], undisturbed["references"]
    print(f"undisturbed: {references} references in {length:.1f} s, id {expected}", flush=True)

    kills, finished, by_signal, by_stage, encoded, resumed, attempts = 0, 0, {}, {}, 0, 0, 0
    while kills < arguments.kills:
        shutil.copy(old_pack, builds.target)
        hits = 0
        while True:
            with tempfile.TemporaryFile("w+") as out_file, tempfile.TemporaryFile("w+") as error_file:
                process = subprocess.Popen(builds.command(builds.target), stdout=out_file, stderr=error_file)
                attempts += 1
                killer, after_work = chance.choice(SIGNALS), chance.random() < 0.5
                seconds = chance.uniform(0, 0.3 if after_work else 0.7) * length if kills < arguments.kills else sys.maxsize
                ended, stage = builds.wait(process, seconds, after_work)
                if not ended:
                    process.send_signal(killer)
                process.wait()
                out, error = (file.seek(0) or file.read() for file in (out_file, error_file))
            code = process.returncode
            if code == 0:
                break
            if code == -signal.SIGKILL or (killer != signal.SIGKILL and code == 130 or code == -killer):
                kills, hits = kills + 1, hits + 1
                by_signal[killer.name] = by_signal.get(killer.name, 0) + 1
                by_stage[stage] = by_stage.get(stage, 0) + 1
            else:
                sys.exit(f"a build ended with {code}: {error}")
            if code == 130 and "interrupted" not in error:
                sys.exit(f"an interrupted build does not say so: {error}")
            # A kill between the rename and the end leaves the new pack.
            if (found := builds.verified_id()) not in (old, expected):
                sys.exit(f"after a kill the pack at the target is {found}, neither the old one nor the new one")
            if builds.strangers():
                sys.exit(f"a kill left {builds.strangers()}")
        report = json.loads(out)
        if report["id"] != expected or builds.verified_id() != expected:
            sys.exit(f"after {hits} kills the id is {report['id']}, expected {expected}")
        if os.listdir(builds.target.parent) != ["pack.mpk"]:
            sys.exit(f"a finished build left {os.listdir(builds.target.parent)}")
        finished, encoded, resumed = finished + 1, encoded + report["encoded"], resumed + report["resumed"]
        print(f"build {finished}: {hits} kills, the last process reused {report['resumed']} of {references} references", flush=True)
    print(
        f"{kills} kills ({', '.join(f'{count} {name}' for name, count in sorted(by_signal.items()))}) of {attempts} processes in "
        f"{time.monotonic() - started:.0f} s: {finished} builds completed, all with the id of the undisturbed one; the old pack was whole "
        f"after every kill; the processes that completed encoded {encoded} references and reused {resumed}; last file written by "
        f"killed processes: {', '.join(f'{name} {count}' for name, count in sorted(by_stage.items()))}"
    )


if __name__ == "__main__":
    main()
