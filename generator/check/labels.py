"""Rules on the label files that a config names."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model


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


RULES = (labels,)
