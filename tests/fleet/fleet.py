"""Several servers of one repository behind HAProxy, each in a place of its own, as docs/how-to/fleet.md has it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.server.embedded.ports import free_ports
from tests.faults.served import kill, processes_of
from tests.fleet.network import Place, places
from tests.haproxy import Proxy, proxying
from tests.server.test_commands import child_of
from tests.waiting import wait_until

PROTOCOLS = ("http", "grpc", "metrics")
_SERVE = [sys.executable, "-c", "from tbgen.cli.serve import serve; serve()"]


@dataclass
class Member:
    """`tbgen serve` in its place."""

    name: str
    place: Place
    repository: Path
    log: Path
    process: subprocess.Popen[str] = field(init=False)

    @property
    def server(self) -> str:
        """As `--server` names it."""
        http, grpc, _ = self.place.ports
        return f"{self.place.host}:{http}:{grpc}"

    @property
    def grpc_url(self) -> str:
        return f"grpc://{self.place.host}:{self.place.ports[1]}"

    def begin(self) -> None:
        """Start it, without waiting."""
        command = [*self.place.prefix, *_SERVE, str(self.repository), "--host", self.place.host, "--no-check"]
        command += [f"--{name}-port={port}" for name, port in zip(PROTOCOLS, self.place.ports, strict=True)]
        with self.log.open("w", encoding="utf-8") as printed:
            self.process = subprocess.Popen(command, stdout=printed, stderr=printed, text=True)

    def wait(self) -> None:
        """Return when it has answered."""
        wait_until(lambda: "and answered" in self.log.read_text("utf-8") or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text("utf-8")

    def kill_triton(self) -> None:
        """Kill the server, which `tbgen serve` starts again."""
        kill(child_of(self.process))

    def processes(self) -> dict[str, int]:
        """Model -> a process of its, by what Triton runs now."""
        return processes_of(child_of(self.process))

    def stop(self) -> None:
        """End it as a service manager does."""
        self.process.terminate()
        self.process.wait()

    def kill(self) -> None:
        """End it at once, its Triton too; the next embedded server removes what it leaves."""
        self.process.kill()
        self.process.wait()


@dataclass
class Fleet:
    """The servers, and HAProxy before them at these addresses."""

    members: list[Member]
    folder: Path
    repository: Path
    http: str
    grpc: str
    proxy: Proxy = field(init=False)

    @property
    def port(self) -> int:
        return int(self.http.rpartition(":")[2])

    def write(self, members: Sequence[Member]) -> Path:
        """What `tbgen deploy haproxy` writes for these servers."""
        servers = [word for each in members for word in ("--server", each.server)]
        command = ["deploy", "haproxy", str(self.repository), *servers, "-o", str(self.folder / "haproxy")]
        written = CliRunner().invoke(main, command)
        assert written.exit_code == 0, written.output
        return self.folder / "haproxy" / "haproxy.cfg"

    def reload(self) -> None:
        """Have HAProxy take its files anew, as a service manager does; counts begin at 0."""
        before = self._worker()
        self.proxy.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: self._worker() != before)

    def _worker(self) -> str:
        return re.findall(r"^Pid: (\d+)$", self.proxy.says("show info"), re.MULTILINE)[0]

    def sent(self, proxy: str) -> dict[str, int]:
        """How many requests each server has got; proxy: http or grpc."""
        return {each.name: int(self.proxy.stat(proxy, each.name)["stot"]) for each in self.members}

    def in_flight(self, member: Member) -> int:
        """How many HTTP requests a server answers now."""
        return int(self.proxy.stat("http", member.name)["scur"])

    def up(self, member: Member) -> bool:
        """Whether it gets requests."""
        return self.proxy.stat("http", member.name)["status"].startswith("UP")

    def drain(self, member: Member, state: str = "drain") -> None:
        """Give a server no more requests, and return when it has none; state "ready": give it some again."""
        for proxy in ("http", "grpc"):
            self.proxy.says(f"set server {proxy}/{member.name} state {state}")
            if state == "drain":
                wait_until(lambda proxy=proxy: self.proxy.stat(proxy, member.name)["scur"] == "0")


@contextmanager
def fleet(
    count: int, repository: Path, folder: Path, make: Callable[[str, Place, Path, Path], Member] = Member
) -> Iterator[Fleet]:
    """So many servers behind HAProxy, all of them up."""
    with ExitStack() as stack:
        members = [
            make(f"triton{number}", place, repository, folder / f"{number}.log")
            for number, place in enumerate(stack.enter_context(places(count)), 1)
        ]
        for each in members:
            each.begin()
            stack.callback(each.kill)
        for each in members:
            each.wait()
        ports = free_ports(3)
        http, grpc, metrics = (f"127.0.0.1:{port}" for port in ports)
        found = Fleet(members, folder, repository, http, grpc)
        environment = {"HAPROXY_HTTP": http, "HAPROXY_GRPC": grpc, "HAPROXY_METRICS": metrics}
        found.proxy = stack.enter_context(proxying(found.write(members), folder / "admin", environment))
        wait_until(lambda: all(map(found.up, members)))
        yield found
