# make app    start the program (installs what it needs on the first run)
# make test   all checks and tests
# make lint   the checks alone
# make bench  measure speed and load, rewrite the table in docs/performance.md
# make audit  known vulnerabilities of the installed packages (asks a service on the internet)
# make train  train a model; options in ARGS, e.g. make train ARGS="--epochs 2"
# make messages  bring the catalogs of translations up to date and compile them
# make clean  remove what these commands made

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := app
.PHONY: app test lint bench audit train messages clean

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

# Debian packages, installed only where the thing itself is missing.
apt = sudo=; if [ "$$(id -u)" != 0 ]; then command -v sudo >/dev/null || \
	{ echo "Please install it first: apt-get install $(1)" >&2; exit 1; }; sudo=sudo; fi; \
	$$sudo apt-get update -q </dev/null && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(1) </dev/null

app: .venv/run.stamp
	$(BIN)/python app.py $(ARGS)

train: .venv/run.stamp
	$(BIN)/python training.py $(ARGS)

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: .venv/dev.stamp lint
	@command -v chromium chromium-browser google-chrome >/dev/null || { $(call apt,chromium); }
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

bench: .venv/run.stamp
	PYTHONPATH=. $(BIN)/python benchmarks/bench.py

audit: .venv/dev.stamp
	$(BIN)/pip-audit --vulnerability-service osv --strict --skip-editable --progress-spinner off $(ARGS)

messages: .venv/dev.stamp
	PYTHONPATH=. $(BIN)/python tests/catalogs.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/run.stamp: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "Flawsight needs Python 3.11 or newer; name one with: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(call apt,python3-venv); }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -r requirements.txt
	@touch $@

.venv/dev.stamp: requirements-dev.txt .venv/run.stamp
	$(BIN)/python -m pip install -q -r requirements-dev.txt
	@touch $@
