# To be sourced after windows.sh, with pip in $tools: a CPython for Windows, in $python_home, from packages of PyPI and
# Debian. Its DLL and extension modules are python.org's, which the game engine Panda3D has in its wheel, for programs that are
# built with it; the modules in Python are Debian's, of the same minor version. What is not there, python.exe and
# python3.dll, has no content of its own: the one calls Py_Main, the other forwards the stable ABI.
source .ci/cross/unpack.sh

python_home=$prefix/python-windows
if [ ! -d "$python_home" ]; then
    part=$python_home.part
    rm -rf "$part"
    mkdir -p "$part"/{DLLs,build}
    "$tools/bin/pip" download --quiet --no-deps --only-binary :all: --platform win_amd64 --python-version 3.11 \
        --dest "$part/build" panda3d
    python3 - "$part" <<'END'
import glob, os, sys, zipfile

home = sys.argv[1]
[wheel] = glob.glob(os.path.join(home, "build", "*.whl"))
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        folder, _, file = name.rpartition("/")
        if folder == "deploy_libs" and not file.startswith("python3"):
            target = os.path.join(home, "DLLs", file)
        elif folder == "deploy_libs":
            target = os.path.join(home, file)
        else:
            continue
        with open(target, "wb") as out:
            out.write(archive.read(name))
END
    unpack amd64 "$part/debian" python3.11-minimal libpython3.11-minimal libpython3.11-stdlib
    cp -r "$part/debian/usr/lib/python3.11" "$part/Lib"
    # The stable ABI as the DLL exports it.
    mingw=x86_64-w64-mingw32
    $mingw-objdump --private-headers "$part/python311.dll" |
        sed -n '/Ordinal\/Name Pointer/,$ s/.* \(_\?Py[A-Za-z0-9_]*\)$/\1/p' | sort -u >"$part/build/names"
    (echo "LIBRARY python3.dll" && echo EXPORTS && cat "$part/build/names") >"$part/build/import.def"
    (echo "LIBRARY python3.dll" && echo EXPORTS && sed 's/.*/& = python311.&/' "$part/build/names") >"$part/build/forward.def"
    mkdir "$part/libs"
    $mingw-dlltool --input-def "$part/build/import.def" --output-lib "$part/libs/libpython3.a"
    $mingw-gcc -shared -nostdlib -o "$part/python3.dll" "$part/build/forward.def"
    echo 'int Py_Main(int, wchar_t **); int wmain(int count, wchar_t **arguments) { return Py_Main(count, arguments); }' |
        $mingw-gcc -include wchar.h -municode -x c - -x none "$part/python311.dll" -o "$part/python.exe"
    rm -r "$part"/{build,debian}
    mv "$part" "$python_home"
fi
