"""Every encoder family, with its kind of tokenizer, at every shape; and every task on one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tbgen.export.checkpoint import checkpoint_from_folder
from tbgen.export.exported import Exported, TensorSpec
from tbgen.export.onnx import onnx_from_checkpoint
from tbgen.export.parity import torch_run
from tbgen.export.run import onnx_run
from tbgen.export.tasks import FAMILIES
from tests.export import checkpoints

INPUTS = {
    "bert": ["input_ids", "attention_mask", "token_type_ids"],
    "distilbert": ["input_ids", "attention_mask"],
    "roberta": ["input_ids", "attention_mask"],
    "xlm-roberta": ["input_ids", "attention_mask"],
    "camembert": ["input_ids", "attention_mask"],
    "electra": ["input_ids", "attention_mask", "token_type_ids"],
    "albert": ["input_ids", "attention_mask", "token_type_ids"],
    "mpnet": ["input_ids", "attention_mask"],
    "deberta": ["input_ids", "attention_mask"],
    "deberta-v2": ["input_ids", "attention_mask"],
    "modernbert": ["input_ids", "attention_mask"],
}


def test_every_family_is_tried() -> None:
    assert set(INPUTS) == set(FAMILIES) == set(checkpoints.FAMILIES)


@pytest.mark.parametrize("family", INPUTS)
def test_a_family_answers_as_in_pytorch(family: str, tmp_path: Path) -> None:
    checkpoint = checkpoint_from_folder(checkpoints.checkpoint(tmp_path / family, family))
    exported = onnx_from_checkpoint(checkpoint, tmp_path / "made")
    assert list(exported.inputs) == INPUTS[family]
    assert exported.max_length == 40
    assert exported.parity["max_abs"] < 2e-5
    assert exported.parity["padding_abs"] < 2e-5
    reference, engine = torch_run(checkpoint), onnx_run(exported.model)
    for batch, length in [(1, 3), (2, 17), (3, 40), (5, 16)]:
        inputs = random_inputs(exported, batch, length)
        np.testing.assert_allclose(engine(inputs)["outputs"], reference(inputs)["outputs"], atol=5e-5, rtol=0)


def random_inputs(exported: Exported, batch: int, length: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(length)
    mask = (np.arange(length) < random.integers(2, length + 1, (batch, 1))).astype(np.int64)
    ids = np.where(mask, random.integers(5, 90, (batch, length)), exported.pad_id)
    tensors = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2 * mask}
    return {name: tensors[name] for name in exported.inputs}


@pytest.mark.parametrize(
    ("auto", "task", "heads", "outputs"),
    [
        ("AutoModelForTokenClassification", "token-classification", {}, {"outputs": ("batch", "sequence", 3)}),
        ("AutoModelForMaskedLM", "fill-mask", {}, {"outputs": ("batch", "sequence", 231)}),
        ("AutoModel", "embedding", {}, {"outputs": ("batch", "sequence", 32)}),
        (
            "AutoModelForQuestionAnswering",
            "question-answering",
            {"id2label": {0: "start", 1: "end"}},
            {"start_logits": ("batch", "sequence"), "end_logits": ("batch", "sequence")},
        ),
    ],
)
def test_a_task_is_read_from_the_architecture(
    auto: str, task: str, heads: dict[str, object], outputs: dict[str, tuple[object, ...]], tmp_path: Path
) -> None:
    checkpoint = checkpoint_from_folder(checkpoints.checkpoint(tmp_path / "made", "bert", auto, **heads))
    exported = onnx_from_checkpoint(checkpoint, tmp_path / "exported")
    assert exported.task == task
    assert exported.outputs == {name: TensorSpec("float32", shape) for name, shape in outputs.items()}  # type: ignore[arg-type]
    assert exported.parity["max_abs"] < 2e-5
    assert exported.parity["flips"] == 0


@pytest.mark.parametrize(
    ("settings", "problem", "labels"),
    [
        ({}, "single_label_classification", ("부정", "중립", "긍정")),
        ({"problem_type": "multi_label_classification"}, "multi_label_classification", ("부정", "중립", "긍정")),
        ({"id2label": {0: "score"}, "problem_type": "regression"}, "regression", ("score",)),
        ({"id2label": {0: "spam"}}, "multi_label_classification", ("spam",)),  # as the pipeline of transformers
    ],
)
def test_what_the_classes_mean(
    settings: dict[str, object], problem: str, labels: tuple[str, ...], tmp_path: Path
) -> None:
    exported = onnx_from_checkpoint(
        checkpoint_from_folder(checkpoints.bert(tmp_path / "made", **settings)), tmp_path / "exported"
    )
    assert (exported.problem, exported.labels) == (problem, labels)


def test_a_pair_task_is_compared_on_pairs(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "made", id2label={0: "score"})
    exported = onnx_from_checkpoint(checkpoint_from_folder(folder, task="rerank"), tmp_path / "exported")
    assert exported.task == "rerank"
    assert exported.parity["max_abs"] < 2e-5


def test_hidden_states_come_from_any_head(bert: Path, tmp_path: Path) -> None:
    exported = onnx_from_checkpoint(checkpoint_from_folder(bert, task="embedding"), tmp_path / "exported")
    assert exported.outputs == {"outputs": TensorSpec("float32", ("batch", "sequence", 32))}
    assert exported.labels == ()
