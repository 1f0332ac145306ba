"""What is told of Messages on the wire."""

def note(cases, names, publishes, placeholders=None):
    """Adds to each case the Message that it led to; they are told in the order of sending."""
    assert len(names) == len(publishes), f"{len(names)} Messages expected, {len(publishes)} sent"
    for name, publish in zip(names, publishes):
        topic, payload = publish.topic, publish.payload
        if placeholders:
            topic, payload = placeholders.text(topic), placeholders.bytes(payload)
        # Two encoders of one format: what the Platform reads is compared besides.
        told = "compressed_payload" if "content-encoding=" in topic else "payload"
        cases.note(name, topic=topic, flags=flags(publish), **{told: payload})


def flags(publish):
    return f"QoS {publish.qos}, retain {publish.retain}, DUP {publish.dup}"
