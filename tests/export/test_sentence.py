"""sentence-transformers folders: modules read into the record, and into the graph where linear layers follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.exported import TensorSpec, exported_from_folder
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.parity.parity import Encoder
from tbgen.export.run import onnx_run
from tests.export import checkpoints

TEXTS = ["오늘도 상한가 갔다", "금리", "the shares rose at once"]


def sentence_folder(folder: Path, pooling: dict[str, Any], *modules: str, transformer: str = "") -> Path:
    """A folder as sentence-transformers saves it: a random BERT, then Pooling, then the named modules."""
    checkpoints.checkpoint(folder / transformer, "bert", "AutoModel")
    write(folder / transformer / "sentence_bert_config.json", {"max_seq_length": 24, "do_lower_case": False})
    write(
        folder / "config_sentence_transformers.json", {"prompts": {"query": "질문: "}, "default_prompt_name": "query"}
    )
    rows = [
        ("Transformer", transformer),
        ("Pooling", "1_Pooling"),
        *((name, f"{i}_{name}") for i, name in enumerate(modules, 2)),
    ]
    chain = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
        for i, (name, path) in enumerate(rows)
    ]
    write(folder / "modules.json", chain)
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, **pooling})
    for i, name in enumerate(modules, 2):
        if name == "Dense":
            dense(folder / f"{i}_Dense", "torch.nn.modules.activation.Tanh")
    return folder


def dense(folder: Path, activation: str) -> None:
    write(
        folder / "config.json", {"in_features": 32, "out_features": 8, "bias": True, "activation_function": activation}
    )
    torch.manual_seed(1)
    save_file({"linear.weight": torch.randn(8, 32), "linear.bias": torch.randn(8)}, folder / "model.safetensors")


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}


def test_hidden_states_leave_the_graph_and_the_record_says_how_to_pool(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path / "made", MEAN, "Normalize")
    exported = onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "exported")
    assert exported.task == "embedding"
    assert exported.max_length == 24
    assert exported.outputs == {"outputs": TensorSpec("float32", ("batch", "sequence", 32))}
    assert exported_from_folder(exported.folder).sentence == {
        "pooling": "mean",
        "pooled": False,
        "normalize": True,
        "prompts": {"query": "질문: "},
        "prompt": "query",
    }


@pytest.mark.parametrize(
    ("pooling", "mode"),
    [
        (MEAN, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False}, "max"),
        ({"pooling_mode_lasttoken": True}, "lasttoken"),
        ({"pooling_mode": "cls"}, "cls"),
    ],
)
def test_linear_layers_bring_the_pooling_into_the_graph(pooling: dict[str, Any], mode: str, tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path / "made", pooling, "Dense", "Normalize")
    exported = onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "exported")
    assert exported.outputs == {"outputs": TensorSpec("float32", ("batch", 8))}
    assert exported.sentence["pooled"]
    inputs = Encoder(exported)(TEXTS)
    np.testing.assert_allclose(onnx_run(exported.model)(inputs)["outputs"], by_hand(folder, inputs, mode), atol=1e-5)


def by_hand(folder: Path, inputs: dict[str, np.ndarray], mode: str) -> np.ndarray:
    """Pooling and the linear layer in numpy, text by text, on transformers' hidden states."""
    from transformers import AutoModel

    layer = torch.manual_seed(1) and (torch.randn(8, 32).numpy(), torch.randn(8).numpy())
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder)(**{name: torch.tensor(value) for name, value in inputs.items()})[0]
    rows = []
    for state, mask in zip(states.numpy(), inputs["attention_mask"], strict=True):
        real = state[: mask.sum()]
        pooled = {"mean": real.mean(0), "cls": real[0], "max": real.max(0), "lasttoken": real[-1]}[mode]
        rows.append(np.tanh(layer[0] @ pooled + layer[1]))
    return np.array(rows)


def test_the_transformer_may_have_a_folder_of_its_own(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path / "made", MEAN, transformer="0_Transformer")
    checkpoint = checkpoint_from_folder(folder)
    assert checkpoint.folder == folder / "0_Transformer"
    assert checkpoint.sentence is not None
    assert not checkpoint.sentence.normalize


@pytest.mark.parametrize(
    ("pooling", "modules", "sentence"),
    [
        (
            MEAN,
            ("LSTM",),
            "has the modules Transformer, Pooling, LSTM; tbgen serves Transformer, Pooling, then Dense, ",
        ),
        (MEAN, ("Dense", "CNN"), "has the modules Transformer, Pooling, Dense, CNN"),
        (MEAN, ("WordWeights",), "has the modules Transformer, Pooling, WordWeights"),
        ({"pooling_mode": ["cls", "median"]}, (), r"pools by \['cls', 'median'\]; tbgen serves cls, mean, max"),
        ({"pooling_mode": []}, (), r"pools by \[\]; tbgen serves"),
        (
            {"pooling_mode_median": True},
            (),
            "has the key 'pooling_mode_median', which Pooling of sentence-transformers ",
        ),
    ],
)
def test_modules_it_cannot_serve_are_refused(
    pooling: dict[str, Any], modules: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        checkpoint_from_folder(sentence_folder(tmp_path / "made", pooling, *modules))


def test_an_activation_it_has_not_is_refused(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path / "made", MEAN, "Dense")
    dense(folder / "2_Dense", "my.package.Swish")
    with pytest.raises(UserError, match="has the activation 'Swish'; tbgen serves Identity, Tanh, "):
        checkpoint_from_folder(folder)


def splade_folder(folder: Path, **pooling: str) -> Path:
    checkpoints.checkpoint(folder, "bert", "AutoModelForMaskedLM")
    kinds = {"MLMTransformer": "", "SpladePooling": "1_SpladePooling"}
    chain = [
        {
            "idx": number,
            "name": str(number),
            "path": path,
            "type": f"sentence_transformers.sparse_encoder.models.{kind}",
        }
        for number, (kind, path) in enumerate(kinds.items())
    ]
    write(folder / "modules.json", chain)
    write(folder / "1_SpladePooling" / "config.json", {"word_embedding_dimension": 345, **pooling})
    return folder


def test_a_splade_folder_is_for_sparse_embeddings(tmp_path: Path) -> None:
    folder = splade_folder(tmp_path / "made", pooling_strategy="max", activation_function="log1p_relu")
    checkpoint = checkpoint_from_folder(folder)
    exported = onnx_from_checkpoint(checkpoint, tmp_path / "exported", texts=TEXTS)
    assert exported.task == "sparse-embedding"
    assert exported.outputs == {
        "outputs": TensorSpec("float32", ("batch", "sequence", checkpoint.config["vocab_size"]))
    }
    assert (exported.sentence["pooling"], exported.sentence["activation"]) == ("max", "log1p_relu")


def test_a_splade_folder_with_another_pooling_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pools by 'mean'; tbgen serves max, sum"):
        checkpoint_from_folder(splade_folder(tmp_path / "made", pooling_strategy="mean"))


def test_layers_behind_the_transformer_stay_in_fp32(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path / "made", MEAN, "Normalize", "Dense", "Normalize")
    asked = {"precision": "fp16", "texts": TEXTS}  # few: random vectors have near neighbours
    exported = onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "exported", **asked)
    graph = onnx.load(exported.model).graph
    half = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    behind = [node for node in graph.node if node.name.startswith("/model/behind.")]
    assert half
    assert {node.op_type for node in behind} >= {"Tanh", "ReduceL2"}
    assert not half & {name for node in behind for name in node.input}
