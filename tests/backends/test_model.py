import ast
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import tbgen.backends
from tbgen.backends.model import bytes_from_text, chain_tensors, run_steps, steps_from_folder, text_from_bytes

BACKENDS = Path(next(iter(tbgen.backends.__path__)))
ALLOWED = {"numpy", "tokenizers", "triton_python_backend_utils"} | sys.stdlib_module_names
STEP = """
class Double:
    inputs = {"x": ("TYPE_FP32", [1])}
    outputs = {"y": ("TYPE_FP32", [1])}
    def __init__(self, folder, *, times=2):
        self.times = times
    def __call__(self, x):
        return {"y": x * self.times}
"""


@pytest.mark.parametrize("file", sorted(BACKENDS.glob("*.py")), ids=lambda file: file.name)
def test_a_step_file_stands_alone(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= ALLOWED
    assert not any(node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))


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
    with pytest.raises(ValueError, match="input_text is not valid UTF-8"):
        text_from_bytes("input_text", np.array([[broken]], dtype=object))
