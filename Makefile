# make demo: train, package, serve and check two models. make test: the everyday suite. Both set up .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.complete

# make quick: the fast tests, under 90 seconds. make record: compare what commands do with tests/behaviour/record.json.
# make system-tools: what some tests take from the system's packages (Debian, as root); without them those tests skip.
EXTRAS ?= all,dev
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n auto --maxprocesses 4 --dist loadfile
.PHONY: setup system-tools demo quick test test-long record lint bench clean

setup: $(DONE)

$(DONE): constraints.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	    || { echo "make: $(PYTHON) is not Python 3.11 to 3.13; name one with: make PYTHON=python3.11 ..."; exit 2; }
	@rm -f $(DONE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --quiet --progress-bar off -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $(DONE)

system-tools:
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
	    chromium ghdl g++ nlohmann-json3-dev shellcheck verilator yosys

demo: setup
	$(BIN)/python examples/demo.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.import_circles

quick: setup
	$(PYTEST) $(PARALLEL) -m "not long and not slow"

test: lint
	$(PYTEST) $(PARALLEL) -m "not long"

test-long: lint
	$(PYTEST) $(PARALLEL)

record: setup
	$(BIN)/python -m tests.behaviour.record

bench: setup
	$(BIN)/python benchmarks/startup.py

clean:
	rm -rf $(VENV) demo-output build dist *.egg-info
