# To be sourced: the toolchain for x86_64-pc-windows-gnu, and Debian's Wine to run its programs, with a Windows of their own.
source .ci/cross/toolchain.sh x86_64-pc-windows-gnu
install wine wine64
export WINEPREFIX=$prefix/wine WINEDEBUG=-all CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=wine
[ -d "$WINEPREFIX" ] || DISPLAY='' wineboot --init >/dev/null 2>&1
