"""The program as a child process: a JSON line in, a JSON line out, and a time limit on every answer."""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from typing import Any, Dict, Iterator, Optional, Sequence

from .errors import CommandFailed, EmulatorEnded, EmulatorError, ProgramNotFound

#: How long the program has to end, in seconds.
END_TIMEOUT = 10.0


class Process:
    """A running ``spotflow-emulator --control``."""

    def __init__(self, program: str, options: Sequence[str], start_timeout: float) -> None:
        self._lock = threading.Lock()
        self._asked = 0
        self.closed = False
        # A file and no pipe: nobody has to read it for the program to go on.
        self._stderr = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                [program, "--control", *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
            )
        except OSError as error:
            self._stderr.close()
            raise ProgramNotFound(f"cannot start {program}: {error}") from error
        try:
            #: What it said when it was ready.
            self.started = self._exchange("its start", None, start_timeout)
        except BaseException:
            self._end()
            raise

    def ask(self, command: str, arguments: Dict[str, Any], limit: float) -> Any:
        """Has the program execute a command; returns its result. Ends the program if none comes in so many seconds."""
        if not self._lock.acquire(timeout=limit):
            raise EmulatorError(f"{command!r} got no turn within {limit:g} s: another thread's command still waits")
        try:
            if self.closed:
                raise EmulatorEnded(f"{command!r} came after the emulator was closed")
            self._asked += 1
            request = json.dumps({"command": command, "id": self._asked, **arguments}, allow_nan=False)
            answer = self._exchange(repr(command), request, limit)
        finally:
            self._lock.release()
        if not answer["ok"]:
            raise CommandFailed(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """Ends the program, by force if it must be. What it complained about goes to standard error."""
        # Not held if another thread's command still waits: that ends with the program.
        held = self._lock.acquire(timeout=END_TIMEOUT)
        try:
            if not self.closed:
                self.closed = True
                complaint = self._end()
                if complaint:
                    print(complaint, file=sys.stderr)
        finally:
            if held:
                self._lock.release()

    def _exchange(self, what: str, request: Optional[str], limit: float) -> Dict[str, Any]:
        """Writes a line, if any, and reads the one that answers it."""
        with self._watchdog(limit) as late:
            answer = self._answer(request)
        if answer is not None:
            return answer
        code = self._exit_code()
        reason = f"was ended: no answer to {what} within {limit:g} s" if late.is_set() else f"ended at {what}"
        raise EmulatorEnded(f"the emulator {reason} (exit code {code})\n{self._complaint()}".rstrip())

    def _answer(self, request: Optional[str]) -> Optional[Dict[str, Any]]:
        """None if the program ended."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        try:
            if request is not None:
                stdin.write(request.encode() + b"\n")
                stdin.flush()
            for line in iter(stdout.readline, b""):
                try:
                    answer = json.loads(line.decode())
                except ValueError:
                    raise EmulatorError(f"the emulator wrote {line!r}, which is no answer") from None
                # Others answer commands whose wait an exception broke off.
                if request is None or answer.get("id") == self._asked:
                    return dict(answer)
        except OSError:
            # A broken pipe: it ended.
            pass
        return None

    @contextlib.contextmanager
    def _watchdog(self, limit: float) -> Iterator[threading.Event]:
        """Kills the program after so many seconds, which ends whatever waits for it."""
        late = threading.Event()

        def bite() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(limit, bite)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()

    def _end(self) -> str:
        """Returns what the program complained about."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        # The end of its standard input tells the program to end. There may be nobody left to be told.
        with contextlib.suppress(OSError):
            stdin.close()
        self._exit_code()
        stdout.close()
        with self._stderr:
            return self._complaint()

    def _exit_code(self) -> int:
        try:
            return self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _complaint(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace").strip()
