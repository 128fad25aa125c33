"""The sentences that a conversion to INT8 rounds for, as the model reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from tbgen.export.precision.samples import Samples
from tbgen.generator.presets import SAMPLES


@pytest.mark.parametrize("pad_id", [0, 5])
def test_a_fixed_length_is_filled_with_the_pad_token(pad_id: int) -> None:
    names = ("input_ids", "attention_mask")
    graph = helper.make_graph(
        [], "g", [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", 300]) for name in names], []
    )
    samples = Samples(Path(SAMPLES / "kcbert" / "tokenizer.json"), 300, 300, pad_id)
    for tensors in samples.inputs(graph, pair=False):
        padding = tensors["input_ids"][tensors["attention_mask"] == 0]
        assert (tensors["input_ids"].shape, {*padding.tolist()}) == ((1, 300), {pad_id})
