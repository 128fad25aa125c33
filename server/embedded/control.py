"""What is done to the models of a running server: one is loaded again, or all are taken away before it ends.

By the API, which only tbgen may use unless clients were given the key; a server that polls sees its repository change.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from tbgen.generator.calls import called_models, configs_in
from tbgen.generator.role import front_names
from tbgen.server.client.address import Address
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.process import LOOK_PAUSE

LOAD_SECONDS = 600.0  # most time that loading models may take
_AGAIN = "tbgen_loaded_again"  # a parameter that no backend reads: Triton loads no model again that is as it was


class RunningServer(Protocol):
    """What the embedded server is to this file."""

    repository: Path

    @property
    def polls(self) -> bool: ...

    @property
    def polled(self) -> Path: ...

    @property
    def grpc_url(self) -> str: ...

    def call(self, method: str, path: str) -> tuple[int, bytes]: ...

    def running_models(self) -> set[str]: ...


def reload(server: RunningServer, version: Path) -> None:
    """Have the model of a version, MODEL/VERSION, loaded again; a server that polls does it within its next seconds.

    Raises UserError when it does not load, OSError when its folder cannot be touched.
    """
    model = version.parent.name
    if server.polls:
        os.utime(server.repository / version)
        return
    config = json.loads(server.call("GET", f"/v2/models/{quote(model)}/config")[1])
    config.setdefault("parameters", {})[_AGAIN] = {"string_value": str(time.time())}
    with (
        Connection(Address(server.grpc_url, "grpc"), seconds=LOAD_SECONDS) as connection,
        connection.failures(f"does not load {model!r} again"),
    ):
        connection.client.load_model(model, config=json.dumps(config), **connection.options())


def drain(server: RunningServer, seconds: float) -> None:
    """Take all models away: no new request is served, those in flight are, for at most `seconds`.

    Models that others call go last. One is gone when its processes are, but for those that died before.
    Raises OSError when the server does not answer, or controls no models.
    """
    end = time.monotonic() + seconds
    fronts, models = _fronts(server.repository), {folder.name for folder in _folders(server.repository)}
    _take_away(server, fronts, models - fronts)
    _wait_until(lambda: server.running_models().isdisjoint(fronts), end)
    _take_away(server, models - fronts, set())
    _wait_until(lambda: not server.running_models(), end)


def _take_away(server: RunningServer, models: Collection[str], left: Collection[str]) -> None:
    """Have models unloaded; `left`: those that stay."""
    if server.polls:
        _point_to(server.polled, {name: server.repository / name for name in left})
        return
    for model in models:
        said = server.call("POST", f"/v2/repository/models/{quote(model)}/unload")[1]
        if b"not allowed" in said:
            raise PermissionError(said)


def _point_to(link: Path, models: Mapping[str, Path]) -> None:
    """Let a link to a repository lead to a folder of these models from now on."""
    folder = Path(tempfile.mkdtemp(dir=link.parent))
    for name, target in models.items():
        (folder / name).symlink_to(target.resolve())
    beside = folder.with_suffix(".link")
    beside.symlink_to(folder)
    beside.rename(link)


def _wait_until(what: Callable[[], bool], end: float) -> None:
    """Wait for a state, on the monotonic clock at most until `end`."""
    while not what() and time.monotonic() < end:
        time.sleep(LOOK_PAUSE)


def _folders(repository: Path) -> list[Path]:
    return [folder for folder in repository.iterdir() if folder.is_dir()]


def _fronts(repository: Path) -> set[str]:
    """The models that clients ask, without those that others of them call."""
    configs = configs_in(repository)
    return {*front_names(configs, repository)} - called_models(configs, repository)
