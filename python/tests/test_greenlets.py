"""Programs of greenlets, in which gevent or eventlet have replaced Python's threads and locks."""

import importlib.util
import textwrap

import pytest

from support import payloads

#: How each replaces everything, runs a call in a real thread of its pool, and starts a greenlet.
PATCHES = {
    "gevent": """
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import gevent, gevent.monkey
            gevent.monkey.patch_all()
        def in_pool(call, *arguments):
            return gevent.get_hub().threadpool.apply(call, arguments)
        """,
    "eventlet": """
        import warnings
        # It says that it is old, also later.
        warnings.simplefilter("ignore")
        import eventlet, eventlet.tpool
        eventlet.monkey_patch()
        def in_pool(call, *arguments):
            return eventlet.tpool.execute(call, *arguments)
        """,
}

#: Both are installed by .ci/python; where there are no wheels of them, these tests are not.
KINDS = [kind for kind in PATCHES if importlib.util.find_spec(kind)]
BOTH = pytest.mark.parametrize("kind", KINDS)
ALWAYS = pytest.mark.parametrize("when", ["before the import", "after it"])

#: A greenlet beside the others, which tells whether they go on.
TICKS = """
ticks = []
def tick():
    while True:
        ticks.append(None)
        time.sleep(0.001)
threading.Thread(target=tick, daemon=True).start()
def goes_on():
    count = len(ticks)
    deadline = time.monotonic() + 20
    while len(ticks) < count + 20:
        assert time.monotonic() < deadline, "the greenlets stand still"
        time.sleep(0.001)
"""


@pytest.fixture
def run_patched(run):
    def run_patched(emulator, kind, when, source):
        patch = PATCHES[kind]
        if when == "before the import":
            return run(emulator, source, before=patch)
        again = "import os, signal, sys, threading, time\n"
        return run(emulator, textwrap.dedent(patch) + again + textwrap.dedent(source))

    return run_patched


if KINDS:

    @BOTH
    @ALWAYS
    def test_a_callback_reaches_the_greenlets_and_they_go_on(spotflow_emulator, run_patched, kind, when):
        program = run_patched(
            spotflow_emulator,
            kind,
            when,
            TICKS
            + """
import queue
changed, versions = threading.Event(), queue.Queue()
def connection_changed(change):
    # A callback may do what greenlets do.
    time.sleep(0.01)
    changed.set()
client = start(
    desired_properties_updated_callback=lambda properties: versions.put(properties.version),
    connection_changed_callback=connection_changed,
)
assert changed.wait(20)
tell("version %d" % versions.get(timeout=20))
goes_on()
client.create_stream_sender().send_message("sent")
tell("version %d" % versions.get(timeout=20))
goes_on()
names = set()
for task in os.listdir("/proc/self/task"):
    with open("/proc/self/task/" + task + "/comm") as comm:
        names.add(comm.read().strip())
assert {"spotflow_calls", "spotflow_logs"} <= names, names
client.close()
tell("closed")
""",
        )
        assert program.line() == "version 1"
        spotflow_emulator.wait_messages(1)
        assert spotflow_emulator.set_desired("program", {"a": 1}) == 2
        assert program.line() == "version 2"
        assert program.line() == "closed"
        program.end()
        assert payloads(spotflow_emulator) == [b"sent"]

    @BOTH
    @ALWAYS
    def test_a_start_shows_its_operation_though_no_greenlet_goes_on(start_spotflow_emulator, run_patched, kind, when):
        emulator = start_spotflow_emulator("--approve", "manual")
        program = run_patched(
            emulator,
            kind,
            when,
            """
            import logging
            logging.basicConfig(level=logging.DEBUG, filename=os.devnull)
            client = start(display_provisioning_operation_callback=lambda operation: tell(operation.verification_code))
            client.create_stream_sender().send_message("approved")
            """,
        )
        emulator.approve(program.line())
        program.end()
        assert payloads(emulator) == [b"approved"]

    @BOTH
    @ALWAYS
    def test_greenlets_go_on_while_a_real_thread_waits(spotflow_emulator, run_patched, kind, when):
        spotflow_emulator.acknowledge("withhold")
        program = run_patched(
            spotflow_emulator,
            kind,
            when,
            TICKS
            + """
client = in_pool(start)
sender = client.create_stream_sender()
def send():
    in_pool(sender.send_message, "waited for")
    tell("sent")
sending = threading.Thread(target=send)
sending.start()
goes_on()
tell("waiting")
sending.join()
""",
        )
        assert program.line() == "waiting"
        spotflow_emulator.wait_messages(1)
        spotflow_emulator.release_acknowledgements()
        assert program.line() == "sent"
        program.end()

    @BOTH
    @ALWAYS
    def test_log_handlers_share_their_locks_with_greenlets(spotflow_emulator, run_patched, kind, when):
        program = run_patched(
            spotflow_emulator,
            kind,
            when,
            """
            import logging
            told = []
            class Handler(logging.Handler):
                def emit(self, record):
                    # Others want the lock meanwhile.
                    time.sleep(0.001)
                    told.append(record.name)
            logging.getLogger().addHandler(Handler())
            logging.getLogger().setLevel(logging.DEBUG)
            def log():
                for number in range(100):
                    logging.getLogger("program").info("%d", number)
            threads = [threading.Thread(target=log) for _ in range(3)]
            for thread in threads:
                thread.start()
            for number in range(3):
                start().close()
                time.sleep(0.01)
            for thread in threads:
                thread.join()
            assert told.count("program") == 300
            deadline = time.monotonic() + 20
            while "spotflow_device.registration" not in told:
                assert time.monotonic() < deadline, set(told)
                time.sleep(0.001)
            """,
        )
        program.end()

    @BOTH
    @ALWAYS
    def test_a_callback_may_close_the_client_and_is_not_left_behind(spotflow_emulator, run_patched, kind, when):
        program = run_patched(
            spotflow_emulator,
            kind,
            when,
            """
            import logging
            class Teller(logging.Handler):
                def emit(self, record):
                    tell(record.getMessage())
            logging.getLogger("spotflow_device.callbacks").addHandler(Teller())
            closed = threading.Event()
            def updated(properties):
                client.close()
                closed.set()
            client = start(desired_properties_updated_callback=updated)
            assert closed.wait(20)
            """,
        )
        assert program.end() == ""

    @BOTH
    @ALWAYS
    def test_the_program_ends_while_a_callback_is_running(spotflow_emulator, run_patched, kind, when):
        program = run_patched(
            spotflow_emulator,
            kind,
            when,
            """
            called = threading.Event()
            def updated(properties):
                called.set()
                time.sleep(1000)
            client = start(desired_properties_updated_callback=updated)
            assert called.wait(20)
            """,
        )
        program.end()
