"""Small real files for every reader: checkpoints, an export, a model repository, a recipe, texts, a step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.generator.scaffold import Request, scaffold
from tbgen.generator.steps.new_step import new_step
from tests.export.checkpoints import checkpoint
from tests.export.sentence_folders import bi_encoder


def make(name: str, folder: Path) -> Path:
    """The files that the readers of a name read, whole."""
    made = folder / name
    _MAKERS[name](made)
    return made


def _bert(folder: Path) -> None:
    checkpoint(folder, "bert")


def _slow(folder: Path) -> None:
    checkpoint(folder, "bert")
    words = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.get)), encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": false}')


def _pickle(folder: Path) -> None:
    checkpoint(folder, "bert")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _state_dict(folder: Path) -> None:
    _pickle(folder)
    (folder / "pytorch_model.bin").rename(folder / "model.pt")


def _shards(folder: Path) -> None:
    checkpoint(folder, "bert")
    weights = load_file(folder / "model.safetensors")
    halves = [dict(list(weights.items())[start::2]) for start in (0, 1)]
    for number, half in enumerate(halves):
        save_file(half, folder / f"model-{number}.safetensors", metadata={"format": "pt"})
    index = {name: f"model-{number}.safetensors" for number, half in enumerate(halves) for name in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (folder / "model.safetensors").unlink()


def _sentence(folder: Path) -> None:
    dense = {
        "in_features": 32,
        "out_features": 16,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    bi_encoder(folder, ("Pooling", {"pooling_mode": "mean"}), ("Dense", dense))
    weights = load_file(folder / "2_Dense" / "model.safetensors")
    torch.save(weights, folder / "2_Dense" / "pytorch_model.bin")
    (folder / "2_Dense" / "model.safetensors").unlink()


def _export(folder: Path) -> None:
    checkpoint(folder.with_name("source"), "bert", "AutoModelForSequenceClassification", num_hidden_layers=1)
    onnx_from_checkpoint(checkpoint_from_folder(folder.with_name("source")), folder)


def _models(folder: Path) -> None:
    _export(folder.with_name("exported"))
    request = Request("m", folder.with_name("exported"), vendor=False, graph="both")
    scaffold(request, folder, comparing=False)
    (folder.parent / "target").mkdir()


def _recipe_file(folder: Path) -> None:
    _export(folder)
    lines = ('name = "m"', 'source = "."', 'labels = ["a", "b", "c"]', 'engines = ["onnx"]', 'graph = "both"')
    more = ("vendor = false", "[weights]", '"model.safetensors" = "00"')
    (folder / "tbgen.toml").write_text("\n".join([*lines, *more]), encoding="utf-8")


def _text_files(folder: Path) -> None:
    folder.mkdir()
    (folder / "texts.jsonl").write_text('{"text": "좋다", "other": [1, {"a": null}]}', encoding="utf-8")
    (folder / "texts.csv").write_text('text,label\n좋다,1\n"a ""quoted""\n text",2\n', encoding="utf-8")


def _own_steps(folder: Path) -> None:
    folder.mkdir()
    new_step("own", "pre", folder)


_MAKERS: dict[str, Callable[[Path], None]] = {
    "bert": _bert,
    "slow": _slow,
    "sentence": _sentence,
    "shards": _shards,
    "pickle": _pickle,
    "state": _state_dict,
    "export": _export,
    "models": _models,
    "recipe": _recipe_file,
    "texts": _text_files,
    "steps": _own_steps,
}
