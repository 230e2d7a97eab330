# The commands of the project. `make help` lists them.

PYTHON ?= python3
JOBS ?= 2
PORT ?= 5000
BY ?= fid
UV_VERSION := 0.13.9

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
# make runs a simple line itself, unless its shell has an unusual name; then macOS's looks the program up in the PATH
# that it was started with. DVC runs stages with $SHELL, which may be csh, or none that takes commands.
export SHELL := /bin//sh

.DEFAULT_GOAL := help
.PHONY: help setup demo pull repro show ui record replay register report screenshots check test format lint types unit bench recipes times lock

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

# An environment works where it was made, and `ready` names the place: one that was moved, copied or left half-made
# loses it, and is made anew.
$(shell { test -x .venv/bin/python && test "$$(cat .venv/ready)" = "$$(pwd -P)" || rm -f .venv/ready; } 2>/dev/null)
setup: .venv/ready  ## Set up .venv from the lock file
.venv/ready: requirements.lock pyproject.toml
	@test -f $@ || rm -rf .venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "error: $(PYTHON) is no Python of 3.11 or newer; name another: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "error: $(PYTHON) lacks its venv package; install it (Debian, Ubuntu: apt install python3-venv)," \
			"or name another: make PYTHON=python3.12" >&2; exit 2; }
	@rm -f $@
	test -d .venv || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet uv==$(UV_VERSION)
	.venv/bin/uv pip sync --quiet --python .venv --require-hashes requirements.lock
	.venv/bin/uv pip install --quiet --python .venv --no-deps --editable .
	@# The byte code of what stages import, on two cores: that of all packages takes ten times as long.
	@export PYTHONDONTWRITEBYTECODE=; \
	.venv/bin/python -c 'import torch, matplotlib.pyplot, pandas, sklearn.linear_model' & first=$$!; \
	.venv/bin/python -c 'import alembic.command, dvc.cli.parser, dvc.repo, mlflow' && wait $$first
	@pwd -P > $@

demo: setup  ## Run the whole pipeline on scikit-learn's digits, in a copy of the repository (minutes)
	@exec env PYTHONPATH=src python -m vaebench.demo --jobs $(JOBS)

repro: setup  ## Reproduce the benchmark on MNIST, two stages side by side (JOBS=2)
	@exec env PYTHONPATH=src python -m vaebench.pipeline.repro --jobs $(JOBS)

show: setup  ## List the experiments: what each changed, and what came of it
	@exec env PYTHONPATH=src python -m vaebench.pipeline.experiments

ui: setup  ## Browse the runs in MLflow, on this machine alone (PORT=5000)
	@exec env PYTHONPATH=src python -m vaebench.tracking.ui --port '$(PORT)'

pull: setup  ## Fetch the trained models and arrays, from the remote inside this repository
	dvc pull --quiet

record: setup  ## Record the committed benchmark in MLflow, from its files; after dvc pull, its models too
	@exec env PYTHONPATH=src python -m vaebench.tracking.recorded

report: setup  ## Write report.html: the benchmark as one page, with its models to play with
	@exec env PYTHONPATH=src python -m vaebench.page

screenshots: setup  ## Take the README's screenshots of the report, the plots page and MLflow
	python docs/screenshots.py

replay: setup  ## Send to MLflow what stages could not send while its server was away
	@exec env PYTHONPATH=src python -m vaebench.tracking.replay

register: setup  ## Register the best model in MLflow as models:/vaebench@champion (BY=fid)
	@exec env PYTHONPATH=src python -m vaebench.tracking.register --by $(BY)

test: setup lint types unit  ## Run all checks
lint: setup
	ruff format --check .
	ruff check .
types: setup
	mypy
unit: setup
	pytest --numprocesses 2
check: setup lint types  ## Run the quick checks: no pipeline, no server, no browser (minutes)
	pytest --numprocesses 2 -m "not slow"

format: setup  ## Format the code
	ruff format .
	ruff check --fix .

# Pythae goes into a throw-away environment that sees this one's packages.
bench: setup  ## Time training beside a textbook loop and Pythae, scoring, and the start of a stage (20 minutes)
	PYTHONPATH=src python benchmarks/throughput.py

recipes: setup  ## Count the epochs to the report's losses, by recipe and seed (half an hour)
	PYTHONPATH=src python benchmarks/time_to_report.py

times: setup  ## Say where the time went that the results took
	PYTHONPATH=src python benchmarks/stages.py

lock: setup  ## Resolve the dependencies anew
	uv pip compile pyproject.toml --extra dev --universal --generate-hashes --python-version 3.11 \
		--no-annotate --no-header --quiet --output-file requirements.lock
