#!/bin/sh
# Looks at the embedded Platform's page in a browser.
# Needs python3 with venv, cargo, and Chromium with its driver (Debian: chromium, chromium-driver).
# Screenshots go to PAGE_SCREENSHOTS, else to target/page. Arguments go to pytest.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
venv=${PAGE_VENV:-$here/.venv}
export PAGE_SCREENSHOTS=${PAGE_SCREENSHOTS:-${CARGO_TARGET_DIR:-$root/target}/page}

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"

if [ -z "${SPOTFLOW_EMULATOR:-}" ]; then
    cargo build --quiet --manifest-path "$root/Cargo.toml" -p spotflow-emulator
    SPOTFLOW_EMULATOR=${CARGO_TARGET_DIR:-$root/target}/debug/spotflow-emulator
    export SPOTFLOW_EMULATOR
fi
exec "$venv/bin/python" -m pytest -p no:cacheprovider "$here" "$@"
