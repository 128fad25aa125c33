"""Findings on TensorRT plans, held against the record that tbgen writes beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tbgen.generator.check.check import check_repository
from tests.triton.broken.changes import Break, edit, nothing, put, warm_up
from tests.triton.good_models import save_graph, steps, write

CONFIG = """\
name: "m"
platform: "tensorrt_plan"
max_batch_size: 8
input {
  name: "input_ids"
  data_type: TYPE_INT64
  dims: [ -1 ]
}
output {
  name: "outputs"
  data_type: TYPE_FP32
  dims: [ 3 ]
}
instance_group { kind: KIND_GPU profile: [ "0", "1" ] }
"""
PROFILES = [
    {"min": [1, 8], "opt": [1, 64], "max": [1, 300]},
    {"min": [1, 8], "opt": [8, 64], "max": [8, 300]},
]
RECORD = {
    "export": {
        "inputs": [{"name": "input_ids", "dtype": "int64", "shape": ["batch", "sequence"]}],
        "outputs": [{"name": "outputs", "dtype": "float32", "shape": ["batch", 3]}],
        "made": {"tensorrt": {"version": "10.7.0.23", "profiles": PROFILES}},
        "size": 4,
    }
}


def plan(folder: Path) -> Path:
    """A model with a plan of four bytes, and tbgen's record of it."""
    write(folder / "config.pbtxt", CONFIG)
    put("1/model.plan", b"ftrt")(folder)
    write(folder / "tbgen.json", json.dumps(RECORD))
    return folder


@pytest.mark.parametrize(
    ("change", "place", "says"),
    [
        (edit("KIND_GPU", "KIND_CPU"), "config.pbtxt:14", "TensorRT backend supports only GPU device"),
        (edit("TYPE_INT64", "TYPE_INT32"), ":6", "unexpected datatype TYPE_INT64 for inference input 'input_ids'"),
        (edit('"outputs"', '"logits"'), ":9", "unexpected inference output 'logits', allowed outputs are: outputs"),
        (
            edit("dims: [ 3 ]", "dims: [ 2 ]"),
            ":12",
            "tensor 'outputs': the model expects 2 dimensions (shape [-1,3]) but the model configuration specifies 2",
        ),
        (edit("dims: [ -1 ]", "dims: [ -1, 1 ]"), ":7", "making complete shape [-1,-1,1]"),
        (
            edit("dims: [ -1 ]", "dims: [ 512 ]"),
            ":7",
            "invalid shape for input 'input_ids' for model m. Error details: model expected the shape of dimension 1 "
            "to be between 8 and 300 but received 512",
        ),
        (edit("max_batch_size: 8", "max_batch_size: 16"), ":3", "TensorRT engine only supports max-batch 8"),
        (edit(', "1"', ', "2"'), ":14", "invalid profile 2 . Number of profiles supported by TensorRT engine: 2"),
        (edit(', "1"', ', "-1"'), ":14", "specifies invalid profile -1"),
        (edit(', "1"', ', "one"'), ":14", "unable to parse 'one': stoi"),
        (edit(' profile: [ "0", "1" ]', ""), ":14", "uses profile 0 of 2 alone"),
        (put("1/model.plan", b""), "m/1/model.plan", "unable to load plan file"),
        (put("1/model.plan", "version https://git-lfs.github.com/spec/v1\n"), "m/1/model.plan", "plan file"),
        (lambda folder: save_graph(folder / "1" / "model.plan"), "m/1/model.plan", "unable to load plan file"),
    ],
)
def test_findings(tmp_path: Path, change: Break, place: str, says: str) -> None:
    change(plan(tmp_path / "m"))
    rows = [(str(finding.place), finding.says) for finding in check_repository(tmp_path)]
    assert any(where.endswith(place) and says in what for where, what in rows), rows


def test_a_good_plan(tmp_path: Path) -> None:
    nothing(plan(tmp_path / "m"))
    assert check_repository(tmp_path) == []


def test_texts_longer_than_the_plan(tmp_path: Path) -> None:
    plan(tmp_path / "m")
    front = steps(tmp_path / "front")
    edit('"mark": "!"', '"mark": "!", "times": 1, "model": "m", "max_length": 512', "1/steps.json")(front)
    edit("*, mark, times=1", "*, mark, times, model, max_length", "1/shout.py")(front)
    (finding,) = check_repository(tmp_path)
    assert (finding.effect, str(finding.place)) == ("fails", "front/1/steps.json:6")
    assert finding.says == "m fails on texts of more than 300 tokens, and this lets in 512"


@pytest.mark.parametrize(("rows", "tokens", "fits"), [(1, 300, True), (8, 8, True), (8, 301, False), (2, 7, False)])
def test_warm_up_within_the_profiles(tmp_path: Path, rows: int, tokens: int, fits: bool) -> None:
    warm_up(key="input_ids", type="TYPE_INT64", dims=str(tokens), batch=rows)(plan(tmp_path / "m"))
    found = [finding.says for finding in check_repository(tmp_path)]
    assert bool(found) != fits
    assert all(f"no listed profile takes {rows} x {tokens}" in says for says in found)


def test_a_plan_of_another_tensorrt(tmp_path: Path) -> None:
    plan(tmp_path / "m")
    assert [check_repository(tmp_path, release=release) for release in ("24.12", "25.06")] == [[], []]
    (finding,) = check_repository(tmp_path, release="24.04")
    assert finding.says == "the plan was built by TensorRT 10.7.0.23, Triton 24.04 has 8.6"
    assert finding.mend == "build it again with TensorRT 8.6"


def test_the_record_of_another_plan_says_nothing(tmp_path: Path) -> None:
    model = plan(tmp_path / "m")
    edit("TYPE_INT64", "TYPE_INT32")(model)
    put("1/model.plan", b"ftrt, built anew")(model)
    assert check_repository(tmp_path, release="24.04") == []
