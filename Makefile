# `make demo` and `make test` work from a fresh clone: they make .venv where it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check docs dist format

demo: $(VENV)/ready
	$(BIN)/segmend demo --out demo

# Two tests at a time, with one thread each: most are too small for more.
test: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

check: $(VENV)/ready
	$(BIN)/ruff check src tests benchmarks docs setup.py
	$(BIN)/ruff format --check src tests benchmarks docs setup.py
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python benchmarks/render.py --check

docs: $(VENV)/ready
	$(BIN)/mkdocs build --strict

# The source, the wheel with the native library (for any Python on this system), and the wheel for any system.
dist: $(VENV)/ready
	rm -rf dist
	SEGMEND_RELEASE=1 $(BIN)/python -m build --quiet
	CC=false $(BIN)/pip wheel --quiet --no-deps --wheel-dir dist dist/segmend-*.tar.gz
	$(BIN)/python -m pytest -m dist tests/test_dist.py

format: $(VENV)/ready
	$(BIN)/ruff check --fix src tests benchmarks docs
	$(BIN)/ruff format src tests benchmarks docs

$(VENV)/ready: pyproject.toml setup.py constraints.txt $(wildcard src/segmend/ops/csrc/*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@
