"""A container of Triton's run on this machine as it is written: its user and rights, and what it can write."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from tbgen.server.deploy.launch import MODELS, USER
from tbgen.server.embedded.process import PIPE
from tbgen.server.embedded.wheel import assemble_backends, installed_wheel, server_environment
from tests.fleet.network import Place

_FOLDERS = "/srv"  # where a container's folders lie here


@contextmanager
def started(
    words: Sequence[str], environment: Mapping[str, str], log: Path, *, owner: int = 0
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with what it starts, killed at the end; owner: the user that it becomes."""
    pipe = os.pipe()  # by whose end the embedded backend's processes see that Triton is gone
    for end in pipe:
        os.fchown(end, owner, owner)
    with log.open("wb") as printed:
        process = subprocess.Popen(
            words,
            env={**os.environ, **environment, PIPE: " ".join(map(str, pipe))},
            stdout=printed,
            stderr=printed,
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


@contextmanager
def triton_container(
    command: Sequence[str],
    environment: Mapping[str, str],
    repository: Path,
    place: Place,
    folder: Path,
    *,
    shared_memory: str,
) -> Iterator[subprocess.Popen[bytes]]:
    """A container's command with this machine's tritonserver, and models that all may read and nobody may write.

    shared_memory: /dev/shm as Kubernetes or docker write it. folder: of the log, triton.log.
    """
    wheel = installed_wheel()
    assemble_backends(wheel, folder / "backends")
    shutil.copytree(repository, folder / "models")
    for entry in ((folder / "models"), *(folder / "models").rglob("*")):
        entry.chmod(0o555)
    own = [word.replace(f"={MODELS}", f"={_FOLDERS}/models") for word in command]
    own += [f"--backend-directory={_FOLDERS}/backends", "--allow-gpu-metrics=false"]
    folders = {name: folder / name for name in ("models", "backends")}
    words = [*place.prefix, *_confined(own, folders, shared_memory.replace("Mi", "m").replace("Gi", "g"))]
    needed = server_environment(wheel)
    path = f"{wheel.server.parent}:{needed['PATH']}"
    with started(words, {**needed, **environment, "PATH": path}, folder / "triton.log", owner=USER) as process:
        yield process


def _confined(command: Sequence[str], folders: Mapping[str, Path], shared_memory: str) -> list[str]:
    """A command as the image's user, without rights, in mounts of its own: it writes in /tmp and /dev/shm alone."""
    steps = [
        "mount --make-rprivate /",
        "mount --bind /tmp /tmp",
        f"mount -t tmpfs -o mode=1777,size={shared_memory} tmpfs /dev/shm",
        f"mount -t tmpfs -o mode=755 tmpfs {_FOLDERS}",
    ]
    for name, folder in folders.items():
        there = f"{_FOLDERS}/{name}"
        steps += [_bound(folder, there), f"mount -o remount,ro,bind {there}"]
    steps += [*_opened(Path(sys.prefix), Path(sys.base_prefix)), "mount -o remount,ro,bind /"]
    rights = "--clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs"
    steps.append(f'exec setpriv --reuid={USER} --regid={USER} {rights} "$@"')
    return ["unshare", "--mount", "sh", "-ec", "\n".join(steps), "sh", *command]


def _bound(folder: Path | str, there: str | Path) -> str:
    """What makes a folder be found elsewhere too."""
    return f"mkdir -p {quote(str(there))} && mount --bind {quote(str(folder))} {quote(str(there))}"


def _opened(*folders: Path) -> Iterator[str]:
    """What lets any user enter folders, whatever leads to them: a home, for instance."""
    shut = {each: top for each in folders if (top := next((up for up in reversed(each.parents) if _shut(up)), None))}
    for number, folder in enumerate(shut):
        yield _bound(folder, f"{_FOLDERS}/{number}")
    for top in dict.fromkeys(shut.values()):
        yield f"mount -t tmpfs -o mode=755 tmpfs {quote(str(top))}"
    for number, folder in enumerate(shut):
        yield _bound(f"{_FOLDERS}/{number}", folder)


def _shut(folder: Path) -> bool:
    """Whether others may not enter it."""
    return not folder.stat().st_mode & stat.S_IXOTH


def rights_of(process: int) -> tuple[int, int, str]:
    """A process's user, its capabilities, and how the root of its files is mounted: ro or rw."""
    lines = (line.split() for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines())
    said = {words[0]: words[1] for words in lines if words[1:]}
    mounts = (line.split() for line in Path(f"/proc/{process}/mounts").read_text(encoding="utf-8").splitlines())
    root = next(options for _, where, _, options, *_ in mounts if where == "/")
    return int(said["Uid:"]), int(said["CapEff:"], 16), root.split(",")[0]
