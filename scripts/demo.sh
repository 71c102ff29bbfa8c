#!/usr/bin/env bash
# The demo: each sample corpus becomes a pack, the pack is verified, and questions are answered from it, with memories and without.
#
#     scripts/demo.sh MEMPACK        (called by `make demo`, which does the set-up)
set -euo pipefail
cd "$(dirname "$0")/.."
mempack=$1
mkdir -p packs

ask() {
    local pack=$1 question=$2
    printf '\nQuestion:          %s\n' "$question"
    printf 'Without memories:  '
    "$mempack" ask "$pack" "$question" --no-memories
    printf 'With memories:     '
    "$mempack" ask "$pack" "$question"
}

demo() {
    local domain=$1 pack=packs/$1.mpk
    shift
    printf '\n=== %s ===\n' "$domain"
    "$mempack" build "kb-samples/$domain/corpus.jsonl" -o "$pack"
    "$mempack" verify "$pack"
    for question in "$@"; do
        ask "$pack" "$question"
    done
}

demo legal \
    "Where does the Folkhall of Korvenna meet if the First Warden has not summoned it in time?" \
    "LEGAL2" \
    "LEGAL3"
demo medical \
    "MED1" \
    "MED2" \
    "MED3"
