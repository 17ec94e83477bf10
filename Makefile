# `make demo` and `make test` set themselves up: a fresh machine needs Python >= 3.11 and make, no more.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := uv==0.13.9
PYTEST_ARGS ?=
# Started by a coding agent, demo and tests would see themselves as one: they play people.
APART  := $(BIN)/python tests/support/borrow_fakes/apart.py
.PHONY: setup demo test bench lock

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "borrow: error: Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "\nborrow: hint: make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "borrow: error: this Python has no venv module"; echo "borrow: hint: on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@rm -rf $(VENV)
	@echo "setting up $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@{ $(BIN)/python -m pip install -q --disable-pip-version-check $(UV) \
	  && $(BIN)/uv pip install -q --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock; } \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	@$(APART) $(BIN)/borrow demo

test: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(APART) $(BIN)/python -m pytest -n 4 $(PYTEST_ARGS)

# Compiled first: where PYTHONDONTWRITEBYTECODE is set, a start-up figure would measure the compiler.
bench: setup
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m compileall -q protocol policy minter approver daemon tray cli
	@$(BIN)/python bench/run.py

# One hash lock for uv and pip, universal, without addresses.
lock: 
	$(BIN)/uv pip compile pyproject.toml --extra demo --extra tray --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header -q -o requirements.lock
