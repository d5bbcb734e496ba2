.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install -q --disable-pip-version-check --no-deps --no-compile
# Once and on all cores, instead of in each of the demo's processes when it first starts.
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/(kubernetes|mypyc?|pip|setuptools)/' $(VENV)/lib \
	console collectors graph mesh_runtime wizards
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test check conformance soak bench vendor lock help

demo: $(VENV)/.ready ## Start a real mesh with live traffic and open its console (Ctrl-C ends it)
	@$(BIN)/meshscope demo $(ARGS)

test: check chromium $(BIN)/prometheus ## Install what the tests need, then check and test everything
	@$(BIN)/pytest -q -n 3 --dist loadfile $(ARGS)

check: $(VENV)/.ready-dev ## Lint, format, strict types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

conformance: $(VENV)/.ready-dev ## Run a peer's test data: SUITE=name CONFORMANCE_DIR=folder
	@$(BIN)/python -m tests.conformance "$(SUITE)" "$(CONFORMANCE_DIR)"

soak: $(VENV)/.ready-dev ## The long forms of the fuzz and endurance tests
	@SOAK=1 $(BIN)/pytest -q -m soak $(ARGS)

bench: $(VENV)/.ready-dev ## Measure, as ratios side by side in one run
	@$(BIN)/python -m tests.bench $(ARGS)

vendor: ## Reproduce assets/vendor from npm (needs Node; users do not)
	@assets/vendor/reproduce.sh

lock: ## Resolve dependencies anew (needs uv)
	uv lock
	uv export -q --frozen --no-emit-project --no-annotate --no-header --extra demo --no-dev -o requirements.lock
	uv export -q --frozen --no-emit-project --no-annotate --no-header --extra demo -o requirements-dev.lock
	! grep -nE 'https?://|index-url|find-links' requirements.lock requirements-dev.lock build-constraints.txt

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(VENV)/bin/python:
	@echo "Creating $(VENV) ..."
	@python3 -m venv $(VENV)

$(VENV)/.ready: requirements.lock build-constraints.txt pyproject.toml setup.py | $(VENV)/bin/python
	@echo "Installing dependencies (about half a minute) ..."
	@$(PIP) --require-hashes -r requirements.lock
	@echo "Building the Envoy API descriptors ..."
	@PIP_CONSTRAINT=$(CURDIR)/build-constraints.txt $(PIP) -e .
	@$(COMPILE) || true
	@touch $@

$(VENV)/.ready-dev: requirements-dev.lock $(VENV)/.ready
	@echo "Installing test tools ..."
	@$(PIP) --require-hashes -r requirements-dev.lock
	@$(COMPILE) || true
	@touch $@

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || { echo "Installing Chromium ..."; $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

# Debian's binaries only: installing the package would start a server that listens to the network.
$(BIN)/prometheus: | $(VENV)/bin/python
	@echo "Unpacking Debian's Prometheus ..."
	@mkdir -p $(VENV)/debian && cd $(VENV)/debian && { apt-get download -qq prometheus 2>/dev/null || \
		{ $(SUDO) apt-get update -qq && apt-get download -qq prometheus; }; } && dpkg-deb -x prometheus_*.deb .
	@cp $(VENV)/debian/usr/bin/prom* $(BIN)/ && rm -r $(VENV)/debian
