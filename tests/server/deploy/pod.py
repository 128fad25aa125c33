"""A pod of `tbgen deploy kubernetes` run on this machine: its containers' commands in a network namespace."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.network import Place, places
from tests.server.deploy.container import started, triton_container
from tests.server.deploy.fleets import IMAGE, of_kind, written
from tests.waiting import wait_until


@dataclass
class Pod:
    """The running containers, and the places of this machine that stand for those in them."""

    spec: dict[str, Any]
    place: Place
    mounts: dict[str, str]
    triton: subprocess.Popen[bytes]
    edge: subprocess.Popen[bytes]

    def run(self, command: Sequence[str]) -> int:
        """The exit status of what a probe runs in a container."""
        words = [*self.place.prefix, *(here(each, self.mounts) for each in command)]
        return subprocess.run(words, check=False, capture_output=True).returncode

    def probe(self, name: str) -> int:
        """That of a probe of Triton's container."""
        return self.run(self.spec["containers"][0][name]["exec"]["command"])

    def status(self, port: int, path: str) -> int:
        """What is answered from outside: an HTTP status, 0 where nobody listens."""
        try:
            with urllib.request.urlopen(f"http://{self.place.host}:{port}{path}") as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def ready(self) -> bool:
        """What the kubelet takes for readiness."""
        asked = self.spec["containers"][1]["readinessProbe"]["httpGet"]
        return self.status(asked["port"], asked["path"]) == 200


@contextmanager
def running_pod(repository: Path, folder: Path) -> Iterator[Pod]:
    """A pod of a repository's servers, as soon as it is ready."""
    files = written("kubernetes", repository, folder / "kubernetes", *IMAGE)
    spec = of_kind(files, "Deployment")["spec"]["template"]["spec"]
    mounts = {"/probe": str(files / "probe"), "/edge": str(files / "edge"), "/run/edge": str(folder)}
    server, proxy = spec["containers"]
    shared = next(each["emptyDir"]["sizeLimit"] for each in spec["volumes"] if each["name"] == "shared-memory")
    with ExitStack() as stack:
        place = stack.enter_context(places(1))[0]
        if not place.prefix:
            pytest.skip("no network namespace can be made here, and a pod's ports are fixed")
        triton = stack.enter_context(
            triton_container(server["args"], _environment(server, {}), repository, place, folder, shared_memory=shared)
        )
        words = [*place.prefix, *(here(each, mounts) for each in proxy["args"])]
        edge = stack.enter_context(started(words, _environment(proxy, mounts), folder / "edge.log"))
        pod = Pod(spec, place, mounts, triton, edge)
        wait_until(lambda: pod.ready() or triton.poll() is not None or edge.poll() is not None)
        assert pod.ready(), (folder / "triton.log").read_text("utf-8") + (folder / "edge.log").read_text("utf-8")
        yield pod


def _environment(container: dict[str, Any], mounts: dict[str, str]) -> dict[str, str]:
    """A container's environment."""
    return {each["name"]: here(each["value"], mounts) for each in container["env"]}


def here(word: str, mounts: dict[str, str]) -> str:
    """A word in which this machine's folders stand for the container's."""
    for there, own in mounts.items():
        word = word.replace(there, own, 1) if word.startswith(there) or f"={there}" in word else word
    return word
