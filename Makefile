# Every target sets up .venv by itself and can be run again.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench torture tdnn clean

demo: .venv/installed  ## make two small corpora, run every stage, write build/demo/report/index.html
	$(BIN)/trimodal demo build/demo

test: .venv/installed  ## the whole test suite
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: .venv/installed  ## formatting, lint, types and shell scripts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/shellcheck kaldi_recipes/*.sh kaldi_recipes/*/*.sh kaldi_recipes/*/local/*.sh

bench: .venv/installed  ## what is measured, see benchmarks/README.md
	$(BIN)/python -m benchmarks

torture: .venv/installed  ## kill, starve and lock out every stage, then 5,000 bad media files; two hours
	$(BIN)/python -m benchmarks.torture
	$(BIN)/python -m benchmarks.bad_media

tdnn: .venv/installed  ## train the demo's acoustic model again
	$(BIN)/python -m kaldi_recipes.demo_tdnn.train pipelines/demo/tdnn

clean:  ## remove what demo and test made, but not .venv
	rm -rf build

.venv/installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 with venv is needed (Debian: apt install python3-venv), or PYTHON=..."; exit 1; }
	@echo "Setting up .venv: about 5 GB of packages, one to three minutes on a fast line"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[demo,test,dev]'
	@touch $@
