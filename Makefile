# The commands of this repository; `make help` lists them.

SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint bench schema reference operators lock clean venv venv-dev

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

venv:
	@.ci/venv requirements.txt "$(PYTHON)"

venv-dev:
	@.ci/venv requirements-dev.txt "$(PYTHON)"

demo: venv ## from an empty folder to a signed, served, audited model (under 3 minutes)
	@.ci/demo

test: venv-dev ## the tests, without the slow ones
	@.ci/system-packages
	@.ci/local-sigstore
	@.ci/web-runtime
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

test-all: venv-dev ## every test
	@.ci/system-packages
	@.ci/local-sigstore
	@.ci/web-runtime
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "" $(PYTEST_ARGS)

lint: venv-dev ## ruff, mypy --strict and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: venv-dev .venv-bench/.installed ## the figures that docs/performance.md promises, as ratios measured side by side
	@command -v wrk >/dev/null || .ci/system-packages wrk
	$(BIN)/python bench/run.py

# The server that ours is measured beside has an environment of its own.
.venv-bench/.installed: bench/requirements.txt
	"$(PYTHON)" -m venv .venv-bench
	.venv-bench/bin/pip install -qq --disable-pip-version-check --require-hashes --no-deps -r bench/requirements.txt
	touch $@

schema: venv-dev ## write schemas/mlops.schema.json from the providers' Specs
	$(BIN)/mlopsctl schema > schemas/mlops.schema.json.new
	mv schemas/mlops.schema.json.new schemas/mlops.schema.json

reference: venv-dev ## write docs/cli.md from the command line
	$(BIN)/python -W ignore -m tests.docs.cli_reference > docs/cli.md.new
	mv docs/cli.md.new docs/cli.md

operators: venv-dev ## run the node tests of ONNX through the targets and write docs/operators.md (minutes)
	@.ci/system-packages
	@.ci/web-runtime
	$(BIN)/python -W ignore -m tests.operators
	$(BIN)/python -W ignore -m tests.docs.operator_table > docs/operators.md.new
	mv docs/operators.md.new docs/operators.md

# Neither file may name an index or a path: whoever installs uses the index that is set up on that machine.
PIP_COMPILE = env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null $(BIN)/pip-compile --quiet \
	--generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
	--no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock: venv-dev ## pin every dependency again, with hashes (UPGRADE=--upgrade for newer ones)
	$(PIP_COMPILE) $(UPGRADE) --all-extras -o requirements-dev.txt pyproject.toml
	$(PIP_COMPILE) --extra build -c requirements-dev.txt -o requirements.txt pyproject.toml
	$(PIP_COMPILE) $(UPGRADE) -o bench/requirements.txt bench/requirements.in
	sed -i -e '/^#/d' -e '/^$$/d' requirements.txt requirements-dev.txt bench/requirements.txt

clean: ## remove everything that the commands above made
	rm -rf .venv .venv-bench .demo build dist tests/sigstore/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
