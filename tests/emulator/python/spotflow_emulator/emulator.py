"""A running Platform: its start, its end, and where devices find it."""

import os
from types import TracebackType
from typing import Any, Optional, Type, Union

from ._commands import Commands
from ._faults import Faults
from ._process import Process
from ._program import find
from ._summary import summary

#: Nothing takes the program so long, in seconds.
ANSWER_TIMEOUT = 30.0


class Emulator(Commands, Faults):
    """The Spotflow IoT Platform as a child process, gone with everything it knows when this is closed.

    `options` are those of the program, as ``spotflow-emulator --help`` lists them: ``"--approve", "auto"`` lets every
    device in at once, ``"--standard-ports"`` is for devices that know no other ports than 443 and 8883. The program is
    `program`, else what the environment variable ``SPOTFLOW_EMULATOR`` names, else the one installed with this package.

    It is a context manager, and may be used by several threads; their commands are executed one after the other,
    so that one waits while another one's wait lasts. A program that does not answer within `answer_timeout` seconds,
    beside what the command itself waits, is ended.

    Raises:
        ProgramNotFound: There is no such program.
        EmulatorEnded: It ended at once; its reason is in the text, such as an unknown option or a port that is taken.
    """

    def __init__(
        self,
        *options: "Union[str, os.PathLike[str]]",
        program: "Optional[Union[str, os.PathLike[str]]]" = None,
        answer_timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        self.answer_timeout = answer_timeout
        """How many seconds the program has to answer, beside what a command itself waits."""
        self._process = Process(find(program), [os.fspath(option) for option in options], answer_timeout)
        started = self._process.started
        self.instance: str = started["instance"]
        """What a device is told as its instance: ``host:port``, or ``host`` with ``--standard-ports``."""
        self.hub: str = started["hub"]
        """Where devices are sent for MQTT."""
        self.workspace_id: str = started["workspace_id"]
        """The Workspace of `provisioning_token`."""
        self.provisioning_token: str = started["provisioning_token"]
        """What a device needs to be let in."""
        self.ca_file: str = started["ca_file"]
        """The certificate that devices have to trust. The file is removed at the end."""
        self.page: Optional[str] = started.get("page")
        """The link to the page for a browser, if the emulator was started with ``"--page-port"``."""

    def command(self, name: str, **arguments: Any) -> Any:
        """Has a command executed, with arguments as the crate ``spotflow-emulator`` documents them; returns its
        result as JSON is in Python. The other methods are easier to use.

        Raises:
            CommandFailed: The Platform could not do it.
            EmulatorEnded: The emulator is closed, ended, or did not answer.
        """
        limit = max(arguments.get("timeout", 0.0), 0.0) + self.answer_timeout
        return self._process.ask(name, arguments, limit)

    def close(self) -> None:
        """Ends the Platform. May be called again."""
        self._process.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._process.closed

    def __enter__(self) -> "Emulator":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Emulator {self.instance}{' (closed)' if self.closed else ''}>"

    def summary(self) -> str:
        """What the Platform saw, for a person: the last operations, requests, connections and Messages."""
        return summary(self.operations(), self.requests(), self.connections(), self.messages())
