# To be sourced: Debian's packages beside this system, by an apt with directories of its own.

# Where this system's own packages come from.
mirror() {
    local found
    # Read to its end, or apt-cache would fail for want of a reader.
    found=$(apt-cache policy | sed -n 's/.* \(https\?:[^ ]*debian\).*/\1/p' | sed -n 1p)
    echo "${found:-http://deb.debian.org/debian}"
}

# For what is given as `deb` or `deb-src`, in DIRECTORY: a function `apt_there`.
apt_for() { # DEB ARCHITECTURE DIRECTORY
    local kind=$1 architecture=$2 apt=$3
    mkdir -p "$apt"/{lists/partial,cache/archives/partial}
    : >"$apt/status"
    echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) bookworm main" >"$apt/sources.list"
    apt_there=(apt-get -qq -o APT::Architecture="$architecture" -o APT::Architectures::="$architecture"
        -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache"
        -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User="")
    "${apt_there[@]}" update
}

# Unpacks packages of an architecture into ROOT, once.
unpack() { # ARCHITECTURE ROOT PACKAGE...
    local architecture=$1 root=$2 package
    shift 2
    [ ! -d "$root" ] || return 0
    rm -rf "$root.part"
    mkdir -p "$root.part/apt/packages"
    apt_for deb "$architecture" "$root.part/apt"
    (cd "$root.part/apt/packages" && "${apt_there[@]}" download "$@")
    for package in "$root.part"/apt/packages/*.deb; do dpkg -x "$package" "$root.part"; done
    rm -r "$root.part/apt"
    mv "$root.part" "$root"
}
