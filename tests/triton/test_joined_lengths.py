"""Requests of one length that wait for the engine share a run, whoever sends them: Triton joins equal shapes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc

from tbgen.generator.models.config import config_from_text
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving
from tests.triton.held import ENGINE, Held, given, pending, with_engine
from tests.waiting import FOREVER, wait_until

LENGTH, REQUESTS = 16, 40


@pytest.fixture
def server(sample_export: Path, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """Scaffolded models for one length, whose engine can be held."""
    scaffold(Request("kcbert", sample_export, fixed_length=LENGTH), tmp_path / "models")
    with_engine(tmp_path / "models")
    with serving(tmp_path / "models") as server:
        yield server


def token_tensors() -> list[grpc.InferInput]:
    """One text as a client of the engine sends it."""
    tensors = []
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        tensors.append(grpc.InferInput(name, [1, LENGTH], "INT64"))
        tensors[-1].set_data_from_numpy(np.ones((1, LENGTH), np.int64))
    return tensors


@pytest.mark.parametrize(
    ("model", "tensors"), [("kcbert_onnx_ensemble", [given(["상한가"])]), ("kcbert_onnx", token_tensors())]
)
def test_what_waits_for_the_engine_is_joined(model: str, tensors: list[Any], server: EmbeddedServer) -> None:
    held = Held(server, model)
    first = held.send_tensors(tensors)
    held.stands_after(0)
    others = [held.send_tensors(tensors) for _ in range(REQUESTS)]
    wait_until(lambda: pending(server, ENGINE) >= REQUESTS)
    held.goes_on()
    for _, answers in (first, *others):
        assert not isinstance(answers.get(timeout=FOREVER), Exception)
    wait_until(lambda: statistics(held).inference_count == REQUESTS + 1)  # counted behind the answer
    # the first, one that was formed too soon, and the rest in batches of at most 32
    assert statistics(held).execution_count <= 5


def statistics(held: Held) -> Any:
    """What the server counts of the engine."""
    return held.client.get_inference_statistics(ENGINE).model_stats[0]


def test_a_file_of_any_length_lets_in_the_one_that_is_asked_for(sample_export: Path, tmp_path: Path) -> None:
    scaffold(Request("kcbert", sample_export, fixed_length=LENGTH), tmp_path / "models")
    config = config_from_text((tmp_path / "models" / "kcbert_onnx" / "config.pbtxt").read_text(encoding="utf-8"))
    assert [list(tensor.dims) for tensor in config.input] == [[LENGTH]] * 3
    assert config.HasField("dynamic_batching")
