# Every target prepares what it needs, so that each works as the only command typed on a bare checkout.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
EXIT   ?=
SEEDS  ?= 2000

.DEFAULT_GOAL := help
.PHONY: help install demo test test-real real test-long check format schema matrix bench simulate mutate deploy-lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.base: pyproject.toml constraints.txt
	@echo "Preparing $(VENV) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try make PYTHON=python3.12 …")'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	@$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.demo: $(VENV)/.base
	@# The package carries the CDNOW purchase histories; its own dependencies are not needed to read them.
	@$(PIP) --no-deps 'lifetimes==0.11.3'
	@touch $@

$(VENV)/.bench: $(VENV)/.base
	@$(PIP) --editable '.[bench]'
	@touch $@

install: $(VENV)/.base ## the command itself, .venv/bin/hub
	@echo "$(BIN)/hub is ready."

demo: $(VENV)/.demo ## a running hub with real purchase data; EXIT=1 ends after printing
	@$(BIN)/python -m deploy.demo $(if $(EXIT),--exit)

test: $(VENV)/.dev ## the whole test suite, on SQLite and on PostgreSQL where one is found
	@$(BIN)/python -m tests

test-real: real ## the connectors against real servers: Directus, WordPress, Unleash, OpenSSH, Mosquitto, NATS, moto for S3
	@$(BIN)/python -m pytest tests/real -rs

real: $(VENV)/.dev ## fetch those servers from the package registries into .real; minutes, once
	@$(BIN)/python -m tests.real

test-long: $(VENV)/.dev ## the long suites too: every failpoint, many kills, large files
	@$(BIN)/python -m tests --long

check: $(VENV)/.dev ## lint, format, types, import contracts, schema, matrix
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m hub.api.export --check
	@$(BIN)/python -m tests.connectors.matrix --check

format: $(VENV)/.dev ## put the code in order
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

schema: $(VENV)/.base ## write schema.graphql
	@$(BIN)/python -m hub.api.export

matrix: $(VENV)/.dev ## write docs/connectors/README.md, what each connector can do
	@$(BIN)/python -m tests.connectors.matrix

simulate: $(VENV)/.dev ## seeded schedules of faults against the delivery machine; SEEDS=100000
	@$(BIN)/python -m tests.simulation $(SEEDS)

mutate: $(VENV)/.dev ## how many changes of the consent decision and the delivery machine the tests notice; minutes
	@$(BIN)/python -m tests.mutation

bench: $(VENV)/.bench ## ratios of medians: the hub, a hand-written script and dlt on one workload
	@$(BIN)/python -m tests.bench

clean: ## remove the environment and everything built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
