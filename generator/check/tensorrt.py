"""Whether TensorRT would read the ONNX files of a repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.export.layout import LENGTHS
from tbgen.export.tensorrt.profiles import Profile
from tbgen.export.tensorrt.rtx import RtxReading, reading_of, rtx
from tbgen.generator.check.model import onnx_or_problem, read_repository
from tbgen.generator.check.onnx_file import OnnxFile


def readings_of(place: Path, profiles: Sequence[Profile] = ()) -> list[RtxReading]:
    """What TensorRT-RTX makes of an ONNX file, or of each one that a repository's models run; see `reading_of`.

    Raises UserError where there is no ONNX file; MissingExtra.
    """
    rtx()
    models = read_repository(place, None).models.values() if place.is_dir() else ()
    files = [file for model in models for file in model.onnx_files] if place.is_dir() else [place]
    if not files:
        raise UserError(f"no ONNX file in the models of {str(place)!r}; TensorRT's parser reads nothing else")
    return [_reading(file, profiles) for file in files]


def _reading(file: Path, profiles: Sequence[Profile]) -> RtxReading:
    """A packed file is not asked about: its texts are cut by their lengths, which is no shape that a profile has."""
    graph = onnx_or_problem(file)
    if isinstance(graph, OnnxFile) and LENGTHS in graph.inputs:
        return RtxReading(file, None, "has the packed layout, which no plan is built from; export it padded")
    return reading_of(file, profiles)
