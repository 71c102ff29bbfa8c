#!/usr/bin/env bash
# The demo: builds a pack from each sample corpus, verifies it, and answers questions with and without memories.
#
#     scripts/demo.sh MEMPACK [READER]            (called by `make demo`, which builds the program)
#     scripts/demo.sh --check READER              only says whether there is such a reader
#
# READER is smollm2 (the default; `make models` puts it in place) or qwen. Of qwen, what is missing in the folder of models (MEMPACK_MODELS,
# or `models`) is fetched by `mempack models get`, about 560 MB; a copy that is there is used.
set -euo pipefail
cd "$(dirname "$0")/.."
mempack=$1
reader=${2:-smollm2}

case $reader in
smollm2 | qwen) ;;
*)
    printf 'demo: no reader is named `%s`; the readers are smollm2 and qwen\n' "$reader" >&2
    exit 2
    ;;
esac
if [ "$mempack" = --check ]; then
    exit
fi

# The packs of readers differ, and so do their names.
prefix=
if [ "$reader" = qwen ]; then
    prefix=qwen-
    models=${MEMPACK_MODELS:-models}
    "$mempack" models get qwen --models "$models"
    "$mempack" models get e5 --models "$models"
    export MEMPACK_BASE=$models/Qwen2.5-Coder-0.5B-Instruct
    export MEMPACK_MODEL=$models/qwen-reader
    export MEMPACK_EMBEDDER=$models/multilingual-e5-small
fi
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
    local domain=$1 pack=packs/$prefix$1.mpk
    shift
    printf '\n=== %s ===\n' "$domain"
    "$mempack" build "kb-samples/$domain/corpus.jsonl" -o "$pack"
    "$mempack" verify "$pack"
    for question in "$@"; do
        ask "$pack" "$question"
    done
}

# The model answers some of these right and some wrong: the card in kb-samples/readers says what it was trained for.
demo legal \
    "Which committee alone can bring in money bills under Korvenna's Constitutional Instrument?" \
    "Where are combs sent for testing when grey brood disease is found in Korvenna?" \
    "Who stands in for the First Warden of Korvenna during an absence abroad?"
demo medical \
    "How many hours must separate ithmaxol from an ergot?" \
    "What colour is the 45-unit drosparine syringe?" \
    "Which kind of artificial lens rules out treatment with tascobrine?"
