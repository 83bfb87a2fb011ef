# make demo         train the example in three configurations, then serve the API and the dashboard
# make demo ONCE=1  the same, without serving
# make test         lint, types and every test
# make bench        measure ours and the peers side by side, in about twenty minutes
# make bench ARGS="--quick --only latency"
# make bench-ledger measure the ledger's server, on both databases; fills a million runs the first time
# make migration TITLE="add budgets"
#                   write the step from the ledger's last schema to the tables as they are
# make horovod      build Horovod for the PyTorch that is installed, in about three minutes
# make format       put the code into its canonical form

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest
TESTS_AT_ONCE ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n + 1 : 5)))
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt

# The tests start thousands of processes, and each would compile all that it imports by itself.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test lint types check format migration bench bench-ledger browser openmpi compiler horovod constraints clean

demo: $(VENV)/.all
	@$(BIN)/python -m trainers.demo $(if $(ONCE),--once)

test: lint types check

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	$(BIN)/mypy

# Tests wait for processes half of the time, so there is one more of them at once than there are
# cores. What starts ten processes for a training comes after them, and Horovod is built before
# them: each would keep the others from what they wait for.
MANY_PROCESSES := $(addprefix tests/test_,trainers_ray.py carbon_tuning_search.py trainers_horovod.py)

check: $(VENV)/.dev browser openmpi compiler
	@! command -v c++ >/dev/null || $(MAKE) --no-print-directory horovod
	$(PYTEST) $(addprefix --ignore ,$(MANY_PROCESSES)) --numprocesses $(TESTS_AT_ONCE) \
		--dist loadfile --no-loadscope-reorder
	$(PYTEST) --numprocesses 2 --dist loadfile --no-loadscope-reorder $(MANY_PROCESSES)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

migration: $(VENV)/.dev
	$(BIN)/python -m api.migrations "$(TITLE)"
	$(BIN)/ruff check --fix --quiet api/migrations
	$(BIN)/ruff format --quiet api/migrations

# Wants a quiet machine. Every tool has an environment of its own in .bench.
bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks $(ARGS)

bench-ledger: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.ledger $(ARGS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.all: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV), a minute or two the first time"
	$(INSTALL) --editable '.[all]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV), a minute or two the first time"
	$(INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.all

# The tests drive a real browser; the one without windows takes a fifth less of the processor.
browser:
	@for name in chromium-headless-shell chromium chromium-browser google-chrome; do \
		command -v $$name >/dev/null && exit 0; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && for name in chromium-headless-shell chromium; do \
			apt-get install -y -qq --no-install-recommends $$name && exit 0; \
		done; exit 1; \
	else \
		echo "the tests need Chromium: install it, for example with: sudo apt-get install chromium" >&2; \
		exit 1; \
	fi

# Some tests start ranks with a real mpirun, and are skipped without one.
openmpi:
	@command -v mpirun.openmpi >/dev/null && exit 0; \
	[ "$$(id -u)" = 0 ] && apt-get update -qq \
		&& apt-get install -y -qq --no-install-recommends openmpi-bin \
		|| echo "to test with a real mpirun: sudo apt-get install openmpi-bin" >&2

# Horovod's tests are skipped where there is no compiler.
compiler:
	@command -v c++ >/dev/null && exit 0; \
	[ "$$(id -u)" = 0 ] && apt-get update -qq \
		&& apt-get install -y -qq --no-install-recommends g++ \
		|| echo "to build Horovod, and test with it: sudo apt-get install g++" >&2

# There is no wheel of it, and its last release wants patches; does nothing where that was done.
horovod: $(VENV)/.dev compiler
	@$(BIN)/python -m trainers.install_horovod

# The versions that set-up and CI use, made anew from what is installed.
constraints: $(VENV)/.dev
	$(BIN)/python -m pip freeze --exclude-editable --exclude horovod | sed 's/+cpu$$//' > constraints.txt

clean:
	rm -rf $(VENV) .bench .demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache
