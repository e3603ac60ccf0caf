# Commands for development. Everything is installed into .venv on first use.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test slow gpu lint docs clean

# One thread: two of them wait for one another where other work uses a core.
demo: $(VENV)/ready  ## set up, tune the bundled miniature, print the front, write search_params.json
	OMP_NUM_THREADS=1 $(BIN)/tuner run studies/miniature.toml
	$(BIN)/tuner export -o search_params.json

test: $(VENV)/ready  ## set up and run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow: $(VENV)/ready  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

gpu: $(VENV)/ready  ## the tests that need a GPU
	$(BIN)/python -m pytest -m gpu

lint: $(VENV)/ready  ## format, lint, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/ready  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/ready: pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)  # an environment keeps its Python
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist site
