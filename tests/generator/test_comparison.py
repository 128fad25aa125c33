"""Before anything is written, staged answers are held against those of the library that wrote the checkpoint."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.parity.library import Library, refuse_other_ids
from tbgen.export.parity.sentences import gate_texts
from tbgen.generator.compare.example import folder_example
from tbgen.generator.compare.judge import (
    answers_for,
    distances,
    expected_answers,
    is_flip,
    judgement,
    refuse_other_answers,
)
from tbgen.generator.compare.library_answers import Answer
from tbgen.generator.local.models import LocalModels
from tbgen.generator.presets import SAMPLES
from tbgen.generator.scaffold import Request, Scaffolded, scaffold
from tests.export.checkpoints import bert, checkpoint, save_tokenizer, wordpiece
from tests.export.sentence_folders import bi_encoder, change

HEADS = {
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "fill-mask": "AutoModelForMaskedLM",
    "sparse-embedding": "AutoModelForMaskedLM",
    "embedding": "AutoModel",
    "similarity": "AutoModel",
}


def written(folder: Path, source: Path, **asked: object) -> Scaffolded:
    return scaffold(Request("mine", source, **{"vendor": False, **asked}), folder)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", HEADS)
def test_each_task_is_held_against_its_library(task: str, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", "bert", HEADS[task])
    found = written(tmp_path / "models", source, task=task).comparison.judgements
    assert found.keys() == set(written(tmp_path / "again", source, task=task).fronts)
    assert all(each.library == "transformers" and each.items and each.max_abs < 1e-4 for each in found.values())


@pytest.mark.parametrize(
    ("task", "labels"), [("rerank", ["score"]), ("zero-shot-classification", ["contradiction", "entailment"])]
)
def test_tasks_with_several_rows_an_item_are(task: str, labels: list[str], tmp_path: Path) -> None:
    source = bert(tmp_path / "checkpoint", id2label=dict(enumerate(labels)))
    (found,) = written(tmp_path / "models", source, task=task, graph="bls").comparison.judgements.values()
    assert (found.flips, found.max_abs < 1e-4) == (0, True)


def test_a_mask_is_asked_for_at_the_end_that_is_read(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", "bert", HEADS["fill-mask"])
    file = source / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {"truncation_side": "left"}), encoding="utf-8")
    made = written(tmp_path / "models", source, graph="bls")
    (found,) = made.comparison.judgements.values()
    assert (found.items > 0, found.max_abs < 1e-4) == (True, True)
    (example,) = folder_example(made.repository / "mine_onnx_bls").values()
    assert example.endswith(" [MASK]")


def test_sentence_transformers_is_asked_where_it_wrote_the_folder(tmp_path: Path) -> None:
    source = bi_encoder(tmp_path / "checkpoint", ("Pooling", {"embedding_dimension": 32, "pooling_mode": "mean"}))
    found = written(tmp_path / "models", source).comparison.judgements
    assert {each.library for each in found.values()} == {"sentence-transformers"}


POOL = ("Pooling", {"embedding_dimension": 32, "pooling_mode": "mean"})


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_weights_saved_in_half_precision_are_asked_for_in_full(kind: torch.dtype, tmp_path: Path) -> None:
    source = bi_encoder(tmp_path / "checkpoint", POOL)
    weights = {name: tensor.to(kind) for name, tensor in load_file(source / "model.safetensors").items()}
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    change(source / "config.json", {"dtype": str(kind).removeprefix("torch.")})
    (found,) = written(tmp_path / "models", source, graph="bls").comparison.judgements.values()
    assert (found.library, found.max_abs < 1e-4) == ("sentence-transformers", True)


@pytest.mark.parametrize("text", [{"max_seq_length": 999}, {"processing_kwargs": {"text": {"padding": "max_length"}}}])
def test_texts_without_positions_and_padding_are_not_asked_for(text: dict[str, object], tmp_path: Path) -> None:
    source = bi_encoder(tmp_path / "checkpoint", POOL)
    change(source / "sentence_bert_config.json", text)
    (found,) = written(tmp_path / "models", source, graph="bls").comparison.judgements.values()
    assert found.max_abs < 1e-4


def test_a_pair_has_no_types_where_the_model_has_one(tmp_path: Path) -> None:
    """As in KLUE's RoBERTa, which has BERT's tokenizer: transformers fails on the types of a pair."""
    settings = {"id2label": {0: "contradiction", 1: "entailment"}, "vocab_size": 400, "pad_token_id": 0}
    source = checkpoint(tmp_path / "checkpoint", "roberta", **settings)
    save_tokenizer(wordpiece(), source)
    made = written(tmp_path / "models", source, task="zero-shot-classification", graph="bls")
    assert made.comparison.judgements["mine_onnx_bls"].max_abs < 1e-4


def test_steps_and_options_of_ones_own_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(
        "class Shout:\n"
        '    inputs = outputs = {"input_text": ("TYPE_STRING", [1])}\n'
        "    def __init__(self, folder):\n        pass\n"
        '    def __call__(self, input_text):\n        return {"input_text": input_text + "!"}\n',
        encoding="utf-8",
    )
    asked = {"pre": (f"{tmp_path / 'shout.py'}:Shout",), "options": ("pair=true", "top_k=1"), "long_text": "windows"}
    made = written(tmp_path / "models", bert(tmp_path / "checkpoint"), graph="bls", **asked)
    assert made.comparison.judgements["mine_onnx_bls"].max_abs < 1e-4
    assert (made.repository / "mine_onnx_bls" / "1" / "shout.py").is_file()


def test_a_reading_of_ones_own_is_found_out(sample_repository: Path, tmp_path: Path) -> None:
    """What the gate is for: the models read capitals as small letters, which transformers does not."""
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    for file in repository.glob("*/1/tokenizer.json"):
        tokenizer = json.loads(file.read_text(encoding="utf-8"))
        tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, tokenizer["normalizer"]]}
        file.write_text(json.dumps(tokenizer), encoding="utf-8")
    library = Library(checkpoint_from_folder(SAMPLES / "kcbert"))
    row = answers_for("text-classification", pair=False)
    assert row is not None
    expected = expected_answers(row, library, gate_texts(None, [], 300))
    with LocalModels(repository) as models:
        found = judgement(row, library.name, expected, lambda tensors: models.infer("kcbert_onnx_bls", tensors))
    with pytest.raises(UserError, match=r"of mine differ by .* from those of transformers .* for 'Berlin Café IS"):
        refuse_other_answers(found, "mine", 1e-4, 1.0)


def test_what_no_library_answers_says_so(sample_export: Path, tmp_path: Path) -> None:
    said = written(tmp_path / "models", sample_export).comparison.why_not
    command = f"tbgen verify mine -r {tmp_path / 'models'} --source CHECKPOINT"
    assert said.startswith(f"an export was compared when it was made; {command}")
    source = checkpoint(tmp_path / "qa", "bert", "AutoModelForQuestionAnswering", id2label={0: "a", 1: "b"})
    said = written(tmp_path / "answers", source, graph="bls").comparison.why_not
    assert said == "transformers has no pipeline for question-answering: its logits were compared, not its answers"


def test_a_missing_library_is_named_and_never_counts(tmp_path: Path) -> None:
    bi_encoder(tmp_path / "checkpoint", ("Pooling", {"embedding_dimension": 32, "pooling_mode": "mean"}))
    without = (
        "import sys; sys.modules['sentence_transformers'] = None; from tbgen.cli.main import main; "
        "main(['scaffold', 'mine', '--source', 'checkpoint', '--no-vendor'], prog_name='tbgen')"
    )
    done = subprocess.run([sys.executable, "-c", without], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stderr.replace("\n", " ")
    assert "Sentence-transformers was not asked: sentence_transformers is not installed; it comes with: pip" in said
    assert "against sentence-transformers" not in said


def test_numbers_as_good_as_even_may_change_places() -> None:
    want = Answer({"a": 0.50004, "b": 0.49996})
    assert not is_flip(want, Answer({"a": 0.49998, "b": 0.50002}), 1e-4)
    assert is_flip(Answer({"a": 0.6, "b": 0.4}), Answer({"a": 0.4, "b": 0.6}), 1e-4)


def test_what_a_cut_list_leaves_out_is_not_larger_than_what_it_names() -> None:
    want, have = Answer({"a": 0.5, "b": 0.2}, cut=True), Answer({"a": 0.5, "c": 0.2}, cut=True)
    assert distances(want, have).max() == 0
    assert distances(Answer({"a": 0.5, "b": 0.4}, cut=True), have).max() == pytest.approx(0.2)


def test_what_is_not_there_or_no_number_never_holds() -> None:
    assert distances(Answer({"a": 1.0}), Answer({})).max() == np.inf
    assert distances(Answer({"a": 1.0}), Answer({"a": float("nan")})).max() == np.inf
    assert distances(Answer({"a": 1.0}, absent=0.0), Answer({}, absent=0.0)).max() == 1.0


def test_slow_files_are_read_as_their_classes_read_them_and_it_is_said(tmp_path: Path) -> None:
    source = bert(tmp_path / "checkpoint")
    vocabulary = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    (source / "tokenizer.json").unlink()
    (source / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)) + "\n", encoding="utf-8")
    (source / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}', encoding="utf-8")
    found = written(tmp_path / "models", source).comparison
    assert {each.flips for each in found.judgements.values()} == {0}
    assert found.note.startswith("the tokenizer was made of slow files, as the classes of transformers 4 read them")


def test_other_token_ids_are_named_with_what_the_file_has_otherwise(tmp_path: Path) -> None:
    """As an export made before a setting was read: its tokenizer.json keeps capitals, the checkpoint's files do not."""
    source = bert(tmp_path / "checkpoint")
    file = tmp_path / "tokenizer.json"
    shutil.copyfile(source / "tokenizer.json", file)
    settings = source / "tokenizer_config.json"
    asked = json.loads(settings.read_text(encoding="utf-8")) | {"tokenizer_class": "BertTokenizer"}
    settings.write_text(json.dumps(asked | {"do_lower_case": True, "strip_accents": False}), encoding="utf-8")
    library = Library(checkpoint_from_folder(source))
    kept = Tokenizer.from_file(str(file))
    with pytest.raises(UserError, match=r"other ids for 'THE shares': from token 1 .*json differs in .*normalizer"):
        refuse_other_ids(library, lambda text: kept.encode(text).ids, ["금리", "THE shares"], file)
