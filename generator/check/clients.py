"""Rules on what clients meet: texts as they send them, the names of classes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import DataType

from tbgen.export.reading import bytes_from_file
from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model, Repository
from tbgen.generator.rules.core.requests import no_text_file, other_shape


def _labels(model: Model) -> Iterator[Finding]:
    """A label file is there, with one line for each class."""
    for index, output in enumerate(model.config.output):
        if not output.label_filename:
            continue
        file, where = model.folder / output.label_filename.lstrip("/"), f"output[{index}].label_filename"
        if not file.is_file():
            yield model.refused(where, no_text_file(file), f"put {output.label_filename} into the folder {model.name}")
            continue
        lines, classes = len(bytes_from_file(file).splitlines()), math.prod(output.dims)
        if classes > 0 and lines != classes:
            short = f"answers no name for the classes from {lines} on" if lines < classes else "never answers the last"
            yield model.finding(
                "fails" if lines < classes else "advice",
                model.file(file),
                f"{short}: {lines} labels for the {classes} values of {output.name}",
                f"write {classes} lines, in the order of the classes",
            )


def _texts_as_clients_send_them(model: Model, repository: Repository) -> Iterator[Finding]:
    """Clients send texts as [N, 1]; a front model that takes another shape refuses them."""
    batch = [-1] if model.config.max_batch_size else []
    for index, tensor in enumerate(model.config.input if model.name in repository.fronts else ()):
        shape = [*batch, *tensor.dims]
        if tensor.data_type == DataType.TYPE_STRING and tensor.dims and (len(shape) > 2 or len(shape) == 1):
            mend = "dims are without the batch axis: write dims: [1] for one text an item"
            if len(shape) == 1:
                mend = "clients send texts as [N, 1]: write max_batch_size and dims: [1]"
            yield model.advice(f"input[{index}].dims", other_shape(model.name, tensor.name, shape, [1, 1]), mend)


RULES = (_labels,)
REPOSITORY_RULES = (_texts_as_clients_send_them,)
