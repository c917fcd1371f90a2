# syntax=docker/dockerfile:1
# docker build --build-arg VERSION=$(git describe --tags) -t firstcall .                      without a browser
# docker build --build-arg VERSION=$(git describe --tags) --target chromium -t firstcall .    for the browser probe, and telephone by SIP
# A build whose digest anybody gets again: make image. docs/container.md
# Bases of your own, or by digest, are arguments:
ARG GO_IMAGE=golang:1.26
ARG BASE_IMAGE=gcr.io/distroless/static-debian12:nonroot
ARG DEBIAN_IMAGE=debian:12-slim

# Compiles on the machine's own architecture for the image's. TARGETOS and TARGETARCH must have no default: it would win over --platform.
FROM --platform=$BUILDPLATFORM $GO_IMAGE AS build
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=devel
ARG GOPROXY=https://proxy.golang.org,direct
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X github.com/firstcall-agent/firstcall/agent/cli.Version=$VERSION" -o /out/firstcall . \
    && mkdir /out/state

FROM $DEBIAN_IMAGE AS chromium
ARG VERSION=devel
LABEL org.opencontainers.image.title="firstcall with Chromium" \
      org.opencontainers.image.description="Synthetic monitoring that opens the case before the customer calls" \
      org.opencontainers.image.url="https://github.com/firstcall-agent/firstcall" \
      org.opencontainers.image.source="https://github.com/firstcall-agent/firstcall" \
      org.opencontainers.image.documentation="https://github.com/firstcall-agent/firstcall/blob/main/docs/container.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates chromium-headless-shell espeak-ng fonts-dejavu-core libnss3-tools tzdata \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
COPY --from=build /out/firstcall /usr/bin/firstcall
COPY --from=build --chown=65532:65532 /out/state /var/lib/firstcall
USER 65532:65532
VOLUME /var/lib/firstcall
EXPOSE 9797
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=30s CMD ["/usr/bin/firstcall", "health"]
ENTRYPOINT ["/usr/bin/firstcall"]
CMD ["run", "--config.file", "/etc/firstcall/firstcall.yaml"]

# No file capabilities: the binary must start where all capabilities are dropped. ICMP uses the unprivileged datagram socket.
FROM $BASE_IMAGE
ARG VERSION=devel
LABEL org.opencontainers.image.title="firstcall" \
      org.opencontainers.image.description="Synthetic monitoring that opens the case before the customer calls" \
      org.opencontainers.image.url="https://github.com/firstcall-agent/firstcall" \
      org.opencontainers.image.source="https://github.com/firstcall-agent/firstcall" \
      org.opencontainers.image.documentation="https://github.com/firstcall-agent/firstcall/blob/main/docs/container.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /out/firstcall /usr/bin/firstcall
COPY --from=build --chown=65532:65532 /out/state /var/lib/firstcall
USER 65532:65532
VOLUME /var/lib/firstcall
EXPOSE 9797
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=30s CMD ["/usr/bin/firstcall", "health"]
ENTRYPOINT ["/usr/bin/firstcall"]
CMD ["run", "--config.file", "/etc/firstcall/firstcall.yaml"]
