# `make` prints what there is to make.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test check format bench bench-raster bench-head bench-quality bench-fit bench-likeness bench-synth bench-track bench-drive gallery gallery-synth build clean

# the newest Python for which constraints.txt pins a full set comes first
PYTHON ?= $(shell for python in python3.11 python3.10 python3.12 python3; do \
	"$$python" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2> /dev/null \
	&& echo "$$python" && break; done)
BIN := .venv/bin
DEMO := demo
PORTRAITS ?= $(or $(wildcard ../shared/data/portraits),build/portraits)
QUALITY ?= draft
HEAD_DATA ?= ../shared/data/head

help:  ## print this list
	@grep -hE '^[a-z.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z.-]+):.*## (.*)/make \1\t\2/' | expand -t 24

.venv/stamp: pyproject.toml constraints.txt bin/facecraft-quick
	@test -n "$(PYTHON)" || { echo "error: no Python 3.10, 3.11 or 3.12 found; install one, or run make PYTHON=/path/to/python" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[dev]'
	touch $@

$(DEMO)/astronaut.png: | .venv/stamp
	mkdir -p $(DEMO)
	$(BIN)/facecraft sample $@ > /dev/null

demo: .venv/stamp $(DEMO)/astronaut.png  ## turn the sample portrait into an avatar and videos, in demo/
	$(BIN)/facecraft-quick $(DEMO)/astronaut.png $(DEMO)/astronaut.ws --quality draft

test: .venv/stamp  ## run the tests
	$(BIN)/python -m pytest -q --durations=5

check: .venv/stamp  ## check formatting and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: .venv/stamp  ## format the code and mend what lint can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build/portraits: .venv/stamp
	mkdir -p $@
	$(BIN)/facecraft sample --force $@/astronaut.png > /dev/null

bench: .venv/stamp $(PORTRAITS)  ## measure the chain on every portrait in PORTRAITS=FOLDER, and the rasteriser
	rm -rf build/bench
	examples/batch.sh $(PORTRAITS) build/bench 1 --quality $(QUALITY) || true
	$(BIN)/python benchmarks/chain.py build/bench
	$(MAKE) -s bench-raster

bench-raster: .venv/stamp  ## measure the rasteriser against plain torch
	$(BIN)/python benchmarks/raster.py

bench-coin: .venv/stamp  ## measure COIN training against plain training on views that disagree
	rm -rf build/coin
	$(BIN)/python benchmarks/coin.py

bench-iteration: .venv/stamp  ## measure where one iteration of training spends its time
	$(BIN)/python benchmarks/iteration.py

bench-resume: .venv/stamp  ## kill a training ten times and compare its end with an undisturbed one
	rm -rf build/resume
	$(BIN)/python benchmarks/resume.py

bench-quality: .venv/stamp $(PORTRAITS)  ## measure the chain against the truth of 12 synthetic subjects, and on the portraits
	$(BIN)/facecraft synth build/quality --split test --count 12 --size 384 > /dev/null
	for subject in build/quality/test-*.ws; do \
		$(BIN)/facecraft fit-3dmm $$subject --quality $(QUALITY) && $(BIN)/facecraft enhance-views $$subject \
		&& $(BIN)/facecraft coin-fit $$subject --quality $(QUALITY) || true; done > /dev/null
	examples/batch.sh $(PORTRAITS) build/quality 1 --quality $(QUALITY) > /dev/null || true
	$(BIN)/python benchmarks/quality.py build/quality

bench-head: .venv/stamp  ## measure the open head against its sources in HEAD_DATA=FOLDER
	$(BIN)/python benchmarks/head.py --data $(HEAD_DATA)

bench-fit: .venv/stamp  ## measure the fit of the head on photos of synthetic people
	$(BIN)/python benchmarks/fit.py --occlude

bench-likeness: .venv/stamp $(PORTRAITS)  ## measure by dlib how alike fitted heads are, in PORTRAITS=FOLDER
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[eval]'
	$(BIN)/python benchmarks/likeness.py $(PORTRAITS) --sheets build/likeness

bench-track: .venv/stamp  ## measure tracking on videos of synthetic people
	$(BIN)/python benchmarks/track.py

bench-drive: .venv/stamp  ## measure driven pictures against synthetic people who really make the face
	$(BIN)/python benchmarks/drive.py

gallery: .venv/stamp $(PORTRAITS)  ## contact sheets of every portrait in PORTRAITS=FOLDER, in gallery/
	examples/batch.sh $(PORTRAITS) build/bench 2 --quality $(QUALITY) || true
	$(BIN)/python benchmarks/gallery.py build/bench gallery

gallery-synth: .venv/stamp  ## 64 random synthetic heads, from the front and around, in build/
	$(BIN)/python benchmarks/gallery_synth.py build/gallery-synth.png

bench-synth: .venv/stamp  ## measure how fast synthetic pictures are made
	$(BIN)/python benchmarks/synth.py

build: .venv/stamp  ## build the sdist and the wheel, in dist/
	$(BIN)/python -m pip install --disable-pip-version-check --quiet build
	$(BIN)/python -m build

clean:  ## remove what make made, except .venv
	rm -rf build dist demo gallery *.egg-info .pytest_cache .ruff_cache
