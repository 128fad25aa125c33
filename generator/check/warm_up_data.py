"""Rules on the data of warm-up inputs: as many bytes as the dims need, texts framed by their lengths, known ids."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tritonclient.grpc.model_config_pb2 import DataType, ModelWarmup

from tbgen.export.reading import bytes_from_file
from tbgen.generator.check.finding import Finding, Place
from tbgen.generator.check.model import Model
from tbgen.generator.check.onnx_file import OnnxFile
from tbgen.generator.compare.example import ANY, MAIN, mask_example
from tbgen.generator.data_types import NUMPY
from tbgen.generator.rules.core.requests import no_text_file
from tbgen.generator.rules.onnxruntime import out_of_bounds

_SIZES = {name: np.dtype(kind).itemsize for name, kind in NUMPY.items()} | {"TYPE_BF16": 2}
_IDS = ("TYPE_INT32", "TYPE_INT64")  # of ONNX's Gather
_LENGTH = 4  # bytes of the length before each text


def table_rows(model: Model) -> dict[str, int]:
    """Input -> the rows of the table that its values name, such as a vocabulary's; of ONNX files alone."""
    return {
        name: rows
        for graph in model.graphs.values()
        if isinstance(graph, OnnxFile)
        for name, rows in graph.rows.items()
    }


def warm_up_failure(sample: ModelWarmup, why: str) -> str:
    """Triton's words for a sample that the model cannot run."""
    return f"failed to run warmup sample '{sample.name}': {why}"


def data_of_an_input(
    model: Model, sample: ModelWarmup, name: str, data: ModelWarmup.Input, where: str
) -> Iterator[Finding]:
    """What is sent: from a file, or made up."""
    kind = data.WhichOneof("input_data_type")
    if kind is None:
        says = f"warmup setting expects input '{name}' to have input_data_type set"
        yield model.refused(where, says, "write zero_data: true, random_data: true or input_data_file")
    elif kind == "input_data_file":
        yield from _file_of_an_input(model, sample, name, data, where)
    elif data.data_type == DataType.TYPE_STRING:
        yield from _refused_by_the_steps(model, name, [b""], where)
    elif kind == "random_data" and DataType.Name(data.data_type) in _IDS and model.config.backend == "onnxruntime":
        rows, mend = table_rows(model).get(name), "write the ids into a file and name it by input_data_file"
        if rows:
            yield model.refused(where, warm_up_failure(sample, out_of_bounds(2, "(a random number)", rows)), mend)
        else:
            says = "fills the whole range of the type: ids beyond an embedding table fail, which can end the server"
            yield model.advice(where, says, mend)


def _file_of_an_input(
    model: Model, sample: ModelWarmup, name: str, data: ModelWarmup.Input, where: str
) -> Iterator[Finding]:
    """The file is there, and holds what the dims need."""
    file = model.folder / "warmup" / data.input_data_file.lstrip("/")
    if file.is_dir():
        says = f"the server itself ends, with all its models, where it is to read the folder {file}"
        yield model.refused(where, says, "name a file in it, or beside it")
    elif not file.is_file():
        yield model.refused(
            where, no_text_file(file), f"put {data.input_data_file} into the folder {model.name}/warmup"
        )
    elif data.data_type == DataType.TYPE_STRING:
        yield from _framed_texts(model, name, file, math.prod(data.dims))
    else:
        yield from _values(model, sample, name, data, file)


def _values(model: Model, sample: ModelWarmup, name: str, data: ModelWarmup.Input, file: Path) -> Iterator[Finding]:
    """Numbers: as many as the dims say, and of ids only such as the model has."""
    data_type, count = DataType.Name(data.data_type), math.prod(data.dims)
    needed, there = count * _SIZES.get(data_type, _LENGTH), file.stat().st_size
    if there < needed:
        says = f"warmup setting expects {needed} bytes, but the data provided from {data.input_data_file}"
        mend = f"write {count} values of {data_type}, the rows of one item; batch_size repeats them"
        yield model.refused(model.file(file), f"{says}only has {there} bytes", mend)
        return
    if there > needed:
        says = f"reads the first {needed} of {there} bytes"
        yield model.advice(model.file(file), says, f"write {count} values of {data_type}, or mend dims")
    rows = table_rows(model).get(name) if data_type in _IDS else None
    if rows:
        ids = np.fromfile(file, np.dtype(NUMPY[data_type]), count)
        for beyond in ids[(ids < -rows) | (ids >= rows)][:1]:
            says = warm_up_failure(sample, out_of_bounds(2, beyond, rows))
            yield model.refused(model.file(file), says, f"write ids from 0 to {rows - 1}")


def _framed_texts(model: Model, name: str, file: Path, count: int) -> Iterator[Finding]:
    """Each text is preceded by its length, 4 bytes, little-endian."""
    about = f"inference input '{name}' for model '{model.name}'"
    content, texts, problem = bytes_from_file(file), list[bytes](), ""
    while content and not problem:
        size, rest = int.from_bytes(content[:_LENGTH], "little"), len(content) - _LENGTH
        texts.append(content[_LENGTH : _LENGTH + size])
        content = content[_LENGTH + size :]
        if rest < 0:
            problem = (
                f"incomplete string length indicator for {about}, expecting 4 bytes but only {rest + _LENGTH} bytes"
                " available."
            )
        elif len(texts) > count:
            problem = f"unexpected number of string elements {len(texts)} for {about}, expecting {count}"
        elif size > rest:
            problem = (
                f"incomplete string data for inference input '{name}', expecting string of length {size} but only"
                f" {rest} bytes available"
            )
    if not problem and len(texts) != count:
        problem = f"expected {count} string elements for {about}, got {len(texts)}"
    if problem:
        mend = f"write {count} texts, each as 4 bytes of its length (little-endian) and its UTF-8 bytes"
        yield model.refused(model.file(file), problem, mend)
    else:
        yield from _refused_by_the_steps(model, name, texts, model.file(file))


def _refused_by_the_steps(model: Model, name: str, texts: list[bytes], place: Place | str) -> Iterator[Finding]:
    """Of a model with steps: texts are UTF-8, and those whose masks a step fills have one."""
    if not any(source.steps for source in model.sources):
        return
    mask = str(mask_example(model.folder, ()).get(MAIN, "")).replace(ANY, "").strip()
    if mask and name == MAIN and not any(mask.encode() in text for text in texts):
        says = f"{model.name}: {MAIN} of item 0 has no {mask} in the tokens that are read"
        yield model.refused(place, says, f"write a text with {mask}, or scaffold it anew")
    for text in texts:
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            says = f"{model.name}: {name} is not valid UTF-8: {error.reason} at byte {error.start}"
            yield model.refused(place, says, "write the texts as UTF-8")
            return
