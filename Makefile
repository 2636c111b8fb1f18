# Every target sets up what it needs; the second time that takes no time.
#
#   make demo        train and compare a Bradley-Terry and a NormBT reward model, write runs/demo/report.html
#   make test        the whole test suite
#   make test-long   the tests that take minutes each: twenty kills of a run, thousands of generated files
#   make lint        ruff and mypy
#   make audit       known weaknesses of the installed packages (needs a network)
#   make app         the page that scores pairs
#   make lab         JupyterLab, opened on the first notebook
#   make notebooks   run every notebook in the cpu profile and keep its outputs
#   make setup       only install, with everything (.[all])
#   make clean       remove caches and builds; keeps .venv and runs/
#
# PYTHON=/path/to/python3.12   which Python makes .venv (default: the first of 3.11 to 3.13 that is found)
# WORKERS=4                    how many processes share the tests
# TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
#                              where torch comes from. On Linux PyPI's torch brings about 3 GB of CUDA libraries:
#                              without an NVIDIA GPU, the address above saves them.

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c '$(SUPPORTED)' >/dev/null 2>&1 && echo "$$p" && break; done)
WORKERS ?= 2
TORCH_INDEX_URL ?=

VENV := .venv
BIN := $(VENV)/bin
# On a terminal pip shows its progress; in a log it only reports trouble.
PIP_INSTALL := $(BIN)/python -m pip install $(shell test -t 2 || echo --quiet) --disable-pip-version-check -c constraints.txt
TORCH_FIRST := $(if $(TORCH_INDEX_URL),$(PIP_INSTALL) --index-url $(TORCH_INDEX_URL) torch &&)

.PHONY: help setup demo test test-long lint audit app lab notebooks clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   make/  make/p' Makefile

# Two levels: what `normbt demo` needs, and everything. When pyproject.toml is newer than the stamp, it runs again.
CORE := $(VENV)/.core-installed
ALL := $(VENV)/.all-installed

setup: $(ALL)

$(BIN)/python:
	@"$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null || { \
		echo "error: normbt-lab needs Python 3.11, 3.12 or 3.13; $(if $(PYTHON),'$(PYTHON)' is not one of them,none was found)."; \
		echo "Install one and name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 2; } >&2
	@echo "creating $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing normbt-lab into $(VENV) (minutes the first time)"
	@$(TORCH_FIRST) $(PIP_INSTALL) -e .
	@touch $@

$(ALL): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing normbt-lab with all extras into $(VENV) (minutes the first time)"
	@$(TORCH_FIRST) $(PIP_INSTALL) -e '.[all]'
	@touch $(CORE) $@

demo: $(CORE)
	@$(BIN)/normbt demo

# One thread for each worker: workers times threads beyond the cores is slower, and sums in one order are repeatable.
test: $(ALL)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) $(PYTEST_ARGS)

# One process: kills are timed. -s shows the seed of a night's random moments.
test-long: $(ALL)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s -m long $(PYTEST_ARGS)

lint: $(ALL)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# In an environment of its own: pip-audit's dependencies are not this package's.
AUDITOR := $(VENV)/audit/bin/python

$(AUDITOR): | $(BIN)/python
	@$(BIN)/python -m venv $(VENV)/audit
	@$(AUDITOR) -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.10,<3' || { rm -rf $(VENV)/audit; exit 1; }

audit: $(ALL) $(AUDITOR)
	@$(AUDITOR) .ci/audit.py "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

app: $(ALL)
	@$(BIN)/normbt app

lab: $(ALL)
	@$(BIN)/jupyter lab notebooks/01_bradley_terry.ipynb

notebooks: $(ALL)
	@$(BIN)/python -m normbt_lab.notebook_runner

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
