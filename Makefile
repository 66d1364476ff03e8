# Routine work on Headgate. `make` lists what there is; CONTRIBUTING.md says more.

PYTHON ?= python3
FACTOR ?= 1
ARGS ?=
BIN := .venv/bin

export FACTOR

.DEFAULT_GOAL := help
.PHONY: help env services demo test check format bench test-faults reference constraints clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

env: ## Make .venv with everything pinned and hash-checked, and Headgate editable in it
	@tools/make-env $(PYTHON)

services: env ## Get what the tests' real services need: Java, Kafka's jars, PostgreSQL
	@tools/ensure-services

demo: env ## Show Headgate at work, with nothing but Python
	@$(BIN)/headgate demo $(ARGS)

test: services check ## Check everything and run every test (ARGS="-k word" for some)
	@echo "==> Tests with coverage, against the real services"
	@$(BIN)/pytest --cov --cov-report=term:skip-covered $(ARGS)

check: env ## Format, lint, types and layers, without changing anything
	@tools/check

format: env ## Put the code into its format, and mend what the linter can mend
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: services ## Measure (ARGS="--help" says what there is)
	@$(BIN)/python -m bench $(ARGS)

test-faults: services ## The long campaign of killed brokers and lost power (FACTOR=5 for five times as much)
	@$(BIN)/python -m tests.faults.campaign $(ARGS)

reference: env ## Write the configuration reference from the grammar
	@tools/make-reference

constraints: ## Pin the newest versions that pyproject.toml allows
	@tools/make-constraints $(PYTHON)

clean: ## Remove what can be made again (the jars in the user's cache stay)
	rm -rf .venv .make .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
