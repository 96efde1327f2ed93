# Everything a person or CI runs. `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CLUSTER ?= embedded
# The helm binary of the embedded cluster's cache; HELM=path takes another one.
HELM ?= $(shell $(BIN)/python -c 'from tests.cluster.builds import clients; print(clients() / "helm")')
CHART := charts/milvus-tuning-operator
PYTEST := $(BIN)/pytest
LOCK := uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1|\2/' | column -t -s '|'

.PHONY: install
install: $(INSTALLED) ## Install the pinned dependencies and the package into .venv.

$(INSTALLED): requirements-dev.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

.PHONY: lock
lock: install ## Resolve the dependencies anew and write both lock files.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/$(LOCK) -o requirements.lock
	$(BIN)/$(LOCK) --extra dev -o requirements-dev.lock

.PHONY: format
format: install ## Format the code and apply the safe fixes.
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: lint
lint: install ## Check format, lint, types and the direction of imports.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: test
test: test-unit test-slow test-integration e2e ## Run every test.

.PHONY: test-unit
test-unit: install ## Unit, property and scenario tests: seconds, no root.
	# Also where the environment forbids it, compiled tests are kept: else each process compiles them anew, 5 s of it.
	PYTHONDONTWRITEBYTECODE= $(PYTEST) -n auto -m 'not integration and not e2e and not slow'

.PHONY: test-slow
test-slow: install ## Tests that start processes and wait for them; no root.
	$(PYTEST) -m 'slow and not integration and not e2e'

.PHONY: test-integration
test-integration: install ## Tests on a real Kubernetes API server (root on Linux).
	# Two modules at once, each with servers of its own. In the order of the folders, which has the longest ones early.
	PYTHONDONTWRITEBYTECODE= $(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder --durations=15 -m integration

.PHONY: e2e
e2e: install ## Tests on the embedded cluster with a real Milvus (root on Linux).
	$(PYTEST) --durations=15 -m e2e

.PHONY: demo
demo: install ## Show the operator at work: CLUSTER=embedded (default) or kind, STORY=size, hot or both (default).
	$(BIN)/python -m tests.demo --cluster $(CLUSTER) $(addprefix --story ,$(STORY))

.PHONY: demo-down
demo-down: install ## Remove what the demo made.
	$(BIN)/python -m tests.demo --cluster $(CLUSTER) --down

.PHONY: manifests
manifests: install ## Write the CRD, the chart's copy, install.yaml and the field reference.
	$(BIN)/python -m manifests.generate --helm "$(HELM)"

.PHONY: check-manifests
check-manifests: install ## Fail where a generated file is not what `make manifests` writes.
	$(BIN)/python -m manifests.generate --helm "$(HELM)" --check

.PHONY: check-chart
check-chart: install ## Lint the chart and render its variants.
	"$(HELM)" lint --strict $(CHART)
	"$(HELM)" template $(CHART) >/dev/null
	"$(HELM)" template $(CHART) --set clusterWide=true --set serviceMonitor.enabled=true >/dev/null

.PHONY: image
image: install ## Build the operator's image, with Docker or buildah.
	$(BIN)/python -m tests.cluster.images operator

.PHONY: bench
bench: install ## Measure what a decision costs and how good the planner of moves is; writes docs/benchmarks.md.
	$(BIN)/python -m tests.bench --write
	$(BIN)/python -m tests.bench.rebalancing --write

.PHONY: checks
checks: lint check-manifests check-chart test ## What CI runs.
