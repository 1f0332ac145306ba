#!/bin/sh
# The published SDK and this one side by side, in one run, as a Markdown table: run.sh [--quick] [WORK...]
# Needs python3 (3.8 or newer) with venv, cargo, and the ports 443 and 8883 of loopback addresses
# (.ci/ports). Ours is the wheel that SPOTFLOW_WHEEL names, else it is built as pip builds it. Databases are put into
# COMPARE_DIRECTORY, else beside what is built: it has to be on the disk that is to be measured. The Platform is
# SPOTFLOW_EMULATOR, with the examples that cargo built beside it, else it is built. Arguments go to compare.py.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
work=$target/compare
export PIP_DISABLE_PIP_VERSION_CHECK=1
mkdir -p "$work"

venv() { # NAME WHEEL
    [ -x "$work/$1/bin/python" ] || python3 -m venv "$work/$1"
    "$work/$1/bin/python" -m pip install --quiet --force-reinstall --no-deps "$2"
}
pip() { "$work/build/bin/python" -m pip "$@"; }

[ -x "$work/build/bin/python" ] || python3 -m venv "$work/build"
if ! ls "$work"/published-wheel/*.whl >/dev/null 2>&1; then
    pip download --quiet --no-deps --only-binary :all: --dest "$work/published-wheel" spotflow-device==2.1.1
fi
published_wheel=$(echo "$work"/published-wheel/*.whl)
if [ -z "${SPOTFLOW_WHEEL:-}" ]; then
    rm -rf "$work/our-wheel"
    CARGO_TARGET_DIR=$target pip wheel --quiet --no-deps --wheel-dir "$work/our-wheel" "$root/python"
    SPOTFLOW_WHEEL=$(echo "$work"/our-wheel/*.whl)
fi
venv published "$published_wheel"
venv ours "$SPOTFLOW_WHEEL"

if [ -z "${SPOTFLOW_EMULATOR:-}" ]; then
    CARGO_TARGET_DIR=$target cargo build --quiet --release --manifest-path "$root/Cargo.toml" \
        -p spotflow-device -p spotflow-emulator --bin spotflow-emulator --example throughput --example bare_append
    SPOTFLOW_EMULATOR=$target/release/spotflow-emulator
    export SPOTFLOW_EMULATOR
fi
PYTHONDONTWRITEBYTECODE=1 exec "$root/.ci/ports" python3 "$here/compare.py" \
    --published "$work/published/bin/python" "$published_wheel" --ours "$work/ours/bin/python" "$SPOTFLOW_WHEEL" \
    --programs "$(dirname "$SPOTFLOW_EMULATOR")/examples" --directory "${COMPARE_DIRECTORY:-$work}" "$@"
