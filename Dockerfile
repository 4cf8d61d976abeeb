# The image: one static program on nothing. Public CA roots are in the program; names are resolved with the
# /etc/resolv.conf and /etc/hosts that the container runtime mounts.
#
#   docker build -t tidegate .

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN make binary && cp target/image/tidegate /tidegate

FROM scratch
COPY --from=build /tidegate /tidegate
USER 65532:65532
ENTRYPOINT ["/tidegate"]
