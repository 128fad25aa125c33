"""What `tbgen check` finds in warm-up samples; tests/triton/test_check.py holds it against the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tbgen.generator.check.check import check_repository
from tbgen.generator.scaffold import Request, scaffold
from tests.generator.checked import found
from tests.triton.broken.changes import Break, both, edit, put, step, warm_up
from tests.triton.good_models import engine, ids_graph, python, steps

# model, change, effect, place, a part of what Triton says, a part of what to do
WARM_UPS = {
    "random ids": (
        engine, warm_up(key="ids", type="TYPE_INT64", dims="8", data="random_data: true"),
        "advice", ":15", "whole range", "file",
    ),
    "random ids of a vocabulary": (
        engine, both(ids_graph, warm_up(key="ids", type="TYPE_INT64", dims="8", data="random_data: true")),
        "refused", ":15", "within the inclusive range [-10,9]", "input_data_file",
    ),
    "too many rows": (python, warm_up(batch=5), "refused", ":15", "batch size 5 for 'm_0_0', max allowed is 4", ": 4"),
    "too many rows somewhere": (
        python, both(warm_up(batch=5), edit('"python"', '"tabular"')), "advice", ":15", "max allowed is 4", ": 4",
    ),
    "too many tokens": (
        engine, both(ids_graph, warm_up(key="ids", type="TYPE_INT64", dims="9")),
        "refused", ":15", "9 tokens, where the graph has 8 positions", "dims: [ 8 ]",
    ),
    "more tokens than are let in": (
        engine, both(warm_up(key="ids", type="TYPE_INT64", dims="9"), lambda model: ids_graph(model, positions="bias"),
        put("tbgen.json", '{"export": {"max_length": 8}}')),
        "advice", ":15", "warms up 9 tokens, and its tokenizer lets in 8", "dims: [ 8 ]",
    ),
    "an input of no model": (
        python, both(warm_up(), edit("zero_data: true } }", 'zero_data: true } } inputs { key: "x" value { data_type: '
        "TYPE_FP32 dims: [ 1 ] zero_data: true } }")),
        "advice", ":15", "an input 'x' that the config does not have", "one of text",
    ),
    "an optional for a required input": (
        python, both(edit("output {", 'input { name: "o" data_type: TYPE_FP32 dims: [ 1 ] optional: true }\noutput {'),
        warm_up(key="o", type="TYPE_FP32")),
        "advice", ":16", "without the required input(s) ['text']", "add inputs for text",
    ),
    "warm-up of a caller": (
        steps, both(warm_up(), step("Engine", '{"mark": "!", "model": "bert_onnx"}')),
        "advice", ":15", "where bert_onnx is not loaded yet", "warm bert_onnx up",
    ),
    "unframed text": (
        python, both(warm_up(data='input_data_file: "t"'), put("warmup/t", "안녕하세요")),
        "refused", "m/warmup/t", "but only 11 bytes available", "4 bytes",
    ),
    "short data": (
        engine, both(warm_up(key="ids", type="TYPE_INT64", dims="8", data='input_data_file: "t"'), put("warmup/t",
        b"\0" * 32)),
        "refused", "m/warmup/t", "expects 64 bytes", "8 values of TYPE_INT64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", WARM_UPS.values(), ids=WARM_UPS.keys())
def test_findings(tmp_path: Path, row: tuple[Callable[[Path], Path], Break, str, str, str, str]) -> None:
    model, change, effect, place, says, mend = row
    rows = [
        (finding.effect, str(finding.place), finding.says, finding.mend) for finding in found(tmp_path, model, change)
    ]
    assert any(a == effect and b.endswith(place) and says in c and mend in d for a, b, c, d in rows), rows


@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_more_tokens_than_the_sample_checkpoint_reads(
    sample_export: Path, packed_export: Path, tmp_path: Path, layout: str
) -> None:
    """It has 300 positions, in either layout."""
    source = packed_export if layout == "packed" else sample_export
    scaffold(Request("kcbert", source, warmup=True), tmp_path)
    assert check_repository(tmp_path) == []
    edit("dims: 300", "dims: 400")(tmp_path / "kcbert_onnx")
    put("warmup/ones_300", np.ones(400, np.int64).tobytes())(tmp_path / "kcbert_onnx")
    errors = [finding for finding in check_repository(tmp_path) if finding.severity == "error"]
    assert {finding.model for finding in errors} == {"kcbert_onnx", "kcbert_onnx_ensemble"}
    assert "400 tokens, where the graph has 300 positions" in errors[0].says
