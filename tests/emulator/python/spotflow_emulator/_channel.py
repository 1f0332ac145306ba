"""What the commands go through."""

from abc import ABC, abstractmethod
from typing import Any


class Channel(ABC):
    """Takes commands to the program."""

    @abstractmethod
    def command(self, name: str, **arguments: Any) -> Any:
        """Has a command executed; returns its result."""
