"""``python -m scenario NAME SEED FILE`` runs one scenario under the SDK of this interpreter and writes what it saw."""

import faulthandler
import importlib
import json
import os
import sys

from .cases import Cases

#: No scenario takes so long, in seconds.
TIMEOUT = 90.0


def main(name, seed, path):
    faulthandler.dump_traceback_later(TIMEOUT, exit=True)
    cases = Cases()
    importlib.import_module(f"{__package__}.{name}").run(cases, seed)
    with open(path, "w") as file:
        json.dump(cases.seen, file)
    sys.stdout.flush()
    # How a device ends is the business of `starts`; here the SDK's own threads must not decide it.
    os._exit(0)


main(*sys.argv[1:])
