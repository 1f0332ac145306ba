"""The program of ASYNCIO.md runs as it stands, but for its token and its instance."""

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
