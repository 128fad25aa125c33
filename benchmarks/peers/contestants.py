"""Everything that is compared, in one form: started as a context that gives host:port, asked by ready-made requests."""

from __future__ import annotations

import http.client
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load import json_request, texts_array
from benchmarks.models import ENGINES, checkpoint_of_shape, export_of_shape, scaffold_graphs
from benchmarks.peers.install import installed
from benchmarks.peers.peers import PEERS, Peer, Settings, Start, environment
from benchmarks.served import THREADS, TINY_BATCH, one_thread_each
from tbgen.backends.numerics import softmax
from tbgen.server.bench.wire import http_request
from tbgen.server.embedded.ports import free_ports
from tbgen.server.embedded.process import ServerProcess
from tbgen.server.embedded.server import server_on_free_ports

READY_SECONDS, STOP_SECONDS = 180.0, 10.0
WALKTHROUGH = "walk-through's recipe"
TUNED = "tbgen, single, tuned"
RECIPE = Path(__file__).with_name("walkthrough")


@dataclass(frozen=True)
class Answer:
    """The best class of a text, and its probability."""

    label: str
    score: float


@dataclass(frozen=True)
class Contestant:
    """One server with one model: `request` is a text's HTTP request, `answer` reads the JSON answer to it.

    `running` raises RuntimeError when the server does not start.
    """

    name: str
    precision: str
    settings: str
    running: Callable[[], AbstractContextManager[str]]
    request: Callable[[str], bytes]
    answer: Callable[[Any], Answer]

    @property
    def title(self) -> str:
        return f"{self.name}, {self.precision}"


def peer_contestant(name: str, precision: str, shape: str, settings: Settings) -> Contestant:
    """A peer with the given settings; its files are made when it first runs."""
    peer = PEERS[name]

    def answer(found: Any) -> Answer:
        best = peer.answer(found)
        return Answer(best["label"], best["score"])

    return Contestant(
        name,
        precision,
        peer.described(settings),
        lambda: running_peer(peer, shape, precision, settings),
        lambda text: json_request(peer.path, peer.body(text)),
        answer,
    )


@contextmanager
def running_peer(peer: Peer, shape: str, precision: str, settings: Settings) -> Iterator[str]:
    """The peer's server, from its start to the end of its last process."""
    if not installed(peer.venv):
        raise RuntimeError(f"not installed: python -m benchmarks.peers install {peer.venv}")
    model = peer.model(shape, precision, settings).absolute()
    with tempfile.TemporaryDirectory() as scratch:
        folder, (port, other_port) = Path(scratch), free_ports(2)
        start, log = Start(model, precision, settings, port, other_port, folder), folder / "log"
        command = peer.command(start)
        process = ServerProcess(command, environment=environment(peer, start), log=log, folder=folder)
        try:
            wait_until_ready(f"127.0.0.1:{port}", peer.ready, process, log)
            yield f"127.0.0.1:{port}"
        finally:
            process.stop(STOP_SECONDS)


def wait_until_ready(url: str, path: str, process: ServerProcess, log: Path) -> None:
    """Return when GET `path` is answered with 200. Raises RuntimeError with the log's end."""
    deadline = time.monotonic() + READY_SECONDS
    while status_of(url, path) != 200:
        if process.ended() or time.monotonic() > deadline:
            raise RuntimeError(f"it does not get ready: {log.read_text(encoding='utf-8')[-1000:]}")
        time.sleep(0.2)


def status_of(url: str, path: str) -> int:
    """The status of a GET; 0 while nobody listens."""
    connection = http.client.HTTPConnection(url, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def tbgen_contestants(shape: str, precision: str, folder: Path) -> list[Contestant]:
    """tbgen's graphs as `tbgen scaffold` writes them, and what `tbgen tune` makes of a single model; in `folder`."""
    stem, plain, tuned = f"{shape}_{ENGINES[precision]}", folder / "plain", folder / "tuned"
    scaffold_graphs(shape, plain, precision)
    single = shutil.copytree(plain / f"{stem}_single", tuned / f"{stem}_single")
    one_thread_each(single, THREADS, TINY_BATCH)

    def contestant(graph: str, repository: Path) -> Contestant:
        return Contestant(
            f"tbgen, {graph}",
            precision,
            "as scaffolded",
            lambda: running_triton(repository),
            lambda text: json_answered(f"{stem}_{graph}", text, "label", "score"),
            lambda found: Answer(values_of(found, "label")[0], values_of(found, "score")[0]),
        )

    settings = f"{THREADS} instances x 1 thread, batches of {TINY_BATCH}"
    as_scaffolded = [contestant(graph, plain) for graph in ("bls", "ensemble", "single")]
    return [*as_scaffolded, replace(contestant("single", tuned), name=TUNED, settings=settings)]


def walkthrough_contestant(shape: str, folder: Path) -> Contestant:
    """The recipe, in a repository `folder`: its ensemble answers logits."""
    exported = export_of_shape(shape)
    write_walkthrough(folder, model=exported.model, checkpoint=checkpoint_of_shape(shape))

    def answer(found: Any) -> Answer:
        probabilities = softmax(np.array([values_of(found, "outputs")]))[0]
        best = int(probabilities.argmax())
        return Answer(exported.labels[best], float(probabilities[best]))

    return Contestant(
        WALKTHROUGH,
        "fp32",
        "padded to 300, one by one",
        lambda: running_triton(folder),
        lambda text: json_answered("kcbert_onnx_ensemble", text, "outputs"),
        answer,
    )


def write_walkthrough(repository: Path, *, model: Path, checkpoint: Path) -> None:
    """Complete the recipe's three models in a new folder: `model` is the ONNX file, `checkpoint` has the tokenizer."""
    shutil.copytree(RECIPE, repository, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(checkpoint / file, repository / "onnx_tokenizer" / file)
    for name in ("kcbert_onnx", "kcbert_onnx_ensemble"):
        (repository / name / "1").mkdir()
    shutil.copyfile(model, repository / "kcbert_onnx" / "1" / "model.onnx")


def json_answered(model: str, text: str, *outputs: str) -> bytes:
    """A request of one text to a model of Triton's, answered in JSON."""
    return http_request(model, {"input_text": texts_array([text])}, "triton", outputs, binary=False)


def values_of(answer: Mapping[str, Any], name: str) -> list[Any]:
    return next(each["data"] for each in answer["outputs"] if each["name"] == name)


@contextmanager
def running_triton(repository: Path) -> Iterator[str]:
    with server_on_free_ports(repository) as server:
        yield server.http_url
