"""The same scenarios under the published SDK and under ours, and what the Platform received compared.

``compare.py PUBLISHED_PYTHON OUR_PYTHON`` with the interpreters that have the one SDK and the other; `run.sh` sees to
that. Every difference has to be listed in DIFFERENCES.md, and everything listed there has to differ; else it fails.
"""

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import differences

HERE = os.path.dirname(os.path.abspath(__file__))
EMULATOR_PACKAGE = os.path.join(HERE, "..", "..", "tests", "emulator", "python")
#: The longest first.
SCENARIOS = [
    "interruptions",
    "tunnels",
    "restarts",
    "payloads",
    "starts",
    "reported",
    "ids",
    "completions",
    "desired",
    "arguments",
    "documentation",
    "cloud",
]
#: They wait more than they work.
SCENARIOS_AT_ONCE = 2
#: A scenario ends itself before, and tells where it was.
SCENARIO_TIMEOUT = 100.0
#: The published SDK syncs every Message to the disk, many times slower than ours; here only what it sends matters.
MEMORY = "/dev/shm"


class Side:
    """All scenarios under one SDK."""

    def __init__(self, name, number, python, path, seed, directory):
        self.name, self._number, self._python, self._seed, self._directory = name, number, python, seed, directory
        self._environment = {"PYTHONPATH": os.pathsep.join(filter(None, [path, EMULATOR_PACKAGE]))}
        self.cases = {}
        self.failures = []

    def run(self, scenario):
        started = time.monotonic()
        failure = self._run_scenario(scenario)
        print(f"{self.name:<9} {scenario:<14} {time.monotonic() - started:5.1f} s", flush=True)
        if failure:
            self.failures.append(f"{scenario} under the {self.name} SDK {failure}")

    def _run_scenario(self, scenario):
        path = os.path.join(self._directory, f"{self.name}-{scenario}.json")
        address = f"127.77.{self._number}.{SCENARIOS.index(scenario) + 1}"
        command = [self._python, "-m", "scenario", scenario, str(self._seed), path]
        try:
            ended = subprocess.run(
                command,
                cwd=HERE,
                env={**os.environ, **self._environment, "TMPDIR": self._directory, "DIFFERENTIAL_ADDRESS": address},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=SCENARIO_TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            return f"did not end:\n{(error.stdout or b'').decode(errors='replace')}"
        if ended.returncode != 0 or not os.path.exists(path):
            return f"ended with {ended.returncode}:\n{ended.stdout.decode(errors='replace')}"
        with open(path) as file:
            self.cases.update(json.load(file))
        return None


def main():
    arguments = _arguments()
    print(f"seed {arguments.seed}", flush=True)
    scenarios = arguments.scenarios or SCENARIOS
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="differential-", dir=memory) as directory:
        sides = [
            Side("published", 1, arguments.published, None, arguments.seed, directory),
            Side("our", 2, arguments.ours, os.environ.get("SPOTFLOW_PACKAGE"), arguments.seed, directory),
        ]
        with contextlib.ExitStack() as stack:
            pools = [(side, stack.enter_context(ThreadPoolExecutor(SCENARIOS_AT_ONCE))) for side in sides]
            runs = [pool.submit(side.run, scenario) for side, pool in pools for scenario in scenarios]
        for run in runs:
            run.result()
    failures = [failure for side in sides for failure in side.failures]
    if failures:
        sys.exit("\n".join(failures))
    published, ours = (side.cases for side in sides)
    listed = differences.read(os.path.join(HERE, "DIFFERENCES.md"))
    outcome = differences.compare(published, ours, listed)
    print(outcome.report(all_listed=not arguments.scenarios))
    sys.exit(bool(outcome.unexplained or (outcome.vanished and not arguments.scenarios)))


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("published", help="the interpreter with the published SDK")
    parser.add_argument("ours", help="the interpreter with ours")
    parser.add_argument("scenarios", nargs="*", help="only these")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the random inputs")
    return parser.parse_args()


main()
