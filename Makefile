# Each target makes .venv by itself; PYTHON picks the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
OUT ?= demo
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: demo test-fast test test-cuda torture mutations fuzz siege chromium check clean docs

.venv/.demo: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[demo]'
	touch $@

.venv/.dev: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ .venv/.demo

demo: .venv/.demo  ## the whole way on real images: prepare, train, translate, evaluate, report
	$(BIN)/unpaired demo $(OUT)

chromium:  ## the browser that the tests drive
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get install -y -qq chromium; } || { apt-get update -qq && apt-get install -y -qq chromium; } \
		|| echo "no Chromium, and it cannot be installed from here: the tests of web pages are skipped"

test-fast: .venv/.dev  ## the core, in tests that start no process and take under half a second each
	$(PYTEST) --tier fast -n 2 --dist worksteal

BESIDE := .pytest_cache/beside.log
test: .venv/.dev chromium  ## every test: two workers, then forks and long pages beside servers, then timings
	@$(PYTEST) --tier common -n 2 --dist worksteal; first=$$?; \
		mkdir -p $(dir $(BESIDE)); \
		( $(PYTEST) --tier forks; forks=$$?; $(PYTEST) --tier long && exit $$forks ) >$(BESIDE) 2>&1 & beside=$$!; \
		$(PYTEST) --tier servers; second=$$?; \
		wait $$beside; third=$$?; cat $(BESIDE); \
		$(PYTEST) --tier alone && exit $$((first + second + third))

test-cuda: .venv/.dev  ## the tests that need a CUDA card, and the table of benchmarks/gpu.py
	$(BIN)/python -m pytest -rs tests/cuda
	@if $(BIN)/python -c "import sys, torch; sys.exit(not torch.cuda.is_available())"; \
		then $(BIN)/python -m benchmarks.gpu; else echo "no CUDA card: no table"; fi

torture: .venv/.dev  ## every promise of docs/reliability.md, one line each, within the hour
	$(BIN)/python -m pytest -m promise

mutations: .venv/.dev  ## each defence taken out of a copy of the code: the test named for it must fail
	$(BIN)/python -m tests.faults.mutations

SECONDS_EACH ?= 600
fuzz: .venv/.dev  ## fuzz the readers of bundles and of images, ten minutes each (SECONDS_EACH)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,fuzz]'
	$(BIN)/python -m tests.fuzz.fuzz_bundle -max_total_time=$(SECONDS_EACH)
	$(BIN)/python -m tests.fuzz.fuzz_image -max_total_time=$(SECONDS_EACH)

siege: .venv/.dev  ## the server under fuzzers, overload, kills and a stop: a minute of each
	SIEGE_SECONDS=60 $(BIN)/python -m pytest -s tests/siege

check: .venv/.dev  ## format, lint, types, import order
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

REPO_URL ?= $(shell git remote get-url origin 2>/dev/null | sed -nE \
	's,^(https?://([^@/]*@)?|ssh://git@|git@)([^:/]+)[:/](.+)$$,https://\3/\4,p' | sed 's,\.git$$,,')
docs: .venv/.dev  ## the documents as a site in site/, with a link to the repository that was cloned
	$(BIN)/python docs/api.py
	REPO_URL='$(REPO_URL)' $(BIN)/zensical build --strict
	$(BIN)/python docs/sources.py

clean:
	rm -rf site docs/api.md .venv .pytest_cache .ruff_cache .import_linter_cache
