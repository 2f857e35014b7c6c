# Everything a reader needs: make run, make test, make test-full, make lab, make bench.
PYTHON ?= python3
LOCKED_PYTHON := 3.11
BIN := .venv/bin
READY := .venv/ready

.PHONY: run test test-full lint lab glossary bench exercises teaching lock clean

run: $(READY)
	$(BIN)/nkhcc run

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal --cov --cov-report=term:skip-covered --cov-fail-under=95

test-full: $(READY)
	HYPOTHESIS_PROFILE=full $(BIN)/python -m pytest -n auto --dist worksteal

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb

lab: $(READY)
	$(BIN)/jupyter lab --ServerApp.root_dir=. $(firstword $(sort $(wildcard notebooks/*.ipynb)))

glossary: $(READY)
	$(BIN)/python .ci/make_glossary.py

bench: $(READY)
	for benchmark in benchmarks/bench_*.py; do $(BIN)/python "$$benchmark" || exit 1; done

exercises: $(READY)
	$(BIN)/python notebooks/exercises/write_cells.py

teaching: run
	rm -rf reports/teaching
	$(BIN)/nkhcc teach --out reports/teaching
	$(BIN)/python teaching/make_course.py reports/nkhcc reports/teaching

# The lock holds for the Python it was made for; other versions take the ranges of pyproject.toml.
# It is complete: nothing is resolved, so that a newer release of a package with an extra cannot get in its way.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	@if $(BIN)/python -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(LOCKED_PYTHON)")'; then \
	  echo "installing the locked packages, a minute or two"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 --no-deps --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	else \
	  echo "this Python is not $(LOCKED_PYTHON): installing by the ranges in pyproject.toml"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[lab,test]'; \
	fi
	touch $@

lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	.venv-lock/bin/uv pip compile pyproject.toml --upgrade --extra lab --extra test --extra build --universal \
	  --python-version $(LOCKED_PYTHON) --generate-hashes --quiet --custom-compile-command 'make lock' -o requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf .venv .venv-lock reports .pytest_cache .ruff_cache .hypothesis .coverage*
