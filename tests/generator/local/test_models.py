"""A repository run without Triton: the committed sample, its refusals, and the command."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import NoSuchName, UserError
from tbgen.generator.local.backend_utils import NAME
from tbgen.generator.local.models import LocalModels
from tbgen.generator.scaffold import Request, scaffold
from tbgen.generator.steps.catalogue import STEP_FOLDER
from tbgen.generator.steps.failure import own_frames
from tbgen.server.client.client import text_model
from tests.triton.broken.changes import Break, add, both, edit
from tests.triton.broken.engines import SEQUENCE, one_value_an_item, started
from tests.triton.good_models import decoupled, engine, ensemble, pair, python

FRONTS = ["m_onnx_ensemble", "m_onnx_bls"]


@pytest.fixture(scope="module")
def repository(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local") / "model_repository"
    scaffold(Request("m", sample_export), folder)
    return folder


def text(*values: bytes) -> dict[str, np.ndarray]:
    return {"input_text": np.array([[value] for value in values], dtype=object)}


def test_a_model_that_takes_nothing_is_asked_no_text(tmp_path: Path) -> None:
    config = python(tmp_path / "m") / "config.pbtxt"
    config.write_text(re.sub(r"(?s)input \{.*?\n\}\n", "", config.read_text("utf-8")), "utf-8")
    with LocalModels(tmp_path) as models:
        assert models.config("m")["input"] == []
        with pytest.raises(UserError, match="an item of model 'm' is nothing, not one text"):
            text_model(models.config("m"))


@pytest.mark.parametrize("front", FRONTS)
def test_a_front_model_answers(repository: Path, front: str) -> None:
    with LocalModels(repository) as models:
        answer = models.infer(front, text("오늘도 상한가 갔다".encode(), "🔥".encode(), b""))
    assert answer["label"][0, 0].decode() == "긍정"
    assert answer["softmax"].shape == (3, 3)
    assert NAME not in sys.modules


@pytest.mark.parametrize("front", FRONTS)
def test_parameters_reach_the_steps(repository: Path, front: str) -> None:
    with LocalModels(repository) as models:
        assert models.infer(front, text(b"x"), {"top_k": 2})["top_labels"].shape == (1, 2)
        assert models.infer(front, text(*[b"x"] * 32))["label"].shape == (32, 1)
        with pytest.raises(UserError, match="no parameter 'top'"):
            models.infer(front, text(b"x"), {"top": 2})


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"text": np.array([[b"x"]], dtype=object)}, "unexpected inference input 'text' for model 'm_onnx_bls'"),
        ({"input_text": np.array([[1]])}, "data-type is 'INT64', but model 'm_onnx_bls' expects 'BYTES'"),
        ({"input_text": np.array([[b"a", b"b"]], dtype=object)}, r"Expected \[-1,1\], got \[1,2\]"),
        (text(*[b"x"] * 129), "batch-size must be <= 128 for 'm_onnx_bls'"),
        (text(b"\xff"), "input_text is not valid UTF-8"),
        ({}, "expected 1 inputs but got 0 inputs"),
    ],
)
def test_what_triton_refuses_is_refused(repository: Path, inputs: dict[str, np.ndarray], sentence: str) -> None:
    with LocalModels(repository) as models, pytest.raises(UserError, match=sentence):
        models.infer("m_onnx_bls", inputs)


def test_models_whose_code_is_in_the_backend_run_too(repository: Path, sample_export: Path, tmp_path: Path) -> None:
    scaffold(Request("m", sample_export, steps="backend"), tmp_path / "models")
    assert not (tmp_path / "models" / "m_onnx_bls" / "1" / "model.py").exists()
    with LocalModels(tmp_path / "models") as shared, LocalModels(repository) as copied:
        for front in FRONTS:
            answers = [models.infer(front, text("하한가".encode()))["softmax"].tolist() for models in (shared, copied)]
            assert answers[0] == answers[1]


def test_another_backend_is_named(tmp_path: Path) -> None:
    (tmp_path / "c" / "1").mkdir(parents=True)
    (tmp_path / "c" / "config.pbtxt").write_text('backend: "pytorch"', encoding="utf-8")
    with LocalModels(tmp_path) as models, pytest.raises(UserError, match="its backend is 'pytorch'"):
        models.infer("c", {})


def test_a_decoupled_model_is_a_sentence(tmp_path: Path) -> None:
    decoupled(tmp_path / "words")
    calls = python(tmp_path / "calls")
    bls = "pb_utils.InferenceRequest(model_name='words', requested_output_names=['ids'], inputs=requests[0].inputs())"
    edit("        ids =", f"        {bls}.exec()\n        ids =", "1/model.py")(calls)
    for model in ("words", "calls"):
        result = CliRunner().invoke(main, ["run", model, "x", "-r", str(tmp_path)])
        assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
        assert result.output.startswith("Error: model 'words' is decoupled: it answers a request with any number of")


def test_a_model_of_sequences_is_a_sentence(tmp_path: Path) -> None:
    both(started, add(SEQUENCE % ('"START"', "fp32_false_true: [ 0, 1 ]")))(engine(tmp_path / "m"))
    with LocalModels(tmp_path) as models, pytest.raises(UserError, match="which Triton marks; start it with"):
        models.infer("m", {"ids": np.array([[1, 2]])})


# What the real server answers to the same.
@pytest.mark.parametrize(
    ("change", "ids", "shape"),
    [
        (edit("dims: [ -1 ]", "dims: [ 2, 2 ] reshape { shape: [ 4 ] }"), [[[1, 2], [3, 4]]], (1, 3)),
        (edit("dims: [ -1 ]", "dims: [ -1, 1 ] reshape { shape: [ -1 ] }"), [[[1], [2], [7]]], (1, 3)),
        (edit("dims: [ 3 ]", "dims: [ 3, 1 ] reshape { shape: [ 3 ] }"), [[1, 2, 7], [0, 0, 1]], (2, 3, 1)),
        (
            both(one_value_an_item, edit("dims: [ 3 ]", "dims: [ 1 ] reshape { shape: [ ] }")),
            [[4, 6], [1, 0]],
            (2, 1),
        ),
    ],
)
def test_a_reshape_is_made_on_the_way_in_and_out(
    change: Break, ids: list[object], shape: tuple[int, ...], tmp_path: Path
) -> None:
    change(engine(tmp_path / "m"))
    with LocalModels(tmp_path) as models:
        scores = models.infer("m", {"ids": np.array(ids)})["scores"]
    sums = np.array(ids).reshape(len(ids), -1).sum(axis=1)
    assert scores.shape == shape
    assert scores.reshape(len(ids), -1)[:, 0].tolist() == sums.tolist()


def test_an_ensemble_is_reshaped_as_its_models_are(tmp_path: Path) -> None:
    for model in (engine, python):
        model(tmp_path / f"good_{model.__name__}")
    inner = edit("dims: [ 1 ]", "dims: [ 1, 1 ] reshape { shape: [ 1 ] }")
    both(inner, edit("dims: [ 3 ]", "dims: [ 3, 1 ] reshape { shape: [ 3 ] }"))(ensemble(tmp_path / "m"))
    with LocalModels(tmp_path) as models:
        answer = models.infer("m", {"text": np.array([[["글".encode()]]], dtype=object)})
    assert answer["scores"].tolist() == [[[2.0], [4.0], [6.0]]]


def test_a_bare_onnx_file_is_completed_as_triton_does(tmp_path: Path) -> None:
    engine(tmp_path / "m")
    (tmp_path / "m" / "config.pbtxt").write_text('backend: "onnxruntime"', encoding="utf-8")
    with LocalModels(tmp_path) as models:
        assert models.config("m")["max_batch_size"] == 4
        assert models.infer("m", {"ids": np.array([[1, 2]])})["scores"].tolist() == [[3, 6, 9]]
        with pytest.raises(UserError, match="batch-size must be <= 4 for 'm'"):
            models.infer("m", {"ids": np.ones((5, 2), np.int64)})


def test_the_version_policy_is_followed(tmp_path: Path) -> None:
    model = python(tmp_path / "m")
    shutil.copytree(model / "1", model / "3")
    edit("np.ones", "np.zeros", "3/model.py")(model)
    text = {"text": np.array([[b"x"]], dtype=object)}
    with LocalModels(tmp_path) as models:
        assert models.infer("m", text)["ids"].tolist() == [[0, 0]]
    add("version_policy { specific { versions: [ 1 ] } }")(model)
    with LocalModels(tmp_path) as models:
        assert models.infer("m", text)["ids"].tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({}, "got 0 inputs for model 'm'. Got input(s) [], but missing required input(s) ['ids','mask']. Please"),
        ({"ids": np.array([[1]])}, "Got input(s) ['ids'], but missing required input(s) ['mask']. Please provide all"),
    ],
)  # fmt: skip
def test_missing_inputs_are_listed_as_triton_lists_them(
    tmp_path: Path, inputs: dict[str, np.ndarray], sentence: str
) -> None:
    pair(tmp_path / "m")
    with LocalModels(tmp_path) as models, pytest.raises(UserError, match=re.escape(sentence)):
        models.infer("m", inputs)


def test_what_tritons_core_refuses_is_not_run(tmp_path: Path) -> None:
    edit("dims: [ 1 ]", "dims: [ 0 ]")(python(tmp_path / "m"))
    says = "Triton does not load the model m: model input 'text' dimension must be integer >= 1, or -1 to indicate a"
    with LocalModels(tmp_path) as models, pytest.raises(UserError, match=says):
        models.infer("m", {"text": np.array([[b"x"]], dtype=object)})


def test_an_unknown_model_lists_those_there_are(repository: Path) -> None:
    with LocalModels(repository) as models, pytest.raises(NoSuchName, match="m_onnx_ensemble"):
        models.config("none")


def test_the_command_answers_texts(repository: Path) -> None:
    done = CliRunner().invoke(main, ["run", "m_onnx_bls", "상한가", "하한가", "-r", str(repository), "--json"])
    rows = [json.loads(line) for line in done.output.splitlines()]
    assert [row["text"] for row in rows] == ["상한가", "하한가"]
    assert set(rows[0]) == {"text", "label_index", "softmax", "label", "score", "labels"}
    assert rows[0]["labels"][0] == {"label": rows[0]["label"], "score": rows[0]["score"]}


def test_the_command_reads_standard_input_and_draws_a_table(repository: Path) -> None:
    done = CliRunner().invoke(main, ["run", "m_onnx_ensemble", "-r", str(repository)], input="오늘도 상한가 갔다\n")
    assert "긍정" in done.output


def test_the_command_takes_inputs_and_parameters_by_name(repository: Path) -> None:
    named = ["--input", "input_text=a=b", "--parameter", "top_k=1", "--json"]
    done = CliRunner().invoke(main, ["run", "m_onnx_bls", "-r", str(repository), *named])
    row = json.loads(done.output)
    assert row["text"] == "a=b"
    assert len(row["labels"]) == 1


def test_the_engine_alone_takes_its_tensors(repository: Path) -> None:
    tensors = {"input_ids": [2, 3], "attention_mask": [1, 1], "token_type_ids": [0, 0]}
    done = CliRunner().invoke(main, ["run", "m_onnx", "-r", str(repository), "--json"], input=json.dumps(tensors))
    assert len(json.loads(done.output)["outputs"]) == 3


def test_a_name_of_several_front_models_runs_one(repository: Path) -> None:
    named, bls = (CliRunner().invoke(main, ["run", name, "x", "-r", str(repository)]) for name in ("m", "m_onnx_bls"))
    assert (named.exit_code, named.output) == (0, bls.output)


SEARCH = """
import numpy as np, triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb.get_input_tensor_by_name(request, "texts").as_numpy()) for request in requests]

    def answer(self, texts):
        lengths = np.array([[len(text.decode()) for text in row] for row in texts], np.int32)
        return pb.InferenceResponse([pb.Tensor("lengths", lengths)])
"""
TENSORS = """
backend: "python" max_batch_size: 4
input { name: "query" data_type: TYPE_STRING dims: 1 } input { name: "texts" data_type: TYPE_STRING dims: -1 }
output { name: "lengths" data_type: TYPE_INT32 dims: -1 }
"""


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["--input", "query=금리", "--input", "texts=올랐다", "--input", "texts=비"], None),
        ([], '{"query": "금리", "texts": ["올랐다", "비"]}\n'),
    ],
)
def test_the_command_takes_a_query_with_a_list(tmp_path: Path, arguments: list[str], lines: str | None) -> None:
    (tmp_path / "search" / "1").mkdir(parents=True)
    (tmp_path / "search" / "config.pbtxt").write_text(TENSORS, encoding="utf-8")
    (tmp_path / "search" / "1" / "model.py").write_text(SEARCH, encoding="utf-8")
    done = CliRunner().invoke(main, ["run", "search", "-r", str(tmp_path), "--json", *arguments], input=lines)
    assert json.loads(done.output) == {"query": "금리", "texts": ["올랐다", "비"], "lengths": [3, 1]}


def test_code_of_ones_own_that_fails_is_told_by_its_own_lines(tmp_path: Path) -> None:
    model = python(tmp_path / "m")
    edit("        ids =", "        {}['mine']\n        ids =", "1/model.py")(model)
    done = CliRunner().invoke(main, ["run", "m", "x", "-r", str(tmp_path)])
    said = r"Error: the model's own code fails: KeyError: 'mine' \(model.py, (line \d+ in \w+(, )?)+\)\n"
    assert re.fullmatch(said, done.output), done.output


def test_a_log_holds_the_frames_of_ones_own_files(tmp_path: Path) -> None:
    own = tmp_path / "step.py"
    own.write_text("def deep():\n    {}['mine']\n", encoding="utf-8")
    shutil.copyfile(STEP_FOLDER / "numerics.py", tmp_path / "numerics.py")
    frame = '  File "{}", line 2, in deep\n    {{}}["mine"]\n    ~~^^^^^^^^\n'
    frames = [frame.format(file) for file in (STEP_FOLDER / "model.py", tmp_path / "numerics.py", own, np.__file__)]
    text = "".join(["Traceback (most recent call last):\n", *frames, "KeyError: 'mine'\n"])
    assert own_frames(text) == f"Traceback (most recent call last):\n{frames[2]}KeyError: 'mine'\n"
    assert own_frames(text.replace(frames[2], "")) == text.replace(frames[2], "")
