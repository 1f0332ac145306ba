"""What the background threads log arrives in Python's logging, and never holds them up."""

import logging
import os
import re
import sqlite3
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from spotflow_device import DeviceClient, RegistrationError

from support import DEVICE, PATIENCE, Seen, arguments, eventually

PACKAGE = logging.getLogger("spotflow_device")

#: How many records wait for a handler at most; and as many may have been fetched for it before.
QUEUE = 1000


#: As random as a real one: it is looked for in pieces.
UNKNOWN_TOKEN = "8f2c61d09be74a35a1d7e0c4f6b3928d"


class Collector(logging.Handler):
    """Keeps records, and does to each whatever else is asked for."""

    def __init__(self, then=lambda record: None):
        super().__init__()
        self.seen = Seen()
        self._then = then

    def emit(self, record):
        self.seen(record)
        self._then(record)

    def texts(self):
        return [record.getMessage() for record in self.seen.all()]


@contextmanager
def handled_by(handler, logger=PACKAGE, level=logging.DEBUG):
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield handler
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


def registered(record):
    return record.getMessage().startswith("registered as device")


def start_and_close(emulator, directory, **options):
    DeviceClient.start(**arguments(emulator, directory, **options)).close()


def test_records_tell_where_when_and_in_which_thread_they_were_made(spotflow_emulator, start_client):
    before = time.time()
    with handled_by(Collector()) as handler:
        start_client(spotflow_emulator)
        record = handler.seen.wait(registered)
    assert record.name == "spotflow_device.registration"
    assert (record.levelno, record.levelname) == (logging.INFO, "INFO")
    assert DEVICE in record.getMessage()
    assert record.threadName == "spotflow-http"
    assert before - 0.001 <= record.created <= time.time() + 0.001
    assert 0 <= record.msecs < 1000
    assert record.exc_info is None
    formatter = logging.Formatter("%(asctime)s.%(msecs)03d|%(threadName)s|%(name)s|%(message)s", "%S")
    expected = time.strftime("%S", time.localtime(record.created)) + ".%03d|" % record.msecs
    assert formatter.format(record).startswith(expected + "spotflow-http|spotflow_device.registration|registered")


def test_the_time_is_that_of_the_event_and_not_of_its_handling(spotflow_emulator, start_client):
    blocked, go_on = Seen(), threading.Event()

    def block(record):
        blocked(record)
        assert go_on.wait(PATIENCE)

    with handled_by(Collector(block)) as handler:
        start_client(spotflow_emulator)
        blocked.wait()
        made_until = time.time()
        # The clock has to go on for the difference to show.
        eventually("time passes", lambda: time.time() > made_until + 0.05)
        go_on.set()
        record = handler.seen.wait(registered)
    assert record.created <= made_until


def test_all_loggers_are_below_the_packages(spotflow_emulator, start_client, caplog):
    caplog.set_level(logging.DEBUG)
    start_client(spotflow_emulator).create_stream_sender().send_message("x", timeout=PATIENCE)
    wanted = {"spotflow_device.registration", "spotflow_device.link.exchange"}
    eventually("they tell", lambda: wanted <= {record.name for record in list(caplog.records)})
    names = {record.name for record in list(caplog.records)}
    assert {name.split(".")[0] for name in names} == {"spotflow_device"}
    assert not [name for name in names if ":" in name]


def test_each_event_is_told_once(spotflow_emulator, start_client, tmp_path):
    with handled_by(Collector()) as handler:
        start_client(spotflow_emulator)
        start_client(spotflow_emulator, device_id="second-device", db=str(tmp_path / "second.db"))
        handler.seen.wait(lambda record: registered(record) and "second-device" in record.getMessage())
    devices = [text.split()[3] for text in handler.texts() if text.startswith("registered as device")]
    assert devices == [DEVICE, "second-device"]


def test_levels_that_are_changed_take_effect_at_once(spotflow_emulator, tmp_path):
    registration = logging.getLogger("spotflow_device.registration")
    with handled_by(Collector(), level=logging.WARNING) as handler:
        registration.setLevel(logging.INFO)
        try:
            # This record of a new device is always told: what was made before it has been handled, too.
            def until_registered():
                told = len(handler.seen.all())
                name = f"device-{told}"
                options = arguments(spotflow_emulator, tmp_path, device_id=name, db=str(tmp_path / f"{name}.db"))
                with DeviceClient.start(**options) as client:
                    client.create_stream_sender().send_message("connected", timeout=PATIENCE)
                eventually("it is told", lambda: any(map(registered, handler.seen.all()[told:])))
                return others(told)

            # The levels of all others.
            def others(told=0):
                records = [record for record in handler.seen.all()[told:] if registration.name not in record.name]
                return {record.levelno for record in records}

            assert until_registered() == set()
            PACKAGE.setLevel(logging.INFO)
            until_registered()
            eventually("others tell, too", lambda: logging.INFO in others())
            PACKAGE.setLevel(logging.WARNING)
            # Some of the start before may have been on their way.
            until_registered()
            assert until_registered() == set()
        finally:
            registration.setLevel(logging.NOTSET)


def raising(error):
    def then(record):
        raise error("of the handler")

    return then


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_handler_that_raises_stops_neither_the_device_nor_the_records(
    spotflow_emulator, start_client, tmp_path, capfd, error
):
    with handled_by(Collector(raising(error)), level=logging.INFO) as handler:
        client = start_client(spotflow_emulator)
        handler.seen.wait(registered)
        client.create_stream_sender().send_message("works", timeout=PATIENCE)
        start_client(spotflow_emulator, device_id="second-device", db=str(tmp_path / "second.db"))
        handler.seen.wait(lambda record: registered(record) and "second-device" in record.getMessage())
    assert f"{error.__name__}: of the handler" in capfd.readouterr().err


@pytest.mark.parametrize("stderr", [None, "closed"])
def test_a_handler_that_raises_needs_no_standard_error(spotflow_emulator, tmp_path, monkeypatch, stderr):
    if stderr == "closed":
        stderr = open(os.devnull, "w")
        stderr.close()
    with handled_by(Collector(raising(ValueError)), level=logging.INFO) as handler:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stderr)
            for name in ("first-device", "second-device"):
                start_and_close(spotflow_emulator, tmp_path, device_id=name)
                handler.seen.wait(lambda record: registered(record) and name in record.getMessage())


def test_a_handler_may_use_the_client(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    sender = client.create_stream_sender(stream="log")

    def send(record):
        if record.levelno >= logging.WARNING:
            sender.send_message(record.getMessage(), timeout=PATIENCE)

    with handled_by(Collector(send)):
        spotflow_emulator.wait_connected(DEVICE)
        spotflow_emulator.refuse_connects(3, 1)
        spotflow_emulator.close_connections()
        message = spotflow_emulator.wait_messages(1)[0]
    assert message.properties == {"stream-name": "log"}
    assert "connect" in message.text


def published_with_broken_rows(file, count):
    """A database file of the published SDK, each row of which is told of when it is taken over."""
    database = sqlite3.connect(str(file))
    database.executescript(
        """
        CREATE TABLE SdkConfiguration (id INTEGER PRIMARY KEY, db_version, instance_url, provisioning_token,
            registration_token, rt_expiration, requested_device_id, workspace_id, device_id);
        CREATE TABLE Messages (id INTEGER PRIMARY KEY AUTOINCREMENT, site_id, stream_group, stream, batch_id,
            message_id, content BLOB, close_option, compression, batch_slice_id, chunk_id);
        CREATE TABLE CloudToDeviceMessages (id INTEGER PRIMARY KEY AUTOINCREMENT, content BLOB);
        CREATE TABLE CloudToDeviceProperties (message_id INTEGER, key, value);
        CREATE TABLE Twins (id INTEGER PRIMARY KEY AUTOINCREMENT, type, properties);
        CREATE TABLE ReportedPropertiesUpdates (id INTEGER PRIMARY KEY AUTOINCREMENT, update_type, patch);
        INSERT INTO SdkConfiguration VALUES (0, '1.2.0', 'instance', 'pt', 'rt', NULL, NULL, 'workspace', 'device');
        """
    )
    database.executemany(
        "INSERT INTO Messages (content, close_option, compression) VALUES (?, 'None', 'Unknown')", [(b"x",)] * count
    )
    database.commit()
    database.close()


def test_a_program_without_logging_is_spared_it_until_there_is_a_warning(spotflow_emulator, run):
    program = run(
        spotflow_emulator,
        """
        told, called = threading.Event(), threading.Event()

        def fail(properties):
            # Not for the first ones, which come with the connection.
            if told.is_set():
                called.set()
                raise ValueError("mistaken")

        client = start(desired_properties_updated_callback=fail)
        client.create_stream_sender().send_message("works", timeout=60)
        is_loaded = "logging" in sys.modules
        told.set()
        tell("loaded" if is_loaded else "spared")
        called.wait(60)
        client.close()
        """,
    )
    assert program.line() == "spared"
    spotflow_emulator.set_desired("program", {"changed": True})
    errors = program.end_with_error(0)
    assert errors[0] == "desired_properties_updated_callback raised an exception"
    assert errors[-1] == "ValueError: mistaken"


def test_what_the_library_warns_of_is_seen_without_logging_of_the_programs(spotflow_emulator, run, tmp_path):
    run(spotflow_emulator, "start().close()").end()
    (tmp_path / "program.db").chmod(0o644)
    [told] = run(spotflow_emulator, "start().close()").end_with_error(0)
    assert "others had rights to it" in told


def test_with_a_handler_that_blocks_the_device_goes_on_and_the_rest_is_counted(
    spotflow_emulator, start_client, tmp_path
):
    blocked, go_on = Seen(), threading.Event()

    def block(record):
        blocked(record)
        assert go_on.wait(2 * PATIENCE)

    with handled_by(Collector(block)) as handler:
        client = start_client(spotflow_emulator)
        blocked.wait()
        sender = client.create_stream_sender()
        client.update_reported_properties({"works": True})
        spotflow_emulator.wait_reported(DEVICE, {"works": True})
        other = tmp_path / "other"
        other.mkdir()
        published_with_broken_rows(other / "device.db", 3 * QUEUE)
        start_and_close(spotflow_emulator, other, db=str(other / "device.db"))
        sender.send_message("works", timeout=PATIENCE)
        assert len(handler.seen.all()) == 1
        go_on.set()
        told = handler.seen.wait(lambda record: "dropped" in record.getMessage())
        records = handler.seen.all()
        assert (told.name, told.levelno) == ("spotflow_device", logging.WARNING)
        assert int(re.match(r"(\d+) log records were dropped", told.getMessage()).group(1)) > 100
        handled = records[: records.index(told)]
        assert QUEUE <= len(handled) <= 2 * QUEUE
        times = [record.created for record in handled]
        assert times == sorted(times)
        # And then all is as before.
        start_client(spotflow_emulator, device_id="afterwards", db=str(tmp_path / "afterwards.db"))
        handler.seen.wait(lambda record: registered(record) and "afterwards" in record.getMessage())
        assert sum("dropped" in text for text in handler.texts()) == 1


def condensed(text):
    """Letters and digits only: what separates and quotes them differs from dump to dump."""
    return re.sub("[^0-9A-Za-z]", "", text).lower()


def pieces(secret):
    """Pieces of a secret that do not come about by chance: as it is, and as its bytes in hexadecimal."""
    spellings = (condensed(secret), 12), ("".join("%02x" % byte for byte in secret.encode()), 24)
    return {
        spelling[start : start + length]
        for spelling, length in spellings
        for start in range(max(len(spelling) - length, 0) + 1)
    }


class Watch:
    """All that a scenario says to people, and what must not be in it."""

    def __init__(self):
        self.handler = Collector()
        self.said = []
        self.secrets = set()

    def said_by(self, *objects):
        for one in objects:
            self.said += [repr(one), str(one)]

    def leaks(self):
        formatter = logging.Formatter("%(name)s %(message)s")
        texts = self.said + [formatter.format(record) for record in self.handler.seen.all()]
        assert len(texts) > 20, "there is something to look at"
        marks = {"SharedAccessSignature sr=", "sig=", "DeviceToken "}
        leaks = [text for text in texts if any(mark in text for mark in marks)]
        # Also what is spread over several records.
        everything = condensed("".join(texts))
        for secret in self.secrets:
            leaks += [piece for piece in sorted(pieces(secret)) if piece in everything][:1]
        return leaks


def stored_tokens(file):
    """The tokens in a database file. The client must be closed."""
    database = sqlite3.connect(str(file))
    try:
        tokens = set()
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = database.execute(f"SELECT * FROM {table}")
            columns = [index for index, column in enumerate(rows.description) if "token" in column[0]]
            tokens |= {row[index] for row in rows for index in columns if isinstance(row[index], str)}
        return tokens
    finally:
        database.close()


def test_no_token_or_password_is_logged_or_shown(spotflow_emulator, tmp_path):
    watch = Watch()
    watch.secrets |= {spotflow_emulator.provisioning_token, UNKNOWN_TOKEN}
    operations = Seen()
    options = arguments(spotflow_emulator, tmp_path, display_provisioning_operation_callback=operations)
    # The lowest level that there is.
    with handled_by(watch.handler, logging.getLogger(), level=1):
        spotflow_emulator.http_status("init", 503)
        changes = Seen()
        client = DeviceClient.start(connection_changed_callback=changes, **options)
        sender = client.create_stream_sender()
        sender.send_message("a reading", timeout=PATIENCE)
        # An upload, a password and a registration fail.
        spotflow_emulator.http_status("blob_put", 503)
        sender.send_message(bytes(300000), timeout=PATIENCE)
        spotflow_emulator.http_status("register", 401)
        spotflow_emulator.expire_sas(DEVICE)
        sender.send_message("another reading", timeout=PATIENCE)
        watch.said_by(client, sender, client.status(), client.status().last_error, client.get_desired_properties())
        watch.said_by(*operations.all())
        watch.said_by(*[change.error for change in changes.all()])
        client.close()
        with pytest.raises(RegistrationError) as refused:
            DeviceClient.start(**dict(options, provisioning_token=UNKNOWN_TOKEN, db=str(tmp_path / "other.db")))
        watch.said_by(refused.value)
        watch.handler.seen.wait(lambda record: "will not ask again for an hour" in record.getMessage())
    tokens = stored_tokens(tmp_path / "device.db")
    assert len(tokens) == 2 and spotflow_emulator.provisioning_token in tokens
    watch.secrets |= tokens
    assert watch.leaks() == []
    # The check itself: what leaks is found.
    token = tokens.pop()
    for rows in ([token], [token[:20], token[20:30]], ["%02x" % byte for byte in token[:16].encode()]):
        watch.said += rows
        assert len(watch.leaks()) == 1
        del watch.said[-len(rows) :]
