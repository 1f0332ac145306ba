"""After `os.fork()` the parent goes on unharmed, and the child can only leave its client alone."""

import os
import signal
import socket

import pytest

from support import PATIENCE, eventually

#: With glibc, memory is overwritten when it is freed: a child that uses what its parent's threads left crashes.
FREED_MEMORY_IS_OVERWRITTEN = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.perturb=165"}

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def test_every_use_in_a_child_is_an_error(spotflow_emulator, run):
    program = run(
        spotflow_emulator,
        """
        client = start(cloud_messages=True, desired_properties_updated_callback=lambda p: None)
        sender = client.create_stream_sender()
        spotflow_emulator_message = None
        uses = [
            lambda: client.device_id,
            lambda: client.workspace_id,
            lambda: client.pending_messages_count,
            lambda: client.any_pending_reported_properties_updates,
            lambda: client.status(),
            lambda: client.create_stream_sender(),
            lambda: client.wait_enqueued_messages_sent(),
            lambda: client.get_desired_properties(),
            lambda: client.get_desired_properties_if_newer(),
            lambda: client.update_reported_properties({}),
            lambda: client.receive_cloud_message(),
            lambda: client.set_aside_messages(),
            lambda: client.close(),
            lambda: client.__enter__().close(),
            lambda: sender.enqueue_message("x"),
            lambda: sender.enqueue_messages(["x"]),
            lambda: sender.enqueue_file(sys.executable),
            lambda: sender.send_message("x"),
            lambda: sender.enqueue_batch_completion("b"),
            lambda: sender.enqueue_message_completion("b", "m"),
        ]
        child = os.fork()
        if child == 0:
            for number, use in enumerate(uses):
                try:
                    use()
                    tell("%d was allowed" % number)
                except SpotflowError as error:
                    assert "os.fork()" in str(error), error
            # Debuggers ask for it.
            assert "parent" in repr(client)
            del client, sender, uses, use
            import gc
            gc.collect()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        sender.send_message("from the parent")
        """,
    )
    assert program.end() == ""
    assert [message.payload for message in spotflow_emulator.messages()] == [b"from the parent"]


@pytest.mark.parametrize("moment, count", [("idle", 3), ("while threads enqueue", 12)])
def test_a_child_can_start_its_own_client_on_another_file(spotflow_emulator, run, tmp_path, moment, count):
    program = run(
        spotflow_emulator,
        f"""
        import logging
        logging.getLogger("spotflow_device").setLevel(logging.DEBUG)
        logging.getLogger("spotflow_device").addHandler(logging.NullHandler())
        logging.getLogger("spotflow_device").propagate = False
        client = start(durability=Durability.KILL_SAFE)
        sender = client.create_stream_sender()
        stop = threading.Event()
        def work():
            while not stop.is_set():
                if client.pending_messages_count < 200:
                    sender.enqueue_message("parent")
        if {moment!r} != "idle":
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
        else:
            threads = []
        import warnings
        for number in range({count}):
            with warnings.catch_warnings():
                # Of Python 3.12 and newer, for good reasons.
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                updated = threading.Event()
                own = start(
                    db={str(tmp_path)!r} + "/child%d.db" % number,
                    device_id="child-%d" % number,
                    desired_properties_updated_callback=lambda p: updated.set(),
                )
                own.create_stream_sender().send_message("child %d" % number)
                assert updated.wait(20)
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in threads:
            thread.join()
        sender.send_message("parent at last")
        """,
        environment=FREED_MEMORY_IS_OVERWRITTEN,
    )
    program.end()
    payloads = [message.payload for message in spotflow_emulator.messages()]
    children = [payload for payload in payloads if payload.startswith(b"child")]
    assert children == [b"child %d" % number for number in range(count)]
    assert payloads[-1] == b"parent at last"


def test_a_child_waits_in_asyncio_also_if_its_parent_was_about_to(spotflow_emulator, run, tmp_path):
    program = run(
        spotflow_emulator,
        f"""
        import asyncio
        from spotflow_device import aio
        client = start()
        # As another thread may have it at this moment.
        with aio._lock:
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                own = start(db={str(tmp_path)!r} + "/child.db", device_id="child")
                own.create_stream_sender().enqueue_message("child")
                asyncio.run(aio.wait_enqueued_messages_sent(own))
                own.close()
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """,
    )
    assert program.end() == ""
    assert [message.payload for message in spotflow_emulator.messages()] == [b"child"]


def test_ctrl_c_ends_the_wait_of_a_child_that_another_thread_forked(spotflow_emulator, run, tmp_path):
    """The thread that forked is the child's main thread, whatever it was in the parent."""
    spotflow_emulator.acknowledge("withhold")
    program = run(
        spotflow_emulator,
        f"""
        import warnings
        client = start()
        def work():
            client.create_stream_sender().enqueue_message("parent")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                try:
                    own = start(db={str(tmp_path)!r} + "/child.db", device_id="child")
                    own.create_stream_sender().enqueue_message("child")
                    tell(str(os.getpid()))
                    own.wait_enqueued_messages_sent(timeout=20)
                except BaseException as error:
                    tell(type(error).__name__)
                finally:
                    os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """,
    )
    child = int(program.line())
    # By then it waits.
    spotflow_emulator.wait_messages(2)
    os.kill(child, signal.SIGINT)
    assert program.line() == "KeyboardInterrupt"
    assert program.end() == ""


def test_a_child_that_lives_on_does_not_keep_the_file_locked(spotflow_emulator, run):
    program = run(
        spotflow_emulator,
        """
        client = start()
        hold_read, hold_write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(hold_write)
            os.read(hold_read, 1)
            sys.exit(0)
        os.close(hold_read)
        client.close()
        start().create_stream_sender().send_message("second client")
        os.close(hold_write)
        assert os.waitpid(child, 0)[1] == 0
        """,
    )
    program.end()
    assert [message.payload for message in spotflow_emulator.messages()] == [b"second client"]


def test_a_killed_parent_frees_the_file_though_a_child_lives(spotflow_emulator, run):
    parent = run(
        spotflow_emulator,
        """
        client = start()
        child = os.fork()
        if child == 0:
            tell(str(os.getpid()))
            time.sleep(1000)
        time.sleep(1000)
        """,
    )
    child = int(parent.line())
    try:
        parent.signal(signal.SIGKILL)
        # It cannot be waited for with its pipes: the child has them, too.
        parent.wait()
        run(spotflow_emulator, 'start().create_stream_sender().send_message("next")').end()
    finally:
        os.kill(child, signal.SIGKILL)
    assert [message.payload for message in spotflow_emulator.messages()] == [b"next"]


def test_multiprocessing_by_fork_works_beside_a_client(spotflow_emulator, run):
    program = run(
        spotflow_emulator,
        """
        import multiprocessing
        client = start()
        context = multiprocessing.get_context("fork")
        with context.Pool(2) as pool:
            numbers = pool.map(abs, range(-10, 0))
        client.create_stream_sender().send_message(str(sum(numbers)))
        """,
    )
    program.end()
    assert [message.payload for message in spotflow_emulator.messages()] == [b"55"]


@pytest.mark.parametrize("end", ["return", "sys.exit(3)", "raise KeyError('of the child')"])
@pytest.mark.parametrize("where", ["desired_properties_updated_callback", "connection_changed_callback", "a log handler"])
def test_a_child_forked_in_a_callback_ends_when_that_does(spotflow_emulator, run, where, end):
    """As a child does that was forked in a thread of the program's."""
    program = run(
        spotflow_emulator,
        f"""
        import logging, warnings
        logging.getLogger("spotflow_device.callbacks").addHandler(logging.NullHandler())
        logging.raiseExceptions = False
        forked, children = threading.Event(), []
        def fork(item):
            if children:
                return
            children.append(None)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                tell("child " + type(item).__name__)
                {end}
            else:
                children[0] = child
                forked.set()
        class Forking(logging.Handler):
            def emit(self, record):
                fork(record)
        if {where!r} == "a log handler":
            logging.getLogger("spotflow_device").addHandler(Forking())
            logging.getLogger("spotflow_device").setLevel(logging.INFO)
            client = start()
        else:
            client = start(**{{{where!r}: fork}})
        assert forked.wait(20)
        tell("parent")
        assert os.waitpid(children[0], 0)[1] == 0
        client.create_stream_sender().send_message("from the parent")
        """,
    )
    assert sorted(program.end().splitlines())[0].startswith("child ")
    assert [message.payload for message in spotflow_emulator.messages()] == [b"from the parent"]


def test_a_child_forked_in_a_callback_can_be_ended_by_a_signal(spotflow_emulator, run):
    program = run(
        spotflow_emulator,
        """
        import warnings
        forked = []
        def fork(desired):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                tell("child")
                time.sleep(1000)
            forked.append(child)
        client = start(desired_properties_updated_callback=fork)
        while not forked:
            time.sleep(0.001)
        assert sys.stdin.readline() == "end it\\n"
        os.kill(forked[0], signal.SIGTERM)
        tell(str(os.waitpid(forked[0], 0)[1] == signal.SIGTERM))
        """,
    )
    assert program.line() == "child"
    program.write("end it\n")
    assert program.end() == "True\n"


def test_a_tunnel_ends_with_the_parents_client_though_a_child_has_its_sockets(spotflow_emulator, run):
    with socket.socket() as service:
        service.bind(("127.0.0.1", 0))
        service.listen()
        service.settimeout(PATIENCE)
        program = run(
            spotflow_emulator,
            """
            import warnings
            client = start(allow_remote_access=True)
            tell(client.device_id)
            sys.stdin.readline()
            with warnings.catch_warnings():
                # Of Python 3.12 and newer, for good reasons.
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                sys.stdin.readline()
                os._exit(0)
            client.close()
            tell("closed")
            assert os.waitpid(child, 0)[1] == 0
            """,
        )
        device = program.line()
        eventually("it can be asked", lambda: "$iothub/methods/POST/#" in spotflow_emulator.subscriptions(device))
        local_port = spotflow_emulator.forward(device, service.getsockname()[1])
        with socket.create_connection(("127.0.0.1", local_port), timeout=PATIENCE):
            end, _ = service.accept()
            with end:
                end.settimeout(PATIENCE)
                spotflow_emulator.wait_tunnels(open=1)
                program.write("fork\n")
                assert program.line() == "closed"
                # The child lives.
                assert end.recv(1) == b""
                spotflow_emulator.wait_tunnels(ended=1)
        program.write("end\n")
        program.end()
