"""Ctrl+C ends every wait of the main thread with `KeyboardInterrupt` itself, and harms nothing."""

import os
import signal
import time

import pytest

from support import eventually

#: Of the wait's end after the signal. Generous beside the promised 0.2 s: this is no benchmark.
SOON = 5.0

PROGRAM = """
def interrupted(wait):
    try:
        tell("waiting")
        wait()
        tell("not interrupted")
    except KeyboardInterrupt as interrupt:
        assert type(interrupt) is KeyboardInterrupt and interrupt.args == ()
        tell("interrupted")
"""


def interrupt(program):
    assert program.line() == "waiting"
    sent = time.monotonic()
    program.signal(signal.SIGINT)
    assert program.line() == "interrupted"
    assert time.monotonic() - sent < SOON


@pytest.mark.parametrize(
    "wait",
    [
        "client.wait_enqueued_messages_sent()",
        "client.wait_enqueued_messages_sent(timeout=1000)",
        "sender.send_message('second')",
        "sender.send_message('second', timeout=1000)",
        "client.receive_cloud_message()",
    ],
)
def test_ctrl_c_ends_a_wait_and_the_client_stays_usable(spotflow_emulator, run, wait):
    spotflow_emulator.acknowledge("withhold")
    program = run(
        spotflow_emulator,
        PROGRAM
        + f"""
client = start(cloud_messages=True)
sender = client.create_stream_sender()
sender.enqueue_message("first")
for _ in range(3):
    interrupted(lambda: {wait})
assert sys.stdin.readline() == "go on\\n"
sender.send_message("last")
assert client.pending_messages_count == 0
""",
    )
    for _ in range(3):
        interrupt(program)
    spotflow_emulator.acknowledge("immediately")
    spotflow_emulator.release_acknowledgements()
    program.write("go on\n")
    program.end()
    payloads = [message.payload for message in spotflow_emulator.messages()]
    # Each was stored before its wait was interrupted; unless the signal came before the call.
    assert (payloads[0], payloads[-1]) == (b"first", b"last")
    assert set(payloads[1:-1]) <= {b"second"}


def test_ctrl_c_ends_the_wait_for_desired_properties(spotflow_emulator, run):
    spotflow_emulator.refuse_connects(3)
    program = run(
        spotflow_emulator,
        PROGRAM
        + """
import logging
logging.getLogger("spotflow_device").addHandler(logging.NullHandler())
client = start()
interrupted(lambda: client.get_desired_properties())
assert sys.stdin.readline() == "go on\\n"
assert client.get_desired_properties().version == 1
""",
    )
    interrupt(program)
    spotflow_emulator.refuse_connects(0)
    program.write("go on\n")
    program.end()


def test_ctrl_c_ends_a_start_that_waits_for_the_approval(start_spotflow_emulator, run):
    emulator = start_spotflow_emulator("--approve", "manual")
    program = run(
        emulator,
        PROGRAM
        + """
shown = threading.Event()
def wait_and_tell():
    shown.wait()
    tell("shown")
threading.Thread(target=wait_and_tell, daemon=True).start()
interrupted(lambda: start(display_provisioning_operation_callback=lambda operation: shown.set()))
assert sys.stdin.readline() == "go on\\n"
client = start()
client.create_stream_sender().send_message("approved")
""",
    )
    assert program.line() == "waiting"
    assert program.line() == "shown"
    program.signal(signal.SIGINT)
    assert program.line() == "interrupted"
    program.write("go on\n")
    first = emulator.wait_operation()
    eventually("another operation", lambda: emulator.operations()[-1].id != first.id)
    emulator.approve(emulator.operations()[-1].id)
    program.end()
    assert [message.payload for message in emulator.messages()] == [b"approved"]


def test_ctrl_c_ends_a_start_that_waits_for_a_silent_platform(spotflow_emulator, run):
    spotflow_emulator.http_hang("any")
    program = run(
        spotflow_emulator,
        PROGRAM
        + """
interrupted(lambda: start())
assert sys.stdin.readline() == "go on\\n"
start().create_stream_sender().send_message("heard")
""",
    )
    assert program.line() == "waiting"
    eventually("a request", spotflow_emulator.requests)
    program.signal(signal.SIGINT)
    assert program.line() == "interrupted"
    spotflow_emulator.http_hang("any", False)
    program.write("go on\n")
    program.end()


def test_another_signals_handler_runs_during_a_wait_and_may_use_the_client(spotflow_emulator, run):
    spotflow_emulator.acknowledge("withhold")
    program = run(
        spotflow_emulator,
        """
        client = start()
        sender = client.create_stream_sender()
        sender.enqueue_message("x")
        def handle(number, frame):
            sender.enqueue_message("from the handler")
            client.close()
        signal.signal(signal.SIGTERM, handle)
        tell("waiting")
        try:
            client.wait_enqueued_messages_sent()
        except ClosedError:
            tell("closed")
        """,
    )
    assert program.line() == "waiting"
    program.signal(signal.SIGTERM)
    assert program.line() == "closed"
    program.end()


def test_a_wait_in_another_thread_is_not_interrupted(spotflow_emulator, run):
    spotflow_emulator.acknowledge("withhold")
    program = run(
        spotflow_emulator,
        """
        client = start()
        sender = client.create_stream_sender()
        sender.enqueue_message("x")
        done = threading.Event()
        def work():
            client.wait_enqueued_messages_sent()
            tell("sent")
            done.set()
        threading.Thread(target=work).start()
        try:
            tell("waiting")
            # Not `join`: CPython 3.10 to 3.12 take a thread for ended whose join was interrupted.
            done.wait()
        except KeyboardInterrupt:
            tell("interrupted")
        done.wait()
        """,
    )
    assert program.line() == "waiting"
    program.signal(signal.SIGINT)
    assert program.line() == "interrupted"
    assert len(spotflow_emulator.wait_messages(1)) == 1
    spotflow_emulator.release_acknowledgements()
    assert program.line() == "sent"
    program.end()


def test_no_thread_of_the_package_or_the_library_takes_a_signal(spotflow_emulator, start_client):
    """They block what can be blocked, and is no fault of theirs; those that live only for a while, too."""
    seen = {}

    def look(*_):
        for task in os.listdir("/proc/self/task"):
            try:
                with open(f"/proc/self/task/{task}/status") as status:
                    facts = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
            except OSError:
                # It ended meanwhile.
                continue
            if facts["Name"].startswith("spotflow"):
                seen.setdefault(facts["Name"], set()).add(int(facts["SigBlk"], 16))

    client = start_client(
        spotflow_emulator,
        display_provisioning_operation_callback=look,
        desired_properties_updated_callback=look,
        connection_changed_callback=look,
    )
    spotflow_emulator.http_hang("blob_put")
    client.create_stream_sender().enqueue_message(os.urandom(300000))

    def all_seen():
        look()
        return wanted <= set(seen)

    wanted = {"spotflow-link", "spotflow-store", "spotflow-http", "spotflow-upload", "spotflow-callba"}
    wanted |= {"spotflow_calls", "spotflow_logs"}
    eventually("all have been there", all_seen)
    faults = {signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP}
    wanted = set(range(1, signal.SIGRTMAX + 1)) - faults - {signal.SIGKILL, signal.SIGSTOP}
    # glibc keeps two to itself.
    wanted -= set(range(32, signal.SIGRTMIN))
    for name, masks in seen.items():
        for mask in masks:
            assert wanted <= {number for number in range(1, 65) if mask >> (number - 1) & 1}, name
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_a_program_that_waits_for_a_signal_gets_it(spotflow_emulator, run):
    """It blocks the signal after the start, in its own thread only."""
    program = run(
        spotflow_emulator,
        """
        import logging
        client = start(
            desired_properties_updated_callback=lambda properties: None,
            connection_changed_callback=lambda change: None,
        )
        client.create_stream_sender().send_message(os.urandom(300000))
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        tell("waiting")
        for _ in range(20):
            tell(signal.Signals(signal.sigwait([signal.SIGTERM])).name)
        """,
    )
    assert program.line() == "waiting"
    for _ in range(20):
        program.signal(signal.SIGTERM)
        assert program.line() == "SIGTERM"
    program.end()
