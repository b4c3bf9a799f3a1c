# On a bare machine, `make serve` and `make test` are enough.
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
OPENAPI := tests/outside/openapi/node_modules
DOCUMENTS := tests/outside/documents/node_modules

WEB := web/dist/.built
WEB_SOURCES := schema/schema.graphql $(wildcard schema/tabs/*) $(shell find web \( -name node_modules -o -name dist -o -name graph \) -prune -o -type f -print)

.PHONY: help install serve start-server build-alongside web screenshots test check check-server check-code check-web fuzz long bench peers outside overhead verification checkouts faults attacks worst scrolling plans format snapshots lock clean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /\1: /p' Makefile

$(VENV)/.runtime: requirements.lock
	@echo "Installing dependencies into $(VENV) …" >&2
	@$(MAKE_VENV)
	@$(INSTALL) requirements.lock
	@touch $@

$(VENV)/.development: requirements-dev.lock
	@echo "Installing dependencies into $(VENV) …" >&2
	@$(MAKE_VENV)
	@$(INSTALL) requirements-dev.lock
	@touch $@ $(VENV)/.runtime

# A contestant of the benchmark. Without npm, the benchmark leaves it out and says so.
$(POSTGRAPHILE)/.installed: bench/postgraphile/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "Installing PostGraphile into $(POSTGRAPHILE) …" >&2 && \
	  npm ci --prefix bench/postgraphile --no-audit --no-fund --loglevel=error && touch $@; \
	fi

# Verifies tokens in the tests, as other programs would. Without npm, those tests are skipped.
$(JOSE)/.installed: tests/outside/jose/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "Installing jose into $(JOSE) …" >&2 && \
	  npm ci --prefix tests/outside/jose --no-audit --no-fund --loglevel=error && touch $@; \
	fi

# Checks the OpenAPI document and generates clients in the tests. Without npm, those tests are skipped.
$(OPENAPI)/.installed: tests/outside/openapi/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "Installing validators and generators of OpenAPI into $(OPENAPI) …" >&2 && \
	  npm ci --prefix tests/outside/openapi --no-audit --no-fund --loglevel=error && touch $@; \
	fi

# Clients of GraphQL and the tools that write their documents. Without npm, the tests that use them are skipped.
$(DOCUMENTS)/.installed: tests/outside/documents/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "Installing clients of GraphQL into $(DOCUMENTS) …" >&2 && \
	  npm ci --prefix tests/outside/documents --no-audit --no-fund --loglevel=error && touch $@; \
	fi

# While this process is alive, the page that a server shows in place of the dashboard says that it is being built.
SAY_BUILDING = mkdir -p web/dist && echo $$PPID > web/dist/.building

web/node_modules/.installed: web/package-lock.json
	@$(SAY_BUILDING)
	@echo "Installing the dashboard's dependencies into web/node_modules …" >&2
	@npm ci --prefix web --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

$(WEB): $(WEB_SOURCES) web/node_modules/.installed
	@$(SAY_BUILDING)
	@echo "Building the dashboard and GraphiQL into web/dist …" >&2
	@npm run build --prefix web --silent
	@touch $@

install: $(VENV)/.runtime ## install the server's dependencies into .venv

serve: $(VENV)/.runtime ## install dependencies and serve on 127.0.0.1:4000; build the dashboard alongside if node is installed
	@$(MAKE) -s --no-print-directory -j2 start-server build-alongside

start-server:
	@./licensegraph serve

build-alongside:
	@if command -v npm >/dev/null; then \
	  $(MAKE) -s --no-print-directory web || echo "Building the dashboard failed: serving the previous build, if there is one." >&2; \
	elif [ ! -e $(WEB) ]; then \
	  echo "Node.js is not installed: serving without the dashboard." >&2; \
	fi

web: $(WEB) ## build the dashboard and GraphiQL into web/dist (needs node)

test: $(VENV)/.development ## run all tests, on SQLite and on PostgreSQL
	@if command -v npm >/dev/null; then $(MAKE) -s --no-print-directory web; fi
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

screenshots: $(VENV)/.development $(WEB) ## take a picture of every view of the dashboard and GraphiQL, in docs/screenshots
	@$(BIN)/python -m tests.web.screenshots $(ARGS)

check: check-server check-web ## check format, lint, types, import directions, snapshots, migrations, and the web part

check-server: check-code
	@$(BIN)/python -m pytest -q tests/snapshots tests/test_words.py tests/db/test_migrations.py

check-code: $(VENV)/.development
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports

check-web:
	@if command -v npm >/dev/null; then \
	  $(MAKE) -s --no-print-directory web/node_modules/.installed && npm run check --prefix web --silent; \
	else \
	  echo "Node.js is not installed: the web part is not checked." >&2; \
	fi

fuzz: $(VENV)/.development ## compare more generated queries with the reference executor
	@$(BIN)/python -m pytest -q tests/schema/test_against_reference.py --hypothesis-profile=fuzz \
	  -o faulthandler_timeout=0 $(ARGS)

long: $(VENV)/.development ## run the slowest tests, which `make test` leaves out
	@$(BIN)/python -m pytest -m long $(ARGS)

bench: $(VENV)/.development $(POSTGRAPHILE)/.installed ## compare with the peers, about ten minutes; W=W2 for one workload
	@$(BIN)/python -m bench $(if $(W),--workload $(W)) $(ARGS)

peers: $(POSTGRAPHILE)/.installed ## install the benchmark's peers that need npm

outside: $(JOSE)/.installed $(OPENAPI)/.installed $(DOCUMENTS)/.installed ## install the packages of npm that the tests use

overhead: $(VENV)/.development ## measure what GraphQL adds to a statement
	@$(BIN)/python -m bench.overhead $(ARGS)

verification: $(VENV)/.development ## compare verifying a license with reading a customer
	@$(BIN)/python -m bench.verification $(ARGS)

checkouts: $(VENV)/.development ## compare this checkout with an earlier one: BEFORE=folder
	@$(BIN)/python -m bench.checkouts $(BEFORE) $(ARGS)

faults: $(VENV)/.development ## cause many faults at once, and check how another client is affected
	@$(BIN)/python -m bench.faults $(ARGS)

attacks: $(VENV)/.development ## run many attacks at once, and check how another client is affected
	@$(BIN)/python -m bench.attacks $(ARGS)

worst: $(VENV)/.development ## search for the documents within the limits that take the most CPU
	@$(BIN)/python -m bench.worst $(ARGS)

scrolling: $(VENV)/.development $(WEB) ## measure how smoothly the dashboard scrolls through 100,000 customers
	@$(BIN)/python -m bench.scrolling $(ARGS)

plans: $(VENV)/.development ## write tests/bench/plans/ again
	@$(BIN)/python -m tests.bench.plans

format: $(VENV)/.development ## format, and fix what can be fixed automatically
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

snapshots: $(VENV)/.development ## write schema/schema.graphql and rest/openapi.json again
	@./licensegraph schema > schema/schema.graphql
	@./licensegraph openapi > rest/openapi.json

lock: ## update both lock files (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make lock" pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

clean: ## remove the virtual environment
	rm -rf $(VENV)
