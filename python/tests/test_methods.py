"""Direct methods: the cloud calls functions of the program."""

import gc
import json
import threading
import weakref

import pytest
from spotflow_device import DeviceClient, InvalidArgumentError, InvalidTypeError, MethodRequest, MethodResponse
from spotflow_emulator import EmulatorError

from support import DEVICE, PATIENCE, arguments, eventually

METHODS = "$iothub/methods/POST/#"


def call(emulator, method, payload=None, **options):
    """Calls a method as soon as the device can be called; its status and payload."""
    eventually("the device can be called", lambda: METHODS in emulator.subscriptions(DEVICE))
    answer = emulator.call_method(DEVICE, method, payload, timeout=PATIENCE, **options)
    return answer.status, json.loads(answer.payload)


def test_a_function_gets_the_payload_and_its_answer_goes_back(spotflow_emulator, start_client):
    def add(request: MethodRequest) -> MethodResponse:
        return MethodResponse(201, {"name": request.name, "sum": sum(request.payload)})

    start_client(spotflow_emulator, methods={"add": add})
    assert call(spotflow_emulator, "add", [19, 23]) == (201, {"name": "add", "sum": 42})


@pytest.mark.parametrize("payload", [None, True, 0, -1.5, "text ä", [1, [2, {}]], {"a": {"b": None}}, 2 ** 63])
def test_a_returned_payload_is_answered_with_200(spotflow_emulator, start_client, payload):
    start_client(spotflow_emulator, methods={"echo": lambda request: request.payload})
    assert call(spotflow_emulator, "echo", payload) == (200, payload)


def test_all_other_names_go_to_the_callback(spotflow_emulator, start_client):
    start_client(
        spotflow_emulator, methods={"one": lambda request: 1}, method_request_callback=lambda request: request.name
    )
    assert call(spotflow_emulator, "one") == (200, 1)
    assert call(spotflow_emulator, "any/thing else") == (200, "any/thing else")


def test_an_unknown_name_is_404_and_what_is_no_json_400(spotflow_emulator, start_client):
    start_client(spotflow_emulator, methods={"one": lambda request: 1})
    assert call(spotflow_emulator, "two")[0] == 404
    assert call(spotflow_emulator, "one", raw=b"{")[0] == 400


def test_an_empty_body_is_none(spotflow_emulator, start_client):
    start_client(spotflow_emulator, methods={"is none": lambda request: request.payload is None})
    assert call(spotflow_emulator, "is none", raw=b"") == (200, True)


class Own(Exception):
    pass


@pytest.mark.parametrize("raised", [Own("the password is hunter2"), SystemExit(1), KeyboardInterrupt()])
def test_a_function_that_raises_is_500_and_only_the_log_says_why(spotflow_emulator, start_client, caplog, raised):
    def fail(request):
        raise raised

    start_client(spotflow_emulator, methods={"fail": fail, "works": lambda request: "yes"})
    status, body = call(spotflow_emulator, "fail")
    assert status == 500
    assert "hunter2" not in str(body)

    def logged():
        return [record for record in caplog.records if record.name == "spotflow_device.callbacks"]

    eventually("it is logged", logged)
    assert logged()[0].exc_info[1] is raised
    assert call(spotflow_emulator, "works") == (200, "yes")


@pytest.mark.parametrize(
    "returned",
    [object(), {1: 2}, float("nan"), b"bytes", "x" * (128 << 10)],
    ids=["an object", "keys", "no number", "bytes", "too long"],
)
def test_what_cannot_be_an_answer_is_500(spotflow_emulator, start_client, returned):
    start_client(spotflow_emulator, methods={"odd": lambda request: returned})
    assert call(spotflow_emulator, "odd")[0] == 500


def test_several_run_at_once_and_more_wait(spotflow_emulator, start_client):
    together = threading.Barrier(3)
    start_client(
        spotflow_emulator, methods={"meet": lambda request: together.wait(PATIENCE) and None}, method_threads=3
    )
    eventually("the device can be called", lambda: METHODS in spotflow_emulator.subscriptions(DEVICE))
    calls = [spotflow_emulator.begin_method(DEVICE, "meet", timeout=PATIENCE) for _ in range(6)]
    assert [spotflow_emulator.wait_method(number).status for number in calls] == [200] * 6


def test_a_function_can_use_the_client(spotflow_emulator, start_client):
    client = None

    def send(request):
        client.create_stream_sender().send_message(request.payload, timeout=PATIENCE)
        return client.status().pending_messages

    client = start_client(spotflow_emulator, methods={"send": send})
    assert call(spotflow_emulator, "send", "from a method") == (200, 0)
    assert [message.payload for message in spotflow_emulator.messages()] == [b"from a method"]


def test_close_tells_a_running_function_and_its_answer_goes_out(spotflow_emulator, start_client):
    running = threading.Event()

    def wait(request):
        running.set()
        eventually("the client is closed", lambda: request.is_cancelled)
        return "ended"

    client = start_client(spotflow_emulator, methods={"wait": wait})
    eventually("the device can be called", lambda: METHODS in spotflow_emulator.subscriptions(DEVICE))
    number = spotflow_emulator.begin_method(DEVICE, "wait", timeout=PATIENCE)
    assert running.wait(PATIENCE)
    client.close()
    assert spotflow_emulator.wait_method(number).payload == '"ended"'
    with pytest.raises(EmulatorError):
        spotflow_emulator.call_method(DEVICE, "wait", timeout=5)


def test_a_function_may_close_the_client(spotflow_emulator, start_client, caplog):
    closed = threading.Event()

    def close(request):
        client.close()
        closed.set()

    client = start_client(spotflow_emulator, methods={"close": close})
    eventually("the device can be called", lambda: METHODS in spotflow_emulator.subscriptions(DEVICE))
    spotflow_emulator.begin_method(DEVICE, "close", timeout=PATIENCE)
    assert closed.wait(PATIENCE)
    # The close did not wait for the function that it is called in.
    assert not [record for record in caplog.records if "left behind" in record.getMessage()]


def test_without_methods_nothing_is_subscribed_to(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, methods={})
    client.create_stream_sender().send_message("behind the subscriptions", timeout=PATIENCE)
    assert METHODS not in spotflow_emulator.subscriptions(DEVICE)


def test_a_client_whose_methods_are_its_owners_goes_with_it(spotflow_emulator, tmp_path):
    class Owner:
        def __init__(self):
            self.client = DeviceClient.start(**arguments(spotflow_emulator, tmp_path, methods={"one": self.one}))

        def one(self, request):
            return 1

    owner = Owner()
    assert call(spotflow_emulator, "one") == (200, 1)
    gone = weakref.ref(owner)
    del owner
    eventually("it is collected", lambda: gc.collect() is not None and gone() is None)
    spotflow_emulator.wait_connected(DEVICE, False)


def test_changing_the_dictionary_later_changes_nothing(spotflow_emulator, start_client):
    methods = {"one": lambda request: 1}
    start_client(spotflow_emulator, methods=methods)
    methods.clear()
    assert call(spotflow_emulator, "one") == (200, 1)


@pytest.mark.parametrize("methods", [[], "one", {1: print}, {"one": 1}])
def test_what_is_no_dictionary_of_functions_is_a_type_error(spotflow_emulator, start_client, methods):
    with pytest.raises(InvalidTypeError, match="^methods: must be "):
        start_client(spotflow_emulator, methods=methods)


@pytest.mark.parametrize("name", ["", "!remote-access", "line\nend"])
def test_a_name_that_breaks_a_rule_is_refused(spotflow_emulator, start_client, name):
    with pytest.raises(InvalidArgumentError, match="^methods: a method's name "):
        start_client(spotflow_emulator, methods={name: print})


def test_a_response_shows_what_it_is():
    response = MethodResponse(404, {"detail": "no such sensor"})
    assert (response.status, response.payload) == (404, {"detail": "no such sensor"})
    assert repr(response) == "<spotflow_device.MethodResponse 404: {'detail': 'no such sensor'}>"
    assert MethodResponse(204).payload is None
    for status in (-1, 70000):
        with pytest.raises(InvalidArgumentError, match="^status: is out of range"):
            MethodResponse(status)
    with pytest.raises(InvalidTypeError, match="^payload: "):
        MethodResponse(200, object())
