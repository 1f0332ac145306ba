# To be sourced after toolchain.sh, with the directory where the other architecture's libraries are: programs of it
# then run like any other, also those that tests start. The kernel has to be told, once, as root.
if [ "$(head -n 1 "/proc/sys/fs/binfmt_misc/${qemu%-static}" 2>/dev/null)" != enabled ]; then
    install binfmt-support
    mountpoint -q /proc/sys/fs/binfmt_misc || $sudo mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
    $sudo update-binfmts --enable "${qemu%-static}"
fi
export QEMU_LD_PREFIX=$1
unset "CARGO_TARGET_${variable^^}_RUNNER"
