# To be sourced: Debian's packages, as root or with sudo.
sudo=$([ "$(id -u)" = 0 ] || echo sudo)

install() { # PACKAGE...
    dpkg -s "$@" >/dev/null 2>&1 && return
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
