"""Messages and uploads go at a pace, by limits for all and for each priority."""

import pytest
from spotflow_device import InvalidArgumentError, InvalidTypeError, Pace, Priority

from support import PATIENCE, eventually, payloads

#: One goes at once, and the next in years.
NEXT_TO_NOTHING = Pace(messages_per_second=1e-9)


def test_a_priority_that_has_to_wait_holds_up_no_other(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, lane_pacing={Priority.HIGH: NEXT_TO_NOTHING})
    client.create_stream_sender(priority=Priority.HIGH).enqueue_messages(["high 0", "high 1"])
    spotflow_emulator.wait_messages(1)
    client.create_stream_sender().send_message("normal", timeout=PATIENCE)
    assert client.pending_messages_count == 1
    client.set_pacing()
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [b"high 0", b"normal", b"high 1"]


def test_the_pace_of_all_can_be_changed_while_the_client_runs(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, pacing=NEXT_TO_NOTHING, slow_down_when_throttled=False)
    client.create_stream_sender(priority=Priority.BULK).send_message("first", timeout=PATIENCE)
    urgent = client.create_stream_sender(priority=Priority.URGENT)
    urgent.enqueue_message("held")
    client.update_reported_properties({"is": "paced"})
    eventually("properties go", lambda: not client.any_pending_reported_properties_updates)
    assert payloads(spotflow_emulator) == [b"first"]
    client.set_pacing(lane_pacing={Priority.BULK: NEXT_TO_NOTHING}, slow_down_when_throttled=True)
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [b"first", b"held"]


@pytest.mark.parametrize(
    "limits, rule",
    [
        ({"messages_per_second": 0}, "messages_per_second: must be above 0 and finite, but is 0"),
        ({"messages_per_second": -0.5}, "messages_per_second: must be above 0 and finite, but is -0.5"),
        ({"messages_per_second": float("nan")}, "messages_per_second: must be above 0 and finite, but is NaN"),
        ({"messages_per_second": float("inf")}, "messages_per_second: must be above 0 and finite, but is inf"),
        ({"bytes_per_second": 0}, "bytes_per_second: must be at least 1, but is 0"),
        ({"burst": 0}, "burst: must be 100ms to 3600s, but is 0ns"),
        ({"burst": 3601}, "burst: must be 100ms to 3600s, but is 3601s"),
    ],
)
def test_a_pace_that_breaks_a_rule_is_found_where_it_is_to_hold(spotflow_emulator, start_client, limits, rule):
    pace = Pace(**limits)
    with pytest.raises(InvalidArgumentError, match="^pacing." + rule + "$"):
        start_client(spotflow_emulator, pacing=pace)
    client = start_client(spotflow_emulator)
    with pytest.raises(InvalidArgumentError, match="^pacing." + rule + " for the priority low$"):
        client.set_pacing(lane_pacing={Priority.LOW: pace})


@pytest.mark.parametrize("name", ["messages_per_second", "bytes_per_second", "burst"])
@pytest.mark.parametrize("value", ["1", True, b"1", []])
def test_what_is_no_number_is_a_type_error(name, value):
    with pytest.raises(InvalidTypeError, match="^" + name + ": must be "):
        Pace(**{name: value})


def test_what_no_number_can_express_is_out_of_range():
    for limits in ({"messages_per_second": 10 ** 400}, {"bytes_per_second": 2 ** 64}, {"bytes_per_second": -1}):
        with pytest.raises(InvalidArgumentError, match="is out of range"):
            Pace(**limits)


def test_equal_paces_are_equal():
    assert Pace(messages_per_second=2) == Pace(messages_per_second=2.0) != Pace(bytes_per_second=2)
    assert repr(Pace(messages_per_second=0.5, bytes_per_second=2000)) == (
        "<spotflow_device.Pace per second: 0.5 Messages 2000 bytes>"
    )
    assert repr(Pace()) == "<spotflow_device.Pace per second: no limit>"
