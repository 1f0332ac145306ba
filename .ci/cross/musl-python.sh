# To be sourced after toolchain.sh, with zig's tools on the path: a CPython for the target's architecture and musl, in $root,
# and $python, which runs it. Alpine's packages are in no registry that this needs otherwise, so it is built, once, by zig
# from Debian's sources; the C library is Debian's musl. It has the zlib that pip needs, but neither sqlite3 nor ssl.
source .ci/cross/unpack.sh

machine_of_python=${target%%-*}
root=$prefix/musl-$debian
unpack "$debian" "$root" musl
# Programs of this machine's architecture look for it where Debian puts it.
[ -n "$qemu" ] || install musl
python_home=$prefix/python-musl-$debian
python=$python_home/bin/python3.11
if [ ! -x "$python" ]; then
    install make python3.11-minimal libpython3.11-stdlib
    sources=$prefix/python-sources
    rm -rf "$sources"
    mkdir -p "$sources"
    apt_for deb-src amd64 "$sources/apt"
    (cd "$sources" && "${apt_there[@]}" source --download-only python3.11 zlib && for archive in *.orig.tar.*z*; do tar -xf "$archive"; done)
    zig() { printf '#!/bin/sh\nexec %s -m ziglang %s "$@"\n' "$tools/bin/python" "$2" >"$sources/$1"; chmod +x "$sources/$1"; }
    case $target in
    armv7-*) zig cc "cc -target arm-linux-musleabihf -mcpu=cortex_a7 -dynamic -Wno-date-time" ;;
    *) zig cc "cc -target $machine_of_python-linux-musl -dynamic -Wno-date-time" ;;
    esac
    zig ar ar
    zig ranlib ranlib
    (cd "$sources"/zlib-*/ && export CC=$sources/cc AR=$sources/ar RANLIB=$sources/ranlib CFLAGS="-O2 -fPIC -w"
        ./configure --static && make --silent libz.a) >"$sources/log" 2>&1 || { tail -n 30 "$sources/log" >&2; exit 1; }
    zlib=$(echo "$sources"/zlib-*/)
    mkdir "$sources/build"
    # What configure cannot find out by running a program of the target: getaddrinfo works, and there are pseudo terminals.
    # And what zig's musl has, but not that of the oldest distributions.
    (cd "$sources/build" && export ac_cv_buggy_getaddrinfo=no ac_cv_func_preadv2=no ac_cv_func_pwritev2=no ac_cv_file__dev_ptmx=yes ac_cv_file__dev_ptc=no \
            PKG_CONFIG=/bin/false ZLIB_CFLAGS=-I$zlib ZLIB_LIBS=${zlib}libz.a
        "$sources"/Python-3.11.*/configure --quiet --build x86_64-pc-linux-gnu --host "$machine_of_python-unknown-linux-musl" \
            --with-build-python=/usr/bin/python3.11 CC="$sources/cc" AR="$sources/ar" RANLIB="$sources/ranlib" \
            READELF=/usr/bin/readelf OPT="-O1 -w" --without-ensurepip --disable-test-modules --prefix="$python_home.part"
        # Built as the Makefile says: setup.py would take this machine's headers.
        cp Modules/Setup.stdlib Modules/Setup.local
        make --silent -j "$(nproc)" && make --silent install) >"$sources/log" 2>&1 || { tail -n 30 "$sources/log" >&2; exit 1; }
    rm -rf "$sources" "$python_home"
    mv "$python_home.part" "$python_home"
fi
