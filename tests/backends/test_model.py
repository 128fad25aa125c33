import ast
import importlib
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tbgen.backends
from tbgen.backends.packed_parameters import unpacked
from tbgen.backends.request_parameters import parameters_from_json
from tbgen.backends.text_tensors import bytes_from_text, printable, text_from_bytes
from tbgen.generator.local import backend_utils
from tbgen.generator.steps.chain import chain_parameters, chain_tensors, run_steps
from tbgen.generator.steps.load import steps_from_folder

BACKENDS = Path(next(iter(tbgen.backends.__path__)))
ALLOWED = {"numpy", "tokenizers", "triton_python_backend_utils"} | sys.stdlib_module_names
# What a function imports when a server loads a model, and no file before.
WHEN_LOADED = {
    **{file: {"onnxruntime"} for file in ("local_engine.py", "cuda_session.py", "cuda_graphs.py")},
    **{file: {"tensorrt"} for file in ("plan_engine.py", "plan.py")},
}
STEP = """
class Double:
    inputs = {"x": ("TYPE_FP32", [1])}
    outputs = {"y": ("TYPE_FP32", [1])}
    def __init__(self, folder, *, times=2):
        self.times = times
    def __call__(self, x):
        return {"y": x * self.times}
"""


def packages(tree: ast.AST) -> set[str]:
    """The packages that are imported anywhere in a file or a function."""
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in imported}


@pytest.mark.parametrize("file", sorted(BACKENDS.glob("*.py")), ids=lambda file: file.name)
def test_a_file_needs_what_a_server_has_and_its_neighbours(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert packages(ast.Module(at_once, [])) <= ALLOWED
    assert packages(tree) <= ALLOWED | WHEN_LOADED.get(file.name, set())
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level):
        assert node in tree.body, "a neighbour is imported at the top: later it may be another model's"
        assert node.level == 1
        assert (BACKENDS / f"{node.module}.py").is_file()


def test_steps_are_constructed_as_listed(tmp_path: Path) -> None:
    (tmp_path / "double.py").write_text(STEP, encoding="utf-8")
    listed = {"steps": [{"file": "double.py", "class": "Double", "settings": {"times": 3}}]}
    (tmp_path / "steps.json").write_text(json.dumps(listed), encoding="utf-8")
    steps = steps_from_folder(tmp_path)
    assert chain_tensors(steps) == ({"x": ("TYPE_FP32", [1])}, {"y": ("TYPE_FP32", [1])})
    assert run_steps(steps, {"x": np.array([[2.0]])})["y"].tolist() == [[6.0]]


def test_a_tensor_that_a_later_step_takes_is_not_given() -> None:
    class Clean:
        inputs = outputs = {"input_text": ("TYPE_STRING", [1])}

    class Count:
        inputs = {"input_text": ("TYPE_STRING", [1])}
        outputs = {"characters": ("TYPE_INT32", [1])}

    taken, given = chain_tensors([Clean(), Count()])
    assert (list(taken), list(given)) == (["input_text"], ["characters"])


def test_text_is_utf8_whatever_the_locale() -> None:
    values = np.array([["한글".encode()], ["🔥".encode()]], dtype=object)
    texts = text_from_bytes("input_text", values)
    assert texts.tolist() == [["한글"], ["🔥"]]
    assert bytes_from_text(texts).tolist() == values.tolist()


@pytest.mark.parametrize("broken", [b"\xff\xfe", "한".encode()[:2], b"\xed\xa0\x80"])
def test_broken_utf8_is_a_sentence(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"input_text is not valid UTF-8: .* at byte \d of item 1"):
        text_from_bytes("input_text", np.array([[b"fine"], [broken]], dtype=object))


RULES = {
    "top_k": {"type": "integer", "minimum": 1, "maximum": 100},
    "threshold": {"type": "number", "minimum": 0, "maximum": 1},
    "sigmoid": {"type": "boolean"},
    "aggregation": {"type": "string", "enum": ["none", "simple"]},
}


def test_equal_parameters_are_equal_whatever_their_order() -> None:
    one = parameters_from_json('{"top_k": 3, "sigmoid": true}', RULES)
    other = parameters_from_json('{"sigmoid": true, "top_k": 3}', RULES)
    assert tuple(one.items()) == tuple(other.items()) == (("sigmoid", True), ("top_k", 3))


def test_parameters_of_other_models_are_left_out() -> None:
    assert parameters_from_json('{"top_k": 3, "truncation": "x"}', RULES, ["truncation"]) == {"top_k": 3}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"topk": 3}', "no parameter 'topk'. Parameters: aggregation, sigmoid, threshold, top_k"),
        ('{"top_k": "3"}', "parameter top_k takes a value of type integer, not '3'"),
        ('{"top_k": true}', "parameter top_k takes a value of type integer, not True"),
        ('{"top_k": 0}', "parameter top_k takes values from 1 to 100, not 0"),
        ('{"threshold": 1.5}', "parameter threshold takes values from 0 to 1, not 1.5"),
        ('{"threshold": NaN}', "parameter threshold takes values from 0 to 1, not nan"),
        ('{"sigmoid": 1}', "parameter sigmoid takes a value of type boolean, not 1"),
        ('{"aggregation": "mean"}', "parameter aggregation takes one of none, simple, not 'mean'"),
    ],
)
def test_nonsense_in_a_parameter_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(sentence) + "$"):
        parameters_from_json(text, RULES)


def test_parameters_packed_by_a_bls_call_are_held_to_the_rules_too() -> None:
    packed = {"tbgen_parameters": '{"threshold": 0.5, "aggregation": "none"}'}
    assert parameters_from_json(unpacked(json.dumps(packed)), RULES) == {"aggregation": "none", "threshold": 0.5}
    for nonsense, sentence in (("[1]", "takes a JSON object"), ('{"threshold": 2}', "from 0 to 1, not 2")):
        with pytest.raises(ValueError, match=sentence):
            parameters_from_json(unpacked(json.dumps({"tbgen_parameters": nonsense})), RULES)


@pytest.mark.parametrize(
    "packed",
    ["[" * 5000, '{"a":' * 5000, '{"top_k":' + "[" * 17 + "]" * 17 + "}", '{"top_k": ' + "9" * 5000 + "}", "", 7],
)
def test_parameters_that_cannot_be_read_are_a_short_sentence(packed: object) -> None:
    with pytest.raises(ValueError, match="takes a JSON object, nested 16 deep at most, not ") as error:
        unpacked(json.dumps({"tbgen_parameters": packed}))
    assert len(str(error.value)) < 150


def test_what_an_error_quotes_of_a_parameter_is_short() -> None:
    with pytest.raises(ValueError, match=r"not 'xxxxxxxxxxxx...xxxxxxxxxxxxx'$"):
        parameters_from_json(json.dumps({"top_k": "x" * 60_000}), RULES)
    with pytest.raises(ValueError, match="its parameters have 70013 characters; at most 65536 are read"):
        parameters_from_json(json.dumps({"top_k": "x" * 70_000}), RULES)


@pytest.mark.parametrize("kind", ["number", "integer"])
def test_a_number_without_bounds_is_one_that_can_be_reckoned_with(kind: str) -> None:
    for value in (float("inf"), float("nan")) if kind == "number" else (2**63, -(10**400)):
        with pytest.raises(ValueError, match="parameter n takes values from -"):
            parameters_from_json(json.dumps({"n": value}), {"n": {"type": kind}})


def test_who_interrupts_a_run_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", backend_utils)
    served = importlib.import_module("tbgen.backends.model").TritonPythonModel()
    monkeypatch.setattr(served, "answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        served.run([SimpleNamespace(gone=lambda: None, parameters="{}", tensors={})])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_by_name(broken: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", backend_utils)
    refuse = importlib.import_module("tbgen.backends.model").refuse_broken_numbers
    tensors = {"ids": np.array([[1]]), "listed": [1], "outputs": np.array([[1.0, 2.0]], np.float16)}
    refuse(tensors, "of the request")
    tensors["outputs"][0, 1] = broken
    with pytest.raises(FloatingPointError, match="outputs from m_onnx holds NaN or infinity: the engine's weights"):
        refuse(tensors, "from m_onnx")


def test_a_sentence_can_be_sent_whatever_it_quotes() -> None:
    assert printable("targets: \ud800 🔥") == "targets: \\ud800 🔥"
    assert len(printable("x" * 1_000_000)) == 4096


def test_a_whole_number_will_do_for_a_number() -> None:
    assert parameters_from_json('{"threshold": 1}', RULES) == {"threshold": 1}


def test_a_step_gets_the_parameters_that_it_declares() -> None:
    class Plain:
        inputs = outputs = {"x": ("TYPE_FP32", [1])}

        def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
            return {"x": x + 1}

    class Times(Plain):
        parameters = {"times": {"type": "number"}}

        def __call__(self, x: np.ndarray, *, times: float = 2) -> dict[str, np.ndarray]:
            return {"x": x * times}

    steps = [Plain(), Times()]
    assert chain_parameters(steps) == {"times": {"type": "number"}}
    assert run_steps(steps, {"x": np.array([[1.0]])})["x"].tolist() == [[4.0]]
    assert run_steps(steps, {"x": np.array([[1.0]])}, {"times": 10})["x"].tolist() == [[20.0]]


@pytest.mark.parametrize("requests", [1, 2])
def test_a_step_that_gives_too_many_rows_is_named(requests: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubles:
        inputs = outputs = {"x": ("TYPE_FP32", [1])}

        def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
            return {"x": np.concatenate([x, x])}

    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", backend_utils)
    served = importlib.import_module("tbgen.backends.model").TritonPythonModel()
    served.steps, served.inputs, served.outputs = [Doubles()], {"x": "TYPE_FP32"}, {"x": "TYPE_FP32"}
    served.on_request, served.trims, served.meter = set(), [], SimpleNamespace(seconds=[0.0])
    served.origins = ["from Doubles"]
    client = SimpleNamespace(tensors={"x": np.ones((1, 1), np.float32)}, parameters="{}", items=1)
    with pytest.raises(TypeError, match=f"a step gave {2 * requests} rows of x for {requests} items"):
        served.answer([client] * requests)


def test_a_tensor_that_the_engine_used_can_be_used_again() -> None:
    class Tokens:
        inputs = {"input_text": ("TYPE_STRING", [1])}
        outputs = {"attention_mask": ("TYPE_INT64", [-1])}

    class Model:
        inputs = {"attention_mask": ("TYPE_INT64", [-1])}
        outputs = {"outputs": ("TYPE_FP32", [-1, 8])}

    class Pool:
        inputs = {"outputs": ("TYPE_FP32", [-1, 8]), "attention_mask": ("TYPE_INT64", [-1])}
        outputs = {"embedding": ("TYPE_FP32", [8])}

    taken, given = chain_tensors([Tokens(), Model(), Pool()])
    assert (list(taken), list(given)) == (["input_text"], ["embedding"])


def test_models_with_files_of_one_name_share_a_process(tmp_path: Path) -> None:
    listed = {"steps": [{"file": "double.py", "class": "Double", "settings": {}}]}
    importing = "from .factor import FACTOR\n" + STEP.replace("x * self.times", "FACTOR * x")
    for name, factor in (("one", 1), ("ten", 10), ("again", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "steps.json").write_text(json.dumps(listed), encoding="utf-8")
        (tmp_path / name / "double.py").write_text(importing, encoding="utf-8")
        (tmp_path / name / "factor.py").write_text(f"FACTOR = {factor}\n", encoding="utf-8")
    chains = [steps_from_folder(tmp_path / name) for name in ("one", "ten", "again")]
    assert [run_steps(steps, {"x": np.ones((1, 1))})["y"].item() for steps in chains] == [1, 10, 1]
