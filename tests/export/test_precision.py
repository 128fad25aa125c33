"""Half precision, 8 bits and fused layers, held to a trained model's answers; and what is said when they drift."""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import transformers
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from tbgen.cli.main import main
from tbgen.export.checkpoint.checkpoint import Checkpoint, checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, TensorSpec
from tbgen.export.onnx.export import check_graph, onnx_from_checkpoint, refuse_drift
from tbgen.export.parity.parity import Parity
from tbgen.export.precision.precision import PRECISIONS, converter, drop_doubles, fp32_nodes
from tbgen.export.tasks.model_kind import CLASSES
from tbgen.generator.presets import SAMPLES
from tests.export import checkpoints


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    """The bundled sample checkpoint."""
    return checkpoint_from_folder(SAMPLES / "kcbert")


@pytest.fixture(scope="module")
def made(
    request: pytest.FixtureRequest, trained: Checkpoint, held_out: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    """The sample in the precision that a test names, compared on sentences that it was not trained on."""
    folder = tmp_path_factory.mktemp("made") / request.param
    return onnx_from_checkpoint(trained, folder, precision=request.param, texts=held_out[:150])


def kinds(exported: Exported) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(str(exported.model)).graph.node)


def islands(exported: Exported) -> dict[str, set[str]]:
    """The operators that read FP16 numbers, and those that read FP32 numbers, casts left out."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(str(exported.model))).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    names = {onnx.TensorProto.FLOAT16: "fp16", onnx.TensorProto.FLOAT: "fp32"}
    found: dict[str, set[str]] = {"fp16": set(), "fp32": set()}
    for node in graph.node:
        for name in node.input:
            if types.get(name) in names and node.op_type != "Cast":
                found[names[types[name]]].add(node.op_type)
    return found


@pytest.mark.parametrize(("made", "bound"), [("fp16", 0.01), ("int8", 0.2)], indirect=["made"])
def test_a_trained_model_keeps_its_answers(made: Exported, bound: float) -> None:
    assert made.outputs == {"outputs": TensorSpec("float32", ("batch", 3))}
    assert made.parity["decisions"] == 157  # and odd texts
    assert made.parity["flips"] == 0
    assert made.parity["max_abs"] < bound
    assert made.parity["padding_abs"] < bound


@pytest.mark.parametrize("made", ["fp16", "int8"], indirect=True)
def test_the_same_bytes_twice(made: Exported, trained: Checkpoint, tmp_path: Path) -> None:
    precision = made.made.precision
    again = onnx_from_checkpoint(trained, tmp_path / "again", precision=precision, texts=["금리는 동결"])
    assert again.model.read_bytes() == made.model.read_bytes()


@pytest.mark.parametrize("made", ["fp16"], indirect=True)
def test_fp16_leaves_the_islands_in_fp32(made: Exported) -> None:
    found = islands(made)
    assert {"LayerNormalization", "Softmax", "Gemm"} <= found["fp32"]
    assert not {"LayerNormalization", "Softmax"} & found["fp16"]
    assert {"MatMul", "Gemm", "Add", "Erf"} <= found["fp16"]


@pytest.mark.parametrize("how", [{}, {"layout": "packed"}, {"optimize": True}], ids=["padded", "packed", "fused"])
def test_fp16_casts_a_tensor_once(how: dict[str, object], trained: Checkpoint, tmp_path: Path) -> None:
    made = onnx_from_checkpoint(trained, tmp_path / "made", precision="fp16", texts=["금리는 동결"], **how)  # type: ignore[arg-type]
    written = Counter(name for node in onnx.load(str(made.model)).graph.node for name in node.output)
    assert set(written.values()) == {1}
    assert made.parity["max_abs"] < 0.01


def test_casts_that_a_converter_made_twice_are_dropped() -> None:
    cast = onnx.helper.make_node("Cast", ["x"], ["x_cast_to_fp32"], to=onnx.TensorProto.FLOAT)
    readers = [onnx.helper.make_node("Exp", ["x_cast_to_fp32"], [name]) for name in "ab"]
    graph = onnx.helper.make_graph([readers[0], cast, readers[1], cast], "doubled", [], [])
    drop_doubles(graph)
    assert [node.op_type for node in graph.node] == ["Exp", "Exp", "Cast"]


def test_a_converter_that_fails_is_a_sentence() -> None:
    sentence = r"onnxruntime [\d.]+ cannot fuse layers \(KeyError: 'x'\); export without --optimize, or with another"
    with pytest.raises(UserError, match=sentence), converter("fuse layers", "without --optimize"):
        raise KeyError("x")


def test_a_graph_that_is_not_valid_is_a_sentence(tmp_path: Path) -> None:
    floats = onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, [1])
    twice = [onnx.helper.make_node("Exp", ["x"], ["a"]) for _ in range(2)]
    entry = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    model = onnx.helper.make_model(onnx.helper.make_graph(twice, "twice", [entry], [floats]))
    onnx.save(model, str(tmp_path / "model.onnx"))
    with pytest.raises(UserError, match=r"(?s)the graph is not valid \(.*single static assignment.*\); export with"):
        check_graph(tmp_path / "model.onnx")


@pytest.mark.parametrize("made", ["int8"], indirect=True)
def test_int8_has_a_scale_per_column_and_seven_bits(made: Exported) -> None:
    assert kinds(made)["MatMulInteger"] == 13
    tensors = onnx.load(str(made.model)).graph.initializer
    assert all(tensor.dims[0] > 1 for tensor in tensors if tensor.name.endswith("_scale"))
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in tensors if tensor.data_type == onnx.TensorProto.INT8]
    assert max(int(np.abs(weight.astype(int)).max()) for weight in weights) <= 64


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_fused_layers_keep_the_answers(
    precision: str, trained: Checkpoint, held_out: list[str], tmp_path: Path
) -> None:
    made = onnx_from_checkpoint(trained, tmp_path / "made", precision=precision, optimize=True, texts=held_out[:30])
    assert made.made.optimized
    found = kinds(made)
    assert found["Attention"] + found["QAttention"] == 2
    assert found["SkipLayerNormalization"] == 4
    assert made.parity["flips"] == 0


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "xlm-roberta", "electra"])
def test_families_that_can_be_fused(family: str, tmp_path: Path) -> None:
    folder = checkpoints.checkpoint(tmp_path / family, family)
    made = onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "made", optimize=True, tolerance=2e-5)
    assert kinds(made)["Attention"] == 2


def test_a_family_that_gains_nothing_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.checkpoint(tmp_path / "made", "modernbert")
    with pytest.raises(UserError, match="--optimize finds no attention layers in a modernbert graph; it serves bert, "):
        onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "exported", optimize=True)


def decided(folder: Path) -> Path:
    """A random checkpoint with one label far ahead: what is near a tie falls as the processor rounds."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    bias = next(bias for name, bias in model.named_parameters() if name.endswith("bias") and bias.shape == (3,))
    with torch.no_grad():
        bias.copy_(torch.tensor([0.0, 2.0, 0.0]))
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("family", "precision"),
    [
        ("roberta", "fp16"),
        ("albert", "fp16"),
        ("mpnet", "fp16"),
        ("deberta", "fp16"),
        ("deberta-v2", "fp16"),
        ("modernbert", "fp16"),
        ("roberta", "int8"),
        ("deberta-v2", "int8"),
        ("modernbert", "int8"),
    ],
)
def test_every_family_can_be_converted(family: str, precision: str, tmp_path: Path) -> None:
    folder = decided(checkpoints.checkpoint(tmp_path / family, family, initializer_range=0.1))
    made = onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "made", precision=precision)
    assert 1e-6 < made.parity["max_abs"] < {"fp16": 0.01, "int8": 0.3}[precision]


@pytest.mark.parametrize(
    ("auto", "settings"),
    [
        ("AutoModelForTokenClassification", {}),
        ("AutoModelForQuestionAnswering", {"id2label": {0: "a", 1: "b"}}),
        ("AutoModelForMaskedLM", {"initializer_range": 0.4}),
        ("AutoModel", {}),
    ],
)
def test_every_task_can_be_converted(auto: str, settings: dict[str, object], tmp_path: Path) -> None:
    folder = checkpoints.checkpoint(tmp_path / "bert", "bert", auto, **{"initializer_range": 0.2, **settings})
    exported = onnx_from_checkpoint(
        checkpoint_from_folder(folder), tmp_path / "made", precision="fp16", texts=["금리는 동결", "손절해야 하나요"]
    )
    assert {spec.dtype for spec in exported.outputs.values()} == {"float32"}


@pytest.fixture
def overflowing(tmp_path: Path) -> Path:
    """A checkpoint whose second layer has an activation beyond what half precision can hold."""
    folder = checkpoints.bert(tmp_path / "overflowing")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.bert.encoder.layer[1].intermediate.dense.bias[3] = 1e4
        model.bert.encoder.layer[1].output.dense.weight[:, 3] *= 1000
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def coarse(tmp_path: Path) -> Path:
    """The trained sample, the first layer's outputs so far apart that 16 bits overflow."""
    folder = Path(shutil.copytree(SAMPLES / "kcbert", tmp_path / "coarse"))
    weights = load_file(folder / "model.safetensors")
    for name in ("weight", "bias"):
        weights[f"bert.encoder.layer.0.output.dense.{name}"] *= 1e5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture
def loud(tmp_path: Path) -> Path:
    """The trained sample, two activations that nothing reads so loud that 8 bits have no steps left for the others."""
    return checkpoints.with_loud_activations(SAMPLES / "kcbert", tmp_path / "loud")


def test_an_overflow_is_refused_with_the_first_layer_that_drifts(overflowing: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        onnx_from_checkpoint(checkpoint_from_folder(overflowing), tmp_path / "made", precision="fp16", tolerance=0.2)
    assert "the tolerance is 0.2; nothing was written. It first drifts at /model/bert/" in caught.value.message
    first, _, cure = caught.value.message.partition("; it holds with: tbgen export onnx --precision fp16 --keep-fp32 ")
    assert "/model/bert/encoder/layer.1/output/dense/MatMul (nan)" in first
    assert cure == "/model/bert/encoder/layer.1/output/"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("precision", "layout", "kind"),
    [
        ("fp16", "padded", "coarse"),
        ("fp16", "packed", "coarse"),
        ("int8", "padded", "loud"),
        ("int8", "packed", "loud"),
    ],
)
def test_the_command_in_the_message_mends_it(
    precision: str, layout: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    coarse = request.getfixturevalue(kind)
    asked = [
        "--source",
        str(coarse),
        "--output",
        str(tmp_path / "made 1"),
        "--precision",
        precision,
        "--layout",
        layout,
    ]
    refused = CliRunner().invoke(main, ["export", "onnx", *asked])
    assert refused.exit_code == 1
    words = shlex.split(refused.stderr.rpartition("; it holds with: tbgen ")[2])
    assert words[:8] == ["export", "onnx", *asked[:4], "--precision", precision]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    kept = {node.op_type for node in onnx.load(tmp_path / "made 1" / "model.onnx").graph.node}
    assert "MatMulInteger" in kept if precision == "int8" else "Cast" in kept


def test_a_drift_that_no_layer_makes_is_said(overflowing: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no list of layers kept in FP32 mends that"):
        onnx_from_checkpoint(checkpoint_from_folder(overflowing), tmp_path / "made", precision="fp16", tolerance=0.0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"precision": "bf16"}, r"no precision 'bf16'\. Precisions: fp16, fp32, int8"),
        ({"precision": "fp16", "keep_fp32": ["layer.9"]}, "no node's name begins with 'layer.9'; they look like '/"),
    ],
)
def test_refuses_what_there_is_not(bert: Path, settings: dict[str, object], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "made", **settings)  # type: ignore[arg-type]


def test_too_many_flips_are_refused() -> None:
    found = Parity(texts=100, max_abs=0.01, mean_abs=0.001, decisions=100, flips=1, padding_abs=0.0)
    with pytest.raises(UserError, match=r"1 of 100 decisions differ from PyTorch's, 0\.9900 agree and 0\.995 must"):
        refuse_drift(found, PRECISIONS["int8"], lambda: "")


def test_padding_that_moves_answers_is_refused() -> None:
    found = Parity(texts=100, max_abs=0.0, mean_abs=0.0, decisions=100, flips=0, padding_abs=0.5)
    with pytest.raises(UserError, match=r"padding moves a logit by 0\.5, the tolerance is 0\.0001; nothing"):
        refuse_drift(found, PRECISIONS["fp32"], lambda: "")


def test_the_mask_stays_in_fp32(exported: Exported) -> None:
    nodes = fp32_nodes(onnx.load(str(exported.model)).graph, CLASSES)
    assert {"/Cast", "/Sub", "/Mul", "/model/classifier/Gemm"} <= nodes
    assert "/model/bert/encoder/layer.0/attention/self/Add" in nodes
    assert "/model/bert/encoder/layer.0/attention/self/query/MatMul" not in nodes
