"""The documentation's first example, made to run here."""

from pathlib import Path

#: As it stands in the documentation.
TEXT = (Path(__file__).parent / "basic_usage.py").read_text(encoding="utf-8")
MESSAGES = 60


def program(provisioning_token: str, instance: str, pause_seconds: float) -> str:
    """The example with another token, an instance, and another pause."""
    text = TEXT
    for stands, instead in (
        ('"<Your Provisioning Token>"', repr(provisioning_token)),
        ('db="spotflow.db")', f'db="spotflow.db", instance={instance!r})'),
        ("time.sleep(5)", f"time.sleep({pause_seconds})"),
    ):
        assert text.count(stands) == 1, stands
        text = text.replace(stands, instead)
    return text
