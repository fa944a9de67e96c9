# Each target makes its own environment in .venv first; a second run finds it ready.
PYTHON ?= python3
VENV := .venv/bin

.PHONY: help env demo test lint clean

help:
	@echo "make demo   build a small model and recognise a video with it"
	@echo "make test   run the tests"
	@echo "make lint   check style"
	@echo "make clean  remove the environment and what the demo wrote"

env:
	@$(PYTHON) .ci/make_env.py

demo: env
	@$(VENV)/python examples/demo.py

test: env
	@$(VENV)/python -m pytest -q -n 2 --dist loadfile

lint: env
	@$(VENV)/ruff check . && $(VENV)/ruff format --check .

clean:
	rm -rf .venv demo_out build dist *.egg-info
