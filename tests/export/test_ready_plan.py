"""A ready plan. TensorRT reads one on its GPU; here ONNX Runtime answers in its place, all else is as it is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, TensorSpec
from tbgen.export.ready.plan import LoadedPlan, export_from_plan_file
from tbgen.export.run import Tensors, onnx_run
from tbgen.export.tensorrt.plan import Plan
from tbgen.export.tensorrt.profiles import profile_from_text
from tbgen.generator.scaffold import Request, scaffold

H100 = {"gpu": "NVIDIA H100 80GB HBM3", "compute_capability": "9.0"}
TOKENS = ("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture
def beside(exported: Exported, tmp_path: Path) -> Path:
    """A plan's file beside a tokenizer and its config.json."""
    folder = Path(shutil.copytree(exported.folder, tmp_path / "ready"))
    (folder / "export.json").unlink()
    (folder / "model.plan").write_bytes(b"plan")
    return folder


def loaded(**changes: Any) -> Callable[[Path], LoadedPlan]:
    """What TensorRT 8.5 says of a plan of two fixed shapes."""
    profiles = tuple(profile_from_text(shape) for shape in ("1x40", "32x16"))
    inputs = {name: TensorSpec("int32", ("batch", "sequence")) for name in TOKENS}
    plan = Plan(inputs, {"outputs": TensorSpec("float32", ("batch", 3))}, profiles, "8.5.3.1")

    def load(file: Path) -> LoadedPlan:
        run = onnx_run(file.with_name("model.onnx"))

        def as_int64(tensors: Tensors) -> Tensors:
            return run({name: array.astype(np.int64) for name, array in tensors.items()})

        return LoadedPlan(replace(plan, **changes), as_int64, H100)

    return load


def test_takes_a_plan_that_fits(beside: Path, exported: Exported, tmp_path: Path) -> None:
    ready = export_from_plan_file(beside / "model.plan", beside, tmp_path / "made", precision="fp16", load=loaded())
    assert (ready.task, ready.labels) == (exported.task, exported.labels)
    assert (ready.max_length, ready.fixed_length, ready.model.name) == (40, None, "model.plan")
    assert {spec.dtype for spec in ready.inputs.values()} == {"int32"}
    assert ready.made.tensorrt is not None
    assert ready.made.tensorrt.gpu == "NVIDIA H100 80GB HBM3"
    assert list(ready.made.source) == ["model.plan"]
    written = scaffold(Request("mine", ready.folder, engine="trt_fp16"), tmp_path / "models")
    assert written.fronts == ("mine_trt_fp16_ensemble", "mine_trt_fp16_bls")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"outputs": {"logits": TensorSpec("float32", ("batch", 3))}},
            "and gives logits; task 'text-classification' needs .* and outputs: build it from an ONNX file with these",
        ),
        ({"outputs": {"outputs": TensorSpec("float16", ("batch", 3))}}, "and gives float16; build it with"),
        ({"profiles": (profile_from_text("1x64"),)}, "is built for 64 tokens, its config.json says 40 positions"),
    ],
)
def test_refuses_a_plan_that_does_not_fit(beside: Path, tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        export_from_plan_file(
            beside / "model.plan", beside, tmp_path / "made", precision="fp16", load=loaded(**changes)
        )
    assert not (tmp_path / "made").exists()


def test_refuses_other_labels_and_a_larger_vocabulary(beside: Path, tmp_path: Path) -> None:
    plan = beside / "model.plan"
    with pytest.raises(UserError, match=r"gives 3 numbers a text, there are 2 labels \(a, b\)"):
        export_from_plan_file(plan, beside, tmp_path / "made", precision="fp16", labels=["a", "b"], load=loaded())
    tokenizer = json.loads((beside / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["vocab"]["넘침"] = 5000
    (beside / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(UserError, match=r"the tokenizer's last id is 5000 .*, the embedding has"):
        export_from_plan_file(plan, beside, tmp_path / "made", precision="fp16", load=loaded())


def test_without_tensorrt_it_says_where_a_plan_is_read(beside: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"model\.plan' can be read by TensorRT alone, on the GPU that it was built for"
    ):
        export_from_plan_file(beside / "model.plan", beside, tmp_path / "made", precision="fp16")
    with pytest.raises(UserError, match=r"no plan .*other\.plan"):
        export_from_plan_file(beside / "other.plan", beside, tmp_path / "made", precision="fp16")
    assert not (tmp_path / "made").exists()
