# The commands of the project. `make help` lists them.

PYTHON ?= python3
JOBS ?= 2
PORT ?= 5000
BY ?= fid
UV_VERSION := 0.13.9

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help setup demo repro show ui replay register report screenshots test format lint types unit bench recipes times lock

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: .venv/ready  ## Set up .venv from the lock file
.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; name another: make PYTHON=python3.11" >&2; exit 2; }
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet uv==$(UV_VERSION)
	.venv/bin/uv pip sync --quiet --python .venv --require-hashes --compile-bytecode requirements.lock
	.venv/bin/uv pip install --quiet --python .venv --no-deps --editable .
	@touch $@

# Smaller batches and fewer draws: the committed ones are made for 60,000 digits, not 1,500.
DEMO := -S data.dataset=digits -S vae.fast.batch_size=32 -S vae.report.batch_size=32 -S classifier.batch_size=32 \
	-S evaluate.samples=2000 -S evaluate.paths=100 -S evaluate.likelihood_draws=50
demo: setup  ## Run the whole pipeline on scikit-learn's digits, outside the working tree (6 minutes)
	@dvc exp remove --quiet demo 2>/dev/null || true
	dvc exp run --temp --name demo $(DEMO)
	@rm -rf demo && mkdir demo
	@git archive $$(git for-each-ref --format='%(objectname)' 'refs/exps/**/demo') metrics plots | tar -x -C demo
	@echo; cat demo/metrics/benchmark.md; echo
	@echo "The table: demo/metrics/benchmark.md. The pictures: demo/plots/. The runs: make ui"

# DVC runs one stage at a time; make follows the same graph with several.
repro: setup  ## Reproduce the benchmark on MNIST, two stages side by side (JOBS=2)
ifneq ($(filter-out 1,$(JOBS)),)
	@case '$(JOBS)' in 0 | *[!0-9]*) \
		echo "error: JOBS must be a whole number of at least 1, got '$(JOBS)'" >&2; exit 2 ;; esac
	@mkdir -p .dvc/tmp
	@dvc dag --dot > .dvc/tmp/stages.dot
	@awk -F '"' '\
		NF == 3 {print ".PHONY: " $$2 "\n" $$2 ": ; dvc --wait-for-lock repro --single-item $$@"} \
		NF == 5 {print $$4 ": " $$2}' .dvc/tmp/stages.dot > .dvc/tmp/stages.mk
	@export OMP_NUM_THREADS=$$(python -c 'import os; print(max(1, os.cpu_count() // $(JOBS)))'); \
	make --no-print-directory --jobs $(JOBS) --file .dvc/tmp/stages.mk $$(dvc stage list --name-only)
endif
	dvc repro

show: setup  ## List the experiments: what each changed, and what came of it
	@PYTHONPATH=src python -m vaebench.pipeline.experiments

# Without the workflow's type, MLflow shows pages for language models.
RUNS = http://127.0.0.1:$(PORT)/\#/experiments/1/runs?workflowType=machine_learning
ui: setup  ## Browse the runs in MLflow, on this machine alone (PORT=5000)
	@echo "The executions:      $(RUNS)&viewStateShareKey=benchmark"; \
	echo "The training curves: $(RUNS)&viewStateShareKey=curves&compareRunsMode=CHART"
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --backend-store-uri sqlite:///mlflow.db \
		--host 127.0.0.1 --port $(PORT) --workers 1 \
		--allowed-hosts "localhost,localhost:*,127.0.0.1,127.0.0.1:*"

report: setup  ## Write report.html: the benchmark as one page, with its models to play with
	python -m vaebench.page

screenshots: setup  ## Take the README's screenshots of the report, the plots page and MLflow
	python docs/screenshots.py

replay: setup  ## Send to MLflow what stages could not send while its server was away
	@PYTHONPATH=src python -m vaebench.pipeline.replay

register: setup  ## Register the best model in MLflow as models:/vaebench@champion (BY=fid)
	@PYTHONPATH=src python -m vaebench.pipeline.register --by $(BY)

test: setup lint types unit  ## Run all checks
lint: setup
	ruff format --check .
	ruff check .
types: setup
	mypy
unit: setup
	pytest

format: setup  ## Format the code
	ruff format .
	ruff check --fix .

# Pythae goes into a throw-away environment that sees this one's packages.
bench: setup  ## Time training beside a textbook loop and Pythae, and the start of a stage (7 minutes)
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	python -m venv "$$folder"; \
	for packages in "$$folder"/lib/python*/site-packages; do \
		python -c 'import site; print(site.getsitepackages()[0])' > "$$packages/vaebench.pth"; \
	done; \
	uv pip install --quiet --python "$$folder" --no-deps pythae==0.1.2 imageio; \
	PYTHONPATH=src python benchmarks/throughput.py --pythae "$$folder/bin/python"

recipes: setup  ## Count the epochs to the report's losses, by recipe and seed (half an hour)
	PYTHONPATH=src python benchmarks/time_to_report.py

times: setup  ## Say where the time went that the results took
	PYTHONPATH=src python benchmarks/stages.py

lock: setup  ## Resolve the dependencies anew
	uv pip compile pyproject.toml --extra dev --universal --generate-hashes --python-version 3.11 \
		--no-annotate --no-header --quiet --output-file requirements.lock
