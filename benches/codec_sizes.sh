#!/usr/bin/env bash
# What the codecs add to a Rust program: examples/minimal with each choice of features, on the profile `wheel`, as the
# rows of a table. Sees to it that each program has the codecs that it was built with, and no other.
set -euo pipefail
cd "$(dirname "$0")/.."

# What each one's encoder has among its symbols.
declare -A encoders=(
    [brotli]=BrotliCreateBackwardReferences
    [gzip]=deflate::core::flush_block
    [zstd]=ZSTD_compressBlock_fast
)

program=${CARGO_TARGET_DIR:-target}/wheel/examples/minimal
for features in "" gzip zstd brotli brotli,gzip,zstd; do
    cargo rustc --quiet --profile wheel --example minimal --no-default-features --features "$features" -- -C strip=none
    symbols=$(nm --demangle "$program")
    for codec in "${!encoders[@]}"; do
        has=$(grep --count --fixed-strings "${encoders[$codec]}" <<<"$symbols" || true)
        wanted=$(grep --count --word-regexp "$codec" <<<"$features" || true)
        if [ $((has > 0)) != "$wanted" ]; then
            echo "features \"$features\": $has symbols ${encoders[$codec]} of $codec" >&2
            exit 1
        fi
    done
    strip --strip-all -o "$program-stripped" "$program"
    echo "| ${features:-none} | $(stat --format %s "$program-stripped") |"
done
