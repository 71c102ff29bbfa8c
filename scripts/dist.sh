#!/usr/bin/env bash
# Packs the program and the libraries it needs into a tarball, and checks that it runs where it is unpacked.
#
#     scripts/dist.sh MEMPACK OUT        (called by `make dist`, which builds the program)
#
# Writes OUT/mempack-VERSION-x86_64-linux.tar.gz: bin/mempack (stripped), lib/ (libtorch's libraries), LICENSE, NOTICE, README.md. The
# same inputs give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 2 ] || { echo "usage: scripts/dist.sh MEMPACK OUT" >&2; exit 2; }
mempack=$(realpath "$1") out=$(realpath -m "$2")
version=$("$mempack" --version | awk '{ print $2 }')
name=mempack-$version-x86_64-linux
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/$name/bin" "$work/$name/lib" "$out"
strip -o "$work/$name/bin/mempack" "$mempack"
# The libraries that come from libtorch's folder, not from the system.
libraries=$(ldd "$mempack" | awk '$3 ~ /^\// { print $3 }')
folder=$(dirname "$(grep '/libtorch_cpu\.so' <<<"$libraries" || { echo "$mempack: not linked with libtorch" >&2; exit 1; })")
grep -F "$folder/" <<<"$libraries" | xargs cp -L -t "$work/$name/lib"
cp LICENSE NOTICE "$work/$name/"
glibc=$(ldd --version | awk 'NR == 1 { print $NF }')
cat >"$work/$name/README.md" <<END
# mempack $version for Linux on x86-64

mempack compiles a reference corpus into a memory pack, and lets a language model decode with it. This folder has the program and the
libraries of libtorch that it needs. It runs where you unpack it (glibc $glibc or later, libstdc++):

    bin/mempack --version
    bin/mempack --help

These commands need nothing else: inspect, verify, repair, diff, revoke, keygen, sign, make-questions, completions.

    bin/mempack verify docs.mpk

The others need models, which are not in here: a Hugging Face folder with a decoder (or a PEFT adapter and its base), and one with a
sentence embedder (BERT or XLM-RoBERTa).

    export MEMPACK_MODEL=.../Qwen2.5-0.5B-Instruct MEMPACK_EMBEDDER=.../all-MiniLM-L6-v2
    bin/mempack build docs/ -o docs.mpk
    bin/mempack ask docs.mpk "How long is the notice period?"

The adapter of the default model (kb-samples/readers/smollm2) is in the source repository; \`make models\` there fetches its base and the embedder.

Licence: Apache-2.0 (LICENSE); NOTICE names the libraries in lib/ and their licences.
END
date=$(git log -1 --format=%ct 2>/dev/null || echo 0)
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-$date}" -C "$work" -cf - "$name" |
    gzip -n >"$work/$name.tar.gz"

# The tarball, unpacked elsewhere, without this machine's settings.
mkdir "$work/elsewhere"
tar -C "$work/elsewhere" -xzf "$work/$name.tar.gz"
program=$work/elsewhere/$name/bin/mempack
cp format-spec/tests/golden/v1.0.mpk "$work/elsewhere/golden.mpk"
run() { (cd "$work/elsewhere" && env -i PATH=/usr/bin:/bin "$@"); }
run ldd "$program" | awk -v lib="$(dirname "$program")/../lib/" '$1 ~ /^lib(torch|c10|gomp|cud|cupti)/ && index($3, lib) != 1 { print "outside of the tarball: " $0; bad = 1 } END { exit bad }' >&2
[ "$(run "$program" --version)" = "mempack $version" ]
run "$program" verify golden.mpk

mv "$work/$name.tar.gz" "$out/"
ls -l "$out/$name.tar.gz"
