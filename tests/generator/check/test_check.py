"""What `tbgen check` finds, says and advises; whether Triton loads is held against the server in tests/triton."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tbgen.export.errors import UserError
from tbgen.generator.check.check import check_repository
from tbgen.generator.releases import RELEASES
from tests.generator.checked import found
from tests.triton import good_models
from tests.triton.broken.changes import Break, add, both, edit, graph, nothing, put, remove
from tests.triton.good_models import ENSEMBLE_CONFIG, engine, ensemble, python, ragged, steps


@pytest.mark.parametrize("release", [None, *RELEASES])
def test_what_scaffold_writes_is_good_for_every_release(release: str | None, sample_repository: Path) -> None:
    assert not [found for found in check_repository(sample_repository, release=release) if found.severity == "error"]


def test_nothing_is_said_of_what_scaffold_writes(sample_repository: Path) -> None:
    assert check_repository(sample_repository) == []


@pytest.mark.parametrize("model", [engine, ragged, python, steps, ensemble, good_models.pair, good_models.decoupled])
def test_good_models(tmp_path: Path, model: Callable[[Path], Path]) -> None:
    assert found(tmp_path, model, nothing) == []


def test_a_finding(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, python, edit("data_type: TYPE_STRING", "datatype: TYPE_STRING"))
    assert (finding.effect, finding.severity, str(finding.place)) == ("refused", "error", "m/config.pbtxt:6")
    assert finding.says == (
        'Error parsing text-format inference.ModelConfig: Message type "inference.ModelInput" has no field named '
        f'"datatype". -> failed to read text proto from {tmp_path}/m/config.pbtxt'
    )
    assert finding.mend == "ModelInput has data_type"


@pytest.mark.parametrize(
    ("change", "release", "says"),
    [
        (graph(opset=22), "24.10", "till opset 21"),
        (graph(ir=11), "24.10", "max supported IR version: 10"),
        (graph(opset=22), "25.03", ""),
        (add("model_metrics { }\n"), "24.10", 'no field named "model_metrics"'),
        (add("model_metrics { }\n"), "24.11", ""),
    ],
)
def test_for_a_release(tmp_path: Path, change: Break, release: str, says: str) -> None:
    findings = found(tmp_path, engine, change, release=release)
    assert (len(findings), says in "".join(finding.says for finding in findings)) == (int(bool(says)), True)


def test_what_depends_on_a_broken_model(tmp_path: Path) -> None:
    edit("good_engine", "m")(ensemble(tmp_path / "all"))
    head = ENSEMBLE_CONFIG.format(name="more").partition("ensemble_scheduling")[0]
    maps = 'input_map { key: "text" value: "text" } output_map { key: "scores" value: "scores" }'
    step = f'ensemble_scheduling {{ step {{ model_name: "all" model_version: -1 {maps} }} }}'
    put("config.pbtxt", head + step)(ensemble(tmp_path / "more"))
    findings = found(tmp_path, engine, remove("1/model.onnx"))
    assert [finding.says for finding in findings if finding.model != "m"] == [
        "ensemble 'all' depends on 'm' which has no loaded version.",
        "ensemble 'more' depends on 'all' which has no loaded version.",
    ]


def test_ensembles_in_a_circle(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        edit("good_engine", other)(ensemble(tmp_path / name))
    python(tmp_path / "good_python")
    says = {finding.model: finding.says for finding in check_repository(tmp_path) if "circular" in finding.says}
    assert says["a"] == "circular dependency between ensembles: a -> ... -> b -> a"
    assert set(says) == {"a", "b"}


def test_tensors_that_only_python_knows_are_not_judged(tmp_path: Path) -> None:
    text = "\n    @staticmethod\n    def auto_complete_config(config):\n        return config\n"
    assert found(tmp_path, python, both(put("config.pbtxt", ""), add(text, "1/model.py"))) == []


def positions(rows: int, name: str = "bert.embeddings.position_embeddings.weight") -> Break:
    """Give the graph a table of positions."""

    def change(folder: Path) -> None:
        file = folder / "1" / "model.onnx"
        model = onnx.load(file)
        model.graph.initializer.append(numpy_helper.from_array(np.zeros((rows, 4), np.float32), name))
        onnx.save(model, file)

    return change


def tokenizer(folder: Path, settings: dict[str, object]) -> None:
    """A Python model with settings of lengths, in an ensemble before the engine m."""
    steps(folder / "tokens")
    step = {"file": "shout.py", "class": "Shout", "settings": {"mark": "!"} | settings}
    put("1/steps.json", json.dumps({"steps": [step]}, indent=1))(folder / "tokens")
    edit("mark, times=1", "mark, **more", "1/shout.py")(folder / "tokens")
    both(edit("good_engine", "m"), edit("good_python", "tokens"))(ensemble(folder / "all"))


@pytest.mark.parametrize(
    ("rows", "settings", "fails"),
    [
        (300, {"max_length": 300}, []),
        (300, {"max_length": 304}, [("tokens/1/steps.json:8", "more than 300 tokens, and this lets in 304")]),
        (300, {"max_length": 300, "buckets": [8, 304]}, [("tokens/1/steps.json:11", "this lets in 304")]),
        (0, {"max_length": 4096}, []),
    ],
)
def test_positions(tmp_path: Path, rows: int, settings: dict[str, object], fails: list[tuple[str, str]]) -> None:
    tokenizer(tmp_path, settings)
    findings = found(tmp_path, engine, positions(rows) if rows else nothing)
    assert [str(finding.place) for finding in findings] == [place for place, _ in fails]
    assert all(says in finding.says for finding, (_, says) in zip(findings, fails, strict=True))


def test_positions_of_roberta_begin_with_two_rows_for_no_token(tmp_path: Path) -> None:
    tokenizer(tmp_path, {"max_length": 514})
    (finding,) = found(tmp_path, engine, positions(514, "roberta.embeddings.position_embeddings.weight"))
    assert "more than 512 tokens" in finding.says


@pytest.mark.parametrize("inputs", [[], ["places"], ["other"]])
def test_numbers_that_come_from_nowhere_or_from_themselves(tmp_path: Path, inputs: list[str]) -> None:
    """A file that is damaged has such nodes; its positions are counted as if it said nothing of them."""
    table = "roberta.embeddings.position_embeddings.weight"

    def change(folder: Path) -> None:
        positions(514, table)(folder)
        model = onnx.load(folder / "1" / "model.onnx")
        moved = (
            helper.make_node("Cast", inputs, ["places"], to=7),
            helper.make_node("Cast", ["places"], ["other"], to=7),
        )
        model.graph.node.extend([*moved, helper.make_node("Gather", [table, "places"], ["rows"])])
        onnx.save(model, folder / "1" / "model.onnx")

    tokenizer(tmp_path, {"max_length": 514})
    assert any("more than 512 tokens" in finding.says for finding in found(tmp_path, engine, change))


def test_a_fixed_length_beyond_the_positions(tmp_path: Path) -> None:
    change = both(positions(300, "wpe.weight"), edit('"ids"', '"input_ids"'), edit("[ -1 ]", "[ 304 ]"))
    fails = [finding for finding in found(tmp_path, engine, change) if finding.effect == "fails"]
    assert [(str(finding.place), finding.mend) for finding in fails] == [
        ("m/config.pbtxt:7", "write dims of at most 300: the graph places that many tokens")
    ]


def test_labels_of_a_step_are_as_many_as_its_engine_gives(tmp_path: Path) -> None:
    tokenizer(tmp_path, {"model": "m", "labels": ["부정", "긍정"]})
    (finding,) = found(tmp_path, engine, nothing)
    assert (finding.effect, finding.says) == ("fails", "2 labels for the 3 classes that the engine gives")


def test_python_of_the_release(tmp_path: Path) -> None:
    change = add("try:\n    pass\nexcept* ValueError:\n    pass\n", "1/model.py")
    findings = found(tmp_path, python, change, release="24.10")
    if sys.version_info >= (3, 11):
        assert ["Python 3.10, which runs in Triton 24.10" in finding.mend for finding in findings] == [True]
    assert check_repository(tmp_path, release="25.01") == []


def test_of_some_models_alone(tmp_path: Path) -> None:
    ensemble(tmp_path / "e")
    for name in ("good_engine", "good_python"):
        engine(tmp_path / name) if "engine" in name else python(tmp_path / name)
    (tmp_path / ".export").mkdir()
    assert {finding.model for finding in check_repository(tmp_path)} == {".export"}
    assert check_repository(tmp_path, names=["e", "good_engine", "good_python"]) == []
    assert "not available or ambiguous: good_python" in check_repository(tmp_path, names=["e", "good_engine"])[0].says


def test_one_model_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is one model; name the repository"):
        check_repository(python(tmp_path / "m"))


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model in"):
        check_repository(tmp_path)
