# A thin face for meson: what people type. BUILD=directory builds elsewhere; ARGS= goes to meson.
BUILD ?= build
ARGS ?=
SETUP = ./contrib/setup/debian.sh
MESON_SETUP = test -f "$(BUILD)/build.ninja" || meson setup -Db_pch=true $(ARGS) "$(BUILD)" >/dev/null

.PHONY: all demo test install uninstall clean lint fuzz bench help

all:
	@$(SETUP) build
	@$(MESON_SETUP)
	@meson compile -C "$(BUILD)"

# The main job, shown and checked, on the embedded engine. With what is built already; on a fresh
# tree, a build that does not wait for the optimiser.
DEMO = $(if $(wildcard $(BUILD)/src/moat),$(BUILD),build-demo)
demo:
	@$(SETUP) build run demo
	@test -f "$(DEMO)/build.ninja" || meson setup -Db_pch=true -Doptimization=0 $(ARGS) "$(DEMO)" >/dev/null
	@meson compile -C "$(DEMO)" moat moat-init
	@./contrib/demo/demo.sh "$(DEMO)"

# Every test. As root, the Docker tests too, on an engine that is started for them.
test:
	@$(SETUP) build run test $$(test "$$(id -u)" -ne 0 || echo docker)
	@$(MESON_SETUP)
	@meson compile -C "$(BUILD)"
	@./tests/run.sh "$(BUILD)"

install: all
	meson install -C "$(BUILD)" --no-rebuild

uninstall:
	ninja -C "$(BUILD)" uninstall

lint:
	@$(SETUP) build lint
	@./tests/lint.sh

# SECONDS_EACH= how long each target runs.
SECONDS_EACH ?= 60
fuzz:
	@$(SETUP) build lint
	@test -f build-fuzz/build.ninja || CC=clang CXX=clang++ meson setup -Dfuzz=true -Doptimization=1 -Ddebug=true build-fuzz >/dev/null
	@ninja -C build-fuzz fuzz-targets
	@./tests/fuzz/run.sh build-fuzz $(SECONDS_EACH)

bench:
	@$(SETUP) build run test
	@$(MESON_SETUP)
	@ninja -C "$(BUILD)" all bench
	@./tests/bench/run.sh "$(BUILD)"

clean:
	rm -rf build build-*

help:
	@echo "make all | demo | test | install | uninstall | lint | fuzz | bench | clean"
