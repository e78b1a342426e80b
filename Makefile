# Verteilt: `make` lists the targets. `make test` is what CI runs, and all it runs.
#
# Everything is built with --release, into one target folder, with the features of the whole
# workspace: so the checks, the tests and the binary that the tests start share their artifacts.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

CARGO ?= cargo
ALL   := --release --workspace --locked
FUZZ  := --manifest-path fuzz/Cargo.toml

.PHONY: help build test check fmt fmt-check clippy docs house-rules deny fuzz-check bench \
        bench-peers bench-footprint torture sim mutants clean-data toolchain test-tools

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the binary: target/release/verteilt
	$(CARGO) build --release --locked

test: test-tools check ## everything: the checks, then every test
	$(CARGO) test $(ALL)

check: toolchain fmt-check clippy docs fuzz-check deny house-rules ## the quick part, no broker is started

fmt: ## bring all Rust sources into form
	$(CARGO) fmt --all
	$(CARGO) fmt $(FUZZ)

fmt-check:
	$(CARGO) fmt --all --check
	$(CARGO) fmt $(FUZZ) --check

clippy:
	$(CARGO) clippy $(ALL) --all-targets -- -D warnings

docs: ## the API documentation: target/doc
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(ALL) --no-deps

house-rules: ## the rules that no compiler knows (cli/house-rules)
	$(CARGO) test $(ALL) --test house_rules

fuzz-check: ## the fuzz targets still compile (running them needs nightly, see fuzz/README.md)
	$(CARGO) check --release --locked $(FUZZ) --no-default-features --target-dir target

# The house rules check licences, sources, bans and doubles without any tool; cargo-deny takes
# minutes to build, so it is used where it is installed and never fetched.
deny: ## cargo-deny, where it is installed; advisories where their database can be reached
	@if ! $(CARGO) deny --version >/dev/null 2>&1; then \
		echo "SKIPPED cargo-deny: not installed (cargo install --locked cargo-deny)." \
			"The house rules check licences, sources and bans; advisories stay UNCHECKED."; \
	else \
		$(CARGO) deny --locked --log-level error check bans licenses sources; \
		if timeout 60 $(CARGO) deny --log-level error fetch db >/dev/null 2>&1; then \
			$(CARGO) deny --locked --log-level error check --disable-fetch advisories; \
		else \
			echo "SKIPPED advisories: their database cannot be reached, they stay UNCHECKED."; \
		fi; \
	fi

bench: ## micro benches of the hot paths (criterion)
	$(CARGO) bench --profile release --workspace --locked --bench '*'

# ARGS="--jobs 100000 --rounds 1" makes it short; docs/benchmarks says what the figures mean.
bench-peers: ## speed next to Redis, in turns on the same disk
	$(CARGO) build $(ALL) --bins
	target/release/peers $(ARGS)

bench-footprint: ## memory and disk with a million jobs waiting, and after them
	$(CARGO) build $(ALL) --bins
	target/release/footprint $(ARGS)

# In target/torture, which it empties; ROUNDS=200 takes longer, ARGS="--seed 7" does one again.
ROUNDS ?= 20
torture: ## SIGKILL rounds against the release binary, then the checker (ROUNDS=20)
	$(CARGO) build $(ALL) --bins
	target/release/verteilt torture --data target/torture --rounds $(ROUNDS) $(ARGS)

# FIRST=1000000 takes other seeds; a seed that finds something is shrunk and told.
SEEDS ?= 20000
FIRST ?= 1
sim: ## simulated runs of the whole broker under faults, a run a seed (SEEDS=20000)
	$(CARGO) build $(ALL) --bins
	target/release/simulate --seeds $(SEEDS) --first $(FIRST) $(ARGS)

# Each is built into what it touches, which takes an hour or two. ARGS="04 17" takes some, ARGS=--simulation plays
# them to the simulator alone.
mutants: ## plant each fault of broker/mutants and tell which test finds it
	broker/mutants/run $(ARGS)

clean-data: ## remove ./verteilt-data, the folder that `verteilt up` makes
	rm -rf verteilt-data

# ---------------------------------------------------------------- what a bare machine lacks

toolchain:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: install 1.95 or newer (https://rustup.rs)."; exit 1; }
	@$(CARGO) fmt --version >/dev/null 2>&1 && $(CARGO) clippy --version >/dev/null 2>&1 \
		|| rustup component add rustfmt clippy

# A linker for Rust, strace to count the fdatasync calls behind an acknowledgement.
test-tools:
	@missing=""; \
	command -v cc >/dev/null || missing+=" gcc libc6-dev"; \
	command -v strace >/dev/null || missing+=" strace"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "Missing, please install:$$missing"; exit 1; \
	fi; \
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing
