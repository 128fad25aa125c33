"""Steps as Triton models of their own, before the tokenizer and behind the head, beside the same steps inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from tbgen.generator.models.config import config_from_text
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.client.connection import Connection
from tests.serving import serving
from tests.texts import SENTENCES

STEP = """
import numpy as np


class {name}:
    inputs = outputs = {{"{tensor}": ("TYPE_STRING", [1])}}
    parameters = {{
        "{name}_share": {{"type": "number", "minimum": 0, "maximum": 1}},
        "{name}_mark": {{"type": "string"}},
    }}

    def __init__(self, folder, *, sign): self.sign = sign

    def __call__(self, {tensor}, *, {name}_share=0.0, {name}_mark=""):
        for item, text in enumerate({tensor}[:, 0]):
            if text == "bad":
                raise ValueError(f"{tensor} of item {{item}} is bad")
        sign = self.told({name}_share, {name}_mark)
        return {{"{tensor}": np.array([[sign + text] for text in {tensor}[:, 0]], dtype=object)}}

    def told(self, share, mark): return f"{{share:.2f}}{{mark}}" if mark else self.sign
"""


@pytest.fixture(scope="module")
def repository(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("separate")
    for name, tensor in (("Louder", "input_text"), ("Praise", "label")):
        text = STEP.format(name=name, tensor=tensor)
        (folder / f"{name.lower()}.py").write_text(text, encoding="utf-8")
    for name, word in (("inside", ""), ("apart", " --separate")):
        pre, post = (f"{folder}/{file}.py sign=🔥가{word}" for file in ("louder", "praise"))
        scaffold(Request(name, sample_export, pre=(pre,), post=(post,)), folder / "repository")
    return folder / "repository"


def test_they_are_models_with_private_names_between_them(repository: Path) -> None:
    assert (repository / "apart_louder" / "1" / "louder.py").is_file()
    assert not (repository / "apart_tokenizer" / "1" / "louder.py").exists()
    packed = {folder.parents[1].name for folder in repository.glob("*/1/packed_parameters.py")}
    assert packed == {"apart_louder", "apart_praise", "apart_onnx_bls"}  # which are called, and the one that calls
    config = config_from_text((repository / "apart_onnx_ensemble" / "config.pbtxt").read_text(encoding="utf-8"))
    louder, tokenizer, _, postprocess, praise = config.ensemble_scheduling.step
    assert dict(louder.input_map) == {"input_text": "input_text"}
    assert dict(louder.output_map) == {"input_text": "apart_louder_input_text"} == dict(tokenizer.input_map)
    assert postprocess.output_map["label"] == praise.input_map["label"] == "apart_postprocess_label"
    assert dict(praise.output_map) == {"label": "label"}


def test_apart_they_answer_what_they_answer_inside(repository: Path, tmp_path: Path) -> None:
    texts = {"input_text": np.array([[text.encode("utf-8")] for text in SENTENCES], dtype=object)}
    with serving(repository, log=tmp_path / "log") as server, Connection(server.grpc_url) as connection:
        for graph in ("ensemble", "bls"):
            inside, apart = (connection.infer(f"{name}_onnx_{graph}", texts) for name in ("inside", "apart"))
            assert inside.keys() == apart.keys()
            for name, array in inside.items():
                np.testing.assert_array_equal(apart[name], array)
            assert all(label.decode("utf-8").startswith("🔥가") for label in apart["label"].ravel())
            with pytest.raises(InferenceServerException, match="input_text of item 0 is bad") as error:
                connection.client.infer(f"apart_onnx_{graph}", bad_input())
            assert error.value.status() == "StatusCode.INVALID_ARGUMENT", error.value.message()


def test_parameters_reach_them_apart_as_inside(repository: Path, tmp_path: Path) -> None:
    """Fractions, text and switches, for the step before the tokenizer, the head, and the step behind the head."""
    given = {
        "Louder_share": 0.25,
        "Louder_mark": "크게",
        "Praise_share": 1,
        "Praise_mark": "🔥",
        "top_k": 2,
        "logits": True,
    }
    with serving(repository, log=tmp_path / "log") as server, Connection(server.grpc_url) as connection:
        for graph in ("ensemble", "bls"):
            inside, apart = (
                connection.client.infer(f"{name}_onnx_{graph}", one_input("상한가"), parameters=given)
                for name in ("inside", "apart")
            )
            assert apart.as_numpy("label")[0, 0].decode("utf-8").startswith("1.00🔥")
            assert apart.as_numpy("top_labels").shape == (1, 2)
            for name in ("logits", "label", "top_scores"):  # the marked text has other logits than the plain one
                np.testing.assert_array_equal(apart.as_numpy(name), inside.as_numpy(name))
            plain = connection.client.infer(f"apart_onnx_{graph}", one_input("상한가"))
            assert plain.as_numpy("logits") is None
            assert plain.as_numpy("score") != apart.as_numpy("score")
            with pytest.raises(InferenceServerException, match="Praise_share takes values from 0 to 1"):
                connection.client.infer(
                    f"apart_onnx_{graph}", one_input("상한가"), parameters={"Praise_share": 1.5, "Praise_mark": "x"}
                )


def bad_input() -> list[object]:
    return one_input("bad")


def one_input(text: str) -> list[object]:
    from tritonclient.grpc import InferInput

    tensor = InferInput("input_text", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[text.encode("utf-8")]], dtype=object))
    return [tensor]
