# make sweep   set everything up and sweep this machine's own devices
# make test    set everything up, build the wheel, and pass the tests against it
# make lint    ruff and mypy
# make lab     the laboratory (root, Debian or Ubuntu, x86-64): the matrix of what is seen where, every mode, in pairs; 20 minutes
# make lab-checks   its checks of single behaviours; 20 minutes more
# make lab-full   every cell of the matrix, each mode recorded, all checks, those that take long too: hours; writes docs/lab-results.md
# make deb     a .deb in dist/ for the Debian or Ubuntu that this is
# make lab-shell ARGS="--xen"     a machine of the laboratory, for an experiment: docs/lab.md

SOURCES := $(shell find pcifma plugins -name '__pycache__' -prune -o -type f -print 2>/dev/null) pyproject.toml hatch_build.py README.md LICENSE
STAMP := .venv/.installed

.PHONY: sweep test lint lab lab-checks lab-full deb lab-shell clean

# Exit statuses 1 (errors found) and 3 (not everything could be looked at) are results, not failures.
sweep: $(STAMP)
	@.venv/bin/pcifma sweep || { status=$$?; [ $$status -eq 1 ] || [ $$status -eq 3 ]; }

test: .venv-test/.installed
	.venv-test/bin/pytest

lint: .venv-test/.installed
	.venv-test/bin/ruff check .
	.venv-test/bin/mypy

# Two machines at a time: a processor each.
lab: .venv-test/.installed
	@mkdir -p build && rm -rf build/lab
	PYTHONPATH=tests .venv-test/bin/python -m lab.matrix --keep build/lab --write build/lab-results.md $(ARGS)

lab-checks: .venv-test/.installed
	.venv-test/bin/pytest tests/lab tests/share -m "(lab or lab_full) and not lab_long"

lab-full: .venv-test/.installed
	PYTHONPATH=tests .venv-test/bin/python -m lab.matrix --full --write docs/lab-results.md $(ARGS); matrix=$$?; \
	PYTHONPATH=tests .venv-test/bin/python -m lab.matrix --record build/fixtures; recorded=$$?; \
	.venv-test/bin/pytest tests -m "lab or lab_full or lab_long"; tests=$$?; \
	exit $$((matrix | recorded | tests))

deb:
	.ci/deb dist

lab-shell: .venv-test/.installed
	@PYTHONPATH=tests .venv-test/bin/python -m lab $(ARGS)

$(STAMP): $(SOURCES) .ci/setup
	.ci/setup .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps . && .venv/bin/pip install --quiet --disable-pip-version-check .
	@touch $@

# The tests run against the built wheel, never against the checkout.
.venv-test/.installed: $(SOURCES) .ci/setup
	.ci/setup .venv-test
	rm -rf dist && .venv-test/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	wheel=$$(echo dist/*.whl) && .venv-test/bin/pip install --quiet --disable-pip-version-check "$$wheel[test]" && \
		.venv-test/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$$wheel"
	@touch $@

clean:
	rm -rf .venv .venv-test dist build
