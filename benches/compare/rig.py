"""What the works share: the two sides, a Platform, a device on it, and a table."""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "emulator", "python"))

from spotflow_emulator import AckMode, Emulator  # noqa: E402

DEVICE_ID = "compared"
MESSAGE_BYTES = 200
#: Ends an order that hangs.
ORDER_SECONDS_MAX = 300.0


@dataclass(frozen=True)
class Side:
    """One of the two packages."""

    name: str
    python: str
    wheel: str


@dataclass(frozen=True)
class Scale:
    """How long the run is."""

    rounds: int
    sent: int
    sent_by_published: int
    stored: int
    backlog: int
    #: It takes minutes for as many as ours.
    backlog_of_published: int
    backlog_rounds: int
    round_trips: int
    idle_seconds: int
    cuts: int
    cuts_of_published: int
    old_backlog: int
    settle_seconds: float
    bare_messages: int
    tunnel_megabytes: int
    saturated_seconds: float
    outage_tries: int
    outage_seconds: "tuple[int, ...]"
    outages: "tuple[str, ...]" = ("refused", "dropped", "silent", "no names", "no names, refused", "link down")


FULL = Scale(
    rounds=5,
    sent=200,
    sent_by_published=8,
    stored=2000,
    backlog=20_000,
    backlog_of_published=5000,
    backlog_rounds=2,
    round_trips=60,
    idle_seconds=30,
    cuts=9,
    cuts_of_published=3,
    old_backlog=20,
    settle_seconds=1.0,
    bare_messages=20_000,
    tunnel_megabytes=100,
    saturated_seconds=15.0,
    outage_tries=10,
    outage_seconds=(2, 8, 30, 120),
)
QUICK = Scale(
    rounds=1,
    sent=20,
    sent_by_published=2,
    stored=80,
    backlog=100,
    backlog_of_published=100,
    backlog_rounds=1,
    round_trips=10,
    idle_seconds=2,
    cuts=1,
    cuts_of_published=1,
    old_backlog=20,
    settle_seconds=0.3,
    bare_messages=500,
    tunnel_megabytes=2,
    saturated_seconds=0.5,
    outage_tries=1,
    outage_seconds=(1,),
)


@dataclass
class Row:
    """A line of the table; `met` is None where there is nothing to reach."""

    work: str
    published: str
    ours: str
    ratio: str = ""
    target: str = ""
    met: "bool | None" = None

    def markdown(self):
        met = {True: "yes", False: "**no**", None: ""}[self.met]
        return f"| {self.work} | {self.published} | {self.ours} | {self.ratio} | {self.target} | {met} |"


@dataclass
class Rig:
    """Where the works are done."""

    published: Side
    ours: Side
    #: Of programs that measure what disk and Platform allow.
    programs: str
    directory: str
    scale: Scale
    rows: "list[Row]" = field(default_factory=list)

    @property
    def sides(self):
        return [self.published, self.ours]

    def platform(self):
        # The published SDK knows no other ports.
        return Emulator("--approve", "auto", "--standard-ports")

    def device(self, side, platform, **options):
        return Device(side, platform, self.directory, self.scale.settle_seconds, options)

    def bare(self, program, *arguments):
        """What such a program prints."""
        command = [os.path.join(self.programs, program), *map(str, arguments)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def bare_append(self, count):
        """Of a bare loop of append and fdatasync: records per second, and microseconds of CPU for each."""
        path, before = os.path.join(self.directory, "bare"), _cpu_seconds_of_ended_children()
        try:
            rate = float(self.bare("bare_append", path, count, MESSAGE_BYTES))
        finally:
            os.remove(path)
        return rate, (_cpu_seconds_of_ended_children() - before) / count * 1e6

    def faster(self, work, published, ours, times=0):
        """A row for rates, one of each round: ours should be so many times the published one's, if it is said."""
        ratio = median_ratio(ours, published)
        met = ratio >= times if times else None
        self.row(work, rate(published), rate(ours), f"{number(ratio)} x", f"{times:g} x" if times else "", met)

    def less(self, work, published, ours, unit, part=0):
        """A row for what should be at most 1/`part`, if it is said."""
        met = ours * part <= published if part else None
        columns = (f"{number(value)} {unit}" for value in (published, ours))
        # Of few Messages it can be nothing at all.
        ratio = f"1/{number(published / ours)}" if ours else "none"
        self.row(work, *columns, ratio, f"1/{part:g}" if part else "", met)

    def row(self, *columns):
        self.rows.append(Row(*columns))


class Device:
    """A device program in a process of its own, with a database of its own."""

    def __init__(self, side, platform, directory, settle_seconds, options):
        self._platform, self._side, self._settle_seconds = platform, side, settle_seconds
        self._directory = tempfile.mkdtemp(prefix="device-", dir=directory)
        self._options = options
        # What it complains about is shown if it fails; the published SDK's threads panic when the hub goes.
        self._complaints = open(os.path.join(self._directory, "stderr"), "w+")
        self._launch()

    def _launch(self):
        self._process = subprocess.Popen(
            [self._side.python, "-B", os.path.join(HERE, "device.py")],
            env={**os.environ, "SSL_CERT_FILE": self._platform.ca_file},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
        )

    def order(self, name, **arguments):
        watchdog = threading.Timer(ORDER_SECONDS_MAX, self._process.kill)
        watchdog.start()
        try:
            print(json.dumps({"do": name, **arguments}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        answer = json.loads(line) if line else {"error": f"it ended with {self._process.wait()}"}
        if "error" in answer:
            self._complaints.seek(0)
            complaints = self._complaints.read()[-2000:]
            raise RuntimeError(f"the {self._side.name} device failed at {name!r}: {answer['error']}\n{complaints}")
        return answer["result"]

    def start(self):
        """Lets it connect."""
        self.order(
            "start",
            device_id=DEVICE_ID,
            provisioning_token=self._platform.provisioning_token,
            instance=self._platform.instance,
            db=os.path.join(self._directory, "device.db"),
            **self._options,
        )
        self._platform.wait_connected(DEVICE_ID)
        return self

    def start_and_send(self):
        """Lets it connect and send a Message."""
        self.start().order("send", count=1, size=MESSAGE_BYTES)
        self._platform.clear_messages()
        return self

    def restart(self):
        """Killed, and started again on its database."""
        self._kill()
        self._launch()
        return self.start()

    def go_offline(self):
        self._platform.accept_connections(False)
        self._platform.close_connections()
        self._platform.wait_connected(DEVICE_ID, connected=False)

    def go_online_unacknowledged(self):
        """The hub takes what fits into the window, and acknowledges nothing yet."""
        self._platform.acknowledge(AckMode.WITHHOLD)
        self._platform.accept_connections(True)
        self._platform.wait_connected(DEVICE_ID, timeout=120.0)
        self._platform.wait_messages(1)

    def settled_cost(self):
        """What it has cost once it neither starts or ends threads nor writes."""
        deadline = time.monotonic() + 30.0
        before = self.order("cost")
        while True:
            time.sleep(self._settle_seconds)
            after = self.order("cost")
            same_threads = before["switches"].keys() == after["switches"].keys()
            if (same_threads and before["written_bytes"] == after["written_bytes"]) or time.monotonic() > deadline:
                return after
            before = after

    def _kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._kill()
        self._complaints.close()
        shutil.rmtree(self._directory)


median = statistics.median


def _cpu_seconds_of_ended_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def median_ratio(dividends, divisors):
    """Of the rounds' ratios: what a round had to bear, both had."""
    return median(dividend / divisor for dividend, divisor in zip(dividends, divisors))


def number(value):
    """Three digits are enough."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def rate(rates):
    return f"{number(median(rates))}/s"
