"""What a server tells of its models is taken as it is, of models that others put there too."""

from __future__ import annotations

from typing import Any

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.compare.example import NoExampleError, example_item
from tbgen.server.client.items import tensors_from_item
from tbgen.server.client.replies import told_config


def config(data_type: str, dims: list[int]) -> dict[str, Any]:
    tensors = [{"name": "x", "data_type": data_type, "dims": dims}]
    return {"name": "llm", "backend": "python", "max_batch_size": 8, "input": tensors, "output": tensors}


@pytest.mark.parametrize(("data_type", "dims"), [("TYPE_BF16", [64]), ("TYPE_FP32", [3, 10_000, 10_000])])
def test_a_neighbour_that_tbgen_does_not_ask(data_type: str, dims: list[int]) -> None:
    told = told_config(config(data_type, dims), "llm")
    assert (told["input"][0]["data_type"], [int(size) for size in told["input"][0]["dims"]]) == (data_type, dims)
    with pytest.raises(NoExampleError, match="it takes x"):
        example_item(told)


def test_more_than_is_made_to_ask() -> None:
    with pytest.raises(NoExampleError, match="more than is made to ask it"):
        example_item(config("TYPE_STRING", [1 << 30]))


def test_what_json_cannot_carry() -> None:
    with pytest.raises(UserError, match="x is TYPE_BF16, which JSON cannot carry"):
        tensors_from_item(config("TYPE_BF16", [1]), {"x": 1})


@pytest.mark.parametrize("tensor", [{"name": "x", "dims": [1]}, {"data_type": "TYPE_FP32", "dims": [1]}])
def test_what_no_triton_tells(tensor: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has a tensor"):
        told_config(config("TYPE_FP32", [1]) | {"output": [tensor]}, "llm")
