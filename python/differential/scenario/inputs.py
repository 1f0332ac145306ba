"""Inputs, generated."""

import random
import string

#: One of each kind of character that a writing system brings with it.
_SCRIPTS = {
    "latin": "äßéŁø",
    "greek": "λόγος",
    "cyrillic": "привет",
    "hebrew": "שלום",
    "arabic": "مرحبا",
    "devanagari": "नमस्ते",
    "thai": "สวัสดี",
    "georgian": "გამარჯობა",
    "ethiopic": "ሰላም",
    "kana": "こんにちは",
    "han": "传感器",
    "hangul": "안녕",
    "emoji": "🌡️🇨🇿👩‍🔧",
    "combining": "e\u0301",
    "no-break space": "\u00a0",
    "line separator": "\u2028",
    "right-to-left mark": "\u200f",
    "byte order mark": "\ufeff",
    "private use": "\ue000",
    "noncharacter": "\uffff",
    "last": "\U0010ffff",
}

_COMPOSED = {
    "letters and digits": string.ascii_letters + string.digits,
    "spaces": "  a  b  ",
    "percent": "100%",
    "percent-encoded": "%20%2F%",
    "path": "a/b//../c/",
    "pairs": "a=b&c=d&&e",
    "plus": "a+b c",
    "wildcards": "+/#",
    "lines": "a\nb\r\nc",
    "JSON": '{"a": [1, "b"]}',
    "SQL": "'; DROP TABLE Messages; --",
    "template": "{0} ${x} {uuid}",
    "128 characters": "x" * 128,
    "10,000 characters": "y" * 10_000,
    "5,000 characters of two bytes": "ž" * 5_000,
}

_CONTROLS = "\x00\x01\x07\b\t\n\v\f\r\x1b\x1f\x7f\x85 "


def texts():
    """Names for texts that an id can be."""
    named = {f"U+{ord(character):04X}": character for character in string.punctuation + _CONTROLS}
    return {**named, **_SCRIPTS, **_COMPOSED}


def random_text(source):
    """1 to 12 characters, most of them such as need encoding."""
    pools = [string.ascii_letters, string.punctuation + " ", "äλпשع你🌡", _CONTROLS]
    length = source.randint(1, 12)
    return "".join(source.choice(source.choice(pools)) for _ in range(length))


def random_bytes(source, length):
    return source.getrandbits(8 * length).to_bytes(length, "big") if length else b""


def random_json(source, depth=0):
    """A value that JSON has, of the kinds that both SDKs write alike."""
    scalars = [
        lambda: source.choice([True, False]),
        lambda: source.randint(-(2**53), 2**53),
        lambda: source.randint(-9, 9),
        lambda: round(source.uniform(-1e6, 1e6), 3),
        lambda: source.choice([0.0, 1.0, 0.1, 1e-7, 5e-324]),
        lambda: random_text(source),
        lambda: "",
    ]
    nested = [
        lambda: {f"k{n}": random_json(source, depth + 1) for n in range(source.randint(0, 3))},
        lambda: [random_json(source, depth + 1) for _ in range(source.randint(0, 3))],
    ]
    return source.choice(scalars + nested * (2 if depth < 3 else 0))()


def seeded(seed, name):
    """A source of random inputs that is a case's own: others can be added without changing it."""
    return random.Random(f"{seed}/{name}")
