"""The program starts, ends, and takes nobody with it when it fails."""

import json
import os
import re
import socket
import sys
import threading

import pytest

from spotflow_emulator import CommandFailed, Emulator, EmulatorEnded, EmulatorError, ProgramNotFound

STARTED = json.dumps(
    dict.fromkeys(["instance", "hub", "workspace_id", "provisioning_token", "ca_file"], "nothing")
)


@pytest.fixture
def scripted(tmp_path):
    """A program that is ready at once and then does something else than the emulator."""

    def write(body):
        program = tmp_path / "scripted"
        program.write_text(f"#!{sys.executable}\nimport json, sys\nprint({STARTED!r}, flush=True)\n{body}\n")
        program.chmod(0o700)
        return program

    return write


def test_a_platform_listens_from_its_start_to_its_close():
    with Emulator("--workspace-id", "ws", "--provisioning-token", "token") as emulator:
        assert (emulator.workspace_id, emulator.provisioning_token) == ("ws", "token")
        host, port = emulator.instance.split(":")
        socket.create_connection((host, int(port))).close()
        assert os.path.exists(emulator.ca_file)
        assert not emulator.closed
    assert emulator.closed
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    assert not os.path.exists(emulator.ca_file)


def test_a_closed_emulator_can_be_closed_again_and_takes_no_commands():
    emulator = Emulator()
    emulator.close()
    emulator.close()
    with pytest.raises(EmulatorEnded, match="'devices' came after the emulator was closed"):
        emulator.devices()


def test_options_may_be_paths(tmp_path):
    with Emulator("--ca-file", tmp_path / "ca.pem") as emulator:
        assert emulator.ca_file == str(tmp_path / "ca.pem")
        assert "BEGIN CERTIFICATE" in (tmp_path / "ca.pem").read_text()


def test_a_failed_command_says_why_and_the_next_one_works():
    with Emulator() as emulator:
        with pytest.raises(CommandFailed, match='no provisioning operation has the id .* "unknown"'):
            emulator.approve("unknown")
        with pytest.raises(CommandFailed, match="not within 10ms"):
            emulator.wait_messages(1, timeout=0.01)
        with pytest.raises(ValueError, match="JSON"):
            emulator.set_desired("device", {"a": float("nan")})
        assert emulator.operations() == []


def test_threads_share_an_emulator():
    with Emulator() as emulator:
        failures = []

        def ask():
            try:
                for _ in range(50):
                    assert emulator.devices() == []
                    assert emulator.command("subscriptions", device="x") == []
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []


def test_a_program_that_cannot_start_says_why():
    # Documentation's address: nobody's.
    with pytest.raises(EmulatorEnded, match=r"(?s)ended at its start \(exit code 1\).*192\.0\.2\.1"):
        Emulator("--bind", "192.0.2.1")


def test_options_that_are_none_are_an_error():
    with pytest.raises(EmulatorEnded, match="(?s)exit code 2.*--unheard-of"):
        Emulator("--unheard-of")


def test_a_program_that_ends_says_so(scripted):
    emulator = Emulator(program=scripted("sys.stdin.readline()\nsys.exit('out of ideas')"))
    with pytest.raises(EmulatorEnded, match=r"(?s)ended at 'devices' \(exit code 1\).*out of ideas"):
        emulator.devices()
    with pytest.raises(EmulatorEnded):
        emulator.devices()
    emulator.close()


def test_a_program_that_does_not_answer_is_ended(scripted):
    emulator = Emulator(program=scripted("import signal\nwhile True: signal.pause()"))
    emulator.answer_timeout = 0.1
    with pytest.raises(EmulatorEnded, match="no answer to 'devices' within 0.1 s"):
        emulator.devices()
    with pytest.raises(EmulatorEnded):
        emulator.devices()
    emulator.close()


def test_a_program_that_never_gets_ready_is_ended(tmp_path):
    program = tmp_path / "silent"
    program.write_text("#!/bin/sh\nread nothing\n")
    program.chmod(0o700)
    with pytest.raises(EmulatorEnded, match="no answer to its start within 0.1 s"):
        Emulator(program=program, answer_timeout=0.1)


def test_a_commands_own_wait_does_not_count_as_silence():
    with Emulator() as emulator:
        emulator.answer_timeout = 1.0
        with pytest.raises(CommandFailed, match="not within 1.2s"):
            emulator.wait_messages(1, timeout=1.2)


def test_answers_nobody_waited_for_are_passed_over(scripted):
    program = scripted(
        "id = json.loads(sys.stdin.readline())['id']\n"
        "print(json.dumps({'ok': True, 'result': 'old', 'id': id - 1}))\n"
        "print(json.dumps({'ok': True, 'result': 'new', 'id': id}))"
    )
    with Emulator(program=program) as emulator:
        assert emulator.command("anything") == "new"


def test_what_is_no_answer_is_shown(scripted):
    with Emulator(program=scripted("sys.stdin.readline()\nprint('Hello')")) as emulator:
        with pytest.raises(EmulatorError, match="wrote b'Hello"):
            emulator.devices()


def test_complaints_of_the_program_come_out_at_its_end(scripted, capsys):
    Emulator(program=scripted("sys.stdin.read()\nprint('beware', file=sys.stderr)")).close()
    assert capsys.readouterr().err == "beware\n"


def test_a_missing_program_is_told_with_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.delenv("SPOTFLOW_EMULATOR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ProgramNotFound, match="(?s)beside .*python nor on PATH.*pip install.*SPOTFLOW_EMULATOR"):
        Emulator()


def test_the_program_is_the_one_told_else_the_environments_else_beside_python_else_on_path(
    monkeypatch, tmp_path
):
    def program(name):
        path = tmp_path / name / "spotflow-emulator"
        path.parent.mkdir()
        path.write_text("")
        path.chmod(0o700)
        return path

    beside, on_path = program("beside"), program("path")
    monkeypatch.setenv("PATH", str(on_path.parent))
    monkeypatch.setattr(sys, "executable", str(beside.parent / "python"))

    def started(**options):
        """What was tried to start: an empty file is no program."""
        with pytest.raises(ProgramNotFound) as info:
            Emulator(**options)
        return re.match("cannot start (.*?): ", str(info.value)).group(1)

    monkeypatch.setenv("SPOTFLOW_EMULATOR", "environment")
    assert started(program=tmp_path / "told") == str(tmp_path / "told")
    assert started() == "environment"
    monkeypatch.delenv("SPOTFLOW_EMULATOR")
    assert started() == str(beside)
    beside.unlink()
    assert started() == str(on_path)
