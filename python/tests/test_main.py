"""``python -m spotflow_device`` says what is installed."""

import re
import subprocess
import sys

import spotflow_device


def test_the_version_and_what_is_in_the_build_are_printed():
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-m", "spotflow_device"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    facts = dict(re.split(" {2,}", line, maxsplit=1) for line in ended.stdout.splitlines())
    assert facts["spotflow_device"] == spotflow_device.__version__
    assert all(codec in facts["codecs"] for codec in ("Brotli", "gzip", "Zstandard"))
    assert "rustls" in facts["TLS"] and "1.3" in facts["TLS"]
    assert tuple(map(int, facts["SQLite"].split("."))) >= (3, 51, 3)
    assert "abi3" in facts["Python ABI"]


def test_importing_it_prints_nothing_and_starts_no_thread():
    program = "import threading, spotflow_device, spotflow_device.__main__; assert threading.active_count() == 1"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, b"")
