"""A ready ONNX file: taken when it fits its tokenizer, its task and the length asked; otherwise one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.parity.parity import Encoder
from tbgen.export.ready.onnx_file import export_from_onnx
from tbgen.export.run import onnx_run
from tests.export import checkpoints


@pytest.fixture
def folder(exported: Exported, tmp_path: Path) -> Path:
    """A model.onnx beside a tokenizer, as other tools leave them: no export.json."""
    copy = Path(shutil.copytree(exported.folder, tmp_path / "ready"))
    (copy / "export.json").unlink()
    return copy


def test_takes_a_file_that_fits(folder: Path, exported: Exported, tmp_path: Path) -> None:
    ready = export_from_onnx(folder / "model.onnx", folder, tmp_path / "made")
    assert ready.inputs == exported.inputs
    assert ready.outputs == exported.outputs
    assert (ready.task, ready.labels, ready.max_length) == ("text-classification", ("부정", "중립", "긍정"), 40)
    assert ready.special == exported.special
    assert ready.parity == {}


@pytest.mark.parametrize("cut", [0, 10, 1000, 100_000, -10])
def test_refuses_a_truncated_file(folder: Path, tmp_path: Path, cut: int) -> None:
    model = folder / "model.onnx"
    model.write_bytes(model.read_bytes()[:cut])
    with pytest.raises(UserError, match="is no whole ONNX file"):
        export_from_onnx(model, folder, tmp_path / "made")


def test_refuses_a_name_that_is_no_utf8(folder: Path, tmp_path: Path) -> None:
    model = folder / "model.onnx"
    model.write_bytes(model.read_bytes().replace(b"/intermediate/dense/", b"/intermediate\xb6dense/"))
    with pytest.raises(UserError, match=r"is no whole ONNX file \('utf-8' codec can't decode byte 0xb6"):
        export_from_onnx(model, folder, tmp_path / "made")


def test_refuses_a_file_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no ONNX file .*other.onnx"):
        export_from_onnx(folder / "other.onnx", folder, tmp_path / "made")


@pytest.mark.parametrize("name", ["logits", "some_output"])
def test_finds_the_only_output_whatever_its_name(folder: Path, exported: Exported, tmp_path: Path, name: str) -> None:
    rename(folder / "model.onnx", "outputs", name)
    before = (folder / "model.onnx").read_bytes()
    ready = export_from_onnx(folder / "model.onnx", folder, tmp_path / "made")
    assert (folder / "model.onnx").read_bytes() == before
    assert ready.outputs == exported.outputs
    assert answers(ready) == answers(exported)


def test_finds_the_logits_among_several_outputs(folder: Path, exported: Exported, tmp_path: Path) -> None:
    rename(folder / "model.onnx", "outputs", "logits")
    change(folder / "model.onnx", lambda graph: add_output(graph, "hidden", onnx.TensorProto.FLOAT))
    ready = export_from_onnx(folder / "model.onnx", folder, tmp_path / "made")
    assert list(ready.outputs) == ["outputs"]
    assert list(onnx_run(ready.model)(Encoder(ready)(["금리"]))) == ["outputs"]
    assert answers(ready) == answers(exported)


def test_takes_the_names_that_are_given(folder: Path, exported: Exported, tmp_path: Path) -> None:
    for old, new in (("input_ids", "ids"), ("attention_mask", "mask=1"), ("outputs", "classes")):
        rename(folder / "model.onnx", old, new)
    change(folder / "model.onnx", lambda graph: add_output(graph, "hidden", onnx.TensorProto.FLOAT))
    words = ["ids=input_ids", "mask=1=attention_mask", "classes=outputs"]
    ready = export_from_onnx(folder / "model.onnx", folder, tmp_path / "made", rename=words)
    assert (ready.inputs, ready.outputs) == (exported.inputs, exported.outputs)
    assert answers(ready) == answers(exported)


def two_outputs(graph: Any) -> None:
    graph.output[0].name = graph.node[-1].output[0] = "classes"
    add_output(graph, "hidden", onnx.TensorProto.FLOAT)


def other_ids(graph: Any) -> None:
    graph.input[0].name = "ids"
    for node in graph.node:
        node.input[:] = ["ids" if name == "input_ids" else name for name in node.input]


def fixed_batch(graph: Any) -> None:
    graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


@pytest.mark.parametrize(
    ("make", "options", "sentence"),
    [
        (other_ids, {}, "takes ids, attention_mask, token_type_ids; it must take .* with --rename OLD=NEW"),
        (two_outputs, {}, "gives classes, hidden; this task needs outputs: say which it is with --rename OLD=outputs"),
        (
            other_ids,
            {"rename": ["idz=input_ids"]},
            "has no tensor 'idz'; it takes ids, attention_mask, token_type_ids, gi",
        ),
        (other_ids, {"rename": ["ids=attention_mask"]}, "takes ids, attention_mask, token_type_ids; it must take"),
        (other_ids, {"rename": ["input_ids"]}, "cannot read 'input_ids'; a tensor gets another name with --rename OLD"),
        (fixed_batch, {}, r"takes input_ids as \[2, 'sequence'\]; it must be .*: export it with a dynamic batch axis"),
        (
            lambda _: None,
            {"task": "token-classification"},
            r"gives outputs as \[1, 3\] for one text; task 'token-class",
        ),
        (lambda _: None, {"precision": "int4"}, "no precision 'int4'"),
        (lambda _: None, {"newest_opset": 15}, "opset 17 is newer than the server's ONNX Runtime reads, which is 15"),
    ],
)
def test_refuses_what_does_not_fit(
    folder: Path, tmp_path: Path, make: Callable[[Any], None], options: dict[str, Any], sentence: str
) -> None:
    change(folder / "model.onnx", make)
    with pytest.raises(UserError, match=sentence):
        export_from_onnx(folder / "model.onnx", folder, tmp_path / "made", **options)
    assert not (tmp_path / "made").exists()


def test_takes_token_tensors_of_other_types_and_gives_fp32(folder: Path, exported: Exported, tmp_path: Path) -> None:
    change(folder / "model.onnx", coarse)
    ready = export_from_onnx(folder / "model.onnx", folder, tmp_path / "made")
    assert {spec.dtype for spec in ready.inputs.values()} == {"int64"}
    assert ready.outputs == exported.outputs
    assert np.allclose(answers(ready), answers(exported), atol=0.01)


def coarse(graph: Any) -> None:
    """A mask in FP32 and logits in FP16, as some converters leave them."""
    graph.input[1].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for node in graph.node:
        node.input[:] = ["mask" if name == "attention_mask" else name for name in node.input]
    graph.node.insert(0, onnx.helper.make_node("Cast", ["attention_mask"], ["mask"], to=onnx.TensorProto.INT64))
    graph.node[-1].output[0] = "fine"
    graph.node.append(onnx.helper.make_node("Cast", ["fine"], ["outputs"], to=onnx.TensorProto.FLOAT16))
    graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16


def test_measures_a_width_that_the_graph_leaves_open(folder: Path, exported: Exported, tmp_path: Path) -> None:
    def leave_open(graph: Any) -> None:
        graph.output[0].type.tensor_type.shape.dim[1].dim_param = "Addlogits_dim_1"

    change(folder / "model.onnx", leave_open)
    ready = export_from_onnx(folder / "model.onnx", folder, tmp_path / "made")
    assert ready.outputs == exported.outputs
    assert answers(ready) == answers(exported)


def test_asks_for_what_a_missing_config_would_say(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"no config.json in .*: --task, and --label once per class"):
        export_from_onnx(folder / "model.onnx", folder, tmp_path / "made")
    named = {"task": "text-classification", "labels": ["나쁨", "보통", "좋음"]}
    ready = export_from_onnx(folder / "model.onnx", folder, tmp_path / "made", **named)  # type: ignore[arg-type]
    assert (ready.labels, ready.max_length) == (("나쁨", "보통", "좋음"), 40)


def test_a_vector_a_text_is_taken_as_pooled(tmp_path: Path) -> None:
    sentence = checkpoints.checkpoint(tmp_path / "model", "bert", "AutoModel")
    made = onnx_from_checkpoint(checkpoint_from_folder(sentence), tmp_path / "whole").folder

    def pool(graph: Any) -> None:
        graph.node[-1].output[0] = "hidden"
        graph.node.append(onnx.helper.make_node("ReduceMean", ["hidden"], ["vectors"], axes=[1], keepdims=0))
        del graph.output[0].type.tensor_type.shape.dim[1]
        graph.output[0].name = "vectors"

    change(made / "model.onnx", pool)
    ready = export_from_onnx(made / "model.onnx", made, tmp_path / "made")
    assert (ready.outputs["outputs"].shape, ready.sentence["pooled"]) == (("batch", 32), True)


@pytest.mark.parametrize(
    ("options", "bound"),
    [({"precision": "fp16"}, 0.05), ({"precision": "int8", "tolerance": 9}, 1.0), ({"optimize": True}, 1e-4)],
)
def test_converts_and_holds_the_outcome_against_the_file(
    folder: Path, exported: Exported, tmp_path: Path, options: dict[str, Any], bound: float
) -> None:
    rename(folder / "model.onnx", "outputs", "logits")
    ready = export_from_onnx(folder / "model.onnx", folder, tmp_path / "made", **options)
    assert ready.parity["against"] == "its FP32 file"
    assert (ready.made.precision, ready.made.optimized) == (
        options.get("precision", "fp32"),
        "optimize" in options,
    )
    assert np.allclose(answers(ready), answers(exported), atol=bound)


def test_refuses_a_conversion_that_drifts(folder: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"precision": "int8", "tolerance": 1e-2}
    with pytest.raises(UserError, match=r"differs from its FP32 file by .* It first drifts at .*; it holds") as caught:
        export_from_onnx(folder / "model.onnx", folder, tmp_path / "made", **asked)
    assert not (tmp_path / "made").exists()
    words = caught.value.message.rpartition("; it holds with: ")[2].split()
    keep = [word for word in words if word.startswith("/")]
    assert words == [
        *["tbgen", "export", "onnx", "--precision", "int8"],
        *(w for name in keep for w in ("--keep-fp32", name)),
    ]
    assert export_from_onnx(folder / "model.onnx", folder, tmp_path / "made", **asked, keep_fp32=keep).parity


def test_takes_a_converted_file_as_it_is_and_no_further(folder: Path, tmp_path: Path) -> None:
    half = export_from_onnx(folder / "model.onnx", folder, tmp_path / "half", precision="fp16")
    assert export_from_onnx(half.model, folder, tmp_path / "made").made.precision == "fp16"
    for precision, what in (("fp32", "made fp32"), ("int8", "made int8")):
        with pytest.raises(UserError, match=rf"is fp16 and cannot be {what}; take it as it is \(--precision fp16; in"):
            export_from_onnx(half.model, folder, tmp_path / "other", precision=precision)


def answers(exported: Exported) -> list[list[float]]:
    """Logits of two texts of unequal length."""
    outputs = onnx_run(exported.model)(Encoder(exported)(["오늘도 상한가 갔다", "금리"]))["outputs"]
    return [[float(number) for number in row] for row in outputs]


def change(path: Path, make: Callable[[Any], None]) -> None:
    """Change the graph of a file in place."""
    model = onnx.load(str(path))
    make(model.graph)
    onnx.save(model, str(path))


def add_output(graph: Any, name: str, kind: int) -> None:
    """A second output."""
    made = next(node.output[0] for node in graph.node if node.op_type == "LayerNormalization")
    graph.node.append(onnx.helper.make_node("Identity", [made], [name]))
    graph.output.append(onnx.helper.make_tensor_value_info(name, kind, ["batch", "sequence", 32]))


def rename(path: Path, old: str, new: str) -> None:
    model = onnx.load(str(path))
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.name = new if tensor.name == old else tensor.name
    onnx.save(model, str(path))


def test_refuses_labels_unlike_the_width(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gives 3 numbers a text, there are 2 labels \(a, b\)"):
        export_from_onnx(folder / "model.onnx", folder, tmp_path / "made", labels=["a", "b"])


def test_refuses_a_length_beyond_the_positions(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fails on 41 tokens \(does it have fewer positions\?\)"):
        export_from_onnx(folder / "model.onnx", folder, tmp_path / "made", fixed_length=41)


@pytest.mark.parametrize("pad", [0, 1, 3])
def test_the_length_is_tried_with_tokens_that_are_counted(pad: int, tmp_path: Path) -> None:
    """Padding takes no position in a RoBERTa, so that any length of it fits."""
    source = checkpoints.checkpoint(tmp_path / "model", "roberta", pad_token_id=pad)
    made = onnx_from_checkpoint(checkpoint_from_folder(source), tmp_path / "whole").folder
    (made / "export.json").unlink()
    for file in (made / "tokenizer_config.json", made / "config.json"):
        settings = json.loads(file.read_text(encoding="utf-8"))
        settings.pop("unk_token", None)
        file.write_text(json.dumps(settings | {"model_max_length": 99}), encoding="utf-8")
    assert export_from_onnx(made / "model.onnx", made, tmp_path / "made").max_length == 42 - (pad + 1)
    (made / "config.json").write_text(json.dumps(settings | {"max_position_embeddings": 43}), encoding="utf-8")
    with pytest.raises(UserError, match=rf"fails on {43 - (pad + 1)} tokens \(does it have fewer positions\?\)"):
        export_from_onnx(made / "model.onnx", made, tmp_path / "other")


def test_refuses_a_vocabulary_beyond_the_embedding(folder: Path, tmp_path: Path) -> None:
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["model"]["vocab"]["넘침"] = 5000
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"fails on the tokenizer's last id 5000 \(is its vocabulary larger than the embedding\?\)"
    ):
        export_from_onnx(folder / "model.onnx", folder, tmp_path / "made")
