# Everything is done by short scripts in bin/, each of which can be run by itself.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-nightly check scripts bench lock clean

help:           ## Show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup:          ## Install everything into .venv (a GPU is found by itself)
	@bin/setup

demo: setup     ## From a Fiji menu script to a model that Fiji runs, on a real micrograph
	@.venv/bin/dl4fiji demo --output build/demo

test: setup     ## All tests that an ordinary machine runs
	@bin/test

test-nightly: setup  ## The long rounds as well
	@bin/test --nightly

check: setup    ## ruff, pyright, import-linter, rendered files up to date
	@bin/check

scripts: setup  ## Render menu scripts and reference from the networks' options
	@bin/render

bench: setup    ## Us and the peer library side by side
	@bin/bench

lock: setup     ## Resolve the dependencies anew
	@bin/lock

clean:          ## Remove what builds leave behind
	rm -rf build .venv
