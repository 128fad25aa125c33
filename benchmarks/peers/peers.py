"""Table of the peers: how each is started, what it is sent, where its answer lies, and its settings."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.models import CACHE, checkpoint_of_shape, export_of_shape
from benchmarks.peers.install import python_of

SERVICES = Path(__file__).with_name("services").absolute()
PRECISIONS = ("fp32", "int8")
FORMS = {("fp32", False): "plain", ("fp32", True): "fused", ("int8", False): "int8", ("int8", True): "int8_fused"}


@dataclass(frozen=True)
class Settings:
    """What a peer can be set to; each takes what it has.

    workers: processes with a model each. threads: of one run, in each worker (infinity and MLServer have no such
    setting: ONNX Runtime takes all cores there). pool: requests at work at once in a worker. batch, wait: most texts in
    a batch, and seconds that one waits for more. fused: whether optimum fused the ONNX file's layers.
    """

    workers: int = 1
    threads: int = 2
    pool: int = 1
    batch: int = 1
    wait: float = 0.0
    fused: bool = True


@dataclass(frozen=True)
class Start:
    """A peer about to be started: `model` is the folder that it serves, `folder` one for its own files."""

    model: Path
    precision: str
    settings: Settings
    port: int
    other_port: int
    folder: Path


@dataclass(frozen=True)
class Peer:
    """A peer: its venv, its command line and environment, its HTTP protocol, and the settings that it has.

    model: of a shape's name, a precision and settings, the folder that it serves. ready: the path that answers 200 when
    it is ready. path, body: where a text is posted, and as what JSON. answer: label and score, in the JSON answer.
    """

    venv: str
    model: Callable[[str, str, Settings], Path]
    command: Callable[[Start], list[str]]
    environment: Callable[[Start], dict[str, str]]
    ready: str
    path: str
    body: Callable[[str], Any]
    answer: Callable[[Any], Mapping[str, Any]]
    has: tuple[str, ...]
    tried: tuple[Settings, ...]

    def described(self, settings: Settings) -> str:
        return ", ".join(f"{name} {getattr(settings, name)}" for name in self.has)


def torch_model(shape: str, precision: str, settings: Settings) -> Path:  # noqa: ARG001
    """The checkpoint; the service itself makes it INT8."""
    return checkpoint_of_shape(shape)


def exported_model(shape: str, precision: str, settings: Settings) -> Path:  # noqa: ARG001
    """The ONNX export, as its own tokenizer and ONNX Runtime read it."""
    return export_of_shape(shape, precision=precision).folder


def optimum_files(venv: str, shape: str, precision: str, *, fused: bool) -> Path:
    """One form of a shape's checkpoint by optimum, made once. Raises RuntimeError with its last words."""
    form = FORMS[precision, fused]
    folder = CACHE / f"{shape}-{venv}-{form}"
    if not folder.exists():
        paths = [
            str(each.absolute())
            for each in (python_of(venv), SERVICES / "onnx_files.py", checkpoint_of_shape(shape), folder)
        ]
        words = {**os.environ, "USE_TF": "0"}  # MLServer's venv has a TensorFlow that its transformers cannot use
        made = subprocess.run([*paths, form], env=words, capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f"optimum in {venv} made no {form} file: {made.stderr[-1000:]}")
    return folder


def uvicorn_command(app: str) -> Callable[[Start], list[str]]:
    """Uvicorn with as many workers, on one of our services."""

    def command(start: Start) -> list[str]:
        listen = ["--host", "127.0.0.1", "--port", str(start.port), "--workers", str(start.settings.workers)]
        quiet = ["--log-level", "warning", "--no-access-log"]
        return [str(python_of("fastapi")), "-m", "uvicorn", app, "--app-dir", str(SERVICES), *listen, *quiet]

    return command


def litserve_command(start: Start) -> list[str]:
    return [str(python_of("litserve")), str(SERVICES / "litserve_torch.py"), str(start.port)]


def infinity_command(start: Start) -> list[str]:
    """`infinity_emb v2` with the engine that runs ONNX files."""
    model = ["--model-id", str(start.model), "--served-model-name", "peer", "--batch-size", str(start.settings.batch)]
    engine = ["--engine", "optimum", "--device", "cpu", "--no-bettertransformer"]
    engine += ["--no-model-warmup"]  # it sends 512 words, and kcbert has 300 positions
    listen = ["--host", "127.0.0.1", "--port", str(start.port), "--log-level", "error"]
    return [str(python_of("infinity").with_name("infinity_emb")), "v2", *model, *engine, *listen]


def mlserver_command(start: Start) -> list[str]:
    """`mlserver start` on a folder with its two settings files."""
    settings = start.settings
    server = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": start.port,
        "grpc_port": start.other_port,
        "metrics_endpoint": None,
        "parallel_workers": settings.workers,
    }
    pipeline = {"task": "text-classification", "pretrained_model": str(start.model), "optimum_model": True}
    model = {
        "name": "peer",
        "implementation": "mlserver_huggingface.HuggingFaceRuntime",
        "max_batch_size": settings.batch,
        "max_batch_time": settings.wait,
        "parameters": {"extra": {**pipeline, "framework": "pt"}},
    }
    (start.folder / "settings.json").write_text(json.dumps(server), encoding="utf-8")
    (start.folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    return [str(python_of("mlserver").with_name("mlserver")), "start", str(start.folder)]


def service_environment(start: Start) -> dict[str, str]:
    numbers = {
        name.upper(): str(getattr(start.settings, name)) for name in ("workers", "threads", "pool", "batch", "wait")
    }
    return {**numbers, "OMP_NUM_THREADS": numbers["THREADS"], "MODEL": str(start.model), "PRECISION": start.precision}


def optimum_environment(start: Start) -> dict[str, str]:
    """No other models: a cache of its own, no network. infinity would fuse layers itself; its files are ready."""
    cache = {"HF_HOME": str(start.folder / "huggingface"), "HF_HUB_OFFLINE": "1", "USE_TF": "0"}
    return {**cache, "INFINITY_ANONYMOUS_USAGE_STATS": "0", "INFINITY_ONNX_DISABLE_OPTIMIZE": "1"}


def environment(peer: Peer, start: Start) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, "TOKENIZERS_PARALLELISM": "true", **peer.environment(start)}


def inference_body(text: str) -> dict[str, Any]:
    """A text in the open inference protocol's JSON, named as MLServer's runtime batches it."""
    tensor = {"name": "array_inputs", "shape": [1], "datatype": "BYTES", "data": [text]}
    return {"inputs": [{**tensor, "parameters": {"content_type": "str"}}]}


FASTAPI = Peer(
    venv="fastapi",
    model=torch_model,
    command=uvicorn_command("fastapi_torch:app"),
    environment=service_environment,
    ready="/ready",
    path="/classify",
    body=lambda text: {"text": text},
    answer=lambda answer: answer,
    has=("workers", "threads", "pool"),
    tried=(
        Settings(workers=2, threads=1, pool=1),
        Settings(workers=1, threads=1, pool=2),
        Settings(workers=1, threads=2, pool=1),
    ),
)

PEERS = {
    "FastAPI + transformers": FASTAPI,
    "FastAPI + ONNX Runtime": replace(FASTAPI, model=exported_model, command=uvicorn_command("fastapi_onnx:app")),
    "LitServe": Peer(
        venv="litserve",
        model=torch_model,
        command=litserve_command,
        environment=service_environment,
        ready="/health",
        path="/predict",
        body=lambda text: {"text": text},
        answer=lambda answer: answer,
        has=("workers", "threads", "batch", "wait"),
        tried=(
            Settings(workers=2, threads=1),
            Settings(workers=2, threads=1, batch=8, wait=0.005),
            Settings(workers=1, threads=2, batch=16, wait=0.01),
            Settings(workers=1, threads=2, batch=4, wait=0.002),
        ),
    ),
    "infinity": Peer(
        venv="infinity",
        model=lambda shape, precision, settings: optimum_files("infinity", shape, precision, fused=settings.fused),
        command=infinity_command,
        environment=optimum_environment,
        ready="/health",
        path="/classify",
        body=lambda text: {"model": "peer", "input": [text]},
        answer=lambda answer: max(answer["data"][0], key=lambda each: each["score"]),
        has=("batch", "fused"),
        tried=(Settings(batch=32), Settings(batch=8), Settings(batch=32, fused=False)),
    ),
    "MLServer": Peer(
        venv="mlserver",
        model=lambda shape, precision, settings: optimum_files("mlserver", shape, precision, fused=settings.fused),
        command=mlserver_command,
        environment=optimum_environment,
        ready="/v2/models/peer/ready",
        path="/v2/models/peer/infer",
        body=inference_body,
        answer=lambda answer: json.loads(answer["outputs"][0]["data"][0]),
        has=("workers", "batch", "wait", "fused"),
        tried=(
            Settings(workers=1),
            Settings(workers=0),
            Settings(workers=2),
            Settings(workers=1, fused=False),
            Settings(workers=1, batch=8, wait=0.005),
        ),
    ),
}
