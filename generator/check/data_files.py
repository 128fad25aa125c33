"""Rules on the files that a config names beside the model: labels and warm-up data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import DataType, ModelWarmup

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model
from tbgen.generator.check.tensors import shape_text

BYTES_OF = {
    "TYPE_BOOL": 1,
    "TYPE_UINT8": 1,
    "TYPE_INT8": 1,
    "TYPE_UINT16": 2,
    "TYPE_INT16": 2,
    "TYPE_FP16": 2,
    "TYPE_BF16": 2,
    "TYPE_UINT32": 4,
    "TYPE_INT32": 4,
    "TYPE_FP32": 4,
    "TYPE_UINT64": 8,
    "TYPE_INT64": 8,
    "TYPE_FP64": 8,
}
INTEGERS = ("TYPE_INT32", "TYPE_INT64", "TYPE_UINT32", "TYPE_UINT64")
LENGTH = 4  # bytes of the length before each text of warm-up data


def labels(model: Model) -> Iterator[Finding]:
    """A label file is there, with one line for each class."""
    for index, output in enumerate(model.config.output):
        if not output.label_filename:
            continue
        file, where = model.folder / output.label_filename, f"output[{index}].label_filename"
        if not file.is_file():
            says = f"failed to open text file for read {file}: No such file or directory"
            yield model.refused(where, says, f"put {output.label_filename} into the folder {model.name}")
            continue
        lines, classes = len(file.read_bytes().splitlines()), math.prod(output.dims)
        if classes > 0 and lines != classes:
            short = f"answers no name for the classes from {lines} on" if lines < classes else "never answers the last"
            yield model.finding(
                "fails" if lines < classes else "advice",
                model.file(file),
                f"{short}: {lines} labels for the {classes} values of {output.name}",
                f"write {classes} lines, in the order of the classes",
            )


def warm_up(model: Model) -> Iterator[Finding]:
    """Each warm-up sample: the model's inputs, of its types and dims, with data that fits."""
    if model.is_ensemble:
        return
    for index, sample in enumerate(model.config.model_warmup):
        where = f"model_warmup[{index}]"
        if not sample.batch_size:
            says = f"Skipping batch 0 warmup sample '{sample.name}'"
            yield model.advice(where, says, "write batch_size: 1 or more")
            continue
        yield from all_inputs(model, sample, where)
        for name, data in sorted(sample.inputs.items()):
            yield from warm_up_input(model, name, data, f'{where}.inputs["{name}"]')


def all_inputs(model: Model, sample: ModelWarmup, where: str) -> Iterator[Finding]:
    """A sample brings every input that is not optional."""
    needed = [tensor.name for tensor in model.completed.input if not tensor.optional]
    missing = [name for name in needed if name not in sample.inputs]
    brought = [tensor.name for tensor in model.completed.input if tensor.name in sample.inputs]
    if missing:
        yield model.refused(
            where,
            f"expected {len(model.completed.input)} inputs but got {len(brought)} inputs for model "
            f"'{model.name}'. Got input(s) {quoted(brought)}, but missing required input(s) "
            f"{quoted(missing)}. Please provide all required input(s).",
            f"add inputs for {', '.join(missing)}",
        )


def warm_up_input(model: Model, name: str, data: ModelWarmup.Input, where: str) -> Iterator[Finding]:
    """One input of a sample: type, dims, data."""
    tensor = next((tensor for tensor in model.completed.input if tensor.name == name), None)
    if tensor and tensor.data_type != data.data_type:
        yield model.refused(
            where,
            f"inference input '{name}' data-type is '{protocol_type(data.data_type)}', but model '{model.name}' "
            f"expects '{protocol_type(tensor.data_type)}'",
            f"write data_type: {DataType.Name(tensor.data_type)}",
        )
    if -1 in data.dims:
        says = f"warmup setting expects all variable-size dimensions are specified for input '{name}'"
        yield model.refused(where, says, "write a size for each dimension")
        return
    fits = not tensor or (
        len(tensor.dims) == len(data.dims) and all(a in (-1, b) for a, b in zip(tensor.dims, data.dims, strict=True))
    )
    if tensor and not fits:
        batch = [-1] if model.completed.max_batch_size else []
        yield model.refused(
            where,
            f"unexpected shape for input '{name}' for model '{model.name}'. Expected "
            f"{shape_text([*batch, *tensor.dims])}, got {shape_text([*([1] if batch else []), *data.dims])}",
            f"write dims as the config has them: {shape_text(tensor.dims)}",
        )
    kind = data.WhichOneof("input_data_type")
    if kind is None:
        says = f"warmup setting expects input '{name}' to have input_data_type set"
        yield model.refused(where, says, "write zero_data: true, random_data: true or input_data_file")
    elif kind == "input_data_file":
        yield from warm_up_file(model, name, data, where)
    elif kind == "random_data" and DataType.Name(data.data_type) in INTEGERS and model.config.backend == "onnxruntime":
        says = "fills the whole range of the type: ids beyond an embedding table fail, which can end the server"
        yield model.advice(where, says, "write the ids into a file and name it by input_data_file")


def warm_up_file(model: Model, name: str, data: ModelWarmup.Input, where: str) -> Iterator[Finding]:
    """The data of an input: as many bytes as its dims need, texts framed by their lengths."""
    file = model.folder / "warmup" / data.input_data_file
    if not file.is_file():
        says = f"failed to open text file for read {file}: No such file or directory"
        yield model.refused(where, says, f"put {data.input_data_file} into the folder {model.name}/warmup")
        return
    data_type, count = DataType.Name(data.data_type), math.prod(data.dims)
    if data_type == "TYPE_STRING":
        yield from framed_texts(model, name, file, count)
        return
    needed, there = count * BYTES_OF.get(data_type, LENGTH), file.stat().st_size
    if there < needed:
        says = f"warmup setting expects {needed} bytes, but the data provided from {data.input_data_file}"
        yield model.refused(
            model.file(file),
            f"{says}only has {there} bytes",
            f"write {count} values of {data_type}, the rows of one item; batch_size repeats them",
        )
    elif there > needed:
        says = f"reads the first {needed} of {there} bytes"
        yield model.advice(model.file(file), says, f"write {count} values of {data_type}, or mend dims")


def framed_texts(model: Model, name: str, file: Path, count: int) -> Iterator[Finding]:
    """Each text is preceded by its length, 4 bytes, little-endian."""
    content, start, texts, problem = file.read_bytes(), 0, 0, ""
    about = f"inference input '{name}' for model '{model.name}'"
    while start < len(content) and not problem:
        if len(content) - start < LENGTH:
            rest = len(content) - start
            problem = (
                f"incomplete string length indicator for {about}, expecting 4 bytes but only {rest} bytes available."
            )
        start += LENGTH + int.from_bytes(content[start : start + LENGTH], "little")
        texts += 1
        if texts > count:
            problem = problem or f"unexpected number of string elements {texts} for {about}, expecting {count}"
    if not problem and texts != count:
        problem = f"expected {count} string elements for {about}, got {texts}"
    mend = f"write {count} texts, each as 4 bytes of its length (little-endian) and its UTF-8 bytes"
    if problem:
        yield model.refused(model.file(file), problem, mend)
    elif start > len(content):
        yield model.fails(model.file(file), f"reads a text of {about} that the file does not hold whole", mend)


def quoted(names: list[str]) -> str:
    """Names as Triton lists them."""
    return f"[{','.join(repr(name) for name in sorted(names))}]"


def protocol_type(data_type: int) -> str:
    """A data type as the protocol names it."""
    name = str(DataType.Name(data_type)).removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name


RULES = (labels, warm_up)
