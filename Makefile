# make demo | test | test-addons | test-legacy | lint | format | coverage | site | requirements | lock |
# release | clean.  Needs Python 3.11 - 3.13 and make.  PIP_CONSTRAINT=$PWD/requirements-lock.txt
# before it installs the locked versions.

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3 python; do \
    $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
    && echo $$python && break; done)
# The addons stack has no packages for a newer Python.
PYTHON_ADDONS ?= python3.11
# Processes of the test suite, one TensorFlow thread pool each; who is done takes of the others' tests.
WORKERS ?= 2
PYTEST_ARGS ?=

DEFAULT := .venv/bin/python
ADDONS := .venv-addons/bin/python
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
PYTEST := -m pytest -n $(WORKERS) --dist=worksteal $(PYTEST_ARGS)

.PHONY: demo test test-addons test-legacy lint format coverage site requirements lock release clean

demo: .venv/installed
	$(DEFAULT) experiments/run.py --gin_file=gin/digits_ms.gin
	@echo "Results: runs/digits_ms/results.json, pictures: runs/digits_ms/figures/"

test: .venv/installed
	$(DEFAULT) $(PYTEST)

test-addons: .venv-addons/installed
	$(ADDONS) $(PYTEST)

# TensorFlow 2.21 with Keras 2: the smoke tests only.
test-legacy: .venv/installed-legacy
	TF_USE_LEGACY_KERAS=1 $(DEFAULT) -m pytest -m smoke $(PYTEST_ARGS)

lint: .venv/installed
	$(DEFAULT) -m ruff format --check .
	$(DEFAULT) -m ruff check .
	$(DEFAULT) -m mypy

format: .venv/installed
	$(DEFAULT) -m ruff format .
	$(DEFAULT) -m ruff check --fix .

# Which lines of the library the suite runs, in processes that it starts as well.
coverage: .venv/installed-coverage
	$(DEFAULT) $(PYTEST) --cov --cov-report=term:skip-covered --cov-report=html:build/coverage

# The pages as a site, in build/site/; a link that leads nowhere is an error.
site: .venv/installed-site
	NO_MKDOCS_2_WARNING=1 $(DEFAULT) -m mkdocs build --quiet --strict

# requirements*.txt of the list in setup.py.
requirements: .venv/installed
	$(DEFAULT) .ci/make_requirements.py

# The versions in both environments, for requirements*-lock.txt; after both suites have passed.
lock: .venv/installed .venv-addons/installed
	$(DEFAULT) .ci/make_lock.py $(ADDONS)

# Builds and checks what is to be published (.ci/release.py); publishes nothing.
release: .venv/installed-release
	$(DEFAULT) .ci/release.py

clean:
	rm -rf .venv .venv-addons build dist *.egg-info

# The packages apart from what is built here: .ci/run installs those of both stacks at a time.
.venv/packages: requirements.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 - 3.13 found; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(DEFAULT) $(PIP_INSTALL) -r requirements.txt
	touch $@

.venv/installed: .venv/packages setup.py
	$(DEFAULT) $(PIP_INSTALL) -r requirements.txt -e ".[dev,hub,database,search,mlflow,wandb]"
	touch $@

.venv/installed-%: .venv/installed
	$(DEFAULT) $(PIP_INSTALL) -e ".[$*]"
	touch $@

.venv-addons/packages: requirements-addons.txt
	$(PYTHON_ADDONS) -m venv .venv-addons
	$(ADDONS) $(PIP_INSTALL) -r requirements-addons.txt
	touch $@

.venv-addons/installed: .venv-addons/packages setup.py
	$(ADDONS) $(PIP_INSTALL) -r requirements-addons.txt -e ".[dev]"
	touch $@
