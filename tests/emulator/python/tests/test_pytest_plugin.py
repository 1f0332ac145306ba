"""What a user's tests get from the plugin."""

import os

import pytest

import bare_device
from spotflow_emulator import EmulatorEnded, OperationState

PLUGIN = ["-p", "spotflow_emulator.pytest_plugin", "-p", "no:cacheprovider"]


def test_a_device_that_trusts_ssl_cert_file_is_let_in_at_once(spotflow_emulator):
    assert os.environ["SSL_CERT_FILE"] == spotflow_emulator.ca_file
    bare_device.registered(spotflow_emulator, "let-in")
    assert [device.device_id for device in spotflow_emulator.devices()] == ["let-in"]


def test_a_platform_has_the_options_it_is_started_with(start_spotflow_emulator):
    emulator = start_spotflow_emulator("--approve", "manual", "--workspace-id", "ws")
    assert emulator.workspace_id == "ws"
    _, operation = bare_device.init(emulator, "waits")
    assert bare_device.complete(emulator, operation)[0] == 202
    assert [operation.state for operation in emulator.operations()] == [OperationState.PENDING]


def test_ssl_cert_file_is_for_the_platform_started_last(spotflow_emulator, start_spotflow_emulator):
    another = start_spotflow_emulator()
    assert another.instance != spotflow_emulator.instance
    assert os.environ["SSL_CERT_FILE"] == another.ca_file


def test_after_a_test_all_is_as_before(pytester, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "before")
    pytester.makepyfile(
        """
        import os
        started = []

        def test_one(spotflow_emulator, start_spotflow_emulator):
            assert os.environ["SSL_CERT_FILE"] != "before"
            started.extend([spotflow_emulator, start_spotflow_emulator()])

        def test_another():
            assert os.environ["SSL_CERT_FILE"] == "before"
            assert [emulator.closed for emulator in started] == [True, True]

        def test_a_fresh_one(spotflow_emulator):
            assert spotflow_emulator not in started
        """
    )
    pytester.runpytest(*PLUGIN).assert_outcomes(passed=3)


def test_a_failed_tests_report_tells_what_the_platform_saw(pytester):
    pytester.makepyfile(
        """
        def test_that_fails(spotflow_emulator):
            spotflow_emulator.wait_messages(1, timeout=0.01)

        def test_that_passes(spotflow_emulator):
            pass
        """
    )
    # Shows passed tests' sections, too.
    result = pytester.runpytest(*PLUGIN, "-rP")
    result.assert_outcomes(passed=1, failed=1)
    output = result.stdout
    output.fnmatch_lines(["*CommandFailed: not within 10ms*", "*- Spotflow Platform localhost:* -*", "Messages: 0"])
    assert output.str().count("- Spotflow Platform") == 1


def test_a_fixture_that_fails_after_the_start_is_reported_alike(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def device(spotflow_emulator):
            raise RuntimeError("no device")

        def test_that_never_runs(device):
            pass
        """
    )
    result = pytester.runpytest(*PLUGIN)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*- Spotflow Platform localhost:* -*"])


def test_a_platform_that_cannot_tell_any_more_does_not_break_the_report(pytester):
    pytester.makepyfile(
        """
        def test_that_fails(spotflow_emulator):
            spotflow_emulator.command("quit")
            assert not "this"
        """
    )
    result = pytester.runpytest(*PLUGIN)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert not*this*", "the emulator ended at 'operations'*"])


def test_a_platform_that_ended_ends_its_commands(spotflow_emulator):
    spotflow_emulator.command("quit")
    with pytest.raises(EmulatorEnded):
        spotflow_emulator.devices()
