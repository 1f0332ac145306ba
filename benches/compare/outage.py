"""One outage, for outages.py, in namespaces of its own: prints the seconds from its end to the next Message.

``outage.py PYTHON KIND SECONDS DIRECTORY``
"""

import os
import subprocess
import sys
import time

from rig import DEVICE_ID, MESSAGE_BYTES, Device, Emulator, Side

FAR = "10.77.0.2"
#: The published SDK waits for minutes.
PATIENCE_SECONDS = 300.0


class Outage:
    """Something that begins and ends. It begins with the end of the connection, unless it is a link's."""

    emulator_options = ()

    def __init__(self):
        _run("ip link set lo up")

    def begin(self, platform):
        platform.close_connections()

    def end(self, platform):
        raise NotImplementedError

    def close(self):
        """Gives back what the outage was made with."""


class Refused(Outage):
    """Nobody listens on the hub's and the API's ports."""

    def begin(self, platform):
        platform.accept_connections(False)
        super().begin(platform)

    def end(self, platform):
        platform.accept_connections(True)


class Dropped(Outage):
    """What is sent to the hub and the API goes nowhere."""

    def begin(self, platform):
        super().begin(platform)
        platform.wait_connected(DEVICE_ID, connected=False)
        _run("nft add table inet out")
        _run("nft add chain inet out in { type filter hook input priority 0 ; }")
        _run("nft add rule inet out in tcp dport { 443, 8883 } drop")

    def end(self, platform):
        _run("nft delete table inet out")


class Silent(Outage):
    """Hub and API take connections, say nothing, and never come back to those."""

    def begin(self, platform):
        # What takes connections instead. They are closed at the end, as by a hub that is started anew.
        platform.accept_connections(False)
        super().begin(platform)
        self._taker = subprocess.Popen([sys.executable, "-c", TAKER], stdout=subprocess.PIPE)
        self._taker.stdout.readline()

    def end(self, platform):
        self._taker.kill()
        self._taker.wait()
        platform.accept_connections(True)


TAKER = """
import socket, time
listeners = [socket.create_server(("127.0.0.1", port), backlog=1000) for port in (443, 8883)]
print(flush=True)
time.sleep(1000)
"""


class NoNames(Outage):
    """Names do not resolve; the connection ends, and the hub is well."""

    def __init__(self):
        super().__init__()
        for file in ("/etc/hosts", "/etc/resolv.conf"):
            own = os.path.join(sys.argv[4], f"{os.path.basename(file)}-{os.getpid()}")
            with open(own, "w"):
                pass
            _run(f"mount --bind {own} {file}")
        self._names("127.0.0.1 localhost\n")

    def _names(self, text):
        with open("/etc/hosts", "w") as file:
            file.write(text)

    def begin(self, platform):
        self._names("")
        super().begin(platform)

    def end(self, platform):
        self._names("127.0.0.1 localhost\n")


class NoNamesRefused(NoNames):
    """Neither names nor the hub."""

    def begin(self, platform):
        platform.accept_connections(False)
        super().begin(platform)

    def end(self, platform):
        platform.accept_connections(True)
        super().end(platform)


class LinkDown(Outage):
    """The device's link is down; the system says so."""

    emulator_options = ("--bind", FAR)

    def __init__(self):
        super().__init__()
        far = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
        _until_in_its_network(far.pid)
        _run(f"ip link add near type veth peer name far netns {far.pid}")
        for command in ("ip link set lo up", f"ip addr add {FAR}/24 dev far", "ip link set far up"):
            _run(f"nsenter --target {far.pid} --net {command}")
        _run("ip addr add 10.77.0.1/24 dev near")
        _run("ip link set near up")
        self._far = far
        program = os.path.join(sys.argv[4], f"far-emulator-{os.getpid()}")
        with open(program, "w") as file:
            emulator = os.environ["SPOTFLOW_EMULATOR"]
            file.write(f'#!/bin/sh\nexec nsenter --target {far.pid} --net "{emulator}" "$@"\n')
        os.chmod(program, 0o755)
        os.environ["SPOTFLOW_EMULATOR"] = program

    def begin(self, platform):
        _run("ip link set near down")

    def end(self, platform):
        _run("ip link set near up")

    def close(self):
        self._far.kill()
        self._far.wait()


KINDS = {
    "refused": Refused,
    "dropped": Dropped,
    "silent": Silent,
    "no names": NoNames,
    "no names, refused": NoNamesRefused,
    "link down": LinkDown,
}


def _until_in_its_network(pid):
    own = os.readlink("/proc/self/ns/net")
    while os.readlink(f"/proc/{pid}/ns/net") == own:
        time.sleep(0.01)


def _run(command):
    subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)


def main():
    python, kind, seconds, directory = sys.argv[1:]
    outage = KINDS[kind]()
    try:
        print(_try(outage, python, float(seconds), directory))
    finally:
        outage.close()


def _try(outage, python, seconds, directory):
    options = ("--approve", "auto", "--standard-ports", *outage.emulator_options)
    with Emulator(*options) as platform, Device(Side("", python, ""), platform, directory, 1.0, {}) as device:
        device.start_and_send()
        outage.begin(platform)
        began = time.monotonic()
        device.order("enqueue", count=1, size=MESSAGE_BYTES)
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        arrived = bool(platform.messages())
        ended = time.monotonic()
        outage.end(platform)
        if not arrived:
            platform.wait_messages(1, timeout=PATIENCE_SECONDS)
        return -1.0 if arrived else time.monotonic() - ended


main()
