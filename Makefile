# The door to everything one runs on this repository. `make help` lists it.
.PHONY: help check lint test doc bench bench-quick bench-page bench-test loom crash faults powercut references sim sim-long sim-planted sim-money kill-payments burst props fuzz schemathesis webhooks portal-test statements flips demo load load-full soak compare

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

check: lint doc test ## What a commit must pass: format, lints, documents, tests

lint: ## Format and lints; warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

test: ## All tests
	cargo test --workspace

doc: ## The documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

bench: ## All benches, then a page of plots; BENCH_ARGS for criterion, DRAWDOWN_BENCH_LARGE=1 for 10 M wallets
	cargo bench --workspace --exclude loadtest -- $(BENCH_ARGS)
	@$(MAKE) --no-print-directory bench-page

bench-quick: ## The same with short samples, in a quarter of an hour
	@$(MAKE) --no-print-directory bench BENCH_ARGS="--warm-up-time 1 --measurement-time 2 --noplot"

bench-page: ## The page alone, from what was measured last
	@cargo run --quiet --release --example bench-report

bench-test: ## Each bench once, to see that it runs
	cargo bench --workspace --exclude loadtest -- --test

loom: ## Models of the lock-free parts, every interleaving within bounds
	RUSTFLAGS="--cfg drawdown_loom" CARGO_TARGET_DIR=target/loom cargo test --release -p drawdown-wal --lib loom
	RUSTFLAGS="--cfg drawdown_loom" CARGO_TARGET_DIR=target/loom cargo test --release -p drawdown --lib loom

crash: ## Kills the real server under load; DRAWDOWN_CRASH_CYCLES=N for more
	cargo test --test crash -- --nocapture

faults: ## Full and broken disks under the real server; as root, and DRAWDOWN_REQUIRE_LOOP=1 so that nothing is skipped
	cargo test --test faults -- --nocapture

powercut: ## Cuts the power under the real server, on disks in files; as root; DRAWDOWN_POWER_CUTS=N for more, DRAWDOWN_REQUIRE_LOOP=1 to skip nothing
	cargo test --test powercut -- --nocapture

references: ## Webhooks and Stripe against reference implementations of others; fetches them by pip and go
	DRAWDOWN_REQUIRE_REFERENCES=1 cargo test -p drawdown-outbound -- --nocapture

sim: ## The engine on a failing simulated disk; SEED=N replays one story, SEEDS=N tells more
	$(if $(SEED),DRAWDOWN_SIM_SEED=$(SEED)) $(if $(SEEDS),DRAWDOWN_SIM_SEEDS=$(SEEDS)) cargo test --release --test it sim:: -- --nocapture

sim-long: ## Stories by night, and how far they are; SEEDS=10000, FIRST=0
	DRAWDOWN_SIM_SEEDS=$(or $(SEEDS),10000) DRAWDOWN_SIM_FIRST=$(or $(FIRST),0) cargo test --release --test it sim::stories -- --nocapture

sim-planted: ## Plants bugs, each of which the simulations must find
	RUSTFLAGS="--cfg drawdown_planted" CARGO_TARGET_DIR=target/planted cargo test --release --test it sim::planted -- --nocapture
	RUSTFLAGS="--cfg drawdown_planted" CARGO_TARGET_DIR=target/planted cargo test --release --test it money::planted -- --nocapture

sim-money: ## Stories of money on a failing disk, with a bank that cannot be relied on; SEED=n replays one, SEEDS=n tells more
	$(if $(SEED),DRAWDOWN_SIM_SEED=$(SEED)) $(if $(SEEDS),DRAWDOWN_SIM_SEEDS=$(SEEDS)) cargo test --release --test it money:: -- --nocapture

kill-payments: ## Kills a server that charges cards KILLS=500 times and audits what is left; SEED=1; needs python3
	cargo build --release
	tests/kill_payments.py target/release/drawdown $(or $(SEED),1) $(or $(KILLS),500)

burst: ## A million events that set automatic top-ups off: what they cost, and how soon charges leave
	loadtest/burst.sh

props: ## Random commands against the model; DRAWDOWN_PROPTEST_CASES=N for more
	cargo test --test it props

FUZZ_SECONDS ?= 120
FUZZ_TARGETS ?= record recovery body decimal rules

fuzz: ## Each fuzz target for FUZZ_SECONDS=120; needs a nightly compiler and cargo-fuzz
	@cd fuzz && for target in $(FUZZ_TARGETS); do \
		mkdir -p corpus/$$target found/$$target && \
		cargo +nightly fuzz run $$target corpus/$$target seeds/$$target found/$$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=20 || exit 1; \
	done

schemathesis: ## The server against its OpenAPI document; MINUTES=2, EXAMPLES=50, SEED=1; needs python3 and its registry
	tests/schemathesis.sh

webhooks: ## A real server against a receiver that verifies with the library of others; needs python3 and its registry
	tests/webhooks.sh

statements: ## The demo's statements, allocations and balances against a computation of their own from the feed; needs python3
	cargo build --release --bin drawdown
	tests/statements.py

portal-test: ## The portal in headless Chromium; needs chromium, chromedriver and python3; SHOTS=folder for pictures of its pages
	tests/portal.sh $(if $(SHOTS),--shots $(SHOTS))

flips: ## Turns FLIPS=1000 single bits of whole logs, snapshots and runs of identities and looks who notices
	DRAWDOWN_FLIPS=$(or $(FLIPS),1000) cargo test -p drawdown-wal --test archive flipped -- --nocapture
	DRAWDOWN_FLIPS=$(or $(FLIPS),1000) cargo test --test it no_bit_ -- --nocapture

demo: ## The demo: a real trace through the real server
	cargo run --release -- demo

load: ## Half a minute of load on a server of its own, audited; ARGS="--seconds 10"
	loadtest/quick.sh $(ARGS)

load-full: ## The figures end to end, each run audited; minutes, see loadtest/README.md
	loadtest/full.sh $(ARGS)

soak: ## Half load for MINUTES=20, watching memory and disk
	loadtest/soak.sh $(ARGS)

compare: ## The same work in Redis and PostgreSQL, in turns; half an hour
	loadtest/compare-redis.sh $(ARGS)
	loadtest/compare-postgres.sh $(ARGS)
