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

.PHONY: generate
generate: ## Write the generated files: crds/ and docs/reference/.
	cargo run --quiet --locked -- crds --output-dir crds --reference-dir docs/reference
