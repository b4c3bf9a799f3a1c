# Two commands are enough on a bare machine: `make serve` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)

ifdef UV
MAKE_VENV = uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
INSTALL = VIRTUAL_ENV=$(VENV) uv pip install --quiet --require-hashes -r
else
MAKE_VENV = $(PYTHON) -m venv $(VENV)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r
endif

POSTGRAPHILE := bench/postgraphile/node_modules
JOSE := tests/outside/jose/node_modules

WEB := web/dist/.built
WEB_SOURCES := schema/schema.graphql $(wildcard schema/tabs/*) $(shell find web \( -name node_modules -o -name dist -o -name graph \) -prune -o -type f -print)

.PHONY: help serve web screenshots test check check-server check-web fuzz bench peers outside overhead verification faults attacks worst scrolling plans format snapshots lock clean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /\1: /p' Makefile

$(VENV)/.runtime: requirements.lock
	@echo "Installing what is needed into $(VENV) …" >&2
	@$(MAKE_VENV)
	@$(INSTALL) requirements.lock
	@touch $@

$(VENV)/.development: requirements-dev.lock
	@echo "Installing what is needed into $(VENV) …" >&2
	@$(MAKE_VENV)
	@$(INSTALL) requirements-dev.lock
	@touch $@ $(VENV)/.runtime

# A contestant of the benchmark. Without npm the benchmark goes without it, and says so.
$(POSTGRAPHILE)/.installed: bench/postgraphile/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "Installing PostGraphile into $(POSTGRAPHILE) …" >&2 && \
	  npm ci --prefix bench/postgraphile --no-audit --no-fund --loglevel=error && touch $@; \
	fi

# Verifies tokens in the tests, as somebody else's program would. Without npm those tests are skipped.
$(JOSE)/.installed: tests/outside/jose/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "Installing jose into $(JOSE) …" >&2 && \
	  npm ci --prefix tests/outside/jose --no-audit --no-fund --loglevel=error && touch $@; \
	fi

web/node_modules/.installed: web/package-lock.json
	@echo "Installing what the dashboard is built with into web/node_modules …" >&2
	@npm ci --prefix web --no-audit --no-fund --loglevel=error
	@touch $@

$(WEB): $(WEB_SOURCES) web/node_modules/.installed
	@echo "Building the dashboard and GraphiQL into web/dist …" >&2
	@npm run build --prefix web --silent
	@touch $@

serve: $(VENV)/.runtime ## install what is needed, build the dashboard if node is there, and serve on 127.0.0.1:4000
	@if command -v npm >/dev/null; then \
	  $(MAKE) -s --no-print-directory web || echo "The dashboard could not be built: serving what is there." >&2; \
	elif [ ! -e $(WEB) ]; then \
	  echo "Without Node.js the dashboard is not built: serving without it." >&2; \
	fi
	@$(BIN)/python server.py serve

web: $(WEB) ## build the dashboard and GraphiQL into web/dist (needs node)

test: $(VENV)/.development ## the whole suite, on SQLite and on PostgreSQL
	@if command -v npm >/dev/null; then $(MAKE) -s --no-print-directory web; fi
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

screenshots: $(VENV)/.development $(WEB) ## picture every view of the dashboard and GraphiQL into docs/screenshots
	@$(BIN)/python -m tests.web.screenshots $(ARGS)

check: check-server check-web ## format, lint, types, import directions, snapshots, migrations; the same of the web part

check-server: $(VENV)/.development
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/snapshots tests/db/test_migrations.py

check-web:
	@if command -v npm >/dev/null; then \
	  $(MAKE) -s --no-print-directory web/node_modules/.installed && npm run check --prefix web --silent; \
	else \
	  echo "Without Node.js the web part is not checked." >&2; \
	fi

fuzz: $(VENV)/.development ## generated queries against the reference executor, for longer
	@$(BIN)/python -m pytest -q tests/schema/test_against_reference.py --hypothesis-profile=fuzz \
	  -o faulthandler_timeout=0 $(ARGS)

bench: $(VENV)/.development $(POSTGRAPHILE)/.installed ## measure everybody, about ten minutes; W=W2 for one workload
	@$(BIN)/python -m bench $(if $(W),--workload $(W)) $(ARGS)

peers: $(POSTGRAPHILE)/.installed ## install what the benchmark compares with, as far as npm is there

outside: $(JOSE)/.installed ## install what the tests verify tokens with, as far as npm is there

overhead: $(VENV)/.development ## measure what GraphQL adds around a statement
	@$(BIN)/python -m bench.overhead $(ARGS)

verification: $(VENV)/.development ## measure what verifying a license costs, against looking up a customer
	@$(BIN)/python -m bench.verification $(ARGS)

faults: $(VENV)/.development ## bring about all kinds of faults at once, and see what another client is answered
	@$(BIN)/python -m bench.faults $(ARGS)

attacks: $(VENV)/.development ## attack a server in every way at once, and see what another client notices
	@$(BIN)/python -m bench.attacks $(ARGS)

worst: $(VENV)/.development ## look for the document within the limits that takes most CPU
	@$(BIN)/python -m bench.worst $(ARGS)

scrolling: $(VENV)/.development $(WEB) ## measure how smooth the dashboard scrolls through 100,000 customers
	@$(BIN)/python -m bench.scrolling $(ARGS)

plans: $(VENV)/.development ## write bench/plans/ anew
	@$(BIN)/python -m bench.plans

format: $(VENV)/.development ## format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

snapshots: $(VENV)/.development ## write schema/schema.graphql and rest/openapi.json anew
	@$(BIN)/python server.py schema > schema/schema.graphql
	@$(BIN)/python server.py openapi > rest/openapi.json

lock: ## compile both lock files (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make lock" pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

clean: ## remove the virtual environment
	rm -rf $(VENV)
