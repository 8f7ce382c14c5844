# make demo: train, package, serve and check two models. make test: the everyday suite. Both set up .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.complete

# make rtl-tools: what the long tests of RTL take from the system's packages (Debian, as root); without them those skip.
.PHONY: setup rtl-tools demo test test-long lint bench clean

setup: $(DONE)

$(DONE): constraints.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	    || { echo "make: $(PYTHON) is not Python 3.11 to 3.13; name one with: make PYTHON=python3.11 ..."; exit 2; }
	@rm -f $(DONE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --quiet --progress-bar off -c constraints.txt -e '.[all,dev]'
	@touch $(DONE)

rtl-tools:
	apt-get update
	apt-get install --yes verilator yosys ghdl

demo: setup
	$(BIN)/python examples/demo.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -m "not long"

test-long: lint
	$(BIN)/python -m pytest

bench: setup
	$(BIN)/python benchmarks/startup.py

clean:
	rm -rf $(VENV) demo-output build dist *.egg-info
