# The commands of the README. VENV may point to a ready environment, PYTHON to the Python 3.11 that makes one;
# OLVF_PROFILE and OLVF_DATA are passed on. EXTRAS=postgres installs what PostgreSQL needs, too (docs/operations.md).
SHELL := /bin/bash
VENV ?= .venv
PORT ?= 3000
LOOK_PORT ?= 3001
ENV := . ./env.sh
override VENV := $(if $(filter /%,$(VENV)),$(VENV),$(CURDIR)/$(VENV))

export VENV PYTHON EXTRAS

.PHONY: setup demo test test-servers cluster-check lint ui ui-read-only sql bench gpu-check weights add-hospital \
	constraints clean

setup:
	@./setup.sh "$$VENV"

demo: setup
	$(ENV) && dagster asset materialize --select '*' && python -m olvf_assets.reporting

test: setup lint
	$(ENV) && pytest -n auto --maxprocesses 4 --dist loadfile

test-servers cluster-check constraints: EXTRAS := $(EXTRAS) postgres cluster test-servers
test-servers: setup
	@./olvf_assets_tests/servers/install.sh
	$(ENV) && ./olvf_assets_tests/servers/alone.sh pytest -n 2 --dist loadfile olvf_assets_tests/servers

# The whole study on one host and on two that share no folder, compared table by table (docs/scale.md).
cluster-check: setup
	@./olvf_assets_tests/servers/install.sh
	$(ENV) && ./olvf_assets_tests/servers/alone.sh python -m olvf_assets_tests.servers.cluster_check

lint: setup
	$(ENV) && ruff check . && ruff format --check . && mypy

ui: setup
	$(ENV) && unset DAGSTER_MODULE_NAME && python -m olvf_assets register \
		&& dagster dev --workspace workspace.yaml --host 127.0.0.1 --port $(PORT)

# For onlookers, beside `make ui`. PREFIX is where a reverse proxy shows it (deploy/nginx/olvf.conf: PREFIX=/look).
ui-read-only: setup
	$(ENV) && unset DAGSTER_MODULE_NAME && dagster-webserver --read-only --workspace workspace.yaml \
		--host 127.0.0.1 --port $(LOOK_PORT) $(if $(PREFIX),--path-prefix "$(PREFIX)")

sql: setup
	$(ENV) && python -m olvf_assets sql

add-hospital: setup
	@test -n "$(NAME)" -a -n "$(FROM)" \
		|| { echo 'usage: make add-hospital NAME=institution_3 FROM=folder [DRY_RUN=1] [YES=1]'; exit 2; }
	$(ENV) && python -m olvf_assets add-hospital "$(NAME)" "$(FROM)" $(if $(DRY_RUN),--dry-run) $(if $(YES),--yes)

bench: setup
	$(ENV) && for each in benchmarks/*.py; do python "$$each" --quick || exit 1; done

gpu-check: setup
	$(ENV) && python benchmarks/gpu.py --json

# The weights that ship, made again from phantoms; WEIGHTS_WORK keeps pictures and what was trained, to go on in.
weights: setup
	$(ENV) && python -m olvf_assets.commands.make_weights view \
		&& python -m olvf_assets.commands.make_weights detector $(if $(WEIGHTS_WORK),--work "$(WEIGHTS_WORK)")

constraints: setup
	{ head -n 1 constraints.txt; "$(VENV)/bin/python" -m pip freeze --exclude-editable; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf data/lake data/lake-cache data/reports data/logs data/dagster data/olvf.duckdb* data/.olvf.duckdb.lock
	@echo 'data/landing is kept: it may hold films of a hospital. Remove it by hand if you mean to.'
