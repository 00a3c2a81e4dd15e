# Everything here sets itself up: it needs Python 3.11 or newer with venv and pip, and make.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' > /dev/null 2>&1 && echo "$$python" && break; done)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTEST_ARGS ?=
QUICKSTART := runs/quickstart

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help quickstart test thorough compiled faults lint docs clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(VENV)/.installed-plot ## Run the example study, print its ranking, save a figure
	$(BIN)/structflow run specs/quickstart.yaml -o $(QUICKSTART)
	$(BIN)/structflow plot $(QUICKSTART) -o $(QUICKSTART)/ranking.png

test: $(VENV)/.installed-plugins ## Run the tests (PYTEST_ARGS="-k name" for some of them)
	$(BIN)/python -m pytest --numprocesses auto --dist loadscope $(PYTEST_ARGS)

thorough: $(VENV)/.installed-plugins ## Run the tests that take longer
	$(BIN)/python -m pytest -m thorough --numprocesses auto

compiled: $(VENV)/.installed-plugins ## Compile the plugins of every package as one program, and compare with eager mode
	$(BIN)/python -m pytest -m compile_together

faults: $(VENV)/.installed-plugins ## Kill, freeze and starve the processes of runs, and compare with undisturbed ones
	$(BIN)/python -m pytest -m faults

lint: $(VENV)/.installed-plugins ## Check style, types and the order of the layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-docs ## Build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

clean: ## Remove the environment, caches and built files; runs are kept
	rm -rf $(VENV) build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find structflow tests plugins docs -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp an extra. What builds the package is installed first, by its pinned version too.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing structflow with its extra $* into $(VENV); the first time takes a minute or two."
	$(PIP_INSTALL) hatchling editables
	$(PIP_INSTALL) --no-build-isolation --editable ".[$*]"
	@touch $@

# The packages in plugins/, from their folders, for the tests.
$(VENV)/.installed-plugins: $(VENV)/.installed-dev $(wildcard plugins/*/pyproject.toml)
	$(PIP_INSTALL) --no-build-isolation $(patsubst %/pyproject.toml,--editable ./%,$(wildcard plugins/*/pyproject.toml))
	@touch $@

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found: install one, or run make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
