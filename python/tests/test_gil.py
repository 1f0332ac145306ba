"""The device goes on while a program holds the interpreter's lock."""

#: Holds the lock and does nothing, as long as told: a function of C that does not let go of it.
HOLD = """
import ctypes
def hold(seconds):
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
"""


def test_messages_are_acknowledged_and_keep_alive_goes_on_while_the_lock_is_held(spotflow_emulator, run):
    program = run(
        spotflow_emulator,
        HOLD
        + """
import logging
logging.basicConfig(level=logging.DEBUG, filename=os.devnull)
client = start(
    keep_alive=5,
    desired_properties_updated_callback=lambda p: None,
    connection_changed_callback=lambda c: None,
)
sender = client.create_stream_sender()
client.get_desired_properties()
for number in range(100):
    sender.enqueue_message(str(number))
tell("holding")
hold(10)
# Asked before the lock is let go again.
tell("pending %d, reconnects %d" % (client.pending_messages_count, client.status().reconnects))
""",
    )
    assert program.line() == "holding"
    # It takes all of them while nothing of Python runs there.
    assert len(spotflow_emulator.wait_messages(100, timeout=8)) == 100
    # Changes that nobody there has time for must not stop the link either.
    for version in range(20):
        spotflow_emulator.set_desired("program", {"version": version})
    assert program.line() == "pending 0, reconnects 0"
    program.end()
    connections = spotflow_emulator.connections()
    assert len(connections) == 1


def test_enqueueing_does_not_hold_the_lock(spotflow_emulator, run):
    program = run(
        spotflow_emulator,
        """
        client = start()
        sender = client.create_stream_sender(compression=Compression.SMALLEST_SIZE)
        done = threading.Event()
        counted = 0
        def work():
            sender.enqueue_message(os.urandom(200_000) + b"x" * 2_000_000)
            done.set()
        thread = threading.Thread(target=work)
        thread.start()
        while not done.is_set():
            counted += 1
            time.sleep(0.001)
        thread.join()
        tell("counted" if counted > 10 else "only %d" % counted)
        """,
    )
    assert program.line() == "counted"
    program.end()
