# The image: one static program on nothing. Public CA roots are in the program; names are resolved with the
# /etc/resolv.conf and /etc/hosts that the container runtime mounts.
#
#   docker build -t tidegate .

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
ENV RUSTFLAGS="-C target-feature=+crt-static"
# Naming the target keeps these flags from build scripts and procedural macros, which cannot be static.
RUN target="$(uname -m)-unknown-linux-gnu" \
    && cargo build --locked --release --target "$target" --bin tidegate \
    && strip -o /tidegate "target/$target/release/tidegate"

FROM scratch
COPY --from=build /tidegate /tidegate
USER 65532:65532
ENTRYPOINT ["/tidegate"]
