# The handful of words. `make run` and `make test` are all that a user needs.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup run test test-all check fix bench docs page
.DELETE_ON_ERROR:

setup: $(VENV)/.stamp

$(VENV)/.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[models,dev]'
	touch $@

run: setup
	$(BIN)/laterna serve

test: setup
	$(BIN)/python -m pytest -q -n 3 -m "not slow"

test-all: setup
	$(BIN)/python -m pytest -q -n 2

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[bench]"
	$(BIN)/python -m bench

docs: setup
	$(BIN)/python -m docs.build

page:
	npm ci --prefix web --silent --no-audit --no-fund
	npm run --prefix web --silent build
