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
	cargo clippy --locked --workspace --all-targets -- -D warnings

# The program that writes the generated files; CI names the one that the tests have built.
TIDEGATE ?= cargo run --quiet --locked --

.PHONY: generate
generate: ## Write the generated files: crds/, the copies in charts/, docs/reference/.
	$(TIDEGATE) crds --output-dir crds --reference-dir docs/reference
	cp crds/*.yaml charts/tidegate-crds/files/

comma := ,
# A static program needs its target named: the flags are then kept from build scripts and procedural macros.
TARGET ?= $(shell uname -m)-unknown-linux-gnu
ARCHITECTURE ?= $(if $(filter aarch64-%,$(TARGET)),arm64,amd64)
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)
IMAGE ?= tidegate:dev
STATIC := $(TARGET_DIR)/$(TARGET)/release
# Makes the program an eighth smaller, for some minutes: all crates are optimised as one, and only small functions are
# inlined. Equal functions are folded and relocations packed where the toolchain's linker can do so, which is lld there.
SMALL := -C lto=fat -C codegen-units=1 -C opt-level=2 -C llvm-args=-inline-threshold=150 $(if $(filter x86_64-%,$(TARGET)),-C link-arg=-Wl$(comma)--icf=all -C link-arg=-Wl$(comma)-z$(comma)pack-relative-relocs)

.PHONY: binary
binary: ## One static program, as it is in the image.
	RUSTFLAGS="-C target-feature=+crt-static" \
		cargo rustc --locked --release --target $(TARGET) --bin tidegate -- $(SMALL)
	mkdir -p $(TARGET_DIR)/image
	strip -o $(TARGET_DIR)/image/tidegate $(STATIC)/tidegate

.PHONY: image
image: binary ## The image as an archive, without Docker (IMAGE names it): target/image/tidegate.tar.
	scripts/image.py $(IMAGE) $(ARCHITECTURE) $(TARGET_DIR)/image/tidegate >$(TARGET_DIR)/image/tidegate.tar
	@ls -l $(TARGET_DIR)/image/tidegate.tar

# The app, the load and the sink of the end-to-end tests need the standard library only, so each is compiled by itself;
# what speaks TLS for the app needs more.
E2E_IMAGE ?= tidegate-e2e:dev
.PHONY: e2e-image
e2e-image: ## What the end-to-end tests put into the cluster (E2E_IMAGE names it): target/image/tidegate-e2e.tar.
	mkdir -p $(TARGET_DIR)/image
	rustc --edition 2024 -O -C target-feature=+crt-static --target $(TARGET) -o $(TARGET_DIR)/image/load tests/e2e/load/main.rs
	rustc --edition 2024 -O -C target-feature=+crt-static --target $(TARGET) -o $(TARGET_DIR)/image/crm examples/crm/app/main.rs
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target $(TARGET) --package tidegate-e2e-tls
	cp $(STATIC)/tls $(TARGET_DIR)/image/tls
	strip $(TARGET_DIR)/image/load $(TARGET_DIR)/image/crm $(TARGET_DIR)/image/tls
	scripts/image.py $(E2E_IMAGE) $(ARCHITECTURE) $(addprefix $(TARGET_DIR)/image/,load crm tls) \
		>$(TARGET_DIR)/image/tidegate-e2e.tar

.PHONY: e2e
e2e: ## Tests in the cluster of KUBECONFIG, whose nodes have the images IMAGE and E2E_IMAGE. Needs kubectl and helm.
	IMAGE=$(IMAGE) E2E_IMAGE=$(E2E_IMAGE) cargo test --locked --test e2e -- --test-threads=1 $(E2E_TESTS)

.PHONY: test-charts
test-charts: ## helm lint and the templates' tests. Needs helm alone.
	cargo test --locked --test e2e -- charts::

.PHONY: bench
bench: ## All benchmarks, on a real disk (BENCH_FOLDER names another folder).
	cargo bench --locked --bench '*'

.PHONY: bench-check
bench-check: ## The same; fails if a ratio is 15 % below the committed one.
	BENCH_CHECK=1 cargo bench --locked --bench '*'

.PHONY: bench-baselines
bench-baselines: ## The same; writes benches/baselines.jsonl.
	BENCH_WRITE=1 cargo bench --locked --bench '*'
