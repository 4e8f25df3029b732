# Every target works on a bare machine with Python 3.11 (venv), git and make.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: setup test mutants release image test-image chart test-chart test-cluster test-cluster-1 test-cluster-2 test-cluster-3 test-engine \
	test-oracles lab \
	programs wheel test-wheel test-lowest check lock signals proto docs demo clean

setup: .venv/ready

# The lock names everything, what builds the package too. So pip resolves nothing (--no-deps): no release of tomorrow is looked at.
.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "llm-scaler needs Python 3.11 or later: make $(MAKECMDGOALS) PYTHON=python3.13, for example" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(PIP) --require-hashes --no-deps --requirement requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# The whole suite: unit tests, real wires, a real Prometheus (installed below .cache if the machine has none).
test: setup
	@$(call tried,$(BIN)/python -m pytest -q,$(PARALLEL))

# In several processes, a file of tests in one of them.
WORKERS := 2
PARALLEL := --numprocesses $(WORKERS) --dist loadfile

# With AGAIN=1, what fails is run once more, alone, and fails if it fails again: a busy machine can make any wait too long.
tried = $(call cached,$(1)) $(2) $(if $(AGAIN),|| { echo "make $@: once more and alone what failed"; $(call cached,$(1)) $(FAILED); })
cached = $(1) -o cache_dir=$(CURDIR)/.cache/pytest-$@
FAILED := --last-failed --last-failed-no-failures none

# A simulated fleet, scaled from 0 up and back before your eyes; SECONDS=20 for a short one.
SECONDS := 120
demo: setup
	@$(BIN)/llm-scaler demo --seconds $(SECONDS)

wheel: setup
	@rm -rf dist && $(BIN)/hatchling build --target wheel --directory dist

# The wheel as users install it: with what is newest today. Then the same tests as `make test`, but for those of a clone and those
# that need a real Prometheus, against the wheel with what the lock pins.
test-wheel: wheel
	@rm -rf .cache/newest .cache/wheel
	@$(BIN)/python -m venv .cache/newest && .cache/newest/bin/pip install --quiet --disable-pip-version-check dist/*.whl
	@cd .cache/newest && bin/llm-scaler --version && bin/llm-scaler check >/dev/null
	@$(BIN)/uv venv --quiet --python $(BIN)/python .cache/wheel
	@$(BIN)/uv pip install --quiet --python .cache/wheel/bin/python --requirement requirements.lock
	@$(BIN)/uv pip install --quiet --python .cache/wheel/bin/python --no-deps dist/*.whl
	@$(call tried,.cache/wheel/bin/pytest -q -m "not real" --ignore=tests/install,$(PARALLEL))

# The same once more with the oldest of everything that pyproject.toml allows; the lock has only what it takes to test.
OLDEST := .cache/lowest/oldest.txt
test-lowest: wheel
	@rm -rf .cache/lowest && $(BIN)/uv venv --quiet --python $(BIN)/python .cache/lowest
	@$(BIN)/uv pip compile pyproject.toml --quiet --resolution lowest-direct --no-header --no-annotate -o $(OLDEST)
	@$(BIN)/uv pip install --quiet --python .cache/lowest/bin/python --requirement requirements.lock --override $(OLDEST)
	@$(BIN)/uv pip install --quiet --python .cache/lowest/bin/python --no-deps dist/*.whl
	@cd .cache/lowest && bin/llm-scaler --version && bin/llm-scaler check >/dev/null
	@.cache/lowest/bin/pytest -q tests/install/test_lowest.py
	@$(call tried,.cache/lowest/bin/pytest -q -m "not real" --ignore=tests/install,$(PARALLEL))

# The image. Both bases by digest: what it runs on, and the same with pip to build on. BUILDER may be docker, podman or buildah.
# IMAGE_PYTHON: where the bases have Python, if not as /usr/bin/python3.
BUILDER ?= docker
IMAGE ?= llm-scaler
IMAGE_PYTHON ?=
image:
	@case "$(BASE)$(BUILD_BASE)" in *@sha256:*@sha256:*) ;; *) echo "make image BASE=NAME@sha256:... BUILD_BASE=NAME@sha256:..." >&2; exit 1 ;; esac
	@$(BUILDER) build --tag $(IMAGE) --build-arg BASE=$(BASE) --build-arg BUILD_BASE=$(BUILD_BASE) \
	  --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
	  $(if $(IMAGE_PYTHON),--build-arg PYTHON=$(IMAGE_PYTHON)) .
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

# A release from the tag vVERSION into dist: built, checked, equal from every build. REF=HEAD rehearses it without a tag; with BASE
# and BUILD_BASE the image too, with HELM=helm the chart is tried.
REF =
HELM =
release: setup
	@test -n "$(VERSION)" && $(BIN)/python deploy/release/release.py $(VERSION) $(if $(REF),--ref $(REF)) $(if $(HELM),--helm $(HELM)) \
	  --builder $(BUILDER) --image $(IMAGE) $(if $(BASE),--base $(BASE)) $(if $(BUILD_BASE),--build-base $(BUILD_BASE))

# The image built and run for real. Needs root, and Debian's buildah, debootstrap and runc, which it installs.
test-image: setup
	@for tool in buildah debootstrap runc; do command -v $$tool > /dev/null || missing="$$missing $$tool"; done; \
	  test -z "$$missing" || (apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing)
	@$(call tried,$(BIN)/python -m pytest -q tests/deploy/image)

# What is generated: dashboards, the chart's README.md and its copies, the plain manifests. Needs Go, and builds Helm and helm-docs once.
chart: setup
	@$(BIN)/python deploy/dashboards/dashboards.py
	@$(BIN)/python tests/deploy/chart/helm.py

# The chart rendered for many values, held to Kubernetes' own schemas, and installed into the laboratory. Needs what test-cluster needs.
test-chart: setup
	@$(call tried,$(BIN)/python -m pytest -q tests/deploy/chart,$(PARALLEL))

# The real KEDA, HPA, scheduler, Karpenter and Prometheus, as processes on loopback. Needs Go and openssl; builds for 15 minutes once.
# In four clusters side by side, since most of the time is waiting. JUDGES=before: their releases of before.
test-cluster: programs
	@$(MAKE) --no-print-directory --jobs=4 test-cluster-1 test-cluster-2 test-cluster-3 test-cluster-4

# The programs alone: the laboratory's, and Helm with what judges the chart. (Python must be the child of make itself, by env, not of a
# shell: a make that is ended ends it.)
programs: setup
	@env PYTHONPATH=tests $(BIN)/python -m laboratory.build
	@env $(BIN)/python tests/deploy/chart/helm.py build

# Four parts that take about as long as each other; the last has all that is not in the others.
FIRST := $(patsubst %,tests/laboratory/test_%.py,kube outages smoke doctor)
SECOND := $(patsubst %,tests/laboratory/test_%.py,direct examples formulas nodes queue)
THIRD := $(patsubst %,tests/laboratory/test_%.py,asking fallback rollout)
test-cluster-1:
	@$(call tried,$(BIN)/python -m pytest -q $(FIRST))
test-cluster-2:
	@$(call tried,$(BIN)/python -m pytest -q $(SECOND))
test-cluster-3:
	@$(call tried,$(BIN)/python -m pytest -q $(THIRD))
test-cluster-4:
	@$(call tried,$(BIN)/python -m pytest -q tests/laboratory $(addprefix --ignore=,$(FIRST) $(SECOND) $(THIRD)))

# The real expr-lang, HPA controller, kube-scheduler, Knative autoscaler and Ray Serve policy beside ours, on generated cases; a Prometheus
# 3 with the names and histograms of OpenTelemetry, and a VictoriaMetrics, asked what the tests ask an older one. Needs what test-cluster
# needs; ray installs Ray once, kpa and ray need nothing else.
ORACLES := expr hpa scheduler karpenter kpa ray prometheus natively_counted victoriametrics
test-oracles: setup
	@$(BIN)/python -m pytest -q $(patsubst %,tests/oracles/test_%.py,$(ORACLES))

# The real KEDA scales the real vLLM, on its CPU build: installs 6 GB once, and takes minutes. Needs what test-cluster needs.
test-engine: programs
	@env PYTHONPATH=tests $(BIN)/python -m engines.install vllm
	@$(BIN)/python -m pytest -q tests/engines/lab

# The same cluster to play with, until Ctrl-C. ENGINE=vllm: with real vLLM for its pods.
lab: setup
	@env PYTHONPATH=tests $(BIN)/python -m $(if $(filter vllm,$(ENGINE)),engines.lab.play,laboratory.play)

# For every Python from the oldest on, whichever writes it; of a package one release for all of them where there is one.
COMPILE := $(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--fork-strategy fewest --no-header --quiet -o

# What review asks a machine: style, types, walls between rooms, the lock file, the generated code, the site of the pages.
check: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@mkdir -p .cache && cp requirements.lock .cache # the lock itself stays as it is: setup looks at its time
	@$(COMPILE) .cache/requirements.lock
	@diff requirements.lock .cache/requirements.lock || { echo "pyproject.toml asks for something else: make lock" >&2; exit 1; }
	@$(SITE)

# The pages of docs/ as a site in .cache/site, its reference written from the code. A link that leads nowhere fails.
docs: setup
	@$(BIN)/python docs/reference/generate.py
	@$(SITE)
SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# Mutation testing of the pure rooms, by hand: MODULES="policy decision/decide.py" (rooms and modules), COUNT=50, SEED=2.
mutants: setup
	@env PYTHONPATH=tests nice -n 19 $(BIN)/python -m mutants --count $(or $(COUNT),10) --seed $(or $(SEED),1) $(MODULES)

lock: setup
	@$(COMPILE) requirements.lock --upgrade

# The page that lists the engine catalogue.
signals: setup
	@$(BIN)/llm-scaler signals -o markdown > formulas/SIGNALS.md

proto: setup
	@$(BIN)/python -m grpc_tools.protoc -Iscaler/server/pb=proto --python_out=. --pyi_out=. --grpc_python_out=. scaler/server/pb/externalscaler.proto

clean:
	@test ! -d .cache || chmod -R u+w .cache # Go writes its modules read-only
	@rm -rf .venv .cache dist .mypy_cache .ruff_cache .pytest_cache
