"""8 bits: every row of activations with its own scale, weights rounded for what goes through them, all opsets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.exported import Exported
from tbgen.export.layout import LENGTHS
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.parity.sentences import calibration_sentences, gate_sentences
from tbgen.export.precision.eight_bits import QuantizedInput, split_channels, zero_point
from tbgen.export.precision.rounding import MOST, round_weights
from tbgen.export.run import onnx_run
from tbgen.export.tokenizers.tokenizer import tokenizer_from_file
from tbgen.generator.presets import SAMPLES
from tests.export import checkpoints


def flat(exported: Exported, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Texts as Triton's ragged batches have them."""
    tokenizer = tokenizer_from_file(exported.tokenizer)
    tokenizer.no_padding()
    tokenizer.enable_truncation(exported.max_length)
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    ids = np.concatenate([np.array(row, dtype=np.int64) for row in rows])
    tensors = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return {name: tensors[name] for name in exported.inputs} | {LENGTHS: np.array([*map(len, rows)], dtype=np.int32)}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The sample in INT8, in the layout that Triton's onnxruntime backend gets."""
    checkpoint = checkpoint_from_folder(SAMPLES / "kcbert")
    return onnx_from_checkpoint(
        checkpoint, tmp_path_factory.mktemp("packed") / "made", layout="packed", precision="int8"
    )


def run(exported: Exported, texts: Sequence[str]) -> np.ndarray:
    session = pytest.importorskip("onnxruntime").InferenceSession(str(exported.model))
    return np.asarray(session.run(["outputs"], flat(exported, texts))[0])


def test_a_text_alone_is_the_same_to_the_bit_beside_31_others(packed: Exported, held_out: list[str]) -> None:
    texts = ["👍🏻", "", "손절", held_out[0] * 8, *held_out[:28]]
    together = run(packed, texts)
    assert all(np.array_equal(run(packed, [text])[0], row) for text, row in zip(texts, together, strict=True))


def test_only_standard_operators(packed: Exported) -> None:
    nodes = onnx.load(str(packed.model)).graph.node
    assert {node.domain for node in nodes} == {""}
    assert not {node.op_type for node in nodes} & {"DynamicQuantizeLinear"}


@pytest.mark.parametrize("opset", [15, 18])
def test_opsets_that_name_the_axis_of_a_maximum_otherwise(bert: Path, opset: int, tmp_path: Path) -> None:
    made = onnx_from_checkpoint(
        checkpoint_from_folder(bert), tmp_path / "made", precision="int8", opset=opset, tolerance=9, texts=["손절", "a"]
    )
    assert sum(node.op_type == "MatMulInteger" for node in onnx.load(str(made.model)).graph.node) == 13


def test_weights_that_layers_share_are_kept_once(tmp_path: Path) -> None:
    folder = checkpoints.checkpoint(tmp_path / "albert", "albert", problem_type="regression")  # random classes flip
    made = onnx_from_checkpoint(
        checkpoint_from_folder(folder), tmp_path / "made", precision="int8", tolerance=9, texts=["손절", "a"]
    )
    graph = onnx.load(str(made.model)).graph
    products = [node.input[1] for node in graph.node if node.op_type == "MatMulInteger"]
    bytes_of = [tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    assert len(products) > len(set(products)) == len(set(bytes_of)) == len(bytes_of)


def test_a_fixed_length_and_ids_up_to_the_last_position(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "bert", problem_type="regression")  # random classes flip
    made = onnx_from_checkpoint(
        checkpoint_from_folder(folder),
        tmp_path / "made",
        precision="int8",
        fixed_length=40,
        tolerance=9,
        texts=["손절"],
    )
    assert np.isfinite(onnx_run(made.model)({n: np.ones((1, 40), np.int64) for n in made.inputs})["outputs"]).all()


def test_rounding_keeps_products_where_inputs_go_together() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(500, 8)) @ random.normal(size=(8, 150)) + 0.01 * random.normal(size=(500, 150))
    weights = random.normal(size=(150, 20))
    steps, scales = round_weights(weights, rows.T @ rows / len(rows))
    plain = np.rint(weights / scales) * scales
    assert np.abs(steps.astype(int)).max() == MOST
    error = [np.square(rows @ (weights - each)).mean() for each in (steps * scales, plain)]
    assert error[0] < error[1] / 20


def test_rounding_without_samples_of_a_row_and_of_empty_columns() -> None:
    steps, scales = round_weights(np.array([[0.5, 0.0], [-1.0, 0.0]]), np.zeros((2, 2)))
    assert steps.tolist() == [[32, 0], [-64, 0]]
    assert scales.tolist() == [1 / 64, 1.0]


def test_a_channel_far_larger_than_the_others_is_split() -> None:
    most = np.ones(64)
    most[5] = 7.0
    again, factors = split_channels(most)
    assert again.tolist() == [5] * 4
    assert factors[[5, 64, 65, 66, 67]].tolist() == [np.float32(0.2)] * 5
    rows = np.arange(128.0, dtype=np.float32).reshape(2, 64)
    wide, weights = QuantizedInput(again, factors, 128).widened(rows), np.ones((64, 1))
    assert np.allclose(wide @ np.concatenate([weights, weights[again]]), rows @ weights)


def test_the_zero_point_lies_where_the_numbers_are() -> None:
    assert zero_point(np.array([[-1.0, 1.0]])) == 128
    assert zero_point(np.array([[-0.17, 4.0]])) <= 24
    assert zero_point(np.zeros((1, 2))) > 0


def test_nothing_is_compared_on_what_was_fitted_to() -> None:
    assert not set(calibration_sentences()) & set(gate_sentences())
    assert len(set(gate_sentences())) == len(gate_sentences()) == 253
