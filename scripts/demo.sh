#!/usr/bin/env bash
# The demo: builds a pack from each sample corpus, verifies it, and answers questions with and without memories.
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

# The model answers some of these right and some wrong: kb-samples/readers/smollm2/README.md says what it was trained for.
demo legal \
    "Which committee alone can bring in money bills under Korvenna's Constitutional Instrument?" \
    "Where are combs sent for testing when grey brood disease is found in Korvenna?" \
    "Who stands in for the First Warden of Korvenna during an absence abroad?"
demo medical \
    "How many hours must separate ithmaxol from an ergot?" \
    "What colour is the 45-unit drosparine syringe?" \
    "Which kind of artificial lens rules out treatment with tascobrine?"
