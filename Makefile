# What a clone can do. Only Python >= 3.11 and make are needed; everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two workers: the tests wait for little, and CI machines have two cores.
WORKERS ?= 2
# Decided by no clock, no chance and no I/O, so every branch of them can be reached by a test, and is.
PURE := engine/decide.py,engine/decide_breaker.py,engine/decide_session.py,engine/decide_settle.py,engine/effects.py,engine/inputs.py,engine/policy.py,engine/transitions.py,journal/adopted.py,journal/engine_events.py,journal/engine_rules.py,journal/events.py,journal/evolve.py,journal/invariants.py,journal/message_events.py,journal/message_state.py,journal/rules.py,journal/sender_order.py,journal/settled_keys.py,journal/state.py,journal/tracks.py,tools/servicebus_emulator/broker/browse.py,tools/servicebus_emulator/broker/locks.py,tools/servicebus_emulator/broker/message.py,tools/servicebus_emulator/broker/namespace.py,tools/servicebus_emulator/broker/queue.py,tools/servicebus_emulator/broker/recent.py,tools/servicebus_emulator/broker/refusal.py,tools/servicebus_emulator/broker/sessions.py,tools/servicebus_emulator/broker/store.py,tools/servicebus_emulator/emulated_queue.py

.DEFAULT_GOAL := help
.PHONY: help demo test test-heavy lint types imports unit coverage bench crash docs wheel clean

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

# --- the virtual environment: a stamp each for what runs and for what checks -----------------------------------------

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11; run: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.runtime $(VENV)/.demo-sqs

$(VENV)/.demo-%: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo-$*]'
	@touch $@ $(VENV)/.runtime

# --- run -------------------------------------------------------------------------------------------------------------

demo: $(VENV)/.runtime $(if $(filter-out memory,$(PROVIDER)),$(VENV)/.demo-$(PROVIDER)) ## The main job on generated webhooks; PROVIDER=sqs on SQS, WEBHOOKS=FILE for real ones, CRASH=1 to kill the engine.
	$(BIN)/queue-runtime demo $(if $(PROVIDER),--provider '$(PROVIDER)') $(if $(WEBHOOKS),--webhooks '$(WEBHOOKS)') $(if $(filter-out 0,$(CRASH)),--crash)

# --- check -----------------------------------------------------------------------------------------------------------

test: lint types imports unit coverage ## Everything that must hold before a commit; under five minutes.

lint: $(VENV)/.dev ## Style, format and docstrings.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## Strict types.
	$(BIN)/basedpyright

imports: $(VENV)/.dev ## The floors, the SDKs' place, the purity of the core.
	$(BIN)/lint-imports

unit: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS)

coverage: $(VENV)/.dev
	$(BIN)/python -m coverage run -m pytest --quiet tests/unit
	$(BIN)/python -m coverage report --include='$(PURE)' --fail-under=100

test-heavy: $(VENV)/.dev ## The suites that take minutes; stopped after 28 of them.
	$(BIN)/python -m pytest -n $(WORKERS) -m 'heavy or crash' --timeout=600 --session-timeout=1680 --hypothesis-profile=heavy

crash: $(VENV)/.dev ## Kill the engine at every step and compare what it recovers.
	$(BIN)/python -m pytest -m crash --timeout=600 --session-timeout=1680 --hypothesis-profile=heavy

bench: $(VENV)/.dev ## Measure everything; QUICK=1 in a minute, ONLY=main for the bars, OUT=FILE for JSON, WEBHOOKS=FILE.
	QUICK='$(filter-out 0,$(QUICK))' FULL='$(filter-out 0,$(FULL))' ONLY='$(ONLY)' OUT='$(OUT)' WEBHOOKS='$(WEBHOOKS)' $(BIN)/python -m tests.bench.run

# --- publish ---------------------------------------------------------------------------------------------------------

docs: $(VENV)/.dev ## Build the documentation into site/.
	$(BIN)/mkdocs build --strict

wheel: $(VENV)/.dev ## Build the wheel into dist/.
	$(BIN)/python -m build --wheel --outdir dist .

clean: ## Remove everything that can be made again, the virtual environment too.
	rm -rf $(VENV) build dist site *.egg-info .coverage .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
