"""The packed layout: PyTorch's answers whatever shares a run, and the same bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.exported import TensorSpec, exported_from_folder
from tbgen.export.families import FAMILIES
from tbgen.export.layout import LENGTHS
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.parity.parity import torch_run
from tbgen.export.run import onnx_run, runtime_errors
from tests.export import checkpoints

PACKABLE = [name for name, family in FAMILIES.items() if family.encoder]


def test_the_families_that_can_be_packed() -> None:
    assert PACKABLE == ["bert", "distilbert", "roberta", "xlm-roberta", "camembert", "electra", "albert"]


@pytest.mark.parametrize("family", PACKABLE)
def test_a_packed_family_answers_as_in_pytorch(family: str, tmp_path: Path) -> None:
    checkpoint = checkpoint_from_folder(checkpoints.checkpoint(tmp_path / family, family))
    exported = onnx_from_checkpoint(checkpoint, tmp_path / "made", layout="packed")
    assert exported.packed
    assert exported.parity["max_abs"] < 2e-5
    assert exported.parity["padding_abs"] == 0
    reference, engine = torch_run(checkpoint), onnx_run(exported.model)
    for rows, width in [(1, 3), (2, 17), (3, 40), (9, 16)]:
        inputs = {name: tensor.reshape(rows, width) for name, tensor in tokens(checkpoint, [width] * rows).items()}
        np.testing.assert_allclose(engine(inputs)["outputs"], reference(inputs)["outputs"], atol=5e-5, rtol=0)


def test_a_family_may_have_an_attention_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here one that is wrong: the comparison with PyTorch meets its answers, and not the built-in attention's."""

    def values_alone(_: object) -> Callable[..., tuple[Any, None]]:
        return lambda module, query, key, value, *_, **__: (value.transpose(1, 2), None)  # noqa: ARG005

    monkeypatch.setitem(FAMILIES, "bert", replace(FAMILIES["bert"], packed_attention=values_alone))
    checkpoint = checkpoint_from_folder(checkpoints.bert(tmp_path / "bert"))
    with pytest.raises(UserError, match="the ONNX file differs from PyTorch"):
        onnx_from_checkpoint(checkpoint, tmp_path / "made", layout="packed", tolerance=1e-6)


def tokens(checkpoint: object, widths: list[int]) -> dict[str, np.ndarray]:
    """Flat random tokens of rows of those widths, each row padded behind at least two real tokens."""
    random = np.random.default_rng(sum(widths))
    masks = [(np.arange(width) < random.integers(2, width + 1)).astype(np.int64) for width in widths]
    mask = np.concatenate(masks)
    ids = np.where(mask, random.integers(5, 90, len(mask)), 1)
    tensors = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2 * mask}
    return {name: tensors[name] for name in checkpoint.inputs}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("auto", "heads"),
    [
        ("AutoModelForTokenClassification", {}),
        ("AutoModelForMaskedLM", {}),
        ("AutoModel", {}),
        ("AutoModelForQuestionAnswering", {"id2label": {0: "start", 1: "end"}}),
    ],
)
def test_answers_along_the_length_come_back_in_rows(auto: str, heads: dict[str, object], tmp_path: Path) -> None:
    checkpoint = checkpoint_from_folder(checkpoints.checkpoint(tmp_path / "made", "roberta", auto, **heads))
    exported = onnx_from_checkpoint(checkpoint, tmp_path / "exported", layout="packed")
    assert exported.parity["max_abs"] < 5e-5
    assert exported.parity["padding_abs"] == 0
    inputs = {name: tensor.reshape(3, 12) for name, tensor in tokens(checkpoint, [12] * 3).items()}
    real = inputs["attention_mask"] == 1
    engine, reference = onnx_run(exported.model)(inputs), torch_run(checkpoint)(inputs)
    for name in exported.outputs:
        assert engine[name].shape == reference[name].shape
        np.testing.assert_allclose(engine[name][real], reference[name][real], atol=5e-5, rtol=0)


@pytest.mark.parametrize("hidden", [32, 320])
def test_rows_of_any_widths_share_a_run_and_get_the_bits_that_they_get_alone(hidden: int, tmp_path: Path) -> None:
    wide = {"hidden_size": hidden, "intermediate_size": 4 * hidden, "initializer_range": 0.06}
    checkpoint = checkpoint_from_folder(checkpoints.checkpoint(tmp_path / "bert", "bert", **wide))
    exported = onnx_from_checkpoint(checkpoint, tmp_path / "made", layout="packed")
    session = onnxruntime.InferenceSession(exported.model)
    widths = [7, 40, 2, 19, 33, 8]
    together = tokens(checkpoint, widths)
    answers = session.run(None, together | {LENGTHS: np.array(widths, np.int32)})[0]
    ends = np.cumsum(widths)
    for row, (end, width) in enumerate(zip(ends, widths, strict=True)):
        alone = {name: tensor[end - width : end] for name, tensor in together.items()}
        bare = {name: tensor[alone["attention_mask"] == 1] for name, tensor in alone.items()}
        for one in (alone, bare):
            count = np.array([len(one["input_ids"])], np.int32)
            np.testing.assert_array_equal(session.run(None, one | {LENGTHS: count})[0][0], answers[row])


LEVELS = onnxruntime.GraphOptimizationLevel.__members__.values()


@pytest.fixture(scope="module")
def packed_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a random BERT in the packed layout."""
    folder = tmp_path_factory.mktemp("packed")
    return onnx_from_checkpoint(
        checkpoint_from_folder(checkpoints.bert(folder / "bert")), folder / "made", layout="packed"
    ).model


def run(
    model: Path,
    widths: list[int],
    level: object = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    **changed: np.ndarray,
) -> np.ndarray:
    """The answers to rows of ordinary tokens of these widths, some of the tensors changed."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(model, options)
    ids = np.arange(sum(widths)) % 80 + 5
    tensors = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": ids * 0}
    answers: np.ndarray = session.run(None, tensors | {LENGTHS: np.array(widths, np.int32)} | changed)[0]
    return answers


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", [0, 17, 24])
@pytest.mark.parametrize("name", ["input_ids", "attention_mask", "token_type_ids"])
def test_a_tensor_of_another_length_than_the_rows_fails_the_run(
    name: str, size: int, level: object, packed_bert: Path
) -> None:
    """Else all rows behind it would be read with a neighbour's mask, types or tokens."""
    with pytest.raises(runtime_errors(onnxruntime), match=rf"Input shape:\{{{size}\}}, requested shape:\{{20\}}"):
        run(packed_bert, [7, 13], level, **{name: np.ones(size, np.int64)})


@pytest.mark.parametrize("widths", [[0], [7, 0, 13], [0, 20], [20, 0], [-1, 21]])
def test_a_row_of_no_token_fails_the_run(widths: list[int], packed_bert: Path) -> None:
    with pytest.raises(runtime_errors(onnxruntime), match="Reshape"):
        run(packed_bert, widths)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_row_whose_tokens_are_all_masked_gets_no_neighbours_answer(row: int, packed_bert: Path) -> None:
    widths = [7, 5, 8]
    masked = np.repeat([index != row for index in range(3)], widths).astype(np.int64)
    whole, answers = run(packed_bert, widths), run(packed_bert, widths, attention_mask=masked)
    others = [index for index in range(3) if index != row]
    np.testing.assert_array_equal(answers[others], whole[others])
    first = sum(widths[:row])
    alone = run(packed_bert, [1], input_ids=np.array([first + 5]), attention_mask=np.zeros(1, np.int64))
    np.testing.assert_allclose(answers[row], alone[0], atol=1e-5)


def test_a_mask_may_be_of_any_numbers(packed_bert: Path) -> None:
    widths = [7, 13]
    odd = np.where(np.arange(20) % 3, 7, 0)
    answers = [run(packed_bert, widths, attention_mask=mask) for mask in (odd, -odd, np.minimum(odd, 1))]
    np.testing.assert_array_equal(answers[0], answers[2])
    np.testing.assert_array_equal(answers[1], answers[2])


@pytest.mark.parametrize(
    ("auto", "one_answer"), [("AutoModelForSequenceClassification", True), ("AutoModelForTokenClassification", False)]
)
@pytest.mark.parametrize("family", [name for name in PACKABLE if FAMILIES[name].attention])
def test_the_last_layer_feeds_forward_only_what_a_head_looks_at(
    family: str, auto: str, one_answer: bool, tmp_path: Path
) -> None:
    checkpoint = checkpoint_from_folder(checkpoints.checkpoint(tmp_path / "made", family, auto))
    made = onnx_from_checkpoint(checkpoint, tmp_path / "exported", layout="packed")
    model, wide = onnx.load(made.model), checkpoints.SHAPE["intermediate_size"]
    weights = {tensor.name for tensor in model.graph.initializer if tensor.dims[-1:] == [wide]}
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    assert len(products) == checkpoints.SHAPE["num_hidden_layers"]
    model.graph.output.extend(onnx.ValueInfoProto(name=node.output[0]) for node in products)
    widths = [7, 12, 2]
    inputs = tokens(checkpoint, widths)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    *_, first, last = session.run(None, inputs | {LENGTHS: np.array(widths, np.int32)})
    every = int(inputs["attention_mask"].sum())
    assert (first.shape[1], last.shape[1]) == (every, len(widths) if one_answer else every)


def test_the_file_takes_flat_tensors_and_the_record_says_what_clients_send(bert: Path, tmp_path: Path) -> None:
    onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "made", layout="packed")
    exported = exported_from_folder(tmp_path / "made")
    nodes = {node.name: (node.type, node.shape) for node in onnxruntime.InferenceSession(exported.model).get_inputs()}
    assert nodes[LENGTHS] == ("tensor(int32)", ["batch"])
    assert nodes["input_ids"] == ("tensor(int64)", ["elements"])
    assert exported.inputs["input_ids"] == TensorSpec("int64", ("batch", "sequence"))


def test_no_clip_of_whole_numbers_lacks_its_upper_bound(bert: Path, tmp_path: Path) -> None:
    """OpenVINO 2026 takes such a one for a Clip at 0, and every answer is wrong."""
    made = onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "made", layout="packed")
    clips = [node for node in onnx.load(made.model).graph.node if node.op_type == "Clip"]
    assert all(len(node.input) == 3 and node.input[2] for node in clips)


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 0.05), ("int8", 1.0)])
def test_the_precisions_keep_their_bounds(precision: str, bound: float, bert: Path, tmp_path: Path) -> None:
    exported = onnx_from_checkpoint(
        checkpoint_from_folder(bert), tmp_path / "made", layout="packed", precision=precision
    )
    assert 0 < exported.parity["max_abs"] < bound
    assert exported.parity["flips"] <= 0.005 * exported.parity["decisions"]


def test_what_cannot_be_packed_is_a_sentence(bert: Path, tmp_path: Path) -> None:
    deberta = checkpoint_from_folder(checkpoints.checkpoint(tmp_path / "deberta", "deberta-v2"))
    classifier = checkpoint_from_folder(bert)
    for checkpoint, options, sentence in [
        (deberta, {}, "this deberta-v2 has no packed layout"),
        (classifier, {"fixed_length": 16}, "a fixed length goes with --layout padded"),
        (classifier, {"optimize": True}, "--optimize with --layout packed writes a file for GPUs"),
        (classifier, {"layout": "packd"}, "no layout 'packd'. Layouts: packed, padded. Did you mean 'packed'?"),
    ]:
        with pytest.raises(UserError) as error:
            onnx_from_checkpoint(checkpoint, tmp_path / "made", **{"layout": "packed"} | options)  # type: ignore[arg-type]
        assert str(error.value).startswith(sentence)
        assert not (tmp_path / "made").exists()
