"""One real Triton with every task, and a gateway before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tbgen.export.tasks.table import TASKS
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.models.graph import models_of
from tbgen.generator.models.write import write_models
from tbgen.server.client.address import Address
from tbgen.server.embedded.server import EmbeddedServer
from tbgen.server.gateway.settings import GatewaySettings
from tests.backends.conftest import Pair, exports  # noqa: F401 - a fixture
from tests.server.gateway.running import Asked, running_gateway
from tests.serving import serving

_CLASSIFIER = "AutoModelForSequenceClassification"
# Name -> task, head, labels, kind of problem, options, graphs.
MODELS: dict[str, tuple[str, str, tuple[str, ...], str | None, dict[str, Any], tuple[str, ...]]] = {
    "mood": ("text-classification", _CLASSIFIER, ("부정", "중립", "긍정"), None, {}, ("bls",)),
    "topics": (
        "text-classification",
        _CLASSIFIER,
        ("politics", "경제", "sports"),
        "multi_label_classification",
        {},
        ("bls",),
    ),
    "names": ("token-classification", "AutoModelForTokenClassification", ("O", "B-PER", "I-PER"), None, {}, ("bls",)),
    "vectors": (
        "embedding",
        "AutoModel",
        (),
        None,
        {"prompts": {"query": "질문: "}},
        ("ensemble", "bls", "single"),
    ),
    "masks": ("fill-mask", "AutoModelForMaskedLM", (), None, {}, ("bls",)),
    "words": ("sparse-embedding", "AutoModelForMaskedLM", (), None, {}, ("bls",)),
    "answers": ("question-answering", "AutoModelForQuestionAnswering", ("start", "end"), None, {}, ("bls",)),
    "ranks": ("rerank", _CLASSIFIER, ("score",), None, {}, ("bls",)),
    "near": ("similarity", "AutoModel", (), None, {}, ("bls",)),
    "any_label": ("zero-shot-classification", _CLASSIFIER, ("contradiction", "entailment"), None, {}, ("bls",)),
}


@pytest.fixture(scope="session")
def every_task(exports: Callable[..., Pair], tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:  # noqa: F811
    """A Triton with each task under a name of its own."""
    folder = tmp_path_factory.mktemp("every_task")
    for name, (task, auto, labels, problem, options, graphs) in MODELS.items():
        exported = exports("bert", auto, task, labels, problem).exported
        settings: dict[str, Any] = {"task": TASKS[task], "engine": ENGINES["onnx"], "graphs": graphs}
        record = {"name": name, "settings": {"task": task, "labels": list(labels)}, "source": {}}
        write_models(models_of(name, exported, options=options, **settings), folder / "repository", record)
    with serving(folder / "repository", log=folder / "log") as server:
        yield server


@pytest.fixture(scope="session")
def settings(every_task: EmbeddedServer) -> GatewaySettings:
    """A gateway that sees the models' folders."""
    address = Address(every_task.grpc_url, "grpc")
    return GatewaySettings(address, repository=every_task.repository, models=("mood",))


@pytest.fixture(scope="session")
def gateway(settings: GatewaySettings) -> Iterator[Asked]:
    with running_gateway(settings) as asked:
        yield asked


@pytest.fixture
def repository(every_task: EmbeddedServer) -> Path:
    return every_task.repository
