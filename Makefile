# Everything sets itself up in .venv: `make demo` and `make test` are enough on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# A process for each core, at most four: each takes 2 GB. No test measures time; `make benchmark` does, one after another.
BESIDE := -n auto --maxprocesses 4 --dist worksteal

.PHONY: demo test check benchmark fuzz clean

demo: $(READY)
	$(BIN)/anomalib-lite demo --out demo

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not benchmark" $(BESIDE) $(PYTEST_ARGS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(READY)
	$(BIN)/python -m pytest -m benchmark $(PYTEST_ARGS)

# Mutated images against the readers, then mutated bundles against the loader, half an hour each, with other mutations
# each time; `make test` runs a short form.
fuzz: $(READY)
	FUZZ_MINUTES=$${FUZZ_MINUTES:-30} $(BIN)/python -m pytest -m benchmark -s tests/fuzz $(PYTEST_ARGS)

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[train,serve,signals,medical,cluster,test,dev]"
	touch $(READY)

clean:
	rm -rf $(VENV) demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
