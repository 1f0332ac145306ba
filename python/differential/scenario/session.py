"""What is told of a whole run of a device: its HTTP requests, how it connects, and what it says first."""

import re

from . import http, messages, wire


def note(cases, case, rig, skip):
    """Adds what went over the connections after the first `skip` ones."""
    placeholders = rig.placeholders()
    requests = [request for request in rig.requests(skip)]
    cases.note(case, requests=[f"{request.method} {placeholders.text(request.target)}" for request in _once(requests)])
    for number, request in enumerate(_once(requests), 1):
        http.note(cases, f"{case}/request {number}", request, placeholders)
    for number, packets in enumerate(rig.sessions(skip), 1):
        _note_session(cases, f"{case}/connection {number}", packets, placeholders)


def _once(requests):
    """Without repeats of a poll, of which there are as many as there is time."""
    found = []
    for request in requests:
        if not found or request != found[-1] or "complete" not in request.target:
            found.append(request)
    return found


def _note_session(cases, case, packets, placeholders):
    text = placeholders.text
    connect = wire.connect(packets[0])
    cases.note(
        case,
        protocol=[connect.protocol, connect.level, connect.reserved],
        clean_session=connect.clean_session,
        will=connect.will,
        keep_alive=connect.keep_alive,
        client_id=text(connect.client_id),
        user_name=text(connect.user_name or ""),
        password=text(connect.password or ""),
        rest=connect.rest,
        order_of_packets=[packet.kind for packet in packets if packet.kind != "PUBACK"],
    )
    subscribes = [wire.subscribe(packet) for packet in packets if packet.kind == "SUBSCRIBE"]
    filters = sorted(one for subscribe in subscribes for one in subscribe.filters)
    cases.note(case, subscriptions=[(text(topic), qos) for topic, qos in filters])
    for publish in (wire.publish(packet) for packet in packets if packet.kind == "PUBLISH"):
        topic, rid = _without_rid(publish.topic)
        if rid is not None:
            cases.note(
                f"{case}/{topic}",
                topic=topic,
                request_id="a number" if rid.isdigit() else text(rid),
                payload=publish.payload,
                flags=messages.flags(publish),
            )
    sent = [wire.publish(packet) for packet in packets if packet.kind == "PUBLISH"]
    events = [publish for publish in sent if "/messages/events/" in publish.topic]
    messages.note(cases, [f"{case}/Message {number}" for number, _ in enumerate(events, 1)], events, placeholders)


def _without_rid(topic):
    found = re.search(r"\$rid=([^&]*)", topic)
    return (topic.replace(found.group(), "$rid={rid}"), found.group(1)) if found else (topic, None)
