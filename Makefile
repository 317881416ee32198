# `make` or `make help` says what there is to do.

.DEFAULT_GOAL := help
DB     ?= mysql
SECTION ?= all
DURATION ?= 90s
ENGINE ?= podman
ENGINE_ARGS = $(if $(filter podman,$(ENGINE)),--format docker) # the other format knows no HEALTHCHECK
REGISTRY ?=
SOURCE ?= $(shell git config --get remote.origin.url)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help
help: ## Say this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  make up DB=mariadb        on MariaDB instead of MySQL"
	@echo "  make up ARGS=--observe    with Prometheus and the alerts beside it"
	@echo "  make test ARGS=...        only some tests, such as ARGS=a_cut or ARGS='-p order-svc'"
	@echo "  make prove SEED=42 DURATION=10m ARGS='--nats-nodes 3'    the same faults again, for longer, on three nats-servers"
	@echo "  $(TARGET)/local/stack up --help    the ports, and how to change them"

.PHONY: setup
setup: ## Fetch the servers and tools that this machine lacks, into .stack/dist
	@crates/stack/setup run test check

# One plain command a line: make hands SIGTERM to the program itself, not to a shell around it.
.PHONY: up
up: ## Run the pipeline in the foreground; Ctrl-C stops it
	@crates/stack/setup $(DB) nats nginx $(if $(findstring --observe,$(ARGS)),prometheus)
	@cargo build --profile local -p stack -p order-svc -p outbox-relay -p notify-svc -p payment-svc
	@$(TARGET)/local/stack up --db $(DB) $(ARGS)

.PHONY: env
env: ## Print what gives a shell the verbs and databases of `make up`: eval "$$(make -s env)"
	@test -x $(TARGET)/local/stack || { echo "env: nothing is built: run make up" >&2; exit 1; }
	@$(TARGET)/local/stack env

.PHONY: reset
reset: ## Forget all data of `make up`
	@mkdir -p .stack
	@flock --nonblock --conflict-exit-code 75 .stack/up.lock rm -rf .stack/data || \
	    { [ $$? -ne 75 ] || echo "reset: the stack is up: stop it first" >&2; exit 1; }

.PHONY: demo-downtime
demo-downtime: ## Stop notify-svc, place orders, see them wait in NATS, start it again
	@crates/stack/setup $(DB) nats
	@cargo build --profile local -p stack -p order-svc -p outbox-relay -p notify-svc
	@$(TARGET)/local/stack demo-downtime --db $(DB)

.PHONY: test
test: ## Run all tests against MySQL, MariaDB and NATS servers that are started for them
	@crates/stack/setup test
	@cargo build --workspace --bins
	@$(TARGET)/debug/stack test -- $(ARGS)

.PHONY: prove
prove: ## Kill, freeze and cut off everything under load, then compare what customers were answered with what is there
	@crates/stack/setup $(DB) nats
	@cargo build --profile local -p stack -p order-svc -p outbox-relay -p notify-svc
	@$(TARGET)/local/stack prove --db $(DB) --duration $(DURATION) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: bench
bench: ## Measure, as ratios to limits measured in the same run; SECTION=write ARGS=--json
	@crates/stack/setup $(DB) nats nginx
	@crates/stack/setup debezium || echo "bench: without Debezium; the report says so"
	@cargo build --release -p bench -p order-svc -p outbox-relay -p notify-svc -p payment-svc
	@$(TARGET)/release/bench $(SECTION) --db $(DB) $(ARGS)

.PHONY: bench-keep
bench-keep: ## Keep the last report of `make bench` in docs/benchmarks, and make the tables of docs/benchmarks.md from it
	@cargo build --release -p bench
	@$(TARGET)/release/bench keep

.PHONY: check
check: ## Formatting, lints, docs, layering, .sqlx, licences
	@crates/stack/setup check
	@.ci/check

.PHONY: images
images: ## Build the four images with podman; ENGINE=docker, REGISTRY=registry.example.com/web-store/, SOURCE=https://...
	@test -n '$(SOURCE)' || { echo "images: SOURCE=URL of this repository, for the label: git knows no origin" >&2; exit 1; }
	@for service in order-svc outbox-relay notify-svc payment-svc; do \
	    $(ENGINE) build $(ENGINE_ARGS) --target $$service --tag $(REGISTRY)$$service:$(VERSION) \
	        --label org.opencontainers.image.version=$(VERSION) \
	        --label org.opencontainers.image.source='$(SOURCE)' \
	        --label org.opencontainers.image.revision=$$(git rev-parse HEAD)$$(git diff --quiet HEAD || echo -dirty) . || exit; \
	done

.PHONY: sbom
sbom: ## List what is in each of the four programs, as CycloneDX, into target/sbom; seconds, and two minutes the first time
	@crates/stack/setup cyclonedx
	@.ci/sbom

.PHONY: sqlx-prepare
sqlx-prepare: ## Describe the services' SQL again after changing a query or a migration
	@crates/stack/setup mysql
	@cargo run --quiet -p stack -- sqlx-prepare
