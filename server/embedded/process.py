"""A server process with all that it starts: one session of its own, ended as a whole, also when we are killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# Runs in the child before the server: ask the kernel for SIGKILL when the thread that started it dies, then become it.
# SIGTERM would let Triton serve on for 30 s, for as long as a client keeps a connection.
# Its threads get large stacks, of which they use what they need: Triton's JSON parser calls itself for each bracket,
# and 50,000 of them end it on the 8 MiB of a shell.
STACK = 1 << 30  # bytes
_LAUNCH = f"""
import ctypes, os, resource, signal, sys
_, most = resource.getrlimit(resource.RLIMIT_STACK)
with open("/proc/sys/vm/overcommit_memory") as file:
    if file.read().strip() != "2" and (most == resource.RLIM_INFINITY or most >= {STACK}):
        resource.setrlimit(resource.RLIMIT_STACK, ({STACK}, most))
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
ENVIRONMENT = {"PYTHONUTF8": "1", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}  # else Korean labels fail in the stub
# What tritonserver is told in each of its modes; models that stand there are loaded in all of them.
CONTROL_MODES: dict[str, tuple[str, ...]] = {
    "none": (),
    "poll": ("--model-control-mode=poll", "--repository-poll-secs=1"),
    "explicit": ("--model-control-mode=explicit", "--load-model=*"),
}
PIPE = "TBGEN_PIPE"  # the variable that names a pipe's ends to what the server starts: wheel.py
LOOK_PAUSE = 0.05  # seconds between two looks


class ServerProcess:
    """A running command in its own session, its output in a file.

    It is out of reach of a Ctrl-C at the terminal, so that the caller decides when it stops. It keeps `lock`, a file's
    descriptor, open for as long as one of its processes runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        folder: Path,
        lock: int | None = None,
    ) -> None:
        pipe = os.pipe()  # whose writing end the server holds for as long as it lives
        try:
            with log.open("ab") as output:
                self.popen = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *command],
                    env={**environment, PIPE: " ".join(map(str, pipe))},
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=pipe if lock is None else (*pipe, lock),
                )
        finally:
            for end in pipe:
                os.close(end)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def ended(self) -> bool:
        """Whether the command has ended; it is not reaped, so that its process group keeps its number."""
        return self.popen.returncode is not None or self._end() is not None

    def killed_by(self) -> str:
        """The signal that ended the command, such as "SIGKILL"; empty where none did."""
        end = None if self.popen.returncode is not None else self._end()
        killed = end is not None and end.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
        return signal.Signals(end.si_status).name if end and killed else ""

    def _end(self) -> os.waitid_result | None:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for the end; whether it came."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_PAUSE)
        return True

    def stop(self, seconds: float) -> int:
        """Ask it to end, wait at most `seconds`, then kill what is left of its session. Returns its exit status."""
        if self.popen.returncode is not None:
            return self.popen.returncode
        try:
            if not self.ended():
                self.popen.send_signal(signal.SIGTERM)
                self.wait(seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            status = self.popen.wait()
        return status
