# make demo      install muse into .venv, then train on a synthetic package
# make test      install muse into .venv, then run all checks but the slow tests
# make test-all  the same, then the slow tests
# make format    let ruff mend what it can
# make docs      write docs/settings.md from the settings
# make clean     remove all that these have made
#
# PYTHON=python3.13   another Python
# VENV=FOLDER         another folder for the environment
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu   PyTorch without CUDA
SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# PIP_CONSTRAINT, unlike --constraint, also pins the packages that others are built with;
# from pip 25.3 on that is PIP_BUILD_CONSTRAINT, which older versions ignore
PINS := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt

.PHONY: setup demo test test-all format docs clean

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "muse needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)" or 0)'
	$(PYTHON) -m venv $(VENV)
	@if [ "$$(uname)" = Linux ] && [ -z "$$PIP_EXTRA_INDEX_URL" ] && [ ! -e /proc/driver/nvidia ] \
	    && ! command -v nvidia-smi > /dev/null && ! $(BIN)/python -c 'import torch' 2> /dev/null; then \
	  echo 'No NVIDIA GPU was found, and PyTorch from PyPI brings gigabytes of CUDA. To do without them:'; \
	  echo '    make $(MAKECMDGOALS) PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu'; \
	fi
	@echo 'Installing muse and its packages into $(VENV), which takes a few minutes; large downloads are named.'
	@set -o pipefail; $(PINS) PYTHONUNBUFFERED=1 \
	  $(BIN)/python -m pip --disable-pip-version-check install --use-pep517 --editable '.[dev]' | \
	  while read -r line; do case $$line in \
	    (Downloading*[0-9][0-9].[0-9]\ MB\)* | Building\ wheels* | Installing\ collected*) \
	      printf '  %.100s\n' "$$line";; \
	  esac; done
	@touch $@

demo: export MUSE_CACHE := outputs/demo/cache
demo: setup
	$(BIN)/muse synth task=stress out=outputs/demo scale=0.2 'features=[egemaps,vggface,bert]'
	$(BIN)/muse train task=stress features=egemaps data.root=outputs/demo \
	  'hydra.run.dir=outputs/demo/train/$${now:%Y-%m-%d_%H-%M-%S}' seeds=2 epochs=15

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n auto

test-all: test
	$(BIN)/python -m pytest -n auto -m slow

docs: setup
	$(BIN)/python scripts/make_docs.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) outputs/demo .pytest_cache .ruff_cache build dist
	find src tests scripts -name __pycache__ -prune -exec rm -rf {} +
