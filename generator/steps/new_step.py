"""`tbgen step new`: a step file with its contract, and a test that passes."""

from __future__ import annotations

from pathlib import Path

from tbgen.export.errors import UserError

_PRE = '''"""{title}: a step before the tokenizer."""

import numpy as np


class {name}:
    """Changes each text before it is read."""

    # name: (Triton data type, dims without the batch axis)
    inputs = {{"input_text": ("TYPE_STRING", [1])}}
    outputs = {{"input_text": ("TYPE_STRING", [1])}}

    def __init__(self, folder, *, lower=False):  # the version folder; settings come as `key=value`
        self.lower = lower

    def __call__(self, input_text):  # (batch, 1) of str; ValueError: the client sent what cannot be served
        texts = [text.strip() for text in input_text[:, 0]]
        return {{"input_text": np.array([[text.lower() if self.lower else text] for text in texts], dtype=object)}}
'''
_PRE_TEST = """from pathlib import Path

import numpy as np
from {module} import {name}


def test_texts_are_changed():
    answer = {name}(Path(), lower=True)(np.array([[" 안녕 KOSPI "], [""]], dtype=object))
    assert answer["input_text"].tolist() == [["안녕 kospi"], [""]]
"""
_POST = '''"""{title}: a step behind the task's head."""

import numpy as np


class {name}:
    """Adds an output that says whether the answer is sure enough."""

    # name: (Triton data type, dims without the batch axis)
    inputs = {{"score": ("TYPE_FP32", [1])}}
    outputs = {{"score": ("TYPE_FP32", [1]), "sure": ("TYPE_BOOL", [1])}}  # a tensor that is taken is given on here

    def __init__(self, folder, *, least=0.8):  # the version folder; settings come as `key=value`
        self.least = least

    def __call__(self, score):  # (batch, 1) of float32
        return {{"score": score, "sure": np.asarray(score >= self.least)}}
'''
_POST_TEST = """from pathlib import Path

import numpy as np
from {module} import {name}


def test_scores_are_judged():
    answer = {name}(Path(), least=0.5)(np.array([[0.9], [0.1]], dtype=np.float32))
    assert answer["sure"].tolist() == [[True], [False]]
"""
_KINDS = {"pre": (_PRE, _PRE_TEST), "post": (_POST, _POST_TEST)}


def new_step(name: str, kind: str, folder: Path) -> tuple[Path, Path]:
    """Write NAME.py and test_NAME.py into `folder`. Raises UserError for a bad name and for existing files."""
    module = name.replace("-", "_")
    if not module.isidentifier():
        raise UserError(f"{name!r} cannot name a step: use letters, digits and '_', a letter first")
    words = {"module": module, "name": "".join(part.capitalize() for part in module.split("_")), "title": name}
    files = folder / f"{module}.py", folder / f"test_{module}.py"
    for file in files:
        if file.exists():
            raise UserError(f"{str(file)!r} exists; choose another name")
    for file, text in zip(files, _KINDS[kind], strict=True):
        file.write_text(text.format(**words), encoding="utf-8")
    return files
