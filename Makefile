# HAL9's deployment. Every target does its own set-up, in .venv, from pinned requirements.
STACK  ?= dev
TAG    ?= $(shell git rev-parse --short=12 HEAD)
PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help init test-long test-system test-fresh preview policy checkov policies-doc manifests test test-rules test-cluster test-control test-mesh test-image lint image bench clean bench-app run-app fuzz map lab lab-status lab-down load fault capacity test-lab test-reshard test-engine diff preflight facts cost

help:  ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; " + sys.executable + " is " + sys.version.split()[0])'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/program: requirements.txt requirements-uv.txt | .venv/bin/python
	@.venv/bin/python -m tools.install "what the program needs" requirements.txt && touch $@

.venv/dev: requirements-dev.txt .venv/program
	@.venv/bin/python -m tools.install "what the tests need" requirements-dev.txt && touch $@

preview: .venv/program  ## what `pulumi up` would build for STACK=dev|prod; no cloud, no credentials
	@.venv/bin/python -m plan preview --stack $(STACK) $(if $(JSON),--json "$(JSON)")

diff: .venv/program  ## what a change of STACK does to BASE=revision|file|record.json; ACCEPT="prod/path: reason" lets one edit through
	@.venv/bin/python -m diff --stack $(STACK) --base "$(or $(BASE),HEAD)" $(if $(ACCEPT),--accept "$(ACCEPT)") $(if $(MARKDOWN),--markdown $(MARKDOWN)) $(if $(JSON),--json $(JSON))

policy: .venv/program  ## every policy asked of STACK's plan (BASE=what stands; DEPLOY=1: no example left; V=1: all told); XML, SARIF in out/
	@.venv/bin/python -m policies.cli --stack $(STACK) --junit out/policy-$(STACK).xml --sarif out/policy-$(STACK).sarif $(if $(BASE),--base "$(BASE)") $(if $(V),-v) $(if $(DEPLOY),--deploy)

cost: .venv/program  ## an idle month of STACK in USD, and whether its budget holds; beside BASE=another stack file's; MARKDOWN=FILE
	@.venv/bin/python -m cost --stack $(STACK) $(if $(BASE),--base "$(BASE)") $(if $(MARKDOWN),--markdown "$(MARKDOWN)")

preflight: .venv/program $(if $(LIVE),.venv/dev)  ## STACK's plan against what only AWS knows; LIVE=1 asks AWS too, by reading alone
	@.venv/bin/python -m preflight --stack $(STACK) $(if $(LIVE),--live)

facts: .venv/dev  ## makes the generated tables of facts/ again, from PyPI, npm and AWS's own provider
	@.venv/bin/python -m facts.make

.venv-checkov/ready: requirements-checkov.txt
	@$(PYTHON) -m venv .venv-checkov || { rm -rf .venv-checkov; exit 1; }
	@.venv-checkov/bin/python -m tools.install "checkov, in an environment of its own" requirements-checkov.txt && touch $@

checkov: .venv/program .venv-checkov/ready  ## checkov on prod's plan and manifests beside the policies; WRITE=--write for docs/checkov.md
	@.venv/bin/python -m policies.checkov --checkov .venv-checkov/bin/checkov $(WRITE)

map: .venv/dev  ## docs/architecture.md's map, drawn from the tree and docs/architecture.toml; what does not fit is told
	@.venv/bin/python -m tools.house --write

init: .venv/program  ## a new stack's file: INIT="--stack staging --account ... --regions us-west-2", or questions
	@.venv/bin/python -m topology.new $(INIT)

policies-doc: .venv/program  ## writes docs/policies.md, docs/weakest.md and the stack file's schema from the code
	@.venv/bin/python -m policies.document
	@.venv/bin/python -m topology.schema

manifests: .venv/program  ## each cluster's Kubernetes objects, into out/manifests/STACK
	@.venv/bin/python -m plan preview --stack $(STACK) --manifests out/manifests/$(STACK) --quiet

test: .venv/dev  ## unit and property tests, real PostgreSQL and Redis included
	@.venv/bin/python -m pytest -n auto --dist loadfile -m "not engine and not cluster and not control and not mesh and not image and not lab and not reshard and not fuzz and not rules and not provider and not long" tests
	@.venv/bin/python -m tools.build --lane "make test-rules" --ask promtool

test-long: .venv/dev  ## every edit of prod that is known, planned and compared; every weakening that is known, judged
	@.venv/bin/python -m pytest -n auto --timeout 600 -m long tests/diff tests/policies

test-system: .venv/dev  ## the app's tests on the machine's own Redis, PostgreSQL and nginx, in place of the wheels'
	@HAL9_SERVERS=system .venv/bin/python -m pytest -n auto --dist loadfile -m "not reshard and not fuzz and not rules" \
	  tests/app tests/lab/servers tests/components/manifests/test_nginx.py

test-fresh:  ## README's first commands in a fresh clone that sees no server of the system
	@$(PYTHON) -m tools.fresh

test-rules: .venv/dev  ## every alert and recording rule by promtool: firing, silent, without data
	@.venv/bin/python -m tools.build --lane rules promtool
	@.venv/bin/python -m pytest -n auto -m rules -rs tests/components

test-cluster: .venv/dev  ## the clusters' objects by their real judges: API server, helm, istioctl, Istio's control plane, kube-score
	@.venv/bin/python -m tools.build --lane cluster kube-apiserver kube-controller-manager helm istioctl istio-discovery kube-score
	@.venv/bin/python -m pytest -rs tests/cluster

test-control: .venv/dev  ## prod's region in a real control plane: admitted, placed, scaled, drained, reclaimed
	@.venv/bin/python -m tools.build --lane control kube-apiserver kube-controller-manager kube-scheduler
	@.venv/bin/python -m pytest -rs -s tests/control

test-mesh: .venv/dev  ## prod's three regions as a mesh of real Envoys under Istio's own control plane, failing in parts
	@.venv/bin/python -m tools.build --lane mesh istio-discovery
	@alone="unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private"; $$alone true 2>/dev/null || alone=; \
	  $$alone .venv/bin/python -m pytest -rs -s tests/mesh

test-image: .venv/dev  ## the app's image built from its Dockerfile and run as the Deployment runs it, by buildah and crun
	@.venv/bin/python -m pytest -rs -s tests/image


lint: .venv/dev  ## ruff and mypy
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy

format: .venv/dev  ## the code as ruff formats it, with what ruff can mend
	@.venv/bin/python -m ruff check --fix --quiet . ; .venv/bin/python -m ruff format .

lock: .venv/dev  ## the requirements*.txt files, with hashes, from the *.in files
	@for file in requirements*.in app/requirements.in; do echo $$file; .venv/bin/uv pip compile --quiet --generate-hashes \
	  --no-header --universal --python-version 3.11 $$file -o $${file%.in}.txt; done

coverage: .venv/dev  ## which lines no test reaches, as out/coverage/index.html
	@.venv/bin/python -m pytest -n auto --dist loadfile -m "not engine and not cluster and not control and not mesh and not image and not lab and not reshard and not fuzz and not provider" \
	  --cov --cov-report html:out/coverage --cov-report term:skip-covered tests

image: .venv/program  ## build and push the app's image, and write its digest into the stack file
	@.venv/bin/python -m tools.image --stack $(STACK) --tag $(TAG) $(if $(PLATFORM),--platform $(PLATFORM))

bench: .venv/program  ## what the program's structure and `make diff` cost, and how both grow with the regions, as ratios
	@.venv/bin/python -m bench.plan
	@.venv/bin/python -m bench.diff

run-app: .venv/dev  ## the app alone on real servers of this machine, with a session for curl; Ctrl-C ends it
	@.venv/bin/python -m lab.alone

fuzz: .venv/dev  ## random requests from the app's own OpenAPI document, for a minute
	@HAL9_FUZZ_EXAMPLES=$${HAL9_FUZZ_EXAMPLES:-300} .venv/bin/python -m pytest -x -m fuzz tests/app/test_fuzz.py

bench-app: .venv/dev  ## what the app's parts cost next to their peers, as ratios, on real PostgreSQL and Redis
	@.venv/bin/python -m bench.app

lab: .venv/dev  ## every region on this machine, in the foreground; Ctrl-C ends it
	@.venv/bin/python -m lab up --stack $(if $(filter command line,$(origin STACK)),$(STACK),prod)

lab-status: .venv/dev  ## a line for each part of the running lab
	@.venv/bin/python -m lab status

lab-down: .venv/dev  ## end the running lab
	@.venv/bin/python -m lab down

load: .venv/dev  ## 1000 users against the running lab, every figure beside its target
	@.venv/bin/python -m lab load $(LOAD)

fault: .venv/dev  ## NAME=... injected under load and healed; without NAME they are listed
	@.venv/bin/python -m lab fault $(NAME) $(LOAD)

capacity: .venv/dev  ## what a request costs in processor time, and the pods, nodes and connections that follow
	@.venv/bin/python -m bench.capacity --stack $(if $(filter command line,$(origin STACK)),$(STACK),prod)

test-lab: .venv/dev  ## the lab at a small scale: load, faults, the report in a real browser
	@.venv/bin/python -m pytest -m lab tests/lab

test-reshard: .venv/dev  ## slots moved between shards under load, killed at every step
	@.venv/bin/python -m pytest -n auto -m reshard tests/app

test-engine: .venv/dev  ## both stacks in the real Pulumi engine: up, again, grow, promoted and home, shrunk, killed half-way, destroy
	@.venv/bin/python -m tools.build --lane engine pulumi pulumi-language-python pulumi-analyzer-policy-python config-reader
	@.venv/bin/python -m pytest -m engine -rs tests/engine tests/plan tests/policies

clean:  ## what was made here, apart from .venv
	@rm -rf out .build .pytest_cache .mypy_cache .ruff_cache .hypothesis
