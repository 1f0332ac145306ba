"""What is in a device's bytes: MQTT packets and HTTP requests. Parsed here and not by the emulator, so that nothing
that a device wrote is smoothed over."""

import json
from collections import namedtuple

#: `kind` is the name, `flags` the low four bits of the first byte, `body` what follows the length.
Packet = namedtuple("Packet", "kind flags body")
#: `filters` is [(topic filter, QoS)].
Subscribe = namedtuple("Subscribe", "packet_id filters")
Publish = namedtuple("Publish", "topic payload qos retain dup packet_id")
Connect = namedtuple(
    "Connect", "protocol level clean_session will keep_alive reserved client_id user_name password rest"
)
#: `headers` is [(name, value)] as they came.
Request = namedtuple("Request", "method target version headers body")
#: `json` is nothing where the body is none.
Answer = namedtuple("Answer", "status json")

_KINDS = (
    "reserved CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK "
    "PINGREQ PINGRESP DISCONNECT reserved"
).split()


class Reader:
    """Takes MQTT's fields off the front of bytes."""

    def __init__(self, data):
        self.rest = data

    def take(self, count):
        taken, self.rest = self.rest[:count], self.rest[count:]
        if len(taken) < count:
            raise EOFError(f"{count} bytes expected, {len(taken)} left")
        return taken

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def field(self):
        return self.take(self.number(2))

    def text(self):
        return self.field().decode()


def is_mqtt(data):
    return data[:1] == b"\x10"


def packets(data):
    """The complete packets of a connection."""
    offset, found = 0, []
    while True:
        length, shift, body = 0, 0, offset + 1
        while True:
            if body >= len(data):
                return found
            byte = data[body]
            length, shift, body = length | (byte & 0x7F) << shift, shift + 7, body + 1
            if byte < 0x80:
                break
        if body + length > len(data):
            return found
        first = data[offset]
        found.append(Packet(_KINDS[first >> 4], first & 0x0F, data[body : body + length]))
        offset = body + length


def connect(packet):
    reader = Reader(packet.body)
    protocol, level, flags, keep_alive = reader.text(), reader.number(1), reader.number(1), reader.number(2)
    client_id = reader.text()
    will = None
    if flags & 0x04:
        will = (reader.text(), reader.field(), flags >> 3 & 3, bool(flags & 0x20))
    user_name = reader.text() if flags & 0x80 else None
    password = reader.text() if flags & 0x40 else None
    return Connect(
        protocol, level, bool(flags & 2), will, keep_alive, flags & 1, client_id, user_name, password, reader.rest
    )


def publish(packet):
    reader = Reader(packet.body)
    topic, qos = reader.text(), packet.flags >> 1 & 3
    packet_id = reader.number(2) if qos else None
    return Publish(topic, reader.rest, qos, bool(packet.flags & 1), bool(packet.flags & 8), packet_id)


def subscribe(packet):
    reader, filters = Reader(packet.body), []
    packet_id = reader.number(2)
    while reader.rest:
        filters.append((reader.text(), reader.number(1)))
    return Subscribe(packet_id, filters)


def requests(data):
    """The complete HTTP requests of a connection."""
    return [
        Request(*(start.split(" ", 2) + [headers, body]))
        for start, headers, body in _http(data)
    ]


def answers(data):
    """The complete HTTP answers of a connection."""
    found = []
    for start, _, body in _http(data):
        try:
            content = json.loads(body.decode())
        except ValueError:
            content = None
        found.append(Answer(int(start.split(" ", 2)[1]), content))
    return found


def _http(data):
    reader = Reader(data)
    try:
        while reader.rest:
            head, separator, _ = reader.rest.partition(b"\r\n\r\n")
            reader.take(len(head) + len(b"\r\n\r\n"))
            start, *lines = head.decode("latin-1").split("\r\n")
            headers = [tuple(line.split(": ", 1)) for line in lines]
            yield start, headers, _body(reader, {name.lower(): value for name, value in headers})
    except EOFError:
        return


def _body(reader, headers):
    if headers.get("transfer-encoding") != "chunked":
        return reader.take(int(headers.get("content-length", 0)))
    body = b""
    while True:
        size, _, _ = reader.rest.partition(b"\r\n")
        reader.take(len(size) + 2)
        chunk = reader.take(int(size, 16))
        reader.take(2)
        if not chunk:
            return body
        body += chunk
