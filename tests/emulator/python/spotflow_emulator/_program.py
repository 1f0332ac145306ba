"""Where the program is."""

import os
import shutil
import sys
from typing import Optional, Union

from .errors import ProgramNotFound

NAME = "spotflow-emulator"
VARIABLE = "SPOTFLOW_EMULATOR"


def find(program: "Optional[Union[str, os.PathLike[str]]]" = None) -> str:
    """The program as given, else as the environment says, else beside this Python (a venv's), else on PATH.

    One that is told is taken as it is: if it is not there, starting it says so.
    """
    told = program or os.environ.get(VARIABLE)
    if told:
        return os.fspath(told)
    places = [os.path.dirname(sys.executable or ""), os.environ.get("PATH", os.defpath)]
    found = shutil.which(NAME, path=os.pathsep.join(filter(None, places)))
    if found is None:
        raise ProgramNotFound(
            f"there is no program {NAME}, neither beside {sys.executable} nor on PATH. "
            "Install it with `pip install ./tests/emulator` from a checkout of the Spotflow device SDK, "
            f"or build it there with `cargo build -p {NAME}` and tell in the environment variable {VARIABLE} "
            "where it is."
        )
    return found
