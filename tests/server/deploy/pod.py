"""A pod of `tbgen deploy kubernetes` run on this machine: its containers' commands in a network namespace."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tbgen.server.embedded.process import PIPE
from tbgen.server.embedded.wheel import assemble_backends, installed_wheel, server_environment
from tests.fleet.network import Place, places
from tests.server.deploy.fleets import IMAGE, documents, of_kind, written
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
    mounts = {"/models": str(repository)}
    for name in ("probe", "edge"):
        config = next(each for each in documents(files) if each["metadata"]["name"].startswith(f"kcbert-{name}"))
        (folder / name).mkdir()
        for file, text in config["data"].items():
            (folder / name / file).write_text(text, encoding="utf-8")
        mounts[f"/{name}"] = str(folder / name)
    mounts["/run/edge"] = str(folder)
    with ExitStack() as stack:
        place = stack.enter_context(places(1))[0]
        if not place.prefix:
            pytest.skip("no network namespace can be made here, and a pod's ports are fixed")
        triton, edge = (stack.enter_context(_started(each, place, mounts, folder)) for each in spec["containers"])
        pod = Pod(spec, place, mounts, triton, edge)
        wait_until(lambda: pod.ready() or triton.poll() is not None or edge.poll() is not None)
        assert pod.ready(), (folder / "triton.log").read_text("utf-8") + (folder / "edge.log").read_text("utf-8")
        yield pod


@contextmanager
def _started(
    container: dict[str, Any], place: Place, mounts: dict[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A container's command, with this machine's tritonserver and HAProxy."""
    environment = {each["name"]: here(each["value"], mounts) for each in container["env"]}
    words = [here(each, mounts) for each in container["args"]]
    if container["name"] == "triton":
        wheel = installed_wheel()
        assemble_backends(wheel, folder / "backends")
        environment = server_environment(wheel) | environment
        environment["PATH"] = f"{wheel.server.parent}:{environment['PATH']}"
        words += [f"--backend-directory={folder / 'backends'}", "--allow-gpu-metrics=false"]
        words += [f"--backend-config=python,shm-region-prefix-name=pod{os.getpid()}"]
    pipe = os.pipe()  # by whose end the embedded backend's processes see that Triton is gone
    environment[PIPE] = " ".join(map(str, pipe))
    with (folder / f"{container['name']}.log").open("wb") as log:
        process = subprocess.Popen(
            [*place.prefix, *words],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=pipe,
        )
    for end in pipe:
        os.close(end)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for left in Path("/dev/shm").glob(f"pod{os.getpid()}*"):
            left.unlink()


def here(word: str, mounts: dict[str, str]) -> str:
    """A word in which this machine's folders stand for the container's."""
    for there, own in mounts.items():
        word = word.replace(there, own, 1) if word.startswith(there) or f"={there}" in word else word
    return word
