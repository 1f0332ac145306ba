"""What a test asks and tells the Platform."""

import json
import re
import socket
import ssl

import pytest

import bare_device
from spotflow_emulator import (
    AckMode,
    Blockage,
    CommandFailed,
    Connection,
    CutPoint,
    Device,
    DropReason,
    Emulator,
    Message,
    MethodAnswer,
    MethodOutcome,
    OperationState,
    Forwarding,
    Properties,
    RelayFault,
    Request,
    Route,
    StorageWrite,
    Transport,
    Upload,
    Way,
    WriteKind,
)


def test_every_command_of_the_program_has_a_method(spotflow_emulator):
    with pytest.raises(CommandFailed) as info:
        spotflow_emulator.command("unheard_of")
    commands = re.findall("`([a-z_]+)`", str(info.value).split("expected one of")[1])
    assert "approve" in commands
    # "quit" is close().
    assert [command for command in commands if not hasattr(Emulator, command)] == ["quit"]


def test_operations_are_decided(start_spotflow_emulator):
    emulator = start_spotflow_emulator("--approve", "manual")
    with pytest.raises(CommandFailed):
        emulator.wait_operation(timeout=0.01)
    _, asked = bare_device.init(emulator, "wanted")
    operation = emulator.wait_operation()
    assert (operation.id, operation.verification_code) == (
        asked["provisioningOperationId"],
        asked["verificationCode"],
    )
    assert (operation.requested_device_id, operation.device_id) == ("wanted", None)
    assert operation.state is OperationState.PENDING
    assert bare_device.complete(emulator, asked)[0] == 202
    assert emulator.approve(operation.verification_code, device="decided") == "decided"
    assert bare_device.complete(emulator, asked)[0] == 200

    _, refused = bare_device.init(emulator, "wanted")
    emulator.refuse(refused["verificationCode"])
    _, expired = bare_device.init(emulator, "wanted")
    emulator.expire_operation(expired["provisioningOperationId"])
    assert [(o.state, o.device_id) for o in emulator.operations()] == [
        (OperationState.APPROVED, "decided"),
        (OperationState.REFUSED, None),
        (OperationState.EXPIRED, None),
    ]


def test_traffic_is_told_byte_for_byte(start_spotflow_emulator):
    emulator = start_spotflow_emulator("--record-traffic")
    with bare_device.Connection(bare_device.registered(emulator, "heard")) as connection:
        connection.publish("stream-name=a%20b", b"\xff")
        *calls, mqtt = emulator.traffic()
    assert [call.from_device.split(b" HTTP")[0] for call in calls] == [
        b"POST /provisioning-operations/init",
        b"PUT /provisioning-operations/complete",
        b"PUT /devices/register",
    ]
    assert [call.to_device[:15] for call in calls] == [b"HTTP/1.1 200 OK"] * 3
    assert mqtt.from_device.startswith(b"\x10")
    assert mqtt.from_device.endswith(b"/messages/events/stream-name=a%20b\x00\x01\xff")
    # CONNACK and PUBACK
    assert mqtt.to_device == b"\x20\x02\x00\x00" + b"\x40\x02\x00\x01"


def test_provisioning_tokens_come_and_go(spotflow_emulator):
    token = spotflow_emulator.add_provisioning_token(device="from-token", workspace="other")
    path = "/provisioning-operations/init"
    assert bare_device.call(spotflow_emulator, "POST", path, token, {})[0] == 200
    spotflow_emulator.revoke_provisioning_token(token)
    assert bare_device.call(spotflow_emulator, "POST", path, token, {})[0] == 401


def test_devices_connections_and_messages_are_told(spotflow_emulator):
    connection_string = bare_device.registered(spotflow_emulator, "told")
    workspace_id = spotflow_emulator.workspace_id
    with bare_device.Connection(connection_string) as connection:
        assert connection.code == 0
        spotflow_emulator.wait_connected("told")
        assert spotflow_emulator.devices() == [Device(workspace_id, "told", True)]
        connection.publish("stream-name=a%20b&stream-name=second", b"\xff{}")
        connection.publish("", b'{"a": 1}')
        first, second = spotflow_emulator.wait_messages(2)
    spotflow_emulator.wait_connected("told", connected=False)
    assert first == Message(
        sequence=1,
        workspace_id=workspace_id,
        device_id="told",
        connection=1,
        topic=f"devices/{workspace_id}:told/messages/events/stream-name=a%20b&stream-name=second",
        properties={"stream-name": "a b"},
        payload=b"\xff{}",
        payload_error=None,
        raw_length=3,
        external=False,
        packet_id=1,
        dup=False,
        repeat=False,
        acknowledged=True,
    )
    assert (first.text, second.json()) == ("\ufffd{}", {"a": 1})
    assert spotflow_emulator.messages("told", after=1) == [second]
    spotflow_emulator.clear_messages()
    assert spotflow_emulator.messages() == []
    [ended] = spotflow_emulator.connections()
    assert ended.end
    assert ended == Connection(
        number=1,
        client_id=f"{workspace_id}:told",
        user_name=f"{spotflow_emulator.hub}/{workspace_id}:told/?api-version=2018-06-30",
        keep_alive=60,
        clean_session=False,
        session_present=False,
        code=0,
        end=ended.end,
    )


def test_requests_are_told_and_counted(spotflow_emulator):
    bare_device.registered(spotflow_emulator, "asking")
    bare_device.call(spotflow_emulator, "PUT", "/nowhere", "", {})
    assert spotflow_emulator.requests() == [
        Request(Route.INIT, "POST", "/provisioning-operations/init", 200),
        Request(Route.COMPLETE, "PUT", "/provisioning-operations/complete", 200),
        Request(Route.REGISTER, "PUT", "/devices/register", 200),
        Request(Route.ANY, "PUT", "/nowhere", 404),
    ]
    assert spotflow_emulator.requests()[0].route is Route.INIT
    assert spotflow_emulator.request_count(Route.REGISTER) == 1
    assert spotflow_emulator.request_count() == 4


def test_twins_are_written_and_read(spotflow_emulator):
    bare_device.registered(spotflow_emulator, "twin")
    version = spotflow_emulator.set_desired("twin", {"a": 1, "b": {"c": [None]}})
    assert spotflow_emulator.desired("twin") == Properties({"a": 1, "b": {"c": [None]}}, version)
    version = spotflow_emulator.patch_desired("twin", {"a": None})
    assert spotflow_emulator.desired("twin") == Properties({"b": {"c": [None]}}, version)
    assert spotflow_emulator.reported("twin").properties == {}
    assert spotflow_emulator.reported_patches("twin") == []
    spotflow_emulator.wait_reported("twin", {})
    with pytest.raises(CommandFailed, match="not within"):
        spotflow_emulator.wait_reported("twin", {"a": 1}, timeout=0.01)
    spotflow_emulator.reset_twin("twin")
    assert spotflow_emulator.desired("twin").properties == {}


def test_cloud_to_device_messages_wait(spotflow_emulator):
    bare_device.registered(spotflow_emulator, "away")
    spotflow_emulator.send("away", "text", {"key": "value"})
    spotflow_emulator.send("away", b"\x00\xff")
    assert spotflow_emulator.cloud_messages_waiting("away") == 2
    spotflow_emulator.wait_cloud_messages("away", waiting=2)
    with pytest.raises(CommandFailed, match="not connected"):
        spotflow_emulator.call_method("away", "method", {"a": 1})
    assert spotflow_emulator.subscriptions("away") == []
    assert spotflow_emulator.uploads() == []


def test_direct_methods_are_called_and_their_answers_told(spotflow_emulator):
    with bare_device.Connection(bare_device.registered(spotflow_emulator, "called")) as connection:
        connection.subscribe("$iothub/methods/POST/#")
        number = spotflow_emulator.begin_method("called", "a/b", {"x": None})
        topic, payload = connection.answer_method(200, b'{"y": 1}')
        assert topic.startswith("$iothub/methods/POST/a/b/?$rid=")
        assert payload == b'{"x":null}'
        assert spotflow_emulator.wait_method(number) == MethodAnswer(200, '{"y": 1}')
        for content, sent in (({"payload": None}, b"null"), ({"raw": b""}, b""), ({"raw": b"{"}, b"{")):
            number = spotflow_emulator.begin_method("called", "m", **content)
            assert connection.answer_method(404, b"")[1] == sent
            assert spotflow_emulator.wait_method(number).json() is None
        number = spotflow_emulator.begin_method("called", "late", timeout=0.01)
        with pytest.raises(CommandFailed, match='not within 10ms: an answer of "called" to the method "late"'):
            spotflow_emulator.wait_method(number)
        connection.answer_method(200, b"too late")
        connection.publish("", b"so that the answer has come")
    *_, first_of_raw, last = spotflow_emulator.method_calls()
    assert (first_of_raw.outcome, first_of_raw.answer) == (MethodOutcome.ANSWERED, MethodAnswer(404, ""))
    assert (last.method, last.payload, last.outcome) == ("late", "null", MethodOutcome.GIVEN_UP)
    [dropped] = spotflow_emulator.dropped_method_answers()
    assert (dropped.reason, dropped.request_id) == (DropReason.LATE, last.request_id)
    assert dropped.answer.payload == "too late"


def test_uploads_are_told_block_by_block(start_spotflow_emulator):
    emulator = start_spotflow_emulator("--upload-sas-lifetime", "5m")
    connection_string = bare_device.registered(emulator, "loader")

    def block_put(sas, content=b"block"):
        return bare_device.put(f"{sas}&comp=block&blockid=MDAx", content)

    sas = bare_device.open_upload(connection_string, "blob")
    assert block_put(sas) == 201
    assert emulator.uncommitted_blocks("loader", "blob") == {"MDAx": 5}
    emulator.cut_storage_after(3)
    with pytest.raises(OSError):
        block_put(sas)
    emulator.cut_storage_after(None)
    emulator.refuse_blocks()
    assert block_put(sas) == 400
    emulator.refuse_blocks(False)
    emulator.storage_rate(1000.0)
    assert block_put(sas, b"x") == 201
    emulator.storage_rate(None)
    assert bare_device.put(f"{sas}&comp=blocklist", b"<BlockList><Latest>MDAx</Latest></BlockList>") == 201
    emulator.expire_upload_sas()
    assert block_put(sas) == 403
    hub_id = connection_string["DeviceId"]
    assert emulator.uploads() == [Upload(hub_id, "blob", bytes=1, blocks=1, success=None)]
    emulator.expire_uploads()
    assert emulator.uploads()[0].success is False
    writes = emulator.wait_storage_writes(3)
    assert writes == emulator.storage_writes()
    assert writes[0] == StorageWrite(hub_id, "blob", WriteKind.BLOCK, "MDAx", 5, 5, 201)
    assert [(w.kind, w.block_id, w.received_bytes, w.status) for w in writes[1:]] == [
        (WriteKind.BLOCK, "MDAx", 3, None),
        (WriteKind.BLOCK, "MDAx", 1, 201),
        (WriteKind.BLOCK_LIST, None, 44, 201),
    ]
    assert emulator.request_count(Route.BLOCK_PUT) == 5


def test_messages_are_throttled(spotflow_emulator):
    connection_string = bare_device.registered(spotflow_emulator, "eager")
    spotflow_emulator.throttle_messages(per_second=0.001, burst=1)
    with bare_device.Connection(connection_string) as connection:
        connection.publish("", b"first")
        with pytest.raises((AssertionError, ConnectionError, ssl.SSLError)):
            connection.publish("", b"second")
    spotflow_emulator.stop_throttling()
    with bare_device.Connection(connection_string) as connection:
        connection.publish("", b"second")
    assert len(spotflow_emulator.messages()) == 2


def test_ways_are_blocked_and_opened(spotflow_emulator):
    connection_string = bare_device.registered(spotflow_emulator, "blocked")
    for blockage in Blockage:
        for way in (Way.WEB_SOCKET, Way.MQTT):
            spotflow_emulator.block(way, blockage)
    spotflow_emulator.block(Way.MQTT, Blockage.CUT)
    with pytest.raises((AssertionError, ConnectionError, ssl.SSLError)):
        bare_device.Connection(connection_string)
    spotflow_emulator.unblock(Way.MQTT)
    with bare_device.Connection(connection_string) as connection:
        assert connection.code == 0
    [seen] = spotflow_emulator.connections()
    assert seen.transport is Transport.MQTT
    spotflow_emulator.websocket_frame_bytes(3)
    spotflow_emulator.websocket_frame_bytes(None)
    spotflow_emulator.block(Way.HTTPS, Blockage.REFUSED)
    with pytest.raises(OSError):
        bare_device.init(spotflow_emulator, "blocked")
    spotflow_emulator.unblock(Way.HTTPS)
    assert bare_device.init(spotflow_emulator, "blocked")[0] == 200


def test_ports_lead_to_devices(spotflow_emulator):
    with bare_device.Connection(bare_device.registered(spotflow_emulator, "behind")) as connection:
        connection.subscribe("$iothub/methods/POST/#")
        local_port = spotflow_emulator.forward("behind", 22)
        assert spotflow_emulator.forwardings() == [Forwarding(local_port, "behind", 22)]
        with socket.create_connection(("127.0.0.1", local_port), timeout=bare_device.DEADLINE) as technician:
            topic, payload = connection.answer_method(500, b'{"detail": "refused"}')
            with pytest.raises(ConnectionResetError):
                technician.recv(1)
        [tunnel] = spotflow_emulator.wait_tunnels(ended=1)
    assert "/!remote-access/" in topic
    assert json.loads(payload.decode()) == {
        "tunnelId": tunnel.id,
        "port": 22,
        "tunnelSecureUri": tunnel.uri,
        "traceparentHeader": tunnel.traceparent,
    }
    assert (tunnel.device, tunnel.port, tunnel.status, tunnel.open) == ("behind", 22, 500, False)
    assert tunnel.end == 'the device answered 500: {"detail": "refused"}'
    assert spotflow_emulator.tunnels() == [tunnel]
    with pytest.raises(CommandFailed, match="not within 10ms"):
        spotflow_emulator.wait_tunnels(open=1, timeout=0.01)
    for fault in RelayFault:
        spotflow_emulator.break_relay(fault, 1000)
    with pytest.raises(CommandFailed, match="needs a number"):
        spotflow_emulator.break_relay(RelayFault.CUT_AFTER)
    spotflow_emulator.mend_relay()
    assert spotflow_emulator.stop_forwarding(local_port)
    assert not spotflow_emulator.stop_forwarding(local_port)


def test_devices_lose_what_lets_them_in(spotflow_emulator):
    with bare_device.Connection(bare_device.registered(spotflow_emulator, "lost")):
        spotflow_emulator.expire_sas("lost")
        spotflow_emulator.wait_connected("lost", connected=False)
    spotflow_emulator.revoke_registration_tokens("lost")
    spotflow_emulator.delete_device("lost")
    assert spotflow_emulator.devices() == []
    with pytest.raises(CommandFailed, match='no device "lost"'):
        spotflow_emulator.expire_sas("lost")


def test_http_faults_are_ordered(spotflow_emulator):
    def status():
        return bare_device.init(spotflow_emulator, "refused")[0]

    spotflow_emulator.http_status(Route.INIT, 503)
    assert [status(), status()] == [503, 200]
    spotflow_emulator.http_status(Route.ANY, 410, problem_type="/problems/x", count=2)
    assert bare_device.init(spotflow_emulator, "refused")[1]["type"] == "/problems/x"
    spotflow_emulator.clear_http_faults()
    assert status() == 200
    page = "<html>Sign in</html>"
    spotflow_emulator.http_answer(Route.ANY, 511, {"content-type": "text/html"}, page)
    for _ in range(3):
        assert bare_device.put(f"https://{spotflow_emulator.instance}/anything", b"") == 511
    spotflow_emulator.clear_http_faults()
    spotflow_emulator.http_answer(Route.INIT, 200, body=b'{"portal": true}', count=1)
    assert bare_device.init(spotflow_emulator, "refused") == (200, {"portal": True})
    assert "portal" not in bare_device.init(spotflow_emulator, "refused")[1]
    spotflow_emulator.disable_workspace()
    assert status() == 423
    spotflow_emulator.disable_workspace(False)
    assert status() == 200
    spotflow_emulator.http_hang(Route.REGISTER)
    spotflow_emulator.http_hang(Route.REGISTER, False)


def test_the_hubs_faults_are_ordered(spotflow_emulator):
    connection_string = bare_device.registered(spotflow_emulator, "faulty")
    spotflow_emulator.refuse_connects(5, count=1)
    with bare_device.Connection(connection_string) as refused:
        assert refused.code == 5
    spotflow_emulator.cut_after_messages(1, CutPoint.AFTER_ACK)
    with bare_device.Connection(connection_string) as connection:
        connection.publish("", b"last")
        spotflow_emulator.wait_connected("faulty", connected=False)
    spotflow_emulator.acknowledge(AckMode.AFTER, seconds=0.001)
    with bare_device.Connection(connection_string) as connection:
        connection.publish("", b"late")
        spotflow_emulator.close_connection("faulty")
        spotflow_emulator.wait_connected("faulty", connected=False)
    for mode in (AckMode.WITHHOLD, AckMode.IMMEDIATELY):
        spotflow_emulator.acknowledge(mode)
    with pytest.raises(CommandFailed, match="seconds are needed"):
        spotflow_emulator.acknowledge(AckMode.AFTER)
    spotflow_emulator.release_acknowledgements()
    recorded = len(spotflow_emulator.messages())
    spotflow_emulator.refuse_messages()
    with bare_device.Connection(connection_string) as connection:
        # An end of the connection, which older versions of Python take for an error of TLS.
        with pytest.raises((AssertionError, ConnectionError, ssl.SSLError)):
            connection.publish("", b"refused")
        spotflow_emulator.wait_connected("faulty", connected=False)
    spotflow_emulator.refuse_messages(False)
    assert len(spotflow_emulator.messages()) == recorded
    spotflow_emulator.go_silent()
    spotflow_emulator.go_silent(False)
    spotflow_emulator.forget_sessions()
    spotflow_emulator.twin_status(429, count=2)
    spotflow_emulator.accept_connections(False)
    with pytest.raises(OSError):
        bare_device.Connection(connection_string)
    spotflow_emulator.accept_connections(True)
    with bare_device.Connection(connection_string) as connection:
        assert connection.code == 0
    spotflow_emulator.close_connections()
    assert [c.code for c in spotflow_emulator.connections()] == [5, 0, 0, 0, 0]


def test_a_summary_tells_the_last_of_everything(spotflow_emulator):
    connection_string = bare_device.registered(spotflow_emulator, "seen")
    with bare_device.Connection(connection_string) as connection:
        for number in range(25):
            connection.publish("stream-name=numbers", b"%d " % number * 40)
        lines = spotflow_emulator.summary().splitlines()
    hub_id = f"{spotflow_emulator.workspace_id}:seen"
    [code] = [operation.verification_code for operation in spotflow_emulator.operations()]
    assert f"  {code} approved for seen" in lines
    assert "  PUT /devices/register: 200" in lines
    assert f"  1 {hub_id}: open" in lines
    assert "Messages: the last 20 of 25" in lines
    assert lines[-1].startswith("  25 seen stream-name=numbers b'24 24 24")
    assert lines[-1].endswith("... (120 bytes)")
    assert not any(line.startswith("  5 seen") for line in lines)
