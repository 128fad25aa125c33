"""Each task's head beside what config.json says of its outputs: it fits, or a sentence says so before the export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.checkpoint.pytorch import model_from_checkpoint
from tbgen.export.errors import UserError
from tbgen.export.onnx.export import expected_export, onnx_from_checkpoint
from tbgen.export.tasks.table import TASKS, model_of
from tests.export import checkpoints
from tests.export.test_checkpoint import change

ONE, TWO = {"0": "score"}, {"0": "entailment", "1": "other"}
THREE = {"0": "entailment", "1": "neutral", "2": "contradiction"}
NAMELESS = {"0": "a", "1": "b", "2": "c"}
OTHERS = ("embedding", "similarity", "fill-mask", "sparse-embedding")
SPANS = r"two outputs a token, .* config.json says {} \({}.*\): if the weights have two, take num_labels, id2label and"
# task, id2label that the checkpoint was saved with, the sentence; None where the head can serve it
ROWS: list[tuple[str, dict[str, str], str | None]] = [
    *(("text-classification", classes, None) for classes in (ONE, TWO, THREE)),
    *(("token-classification", classes, None) for classes in (ONE, TWO, THREE)),
    *((task, classes, None) for task in OTHERS for classes in (ONE, THREE)),
    ("rerank", ONE, None),
    ("rerank", TWO, r"one output, this one has 2 \(entailment, other\); serve it with --task text-classification"),
    ("rerank", THREE, "one output, this one has 3"),
    ("zero-shot-classification", TWO, None),
    ("zero-shot-classification", THREE, None),
    ("zero-shot-classification", ONE, "a class that begins with 'entail', this checkpoint has score; name its classes"),
    ("zero-shot-classification", NAMELESS, "a class that begins with 'entail', this checkpoint has a, b, c"),
    ("question-answering", TWO, None),
    ("question-answering", ONE, "config.json says problem_type|" + SPANS.format(1, "score")),
    ("question-answering", THREE, SPANS.format(3, "entailment, neutral")),
]


def folder_of(folder: Path, task: str, classes: dict[str, str]) -> Path:
    """A random BERT with the head of a task, and as many outputs as there are classes where that is its width."""
    kept = TWO if task == "question-answering" else classes  # transformers builds no other
    made = checkpoints.checkpoint(folder, "bert", model_of(task).auto, id2label={int(k): v for k, v in kept.items()})
    change(made, id2label=classes, label2id={label: int(number) for number, label in classes.items()})
    return made


def test_every_task_is_here() -> None:
    assert {row[0] for row in ROWS} == {name for name, task in TASKS.items() if task.model}


@pytest.mark.parametrize(("task", "classes", "sentence"), ROWS)
def test_a_head_fits_its_classes_or_is_refused(
    task: str, classes: dict[str, str], sentence: str | None, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "made", task, classes)
    if sentence is None:
        assert model_from_checkpoint(checkpoint_from_folder(folder, task=task))
        return
    (tmp_path / "expected").mkdir()
    with pytest.raises(UserError, match=sentence):
        TASKS[task].head(expected_export(checkpoint_from_folder(folder, task=task), tmp_path / "expected"), {})


# what config.json says beside weights of three classes, for each task with classes
WIDTHS: list[tuple[dict[str, Any], str]] = [
    (
        {"id2label": TWO},
        r"as \[3(, 32)?\], config.json makes it \[2.*; its id2label must name 3 labels, not 2 \(entail",
    ),
    ({"id2label": None}, r"its id2label must name 3 labels, not 2 \(LABEL_0, LABEL_1\)"),
    ({"id2label": None, "num_labels": 4}, r"its id2label must name 3 labels, not 4 \(LABEL_0, "),
    ({"id2label": THREE, "num_labels": 2}, "says num_labels: 2, its id2label has 3"),
    ({"id2label": None, "num_labels": 0}, "says num_labels: 0; it must be a whole number from 1 on"),
    ({"id2label": {}}, r"says id2label: \{\}; it must be an object of the classes by number"),
]


@pytest.mark.parametrize(("settings", "sentence"), WIDTHS)
@pytest.mark.parametrize("task", ["text-classification", "token-classification"])
def test_classes_that_the_weights_have_not_are_refused(
    task: str, settings: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "made", task, THREE)
    change(folder, **settings)
    with pytest.raises(UserError, match=sentence):
        model_from_checkpoint(checkpoint_from_folder(folder))


@pytest.mark.parametrize(
    ("saved", "task", "sentence"),
    [
        ("embedding", "fill-mask", "task 'fill-mask' needs a checkpoint ForMaskedLM, this one is BertModel"),
        (
            "fill-mask",
            "question-answering",
            "needs a checkpoint ForQuestionAnswering, this one is BertForMaskedLM; it can do: embedding, fill-mask, "
            "similarity, sparse-embedding",
        ),
        ("embedding", "rerank", "needs a checkpoint ForSequenceClassification, this one is BertModel"),
    ],
)
def test_a_head_that_was_not_saved_is_refused(saved: str, task: str, sentence: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "made", saved, TWO)
    with pytest.raises(UserError, match=sentence):
        checkpoint_from_folder(folder, task=task)


@pytest.mark.parametrize(
    "task", [name for name, task in TASKS.items() if task.model and model_of(name).width != "hidden"]
)
def test_a_head_that_config_json_promises_and_the_weights_lack_is_refused(task: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "made", "embedding", ONE if task == "rerank" else TWO)
    change(folder, architectures=[f"Bert{model_of(task).architecture}"])
    with pytest.raises(UserError, match=f"the weights lack .*, which task '{task}' needs"):
        model_from_checkpoint(checkpoint_from_folder(folder, task=task))


def test_vectors_of_an_odd_width_are_exported(tmp_path: Path) -> None:
    folder = checkpoints.checkpoint(tmp_path / "made", "bert", "AutoModel", hidden_size=33, num_attention_heads=3)
    exported = onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "exported")
    assert exported.outputs["outputs"].shape[-1] == 33


def test_a_base_of_another_head_gives_a_state_dict_its_shape_alone(tmp_path: Path) -> None:
    import torch

    from tbgen.export.sources import checkpoint_from_state

    folder = folder_of(tmp_path / "made", "question-answering", TWO)
    state = model_from_checkpoint(checkpoint_from_folder(folder)).state_dict()
    torch.save(state, tmp_path / "model.pt")
    base = folder_of(tmp_path / "base", "text-classification", THREE)
    made = checkpoint_from_state(folder, tmp_path / "model.pt", base=str(base), task="question-answering")
    assert model_from_checkpoint(made).num_labels == 2
