"""What can go wrong when driving the emulator."""


class EmulatorError(Exception):
    """The emulator could not be started or asked; all errors of this package are of this class."""


class ProgramNotFound(EmulatorError):
    """There is no program ``spotflow-emulator`` to start."""


class EmulatorEnded(EmulatorError):
    """The program ended, was closed, or did not answer and was ended for that. It takes no more commands."""


class CommandFailed(EmulatorError):
    """The Platform could not do it: no such device, not in time, ... It goes on with the next command."""
