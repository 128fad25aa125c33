"""What is wrong with a request is said before a checkpoint is exported, which takes minutes for a large one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.presets import SAMPLES
from tbgen.generator.scaffold import Request, scaffold

STEP = """
class Clean:
    inputs = outputs = {"input_text": ("TYPE_STRING", [1])}

    def __init__(self, folder, *, form="NFC"):
        if form not in ("NFC", "NFKC"):
            raise ValueError(f"no form {form!r}")

    def __call__(self, input_text):
        return {"input_text": input_text}


class Numbers(Clean):
    inputs = {"numbers": ("TYPE_FP32", [1])}
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What scaffold tells that it does; there is a step file in this folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clean.py").write_text(STEP, encoding="utf-8")
    return []


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"engine": "onnxx"}, "no engine 'onnxx'. Engines: onnx, onnx_cuda, onnx_fp16, onnx_int8"),
        ({"graph": "ensembel"}, "no graph 'ensembel'. Graphs: auto, bls, both, ensemble"),
        ({"steps": "kopy"}, "no form 'kopy'"),
        ({"platform": "arm"}, "no platform 'arm'"),
        ({"task": "text-classify"}, "no task 'text-classify'"),
        (
            {"options": ("topk=2",)},
            "no option 'topk' for this task. Options: pair, activation, top_k, threshold, logits, json",
        ),
        ({"options": ("top_k=two",)}, "top_k"),
        ({"task": "rerank"}, r"rerank needs a checkpoint with one output, this one has 3"),
        ({"task": "fill-mask"}, "task 'fill-mask' needs a checkpoint ForMaskedLM"),
        ({"labels": ("a", "b")}, r"2 labels were named \(a, b\), the checkpoint has 3"),
        ({"fixed_length": 301}, "fixed length 301 does not fit: the checkpoint reads 2 to 300 tokens"),
        ({"pre": ("clean.py:Clean form=NFX",)}, "clean.py:Clean cannot be constructed: ValueError: no form 'NFX'"),
        ({"pre": ("clean.py:Clean fom=NFC",)}, "clean.py:Clean cannot be constructed: TypeError: .*'fom'"),
        ({"pre": ("clean.py:Clean NFC",)}, "cannot read 'NFC'; settings are written key=value"),
        ({"post": ("clean.py:Numbers",)}, "takes numbers, which no step before it gives; there is: attention_mask"),
        ({"post": ("clean.py:Clean",)}, "Triton would refuse mine_onnx_ensemble: ensemble tensor .* is unused"),
        ({"engine": "onnx_cuda", "layout": "padded"}, "onnx_cuda"),
        ({"weights": {"model.safetensors": "00"}}, "model.safetensors is not the one that the recipe was written for"),
    ],
)
def test_a_wrong_request_never_exports(said: list[str], tmp_path: Path, asked: dict[str, Any], sentence: str) -> None:
    request = Request("mine", SAMPLES / "kcbert", vendor=False, **asked)
    with pytest.raises(UserError, match=sentence):
        scaffold(request, tmp_path / "models", on_progress=said.append)
    assert said == []
    assert [path.name for path in tmp_path.iterdir()] == ["clean.py"]


def test_a_layout_is_not_asked_of_a_ready_file(said: list[str], tmp_path: Path) -> None:
    for name, engine in (("mine.onnx", "onnx"), ("mine.plan", "trt_fp16")):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(UserError, match="--layout packed is for a checkpoint; a ready file is served as it is"):
            scaffold(
                Request("mine", tmp_path / name, engine=engine, layout="packed"), tmp_path, on_progress=said.append
            )
    assert said == []


def test_what_stands_there_is_looked_at_first(said: list[str], sample_export: Path, tmp_path: Path) -> None:
    (tmp_path / "models" / "mine_onnx_bls").mkdir(parents=True)
    request = Request("mine", SAMPLES / "kcbert", vendor=False, graph="bls")
    with pytest.raises(
        UserError, match="mine_onnx_bls exists and tbgen did not write it; use another name, or --force"
    ):
        scaffold(request, tmp_path / "models", on_progress=said.append)
    assert said == []
    scaffold(Request("theirs", sample_export, vendor=False, graph="bls"), tmp_path / "models")
    config = tmp_path / "models" / "theirs_onnx_bls" / "config.pbtxt"
    config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="theirs_onnx_bls was edited since tbgen wrote it"):
        scaffold(
            Request("theirs", SAMPLES / "kcbert", vendor=False, graph="bls"),
            tmp_path / "models",
            on_progress=said.append,
        )
    assert said == []


def test_a_task_with_a_checkpoint_of_each_kind_is_foreseen_as_it_comes_out(said: list[str], tmp_path: Path) -> None:
    scaffold(Request("mine", SAMPLES / "kcbert", vendor=False), tmp_path / "models", on_progress=said.append)
    assert said[0] == "Exporting kcbert to ONNX"
    assert "Writing the model repository" in said
