"""From a checkpoint to an export folder: traced, checked, compared with PyTorch on real sentences."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tbgen.export.checkpoint import Checkpoint, read_json
from tbgen.export.errors import UserError, require
from tbgen.export.exported import RECORD, Exported, TensorSpec, exported_from_folder, record_of, write_json
from tbgen.export.folder import copy_files, whole_folder
from tbgen.export.parity import Parity, engine_parity, model_run
from tbgen.export.pytorch import model_from_checkpoint
from tbgen.export.sentences import TEXTS
from tbgen.export.trace import write_graph

TOKENIZER_FILES = ("tokenizer.json", "special_tokens_map.json", "vocab.txt")
SPECIAL = ("pad", "mask", "cls", "sep", "unk")
# Keys of config files in which transformers keeps the place a model was loaded from.
PLACES = ("_name_or_path", "name_or_path", "tokenizer_file", "special_tokens_map_file", "vocab_file")


def onnx_from_checkpoint(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    opset: int = 17,
    fixed_length: int | None = None,
    precision: str = "fp32",
    texts: Sequence[str] | None = None,
    tolerance: float = 1e-4,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Exported:
    """Write `folder` with model.onnx, the tokenizer, config.json and export.json.

    Both axes of the inputs are dynamic; with `fixed_length` the sequence axis is that number and only the batch stays
    dynamic. `texts` (default: a dozen Korean and English sentences) are compared with PyTorch, padded together;
    `tolerance` bounds the largest difference of a logit. `progress` is told each stage. Raises UserError when the
    difference is larger, and for whatever the user can mend; then nothing is written.
    """
    if fixed_length is not None and not 2 <= fixed_length <= checkpoint.max_length:
        raise UserError(
            f"fixed length {fixed_length} does not fit: the checkpoint reads 2 to {checkpoint.max_length} tokens"
        )
    tell = progress or (lambda _: None)
    check_vocabulary(checkpoint)
    with whole_folder(folder, force=force) as new:
        tell("loading the checkpoint")
        model = model_from_checkpoint(checkpoint)
        tell("tracing the graph")
        write_graph(model, checkpoint, new / "model.onnx", opset=opset, fixed_length=fixed_length)
        tell("checking the graph")
        check_graph(new / "model.onnx")
        write_companions(checkpoint, new)
        exported = described(checkpoint, new, fixed_length=fixed_length, precision=precision)
        tell("comparing with PyTorch")
        found = engine_parity(checkpoint, exported, texts or TEXTS, reference=model_run(model, checkpoint.task))
        refuse_drift(found, tolerance)
        exported = replace(exported, parity={**asdict(found), "tolerance": tolerance})
        write_json(new / RECORD, record_of(exported))
    return exported_from_folder(folder)


def check_vocabulary(checkpoint: Checkpoint) -> None:
    """Raise UserError when the tokenizer gives ids that the model has no row for."""
    tokenizer = require("tokenizers", extra="onnx").Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    token, largest = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if largest >= checkpoint.config["vocab_size"]:
        raise UserError(
            f"the tokenizer's last id is {largest} ({token!r}), "
            f"the embedding has {checkpoint.config['vocab_size']} rows; they belong to two models"
        )


def refuse_drift(found: Parity, tolerance: float) -> None:
    """Raise UserError when the engine's answers are not PyTorch's, or NaN, which fails every comparison."""
    if not found.max_abs <= tolerance:
        raise UserError(
            f"the ONNX file differs from PyTorch by {found.max_abs:g} in a logit, the tolerance is {tolerance:g}; "
            "nothing was written"
        )
    if not found.padding_abs <= tolerance:
        raise UserError(
            f"padding moves a logit by {found.padding_abs:g}, the tolerance is {tolerance:g}; nothing was written"
        )


def check_graph(path: Path) -> None:
    """Let onnx.checker read the file, shapes included."""
    onnx = require("onnx", extra="onnx")
    onnx.checker.check_model(str(path), full_check=True)


def write_companions(checkpoint: Checkpoint, folder: Path) -> None:
    """Write what belongs beside the engine: tokenizer files and config.json, without the places they came from."""
    copy_files(checkpoint.folder, folder, TOKENIZER_FILES)
    config = {key: value for key, value in checkpoint.config.items() if key not in PLACES}
    if checkpoint.labels:
        config["id2label"] = {str(index): label for index, label in enumerate(checkpoint.labels)}
        config["label2id"] = {label: index for index, label in enumerate(checkpoint.labels)}
    write_json(folder / "config.json", config)
    if (checkpoint.folder / "tokenizer_config.json").is_file():
        settings = read_json(checkpoint.folder, "tokenizer_config.json", "")
        write_json(
            folder / "tokenizer_config.json", {key: value for key, value in settings.items() if key not in PLACES}
        )


def described(checkpoint: Checkpoint, folder: Path, *, fixed_length: int | None, precision: str) -> Exported:
    """The record of an export, as yet without its parity."""
    onnx = require("onnx", extra="onnx")
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    return Exported(
        folder=folder,
        model=folder / "model.onnx",
        tokenizer=folder / "tokenizer.json",
        task=checkpoint.task,
        labels=checkpoint.labels,
        problem=checkpoint.problem,
        max_length=checkpoint.max_length,
        fixed_length=fixed_length,
        inputs=tensor_specs(model.graph.input),
        outputs=tensor_specs(model.graph.output),
        special=special_ids(folder),
        made={
            "opset": model.opset_import[0].version,
            "ir_version": model.ir_version,
            "precision": precision,
            "sha256": sha256(folder / "model.onnx"),
            "source": {path.name: sha256(path) for path in checkpoint.weights()},
            "versions": {name: version(name) for name in ("onnx", "onnxruntime", "torch", "transformers")},
        },
    )


def tensor_specs(tensors: Any) -> dict[str, TensorSpec]:
    """Names, types and shapes of a graph's inputs or outputs; a dynamic axis by its name."""
    onnx = require("onnx", extra="onnx")
    specs = {}
    for tensor in tensors:
        kind = tensor.type.tensor_type
        shape = tuple(axis.dim_param or axis.dim_value for axis in kind.shape.dim)
        specs[tensor.name] = TensorSpec(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name, shape)
    return specs


def special_ids(folder: Path) -> dict[str, int]:
    """The ids of the tokenizer's special tokens, by their role. Raises UserError when nothing says how to pad."""
    tokenizer = require("tokenizers", extra="onnx").Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        named = read_json(folder, name, "") if (folder / name).is_file() else {}
        for role in SPECIAL:
            token = named.get(f"{role}_token")
            text = token.get("content") if isinstance(token, dict) else token
            if isinstance(text, str) and tokenizer.token_to_id(text) is not None:
                found[role] = tokenizer.token_to_id(text)
    pad = read_json(folder, "config.json", "").get("pad_token_id")
    if "pad" not in found:
        if pad is None:
            raise UserError(
                "neither the tokenizer nor config.json names a pad token; texts of unequal length cannot meet"
            )
        found["pad"] = pad
    return found


def sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else digest(file)


def digest(file: Any) -> str:
    """hashlib.file_digest, which Python 3.10 has not got."""
    found = hashlib.sha256()
    while block := file.read(1 << 20):
        found.update(block)
    return found.hexdigest()
