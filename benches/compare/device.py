"""A device in a process of its own, the same under either package: it obeys JSON lines.

``{"do": NAME, ...}`` comes in on standard input, the answer goes out on standard output. It ends with its input.
"""

import json
import os
import sys
import threading
import time

import counters


class Device:
    """Each public method is an order."""

    def __init__(self):
        self._client = self._sender = None

    def memory(self):
        return counters.memory()

    def cost(self):
        return counters.cost()

    def start(self, durability=None, codec=None, compression=None, **options):
        """The options that only this SDK has are not given to the published one."""
        import spotflow_device as sdk

        if durability:
            options["durability"] = getattr(sdk.Durability, durability)
        if codec:
            options["codec"] = getattr(sdk.Codec, codec)
        self._client = sdk.DeviceClient.start(
            **options, display_provisioning_operation_callback=lambda operation: None
        )
        chosen = getattr(sdk.Compression, compression) if compression else None
        self._sender = self._client.create_stream_sender("benches", "compare", chosen)

    def enqueue(self, count, size):
        """Stores so many Messages, and tells what that cost, without what it costs to make them."""
        payloads = [_payload(index, size) for index in range(count)]
        before, began = counters.cost(), time.perf_counter()
        for payload in payloads:
            self._sender.enqueue_message(payload)
        seconds, after = time.perf_counter() - began, counters.cost()
        return {"seconds": seconds, **{name: after[name] - before[name] for name in ("cpu_seconds", "written_bytes")}}

    def enqueue_from_threads(self, threads, count, size):
        """Stores so many Messages from each of so many threads, which share the sender."""
        failures = []

        def work(number):
            for index in range(count):
                try:
                    self._sender.enqueue_message(_payload(number * count + index, size))
                except BaseException as error:  # The published SDK's is no Exception.
                    failures.append(f"{type(error).__name__}: {error}")

        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return {"seconds": time.perf_counter() - began, "failures": len(failures), "first": failures[:1]}

    def enqueue_texts(self, texts):
        for text in texts:
            # Text is for this SDK only.
            self._sender.enqueue_message(text.encode())

    def send(self, count, size):
        """Sends so many Messages, one after the other; returns the seconds that each took."""
        took = []
        for index in range(count):
            began = time.perf_counter()
            self._sender.send_message(_payload(index, size))
            took.append(time.perf_counter() - began)
        return took

    def wait(self):
        self._client.wait_enqueued_messages_sent()

    def pending(self):
        return self._client.pending_messages_count


def _payload(index, size):
    """No two in a row are equal, or the Platform would take the second one for a repeat."""
    return b"%-*d" % (size, index)


def main():
    # The package may print; the answers are not mixed with that.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    device = Device()
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"result": getattr(device, order.pop("do"))(**order)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


main()
