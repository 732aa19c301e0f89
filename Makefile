# The front door: `make` lists what there is. The work is Meson's, pip's and scripts/.

PYTHON  ?= python3
VENV    := .venv
BUILD   := build
PREFIX  ?= /usr/local
SECONDS ?= 120

DEBIAN  := build-essential pkg-config meson ninja-build $(PYTHON)-dev $(PYTHON)-venv \
           libssl-dev libuv1-dev libyaml-dev libsqlite3-dev libjansson-dev uthash-dev libcmocka-dev curl openssl
# Servers that ours is compared with, and runs behind.
DEBIAN_NEIGHBOURS := apache2 libapache2-mod-wsgi-py3 nginx-light haproxy caddy uwsgi uwsgi-plugin-python3
DEBIAN_CHECKS := clang clang-format clang-tidy cppcheck faketime man-db strace valgrind python3-cryptography-vectors $(DEBIAN_NEIGHBOURS)

.DEFAULT_GOAL := help
.PHONY: help deps deps-check build demo test unit check fuzz bench docs dist install clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install what a build needs (Debian; as root or by sudo)
	@scripts/deps.sh $(DEBIAN)

deps-check: ## install what `make check` needs besides
	@scripts/deps.sh $(DEBIAN) $(DEBIAN_CHECKS)

# The build folder is kept, so that a second build takes seconds.
build: deps ## build and install into .venv: .venv/bin/handclasp
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -c 'import mesonpy' 2>/dev/null || $(VENV)/bin/pip install -q 'meson-python>=0.15' 'meson>=1.0' ninja
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/pip install -q --no-build-isolation --no-deps --force-reinstall \
	    -Cbuild-dir=$(BUILD)/wheel .
	@$(VENV)/bin/python -c 'import flask' 2>/dev/null || $(VENV)/bin/pip install -q 'flask[async]'
	@$(VENV)/bin/handclasp --version

demo: build ## a CA, a server, good and bad clients; ONESHOT=1 ends instead of serving on
	@scripts/demo.sh

test: build ## every test: unit, then the real program; TESTS=... goes to pytest instead
	@scripts/test.sh $(TESTS)

unit: ## unit tests alone; offline, without privileges
	@scripts/unit.sh

check: deps-check build ## format, tidy, cppcheck, includes, lengths, options, types, sanitizers
	@scripts/check.sh

fuzz: ## fuzz every target for SECONDS (120) each
	@scripts/fuzz.sh $(SECONDS)

bench: build ## ratios that the design promises
	@test -x bench/run || { echo "there is no benchmark yet: bench/run" >&2; exit 1; }
	@bench/run

docs: build ## write docs/reference from the program's own tables
	@scripts/gen_man.py $(VENV)/bin/handclasp

# -P: the package "build", not the folder of that name here.
dist: build ## a source archive and a wheel in dist/
	@$(VENV)/bin/python -P -c 'import build' 2>/dev/null || $(VENV)/bin/pip install -q build
	@$(VENV)/bin/python -P -m build --outdir dist . >/dev/null
	@ls dist

install: ## the program, without Python's environments, below PREFIX (/usr/local); for packagers
	@test -f $(BUILD)/install/build.ninja || meson setup $(BUILD)/install --prefix=$(PREFIX) -Dtests=disabled
	@meson install -C $(BUILD)/install

clean: ## remove what was built
	rm -rf $(BUILD) $(VENV) dist demo-state
