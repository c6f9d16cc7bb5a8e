# Each target sets up .venv by itself when it is missing or older than the requirements.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -q --numprocesses logical --maxprocesses 8 --dist loadgroup
STAMP := $(VENV)/.installed

.PHONY: demo shell test test-fast lint format clean

demo: $(STAMP)  ## train on the built-in synthetic scenes and evaluate: runs/demo, pictures included
	$(BIN)/python train_GGHL.py
	$(BIN)/python test.py
	@echo "next: source $(BIN)/activate, then python predict.py dataR/demo/val/images"

shell: $(STAMP)  ## a shell in which `python` is that of .venv
	@. $(BIN)/activate && exec "$${SHELL:-/bin/sh}"

test: $(STAMP)  ## every test, the slow ones too
	$(PYTEST)

test-fast: $(STAMP)  ## the tests without those marked slow
	$(PYTEST) -m "not slow"

lint: $(STAMP)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): requirements.txt tests/requirements.txt
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
		uv pip install --quiet --python $(BIN)/python -r tests/requirements.txt; \
	else \
		test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt; \
	fi
	@touch $(STAMP)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
