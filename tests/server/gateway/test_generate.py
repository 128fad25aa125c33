"""Triton's own /v2/models/NAME/generate: flat JSON in and out, for each task (docs/how-to/gateway.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tbgen.server.embedded.server import EmbeddedServer
from tests.server.gateway.running import Asked
from tests.server.gateway.test_endpoints import ITEMS, direct, near


def flat(array: np.ndarray) -> Any:
    """A tensor as Triton writes it there: in one list; a single value without one."""
    values = [each.decode() if isinstance(each, bytes) else near(each) for each in array.ravel().tolist()]
    return values[0] if len(values) == 1 else values


@pytest.mark.parametrize("name", ITEMS)
def test_generate_answers_with_the_same_tensors(every_task: EmbeddedServer, name: str) -> None:
    triton = Asked(every_task.ports["HTTP"])
    said = triton.post(f"/v2/models/{name}_onnx_bls/generate", ITEMS[name])
    assert said.status == 200, said.body
    wanted = {tensor: flat(array) for tensor, array in direct(every_task, f"{name}_onnx_bls", ITEMS[name]).items()}
    assert {tensor: said.body[tensor] for tensor in wanted} == wanted


def test_generate_takes_request_parameters_beside_the_inputs(every_task: EmbeddedServer) -> None:
    triton = Asked(every_task.ports["HTTP"])
    for body in ({"top_k": 1}, {"parameters": {"top_k": 1}}):
        said = triton.post("/v2/models/mood_onnx_bls/generate", ITEMS["mood"] | body).body
        assert said["top_labels"] == said["label"]
