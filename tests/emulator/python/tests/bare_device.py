"""A device in its barest form: HTTP calls, and MQTT packets written by hand."""

import json
import os
import socket
import ssl
import urllib.error
import urllib.request

DEADLINE = 20.0


def _trust():
    # As a device does: the test has set the variable.
    return ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])


def _direct():
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_trust())
    )


def call(emulator, method, path, token, body):
    """The status and the JSON of the answer."""
    request = urllib.request.Request(
        f"https://{emulator.instance}{path}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"DeviceToken {token}", "Content-Type": "application/json"},
        method=method,
    )
    try:
        with _direct().open(request, timeout=DEADLINE) as answer:
            return answer.status, json.loads(answer.read().decode() or "null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read().decode() or "null")


def init(emulator, device_id):
    """Begins a Provisioning Operation."""
    return call(
        emulator, "POST", "/provisioning-operations/init", emulator.provisioning_token, {"deviceId": device_id}
    )


def complete(emulator, operation):
    """Asks whether it was approved."""
    body = {"provisioningOperationId": operation["provisioningOperationId"]}
    return call(emulator, "PUT", "/provisioning-operations/complete", emulator.provisioning_token, body)


def register(emulator, registration_token):
    """Asks for what the hub needs."""
    body = {"connectionStringType": "SharedAccessSignature"}
    return call(emulator, "PUT", "/devices/register", registration_token, body)


def registered(emulator, device_id):
    """Has itself let in; returns the connection string's parts."""
    _, operation = init(emulator, device_id)
    _, approved = complete(emulator, operation)
    _, registration = register(emulator, approved["registrationToken"])
    return dict(part.split("=", 1) for part in registration["connectionString"].split(";"))


def open_upload(connection_string, blob_name):
    """Asks for a place to upload to; returns its URL with the SAS."""
    path = f"/devices/{connection_string['DeviceId']}/files?api-version=2020-03-13"
    request = urllib.request.Request(
        f"https://{connection_string['HostName']}{path}",
        data=json.dumps({"blobName": blob_name}).encode(),
        headers={"Authorization": connection_string["SharedAccessSignature"]},
    )
    with _direct().open(request, timeout=DEADLINE) as answer:
        place = json.loads(answer.read().decode())
    return "https://{hostName}/{containerName}/{blobName}{sasToken}".format(**place)


def put(url, content):
    """The status of the answer."""
    request = urllib.request.Request(url, data=content, method="PUT")
    try:
        with _direct().open(request, timeout=DEADLINE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


class Connection:
    """An MQTT connection. A context manager: its end is without a DISCONNECT."""

    def __init__(self, connection_string):
        self._hub_id = connection_string["DeviceId"]
        host = connection_string["HostName"]
        name, _, port = host.partition(":")
        plain = socket.create_connection((name, int(port or 8883)), timeout=DEADLINE)
        self._stream = _trust().wrap_socket(plain, server_hostname=name)
        user = f"{host}/{self._hub_id}/?api-version=2018-06-30"
        fields = (self._hub_id, user, connection_string["SharedAccessSignature"])
        # Protocol level 4; user name, password, no clean session; a minute's keep-alive.
        try:
            self._write(0x10, _text("MQTT") + b"\x04\xc0\x00\x3c" + b"".join(map(_text, fields)))
            self.code = self._read()[3]
        except BaseException:
            self._stream.close()
            raise

    def publish(self, properties, payload):
        """Sends a Message with QoS 1 and reads the acknowledgement."""
        topic = f"devices/{self._hub_id}/messages/events/{properties}"
        self._write(0x32, _text(topic) + b"\x00\x01" + payload)
        return self._read()

    def publish_unacknowledged(self, properties, payload):
        """Sends a Message with QoS 0."""
        self._write(0x30, _text(f"devices/{self._hub_id}/messages/events/{properties}") + payload)

    def report(self, patch):
        """Sends a patch of the Reported Properties."""
        self._write(0x30, _text("$iothub/twin/PATCH/properties/reported/?$rid=1") + patch)

    def answer_method(self, status, body):
        """Waits for a direct method, answers it, and returns its topic and payload."""
        kind, packet = self.receive()
        assert kind == 0x30, "a publish of QoS 0"
        length = int.from_bytes(packet[:2], "big")
        topic, payload = packet[2 : 2 + length].decode(), packet[2 + length :]
        rid = topic.split("$rid=")[1]
        self._write(0x30, _text(f"$iothub/methods/res/{status}/?$rid={rid}") + body)
        return topic, payload

    def subscribe(self, topic_filter):
        """Subscribes with QoS 0."""
        self._write(0x82, b"\x00\x02" + _text(topic_filter) + b"\x00")
        assert self.receive() == (0x90, b"\x00\x02\x00")

    def receive(self):
        """The first byte and the body of the next packet."""
        kind, length, shift = self._exactly(1)[0], 0, 0
        while True:
            byte = self._exactly(1)[0]
            length, shift = length | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return kind, self._exactly(length)

    def _write(self, kind, body):
        length, rest = b"", len(body)
        while rest >= 0x80:
            length, rest = length + bytes([rest & 0x7F | 0x80]), rest >> 7
        self._stream.sendall(bytes([kind]) + length + bytes([rest]) + body)

    def _read(self):
        """A packet of four bytes, as CONNACK and PUBACK are."""
        return self._exactly(4)

    def _exactly(self, length):
        content = b""
        while len(content) < length:
            piece = self._stream.recv(length - len(content))
            assert piece, "the hub closed the connection"
            content += piece
        return content

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()


def _text(text):
    content = text.encode()
    return len(content).to_bytes(2, "big") + content
