"""`tbgen` in a process of its own that stops at stated points until it is told to go on: tests wait for states."""

from __future__ import annotations

import signal
import subprocess
import sys
from types import TracebackType

CODE = """
import atexit, importlib, sys
from tbgen.cli.main import main
from tbgen.export import scratch

def stop_at(name, function=lambda: None):
    def stopped(*arguments, **options):
        print(name, flush=True)
        sys.stdin.readline()
        return function(*arguments, **options)
    return stopped

module, name = sys.argv[1].split(":")
module = importlib.import_module(module)
setattr(module, name, stop_at(name, getattr(module, name)))
scratch.remove_folder = stop_at("cleanup", scratch.remove_folder)
atexit.register(stop_at("ending"))
main(sys.argv[2:], prog_name="tbgen")
"""


class Stopped:
    """A command that stops where it calls `place` (module:function), removes a temporary folder, and at its end."""

    def __init__(self, place: str, *command: str) -> None:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.output = ""
        self.process = subprocess.Popen([sys.executable, "-c", CODE, place, *command], text=True, **pipes)

    def __enter__(self) -> Stopped:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self.process:
            self.process.kill()

    def reaches(self, point: str) -> None:
        """Wait until it stops there; it must not stop elsewhere, or end."""
        assert self.process.stdout and self.process.stderr
        line = self.process.stdout.readline()
        assert line == f"{point}\n", line or self.process.stderr.read()

    def interrupt(self) -> None:
        """Send what Ctrl-C sends."""
        self.process.send_signal(signal.SIGINT)

    def goes_on(self) -> None:
        """Let it go on from where it stands."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def ends(self) -> tuple[int, str]:
        """Let it run to its end: the exit status, and its last complaint; what it said is in `output`."""
        self.output, errors = self.process.communicate("\n" * 9)
        return self.process.returncode, errors.splitlines()[-1]
