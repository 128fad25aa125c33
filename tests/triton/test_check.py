"""`tbgen check` against the real tritonserver: over a table of broken models, both say loads or does not load."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from tbgen.generator.check.check import check_repository
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving
from tests.triton import good_models
from tests.triton.broken.python_models import WAITING
from tests.triton.broken.table import ROWS
from tests.triton.broken.warm_ups import ENDING
from tests.waiting import wait_until

RELEASE = "24.10"  # of the wheel's tritonserver, 2.51
GOOD = (
    good_models.engine,
    good_models.ragged,
    good_models.python,
    good_models.steps,
    good_models.pair,
    good_models.decoupled,
)
# Rows in which they disagree, and why.
DISAGREE = {
    "backend_of_ones_own": "a custom backend may be installed where the model is served: an advice",
    "import_of_nothing": "a package may be installed where the model is served: an advice",
    "backend_named_alike": "a custom backend may be installed where the model is served: an advice",
    "agent_of_none": "an agent may be installed where the model is served: an advice",
    "runtime_of_the_backend": "NVIDIA's backend has that file, the embedded server's has not: an advice",
    "gpu_where_there_is_none": "check does not know the server's devices: an advice",
    "gpu_by_number": "check does not know the server's devices: an advice",
    "opset_of_26_02": "the release's ONNX Runtime refuses it, the embedded server runs this Python's newer one",
    "ir_of_26_02": "the release's ONNX Runtime refuses it, the embedded server runs this Python's newer one",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows in one repository, beside the good models that the ensembles call."""
    folder = tmp_path_factory.mktemp("broken") / "models"
    for model in GOOD:
        model(folder / f"good_{model.__name__}")
    write_rows(folder, ROWS.keys() - WAITING.keys() - ENDING.keys())
    return folder


@pytest.fixture(scope="module")
def waiting_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows at which the server waits without end."""
    folder = tmp_path_factory.mktemp("waiting") / "models"
    write_rows(folder, WAITING)
    return folder


@pytest.fixture(scope="module")
def ending_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows that can end the server."""
    folder = tmp_path_factory.mktemp("ending") / "models"
    write_rows(folder, ENDING)
    return folder


def write_rows(folder: Path, names: Iterable[str]) -> None:
    """The models of some rows."""
    for name in names:
        ROWS[name].change(ROWS[name].model(folder / name))


@pytest.fixture(scope="module")
def server_says(repository: Path, waiting_repository: Path, ending_repository: Path) -> dict[str, str]:
    """What the real server says of each model: nothing when it is loaded, else why it is not."""
    log = repository.parent / "triton.log"
    arguments = ("--exit-on-error=false", "--strict-readiness=false")
    with serving(repository, log=log, extra_arguments=arguments) as server:
        known = {model.name: model for model in server.models()}
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = {}
    for name in (folder.name for folder in repository.iterdir()):
        loaded = name in known and known[name].state == "READY"
        reason = known[name].reason if name in known else ""
        said[name] = (
            ""
            if loaded
            else reason or next((line for line in lines if re.search(rf"^E.*\b{name}\b", line)), "not loaded")
        )
    return said | loads_without_end(waiting_repository) | ends_or_refuses(ending_repository)


def loads_without_end(repository: Path) -> dict[str, str]:
    """Ask a server to load each model; one whose process has ended while it is loading will never be READY."""
    log, names = repository.parent / "waiting.log", [folder.name for folder in repository.iterdir()]
    arguments = ("--model-control-mode=explicit", "--model-load-thread-count=8")
    with serving(repository, log=log, extra_arguments=arguments) as server:
        for name in names:
            Thread(target=load, args=(server, name), daemon=True).start()
        wait_until(lambda: ended_processes(server) + sum(m.state != "LOADING" for m in server.models()) >= len(names))
        ready = {model.name for model in server.models() if model.state == "READY"}
    return {name: "" if name in ready else "is loading without end" for name in names}


def ended_processes(server: EmbeddedServer) -> int:
    """How many of the processes that a server has started have ended and were not waited for."""
    assert server.process
    found = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it is gone
            state, parent = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
            found += (state, parent) == ("Z", str(server.process.pid))
    return found


def ends_or_refuses(repository: Path) -> dict[str, str]:
    """Ask for one model after the other, of a new server where one ended."""
    said: dict[str, str] = {}
    while waiting := [folder.name for folder in repository.iterdir() if folder.name not in said]:
        log = repository.parent / f"ending_{len(said)}.log"
        with serving(repository, log=log, extra_arguments=["--model-control-mode=explicit"]) as server:
            for name in waiting:
                load(server, name)
                said[name] = outcome(server, name)
                if not server.running():
                    break
    return said


def load(server: EmbeddedServer, name: str) -> None:
    """Ask for one model; the server may be gone before it answers."""
    with suppress(OSError):
        server.call("POST", f"/v2/repository/models/{name}/load")


def outcome(server: EmbeddedServer, name: str) -> str:
    """Why a model that was asked for is not READY, once that is certain; nothing when it is."""
    while server.running():
        with suppress(OSError):
            model = next(model for model in server.models() if model.name == name)
            if model.state != "LOADING":
                return model.reason
        time.sleep(0.01)
    return "the server ended"


@pytest.fixture(scope="module")
def check_says(repository: Path, waiting_repository: Path, ending_repository: Path) -> dict[str, str]:
    """What check says of each model: nothing when it would be loaded, else why not."""
    said = {}
    for folder in (repository, waiting_repository, ending_repository):
        said |= dict.fromkeys((model.name for model in folder.iterdir()), "")
        findings = check_repository(folder, release=RELEASE)
        said |= {finding.model: finding.says for finding in reversed(findings) if finding.effect == "refused"}
    return said


def test_the_good_models_are_good(server_says: dict[str, str], check_says: dict[str, str]) -> None:
    names = [f"good_{model.__name__}" for model in GOOD]
    assert [server_says[name] for name in names] == [check_says[name] for name in names] == [""] * len(names)


def test_check_and_server_agree(server_says: dict[str, str], check_says: dict[str, str]) -> None:
    disagree = {name for name in ROWS if bool(server_says[name]) != bool(check_says[name])}
    assert {name: (server_says[name], check_says[name]) for name in disagree - DISAGREE.keys()} == {}
    assert disagree == DISAGREE.keys()


def test_the_table_is_as_large_as_it_should_be(server_says: dict[str, str]) -> None:
    agreed = {name: row for name, row in ROWS.items() if name not in DISAGREE}
    refused = Counter(row.decided_by for name, row in agreed.items() if server_says[name])
    loaded = Counter(row.decided_by for name, row in agreed.items() if not server_says[name])
    assert refused >= Counter(core=140, python=25, onnx=35)
    assert loaded >= Counter(core=45, python=9, onnx=32)


def test_check_speaks_in_the_servers_words(server_says: dict[str, str], check_says: dict[str, str]) -> None:
    said = {
        name: check_says[name]
        for name in ROWS.keys() - WAITING.keys() - ENDING.keys()
        if check_says[name] and server_says[name]
    }
    word_for_word = {name for name, says in said.items() if says.rpartition(" -> ")[2] in server_says[name]}
    assert len(word_for_word) >= 0.85 * len(said), sorted(said.keys() - word_for_word)
