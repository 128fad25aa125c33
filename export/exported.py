"""An export folder as it was written: the engine file, its tensors, and all that a server needs to know."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tbgen.backends.plan import TensorSpec as TensorSpec
from tbgen.export.errors import UserError
from tbgen.export.files import EXPORT_RECORD
from tbgen.export.layout import PACKED
from tbgen.export.provenance import Provenance, provenance_from_record
from tbgen.export.reading import read_json
from tbgen.export.record_rules import EXPORT_MAY_LACK, EXPORT_RULES
from tbgen.export.values import damage_of

_FORMAT = 1


@dataclass(frozen=True)
class Exported:
    """What an export folder holds.

    `weights` is the file of the model's weights where they are too large to be in `model`.
    `special` gives the ids of the tokenizer's pad, mask, cls, sep and unk tokens, where there are such.
    `sentence` is what sentence-transformers does around the model (what `Sentence.record` gives), empty
    for other checkpoints; `pooled` means that the graph's output is pooled already.
    `reading` is what of the tokenizer's settings tokenizer.json cannot hold: how the tokenizer step is called, in its
    words, and clean_up_tokenization_spaces, for text that is made of tokens.
    `parity` is the record of the comparison with PyTorch, empty for a file that was not made here.
    """

    folder: Path
    model: Path
    weights: Path | None
    tokenizer: Path
    task: str
    labels: tuple[str, ...]
    problem: str
    max_length: int
    fixed_length: int | None
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    special: dict[str, int]
    sentence: dict[str, Any] = field(default_factory=dict)
    reading: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    made: Provenance = field(default_factory=Provenance)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the engine: the model's, and its weights' where they lie apart."""
        return (self.model, self.weights) if self.weights else (self.model,)

    @property
    def packed(self) -> bool:
        """Whether the graph takes flat inputs and computes no padding; `inputs` are what clients send all the same."""
        return self.made.layout == PACKED

    @property
    def pad_id(self) -> int:
        """The id that fills short texts up."""
        return self.special.get("pad", 0)


def exported_from_folder(folder: Path) -> Exported:
    """Read an export folder's export.json, without torch and at once.

    Raises UserError when there is none, or when the engine file is not the one recorded.
    """
    path = folder / EXPORT_RECORD
    record = read_json(folder, EXPORT_RECORD, "it is written by: tbgen export onnx --source CHECKPOINT -o FOLDER")
    if record.get("format", _FORMAT) != _FORMAT:
        raise UserError(f"{str(path)!r} has format {record['format']}, this tbgen reads {_FORMAT}; export again")
    if damage := damage_of(record, EXPORT_RULES, EXPORT_MAY_LACK):
        raise UserError(f"{str(path)!r} is damaged ({damage}); export again")
    exported, size = exported_from_record(folder, record), record["size"]
    for file in (*exported.files, exported.tokenizer):
        if not file.is_file():
            raise UserError(f"no {file.name} in {str(folder)!r}, though its {EXPORT_RECORD} names it; export again")
    found = sum(file.stat().st_size for file in exported.files)
    if found != size:
        raise UserError(f"{str(exported.model)!r} has {found} bytes, {EXPORT_RECORD} says {size}; export again")
    return exported


def exported_from_record(folder: Path, record: dict[str, Any]) -> Exported:
    """The inverse of `record_of`."""
    return Exported(
        folder=folder,
        model=folder / record["model"],
        weights=folder / record["weights"] if record["weights"] else None,
        tokenizer=folder / record["tokenizer"],
        task=record["task"],
        labels=tuple(record["labels"]),
        problem=record["problem"],
        max_length=record["max_length"],
        fixed_length=record["fixed_length"],
        inputs=specs(record["inputs"]),
        outputs=specs(record["outputs"]),
        special=record["special"],
        sentence=record["sentence"],
        reading=record.get("reading", {}),  # records of tbgen 0.1.0 have none
        parity=record["parity"],
        made=provenance_from_record(record["made"]),
    )


def specs(tensors: list[dict[str, Any]]) -> dict[str, TensorSpec]:
    """Tensors of the record, as a list there because their order counts."""
    return {tensor["name"]: TensorSpec(tensor["dtype"], tuple(tensor["shape"])) for tensor in tensors}


def record_of(exported: Exported) -> dict[str, Any]:
    """The record as it is written to export.json: no paths and no time, so the same export gives the same bytes."""
    record = asdict(exported)
    del record["folder"]
    for side in ("inputs", "outputs"):
        record[side] = [{"name": name, **spec} for name, spec in record[side].items()]
    return {
        **record,
        "format": _FORMAT,
        "model": exported.model.name,
        "tokenizer": exported.tokenizer.name,
        "weights": exported.weights.name if exported.weights else None,
        "made": exported.made.record(),
        "size": sum(file.stat().st_size for file in exported.files),
    }
