#!/bin/sh
# Starts this SDK on database files that the published SDK's wheel has written.
# Needs what tests/published_wheel/run.sh needs, and uses its virtual environment.
# Arguments go to pytest.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
wheel=$root/tests/published_wheel
venv=${PUBLISHED_WHEEL_VENV:-$wheel/.venv}

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wheel/requirements.txt"

target=${CARGO_TARGET_DIR:-$root/target}/debug
if [ -z "${SPOTFLOW_EMULATOR:-}" ]; then
    cargo build --quiet --manifest-path "$root/Cargo.toml" -p spotflow-emulator
    SPOTFLOW_EMULATOR=$target/spotflow-emulator
    export SPOTFLOW_EMULATOR
fi
if [ -z "${SPOTFLOW_UPGRADED:-}" ]; then
    cargo build --quiet --manifest-path "$root/Cargo.toml" -p spotflow-upgraded
    SPOTFLOW_UPGRADED=$target/spotflow-upgraded
    export SPOTFLOW_UPGRADED
fi
exec "$root/.ci/ports" "$venv/bin/python" -m pytest -p no:cacheprovider "$here" "$@"
