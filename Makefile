# Everything that a person or a CI does here. `make help` lists it.
# Each target sets up the virtual environment if there is none.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO ?= demo
WORKERS ?= 2
STUDY := HPSEARCH_STORAGE=sqlite:///$(DEMO)/hpsearch.db HPSEARCH_RUNS=$(DEMO)/runs $(BIN)/hpsearch

# The tests start hundreds of processes: without stored bytecode each compiles hpsearch again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo quick test lint typecheck bench gpu storm dashboard clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Create .venv with hpsearch and all that its tests need

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or later is needed; name one with PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(READY) ## Search on real images, confirm the winner, export and verify it, write the report (about a minute, after the set-up)
	@rm -rf $(DEMO) && mkdir -p $(DEMO)
	$(STUDY) launch --study quickstart --workers $(WORKERS)
	$(STUDY) confirm --study quickstart --workers $(WORKERS)
	$(STUDY) export --study quickstart --bundle $(DEMO)/best
	$(BIN)/hpsearch verify $(DEMO)/best/best.yaml
	$(STUDY) report --study quickstart --out $(DEMO)/report

quick: lint typecheck ## While you work: style, types, and the unit tests of what differs from origin/main (under 90 s)
	@chosen=$$($(BIN)/python tests/support/quick.py) && if [ -n "$$chosen" ]; then \
		$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -q $(PYTEST_ARGS) $$chosen; \
		else echo "no unit test belongs to what differs from origin/main"; fi

test: $(READY) ## All tests: unit, integration (SQLite and Postgres), acceptance, chaos, security
	$(BIN)/python -m pytest --numprocesses 5 --dist worksteal $(PYTEST_ARGS)

lint: $(READY) ## Style, sections of docstrings, and that imports point down only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/support/docstring_sections.py
	$(BIN)/lint-imports

typecheck: $(READY) ## mypy, strict
	$(BIN)/mypy

bench: $(READY) ## What training costs here, against a plain loop
	$(BIN)/python -m benchmarks

gpu: $(READY) ## What hpsearch does on your GPU, in at most eight minutes: please send us its table (GPU_ARGS="--only speed")
	$(BIN)/python -m benchmarks.gpu $(GPU_ARGS)

storm: $(READY) ## Ten storms of kills, stops and outages, beside stock Optuna (STORM_ARGS="--seeds 3")
	$(BIN)/python -m benchmarks.storm $(STORM_ARGS)

dashboard: $(READY) ## Browse the demo's study
	HPSEARCH_STORAGE=sqlite:///$(DEMO)/hpsearch.db $(BIN)/hpsearch dashboard

clean: ## Remove what make made, but not the virtual environment
	rm -rf $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
