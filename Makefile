# The commands of the README. VENV may point to a ready environment; OLVF_PROFILE and OLVF_DATA are passed on.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= $(CURDIR)/.venv
PORT ?= 3000
READY := $(VENV)/.olvf-ready
ENV := . ./env.sh

export VENV

.PHONY: setup demo test lint ui sql bench add-hospital constraints clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x "$(VENV)/bin/python" || $(PYTHON) -m venv "$(VENV)"
	"$(VENV)/bin/python" -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch "$(READY)"

demo: setup
	$(ENV) && dagster asset materialize --select '*' && python -m olvf_assets.reporting

test: setup lint
	$(ENV) && pytest

lint: setup
	$(ENV) && ruff check . && ruff format --check . && mypy

ui: setup
	$(ENV) && unset DAGSTER_MODULE_NAME && python -m olvf_assets register \
		&& dagster dev --workspace workspace.yaml --host 127.0.0.1 --port $(PORT)

sql: setup
	$(ENV) && python -m olvf_assets sql

add-hospital: setup
	@test -n "$(NAME)" -a -n "$(FROM)" || { echo 'usage: make add-hospital NAME=institution_3 FROM=folder'; exit 2; }
	$(ENV) && python -m olvf_assets add-hospital "$(NAME)" "$(FROM)"

bench: setup
	$(ENV) && for each in benchmarks/*.py; do python "$$each" --quick || exit 1; done

constraints:
	{ head -n 1 constraints.txt; "$(VENV)/bin/python" -m pip freeze --exclude-editable; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf data/lake data/reports data/dagster data/olvf.duckdb* data/.olvf.duckdb.lock
	@echo 'data/landing is kept: it may hold films of a hospital. Remove it by hand if you mean to.'
