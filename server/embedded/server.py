"""The embedded server: the wheel's real tritonserver on a model repository, for development, tests, small machines."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.generator.addresses import GRPC, HTTP, LISTEN, METRICS
from tbgen.generator.devices import GPU, device_here
from tbgen.generator.repository import refuse_empty_repository
from tbgen.server.embedded import keys
from tbgen.server.embedded import log as server_log
from tbgen.server.embedded.control import LOAD_SECONDS, drain
from tbgen.server.embedded.leftovers import locked_folder, remove, sweep
from tbgen.server.embedded.models import ServedModel, processes_of, served_models
from tbgen.server.embedded.ports import check_ports, free_ports
from tbgen.server.embedded.process import CONTROL_MODES, LOOK_PAUSE, ServerProcess
from tbgen.server.embedded.stubs import Stubs
from tbgen.server.embedded.wheel import assemble_backends, installed_wheel, server_environment

_DRAIN_SECONDS = 25.0  # for requests in flight
_CLOSE_SECONDS = 2.0  # for connections that are still open then: Triton itself waits 30 s for those that are idle


class EmbeddedServer:
    """A tritonserver process on a model repository, as a context manager or with start() and stop().

    Args:
        repository: the model repository's folder.
        host: address to listen on; the default is reached from this machine only.
        http_port: a free port, as the next two.
        grpc_port: another.
        metrics_port: a third.
        log: file for the server's output; a temporary one when it is None.
        extra_arguments: passed to tritonserver as they are, for instance "--cache-config=local,size=1048576". Without
            a model control mode all models are loaded, and others by who has the server's key: `headers`.

    A server that is not ready, or has been stopped, leaves no process, shared memory or temporary file behind; what one
    leaves whose caller was killed, the next one removes.
    """

    def __init__(
        self,
        repository: Path,
        *,
        host: str = LISTEN,
        http_port: int = HTTP,
        grpc_port: int = GRPC,
        metrics_port: int = METRICS,
        log: Path | None = None,
        extra_arguments: Sequence[str] = (),
    ) -> None:
        self.repository = repository
        self.host = host
        self.ports = {"HTTP": http_port, "gRPC": grpc_port, "metrics": metrics_port}
        self.log = log
        self.extra_arguments = tuple(extra_arguments)
        self.key = secrets.token_urlsafe(24)
        self.process: ServerProcess | None = None
        self.folder: Path | None = None
        self.stubs: Stubs | None = None

    @property
    def log_file(self) -> Path:
        return self.log or (self.folder or Path()) / "tritonserver.log"

    @property
    def http_url(self) -> str:
        """host:port, as Triton's clients take it."""
        return self.url("HTTP")

    @property
    def grpc_url(self) -> str:
        """host:port, as Triton's clients take it."""
        return self.url("gRPC")

    @property
    def metrics_url(self) -> str:
        """The page that Prometheus reads."""
        return f"http://{self.url('metrics')}/metrics"

    @property
    def open_to_others(self) -> bool:
        """Whether other machines reach its ports."""
        return not ipaddress.ip_address(socket.gethostbyname(self.host)).is_loopback

    @property
    def has_mode(self) -> bool:
        """Whether its arguments name a model control mode."""
        return any(each.startswith("--model-control-mode") for each in self.extra_arguments)

    @property
    def polls(self) -> bool:
        """Whether the server looks for changes in its repository by itself."""
        return CONTROL_MODES["poll"][0] in self.extra_arguments

    @property
    def polled(self) -> Path:
        """A link to the repository, which such a server is given."""
        return (self.folder or Path()) / "models"

    def headers(self, protocol: str) -> dict[str, str]:
        """What requests to load models, and for shared memory, traces and log settings must carry ("http", "grpc")."""
        return keys.headers(self.key, protocol)

    def url(self, name: str) -> str:
        return f"{self.host}:{self.ports[name]}"

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(
        self,
        *,
        on_wait: Callable[[float], None] | None = None,
        seconds: float = LOAD_SECONDS,
        keep_log: bool = False,
    ) -> None:
        """Start the server and return when all models are READY; `on_wait` gets the seconds waited so far.

        Raises MissingExtra, UserError (in one sentence: repository, ports, libpython, models that fail to load).
        """
        refuse_empty_repository(self.repository, filled_later=self.has_mode)
        check_ports(self.host, self.ports)
        if self.log and not self.log.parent.is_dir():
            raise UserError(f"the log's folder {str(self.log.parent)!r} does not exist")
        wheel = installed_wheel()
        sweep()
        self.folder, lock = locked_folder()
        try:
            assemble_backends(wheel, self.folder / "backends")
            if not keep_log:
                self.log_file.write_bytes(b"")
            keys.write_key(self.folder, self.key, {name.lower(): self.url(name) for name in ("HTTP", "gRPC")})
            arguments = self.arguments(self.folder, wheel.caches)
            self.process = ServerProcess(
                [str(wheel.server), *arguments],
                environment=server_environment(wheel),
                log=self.log_file,
                folder=self.folder,
                lock=lock,
            )
            self.wait_until_ready(on_wait, seconds)
            self.stubs = Stubs(self.process.pid, self.processes_expected)
            self.stubs.look()  # before a request comes, of which a process may die
        except BaseException:
            self.stop(seconds=0)
            raise
        finally:
            os.close(lock)

    def arguments(self, folder: Path, caches: Path) -> list[str]:
        address = socket.gethostbyname(self.host)  # given a name, its HTTP port would listen on 255.255.255.255
        return [
            f"--model-repository={self.path_for_triton(folder / 'models')}",
            f"--backend-directory={folder / 'backends'}",
            f"--cache-directory={caches}",
            f"--backend-config=python,shm-region-prefix-name={folder.name}",
            f"--allow-gpu-metrics={str(device_here() == GPU).lower()}",
            *(f"--{name}-address={address}" for name in ("http", "grpc", "metrics")),
            *(f"--{name.lower()}-port={port}" for name, port in self.ports.items()),
            *keys.restrictions(self.key),
            *self.threads(),
            *(() if self.has_mode else CONTROL_MODES["explicit"]),
            *self.extra_arguments,
        ]

    def path_for_triton(self, link: Path) -> str:
        """The repository, by a link where the server polls it, or its path is not ASCII.

        The Python in Triton's stub can open no such path: it ignores PYTHONUTF8 and its locale, in NVIDIA's containers
        too.
        """
        repository = self.repository.resolve()
        if str(repository).isascii() and not self.polls:
            return str(repository)
        link.symlink_to(repository)
        return str(link)

    def threads(self) -> list[str]:
        """HTTP threads for half of the cores: Triton's eight take turns on those that the models compute on.

        Where clients may load models they stay eight, for a load holds its thread, and that thread's clients.
        """
        if any("http-thread-count" in each or "explicit" in each for each in self.extra_arguments):
            return []
        return [f"--http-thread-count={min(8, max(1, (os.cpu_count() or 1) // 2))}"]

    def wait_until_ready(self, on_wait: Callable[[float], None] | None, seconds: float) -> None:
        """Return when the server says READY. Raises UserError when it ends, or is not ready after `seconds`."""
        began = time.monotonic()
        while not self.ready():
            waited = time.monotonic() - began
            if not self.running():
                raise UserError(self.explanation())
            if waited > seconds:
                last = " / ".join(server_log.lines_to_show(self.log_lines())[-3:])
                raise UserError(f"Triton was not ready after {seconds:.0f} s; its log ends: {last}")
            if on_wait:
                on_wait(waited)
            time.sleep(LOOK_PAUSE)

    def running(self) -> bool:
        return self.process is not None and not self.process.ended()

    def ready(self) -> bool:
        """Whether the server answers, all its models are loaded, and its metrics can be read: they come last."""
        metrics = not {"--allow-metrics=false", "--allow-metrics=0"} & {*self.extra_arguments}
        try:
            if self.call("GET", "/v2/health/ready")[0] != 200:
                return False
            if metrics:
                socket.create_connection((self.host, self.ports["metrics"]), timeout=1).close()
        except OSError:
            return False
        return True

    def explanation(self) -> str:
        """Why the server ended: the signal that killed it, or one sentence from its log."""
        if name := self.process.killed_by() if self.process else "":
            return f"tritonserver was killed by {name}"
        text = "\n".join(self.log_lines())
        return server_log.explanation(text.replace(str((self.folder or Path()) / "models"), str(self.repository)))

    def note(self, text: str) -> None:
        """Add a line of tbgen's own to the log."""
        with self.log_file.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{server_log.NOTE}{datetime.now():%H:%M:%S} {text}\n")

    def log_lines(self) -> list[str]:
        if not self.log_file.is_file():
            return []
        return self.log_file.read_text(encoding="utf-8", errors="backslashreplace").splitlines()

    def models(self) -> list[ServedModel]:
        """All models that the server knows, by name."""
        return served_models(self.call)

    def call(self, method: str, path: str) -> tuple[int, bytes]:
        """Status and body of one HTTP request to the server. Raises OSError when it does not answer."""
        connection = http.client.HTTPConnection(self.host, self.ports["HTTP"], timeout=10)
        try:
            connection.request(method, path, headers=self.headers("http"))
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def processes_expected(self) -> dict[Path, int]:
        """The READY versions of models that run in Python -> how many processes each should have. Raises OSError."""
        return processes_of(self.call, (self.folder or Path()) / "backends")

    def running_models(self) -> set[str]:
        """The models of which a process runs now."""
        if self.stubs is None:
            return set()
        self.stubs.look()
        return self.stubs.models()

    def stop(self, *, seconds: float = _DRAIN_SECONDS) -> None:
        """Stop the server and its models' processes, and remove its temporary files.

        No new request is served; those in flight have `seconds`, and connections that stay open 2 more.
        """
        close = 0.0
        try:
            if seconds and self.stubs and self.running():
                with contextlib.suppress(OSError):  # it does not answer, or may not be told
                    drain(self, seconds)
                close = _CLOSE_SECONDS
        finally:
            self.end(close)

    def end(self, seconds: float) -> None:
        """End the processes, at the latest after `seconds`, and remove the temporary files."""
        try:
            if self.process is not None:
                self.process.stop(seconds)
        finally:
            self.process = self.stubs = None
            if self.folder is not None:
                remove(self.folder)
            self.folder = None


def server_on_free_ports(
    repository: Path, *, host: str = LISTEN, log: Path | None = None, extra_arguments: Sequence[str] = ()
) -> EmbeddedServer:
    """The embedded server, not yet started, on three ports that nothing on this machine listens on."""
    http, grpc, metrics = free_ports(3)
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    return EmbeddedServer(repository, host=host, log=log, extra_arguments=extra_arguments, **ports)
