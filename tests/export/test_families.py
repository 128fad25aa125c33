"""Every encoder family, with its kind of tokenizer, at every shape; and every task on one of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tbgen.export.checkpoint.checkpoint import Checkpoint, checkpoint_from_folder
from tbgen.export.exported import Exported, TensorSpec
from tbgen.export.families import FAMILIES, positions_of
from tbgen.export.layout import LAYOUTS, PACKED, PADDED
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.onnx.fusion import FUSED
from tbgen.export.parity.parity import Encoder, torch_run
from tbgen.export.run import onnx_run
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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], tuple[Checkpoint, Exported]]:
    """Gives a family's checkpoint and its export in a layout, each made once."""
    folder = tmp_path_factory.mktemp("families")

    @cache
    def checkpoint(family: str) -> Checkpoint:
        return checkpoint_from_folder(checkpoints.checkpoint(folder / family, family))

    @cache
    def make(family: str, layout: str) -> tuple[Checkpoint, Exported]:
        read = checkpoint(family)
        return read, onnx_from_checkpoint(read, folder / f"{family}-{layout}", layout=layout)

    return make


def test_every_family_is_tried() -> None:
    assert set(INPUTS) == set(FAMILIES) == set(checkpoints.FAMILIES)


@pytest.mark.parametrize("family", INPUTS)
def test_a_family_answers_as_in_pytorch(family: str, made: Callable[..., tuple[Checkpoint, Exported]]) -> None:
    checkpoint, exported = made(family, PADDED)
    assert list(exported.inputs) == INPUTS[family]
    assert exported.max_length == 40
    assert exported.parity["max_abs"] < 2e-5
    assert exported.parity["padding_abs"] < 2e-5
    reference, engine = torch_run(checkpoint), onnx_run(exported.model)
    for batch, length in [(1, 3), (2, 17), (3, 40), (5, 16)]:
        inputs = random_inputs(exported, batch, length)
        np.testing.assert_allclose(engine(inputs)["outputs"], reference(inputs)["outputs"], atol=5e-5, rtol=0)


@pytest.mark.parametrize(("family", "layout"), [("roberta", PACKED), ("xlm-roberta", PADDED), ("camembert", PACKED)])
def test_a_pair_has_two_types_where_model_and_tokenizer_have_them(family: str, layout: str, tmp_path: Path) -> None:
    settings = {"type_vocab_size": 2, "vocab_size": 400, "pad_token_id": 0}
    folder = checkpoints.checkpoint(tmp_path / family, family, **settings)
    checkpoints.save_tokenizer(checkpoints.wordpiece(), folder)
    exported = onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "made", layout=layout)
    pairs = [("the bank rose", "금리는 동결"), ("", "the shares"), ("the shares rose at once", "")]
    theirs = transformers.AutoTokenizer.from_pretrained(folder)(pairs, padding=True, return_tensors="pt")
    assert theirs["token_type_ids"].sum() > 0
    with torch.no_grad():
        want = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()(**theirs).logits.numpy()
    have = onnx_run(exported.model)(Encoder(exported)(pairs))["outputs"]
    np.testing.assert_allclose(have, want, atol=5e-5, rtol=0)


def random_inputs(exported: Exported, batch: int, length: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(length)
    mask = (np.arange(length) < random.integers(2, length + 1, (batch, 1))).astype(np.int64)
    ids = np.where(mask, random.integers(5, 90, (batch, length)), exported.pad_id)
    tensors = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2 * mask}
    return {name: tensors[name] for name in exported.inputs}


EACH_LAYOUT = [
    (family, layout) for family, row in FAMILIES.items() for layout in LAYOUTS if row.encoder or layout == PADDED
]
ENDLESS = ("deberta-v2", "modernbert")  # they have no table of positions


@pytest.mark.parametrize(("family", "layout"), EACH_LAYOUT)
def test_special_tokens_in_a_text_are_read_as_in_pytorch(
    family: str, layout: str, made: Callable[..., tuple[Checkpoint, Exported]]
) -> None:
    checkpoint, exported = made(family, layout)
    tokens = (checkpoints.BERT_TOKENS if exported.pad_id == 0 else checkpoints.ROBERTA_TOKENS).values()
    texts = [f"the bank {token} rose" for token in tokens] + [f"{token}{token} bank" for token in tokens]
    inputs = Encoder(exported)([*texts, "the shares rose at once and the report was better"])
    assert ((inputs["input_ids"] == exported.pad_id) & (inputs["attention_mask"] == 1)).any()
    expected = torch_run(checkpoint)(inputs)["outputs"]
    np.testing.assert_allclose(onnx_run(exported.model)(inputs)["outputs"], expected, atol=5e-5, rtol=0)


@pytest.mark.parametrize(("family", "layout"), [*EACH_LAYOUT, *((name, "optimized") for name in FUSED)])
def test_masked_tokens_may_be_anywhere(
    family: str, layout: str, made: Callable[..., tuple[Checkpoint, Exported]], tmp_path: Path
) -> None:
    """Any id under any mask: padding among real tokens and before them, and other tokens that are masked."""
    checkpoint, exported = made(family, layout if layout in LAYOUTS else PADDED)
    if layout == "optimized":
        exported = onnx_from_checkpoint(checkpoint, tmp_path / "made", optimize=True)
    engine = onnx_run(exported.model)
    reference, random = torch_run(checkpoint), np.random.default_rng(0)
    ids = random.integers(0, 9, (8, 14))
    left, holes = np.arange(14) >= np.arange(8)[:, None], random.integers(0, 2, (8, 14))
    holes[:, random.integers(14)] = 1  # a row of no real token means nothing, in PyTorch either
    for mask in (left, holes, np.ones_like(ids)):
        tensors = {"input_ids": ids, "attention_mask": mask.astype(np.int64), "token_type_ids": ids % 2}
        inputs = {name: tensors[name] for name in checkpoint.inputs}
        np.testing.assert_allclose(engine(inputs)["outputs"], reference(inputs)["outputs"], atol=5e-5, rtol=0)


@pytest.mark.parametrize(
    ("family", "pad"),
    [
        *((name, 3 if row.padding_idx else 1) for name, row in FAMILIES.items()),
        *(("roberta", pad) for pad in (0, 1)),
        *(
            pytest.param(name, pad, marks=pytest.mark.long)
            for name, row in FAMILIES.items()
            for pad in (0, 1)
            if row.padding_idx and name != "roberta"
        ),
    ],
)
def test_a_text_may_be_as_long_as_pytorch_reads(family: str, pad: int, tmp_path: Path) -> None:
    """Of those with a table of positions; the others have no end, and are taken to what their tokenizer says."""
    folder = checkpoints.checkpoint(tmp_path / family, family, pad_token_id=pad)
    checkpoint = checkpoint_from_folder(folder)
    positions = positions_of(checkpoint.config)
    assert longest_read(checkpoint) in ({positions} if family not in ENDLESS else {None})
    with_length(folder, 512)
    positions = 512 if family in ENDLESS else positions
    for layout in (layout for name, layout in EACH_LAYOUT if name == family):
        exported = onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / layout, layout=layout)
        assert exported.max_length == positions
        inputs = random_inputs(exported, 2, positions)
        inputs["attention_mask"][:] = 1
        inputs["input_ids"][:] = 7
        expected = torch_run(checkpoint)(inputs)["outputs"]
        np.testing.assert_allclose(onnx_run(exported.model)(inputs)["outputs"], expected, atol=5e-5, rtol=0)


def longest_read(checkpoint: Checkpoint) -> int | None:
    """The most tokens that PyTorch reads, None where 100 are not too many."""
    run = torch_run(checkpoint)
    for length in range(30, 100):
        ids = np.full((1, length), 7)
        tensors = {"input_ids": ids, "attention_mask": ids // 7, "token_type_ids": ids * 0}
        try:
            run({name: tensors[name] for name in checkpoint.inputs})
        except (IndexError, RuntimeError):
            return length - 1
    return None


def with_length(folder: Path, length: int) -> None:
    """Let a checkpoint's tokenizer say how long a text may be."""
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**settings, "model_max_length": length}), encoding="utf-8")


@pytest.mark.parametrize(
    ("auto", "task", "heads", "outputs"),
    [
        ("AutoModelForTokenClassification", "token-classification", {}, {"outputs": ("batch", "sequence", 3)}),
        ("AutoModelForMaskedLM", "fill-mask", {}, {"outputs": ("batch", "sequence", 345)}),
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
