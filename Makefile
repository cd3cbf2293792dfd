# HAL9's deployment. Every target does its own set-up, in .venv, from pinned requirements.
STACK  ?= dev
TAG    ?= $(shell git rev-parse --short=12 HEAD)
PYTHON ?= python3
PIP    := .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes

.DEFAULT_GOAL := help
.PHONY: help preview manifests test lint image clean

help:  ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; " + sys.executable + " is " + sys.version.split()[0])'
	@$(PYTHON) -m venv .venv

.venv/program: requirements.txt | .venv/bin/python
	@echo "installing what the program needs (once)"
	@$(PIP) -r requirements.txt && touch $@

.venv/dev: requirements-dev.txt .venv/program
	@echo "installing what the tests need (once)"
	@$(PIP) -r requirements-dev.txt && touch $@

preview: .venv/program  ## what `pulumi up` would build for STACK=dev|prod; no cloud, no credentials
	@.venv/bin/python -m plan preview --stack $(STACK)

manifests: .venv/program  ## each cluster's Kubernetes objects, into out/manifests/STACK
	@.venv/bin/python -m plan preview --stack $(STACK) --manifests out/manifests/$(STACK) --quiet

test: .venv/dev  ## unit and property tests, real PostgreSQL and Redis included
	@.venv/bin/python -m pytest -n auto -m "not engine and not cluster and not lab" tests

lint: .venv/dev  ## ruff and mypy
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy components plan policies app lab

image: .venv/program  ## build and push the app's image, and write its digest into the stack file
	@.venv/bin/python -m tools.image --stack $(STACK) --tag $(TAG)

bench: .venv/program  ## what the program's structure costs and how it grows with the regions, as ratios
	@.venv/bin/python -m plan.bench

clean:  ## what was made here, apart from .venv
	@rm -rf out .build .pytest_cache .mypy_cache .ruff_cache .hypothesis
