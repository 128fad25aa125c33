"""Weights of ONNX files that are no numbers: Triton loads them, and whatever it answers by them is nonsense."""

from __future__ import annotations

from collections.abc import Iterator

from tbgen.export.checkpoint.weights import broken_sentence
from tbgen.export.errors import UserError, require
from tbgen.export.onnx.broken_weights import broken_weights
from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model


def weight_findings(model: Model) -> Iterator[Finding]:
    """Files with NaN or infinity in their weights, and files whose weights cannot be read. Raises MissingExtra."""
    require("onnx", extra="onnx")
    for file in model.onnx_files:
        try:
            broken = broken_weights(file)
        except UserError as error:
            yield model.fails(model.file(file), str(error), "put the whole file there")
            continue
        if broken:
            mend = "export it again, from a checkpoint whose weights are numbers"
            yield model.fails(model.file(file), broken_sentence(broken), mend)
