# Three commands do everything on a machine with Python 3.11, make and a C compiler:
#   make demo   design molecules        make test   run all tests       make docs   build the site
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export WANDB_MODE ?= offline
export HF_HUB_OFFLINE ?= 1

.PHONY: demo test fast lint types docs check clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	# torch first and alone: anything else that needs it might fetch another build.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

demo: $(READY)
	$(BIN)/gflow train molecules --out runs/demo --overwrite

# A worker per core, each with one thread; what is compiled is kept for the programs they start.
TESTS := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal

test: $(READY)
	$(TESTS)

fast: $(READY)
	$(TESTS) -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# The site, in build/site: strictly built, then every link and anchor followed.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	$(BIN)/python docs/making/links.py build/site

check: lint types docs test

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis
