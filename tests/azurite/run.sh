#!/bin/sh
# Runs uploads to Azurite, Microsoft's own emulator of Azure Blob Storage, which the embedded Platform hands out in the
# place of its storage.
# Needs python3 with venv, node (10 or newer) with npm, and cargo. Arguments go to pytest.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
venv=${AZURITE_VENV:-$here/.venv}
# The last one that runs on the node of Debian 12.
version=3.35.0

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"

AZURITE=$target/azurite/$version/node_modules/.bin/azurite-blob
export AZURITE
if [ ! -x "$AZURITE" ]; then
    # Complete or not there: an installation that breaks off is begun anew.
    rm -rf "$target/azurite"
    mkdir -p "$target/azurite/new"
    npm install --prefix "$target/azurite/new" --omit=dev --ignore-scripts --no-audit --no-fund --no-package-lock \
        --loglevel=error "azurite@$version" >/dev/null
    mv "$target/azurite/new" "$target/azurite/$version"
fi

cargo build --quiet --manifest-path "$root/Cargo.toml" -p spotflow-emulator -p spotflow-crash
export SPOTFLOW_EMULATOR="${SPOTFLOW_EMULATOR:-$target/debug/spotflow-emulator}"
export SPOTFLOW_CRASH="$target/debug/spotflow-crash"
exec "$venv/bin/python" -m pytest -p no:cacheprovider "$here" "$@"
