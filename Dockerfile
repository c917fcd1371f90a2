# syntax=docker/dockerfile:1
# docker build --build-arg VERSION=$(git describe --tags) -t firstcall .
# Several architectures: docker buildx build --platform linux/amd64,linux/arm64 ...
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS=linux
ARG TARGETARCH=amd64
ARG VERSION=devel
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath \
    -ldflags "-s -w -X github.com/firstcall-agent/firstcall/agent/cli.Version=$VERSION" -o /out/firstcall . \
    && mkdir -p /out/state

# With Chromium, for the browser probe: docker build --target chromium -t firstcall:chromium .
FROM debian:12-slim AS chromium
ARG VERSION=devel
LABEL org.opencontainers.image.title="firstcall with Chromium" \
      org.opencontainers.image.description="Synthetic monitoring that opens the case before the customer calls" \
      org.opencontainers.image.source="https://github.com/firstcall-agent/firstcall" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates chromium-headless-shell fonts-dejavu-core libnss3-tools \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/firstcall /usr/bin/firstcall
COPY --from=build --chown=65532:65532 /out/state /var/lib/firstcall
USER 65532:65532
VOLUME /var/lib/firstcall
EXPOSE 9797
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/usr/bin/firstcall", "health"]
ENTRYPOINT ["/usr/bin/firstcall"]
CMD ["run", "--config.file", "/etc/firstcall/firstcall.yaml"]

# No file capabilities: the binary must start where all capabilities are dropped. ICMP uses the unprivileged datagram socket.
FROM gcr.io/distroless/static-debian12:nonroot
ARG VERSION=devel
LABEL org.opencontainers.image.title="firstcall" \
      org.opencontainers.image.description="Synthetic monitoring that opens the case before the customer calls" \
      org.opencontainers.image.source="https://github.com/firstcall-agent/firstcall" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /out/firstcall /usr/bin/firstcall
COPY --from=build --chown=65532:65532 /out/state /var/lib/firstcall
USER 65532:65532
VOLUME /var/lib/firstcall
EXPOSE 9797
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/usr/bin/firstcall", "health"]
ENTRYPOINT ["/usr/bin/firstcall"]
CMD ["run", "--config.file", "/etc/firstcall/firstcall.yaml"]
