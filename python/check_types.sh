#!/usr/bin/env bash
# Checks the types of the package: its sources, its stub against the built module, and the files in tests/typing.
#
# Usage: check_types.sh WHEEL
# PYTHON: a Python of 3.11 or newer. VENV: where the tools and the wheel are installed.
set -euo pipefail
wheel=$(realpath "$1")
cd "$(dirname "$0")"
venv=${VENV:-../target/check-types}
step() { printf -- '--- %s\n' "$*"; }

"${PYTHON:-python3}" -m venv "$venv"
PATH=$(realpath "$venv")/bin:$PATH
# Pinned: a newer checker may find more. `nodejs`: pyright's node, from the registry.
pip install --quiet --disable-pip-version-check mypy==2.4.1 'pyright[nodejs]==1.1.414'
pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel"

step "stub_docs.py --check"
python stub_docs.py --check

step "mypy --strict"
mypy package stub_docs.py
mypy tests/typing/*.py

step "stubtest"
python -m mypy.stubtest spotflow_device

step "pyright"
pyright

step "pyright --verifytypes"
pyright --verifytypes spotflow_device
