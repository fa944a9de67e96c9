# Each target makes its own environment first (.venv, for test-min .venv-min); a second run finds it ready.
# `make test` has the newest versions that setup.py allows, `make test-min` the lowest that are tested (constraints-min.txt).
PYTHON ?= python3
VENV := .venv/bin

.PHONY: help env demo test test-min lint clean

help:
	@echo "make demo       build a small model and recognise a video with it"
	@echo "make test       run the tests"
	@echo "make test-min   run the tests with the lowest supported versions"
	@echo "make lint       check style"
	@echo "make clean      remove the environments and what the demo wrote"

env:
	@$(PYTHON) .ci/make_env.py

demo: env
	@$(VENV)/python examples/demo.py

test: env
	@$(VENV)/python -m pytest -q -n 2 --dist loadfile

test-min:
	@$(PYTHON) .ci/make_env.py --min
	@.venv-min/bin/python -m pytest -q -n 2 --dist loadfile

lint: env
	@$(VENV)/ruff check . && $(VENV)/ruff format --check . && $(VENV)/lint-imports --no-cache

clean:
	rm -rf .venv .venv-min demo_out build dist *.egg-info
