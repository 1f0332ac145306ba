#!/usr/bin/env bash
# Checks the types of the package: mypy, stubtest and pyright, on the package, the stub and the files in tests/typing.
#
# Usage: check_types.sh WHEEL
# PYTHON: a Python of 3.11 or newer. VENV: where the tools and the wheel are installed.
set -euo pipefail
wheel=$(realpath "$1")
cd "$(dirname "$0")"
python=${PYTHON:-python3}
venv=${VENV:-../target/check-types}
step() { printf -- '--- %s\n' "$*"; }

"$python" -m venv "$venv"
venv=$(realpath "$venv")
# Pinned: a newer checker may find more. `nodejs`: pyright's node, from the registry.
"$venv/bin/pip" install --quiet --disable-pip-version-check mypy==2.4.1 'pyright[nodejs]==1.1.414'
"$venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel"

step "stub_docs.py --check"
"$venv/bin/python" stub_docs.py --check

step "mypy --strict"
"$venv/bin/mypy" --python-executable "$venv/bin/python" package stub_docs.py
"$venv/bin/mypy" --python-executable "$venv/bin/python" tests/typing/*.py

step "stubtest"
"$venv/bin/python" -m mypy.stubtest spotflow_device

step "pyright"
"$venv/bin/pyright" --pythonpath "$venv/bin/python"

step "pyright --verifytypes"
cd "$venv" # Away from the sources: what is verified is what is installed.
bin/pyright --pythonpath "$venv/bin/python" --verifytypes spotflow_device
