# The two commands a newcomer needs are `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
BENCH_INSTALLED := $(VENV)/bench-installed
SEED ?= 1
ROUNDS ?= 10
MINUTES ?= 20
WORKERS ?= 1
PROCESSES ?= 4
WORKLOAD ?= many-small
PART ?= worker

# With bytecode kept, whatever the machine's default: every process imports the same modules.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses $(PROCESSES) --dist loadgroup --no-loadscope-reorder

.PHONY: demo up test test-quick lint drills fuzz bench bench-check profile clean lock

demo: $(INSTALLED)
	@$(BIN)/autos demo

up: $(INSTALLED)
	@$(BIN)/autos up

# Everything, in processes side by side (tests/conftest.py). Many tests wait, so there are more
# processes than cores; PROCESSES=1 runs them one after the other.
test: lint
	$(PYTEST)

# The inner loop: the unit tests and the replay of recorded histories. Leaves out lint and every
# test that needs a database or a Temporal server (tests/integration, tests/workflows, tests/e2e).
test-quick: $(INSTALLED)
	$(PYTEST) tests/unit tests/replay tests/drills

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

drills: $(INSTALLED)
	$(BIN)/python -m tests.drills --seed $(SEED) --rounds $(ROUNDS) --workers $(WORKERS)

# The API against its own description, with every check, for as long.
fuzz: $(INSTALLED)
	FUZZ_MINUTES=$(MINUTES) $(BIN)/pytest -s tests/integration/test_api_schema.py

# Autos beside a bare script and DBOS; writes docs/performance. At most 15 minutes.
bench: $(BENCH_INSTALLED)
	$(BIN)/python -m benchmarks

# The same without touching docs/performance; fails if a figure is behind benchmarks/budget.toml.
bench-check: $(BENCH_INSTALLED)
	$(BIN)/python -m benchmarks --check --output .autos/bench

profile: $(BENCH_INSTALLED)
	$(BIN)/python -m benchmarks $(WORKLOAD) --profile $(PART) --repetitions 1 --output .autos/bench

clean:
	rm -rf $(VENV) .autos .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

# The environment holds exactly what the lock says, checked by hash.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) cli/install.py $(VENV)
	@touch $@

# The peer, the plots and the profiler, which only the benchmarks need.
$(BENCH_INSTALLED): benchmarks/requirements.lock $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes \
	  -r benchmarks/requirements.lock
	@touch $@

# Names, versions and hashes only: no address of a package index.
lock: $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --extra embedded --extra dev pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --extra bench --constraints requirements.lock pyproject.toml \
	  --output-file benchmarks/requirements.lock
