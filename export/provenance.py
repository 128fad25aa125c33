"""What made an engine file, as the records of exports and of models say it under `made`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tbgen.backends.plan import Profile
from tbgen.export.layout import PACKED, PADDED
from tbgen.export.tensorrt.profiles import profiles_of

ONNX_FILE, PLAN_FILE = "ONNX file", "TensorRT plan"  # formats of engine files
_ALWAYS = ("chosen", "optimized", "source")  # in every record; other values where they say something


@dataclass(frozen=True)
class Build:
    """The build of a TensorRT plan: by which version, for which GPU; `triton`: still to come, in that release."""

    version: str
    profiles: tuple[Profile, ...]
    gpu: str = ""
    compute_capability: str = ""
    triton: str = ""

    def record(self) -> dict[str, Any]:
        """The inverse of `build_from_record`."""
        rows = [{"max": list(row.most), "min": list(row.least), "opt": list(row.best)} for row in self.profiles]
        return _said(asdict(self) | {"profiles": rows})


@dataclass(frozen=True)
class Provenance:
    """What an engine file was made of and by; empty and 0 where that is not known.

    optimized: layers are fused to operators of ONNX Runtime alone. hidden: the width of the layers, of a packed file.
    source: file name -> SHA-256 of what it was made from. chosen: what a checkpoint was taken for, in words.
    taken_off: what a wrapper had put before the weights' names. repository, revision: on the hub. engine: the one that
    alone runs it, of generator/engines; empty for a file as all export it. twin: not it was held against PyTorch, but
    its twin (export/onnx/twin.py), as there was no GPU where it was made.
    """

    precision: str = "fp32"
    opset: int = 0
    ir_version: int = 0
    optimized: bool = False
    layout: str = PADDED
    hidden: int = 0
    sha256: str = ""
    weights_sha256: str = ""
    source: Mapping[str, str] = field(default_factory=dict)
    repository: str = ""
    revision: str = ""
    chosen: str = ""
    taken_off: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    tensorrt: Build | None = None
    engine: str = ""
    twin: bool = False

    @property
    def format(self) -> str:
        """What kind of file it is, or will be."""
        return PLAN_FILE if self.tensorrt else ONNX_FILE

    @property
    def for_gpus(self) -> bool:
        """Whether ONNX Runtime has its operators for GPUs alone."""
        return self.optimized and self.layout == PACKED

    @property
    def why_not_plain(self) -> str:
        """What keeps TensorRT from building a plan of it, in words; nothing where it is a plain ONNX file."""
        if self.tensorrt:
            return "is a plan already"
        return "is fused for ONNX Runtime alone" if self.optimized else ""

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """Those of a TensorRT plan; none for an ONNX file."""
        return self.tensorrt.profiles if self.tensorrt else ()

    def record(self) -> dict[str, Any]:
        """The inverse of `provenance_from_record`."""
        values = asdict(self) | {"tensorrt": self.tensorrt.record() if self.tensorrt else None}
        return _said(values | {"layout": "" if self.layout == PADDED else self.layout})


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a record that say something, sorted."""
    return {key: values[key] for key in sorted(values) if values[key] or key in _ALWAYS}


def provenance_from_record(record: Mapping[str, Any]) -> Provenance:
    """A record's provenance, whatever tbgen wrote it; what this one does not know is left out."""
    known = {each.name: record[each.name] for each in fields(Provenance) if each.name in record}
    if built := record.get("tensorrt"):
        values = {each.name: built[each.name] for each in fields(Build) if each.name in built}
        known["tensorrt"] = Build(**values | {"profiles": tuple(profiles_of(record))})
    return Provenance(**known)
