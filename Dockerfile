# The services, one image each: `make images`, or
#
#   podman build --format docker --target order-svc -t order-svc .
#
# Each holds its program, the licences of what it is made of (/usr/share/doc), the C library, CA certificates and nothing else: no
# shell, no package manager. It runs as
# user 65532 and writes nothing, so the root file system can be read-only; notify-svc with EMAIL_TRANSPORT=file
# needs a volume. Settings and verbs: `podman run order-svc --help`.
#
# The bases are named by digest, which k8s/README.md says how to renew, and are arguments, for whoever mirrors them;
# k8s/prove-images proves this file on two that it makes from Debian packages.

ARG BUILD_IMAGE=docker.io/library/rust:1.95-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
ENV SQLX_OFFLINE=true CARGO_INCREMENTAL=0
# The dependencies, in a layer that lasts until Cargo.lock or a Cargo.toml changes: our own crates are stubs in it.
COPY Cargo.toml Cargo.lock ./
COPY schema/Cargo.toml schema/
COPY crates/runtime/Cargo.toml crates/runtime/
COPY crates/effect/Cargo.toml crates/effect/
COPY crates/outbox/Cargo.toml crates/outbox/
COPY crates/inbox/Cargo.toml crates/inbox/
COPY order-svc/Cargo.toml order-svc/
COPY outbox-relay/Cargo.toml outbox-relay/
COPY notify-svc/Cargo.toml notify-svc/
COPY payment-svc/Cargo.toml payment-svc/
COPY crates/stack/Cargo.toml crates/stack/
COPY crates/bench/Cargo.toml crates/bench/
RUN for crate in schema crates/runtime crates/effect crates/inbox crates/outbox order-svc outbox-relay notify-svc payment-svc crates/stack crates/bench; do \
        mkdir -p "$crate/src" && touch "$crate/src/lib.rs" && echo 'fn main() {}' >"$crate/src/main.rs" || exit; \
    done && \
    cargo build --release --locked --package order-svc --package outbox-relay --package notify-svc --package payment-svc && \
    rm -rf -- */src crates/*/src
COPY .sqlx .sqlx
COPY schema schema
COPY crates/runtime crates/runtime
COPY crates/effect crates/effect
COPY crates/inbox crates/inbox
COPY crates/outbox crates/outbox
COPY order-svc order-svc
COPY outbox-relay outbox-relay
COPY notify-svc notify-svc
COPY payment-svc payment-svc
# A copied file keeps its time, which is before the stubs': cargo would take the stubs for newer.
RUN find schema crates order-svc outbox-relay notify-svc payment-svc -name '*.rs' -exec touch {} + && \
    mkdir -p crates/stack/src crates/bench/src && touch crates/stack/src/lib.rs crates/bench/src/lib.rs && \
    cargo build --release --locked --package order-svc --package outbox-relay --package notify-svc --package payment-svc
COPY LICENSE-MIT LICENSE-APACHE ./
COPY .ci/licences .ci/swagger-ui.licences .ci/
RUN for program in order-svc outbox-relay notify-svc payment-svc; do \
        .ci/licences "$program" >"target/release/$program.licences" || exit; \
    done

FROM ${RUNTIME_IMAGE} AS service
LABEL org.opencontainers.image.licenses="MIT OR Apache-2.0"
USER 65532:65532
ENV LOG_FORMAT=json

FROM service AS order-svc
LABEL org.opencontainers.image.title="order-svc" \
      org.opencontainers.image.description="Takes orders and appends their events to the outbox"
COPY --from=build /build/target/release/order-svc /usr/local/bin/order-svc
COPY --from=build /build/target/release/order-svc.licences /usr/share/doc/order-svc/licences
ENV HTTP_ADDR=0.0.0.0:8081 ADMIN_ADDR=0.0.0.0:9081
EXPOSE 8081 9081
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/local/bin/order-svc", "health"]
ENTRYPOINT ["/usr/local/bin/order-svc"]
CMD ["run"]

FROM service AS outbox-relay
LABEL org.opencontainers.image.title="outbox-relay" \
      org.opencontainers.image.description="Publishes the events of an outbox table to NATS JetStream"
COPY --from=build /build/target/release/outbox-relay /usr/local/bin/outbox-relay
COPY --from=build /build/target/release/outbox-relay.licences /usr/share/doc/outbox-relay/licences
ENV ADMIN_ADDR=0.0.0.0:9083
EXPOSE 9083
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/local/bin/outbox-relay", "health"]
ENTRYPOINT ["/usr/local/bin/outbox-relay"]
CMD ["run"]

FROM service AS notify-svc
LABEL org.opencontainers.image.title="notify-svc" \
      org.opencontainers.image.description="Turns order events into notifications and emails"
COPY --from=build /build/target/release/notify-svc /usr/local/bin/notify-svc
COPY --from=build /build/target/release/notify-svc.licences /usr/share/doc/notify-svc/licences
ENV HTTP_ADDR=0.0.0.0:8082 ADMIN_ADDR=0.0.0.0:9082
EXPOSE 8082 9082
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/local/bin/notify-svc", "health"]
ENTRYPOINT ["/usr/local/bin/notify-svc"]
CMD ["run"]

FROM service AS payment-svc
LABEL org.opencontainers.image.title="payment-svc" \
      org.opencontainers.image.description="Charges customers for their orders, and refunds them"
COPY --from=build /build/target/release/payment-svc /usr/local/bin/payment-svc
COPY --from=build /build/target/release/payment-svc.licences /usr/share/doc/payment-svc/licences
ENV HTTP_ADDR=0.0.0.0:8084 ADMIN_ADDR=0.0.0.0:9084
EXPOSE 8084 9084
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/local/bin/payment-svc", "health"]
ENTRYPOINT ["/usr/local/bin/payment-svc"]
CMD ["run"]
