# make without a target prints what there is. A target's help is its ## line.

GO      ?= go
BUILD   := .build
BUF_VERSION := 1.75.0
BUF     := $(BUILD)/node_modules/.bin/buf
SPECTRAL_VERSION := 6.16.3
SPECTRAL := $(BUILD)/spectral/node_modules/.bin/spectral
STATICCHECK := $(BUILD)/staticcheck
FUZZTIME ?= 10s
RACES ?= 10
# Packages whose every statement a test must reach.
COVERED := ./policy ./dataplane/record

.DEFAULT_GOAL := help
.PHONY: help
help: ## print this
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## compile the programs into bin/
	$(GO) build -o bin/ ./cmd/...

.PHONY: demo
demo: ## tell the whole story once and end
	$(GO) run ./cmd/domicile dev --demo --exit

.PHONY: test
test: ## run every test (units, architecture, system, residency scan), then cover
	$(GO) test -timeout 30m ./...
	@$(MAKE) --no-print-directory cover

.PHONY: hsm
hsm: ## test the custodian that is a hardware module, on SoftHSM (needs softhsm2 and a C compiler)
	$(GO) vet -tags pkcs11 ./dataplane/... ./cmd/domicile-dataplane
	CGO_ENABLED=1 $(GO) test -count=1 -tags pkcs11 ./dataplane/hsm
	CGO_ENABLED=1 $(GO) test -count=1 -tags pkcs11 -run Keys ./dataplane ./cmd/domicile-dataplane

# A foreign program is built beside ours, pinned; its modules are none of ours.
VERSITYGW = v1.8.0

.PHONY: versitygw
versitygw: $(BUILD)/peers/versitygw-$(VERSITYGW) ## build the S3 server that tests of the bucket speak to (3 minutes)

$(BUILD)/peers/versitygw-$(VERSITYGW):
	@mkdir -p $(BUILD)/peers
	GOBIN=$(abspath $(BUILD)/peers) $(GO) install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW)
	@touch $@

# What makes packages is a module of its own; helm and cyclonedx-gomod are none of ours.
HELM      = v4.3.1
CYCLONEDX = v1.10.0
RELEASE  ?= $(BUILD)/release

.PHONY: packaging
packaging: ## compile the program that makes packages, images and charts
	cd packaging && $(GO) vet . && $(GO) build -o ../$(BUILD)/packaging .

.PHONY: helm
helm: $(BUILD)/peers/helm-$(HELM) ## build the Helm that tests render the chart with (4 minutes)

$(BUILD)/peers/helm-$(HELM):
	@mkdir -p $(BUILD)/peers
	GOBIN=$(abspath $(BUILD)/peers) $(GO) install helm.sh/helm/v4/cmd/helm@$(HELM)
	@touch $@

.PHONY: cyclonedx
cyclonedx: $(BUILD)/peers/cyclonedx-gomod-$(CYCLONEDX) ## build the program that writes bills of materials

$(BUILD)/peers/cyclonedx-gomod-$(CYCLONEDX):
	@mkdir -p $(BUILD)/peers
	GOBIN=$(abspath $(BUILD)/peers) $(GO) install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX)
	@touch $@

.PHONY: packaging-test
packaging-test: helm ## render the chart with the real Helm and look at what it says
	cd packaging && DOMICILE_NEED_HELM=1 $(GO) test .

.PHONY: release
release: packaging cyclonedx ## build a release into .build/release: programs, packages, images, chart, bills of materials, checksums (RELEASE=folder)
	rm -rf $(RELEASE)
	$(BUILD)/packaging --source . --out $(RELEASE) --cyclonedx $(abspath $(BUILD)/peers/cyclonedx-gomod)
	cd $(RELEASE) && sha256sum --check --quiet SHA256SUMS

.PHONY: release-sign
release-sign: ## sign the checksums of what make release built with a key of yours (KEY=~/.ssh/release_ed25519)
	packaging/sign.sh $(RELEASE) "$(KEY)"

.PHONY: release-check
release-check: ## build a release twice, in different folders, and compare every byte
	packaging/check.sh $(BUILD)/release-check $(if $(ARCH),$(ARCH),amd64,arm64)

.PHONY: packages-short
packages-short: packaging ## build packages, images and chart for this machine alone, without bills of materials
	rm -rf $(BUILD)/packages
	$(BUILD)/packaging --source . --out $(BUILD)/packages --short --arch $$($(GO) env GOARCH)

.PHONY: packages-test
packages-test: packages-short helm ## install and run them in scratch roots (needs root, systemd, dpkg, rpm)
	DOMICILE_PACKAGES=$(abspath $(BUILD)/packages) DOMICILE_HELM=$(abspath $(BUILD)/peers/helm) $(GO) test -count=1 -v ./test/packages

.PHONY: issuer
issuer: $(BUILD)/issuer/node_modules ## install the OpenID provider that tests log in with (needs node and npm)

$(BUILD)/issuer/node_modules: internal/issuer/package.json internal/issuer/package-lock.json
	@mkdir -p $(BUILD)/issuer
	cp internal/issuer/package.json internal/issuer/package-lock.json $(BUILD)/issuer/
	cd $(BUILD)/issuer && npm ci --no-audit --no-fund
	@touch $@

# Twilio's libraries, pinned by lock files; the Go one in a module of its own.
.PHONY: twilio
twilio: $(BUILD)/twilio/node_modules ## install Twilio's client libraries that tests read a region with (needs node and npm)
	cd test/twilio/client && $(GO) vet . && $(GO) build -o ../../../$(BUILD)/twilio/client .

$(BUILD)/twilio/node_modules: test/twilio/package.json test/twilio/package-lock.json
	@mkdir -p $(BUILD)/twilio
	cp test/twilio/package.json test/twilio/package-lock.json $(BUILD)/twilio/
	cd $(BUILD)/twilio && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: mermaid
mermaid: $(BUILD)/mermaid/node_modules ## install the parser that tests hold the diagrams of docs against (needs node and npm)

$(BUILD)/mermaid/node_modules: test/docs/mermaid/package.json test/docs/mermaid/package-lock.json test/docs/mermaid/parse.mjs
	@mkdir -p $(BUILD)/mermaid
	cp test/docs/mermaid/package.json test/docs/mermaid/package-lock.json test/docs/mermaid/parse.mjs $(BUILD)/mermaid/
	cd $(BUILD)/mermaid && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: diagrams
diagrams: mermaid ## let a browser draw the diagrams of docs, into .build/diagrams.png (needs chromium)
	DOMICILE_NEED_MERMAID=1 DOMICILE_NEED_CHROMIUM=1 $(GO) test -count=1 ./test/docs -run DiagramsAreDrawn -args -drawings=$(abspath $(BUILD)/diagrams.png)

.PHONY: docs
docs: ## write docs/reference and docs/picture.svg from the code and a run of the demo
	$(GO) test -count=1 ./test/docs -run 'Reference|ReadMe' -rewrite

# The schema of Terraform's AWS provider, read out of bindings that a lock file pins.
.PHONY: aws-schema
aws-schema: $(BUILD)/aws-schema/schema.json ## make the AWS provider's schema that tests of the Terraform modules use (needs node and npm)

$(BUILD)/aws-schema/schema.json: internal/awsschema/package.json internal/awsschema/package-lock.json internal/awsschema/schema.mjs
	@mkdir -p $(BUILD)/aws-schema
	cp internal/awsschema/package.json internal/awsschema/package-lock.json $(BUILD)/aws-schema/
	cd $(BUILD)/aws-schema && npm ci --no-audit --no-fund --ignore-scripts --legacy-peer-deps
	node internal/awsschema/schema.mjs $(BUILD)/aws-schema/node_modules/@cdktn/provider-aws/lib $@
	rm -rf $(BUILD)/aws-schema/node_modules

# Packages in which most happens at once; their tests are short.
RACED := ./internal/lobby ./internal/testcluster ./internal/watchdog ./policy/... ./audit/... ./controlplane/journal ./controlplane/members ./controlplane/login ./controlplane/store ./controlplane/server \
  ./dataplane/egress ./dataplane/feed ./dataplane/gate ./dataplane/server ./dataplane/store/local ./dataplane/store/sql

.PHONY: race
race: ## run the tests, and the processes that they start, under the race detector, one package at a time (over an hour)
	@set -e; for p in $$($(GO) list ./...); do nice -n 10 $(GO) test -race -timeout 30m $$p; done

.PHONY: race-short
race-short: ## the same for the packages in which most happens at once (six minutes)
	$(GO) test -race $(RACED)

.PHONY: races
races: ## erasures beside everything else, under the race detector, with RACES (10) seeds (some minutes for each)
	$(GO) test -race -count=1 -v -timeout 60m -run TestINV21_ErasuresRaceWithEverything ./dataplane/subject -races $(RACES) -races.seed $$(date +%s)

.PHONY: cover
cover: ## demand that tests reach every statement of the pure packages
	@mkdir -p $(BUILD)
	$(GO) test -coverprofile=$(BUILD)/cover.out $(COVERED)
	@if $(GO) tool cover -func=$(BUILD)/cover.out | grep -v '100.0%$$'; then \
	  echo "cover: a test must reach every statement of the functions above; see $(GO) tool cover -html=$(BUILD)/cover.out" >&2; exit 1; fi

.PHONY: residency-scan
residency-scan: ## search every sink outside the home region for planted canaries
	$(GO) test -count=1 -v -run TestINV01 ./test/system

.PHONY: accept
accept: build ## run the system tests on real processes, without cached results
	$(GO) test -count=1 ./test/...

.PHONY: chaos
chaos: ## break the control plane 200 times by a seed (SEED=n repeats one), and check what it promised
	$(GO) test -count=1 -v -timeout 90m -run TestINV30_Chaos ./test/chaos -chaos.faults=200 -chaos.seed=$(or $(SEED),0)

.PHONY: watchers
watchers: ## let WATCHERS (1000) nodes follow one voter, and then the next leader when it hands over, is gone, or is killed (some minutes; tests have a hundred follow)
	$(GO) test -count=1 -v -timeout 30m -run TestINV30_AThousandWatchers ./controlplane -watchers $(or $(WATCHERS),1000) -followers $(or $(WATCHERS),1000)
	$(GO) test -count=1 -v -timeout 30m -run TestINV30_FollowersGoOnWhenTheLeaderIsKilled ./test/system -followers $(or $(WATCHERS),1000)

.PHONY: simulations
simulations: ## simulate SIMULATIONS (300) random policies, then put each in force and compare (SEED=n begins there)
	$(GO) test -count=1 -v -timeout 30m -run TestASimulationIsWhatHappensWhenItIsApplied ./dataplane/export -simulations $(or $(SIMULATIONS),300) -simulations.seed $(or $(SEED),100)

.PHONY: hostile
hostile: ## send every hostile body to every route of a region's node, 48 at once, beside who drips a byte a second (ten minutes)
	$(GO) test -count=1 -v -timeout 30m -run HostileBodies ./test/attacks -attacks.bodies

.PHONY: outages
outages: ## write docs/operations/outages.md from a run of the chaos suite (FAULTS=200 for the long form)
	$(GO) test -count=1 -timeout 90m -run TestINV30_Chaos ./test/chaos -chaos.faults=$(or $(FAULTS),0) -chaos.seed=$(or $(SEED),0) -chaos.result=$(CURDIR)/docs/operations/outages.json
	$(GO) test -count=1 -run TestOutages ./test/chaos -rewrite

.PHONY: chaos-short
chaos-short: ## the same for half a minute, as in go test ./...
	$(GO) test -count=1 -v -run TestINV30_Chaos ./test/chaos -chaos.seed=$(or $(SEED),0)

.PHONY: upgrade-from
upgrade-from: ## roll three voters under load from the revision FROM (a commit or tag of this repository) to this source, back, and for good
	$(GO) test -count=1 -v -timeout 30m -run RollingUpgrade ./test/system -upgrade.from=$(or $(FROM),$(error FROM=revision is missing))

.PHONY: migrate-kills
migrate-kills: ## kill a node and its database in each phase of a move to that database, under load (some minutes)
	DOMICILE_MIGRATE_KILLS=1 $(GO) test -count=1 -v -timeout 20m -run INV33_KillsInEachPhaseOfAMove ./test/system

.PHONY: erasure-regions
erasure-regions: ## erase persons of whom rows are in another region while both regions' nodes are killed, on both stores (some minutes; needs root)
	DOMICILE_ERASURE_STORES=1 $(GO) test -count=1 -v -timeout 30m -run TestINV21_ErasureIsFinal ./test/system

.PHONY: powercut
powercut: ## cut the power 1000 times under the Raft log, 1100 times under a record store, 120 times under a whole node, at every named moment (needs root and loop devices; an hour)
	$(GO) test -count=1 -v -timeout 30m -run PowerCuts ./controlplane/journal -journal.cuts=1000
	$(GO) test -tags failpoints -count=1 -v -timeout 90m -run INV33_PowerCutsOfTheStore ./test/power -power.seed=$(or $(SEED),0) -power.storecuts=1100 -power.storerecords=1500
	$(GO) test -tags failpoints -count=1 -v -timeout 90m -run INV33_PowerCutsOfARegion ./test/power -power.seed=$(or $(SEED),0) -power.cuts=120

.PHONY: powercut-short
powercut-short: ## the same for half a minute, with every failpoint compiled in
	$(GO) test -tags failpoints -count=1 -v -run INV33_PowerCuts ./test/power -power.seed=$(or $(SEED),0)

.PHONY: overload
overload: ## ask a node for 10 times what it can do, and write docs/operations/overload.md (two minutes, nothing else running)
	$(GO) test -count=1 -v -timeout 20m -run TestINV41_Overload ./test/overload -overload.measure -overload.result=$(CURDIR)/docs/operations/overload.md

.PHONY: fail-closed
fail-closed: ## bring every condition of docs/operations/fail-closed.md about on a real node (five minutes; needs root, strace and chattr)
	$(GO) test -count=1 -v -run FailClosedInProcesses ./test/power -power.all

.PHONY: planted-bugs
planted-bugs: ## plant known bugs into copies of the source; a test must catch each
	$(GO) test -count=1 -v -timeout 60m -run TestPlantedBugs ./test/chaos -chaos.planted

.PHONY: fuzz-short
fuzz-short: ## fuzz every target for FUZZTIME (10s) each
	@set -e; grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do \
	  for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' $$file); do \
	    echo "fuzz $$(dirname $$file) $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$(dirname $$file); \
	  done; done

.PHONY: bench-short
bench-short: $(BUILD)/bench ## measure the policy store beside etcd, decisions, bundles and ingest, in one run (two minutes)
	$(BUILD)/bench -short

.PHONY: bench
bench: $(BUILD)/bench ## the same, longer and more rounds
	$(BUILD)/bench

# The benchmark is a module of its own, so that the peers' dependencies stay out of the product.
.PHONY: $(BUILD)/bench
$(BUILD)/bench:
	cd bench && $(GO) build -o ../$(BUILD)/bench .

.PHONY: lint
lint: $(STATICCHECK) ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l .); \
	 if [ -n "$$unformatted" ]; then echo "gofmt -w these:" >&2; echo "$$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	$(STATICCHECK) ./...

.PHONY: lint-proto
lint-proto: $(BUF) protodeps ## lint the protobuf sources
	$(BUF) lint

.PHONY: lint-openapi
lint-openapi: $(SPECTRAL) ## lint the OpenAPI document by the rules of .spectral.yaml
	$(SPECTRAL) lint --fail-severity=warn --ruleset .spectral.yaml api/control/v1/control.swagger.json

.PHONY: generate
generate: $(BUF) protodeps ## generate the wire code and OpenAPI from api/**/*.proto
	$(BUF) generate
	$(GO) run ./internal/openapi api/control/v1/control.swagger.json

.PHONY: drift
drift: generate ## fail when committed generated code differs from its sources
	@git diff --exit-code --stat -- api || { echo "drift: run make generate and commit the result" >&2; exit 1; }

.PHONY: protodeps
protodeps:
	$(GO) run ./internal/protodeps $(BUILD)/proto

.PHONY: ci
ci: ## what .ci/run does
	.ci/run

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BUILD) bin

$(STATICCHECK): tools/go.mod tools/go.sum
	cd tools && $(GO) build -o ../$(STATICCHECK) honnef.co/go/tools/cmd/staticcheck

$(BUF):
	npm install --prefix $(BUILD) --no-save --no-audit --no-fund @bufbuild/buf@$(BUF_VERSION)

$(SPECTRAL):
	npm install --prefix $(BUILD)/spectral --no-save --no-audit --no-fund --ignore-scripts @stoplight/spectral-cli@$(SPECTRAL_VERSION)
