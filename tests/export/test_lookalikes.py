"""Folders and files that look like a checkpoint: each gets a sentence that says what it is and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.sources import Source

LORA = {"peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": "klue/bert-base"}


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


def adapter(folder: Path, *, whole: bool = False, **settings: Any) -> None:
    """As PEFT saves it: no config.json, and weights of another name."""
    if not whole:
        (folder / "config.json").unlink()
        (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({**LORA, **settings}), encoding="utf-8")


def instead(*names: str) -> Callable[[Path], None]:
    """Other files in the place of the weights."""

    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"")

    return change


def alone(name: str) -> Callable[[Path], None]:
    """A file, and nothing else of a checkpoint."""

    def change(folder: Path) -> None:
        for file in folder.iterdir():
            file.unlink()
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"{}")

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            adapter,
            r"is an adapter \(LORA\) of klue/bert-base, not a whole model: merge it with peft, "
            r"AutoPeftModelForSequenceClassification.from_pretrained\(folder, num_labels=N\).merge_and_unload\(\)",
        ),
        (lambda folder: adapter(folder, task_type="TOKEN_CLS"), r"AutoPeftModelForTokenClassification\.from_pre"),
        (lambda folder: adapter(folder, whole=True), r"is an adapter \(LORA\) of klue/bert-base"),
        (lambda folder: adapter(folder, peft_type="PREFIX_TUNING"), "is an adapter .PREFIX_TUNING.* cannot be merged"),
        (lambda folder: adapter(folder, base_model_name_or_path=None), "of a base that it does not name"),
        (instead("flax_model.msgpack"), r"reads no Flax weights; .*\(folder, from_flax=True\)\.save_pretrained"),
        (instead("tf_model.h5"), r"reads no TensorFlow weights; .*\(folder, from_tf=True\)\.save_pretrained"),
        (instead("model.onnx"), r"it holds a ready ONNX file: --source .*copy/model.onnx --tokenizer .*copy"),
        (instead("onnx/model.onnx"), r"it holds a ready ONNX file: --source .*copy/onnx/model.onnx --tokenizer"),
        (instead("openvino_model.xml", "openvino_model.bin"), "OpenVINO's form; take the checkpoint"),
        (instead("q4.gguf"), "GGUF is llama.cpp's form; take the checkpoint that .*q4.gguf was made from"),
        (instead("zero_to_fp32.py"), "DeepSpeed's form; run python zero_to_fp32.py"),
        (instead("notes.md"), "no weights in .*; looked for model.safetensors"),
        (alone("epoch=3.ckpt"), r"no config.json in .*epoch=3.ckpt is a checkpoint of Lightning; write its state dict"),
        (alone("q4.gguf"), "no config.json in .*GGUF"),
        (alone("checkpoint-500/config.json"), "its folders checkpoint-500 have one; name one of them"),
        (alone("snapshots/5f0a/config.json"), "it is the hub's cache; name .*snapshots/5f0a, or the model with"),
    ],
)
def test_a_folder_of_something_else_is_known(copy: Path, change: Callable[[Path], None], sentence: str) -> None:
    change(copy)
    with pytest.raises(UserError, match=sentence):
        checkpoint_from_folder(copy)


def test_a_trainers_checkpoint_is_one_if_the_tokenizer_is_there(copy: Path) -> None:
    for name in ("optimizer.pt", "scheduler.pt", "trainer_state.json", "training_args.bin"):
        (copy / name).write_bytes(b"{}")
    assert checkpoint_from_folder(copy).labels == ("부정", "중립", "긍정")
    for file in copy.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(UserError, match=r"a checkpoint of transformers' Trainer; write it there with tokenizer.save_"):
        checkpoint_from_folder(copy)


def test_a_setfit_model_serves_its_vectors_alone(copy: Path) -> None:
    (copy / "model_head.pkl").write_bytes(b"")
    with pytest.raises(UserError, match=r"is a SetFit model, .*served with --task embedding"):
        checkpoint_from_folder(copy)
    assert checkpoint_from_folder(copy, task="embedding").task == "embedding"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("model.safetensors", "name its folder, with config.json and the tokenizer in it"),
        (
            "epoch=3.ckpt",
            r"a checkpoint of Lightning; write its state dict where it was trained, torch.save\(Model.load",
        ),
        ("model.gguf", "GGUF is llama.cpp's form"),
        ("tf_model.h5", "reads no TensorFlow weights"),
        ("flax_model.msgpack", "reads no Flax weights"),
        ("model.pkl", "a pickle's code is not run"),
        ("notes.md", r"neither a folder nor a file of a known kind: a state dict \(.pt, .pth, .bin\)"),
    ],
)
def test_a_file_of_something_else_is_known(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=sentence):
        Source(str(tmp_path / name)).checkpoint()
