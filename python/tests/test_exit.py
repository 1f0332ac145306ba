"""A program ends as it would without us: promptly, with its own exit code, and with nothing on standard error."""

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
