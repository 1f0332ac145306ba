"""Remote access: how much one tunnel carries and what that costs the device, what a tunnel holds in memory, and what a
saturated one does to Messages. Technician, relay and the port's service share the machine with the device."""

import contextlib
import socket
import threading
import time

from rig import DEVICE_ID, MESSAGE_BYTES, median, median_ratio, number

MEGABYTE = 1_000_000
METHODS = "$iothub/methods/POST/#"
HELD_TUNNELS = 8
#: Blocked for so long, a socket is full.
FULL_AFTER_SECONDS = 0.5
DEADLINE = 60.0


def measure(rig):
    with contextlib.ExitStack() as stack:
        lines = {side: stack.enter_context(Line(rig, side)) for side in rig.sides}
        costs = [_one_way(rig, lines, way) for way in ("from the device", "to the device")]
        rig.less("CPU per MB of a tunnel, as much from the device as to it", *map(_mean, zip(*costs)), "ms", 2)
        held = [line.held_bytes() / 1024 for line in lines.values()]
        columns = (f"{kilobytes:,.0f} KB" for kilobytes in held)
        rig.row("memory of a tunnel that is full both ways", *columns, "", "256 KB", held[1] <= 256)
    _saturated(rig)


def _one_way(rig, lines, way):
    """Of each side: milliseconds of CPU for a megabyte."""
    carried = {side: [] for side in rig.sides}
    for _ in range(rig.scale.rounds):
        for side, line in lines.items():
            carried[side].append(line.carry(way, rig.scale.tunnel_megabytes))
    rates = [[rate for rate, _ in carried[side]] for side in rig.sides]
    ratio = median_ratio(rates[1], rates[0])
    columns = (f"{number(median(of_side))} MB/s" for of_side in rates)
    rig.row(f"one tunnel, {way}", *columns, f"{number(ratio)} x", "1 x", ratio >= 1)
    costs = [median(cost for _, cost in carried[side]) for side in rig.sides]
    rig.less(f"- CPU per MB, {way}", *costs, "ms")
    return costs


def _mean(values):
    return sum(values) / len(values)


def _saturated(rig):
    """Keep-alive is as short as can be."""
    alone, beside = [], []
    with Line(rig, rig.ours, keep_alive=5) as line:
        for _ in range(rig.scale.rounds):
            alone.append(line.send_message_ms(rig.scale.sent))
            with line.saturated():
                beside.append(line.send_message_ms(rig.scale.sent))
        with line.saturated():
            # Without Messages there have to be pings.
            time.sleep(rig.scale.saturated_seconds)
        lost = len(line.platform.connections()) - 1
    ratio = median_ratio(beside, alone)
    rig.row(
        "`send_message`, median, beside a tunnel saturated both ways",
        "",
        f"{number(median(beside))} ms",
        f"{number(ratio)} x of {number(median(alone))} ms alone",
        "2 x",
        ratio <= 2,
    )
    rig.row("connections lost meanwhile, keep-alive of 5 s", "", str(lost), "", "0", lost == 0)


class Line(contextlib.ExitStack):
    """A device that allows remote access, a service on one of its ports, and the technician's way to that."""

    def __init__(self, rig, side, **options):
        super().__init__()
        self._service = self.enter_context(socket.socket())
        self._service.bind(("127.0.0.1", 0))
        self._service.listen()
        self._service.settimeout(DEADLINE)
        self.platform = self.enter_context(rig.platform())
        self.device = self.enter_context(rig.device(side, self.platform, allow_remote_access=True, **options))
        self.device.start_and_send()
        while METHODS not in self.platform.subscriptions(DEVICE_ID):
            time.sleep(0.01)
        self._port = self.platform.forward(DEVICE_ID, self._service.getsockname()[1])

    def send_message_ms(self, count):
        """The median."""
        return median(self.device.order("send", count=count, size=MESSAGE_BYTES)) * 1000

    @contextlib.contextmanager
    def tunnel(self):
        """The technician's end and the service's."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=DEADLINE) as technician:
            service, _ = self._service.accept()
            with service:
                service.settimeout(DEADLINE)
                yield technician, service

    def carry(self, way, megabytes):
        """Megabytes a second, and milliseconds of the device's CPU for each."""
        with self.tunnel() as (technician, service):
            source, target = (service, technician) if way == "from the device" else (technician, service)
            _carry(source, target, 1)
            before = self.device.order("cost")["cpu_seconds"]
            began = time.perf_counter()
            _carry(source, target, megabytes)
            seconds = time.perf_counter() - began
            cost = self.device.order("cost")["cpu_seconds"] - before
        return megabytes / seconds, cost * 1000 / megabytes

    def held_bytes(self):
        """Of each of some tunnels whose ends take nothing any more."""
        self.device.order("memory")
        before = self.device.order("memory")["anonymous"]
        with contextlib.ExitStack() as stack:
            for _ in range(HELD_TUNNELS):
                for end in stack.enter_context(self.tunnel()):
                    _fill(end)
            held = self.device.order("memory")["anonymous"] - before
        return held / HELD_TUNNELS

    @contextlib.contextmanager
    def saturated(self):
        """While both ends of a tunnel send and receive all that they can."""
        with self.tunnel() as (technician, service):
            ends = (technician, service)
            threads = [threading.Thread(target=work, args=(end,)) for end in ends for work in (_flood, _drain)]
            for thread in threads:
                thread.start()
            yield
            for end in ends:
                # The end of one may have ended the other.
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def _carry(source, target, megabytes):
    def send():
        content = bytes(MEGABYTE)
        for _ in range(megabytes):
            source.sendall(content)

    sender = threading.Thread(target=send)
    sender.start()
    left, buffer = megabytes * MEGABYTE, bytearray(MEGABYTE)
    while left > 0:
        received = target.recv_into(buffer, min(left, MEGABYTE))
        if not received:
            raise RuntimeError("the tunnel ended")
        left -= received
    sender.join()


def _fill(end):
    end.settimeout(FULL_AFTER_SECONDS)
    with contextlib.suppress(socket.timeout):
        while True:
            end.send(bytes(MEGABYTE))


def _flood(end):
    content = bytes(MEGABYTE)
    with contextlib.suppress(OSError):
        while True:
            end.sendall(content)


def _drain(end):
    buffer = bytearray(MEGABYTE)
    with contextlib.suppress(OSError):
        while end.recv_into(buffer):
            pass
