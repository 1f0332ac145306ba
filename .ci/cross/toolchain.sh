# To be sourced with a target's name: a toolchain for it, from Debian's packages and crates.io alone, where rustup
# has no target to add. Needs Debian 12 on amd64, and root or sudo.
#
# Debian's newest rustc, and the sources of std that belong to it, go into a prefix; std is built once for the
# target. From then on plain `cargo --target` works: it exports what cargo and build scripts look for. The prefix
# is CROSS_PREFIX, or ~/.cache/spotflow-cross.
set -euo pipefail

target=$1
prefix=${CROSS_PREFIX:-$HOME/.cache/spotflow-cross}
source .ci/cross/apt.sh

case $target in
armv7-unknown-linux-gnueabihf) gnu=arm-linux-gnueabihf debian=armhf qemu=qemu-arm-static libc=libc6-dev-armhf-cross ;;
aarch64-unknown-linux-gnu) gnu=aarch64-linux-gnu debian=arm64 qemu=qemu-aarch64-static libc=libc6-dev-arm64-cross ;;
# The compiler, the linker and the C library of these are zig's: see .ci/cross/wheel.
x86_64-unknown-linux-musl) gnu= debian=amd64 qemu= libc= ;;
aarch64-unknown-linux-musl) gnu= debian=arm64 qemu=qemu-aarch64-static libc= ;;
armv7-unknown-linux-musleabihf) gnu= debian=armhf qemu=qemu-arm-static libc= ;;
arm-unknown-linux-gnueabihf) gnu= debian=armhf qemu=qemu-arm-static libc= ;;
x86_64-pc-windows-gnu) gnu=x86_64-w64-mingw32 debian= qemu= libc= ;;
*)
    echo "no toolchain is known for $target" >&2
    return 1
    ;;
esac

# Debian's own rustc of the day, which comes with the sources of its std.
fetch_rust() {
    [ -x "$prefix/bin/rustc" ] && return
    local version oldest minor llvm tool
    $sudo apt-get update -qq
    version=$(apt-cache policy rustc-web | awk '/Candidate:/ { print $2 }')
    oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    dpkg --compare-versions "$version" ge "$oldest" || {
        echo "apt has rustc-web ${version:-not at all}; $oldest is needed: add bookworm-security to its sources" >&2
        exit 1
    }
    minor=$(cut -d . -f 1,2 <<<"$version")
    llvm=$(apt-cache show "libstd-rust-web-$minor=$version" | sed -n 's/^Depends:.*\(libllvm[0-9]*\).*/\1/p')
    mkdir -p "$prefix"/{packages,rust,bin}
    (cd "$prefix/packages" && apt-get download -qq -o APT::Sandbox::User=root "rustc-web:amd64=$version" "libstd-rust-web-$minor:amd64=$version" \
        "libstd-rust-web-dev:amd64=$version" "rust-web-src=$version")
    # As a package like any other, for what it needs in turn.
    install "$llvm"
    for package in "$prefix"/packages/*.deb; do dpkg -x "$package" "$prefix/rust"; done
    rm -r "$prefix/packages"
    for tool in rustdoc rustc; do
        # Not sh: Debian's drops variables such as CARGO_BIN_EXE_some-program.
        cat >"$prefix/bin/$tool" <<EOF
#!/bin/bash
rust=$prefix/rust/usr
LD_LIBRARY_PATH=\$rust/lib/x86_64-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH} exec "\$rust/bin/$tool" "\$@"
EOF
        chmod +x "$prefix/bin/$tool"
    done
}

# Once for each target.
build_std() {
    local library=$prefix/rust/usr/lib/rustlib/$target/lib
    [ -d "$library" ] && return
    mkdir -p "$prefix/std/src"
    printf '[package]\nname = "std-for-target"\nedition = "2024"\n\n[workspace]\n' >"$prefix/std/Cargo.toml"
    : >"$prefix/std/src/lib.rs"
    (cd "$prefix/std" && RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_TARGET_DIR=$prefix/std/target \
        cargo build --quiet --release --target "$target" -Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test)
    mkdir -p "$library.part"
    find "$prefix/std/target/$target/release/deps" -name '*.rlib' ! -name 'libstd_for_target-*' \
        -exec cp {} "$library.part/" \;
    case $target in
    *windows-gnu) # What stands at both ends of a program there.
        for object in rsbegin rsend; do
            RUSTC_BOOTSTRAP=1 "$RUSTC" --target "$target" --edition 2024 --cap-lints allow --emit obj -o "$library.part/$object.o" \
                "$prefix/rust/usr/lib/rustlib/src/rust/library/rtstartup/$object.rs"
        done
        ;;
    esac
    mv "$library.part" "$library"
}

case $target in
*windows*) install gcc-mingw-w64-x86-64 ;;
*) install qemu-user-static ${gnu:+"gcc-$gnu" "$libc"} ;;
esac
fetch_rust
export RUSTC=$prefix/bin/rustc RUSTDOC=$prefix/bin/rustdoc
variable=${target//-/_}
if [ -n "$gnu" ]; then
    export "CARGO_TARGET_${variable^^}_LINKER=$gnu-gcc"
    export "CC_$variable=$gnu-gcc" "AR_$variable=$gnu-ar"
fi
if [ -n "$gnu" ] && [ -n "$qemu" ]; then
    export "CARGO_TARGET_${variable^^}_RUNNER=$qemu -L /usr/$gnu"
fi
build_std
