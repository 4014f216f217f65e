# make demo   set muse up and train on a synthetic package
# make test   set muse up and run all checks
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: setup demo test format clean

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "muse needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)" or 0)'
	$(PYTHON) -m venv .venv
	$(PIP) --editable ".[dev]"
	@touch $@

demo: setup
	$(BIN)/muse synth task=stress out=outputs/demo scale=0.2 'features=[egemaps,vggface,bert]'
	$(BIN)/muse train task=stress features=egemaps data.root=outputs/demo seeds=2 epochs=15

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n auto

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .pytest_cache .ruff_cache build dist
