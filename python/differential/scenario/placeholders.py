"""What differs between two runs by nature: addresses, and what the Platform or the device draws at random."""

import re

from . import wire

#: Of the documentation's example.
_TIMESTAMP = re.compile('(?<="timestamp": ")[^"]*')
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

#: The emulator's Device ID for a device that has no wish.
_MADE_UP = re.compile("device-[0-9a-f]{8}$")


class Placeholders:
    """Puts a name in place of each such text."""

    def __init__(self, emulator, traffic, tokens=()):
        known = {emulator.instance: "{host}", emulator.hub: "{host}"}
        known.update((token, "{another token}") for token in tokens)
        for connection in traffic:
            if not wire.is_mqtt(connection.from_device):
                for answer in wire.answers(connection.to_device):
                    known.update(_drawn(answer.json or {}))
        self._known = known
        # The longest first: one may be within another.
        texts = sorted(known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, texts)))

    def text(self, text):
        """The text with names in it. A random UUID (version 4) that a device chose is `{uuid}`."""
        text = _TIMESTAMP.sub("{timestamp}", text)
        return _UUID.sub("{uuid}", self._pattern.sub(lambda match: self._known[match.group()], text))

    def bytes(self, data):
        return self.text(data.decode("latin-1")).encode("latin-1")


def _drawn(answer):
    for key in ("provisioningOperationId", "verificationCode", "expirationTime", "registrationToken"):
        if answer.get(key):
            yield answer[key], f"{{{key}}}"
    for key in ("correlationId", "sasToken"):
        if key in answer:
            yield answer[key], f"{{{key}}}"
    for part in answer.get("connectionString", "").split(";"):
        key, _, value = part.partition("=")
        if key == "SharedAccessSignature":
            yield value, "{SAS}"
        elif key == "DeviceId" and _MADE_UP.search(value):
            yield _MADE_UP.search(value).group(), "{made-up id}"
