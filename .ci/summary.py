#!/usr/bin/env python3
"""Prints what each runner in a log said of itself, which tests failed, and how many passed."""

import re
import sys

#: What cargo is about to run.
RUNNER = re.compile(r"^ +(?:Running (?:unittests )?(?P<file>\S+) \(\S*/(?P<program>[^/]+)-\w+\)|Doc-tests (?P<crate>\S+))")
#: What a script is about to run.
HEADLINE = re.compile(r"^(?:===|---) (?:\[\d+:\d\d\] )?(?P<text>.+)")
RUST = re.compile(r"^test result: (?P<text>(?:ok|FAILED)\. (?P<passed>\d+) passed; (?P<failed>\d+) failed; (?P<ignored>\d+) ignored; .*)")
PYTHON = re.compile(r"^(?:=+ )?(?P<text>(?:\d+ failed, )?(?P<passed>\d+) passed.* in [^=]+?)(?: =+)?$")
#: mypy and stubtest, pyright, abi3audit, the comparison with the published package; what the page's tests measure.
OTHERS = re.compile(
    r"^(?:Success: .*|Found \d+ errors? .*|\d+ errors?, \d+ warnings?.*|.*ABI version mismatches.*|\d+ cases \(.*"
    r"|Milliseconds from the hub to the page: .*|\d+ Messages in .*)$"
)
FAILURE = re.compile(r"^(?:test (?P<rust>\S+).* \.\.\. FAILED|(?P<python>(?:FAILED|ERROR) \S+::.*))")


def main():
    runner = headline = ""
    rust = python = 0
    failures = []
    for line in open(sys.argv[1], errors="replace"):
        line = line.rstrip("\n")
        if found := RUNNER.match(line):
            runner = found["crate"] and f"documentation of {found['crate']}" or f"{found['program']} ({found['file']})"
        elif found := HEADLINE.match(line):
            runner = headline = found["text"]
        elif found := RUST.match(line):
            rust += int(found["passed"])
            # Programs without tests of their own are built as tests, too.
            if int(found["passed"]) + int(found["failed"]) + int(found["ignored"]):
                print(f"{runner:<58} {found['text']}")
        elif found := PYTHON.match(line):
            python += int(found["passed"])
            print(f"{headline:<58} {found['text']}")
        elif OTHERS.match(line):
            print(f"{headline:<58} {line}")
        elif found := FAILURE.match(line):
            failures.append(f"{runner}: {found['rust']}" if found["rust"] else f"{headline}: {found['python']}")
    if failures:
        print("\nWhat failed:", *failures, sep="\n")
    print(f"\nTests that passed: {rust} in Rust, {python} in Python.")


main()
