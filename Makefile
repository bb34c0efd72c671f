# The handful of words. `make run` and `make test` are all that a user needs.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
MINUTES ?= 60
BIN := $(VENV)/bin

.PHONY: setup run test test-all chaos soak check fix bench docs page
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
	SOAK_MINUTES=15 $(BIN)/python -m pytest -q -s -p no:xdist tests/chaos/test_soak.py

# Kills servers, workers and databases at random for ten minutes; then nothing may be lost or done twice.
chaos: setup
	CHAOS_SECONDS=600 CHAOS_REQUESTS=2000 CHAOS_KILLS=50 $(BIN)/python -m pytest -q -p no:xdist -s tests/chaos

# `make soak MINUTES=15`: memory and latency under steady load; the windows as CSV and a plot in bench/out.
soak: setup
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[bench]"
	mkdir -p bench/out
	SOAK_MINUTES=$(MINUTES) $(BIN)/python -m bench.soak --json bench/out/soak.json --plot bench/out/soak.png

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
