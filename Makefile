# Two commands matter: `make demo` and `make test`. Each does all of its own set-up.
.DEFAULT_GOAL := release
.PHONY: setup release asan tsan fuzz test test-long demo bench bench-peers format tidy clean

JOBS ?= $(shell nproc)
BINARY := build/release/leat

setup:
	@tools/setup

release asan tsan fuzz: setup
	@test build/$@/build.ninja -nt CMakePresets.json || cmake --preset $@ >/dev/null
	@cmake --build build/$@ -j $(JOBS) -- --quiet

# Builds and passes every test; DATA=<folder of real data> adds the tests that need it.
test: release asan tsan fuzz
	@tools/test

# The same checks at length.
test-long: release asan tsan fuzz
	@LEAT_TEST_LONG=1 tools/test

# Starts the server on an empty folder, lets an audience use it (or replays DATA), kills it, and
# starts it again.
demo: release
	@tools/demo

bench: release
	@$(BINARY) bench all --json

# The same work by peers, side by side; DATA=<folder of real data> adds what needs it.
bench-peers: release
	@bench/peers/set_up.sh
	@build/peers/venv/bin/python bench/peers/compare_peers.py $(BINARY)
	@test -z "$(DATA)" || build/peers/venv/bin/python bench/peers/parity_ctr.py $(BINARY) $(DATA)

format: setup
	@find src include tests -name '*.[ch]' -o -name '*.cc' | xargs clang-format -i

tidy: release
	@LEAT_BINARY=$(BINARY) tools/tidy

clean:
	rm -rf build
