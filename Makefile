# What people do with Godwit's sources. Each target first does what it needs: on a fresh Debian 12, as root, `make demo`
# installs compiler and libraries, builds the node image and the programs, and runs the demo; the second time takes
# seconds. The work itself is in tools/.

.DEFAULT_GOAL := help
.PHONY: help setup image build demo test bench lint ci clean

step := tools/step.sh

help:
	@echo "make demo [ARGS=...]   a busy redis moves between two nodes of this machine (ARGS: see godwit demo --help)"
	@echo "make test              all tests: release build, unit tests also under ASan, UBSan and TSan"
	@echo "make bench             the benchmarks"
	@echo "make lint              formatting, file lengths, shell scripts, clang-tidy"
	@echo "make build             the programs, in build/release/bin"
	@echo "make image             the nodes' root file system, in /var/cache/godwit (GODWIT_CACHE)"
	@echo "make setup             what all of this needs from Debian 12 (as root)"
	@echo "make clean             removes build/; the image stays"

setup:
	@$(step) "packages from Debian" tools/setup.sh

image: setup
	@$(step) "node image" tools/node-image.sh

build: setup
	@$(step) "build: release" tools/build.sh release

demo: image build
	@build/release/bin/godwit demo $(ARGS)

test: image
	@tools/test.sh

bench: image build
	@$(step) "benchmarks" ctest --test-dir build/release --label-regex bench --verbose

lint: setup
	@tools/lint.sh

ci:
	@.ci/run

clean:
	rm -rf build
