# Each target sets up its own environment first (.venv; .venv-min for test-min). A second run finds it ready.
# `make test` has the newest versions that setup.py allows, `make test-min` the oldest that are tested (constraints-min.txt).
PYTHON ?= python3
VENV := .venv/bin
PYTEST := $(VENV)/python -m pytest -q -n 2

.PHONY: help env demo test test-fast test-min lint types format clean

help:
	@echo "make demo       recognize the videos of the demo and draw an alignment"
	@echo "make test-fast  run the unit tests: a few minutes"
	@echo "make test       run all tests"
	@echo "make test-min   run all tests with the oldest supported versions"
	@echo "make lint       check style, docstrings, spelling, imports, and types"
	@echo "make types      check types only"
	@echo "make format     format the code and fix what ruff can fix"
	@echo "make clean      remove the environments and what the demo wrote"

env:
	@$(PYTHON) .ci/make_env.py

demo: env
	@$(VENV)/python examples/demo.py

test: env
	@$(PYTEST) --dist loadfile --durations 10 --durations-min 1

test-fast: env
	@$(PYTEST) --dist worksteal -m "not slow" --durations 10 --durations-min 1

test-min:
	@$(PYTHON) .ci/make_env.py --min
	@.venv-min/bin/python -m pytest -q -n 2 --dist loadfile

lint: env types
	@$(VENV)/ruff check . && $(VENV)/ruff format --check . && $(VENV)/typos && $(VENV)/lint-imports --no-cache

# Type checkers do not see modeling/ and processing/ inside signx_hf in an editable install; these links show them.
types: env
	@rm -rf .typing && mkdir -p .typing/signx_hf
	@ln -s $(CURDIR)/modeling $(CURDIR)/processing $(CURDIR)/signx_hf/* .typing/signx_hf/
	@$(VENV)/mypy

format: env
	@$(VENV)/ruff check --fix . ; $(VENV)/ruff format .

clean:
	rm -rf .venv .venv-min .typing demo_out build dist *.egg-info
