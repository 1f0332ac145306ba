"""The package works in the main interpreter of a process, and is not to be loaded into another one.

Another one ends before the process does, and its threads would have to end with it; Python's signals and the end of
the process are the main one's.
"""

import _thread
import importlib


def require_main() -> None:
    """Raises `ImportError` in another one. Python 3.7 does not tell which it is."""
    if not _is_main():
        raise ImportError(
            "spotflow_device works in the main interpreter of a process only, and this is another one"
            " (under mod_wsgi: set WSGIApplicationGroup %{GLOBAL})"
        )


def _is_main() -> bool:
    is_main = getattr(_thread, "_is_main_interpreter", None)
    if is_main is not None:
        return bool(is_main())
    try:
        interpreters = importlib.import_module("_xxsubinterpreters")
    except ImportError:
        return True
    return bool(interpreters.get_current() == interpreters.get_main())


require_main()
