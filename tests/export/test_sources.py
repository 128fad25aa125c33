"""Where checkpoints come from: state dicts, .bin weights, shards, the hub's cache, sentence-transformers folders."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tbgen.export.checkpoint.bases import BASES
from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.checkpoint.pytorch import model_from_checkpoint
from tbgen.export.errors import UserError
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.parity.parity import Encoder, torch_run
from tbgen.export.run import onnx_run
from tbgen.export.sources import checkpoint_from_source, checkpoint_from_state
from tests.export import checkpoints


@pytest.fixture
def pair(bert: Path, tmp_path: Path) -> tuple[Path, Path, str]:
    """The walk-through's pair, and the base's folder: a tokenizer's folder, a state dict's file, a config."""
    tokenizer, base, state = tmp_path / "tokenizer_model", tmp_path / "base", tmp_path / "model.pt"
    shutil.copytree(bert, tokenizer, ignore=shutil.ignore_patterns("config.json", "*.safetensors"))
    base.mkdir()
    config = json.loads((bert / "config.json").read_text(encoding="utf-8"))
    del config["id2label"], config["architectures"]
    (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.save(as_4_18_wrote_it(bert), state)
    return tokenizer, state, str(base)


def as_4_18_wrote_it(folder: Path) -> dict[str, torch.Tensor]:
    """A state dict with the buffer of positions, which 4.18 saved as well.

    4.18.0 itself wrote one of a like model: the same names, shapes and types, and its logits came out of the export.
    """
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    positions = model.config.max_position_embeddings
    return {"bert.embeddings.position_ids": torch.arange(positions).expand(1, -1), **model.state_dict()}


def test_a_state_dict_gives_the_checkpoints_answers(bert: Path, pair: tuple[Path, Path, str], tmp_path: Path) -> None:
    tokenizer, state, base = pair
    checkpoint = checkpoint_from_state(tokenizer, state, base=base, labels=["부정", "중립", "긍정"])
    exported = onnx_from_checkpoint(checkpoint, tmp_path / "made")
    assert exported.labels == ("부정", "중립", "긍정")
    assert list(exported.made.source) == ["model.pt"]
    inputs = Encoder(exported)(["오늘도 상한가 갔다", "금리"])
    want = torch_run(checkpoint_from_folder(bert))(inputs)["outputs"]
    np.testing.assert_allclose(onnx_run(exported.model)(inputs)["outputs"], want, atol=1e-5)


def test_a_label_count_gives_nameless_labels(pair: tuple[Path, Path, str]) -> None:
    tokenizer, state, base = pair
    made = checkpoint_from_state(tokenizer, state, base=base, label_count=3)
    assert made.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert made.explanation.startswith(
        "task text-classification, which a state dict does not tell and --task does (3 label"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda state: state.pop("classifier.bias"),
            "the weights lack classifier.bias, which task 'text-classification' needs$",
        ),
        (
            lambda state: state.update({"extra": torch.zeros(1)}),
            "holds extra, which the model has not; does --base name",
        ),
        (
            lambda state: [state.update({f"module.{name}": state.pop(name)}) for name in list(state)[1:]],
            r"holds module\.bert.* and \d+ more, which the model has not; and it lacks bert\.",
        ),
        (
            lambda state: [state.update({f"mine.{name}.2": state.pop(name)}) for name in list(state)],
            r"holds mine\.bert.* and \d+ more, which the model has not; and it lacks bert\.",
        ),
        (
            lambda state: (
                [state.update({f"base_model.model.{name}": state.pop(name)}) for name in list(state)]
                + [
                    state.update(
                        {"base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight": torch.ones(1)}
                    )
                ]
            ),
            r"lora_A.weight, which the model has not; it is a LoRA model: model.merge_and_unload\(\) first",
        ),
        (
            lambda state: state.update({"classifier.weight": torch.zeros(2, 32)}),
            r"hold 'classifier.weight' as \[2, 32\], the base makes it \[3, 32\]",
        ),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused(
    pair: tuple[Path, Path, str], tmp_path: Path, change: Any, sentence: str
) -> None:
    tokenizer, state, base = pair
    tensors = torch.load(state, weights_only=True)
    change(tensors)
    torch.save(tensors, state)
    with pytest.raises(UserError, match=sentence):
        onnx_from_checkpoint(checkpoint_from_state(tokenizer, state, base=base, label_count=3), tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda path: torch.save(torch.nn.Linear(2, 2), path), "holds no plain state dict; write it with torch.save"),
        (
            lambda path: torch.save(torch.nn.Linear(2, 2), path),
            r"it is a pickle with torch\.nn\.modules\.linear\.Linear in it, a whole model perhaps",
        ),
        (lambda path: torch.save({"epoch": 3}, path), "holds no dict of tensors; write it with torch.save"),
        (
            lambda path: torch.save({"epoch": 3, "state_dict": {"a": torch.ones(1)}}, path),
            r"but one under 'state_dict', beside epoch; write that: torch.save\(torch.load\('model.pt'\)\['state",
        ),
        (lambda path: path.write_bytes(b"not a pickle"), "holds no plain state dict"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "holds no plain state dict"),
        (lambda path: path.write_bytes(b""), "holds no plain state dict"),
        (lambda path: path.write_bytes(pickle.dumps({"epoch": 3})), "holds no plain state dict"),
    ],
)
def test_a_file_that_is_no_state_dict_is_refused(
    pair: tuple[Path, Path, str], tmp_path: Path, write: Any, sentence: str
) -> None:
    tokenizer, state, base = pair
    write(state)
    with pytest.raises(UserError, match=sentence):
        onnx_from_checkpoint(checkpoint_from_state(tokenizer, state, base=base, label_count=3), tmp_path / "made")


@pytest.mark.parametrize("before", ["module.", "_orig_mod.", "module._orig_mod.", "model.", "model.model."])
@pytest.mark.parametrize("form", ["state", "model.safetensors", "pytorch_model.bin"])
def test_what_a_wrapper_put_before_all_names_is_taken_off(
    bert: Path, pair: tuple[Path, Path, str], tmp_path: Path, before: str, form: str
) -> None:
    tokenizer, state, base = pair
    wrapped = {before + name: tensor for name, tensor in torch.load(state, weights_only=True).items()}
    if form == "state":
        torch.save(wrapped, state)
        checkpoint = checkpoint_from_state(tokenizer, state, base=base, label_count=3)
    else:
        folder = Path(shutil.copytree(bert, tmp_path / "wrapped", ignore=shutil.ignore_patterns("*.safetensors")))
        save = save_file if form.endswith("safetensors") else torch.save
        save({name: tensor.contiguous() for name, tensor in wrapped.items()}, folder / form)
        checkpoint = checkpoint_from_folder(folder)
    told: list[str] = []
    found = model_from_checkpoint(checkpoint, told.append)
    assert told == [f"taking {before!r} off the names of the weights"]
    want = transformers.AutoModelForSequenceClassification.from_pretrained(bert).state_dict()
    assert all(torch.equal(tensor, want[name]) for name, tensor in found.state_dict().items())


@pytest.mark.parametrize(
    ("family", "auto"),
    [("modernbert", "AutoModelForSequenceClassification"), ("modernbert", "AutoModel"), ("bert", "AutoModel")],
)
def test_a_prefix_of_the_models_own_is_no_wrapper(family: str, auto: str, tmp_path: Path) -> None:
    folder = checkpoints.checkpoint(tmp_path / "made", family, auto)
    told: list[str] = []
    for task in (None, "embedding"):
        model_from_checkpoint(checkpoint_from_folder(folder, task=task), told.append)
    assert told == []


def test_a_wrapper_is_written_down(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "wrapped"))
    save_file(
        {f"module.{name}": tensor for name, tensor in load_file(bert / "model.safetensors").items()},
        folder / "model.safetensors",
    )
    assert onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "made").made.taken_off == "module."


@pytest.mark.parametrize(
    ("name", "positions", "layers", "hidden"),
    [("beomi/kcbert-base", 300, 12, 768), ("beomi/kcbert-large", 300, 24, 1024)],
)
def test_the_walk_throughs_bases_are_known_without_a_hub(
    pair: tuple[Path, Path, str], name: str, positions: int, layers: int, hidden: int
) -> None:
    tokenizer, state, _ = pair
    (tokenizer / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    made = checkpoint_from_state(tokenizer, state, base=name, label_count=3)
    assert made.max_length == positions
    assert (made.config["num_hidden_layers"], made.config["hidden_size"]) == (layers, hidden)
    assert made.inputs == ("input_ids", "attention_mask", "token_type_ids")
    assert "id2label" not in BASES[name]


def test_an_unknown_base_is_refused(pair: tuple[Path, Path, str]) -> None:
    with pytest.raises(UserError, match="no base model 'beomi/kcbert'; known without a hub are beomi/kcbert-base, "):
        checkpoint_from_state(pair[0], pair[1], base="beomi/kcbert", label_count=3)


@pytest.mark.parametrize("names", [("pytorch_model.bin",), ("model-1.safetensors", "model-2.safetensors")])
def test_other_files_of_weights(bert: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "other", ignore=shutil.ignore_patterns("*.safetensors")))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(bert)
    if names == ("pytorch_model.bin",):
        torch.save(model.state_dict(), folder / names[0])
    else:
        model.save_pretrained(folder, max_shard_size="80KB")
    checkpoint = checkpoint_from_folder(folder)
    assert len(checkpoint.weights()) == len(names)
    exported = onnx_from_checkpoint(checkpoint, tmp_path / "made")
    inputs = Encoder(exported)(["오늘도 상한가 갔다", "금리"])
    want = torch_run(checkpoint_from_folder(bert))(inputs)["outputs"]
    np.testing.assert_allclose(onnx_run(exported.model)(inputs)["outputs"], want, atol=1e-5)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("size", [0, 5, 5000, -10])
def test_weights_that_are_cut_short_are_refused(bert: Path, tmp_path: Path, name: str, size: int) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "cut", ignore=shutil.ignore_patterns("*.safetensors")))
    torch.save({"a": torch.zeros(9000)}, tmp_path / "whole.bin")
    whole = bert / name if (bert / name).is_file() else tmp_path / "whole.bin"
    (folder / name).write_bytes(whole.read_bytes()[:size])
    with pytest.raises(UserError, match=r"the weights in .* cannot be read \(.*\); copy or save them again"):
        onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_missing_shard_is_named(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "shards", ignore=shutil.ignore_patterns("*.safetensors")))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(bert)
    model.save_pretrained(folder, max_shard_size="80KB")
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"names model-00002-of-00002\.safetensors; the weights are not all there"):
        checkpoint_from_folder(folder)


@pytest.fixture
def cache(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A hub's cache on a machine without a network, in which tests/kobert lies at one revision."""
    repository = tmp_path / "hub" / "models--tests--kobert"
    commit = "5f0a5d1e7c3b4a6f8e9d0c1b2a3f4e5d6c7b8a90"
    shutil.copytree(bert, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    yield repository


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("revision", [None, "main", "5f0a5d1e7c3b4a6f8e9d0c1b2a3f4e5d6c7b8a90"])
def test_a_name_on_the_hub(revision: str | None, tmp_path: Path) -> None:
    checkpoint = checkpoint_from_source("tests/kobert", revision=revision)
    assert checkpoint.origin == {"repository": "tests/kobert", "revision": "5f0a5d1e7c3b4a6f8e9d0c1b2a3f4e5d6c7b8a90"}
    exported = onnx_from_checkpoint(checkpoint, tmp_path / "made")
    assert exported.made.revision == "5f0a5d1e7c3b4a6f8e9d0c1b2a3f4e5d6c7b8a90"


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("source", "revision", "sentence"),
    [
        (
            "tests/other",
            None,
            "'tests/other' is neither a folder nor in the hub's cache on this machine, and the hub cannot be",
        ),
        ("tests/kobert", "v2", "'tests/kobert' at 'v2' is neither a folder nor in the hub's cache"),
        ("nowhere", None, r"no folder 'nowhere', and it is no name on the hub \(owner/model\) either"),
        ("a/b/c", None, "no folder 'a/b/c', and it is no name"),
    ],
)
def test_a_source_that_cannot_be_had(source: str, revision: str | None, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        checkpoint_from_source(source, revision=revision)


def test_a_folder_has_no_revision(bert: Path) -> None:
    assert checkpoint_from_source(str(bert)).origin == {}
    with pytest.raises(UserError, match="is a folder; a revision is for a name on the hub"):
        checkpoint_from_source(str(bert), revision="main")


def test_a_cross_encoder_is_for_reranking(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "made", id2label={0: "LABEL_0"}, sentence_transformers={"version": "5.1.0"})
    assert checkpoint_from_folder(folder).task == "rerank"


def test_a_label_count_is_for_a_task_with_labels(pair: tuple[Path, Path, str]) -> None:
    tokenizer, state, base = pair
    with pytest.raises(UserError, match="--label-count is for tasks with labels, which 'embedding' has none of; leave"):
        checkpoint_from_state(tokenizer, state, base=base, label_count=3, task="embedding")
