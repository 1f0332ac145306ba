"""``python -m spotflow_device``: which version this is, and what is in it; with arguments, the tool: see ``--help``."""

import signal
import sys

from . import _native


def main() -> None:
    """Prints a line for each fact, or runs the tool and exits with its code."""
    arguments = sys.argv[1:]
    if arguments:
        # The tool waits outside of Python, where nobody would look for a Ctrl+C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.exit(_native.run_tool(["spotflow-device", *arguments]))
    facts = _native.build_info()
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


if __name__ == "__main__":
    main()
