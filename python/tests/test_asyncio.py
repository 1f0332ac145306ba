"""The program of ASYNCIO.md runs as it stands, but for its token and its instance; waits in an event loop."""

import re
import signal
from pathlib import Path

from support import PATIENCE, payloads

PAGE = (Path(__file__).parent.parent / "ASYNCIO.md").read_text(encoding="utf-8")


def program_of_the_page(emulator):
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    token = f'provisioning_token="{emulator.provisioning_token}",\n        instance="{emulator.instance}"'
    assert program.count('provisioning_token="CAEaBA..."') == 1
    return program.replace('provisioning_token="CAEaBA..."', token)


def test_it_sends_obeys_and_closes_the_client_on_ctrl_c(spotflow_emulator, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = run(spotflow_emulator, program_of_the_page(spotflow_emulator))
    assert program.line().startswith("Provisioning Operation")
    assert program.line() == "configuration: 1"
    assert program.line() == "sent"
    assert payloads(spotflow_emulator) == [b'{"number": %d}' % number for number in range(10)]
    for number in range(3):
        spotflow_emulator.send("my-device", f"turn {number}")
        assert program.line() == f"command: turn {number}"
    program.signal(signal.SIGINT)
    assert program.line() == "closed"
    program.end()
    spotflow_emulator.wait_connected("my-device", False, PATIENCE)
    assert [connection.end for connection in spotflow_emulator.connections()] == ["DISCONNECT"]
    # All were completed.
    assert spotflow_emulator.cloud_messages_waiting("my-device") == 0


def test_a_task_that_is_cancelled_leaves_its_message_stored_and_close_ends_its_thread(spotflow_emulator, run):
    spotflow_emulator.acknowledge("withhold")
    program = run(
        spotflow_emulator,
        """
        import asyncio, functools
        async def in_thread(function, *arguments, **options):
            call = functools.partial(function, *arguments, **options)
            return await asyncio.get_event_loop().run_in_executor(None, call)
        async def main():
            client = await in_thread(start)
            sender = client.create_stream_sender()
            sending = [asyncio.ensure_future(in_thread(sender.send_message, str(number))) for number in range(3)]
            while client.pending_messages_count < 3:
                await asyncio.sleep(0.001)
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            tell(repr([task.cancelled() for task in sending]))
            assert client.pending_messages_count == 3
            await in_thread(client.close)
        asyncio.run(main())
        """,
    )
    assert program.line() == "[True, True, True]"
    program.end()
    spotflow_emulator.acknowledge("immediately")
    run(spotflow_emulator, "start().wait_enqueued_messages_sent()").end()
    assert sorted(payloads(spotflow_emulator)) == [b"0", b"1", b"2"]


# Many waits in one thread


MANY = """
import asyncio, logging
from spotflow_device import aio

async def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)

def waiting_threads():
    return [thread.name for thread in threading.enumerate()].count("spotflow_device-aio")
"""


def test_a_thousand_tasks_wait_in_one_thread_which_ends_with_them(spotflow_emulator, run):
    spotflow_emulator.acknowledge("withhold")
    program = run(
        spotflow_emulator,
        MANY
        + """
async def main():
    sender.enqueue_message("0")
    waits = [asyncio.ensure_future(aio.wait_enqueued_messages_sent(client)) for _ in range(1000)]
    await until(waiting_threads)
    # Those who come later are told, too.
    sender.enqueue_message("1")
    waits += [asyncio.ensure_future(aio.wait_enqueued_messages_sent(client)) for _ in range(1000)]
    await asyncio.sleep(0)
    tell(repr((waiting_threads(), [wait.done() for wait in waits].count(True))))
    await asyncio.gather(*waits)
    tell(repr(client.pending_messages_count))
    await until(lambda: not waiting_threads())
    # And another one starts when it is needed.
    sender.enqueue_message("2")
    await aio.wait_enqueued_messages_sent(client)
    await aio.wait_enqueued_messages_sent(client)
    tell("again")
# It warns of the lost connection.
logging.disable(logging.WARNING)
client = start()
sender = client.create_stream_sender()
asyncio.run(main())
""",
    )
    assert program.line() == "(1, 0)"
    spotflow_emulator.acknowledge("immediately")
    spotflow_emulator.close_connections()
    assert program.line() == "0"
    assert program.line() == "again"
    program.end()
    assert payloads(spotflow_emulator) == [b"0", b"1", b"2"]


def test_a_wait_that_is_cancelled_or_takes_too_long_leaves_the_others_and_a_close_ends_them(spotflow_emulator, run):
    spotflow_emulator.acknowledge("withhold")
    program = run(
        spotflow_emulator,
        MANY
        + """
async def main():
    waits = [asyncio.ensure_future(aio.wait_enqueued_messages_sent(client)) for _ in range(3)]
    await until(waiting_threads)
    # For the wait behind that.
    waits += [asyncio.ensure_future(aio.wait_enqueued_messages_sent(client)) for _ in range(3)]
    await asyncio.sleep(0)
    waits[0].cancel()
    waits[3].cancel()
    try:
        await asyncio.wait_for(aio.wait_enqueued_messages_sent(client), 0.01)
    except asyncio.TimeoutError:
        tell("too long")
    tell(repr([wait.done() for wait in waits]))
    await asyncio.get_event_loop().run_in_executor(None, client.close)
    ends = await asyncio.gather(*waits, return_exceptions=True)
    tell(repr([type(end).__name__ for end in ends]))
    try:
        await aio.wait_enqueued_messages_sent(client)
    except ClosedError:
        tell("closed")
    await until(lambda: not waiting_threads())
client = start()
client.create_stream_sender().enqueue_message("kept")
asyncio.run(main())
""",
    )
    assert program.line() == "too long"
    assert program.line() == "[True, False, False, True, False, False]"
    one = ["CancelledError", "ClosedError", "ClosedError"]
    assert program.line() == repr(one + one)
    assert program.line() == "closed"
    program.end()


def test_a_program_ends_though_its_loop_has_left_a_wait_behind(spotflow_emulator, run):
    spotflow_emulator.acknowledge("withhold")
    program = run(
        spotflow_emulator,
        MANY
        + """
async def main():
    waiting = asyncio.ensure_future(aio.wait_enqueued_messages_sent(client))
    await until(waiting_threads)
client = start()
client.create_stream_sender().enqueue_message("kept")
asyncio.run(main())
# Its loop is closed; then the client is.
client.close()
while waiting_threads():
    time.sleep(0.001)
client = start()
asyncio.run(main())
""",
    )
    program.end()


def test_the_thread_of_the_waits_takes_no_signal(spotflow_emulator, run):
    spotflow_emulator.acknowledge("withhold")
    program = run(
        spotflow_emulator,
        MANY
        + """
import signal

def tasks():
    return set(os.listdir("/proc/self/task"))

async def main():
    before = tasks()
    waiting = asyncio.ensure_future(aio.wait_enqueued_messages_sent(client))
    await until(waiting_threads)
    (task,) = tasks() - before
    with open("/proc/self/task/%s/status" % task) as status:
        (mask,) = [int(line.split()[1], 16) for line in status if line.startswith("SigBlk")]
    tell(repr(bool(mask & 1 << signal.SIGTERM - 1)))
    client.close()
    await asyncio.gather(waiting, return_exceptions=True)
client = start()
client.create_stream_sender().enqueue_message("kept")
client.get_desired_properties()
asyncio.run(main())
""",
    )
    assert program.line() == "True"
    program.end()
