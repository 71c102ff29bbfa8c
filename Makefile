# `make demo` builds and asks the sample packs, `make test` runs all tests. Each does the set-up that it needs, once.
#
# What you already have is used:
#   LIBTORCH=/path/to/libtorch    libtorch 2.11 with headers; the build then downloads nothing
#   EMBEDDER=/path/to/folder      a sentence embedder (BERT or XLM-RoBERTa, Hugging Face layout)
#   E5=/path/to/folder            multilingual-e5-small as a Hugging Face folder, which tests compare with
#   BASE=/path/to/folder          SmolLM2-135M-Instruct as a Hugging Face folder, the base of the default model
#   VECTORS=/path/to/file.npy     for `make bench-codec`: your own vectors, float32 [n, head_dim]

PYTHON ?= python3
CARGO ?= cargo
EMBEDDER ?= models/all-MiniLM-L6-v2
E5 ?= models/multilingual-e5-small
BASE ?= models/SmolLM2-135M-Instruct
GGUF := models/gguf/SmolLM2-135M-Instruct.Q4_1.gguf
TARGET := $(or $(CARGO_TARGET_DIR),target)
MEMPACK := $(TARGET)/release/mempack
CODEC_ENV := target/codec-env

export MEMPACK_EMBEDDER := $(abspath $(EMBEDDER))
export MEMPACK_BASE := $(abspath $(BASE))
export MEMPACK_E5 := $(abspath $(E5))
# Idle threads of libgomp sleep instead of spinning.
export OMP_WAIT_POLICY ?= passive

ifdef LIBTORCH
LIBTORCH_READY :=
else
LIBTORCH_READY := libtorch/build-version
endif

.PHONY: all build models demo test test-hf test-ray wheel random-calls mixed-folder soak screenshots check-deploy thorough store-faults schedules eval lint bench bench-codec dist clean-packs

all: build

build: $(LIBTORCH_READY)
	$(CARGO) build --release

libtorch/build-version:
	$(PYTHON) scripts/setup.py libtorch

models/all-MiniLM-L6-v2/model.safetensors:
	$(PYTHON) scripts/setup.py embedder

$(GGUF):
	$(PYTHON) scripts/setup.py base-gguf

# The GGUF file is fetched only while there is no folder of it.
.INTERMEDIATE: $(GGUF)

# The import writes beside its target and renames at the end. IMPORTER is the program that was just built.
models/SmolLM2-135M-Instruct/config.json: | $(GGUF)
	$(IMPORTER) import $(GGUF) -o $(@D)
	rm -r $(dir $(GGUF))

# The command checks what it fetches, and writes beside its target.
models/multilingual-e5-small/config.json:
	$(IMPORTER) models get e5 --models models

# A folder that the user names exists already.
$(EMBEDDER)/model.safetensors $(BASE)/config.json $(E5)/config.json:

.PHONY: in-place
in-place: | $(EMBEDDER)/model.safetensors $(BASE)/config.json

# The embedder and the base of the default model.
models: build
	@$(MAKE) --no-print-directory in-place IMPORTER=$(MEMPACK)

# `make demo READER=qwen` answers with the second reader, for which the script fetches what is missing. An unknown one is refused before the
# program is built.
READER ?= smollm2
demo:
	@scripts/demo.sh --check '$(READER)'
	@$(MAKE) --no-print-directory $(if $(filter qwen,$(READER)),build,models)
	scripts/demo.sh $(MEMPACK) '$(READER)'

# The tests' own build imports the base: another build would have other features, and compile the dependencies twice. The package of Python is built by
# python/test.sh alone.
test: $(LIBTORCH_READY)
	$(CARGO) test --workspace --exclude mempack-python --no-run
	@$(MAKE) --no-print-directory in-place $(E5)/config.json IMPORTER=$(TARGET)/debug/mempack
	@$(MAKE) --no-print-directory -j2 test-rust test-programs
	tests/page/all.sh $(TARGET)/debug/mempack

# Both at once, for each leaves a part of the machine idle; a browser needs all of it. What `test-programs` prints comes at its end. WITH_HF=1 adds `mempack.hf`, for which torch is fetched.
.PHONY: test-rust test-programs
test-rust:
	env -u MAKEFLAGS $(CARGO) test --workspace --exclude mempack-python

test-programs: PROGRAM := $(TARGET)/debug/mempack
test-programs:
	@log=$(TARGET)/test-programs.log; unset MAKEFLAGS; \
	( set -ex; \
	  python/test.sh; \
	  $(if $(WITH_HF),python/hf.sh $(PROGRAM);) \
	  tests/store/run.sh; \
	  tests/serve/run.sh $(PROGRAM); \
	  tests/serve/soak.sh $(PROGRAM) --minutes 1 ) > $$log 2>&1; \
	status=$$?; cat $$log; exit $$status

# The wheel of the Python package, in target/wheels.
wheel:
	python/wheel.sh

# `mempack.hf` with transformers and torch, beside the program. Not in `make test`: torch's packages take 5 GB.
test-hf: models
	python/hf.sh $(MEMPACK)

# `mempack.ray` with clusters of Ray on this machine. Not in `make test`: it takes minutes.
test-ray: build
	python/ray.sh $(MEMPACK)

# 10^6 random calls of the Python package.
random-calls:
	for round in $$(seq 20); do echo "round $$round of 20"; MEMPACK_RANDOM_CALLS=50000 python/test.sh -q test_random_calls.py || exit; done

# A folder of 10,000 files of all kinds, many of them broken, is read to its end.
mixed-folder: build
	tests/folder/mixed.py $(MEMPACK) --files 10000

# 30 minutes of mixed traffic at a service whose packs change every second: nothing fails, and its memory stays.
soak: models
	tests/serve/soak.sh $(MEMPACK) --minutes 30

# The files in deploy/: syntax, schemas, and whether what they name exists in the service.
DEPLOY_ENV := $(TARGET)/deploy-env
check-deploy: $(DEPLOY_ENV)/ready
	$(DEPLOY_ENV)/bin/python deploy/check.py

$(DEPLOY_ENV)/ready: deploy/requirements.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes --requirement $<
	touch $@

# Pictures of the page, from a mock of the service.
screenshots:
	tests/page/run.sh --screenshots $(TARGET)/screenshots

# What `make test` tries a part of: every fault of a build at every operation, every flipped byte of the golden packs, every hostile pack by the program.
thorough: models
	MEMPACK_THOROUGH=1 $(CARGO) test --workspace --test crash --test golden --test hostile

# 500 random round trips of banks through object stores that fail, in memory and in folders, and 500 through S3.
store-faults:
	MEMPACK_STORE_FAULTS=500 $(CARGO) test --package mempack-store --test faults -- --nocapture
	tests/store/run.sh 500

# Answers in batches by 10,000 random schedules beside those alone.
schedules: $(LIBTORCH_READY)
	$(CARGO) test --workspace --test batching -- --ignored

lint: $(LIBTORCH_READY)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --no-default-features -- -D warnings

# All sample questions: closed book, from memories, and with the texts in the prompt. `make eval EVAL="--limit 40"` asks fewer.
eval: models
	for domain in legal medical; do \
	    [ -e packs/$$domain.mpk ] || { mkdir -p packs && $(MEMPACK) build kb-samples/$$domain/corpus.jsonl -o packs/$$domain.mpk; } || exit; \
	    $(MEMPACK) eval kb-samples/$$domain/questions.jsonl --pack packs/$$domain.mpk $(EVAL) || exit; \
	done

bench: models
	$(CARGO) bench --package mempack-benches --benches

# Compares codecs with those of faiss: docs/codec.md. `CODEC_BENCH=--reuse` reuses earlier figures of faiss, whose largest codec trains for a quarter of an hour.
bench-codec: $(LIBTORCH_READY) $(CODEC_ENV)/ready
	$(CARGO) build --release --package mempack-benches --bin bench_codec
	$(CODEC_ENV)/bin/python benches/peers/codec/run.py --mempack $(TARGET)/release/bench_codec \
	    $(if $(VECTORS),--vectors '$(VECTORS)') $(CODEC_BENCH)

$(CODEC_ENV)/ready: benches/peers/codec/requirements.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --only-binary=:all: --requirement $<
	touch $@

# A tarball that runs where it is unpacked: target/dist/mempack-VERSION-x86_64-linux.tar.gz
dist: build
	scripts/dist.sh $(MEMPACK) $(TARGET)/dist

clean-packs:
	rm -rf packs
