"""A program ends as it would without us: promptly, with its own exit code, and with nothing on standard error."""

import signal
import sys

import pytest


def test_a_program_ends_with_everything_still_referenced(spotflow_emulator, run):
    program = run(
        spotflow_emulator,
        """
        client = start(desired_properties_updated_callback=lambda p: None, connection_changed_callback=lambda c: None)
        sender = client.create_stream_sender()
        sender.enqueue_message("x")
        keep = [client, sender, client.status(), client.get_desired_properties()]
        sys.keep = keep
        """,
    )
    program.end()
    assert spotflow_emulator.wait_messages(1)


@pytest.mark.parametrize(
    "callback",
    [
        "time.sleep(1000)",
        "threading.Event().wait()",
        "client.wait_enqueued_messages_sent()",
        "client.receive_cloud_message()",
        "\n    while True: pass",
        "\n    while True: client.status(), client.create_stream_sender()",
        "\n    while True: sender.enqueue_message('again')",
    ],
)
def test_a_program_ends_while_a_callback_is_running(spotflow_emulator, run, callback):
    spotflow_emulator.acknowledge("withhold")
    program = run(
        spotflow_emulator,
        f"""
called = threading.Event()
def updated(properties):
    called.set()
    while not ready.is_set():
        time.sleep(0.001)
    {callback}
ready = threading.Event()
client = start(desired_properties_updated_callback=updated, cloud_messages=True)
sender = client.create_stream_sender()
sender.enqueue_message("x")
called.wait()
ready.set()
""",
    )
    program.end()


@pytest.mark.parametrize("daemon", [True, False])
@pytest.mark.parametrize(
    "wait",
    [
        "client.wait_enqueued_messages_sent()",
        "sender.send_message('x')",
        "client.receive_cloud_message()",
        "[sender.enqueue_message('y') for _ in iter(int, 1)]",
    ],
)
def test_a_program_ends_while_threads_use_the_client(spotflow_emulator, run, wait, daemon):
    spotflow_emulator.acknowledge("withhold")
    program = run(
        spotflow_emulator,
        f"""
        client = start(cloud_messages=True)
        sender = client.create_stream_sender()
        sender.enqueue_message("pending")
        ready = threading.Barrier(5)
        def work():
            ready.wait()
            try:
                {wait}
            except ClosedError:
                pass
        for _ in range(4):
            threading.Thread(target=work, daemon={daemon}).start()
        ready.wait()
        if not {daemon}:
            client.close()
        """,
    )
    program.end()


def test_an_exception_in_the_main_thread_ends_the_program(spotflow_emulator, run):
    program = run(
        spotflow_emulator,
        """
        client = start(desired_properties_updated_callback=lambda p: None)
        sender = client.create_stream_sender()
        threading.Thread(target=lambda: [sender.enqueue_message("x") for _ in iter(int, 1)], daemon=True).start()
        raise RuntimeError("over")
        """,
    )
    lines = program.end_with_error(1)
    assert lines[-1] == "RuntimeError: over"
    assert lines[0] == "Traceback (most recent call last):"


def test_sys_exit_in_a_thread_ends_only_that_thread(spotflow_emulator, run):
    program = run(
        spotflow_emulator,
        """
        client = start()
        sender = client.create_stream_sender()
        def work():
            sender.enqueue_message("from the thread")
            sys.exit(3)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        sender.enqueue_message("from the main thread")
        client.wait_enqueued_messages_sent()
        tell("sent")
        sys.exit(7)
        """,
    )
    assert program.line() == "sent"
    program.end(code=7)
    payloads = [message.payload for message in spotflow_emulator.messages()]
    assert payloads == [b"from the thread", b"from the main thread"]


def test_a_program_ends_while_a_daemon_thread_waits_for_the_approval(start_spotflow_emulator, run):
    emulator = start_spotflow_emulator("--approve", "manual")
    program = run(
        emulator,
        """
        shown = threading.Event()
        def begin():
            try:
                start(display_provisioning_operation_callback=lambda o: shown.set())
            except ClosedError:
                pass
        threading.Thread(target=begin, daemon=True).start()
        shown.wait()
        """,
    )
    program.end()


def test_what_was_stored_before_the_exit_is_sent_by_the_next_run(spotflow_emulator, run):
    spotflow_emulator.acknowledge("withhold")
    source = """
        client = start()
        for number in range(5):
            client.create_stream_sender().enqueue_message(str(number))
        """
    run(spotflow_emulator, source).end()
    spotflow_emulator.acknowledge("immediately")
    source = """
        client = start()
        client.wait_enqueued_messages_sent()
        tell(str(client.pending_messages_count))
        """
    assert run(spotflow_emulator, source).end() == "0\n"
    payloads = [message.payload for message in spotflow_emulator.messages() if not message.repeat]
    assert payloads == [b"0", b"1", b"2", b"3", b"4"]


def test_the_last_log_records_are_handled_at_exit(spotflow_emulator, run):
    program = run(
        spotflow_emulator,
        """
        import logging
        class Teller(logging.Handler):
            def emit(self, record):
                tell(record.getMessage())
        logging.getLogger("spotflow_device").addHandler(Teller())
        logging.getLogger("spotflow_device").setLevel(logging.INFO)
        client = start(display_provisioning_operation_callback=lambda o: None)
        """,
    )
    assert "registered as device program" in program.end()


# Objects that use the client when the interpreter is all but gone

OWNER = """
class Owner:
    def __init__(self):
        self.client = start(desired_properties_updated_callback=lambda properties: None)
        self.sender = self.client.create_stream_sender()
        self.status = self.client.status()
    # By then the names of the module may be gone.
    def __del__(self, write=os.write, start=DeviceClient.start):
        %s
"""

USES = {
    "close": "self.client.close()",
    "close, and once more": "self.client.close(); self.client.close()",
    "the end of a with block": "self.client.__exit__(None, None, None)",
}

ENDS = {
    "a global": "owner = Owner()",
    # Not collected before the end, however many objects there are by then.
    "a cycle": "import gc; gc.set_threshold(1_000_000); owner = Owner(); owner.itself = owner; del owner",
    "a cycle that is a global": "owner = Owner(); owner.itself = owner",
    "a generator that is not finished": """
def generate():
    owner = Owner()
    try:
        yield owner
    finally:
        owner.client.close()
generator = generate()
next(generator)
""",
    "a with block in a generator": """
def generate():
    with start() as client:
        yield client
generator = generate()
next(generator)
""",
    "a thread's": """
def work():
    owner = Owner()
    ready.set()
    threading.Event().wait()
ready = threading.Event()
threading.Thread(target=work, daemon=True).start()
ready.wait()
""",
    "kept by the module sys": "sys.owner = Owner()",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("use", USES)
def test_a_close_while_the_interpreter_goes_down_does_nothing(spotflow_emulator, run, use, end):
    run(spotflow_emulator, OWNER % USES[use] + ENDS[end]).end()


LATE = {
    "storing": "self.sender.enqueue_message('late')",
    "sending": "self.sender.send_message('late')",
    "waiting": "self.client.wait_enqueued_messages_sent()",
    "asking": "self.client.get_desired_properties()",
    "reporting": "self.client.update_reported_properties({'a': 1})",
    "a sender": "self.client.create_stream_sender()",
    "the status": "self.client.status()",
    "a with block": "self.client.__enter__()",
    "another start": "start('late', 'token', 'late.db')",
}


@pytest.mark.parametrize("end", ["a global", "a cycle", "a cycle that is a global"])
@pytest.mark.parametrize("use", LATE)
def test_a_use_while_the_interpreter_goes_down_is_an_error_like_any_other(spotflow_emulator, run, use, end):
    # Python prints what a `__del__` raises, and goes on.
    source = OWNER % f"write(1, self.client.device_id.encode() + b'\\n'); {LATE[use]}" + ENDS[end]
    program = run(spotflow_emulator, source)
    assert program.line() == "program"
    lines = program.end_with_error(0)
    assert lines[0].startswith("Exception ignored in")
    assert [line for line in lines if "ClosedError" in line][-1].endswith("the interpreter is shutting down")
    assert not [line for line in lines if "panic" in line.lower()]


def test_what_a_client_gave_can_be_read_while_the_interpreter_goes_down(spotflow_emulator, run):
    run(spotflow_emulator, "start().close()").end()
    spotflow_emulator.set_desired("program", {"a": [1, 2.5, None, {"b": "c"}]})
    program = run(
        spotflow_emulator,
        """
        class Owner:
            def __init__(self):
                client = start(connection_changed_callback=lambda change: changes.append(change))
                self.things = [client, client.status(), client.get_desired_properties(), Message("x")]
                while not changes:
                    time.sleep(0.001)
                self.things += changes
            def __del__(self, write=os.write):
                client, status, desired, message, change = self.things
                repr([repr(thing) for thing in self.things])
                desired.version, desired.values, change.error, status.pending_messages, client.workspace_id
                write(1, b"read\\n")
        changes = []
        owner = Owner()
        owner.itself = owner
        """,
    )
    assert program.end() == "read\n"


# Ctrl+C at that time


@pytest.mark.parametrize("busy", ["time.sleep(0.05)", "pass", "sender.enqueue_message('x')"])
def test_ctrl_c_during_the_exit_aborts_nothing(spotflow_emulator, run, busy):
    program = run(
        spotflow_emulator,
        f"""
        import atexit
        def updated(properties):
            called.set()
            while True:
                {busy}
        called = threading.Event()
        client = start(desired_properties_updated_callback=updated)
        sender = client.create_stream_sender()
        def send():
            while True:
                sender.enqueue_message("from a thread")
        threading.Thread(target=send, daemon=True).start()
        called.wait()
        def leave():
            tell("leaving")
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # Called first.
        atexit.register(leave)
        """,
    )
    assert program.line() == "leaving"
    program.interrupt_until_it_ends()
    # Python prints the exception where it came, if anywhere, and goes on.
    assert program.exit_code in (0, 1, -signal.SIGINT), program.errors
    assert "Fatal" not in program.errors and "FATAL" not in program.errors


# A thread that is not to be had

#: The system has no stack of this size.
NO_THREAD = "threading.stack_size(2 ** 46)"


def test_a_start_without_a_thread_is_an_error_and_the_next_one_works(spotflow_emulator, run):
    program = run(
        spotflow_emulator,
        f"""
        import logging
        class Teller(logging.Handler):
            def emit(self, record):
                if "registered" in record.getMessage():
                    tell(record.getMessage())
        logging.getLogger("spotflow_device").addHandler(Teller())
        logging.getLogger("spotflow_device").setLevel(logging.INFO)
        {NO_THREAD}
        for _ in range(2):
            try:
                start()
            except SpotflowError as error:
                tell("%s %s %s" % (error.retryable, error, type(error.__cause__).__name__))
        threading.stack_size(0)
        client = start()
        client.create_stream_sender().send_message("works")
        """,
    )
    for _ in range(2):
        assert program.line() == "True cannot start a thread: can't start new thread RuntimeError"
    assert program.line().startswith("registered as device program")
    program.end()


def test_a_program_ends_after_a_start_without_a_thread(spotflow_emulator, run):
    program = run(
        spotflow_emulator,
        f"""
        {NO_THREAD}
        try:
            start()
        except SpotflowError:
            tell("no thread")
        """,
    )
    assert program.end() == "no thread\n"


# Interpreters beside the main one

if sys.version_info >= (3, 8):
    IN_ANOTHER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
def run_in_another(source):
    another = interpreters.create()
    interpreters.run_string(another, source)
    interpreters.destroy(another)
SOURCE = '''
import os
try:
    import spotflow_device
    text = "imported"
except ImportError as error:
    text = str(error)
os.write(1, text.encode() + bytes([10]))
'''
"""

    @pytest.mark.parametrize("begin", ["client = start()", "pass"])
    def test_another_interpreter_is_refused_and_harms_nothing(spotflow_emulator, run, begin):
        program = run(
            spotflow_emulator,
            IN_ANOTHER
            + f"""
{begin}
for _ in range(3):
    run_in_another(SOURCE)
if {begin!r} == "pass":
    client = start()
client.create_stream_sender().send_message("works")
""",
        )
        told = program.end().splitlines()
        assert len(told) == 3
        assert all(line.startswith("spotflow_device works in the main interpreter") for line in told)
