# make study: the quick study; make test: lint and tests; make bench: speed against a plain PyTorch baseline. All set up .venv first.
PYTHON ?= python3
BIN := .venv/bin

# Studies, tests and benchmarks start many Python processes, which are not to compile our modules each anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install study test test-slow test-clusters test-others test-long fuzz lint format bench bench-gpu cluster-setup

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "recscale needs Python >= 3.11, got " + sys.version.split()[0] + "; call make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

study: install
	$(BIN)/python studies/scaling.py

test: install lint
	$(BOTH) MARK="not slow"

test-slow: install
	$(BOTH) MARK="slow and not long"

# Clusters are mostly waited for, so their tests run beside the others, each with a memory of their own of what failed.
CLUSTERS := tests/cluster
MARK ?= not slow
BOTH = +$(MAKE) --no-print-directory --jobs=2 test-clusters test-others

test-clusters: install
	$(BIN)/python -m pytest -q -m "$(MARK)" -o cache_dir=.pytest_cache/clusters $(CLUSTERS)

test-others: install
	$(BIN)/python -m pytest -q -m "$(MARK)" $(CLUSTERS:%=--ignore=%)

test-long: install
	$(BIN)/python -m pytest -q -s -m long

fuzz: install
	$(BIN)/python -m tests.fuzz.guided $(or $(READER),manifest.json) -max_total_time=$(or $(SECONDS),60)

bench: install
	$(BIN)/python -m tests.benchmarks.bench

bench-gpu:
	PYTHONPATH=platform $(PYTHON) -m tests.benchmarks.gpu

cluster-setup: install
	$(BIN)/python -m tests.benchmarks.cluster_setup

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
