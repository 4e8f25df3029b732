# Every target works on a bare machine with Python 3.11 (venv), git and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup test test-cluster test-cluster-1 test-cluster-2 test-cluster-3 test-oracles lab test-wheel check lock signals proto demo clean

setup: .venv/ready

.venv/ready: requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check hatchling editables
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The whole suite: unit tests, real wires, a real Prometheus (installed below .cache if the machine has none).
test: setup
	@$(BIN)/python -m pytest -q

# A simulated fleet, scaled from 0 up and back before your eyes; SECONDS=20 for a short one.
SECONDS := 120
demo: setup
	@$(BIN)/llm-scaler demo --seconds $(SECONDS)

# The same tests, but for those that need a real Prometheus, against the wheel that users install.
test-wheel: setup
	@rm -rf dist .cache/wheel && $(BIN)/uv build --quiet --wheel --out-dir dist
	@$(BIN)/uv venv --quiet --python $(BIN)/python .cache/wheel
	@$(BIN)/uv pip install --quiet --python .cache/wheel/bin/python --requirement requirements.lock
	@$(BIN)/uv pip install --quiet --python .cache/wheel/bin/python --no-deps dist/*.whl
	@.cache/wheel/bin/pytest -q -m "not real"

# The real KEDA, HPA, scheduler, Karpenter and Prometheus, as processes on loopback. Needs Go and openssl; builds for 15 minutes once.
# In three clusters side by side, since most of the time is waiting.
test-cluster: setup
	@PYTHONPATH=tests $(BIN)/python -m cluster.build
	@$(MAKE) --no-print-directory --jobs=3 test-cluster-1 test-cluster-2 test-cluster-3

# Three parts that take about as long as each other; the last has all that is not in the others.
FIRST := $(patsubst %,tests/cluster/test_%.py,kube outages smoke)
SECOND := $(patsubst %,tests/cluster/test_%.py,direct formulas nodes queue)
test-cluster-1:
	@$(BIN)/python -m pytest -q $(FIRST)
test-cluster-2:
	@$(BIN)/python -m pytest -q $(SECOND)
test-cluster-3:
	@$(BIN)/python -m pytest -q tests/cluster $(addprefix --ignore=,$(FIRST) $(SECOND))

# The real expr-lang, HPA controller and kube-scheduler beside ours, on generated cases. Needs what test-cluster needs.
ORACLES := expr hpa scheduler
test-oracles: setup
	@$(BIN)/python -m pytest -q $(patsubst %,tests/oracles/test_%.py,$(ORACLES))

# The same cluster to play with, until Ctrl-C.
lab: setup
	@PYTHONPATH=tests $(BIN)/python -m cluster.play

# What review asks a machine: style, types, walls between rooms, the lock file, the generated code.
check: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --no-strip-extras --no-header --quiet -o requirements.lock
	@git diff --exit-code -- requirements.lock

lock: setup
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --no-strip-extras --no-header --upgrade --quiet -o requirements.lock

# The page that lists the engine catalogue.
signals: setup
	@$(BIN)/llm-scaler signals -o markdown > formulas/SIGNALS.md

proto: setup
	@$(BIN)/python -m grpc_tools.protoc -Iscaler/server/pb=proto --python_out=. --pyi_out=. --grpc_python_out=. scaler/server/pb/externalscaler.proto

clean:
	@rm -rf .venv .cache dist .mypy_cache .ruff_cache .pytest_cache
