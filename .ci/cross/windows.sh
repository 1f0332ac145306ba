# To be sourced: the toolchain for x86_64-pc-windows-gnu, and Debian's Wine to run its programs, with a Windows of their own.
source .ci/cross/toolchain.sh x86_64-pc-windows-gnu
install wine wine64
export WINEPREFIX=$prefix/wine WINEDEBUG=-all CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=wine
[ -d "$WINEPREFIX" ] || DISPLAY='' wineboot --init >/dev/null 2>&1
# Windows' own source of random numbers, which the standard library asks, came to Wine after Debian's 8.0; its older one is there.
random=$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll
[ -f "$random" ] || $gnu-gcc -shared -x c -o "$random" - -x none -ladvapi32 <<'END'
#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T count) { return RtlGenRandom(bytes, (ULONG)count); }
END
