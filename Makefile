PYTHON ?= python3.11
VENV := .venv
STAMP := $(VENV)/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup train test test-long faults lint format docs bench lock audit ui clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Without dependency resolution: the lock is complete, and an installer's own answer to extras would leave it. uv takes a tenth of
# pip's time, and is of the lock too; where its index cannot be reached, since only pip's is configured, pip installs the rest.
INSTALL := --quiet --no-deps --require-hashes --requirement
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Reprise needs Python 3.11: make PYTHON=/path/to/python3.11")'
	@echo "Setting up $(VENV) (a minute or more, once) ..."
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock | $(VENV)/bin/python -m pip install --quiet $(INSTALL) /dev/stdin
	@$(VENV)/bin/uv pip install --python $(VENV)/bin/python $(INSTALL) requirements.lock \
	  || $(VENV)/bin/python -m pip install --quiet $(INSTALL) requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --quiet --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(STAMP) ## build .venv from the lock (seconds when nothing changed)

train: setup ## train, evaluate and register a model: make train ARGS="--data reviews.csv"
	$(VENV)/bin/reprise train $(ARGS)

# Three workers for two cores, since much of a test's time is spent waiting for a process that it has started.
test: lint ## lint, types and all tests but the long ones: make test ARGS="-k padding"
	$(VENV)/bin/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m "not long" $(ARGS)

test-long: setup ## the tests that take minutes: kills of runs, workers, sweeps and scorings, a shared bucket
	$(VENV)/bin/python -m pytest -m long $(ARGS)

faults: setup ## inject every fault for real, and print a table of what was survived
	$(VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m fault $(ARGS)

lint: setup ## ruff, codespell, mypy, hadolint and the schema of compose.yaml, as before each commit
	$(VENV)/bin/ruff format --check --quiet . || { echo "make format would mend that"; exit 1; }
	$(VENV)/bin/ruff check --quiet .
	$(VENV)/bin/codespell
	$(VENV)/bin/hadolint docker/Dockerfile
	$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker/compose.yaml
	$(VENV)/bin/mypy

format: setup ## write every file as ruff would have it
	$(VENV)/bin/ruff check --fix --quiet .
	$(VENV)/bin/ruff format --quiet .

docs: setup ## write docs/reference anew, from the configuration's schemas and the command's help
	$(VENV)/bin/python -m tests.documentation.reference

bench: setup ## training and scoring beside Keras, JAX and PyTorch: make bench ARGS="--json bench.json"
	$(VENV)/bin/python -m tests.benchmarks.speed $(ARGS)

ui: setup ## the MLflow and Prefect UIs on loopback
	$(VENV)/bin/reprise ui $(ARGS)

lock: setup ## rewrite requirements.lock from pyproject.toml
	$(VENV)/bin/uv pip compile pyproject.toml --group dev --extra ray --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --quiet --output-file requirements.lock

audit: setup ## look the lock's packages up among known flaws (needs the network)
	$(VENV)/bin/uv tool run pip-audit --requirement requirements.lock --no-deps --disable-pip --vulnerability-service osv $(ARGS)

clean: ## remove .venv and the workspace .reprise, but no registered model
	rm -rf $(VENV) .reprise
