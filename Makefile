# Every target does its own set-up (Debian packages, virtual environment, compile) and may be repeated at will.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.built
CORE   := $(wildcard src/fastha/_core/*.pyx src/fastha/_core/*.pxd src/fastha/_core/c/*.[ch]) setup.py pyproject.toml

.PHONY: build demo test test-c fuzz fuzz-python fuzz-coverage analyse soak chaos lint bench bench-quick bench-micro sim-night clean

build: $(STAMP)

$(STAMP): $(CORE)
	@tools/debian-setup build
	@test -x $(BIN)/python || { echo "making the virtual environment $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing what fastha needs and compiling its core"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --upgrade "pip>=23" "setuptools>=77" wheel "Cython>=3.0.10"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation -e ".[checks,metrics,mail,test,lint]"
	@$(BIN)/python -m compileall -q src/fastha >/dev/null
	@touch $@

demo: build
	@tools/debian-setup demo
	@$(BIN)/fastha lab demo

# The tests on wires run two files at a time, for most of their time is waiting; WIRE_JOBS=1 where a machine is too busy
# for that. The soak runs beside the tests that do not look at the clock of a wire. SOAK_CI_SECONDS=0 leaves it out.
SOAK_CI_SECONDS ?= 180
WIRE_JOBS ?= 2
test: build test-c
	@tools/debian-setup test
	@mkdir -p build/soak
	@nice -n 5 $(BIN)/python tests/soak/soak.py $(SOAK_CI_SECONDS) build/soak >build/soak/log 2>&1 & soak=$$!; \
	$(BIN)/python -m pytest -m "not wire"; rest=$$?; \
	wait $$soak || { tail -n 60 build/soak/log; exit 1; }; \
	grep '^soak' build/soak/log; exit $$rest
	$(BIN)/python -m pytest bench -q --benchmark-disable --timeout=120
	$(BIN)/python -m pytest -m wire -n $(WIRE_JOBS) --dist loadfile

test-c:
	@tools/debian-setup test
	@cmake -S . -B build/cmake -DCMAKE_BUILD_TYPE=Debug -DFASTHA_SANITIZE=address,undefined >/dev/null
	@cmake --build build/cmake -j 2 >/dev/null
	ctest --test-dir build/cmake --output-on-failure
	@cmake -S . -B build/tsan -DCMAKE_BUILD_TYPE=Debug -DFASTHA_SANITIZE=thread >/dev/null
	@cmake --build build/tsan -j 2 --target test_core test_threads >/dev/null
	ctest --test-dir build/tsan --output-on-failure -R "^test_(core|threads)$$"

# FUZZ_SECONDS for each target; what is found new stays in build/fuzz-corpus.
FUZZ_SECONDS ?= 10
fuzz:
	@tools/debian-setup fuzz
	@cmake -S . -B build/fuzz -DCMAKE_C_COMPILER=clang-14 -DCMAKE_BUILD_TYPE=RelWithDebInfo -DFASTHA_FUZZ=ON -DFASTHA_SANITIZE=address,undefined >/dev/null
	@cmake --build build/fuzz -j 2 >/dev/null
	@for target in tests/fuzz/fuzz_*.c; do \
		name=$$(basename $$target .c); \
		mkdir -p build/fuzz-corpus/$$name; \
		echo "$$name: $(FUZZ_SECONDS) s"; \
		build/fuzz/$$name -max_total_time=$(FUZZ_SECONDS) -max_len=2048 -print_final_stats=1 \
			-artifact_prefix=build/fuzz-corpus/$$name- build/fuzz-corpus/$$name tests/fuzz/corpus/$$name \
			>build/fuzz-corpus/$$name.log 2>&1 || { cat build/fuzz-corpus/$$name.log; exit 1; }; \
		grep -h number_of_executed_units build/fuzz-corpus/$$name.log; \
	done

# The configuration language, and the control socket of a running daemon (needs root).
FUZZ_SEED ?= 1
fuzz-python: build
	$(BIN)/python tests/fuzz/fuzz_config.py $(FUZZ_SECONDS) $(FUZZ_SEED)
	$(BIN)/python tests/fuzz/fuzz_control.py $(FUZZ_SECONDS) $(FUZZ_SEED)

# What of the core the kept corpora execute.
fuzz-coverage:
	@tools/debian-setup fuzz
	@tools/fuzz-coverage

# Endurance; the report is build/soak/soak.md. Needs root.
SOAK_SECONDS ?= 3600
soak: build
	@tools/debian-setup test
	$(BIN)/python tests/soak/soak.py $(SOAK_SECONDS) build/soak

# Stories of faults with new seeds on real daemons, fastha alone and mixed with keepalived. Needs root.
CHAOS_SECONDS ?= 120
chaos: build
	@tools/debian-setup test
	$(BIN)/fastha lab chaos --time $(CHAOS_SECONDS)
	$(BIN)/fastha lab chaos --time $(CHAOS_SECONDS) --vmac
	$(BIN)/fastha lab chaos --time $(CHAOS_SECONDS) --bfd
	$(BIN)/fastha lab chaos --time $(CHAOS_SECONDS) --peers mixed

# clang's static analyser and what clang-tidy knows of bugs; half a minute on two cores.
analyse:
	@tools/debian-setup lint
	@cmake -S . -B build/analyse -DCMAKE_C_COMPILER=clang-14 -DCMAKE_BUILD_TYPE=Debug >/dev/null
	ls src/fastha/_core/c/*.c | xargs -P 2 -n 3 clang-tidy-14 --quiet -p build/analyse 2>/dev/null

# A hundred million events of state machines in the simulator, from a random seed (SIM_SEED: from this one).
sim-night: build
	$(BIN)/fastha sim run --events 100000000 --seconds 3600 $(if $(SIM_SEED),--seed $(SIM_SEED))

lint: build analyse
	@tools/debian-setup lint
	$(BIN)/ruff check src tests bench setup.py
	$(BIN)/ruff format --check src tests bench setup.py
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" cython-lint src/fastha/_core/*.pyx
	$(BIN)/lint-imports
	clang-format-14 --dry-run --Werror src/fastha/_core/c/*.[ch] tests/c/*.[ch]

bench: build
	@tools/debian-setup bench
	$(BIN)/python -m bench

# Parts alone: C functions, and pytest-benchmark. Each run is kept in bench/micro, and compared with the one before.
bench-micro: build
	$(BIN)/python -m bench.codec
	$(BIN)/python -m pytest bench -q --timeout=600 --benchmark-only --benchmark-storage=file://bench/micro --benchmark-autosave \
		$$(ls -A bench/micro 2>/dev/null | grep -q . && echo --benchmark-compare) --benchmark-columns=median,iqr,min,rounds

bench-quick: build
	@tools/debian-setup bench
	$(BIN)/python -m bench --quick

clean:
	rm -rf build dist $(VENV) src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src \( -name '*.so' -o -name '__pycache__' \) -prune -exec rm -rf {} +
	rm -f src/fastha/_core/*.c
