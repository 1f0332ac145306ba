#!/bin/sh
# Runs the same scenarios under the published SDK and under ours, and compares what the Platform received.
# Needs python3 with venv, cargo, and the ports 443 and 8883 of loopback addresses (.ci/ports).
# Ours is the wheel that SPOTFLOW_WHEEL names; else it is built. With SPOTFLOW_PACKAGE, a directory that holds the
# package with its native module in it, nothing is built or installed. Arguments go to compare.py.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
venvs=${DIFFERENTIAL_VENVS:-$here/.venv}

venv() { # NAME REQUIREMENT...
    [ -x "$venvs/$1/bin/python" ] || python3 -m venv "$venvs/$1"
    name=$1
    shift
    "$venvs/$name/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

# The published SDK, unchanged.
venv published --requirement "$here/requirements.txt" spotflow-device==2.1.1
if [ -n "${SPOTFLOW_PACKAGE:-}" ]; then
    venv package --requirement "$here/requirements.txt"
    ours="$venvs/package/bin/python"
else
    venv ours --requirement "$here/requirements.txt"
    venv ours --force-reinstall --no-deps "${SPOTFLOW_WHEEL:-$root/python}"
    ours="$venvs/ours/bin/python"
fi
if [ -z "${SPOTFLOW_EMULATOR:-}" ]; then
    cargo build --quiet --manifest-path "$root/Cargo.toml" -p spotflow-emulator
    SPOTFLOW_EMULATOR=${CARGO_TARGET_DIR:-$root/target}/debug/spotflow-emulator
    export SPOTFLOW_EMULATOR
fi
PYTHONDONTWRITEBYTECODE=1 exec "$root/.ci/ports" python3 "$here/compare.py" "$venvs/published/bin/python" "$ours" "$@"
