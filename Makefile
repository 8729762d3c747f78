# The two commands that matter: `make serve` and `make test`. Each sets up what it needs.
# PYTHON=/path/to/python3.12 names the interpreter; else requirements/install.sh looks for one that fits.
PYTHON ?=
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help setup setup-dev serve chat test lint format bench prove calibrate-env bundle image docs lock clean

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.cpu  ## make .venv with what serving on a CPU needs

setup-dev: $(VENV)/.dev  ## the same, with what tests and lint need

$(VENV)/.cpu: requirements/cpu.lock
	@sh requirements/install.sh "$(PYTHON)" $(VENV) requirements/cpu.lock && touch $@

$(VENV)/.dev: requirements/dev.lock
	@sh requirements/install.sh "$(PYTHON)" $(VENV) requirements/dev.lock && touch $@ $(VENV)/.cpu

serve: setup  ## start the demo model on http://127.0.0.1:8000
	@exec $(BIN)/python -m serve --model demo

chat: setup  ## talk to the running server
	@exec $(BIN)/python -m serve chat

# Two processes keep two cores busy, as half of the time goes into waiting for servers. A file's tests
# stay together, for they share servers and models; in the order of collection long files come early.
PROCESSES ?= 2
test: setup-dev lint  ## lint, then every test, in PROCESSES=2 at a time
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

lint: setup-dev  ## ruff, mypy, import contracts, generated docs, Dockerfiles
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.generate --check
	$(BIN)/hadolint Dockerfile.cpu Dockerfile.gpu
	$(BIN)/python -m docs.cluster_settings --check
	$(BIN)/python -m docs.monitoring_files --check

format: setup-dev  ## ruff's fixes and format, and the generated docs
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m docs.generate
	$(BIN)/python -m docs.cluster_settings
	$(BIN)/python -m docs.monitoring_files

bench: setup-dev  ## ours beside its peers, on two models: bench-out/. LLAMA=PYTHON with llama-cpp-python
	$(BIN)/python -m benchmarks compare demo random:0.5b --budget 150 --out bench-out $(if $(LLAMA),--llama-cpp-python "$(LLAMA)")

# In one process: a kill aims at a moment of a command, which another's load would move.
prove: setup-dev  ## the long proofs: properties 5,000 times, 200 kills of vLLM, 200 of pulls and bundles
	$(BIN)/python -m pytest --hypothesis-profile=prove

calibrate-env: $(VENV)-calibrate/.done  ## the environment of `python -m quantize.calibrate` (llmcompressor)

$(VENV)-calibrate/.done: requirements/calibrate.lock
	@sh requirements/install.sh "$(PYTHON)" $(VENV)-calibrate requirements/calibrate.lock && touch $@

OUT   ?= dist/bundle
MODEL ?= demo
bundle: setup  ## all that a machine without a network needs: OUT=DIR MODEL=NAME SIGN=KEY
	@$(BIN)/python -m release --out "$(OUT)" --model "$(MODEL)" $(if $(SIGN),--sign "$(SIGN)")

FOR ?= cpu
image:  ## a container image, with buildah: FOR=cpu|gpu ARGS="--base NAME@sha256:... --wheels DIR"
	@sh release/image.sh "$(FOR)" $(ARGS)

lock: setup-dev  ## resolve requirements/*.in anew (needs the network)
	sh requirements/lock.sh

clean:  ## remove the environment and caches
	rm -rf $(VENV) $(VENV)-calibrate .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
