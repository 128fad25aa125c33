"""The file for GPUs, whose attention takes texts of any lengths: what can be seen of it where there is none.

ONNX Runtime has no such attention for CPUs. Its twin, in which it is spelled out, is run in its place.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.torch import load_file, save_file

from tbgen.export.checkpoint.checkpoint import Checkpoint, checkpoint_from_folder
from tbgen.export.checkpoint.pytorch import model_from_checkpoint
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.layout import LENGTHS
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.onnx.recordable import write_recordable
from tbgen.export.onnx.trace import write_graph
from tbgen.export.onnx.twin import GPU_ALONE, write_twin
from tbgen.export.onnx.varlen_fusion import fuse_varlen
from tbgen.export.parity.parity import engine_run, torch_run
from tbgen.export.precision.half import half_run, half_watch
from tbgen.export.run import cuda_here, gpu_run, onnx_run, runtime_errors
from tbgen.generator.presets import SAMPLES
from tests.export import checkpoints
from tests.export.test_packed import PACKABLE, run, tokens

HEADS = ("AutoModelForSequenceClassification", "AutoModelForTokenClassification")
FOR_GPUS = {"layout": "packed", "optimize": True, "precision": "fp16"}


def fp32_twin(checkpoint: Checkpoint, folder: Path) -> Path:
    """The twin of a checkpoint's graph before it is converted to half precision."""
    folder.mkdir()
    traced, twin = folder / "model.onnx", folder.with_name("twin.onnx")
    options = {"opset": 17, "fixed_length": None, "packed": True, "varlen": True}
    write_graph(model_from_checkpoint(checkpoint), checkpoint, traced, **options)  # type: ignore[arg-type]
    fuse_varlen(traced, traced, checkpoint.config)
    write_twin(traced, twin)
    return twin


@pytest.mark.parametrize("auto", HEADS)
@pytest.mark.parametrize("family", PACKABLE)
def test_each_family_answers_as_in_pytorch(family: str, auto: str, tmp_path: Path) -> None:
    checkpoint = checkpoint_from_folder(checkpoints.checkpoint(tmp_path / family, family, auto))
    engine, reference = onnx_run(fp32_twin(checkpoint, tmp_path / "made")), torch_run(checkpoint)
    for rows, width in [(1, 3), (2, 17), (3, 40), (9, 16)]:
        inputs = {name: tensor.reshape(rows, width) for name, tensor in tokens(checkpoint, [width] * rows).items()}
        found, wanted = engine(inputs)["outputs"], reference(inputs)["outputs"]
        real = slice(None) if auto == HEADS[0] else inputs["attention_mask"] == 1
        np.testing.assert_allclose(found[real], wanted[real], atol=5e-5, rtol=0)


@pytest.mark.parametrize("auto", HEADS)
@pytest.mark.parametrize("family", PACKABLE)
def test_each_layer_is_a_few_operators(family: str, auto: str, tmp_path: Path) -> None:
    """One attention that multiplies queries, keys and values together, norms with what is added before them."""
    checkpoint = checkpoint_from_folder(checkpoints.checkpoint(tmp_path / family, family, auto))
    made = onnx_from_checkpoint(checkpoint, tmp_path / "made", texts=["금리는 동결"], **FOR_GPUS)  # type: ignore[arg-type]
    found = Counter(node.op_type for node in onnx.load(made.model).graph.node)
    layers = checkpoints.SHAPE["num_hidden_layers"]
    assert (found["PackedAttention"], found["PackedMultiHeadAttention"]) == (layers, 0)
    assert found["BiasGelu"] + found["FastGelu"] == layers  # ALBERT computes GELU by tanh
    assert found["SkipLayerNormalization"] >= 2 * layers - 1  # the last one may see the first tokens alone
    assert (found["Softmax"], found["Erf"]) == (0, 0)


@pytest.mark.parametrize("family", ["bert", "roberta", "albert"])
def test_masked_tokens_may_be_anywhere_but_first(family: str, tmp_path: Path) -> None:
    checkpoint = checkpoint_from_folder(checkpoints.checkpoint(tmp_path / family, family))
    engine, reference, random = onnx_run(fp32_twin(checkpoint, tmp_path / "made")), torch_run(checkpoint), np.random
    ids, mask = random.default_rng(0).integers(0, 9, (8, 14)), random.default_rng(1).integers(0, 2, (8, 14))
    mask[:, 0] = 1
    tensors = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2}
    inputs = {name: tensors[name] for name in checkpoint.inputs}
    np.testing.assert_allclose(engine(inputs)["outputs"], reference(inputs)["outputs"], atol=5e-5, rtol=0)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a random BERT."""
    folder = tmp_path_factory.mktemp("varlen")
    return fp32_twin(checkpoint_from_folder(checkpoints.bert(folder / "bert")), folder / "made")


def test_a_text_has_its_answer_beside_texts_of_any_lengths(twin: Path, bert: Path) -> None:
    widths = [7, 40, 2, 19, 33, 8]
    together = tokens(checkpoint_from_folder(bert), widths)
    session = onnxruntime.InferenceSession(twin)
    answers = session.run(None, together | {LENGTHS: np.array(widths, np.int32)})[0]
    for row, (end, width) in enumerate(zip(np.cumsum(widths), widths, strict=True)):
        alone = {name: tensor[end - width : end] for name, tensor in together.items()}
        bare = {name: tensor[alone["attention_mask"] == 1] for name, tensor in alone.items()}
        for one in (alone, bare):
            count = np.array([len(one["input_ids"])], np.int32)
            np.testing.assert_allclose(session.run(None, one | {LENGTHS: count})[0][0], answers[row], atol=2e-6)


@pytest.mark.parametrize("size", [0, 17, 24])
@pytest.mark.parametrize("name", ["input_ids", "attention_mask", "token_type_ids"])
def test_a_tensor_of_another_length_than_the_rows_fails_the_run(name: str, size: int, twin: Path) -> None:
    with pytest.raises(runtime_errors(onnxruntime)):
        run(twin, [7, 13], **{name: np.ones(size, np.int64)})


@pytest.mark.parametrize("widths", [[0], [7, 0, 13], [0, 20], [20, 0], [-1, 21]])
def test_a_row_of_no_token_fails_the_run(widths: list[int], twin: Path) -> None:
    with pytest.raises(runtime_errors(onnxruntime)):
        run(twin, widths)


def test_a_row_that_begins_with_a_masked_token_fails_the_run(twin: Path) -> None:
    """All the others would see that token, which the heads look at and the mask hides."""
    mask = np.ones(20, np.int64)
    mask[7] = 0
    with pytest.raises(runtime_errors(onnxruntime), match="Reshape"):
        run(twin, [7, 13], attention_mask=mask)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "albert"])
def test_the_file_without_a_mask_gives_the_same_answers(family: str, tmp_path: Path) -> None:
    checkpoint = checkpoint_from_folder(checkpoints.checkpoint(tmp_path / family, family))
    made = onnx_from_checkpoint(checkpoint, tmp_path / "made", texts=["금리는 동결"], **FOR_GPUS)  # type: ignore[arg-type]
    flat, again = tmp_path / "flat.onnx", tmp_path / "again.onnx"
    for source, target in ((made.model, flat), (flat, again)):
        assert write_recordable(source, target, longest=made.max_length)
    assert flat.read_bytes() == again.read_bytes()
    assert "attention_mask" not in {entry.name for entry in onnx.load(flat).graph.input}
    assert not {node.op_type for node in onnx.load(flat).graph.node} & {"NonZero", "If", "Loop"}
    twins = [half_run(file) for file in (made.model, flat)]
    for rows, width in [(1, 3), (5, 17), (9, 40)]:
        inputs = {name: tensor.reshape(rows, width) for name, tensor in tokens(checkpoint, [width] * rows).items()}
        first, second = (twin(inputs)["outputs"] for twin in twins)
        np.testing.assert_allclose(second, first, atol=2e-3)


def test_a_file_along_the_tokens_needs_its_mask(tmp_path: Path) -> None:
    checkpoint = checkpoint_from_folder(checkpoints.checkpoint(tmp_path / "bert", "bert", HEADS[1]))
    made = onnx_from_checkpoint(checkpoint, tmp_path / "made", texts=["금리는 동결"], **FOR_GPUS)  # type: ignore[arg-type]
    assert not write_recordable(made.model, tmp_path / "flat.onnx", longest=made.max_length)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The bundled sample, a trained model, as the file for GPUs."""
    folder = tmp_path_factory.mktemp("trained")
    return onnx_from_checkpoint(checkpoint_from_folder(SAMPLES / "kcbert"), folder / "made", **FOR_GPUS)  # type: ignore[arg-type]


def test_a_trained_model_passes_the_gate_of_half_precision(trained: Exported) -> None:
    assert (trained.parity["texts"], trained.parity["flips"]) == (260, 0)
    assert 0 < trained.parity["max_abs"] < 0.002
    assert trained.made.for_gpus


def test_its_layers_are_in_half_precision_and_its_head_is_not(trained: Exported) -> None:
    graph = onnx.load(trained.model).graph
    halves = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    wide = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    readers = {name: node.op_type for node in graph.node for name in node.input}
    assert {readers[name] for name in halves} >= {"PackedAttention", "SkipLayerNormalization", "LayerNormalization"}
    assert {name.partition(".")[2] for name in wide} == {"classifier.weight", "classifier.bias"}


def test_a_number_too_large_for_half_precision_is_seen_in_the_twin(bert: Path, tmp_path: Path) -> None:
    """Infinite on a GPU, so infinite here; ONNX Runtime's CPU operators, which compute in FP32, would let it pass."""
    weights = load_file(bert / "model.safetensors")
    weights["bert.encoder.layer.0.intermediate.dense.weight"] *= 1e5
    shutil.copytree(bert, tmp_path / "loud")
    save_file(weights, tmp_path / "loud" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="differs from PyTorch by nan"):
        onnx_from_checkpoint(checkpoint_from_folder(tmp_path / "loud"), tmp_path / "made", **FOR_GPUS)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_other_precisions_are_a_sentence(precision: str, bert: Path, tmp_path: Path) -> None:
    options = FOR_GPUS | {"precision": precision}
    with pytest.raises(UserError, match=r"--optimize with --layout packed writes a file for GPUs, .* add --precision"):
        onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "made", **options)  # type: ignore[arg-type]


def test_the_twin_keeps_the_names_of_tensors(trained: Exported) -> None:
    """So where a conversion drifts can be looked for in it."""
    attention = [node.output[0] for node in onnx.load(trained.model).graph.node if node.op_type in GPU_ALONE]
    watch = half_watch(trained.model, attention)
    ids = np.array([[2, 9, 8, 3]])
    inputs = {"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0}
    assert {tensor.shape for tensor in watch(inputs, attention).values()} == {(4, 128)}
    assert np.isfinite(engine_run(trained)(inputs)["outputs"]).all()


@pytest.mark.skipif(cuda_here(), reason="there is a GPU")
def test_a_gpu_that_onnxruntime_does_not_get_is_a_sentence(trained: Exported) -> None:
    with pytest.raises(UserError, match="does not run on the GPU here: this model runs on a GPU, and onnxruntime"):
        gpu_run(trained.model)
