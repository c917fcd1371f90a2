# make test   everything, real servers included (installs them when root on Debian)
# make lint   formatting, linters, known vulnerabilities
# make soak   agents that are killed against desks that fail, with the whole load; FIRSTCALL_SEED=N repeats a run's faults
# make e2e-k8s   chart and image on a real Kubernetes, as root on Debian; the first call builds that, in twenty minutes (CONTRIBUTING.md)
# make chaos  500 runs of three agents that are killed, frozen and cut off (6 at a time, 1.5 h); FIRSTCALL_CHAOS=N runs, FIRSTCALL_SEED=N is the first
# make man    man pages and completions, below dist/
# make release-dry   everything of a release below dist/, without a network, unsigned; nothing is published (docs/releases.md)
# make image             the container image of this machine's architecture, with buildah, and what it is made of in dist/*.cdx.json
# make image-multiarch   the same for linux/amd64 and linux/arm64, as one manifest list
# make image-chromium    the image with a browser; IMAGE, VERSION, SOURCE_DATE_EPOCH and bases: .ci/image
# make bench  speed and memory, written up in docs/benchmarks.md
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  = -s -w -X github.com/firstcall-agent/firstcall/agent/cli.Version=$(VERSION)
TOOL     = $(GO) tool -modfile=.ci/tools.mod
IMAGE   ?= localhost/firstcall

RELEASE  = $(GO) tool -modfile=.ci/release.mod
EPOCH    = $${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)}

.PHONY: build test soak chaos e2e-k8s bench lint generate chart tidy cross man package-files release-dry demo image image-multiarch image-chromium

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o firstcall .

test:
	@.ci/servers $(GO)

soak:
	FIRSTCALL_SOAK=1 $(GO) test -tags servers -run TestSoak -count 1 -parallel 8 -timeout 60m -v ./incident/desk

# Whatever becomes of the test, nothing of the cluster is left.
e2e-k8s:
	.ci/k8s packages
	.ci/k8s build
	export DIR=$$(mktemp -d -u /tmp/firstcall-k8s.XXXXXX); trap .ci/k8s\ down EXIT; \
		$(GO) test -tags servers,e2ek8s -run TestCluster -count 1 -timeout 40m -v ./charts

chaos:
	FIRSTCALL_CHAOS=$${FIRSTCALL_CHAOS:-500} $(GO) test -tags servers -run TestThreeAgents -count 1 -parallel 6 -timeout 6h ./agent/chaos -v

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...
	$(GO) run ./agent/bench

lint:
	@out=$$($(TOOL) gofumpt -l $$(git ls-files '*.go')) && test -z "$$out" || { echo "gofumpt would change:" $$out; exit 1; }
	$(TOOL) golangci-lint run
	.ci/vulnerabilities '$(TOOL)'

generate:
	$(GO) generate ./...

# The chart's README, from its values.
chart:
	$(GO) tool -modfile=.ci/chart.mod helm-docs --chart-search-root charts

tidy:
	$(GO) mod tidy -diff

cross:
	for target in linux/amd64 linux/arm64 windows/amd64 darwin/arm64; do \
		echo "build $$target" && \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/$${target%/*}-$${target#*/}/ . || exit 1; \
	done

# Man pages and completions, for packages: dist/man, dist/completions.
man:
	SOURCE_DATE_EPOCH=$(EPOCH) $(GO) run -ldflags '$(LDFLAGS)' ./agent/man dist

# What packages hold beside the binary, as packages want it: below .cache/package.
package-files:
	rm -rf .cache/package
	SOURCE_DATE_EPOCH=$(EPOCH) $(GO) run -ldflags '$(LDFLAGS)' ./agent/man .cache/package
	gzip -9nk .cache/package/man/*.1
	gzip -9nc CHANGELOG.md >.cache/package/changelog.gz

# The first call builds goreleaser, which takes minutes; so do six builds of the agent. goreleaser dates a release by its commit only where
# there is a remote, which it does not call here.
release-dry: export GIT_CONFIG_COUNT = 1
release-dry: export GIT_CONFIG_KEY_0 = remote.origin.url
release-dry: export GIT_CONFIG_VALUE_0 = https://github.com/firstcall-agent/firstcall
release-dry:
	$(RELEASE) goreleaser check
	$(RELEASE) goreleaser release --snapshot --clean --skip=sign --parallelism 2
	@echo "NOT SIGNED: a real release signs dist/checksums.txt by cosign, as its workflow (docs/releases.md)"

# VERSION reaches it only when given: the one above may name changes that no commit has.
image:
	@.ci/image $(IMAGE)

image-multiarch:
	@.ci/image $(IMAGE) linux/amd64 linux/arm64

image-chromium:
	@TARGET=chromium .ci/image $(IMAGE):chromium

demo:
	$(GO) run . demo
