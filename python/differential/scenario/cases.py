"""What was seen, as text: a case has a name and aspects, each of which is compared on its own."""

import base64
import hashlib

#: Longer bytes and texts are told by their length and hash.
SHOWN_MAX = 400

#: What a program can catch; everything else in an exception's ancestry is an SDK's own business.
_CATCHABLE = (
    "SpotflowError",
    "TypeError",
    "ValueError",
    "OverflowError",
    "UnicodeError",
    "AttributeError",
    "OSError",
    "TimeoutError",
    "RuntimeError",
    "KeyboardInterrupt",
    "PanicException",
)


class Cases:
    """All that a scenario saw."""

    def __init__(self):
        self.seen = {}

    def note(self, case, **aspects):
        """Adds aspects to a case; names may have `_` for a space. Each can be told once only."""
        known = self.seen.setdefault(case, {})
        for aspect, value in aspects.items():
            aspect = aspect.replace("_", " ")
            assert aspect not in known, f"{case}: {aspect} told twice"
            known[aspect] = value if isinstance(value, str) else shown(value)


def shown(value):
    """A value and, in it, every type: `1`, `1.0`, `True` and `'1'` are four texts."""
    if isinstance(value, (bytes, bytearray)):
        if len(value) <= SHOWN_MAX:
            return repr(value)
        return f"{type(value).__name__} of {len(value)} bytes, {_digest(value)}"
    text = repr(value)
    if len(text) <= SHOWN_MAX:
        return text
    return f"{text[:40]}... of {len(text)} characters, {_digest(text.encode('utf-8', 'surrogatepass'))}"


def _digest(data):
    return base64.b32encode(hashlib.sha256(data).digest()).decode()[:16].lower()


def result(function, *arguments, **named):
    """What a call gives: the value it returns, or what a program can catch it by."""
    try:
        return "returns " + shown(function(*arguments, **named))
    except BaseException as error:
        return raised(error)


def raised(error):
    names = [name.__name__ for name in type(error).__mro__]
    caught_by = [name for name in _CATCHABLE if name in names]
    return "raises " + (", ".join(caught_by) or names[0])
