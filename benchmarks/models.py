"""Checkpoints of the benchmarked shapes, with random weights, and their exports; made once and kept in .cache/."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

from tbgen.export.exported import Exported, exported_from_folder
from tbgen.generator.presets import SAMPLES

CACHE = Path(".cache/benchmarks")
ENGINES = {"fp32": "onnx", "int8": "onnx_int8"}


# Hidden size, layers, heads: kcbert-large's and -base's, and a tiny BERT that shows the framework's own cost.
# "small" lies between: three times what a tiny BERT answers is more than a server takes.
SHAPES = {"large": (1024, 24, 16), "base": (768, 12, 12), "small": (256, 4, 4), "tiny": (128, 2, 2)}


def export_of_shape(name: str, layout: str = "padded", precision: str = "fp32") -> Exported:
    """The ONNX export of a shape. Random weights answer at random, so INT8 is not held to PyTorch's answers."""
    from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
    from tbgen.export.onnx.export import onnx_from_checkpoint

    folder = CACHE / "-".join((name, layout, *(() if precision == "fp32" else (precision,))))
    if folder.exists():
        return exported_from_folder(folder)
    checkpoint = checkpoint_from_folder(checkpoint_of_shape(name))
    tolerance = None if precision == "fp32" else math.inf
    return onnx_from_checkpoint(checkpoint, folder, layout=layout, precision=precision, tolerance=tolerance)


def checkpoint_of_shape(name: str) -> Path:
    """A folder with random weights of that shape and the sample's tokenizer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = CACHE / f"{name}-checkpoint"
    if folder.exists():
        return folder
    hidden, layers, heads = SHAPES[name]
    config = BertConfig(
        vocab_size=30_000,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=300,
        id2label=BertConfig.from_pretrained(SAMPLES / "kcbert").id2label,
    )
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(SAMPLES / "kcbert" / file, folder / file)
    return folder


def scaffold_graphs(name: str, repository: Path, precision: str = "fp32") -> None:
    """All graphs of a shape, packed, in one repository: NAME_ENGINE_ensemble, _bls and _single."""
    from tbgen.generator.scaffold import Request, scaffold

    folder, engine = export_of_shape(name, "packed", precision).folder, ENGINES[precision]
    for graph in ("both", "single"):
        scaffold(Request(name, folder, engine=engine, graph=graph), repository)


def set_step(model: Path, name: str, **settings: object) -> None:
    """Change settings of the steps of class `name` in a scaffolded model, behind scaffold's back."""
    file = model / "1" / "steps.json"
    listed = json.loads(file.read_text(encoding="utf-8"))
    for row in listed["steps"]:
        row["settings"] |= settings if row["class"] == name else {}
    file.write_text(json.dumps(listed), encoding="utf-8")
