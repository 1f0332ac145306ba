"""One client and one sender, used by many threads at once."""

import random
import sys
import threading

import pytest
from spotflow_device import Compression, Message

from support import DEVICE, PATIENCE, in_thread, payloads

THREADS = 16
STEPS = 40
SEEDS = [random.SystemRandom().randrange(2 ** 32) for _ in range(2)] + [1]


@pytest.fixture(autouse=True)
def frequent_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Worker:
    """Does at random what can be done, and numbers its Messages."""

    def __init__(self, client, sender, number, seed):
        self._client, self._sender, self._number = client, sender, number
        self._random = random.Random(seed * 1000 + number)
        self.sent = 0

    def run(self):
        actions = [self._enqueue, self._enqueue, self._enqueue_many, self._send, self._wait, self._look, self._report]
        for _ in range(STEPS):
            self._random.choice(actions)()

    def _next(self):
        self.sent += 1
        return f"{self._number}:{self.sent}"

    def _enqueue(self):
        self._sender.enqueue_message(self._next())

    def _enqueue_many(self):
        self._sender.enqueue_messages([self._next(), Message(self._next(), "batch"), self._next().encode()])

    def _send(self):
        sender = self._client.create_stream_sender(stream="own", compression=Compression.FASTEST)
        self._random.choice([sender, self._sender]).send_message(self._next(), timeout=PATIENCE)

    def _wait(self):
        self._client.wait_enqueued_messages_sent(timeout=PATIENCE)

    def _report(self):
        self._client.update_reported_properties({"thread": self._number, "sent": self.sent})

    def _look(self):
        status = self._client.status()
        assert 0 <= status.pending_messages <= THREADS * STEPS * 3
        assert self._client.pending_messages_count >= 0
        assert self._client.any_pending_reported_properties_updates in (True, False)
        version = self._client.get_desired_properties().version
        newer = self._client.get_desired_properties_if_newer(version)
        assert newer is None or newer.version > version
        assert self._client.device_id == DEVICE


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("network", ["good", "cut"])
def test_nothing_is_lost_or_repeated_and_each_threads_order_is_kept(spotflow_emulator, start_client, network, seed):
    print("seed", seed)
    client = start_client(spotflow_emulator)
    sender = client.create_stream_sender()
    workers = [Worker(client, sender, number, seed) for number in range(THREADS)]
    running = [in_thread(worker.run) for worker in workers]
    for version in range(5):
        spotflow_emulator.set_desired(DEVICE, {"version": version})
        if network == "cut":
            spotflow_emulator.close_connections()
    for thread in running:
        thread.result(2 * PATIENCE)
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert client.pending_messages_count == 0
    told = [tuple(map(int, payload.split(b":"))) for payload in payloads(spotflow_emulator)]
    for number, worker in enumerate(workers):
        assert [sent for thread, sent in told if thread == number] == list(range(1, worker.sent + 1))
    client.update_reported_properties({"at": "the end"})
    spotflow_emulator.wait_reported(DEVICE, {"at": "the end"})


def test_a_wait_ends_although_others_go_on_sending(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    sender = client.create_stream_sender()
    over = threading.Event()

    def send():
        while not over.is_set():
            sender.enqueue_message("more")
            sender.send_message("even more", timeout=PATIENCE)

    sending = [in_thread(send) for _ in range(8)]
    try:
        for number in range(5):
            sender.enqueue_message(f"enqueued {number}")
            client.wait_enqueued_messages_sent(timeout=PATIENCE)
            assert f"enqueued {number}".encode() in payloads(spotflow_emulator)
            sender.send_message(f"sent {number}", timeout=PATIENCE)
            assert f"sent {number}".encode() in payloads(spotflow_emulator)
    finally:
        over.set()
    for thread in sending:
        thread.result(PATIENCE)


def test_threads_that_wait_for_the_same_message_all_return(spotflow_emulator, start_client):
    spotflow_emulator.acknowledge("withhold")
    client = start_client(spotflow_emulator)
    client.create_stream_sender().enqueue_message("x")
    waiting = [in_thread(client.wait_enqueued_messages_sent) for _ in range(THREADS)]
    spotflow_emulator.wait_messages(1)
    assert not any(thread.done() for thread in waiting)
    spotflow_emulator.acknowledge("immediately")
    for thread in waiting:
        assert thread.result(PATIENCE) is None


def test_a_thread_that_waits_lets_others_send(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, in_flight_window=2)
    sender = client.create_stream_sender()
    spotflow_emulator.acknowledge("withhold")
    waiting = in_thread(sender.send_message, "waits")
    spotflow_emulator.wait_messages(1)
    sending = in_thread(sender.send_message, "goes on")
    # The second is on its way while nobody has answered the first.
    spotflow_emulator.wait_messages(2)
    assert not waiting.done() and not sending.done()
    spotflow_emulator.acknowledge("immediately")
    assert (waiting.result(PATIENCE), sending.result(PATIENCE)) == (None, None)


def test_clients_may_be_started_and_closed_by_many_threads(spotflow_emulator, start_client, tmp_path):
    def live(number):
        name = f"device-{number}"
        for _ in range(3):
            client = start_client(spotflow_emulator, device_id=name, db=str(tmp_path / f"{name}.db"))
            client.create_stream_sender().send_message(name, timeout=PATIENCE)
            client.close()

    for thread in [in_thread(live, number) for number in range(8)]:
        thread.result(2 * PATIENCE)
    expected = sorted(f"device-{number}".encode() for number in range(8) for _ in range(3))
    assert sorted(message.payload for message in spotflow_emulator.messages()) == expected
