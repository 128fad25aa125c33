"""What a checkpoint's folder tells, and the sentence for each thing that it lacks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.families import inputs_of, positions_of


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


def change(folder: Path, **settings: object) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text(encoding="utf-8")), **settings}
    path.write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")


def test_reads_what_transformers_saved(bert: Path) -> None:
    checkpoint = checkpoint_from_folder(bert)
    assert checkpoint.task == "text-classification"
    assert checkpoint.labels == ("부정", "중립", "긍정")
    assert checkpoint.inputs == ("input_ids", "attention_mask", "token_type_ids")
    assert checkpoint.max_length == 40
    assert checkpoint.problem == "single_label_classification"
    assert [path.name for path in checkpoint.weights()] == ["model.safetensors"]


def test_labels_can_be_named(bert: Path) -> None:
    assert checkpoint_from_folder(bert, labels=["down", "flat", "up"]).labels == ("down", "flat", "up")


def test_the_tokenizers_limit_counts_when_it_is_smaller(copy: Path) -> None:
    (copy / "tokenizer_config.json").write_text('{"model_max_length": 30}', encoding="utf-8")
    assert checkpoint_from_folder(copy).max_length == 30


def test_labels_follow_their_numbers_not_their_place(copy: Path) -> None:
    change(copy, id2label={"10": "k", "9": "j", **{str(i): f"l{i}" for i in range(9)}})
    assert checkpoint_from_folder(copy).labels[-2:] == ("j", "k")


@pytest.mark.parametrize(
    ("config", "positions", "inputs"),
    [
        ({"model_type": "bert", "max_position_embeddings": 300}, 300, 3),
        ({"model_type": "distilbert", "max_position_embeddings": 512}, 512, 2),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1, "type_vocab_size": 1}, 512, 2),
        (
            {"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1, "type_vocab_size": 1},
            512,
            2,
        ),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1, "type_vocab_size": 2}, 512, 3),
        ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1}, 512, 2),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 0, "type_vocab_size": 1}, 513, 2),
        ({"model_type": "camembert", "max_position_embeddings": 514, "type_vocab_size": 1}, 512, 2),
        ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 0}, 512, 2),
        ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": None}, 512, 2),
        ({"model_type": "bert", "max_position_embeddings": 300, "pad_token_id": None}, 300, 3),
    ],
)
def test_families_differ_in_positions_and_inputs(config: dict[str, object], positions: int, inputs: int) -> None:
    assert positions_of(config) == positions
    assert len(inputs_of(config)) == inputs


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "camembert"])
@pytest.mark.parametrize(
    ("pad", "sentence"),
    [
        (None, "config.json has pad_token_id None, from which a .* counts its positions; write the id"),
        (513, "max_position_embeddings 514, and positions are counted from 513 .* on: none is left for a token"),
    ],
)
def test_positions_need_a_pad_token_to_count_from(family: str, pad: int | None, sentence: str) -> None:
    """PyTorch reads no text with such a config."""
    with pytest.raises(UserError, match=sentence):
        positions_of({"model_type": family, "max_position_embeddings": 514, "pad_token_id": pad})


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("config.json", "no config.json in"),
        (
            "tokenizer.json",
            r"no tokenizer\.json in .*, nor what one can be made of \(vocab.txt, vocab.json \+ merges.txt, ",
        ),
        ("model.safetensors", "no weights in .*looked for model.safetensors, "),
    ],
)
def test_says_what_is_missing(copy: Path, missing: str, sentence: str) -> None:
    (copy / missing).unlink()
    with pytest.raises(UserError, match=sentence):
        checkpoint_from_folder(copy)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"model_type": "gpt2"}, "no encoder family 'gpt2'. Encoder families: albert, bert, "),
        (
            {"architectures": ["BertForNextSentencePrediction"]},
            "no architecture of a known task .*name it with --task: embedding, ",
        ),
        ({"id2label": {"0": "a", "2": "b"}}, r"numbers \[0, 2\], not 0 to 1"),
        ({"id2label": {"0": "a", "1": "a"}}, "a label is there twice: a, a"),
    ],
)
def test_refuses_a_config_it_cannot_serve(copy: Path, settings: dict[str, object], sentence: str) -> None:
    change(copy, **settings)
    with pytest.raises(UserError, match=sentence):
        checkpoint_from_folder(copy)


def test_refuses_a_broken_config(copy: Path) -> None:
    (copy / "config.json").write_text('{"model_type": ', encoding="utf-8")
    with pytest.raises(UserError, match=r"config.json' is not JSON: Expecting value"):
        checkpoint_from_folder(copy)


def test_refuses_a_head_that_is_not_there(bert: Path) -> None:
    with pytest.raises(
        UserError, match="needs a checkpoint ForQuestionAnswering, this one is BertForSequenceClassification"
    ):
        checkpoint_from_folder(bert, task="question-answering")


def test_refuses_the_wrong_number_of_labels(bert: Path) -> None:
    with pytest.raises(UserError, match=r"2 labels were named \(a, b\), the checkpoint has 3 \(부정, 중립, 긍정\)"):
        checkpoint_from_folder(bert, labels=["a", "b"])


def test_refuses_a_task_that_nobody_knows(bert: Path) -> None:
    with pytest.raises(UserError, match=r"no task 'text-classify'\. Tasks: embedding, fill-mask, "):
        checkpoint_from_folder(bert, task="text-classify")
