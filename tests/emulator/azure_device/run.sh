#!/bin/sh
# Runs devices on Microsoft's SDK for IoT Hub against the embedded Platform.
# Needs python3 with venv, cargo, and the ports 443 and 8883 of a loopback address (.ci/ports).
# Arguments go to pytest.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
venv=${AZURE_DEVICE_VENV:-$here/.venv}

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"

if [ -z "${SPOTFLOW_EMULATOR:-}" ]; then
    cargo build --quiet --manifest-path "$root/Cargo.toml" -p spotflow-emulator
    SPOTFLOW_EMULATOR=${CARGO_TARGET_DIR:-$root/target}/debug/spotflow-emulator
    export SPOTFLOW_EMULATOR
fi
exec "$root/.ci/ports" "$venv/bin/python" -m pytest -p no:cacheprovider "$here" "$@"
