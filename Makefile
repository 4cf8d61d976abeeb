# What a developer types; CI types the same. `make help` lists the targets.

.PHONY: help
help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: dev
dev: ## Run the quickstart in one process.
	cargo run --release -- dev examples/quickstart

.PHONY: test
test: ## All tests.
	cargo test --locked

.PHONY: lint
lint: ## Formatting and clippy, as CI runs them.
	cargo fmt --all -- --check
	cargo clippy --locked --all-targets -- -D warnings

# The program that writes the generated files; CI names the one that the tests have built.
TIDEGATE ?= cargo run --quiet --locked --

.PHONY: generate
generate: ## Write the generated files: crds/ and docs/reference/.
	$(TIDEGATE) crds --output-dir crds --reference-dir docs/reference

.PHONY: bench
bench: ## All benchmarks, on a real disk (BENCH_FOLDER names another folder).
	cargo bench --locked --bench '*'

.PHONY: bench-check
bench-check: ## The same; fails if a ratio is 15 % below the committed one.
	BENCH_CHECK=1 cargo bench --locked --bench '*'

.PHONY: bench-baselines
bench-baselines: ## The same; writes benches/baselines.jsonl.
	BENCH_WRITE=1 cargo bench --locked --bench '*'
