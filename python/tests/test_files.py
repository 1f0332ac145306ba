"""The content of files as Messages."""

import os
import signal
import threading
from pathlib import Path

import pytest
from spotflow_device import (
    ClosedError,
    Compression,
    InvalidArgumentError,
    InvalidTypeError,
    UnreadableFileError,
)

from support import PATIENCE, payloads


class AsPath:
    """Anything with ``__fspath__`` is a path."""

    def __init__(self, path):
        self._path = path

    def __fspath__(self):
        return self._path


@pytest.mark.parametrize("kind", [str, Path, AsPath])
def test_a_file_of_any_path_is_a_message_with_ids(spotflow_emulator, start_client, tmp_path, kind):
    client = start_client(spotflow_emulator)
    content = os.urandom(1_300_000) + b"line of a log\n" * 20_000
    path = tmp_path / "file.log"
    path.write_bytes(content)
    sender = client.create_stream_sender(compression=Compression.FASTEST)
    sender.enqueue_file(kind(str(path)), "batch", message_id="message", batch_slice_id="slice", chunk_id="chunk")
    path.unlink()
    sender.enqueue_message(b"behind")
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [content, b"behind"]
    properties = dict(spotflow_emulator.messages()[0].properties)
    ids = [properties.get(name) for name in ("batch-id", "message-id", "batch-slice-id", "chunk-id")]
    assert ids == ["batch", "message", "slice", "chunk"]


def test_of_files_with_a_key_the_newest_is_kept(spotflow_emulator, start_client, tmp_path):
    client = start_client(spotflow_emulator)
    spotflow_emulator.acknowledge("withhold")
    newest = client.create_stream_sender(keep_latest=True)
    newest.enqueue_message(b"in flight")
    spotflow_emulator.wait_messages(1)
    for number in range(3):
        for camera in ("north", "south"):
            path = tmp_path / camera
            path.write_bytes(b"%s %d" % (camera.encode(), number))
            newest.enqueue_file(path, latest_key=camera)
    with pytest.raises(InvalidArgumentError, match="^latest_key: is for a sender that keeps the latest"):
        client.create_stream_sender().enqueue_file(path, latest_key="south")
    spotflow_emulator.acknowledge("immediately")
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [b"in flight", b"north 2", b"south 2"]
    assert client.status().replaced_messages == 4


def test_what_is_no_file_is_told_and_stores_nothing(spotflow_emulator, start_client, tmp_path):
    client = start_client(spotflow_emulator)
    sender = client.create_stream_sender()
    with pytest.raises(UnreadableFileError, match="not-there.*No such file") as error:
        sender.enqueue_file(tmp_path / "not-there")
    assert isinstance(error.value, OSError) and error.value.retryable
    with pytest.raises(InvalidArgumentError, match="^path: .* is a directory"):
        sender.enqueue_file(tmp_path)
    for path in (None, 5, b"bytes", ["a"]):
        with pytest.raises(InvalidTypeError, match="^path: must be str or os.PathLike"):
            sender.enqueue_file(path)
    with pytest.raises(InvalidArgumentError, match="^path: must not have a NUL"):
        sender.enqueue_file("a\0b")
    path = tmp_path / "file"
    path.write_bytes(b"x")
    with pytest.raises(InvalidArgumentError, match="^batch_id: must not be empty"):
        sender.enqueue_file(path, batch_id="")
    assert client.pending_messages_count == 0
    client.close()
    with pytest.raises(ClosedError):
        sender.enqueue_file(path)


def test_a_signal_ends_a_copy_and_other_threads_run_meanwhile(spotflow_emulator, start_client, tmp_path):
    client = start_client(spotflow_emulator)
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    counted = []
    copying = threading.Event()

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    def count():
        copying.wait(PATIENCE)
        for number in range(100):
            counted.append(number)
        signal.raise_signal(signal.SIGUSR1) if hasattr(signal, "raise_signal") else os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, stop)
    thread = threading.Thread(target=count)
    try:
        thread.start()
        copying.set()
        with pytest.raises(Stop):
            client.create_stream_sender().enqueue_file(path)
        thread.join(PATIENCE)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(counted) == 100
    assert client.pending_messages_count == 0
