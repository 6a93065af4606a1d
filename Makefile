# What people do with Godwit's sources. Each target first does what it needs: on a fresh Debian 12, as root, `make demo`
# installs compiler and libraries, builds the node image and the programs, and runs the demo; the second time takes
# seconds. The work itself is in tools/.

.DEFAULT_GOAL := help
.PHONY: help setup image cluster-image container-images kubernetes helm cluster-up cluster-down build demo test bench lint ci clean

step := tools/step.sh

help:
	@echo "make demo [ARGS=...]   a busy redis moves between two nodes of this machine (ARGS: see godwit demo --help)"
	@echo "make test              all tests: release build, unit tests also under ASan, UBSan and TSan"
	@echo "make bench             the benchmarks"
	@echo "make lint              formatting, file lengths, shell scripts, clang-tidy"
	@echo "make build             the programs, in build/release/bin"
	@echo "make image             the nodes' root file system, in /var/cache/godwit (GODWIT_CACHE)"
	@echo "make kubernetes        for test clusters: Kubernetes' components from source (needs Go, takes ten minutes once)"
	@echo "make helm              for tests of the chart: Helm from source (needs Go)"
	@echo "make cluster-image     for test clusters: the nodes' root file system"
	@echo "make container-images  for test clusters: redis, PostgreSQL, nginx and others"
	@echo "make cluster-up        a real Kubernetes cluster on this machine ([NODES=3] [NETWORK=flat|routed] [ARGS=...])"
	@echo "make cluster-down      ends it"
	@echo "make setup             what all of this needs from Debian 12 (as root)"
	@echo "make clean             removes build/; the image stays"

setup:
	@$(step) "packages from Debian" tools/setup.sh

image: setup
	@$(step) "node image" tools/node-image.sh

cluster-image: setup
	@$(step) "cluster image" tools/node-image.sh --cluster

container-images: setup
	@$(step) "container images" tools/container-images.sh

kubernetes: setup
	@$(step) "Kubernetes" tools/kubernetes.sh

helm: setup
	@$(step) "Helm" tools/helm.sh

cluster-up: cluster-image container-images kubernetes build
	@mkdir -p build/cluster
	@ln -sfn "$$(tools/node-image.sh --cluster --print)/usr/bin/kubectl" build/cluster/kubectl
	@build/release/bin/godwit-cluster up --nodes $(or $(NODES),3) --network $(or $(NETWORK),flat) \
	  --kubeconfig build/cluster/kubeconfig $(ARGS)

cluster-down:
	@build/release/bin/godwit-cluster down

build: setup
	@$(step) "build: programs" tools/build.sh release programs

demo: image build
	@build/release/bin/godwit demo $(ARGS)

# Tests of clusters skip themselves, loudly, where what clusters are made of cannot be built: for want of Go, or of a
# network.
test: image
	@$(MAKE) --no-print-directory cluster-image container-images kubernetes helm || \
	  echo "==> what test clusters are made of could not be built: their tests will be skipped"
	@tools/test.sh

bench: image
	@$(step) "build: release" tools/build.sh release
	@$(step) "benchmarks" ctest --test-dir build/release --label-regex bench --verbose

lint: setup
	@tools/lint.sh

ci:
	@.ci/run

clean:
	rm -rf build
