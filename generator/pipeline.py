"""What a request to a model runs through, read from its repository: models, their steps, the tensors between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType, ModelInstanceGroup

from tbgen.export.errors import UserError
from tbgen.generator.calls import callee_of, config_in, parts_of, refuse_circle
from tbgen.generator.engines.table import engine_steps
from tbgen.generator.models.config import PYTHON_BACKENDS, ModelConfig
from tbgen.generator.repository import read_record
from tbgen.generator.steps.load import listing, newest_steps

# Settings that say what a step does, in the order in which they are shown.
_TOLD = (
    "max_length",
    "truncation",
    "pooling",
    "normalize",
    "dims",
    "labels",
    "activation",
    "aggregation",
    "prompts",
    "top_k",
)
_LONGEST = 60  # characters of a setting's value


@dataclass(frozen=True)
class Box:
    """A model, or a part of one that calls others: its name, what Triton runs it by, what is done in it."""

    model: str
    about: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Pipeline:
    """A model's boxes in order; `tensors` stand before, between and behind them, one more than boxes."""

    model: str
    task: str
    boxes: tuple[Box, ...]
    tensors: tuple[tuple[str, ...], ...]


def pipeline_of(folder: Path) -> Pipeline:
    """The pipeline of a model. Raises UserError."""
    config = config_in(folder)
    if config is None:
        raise UserError(f"{str(folder)!r} has no config.pbtxt that can be read; tbgen check says more")
    refuse_circle(folder)
    rows = [*_rows(folder)]
    groups = [(model, [line for _, line in lines]) for model, lines in groupby(rows, key=lambda row: row[0])]
    configs = {model: config_in(folder.parent / model) for model, _ in groups}
    boxes = tuple(Box(model, _about(configs[model]), tuple(filter(None, lines))) for model, lines in groups)
    between = [_between(configs[one], configs[other]) for (one, _), (other, _) in pairwise(groups)]
    record = read_record(folder) or {"settings": {}}
    task = record["settings"].get("task") or record.get("export", {}).get("task") or ""
    return Pipeline(config.name, task, boxes, (_named(config.input), *between, _named(config.output)))


def _rows(folder: Path) -> Iterator[tuple[str, str]]:
    """The model of each step, and what is said of the step; empty of an engine."""
    if parts := parts_of(folder):
        for part in parts:
            yield from _rows(part)
        return
    file = newest_steps(folder)
    if file is None:
        yield folder.name, ""
        return
    for row in listing(file.parent)["steps"]:
        if callee := callee_of(row):
            yield from _rows(folder.parent / callee)
        else:
            yield folder.name, _line(row)


def _line(row: Mapping[str, Any]) -> str:
    """A step in words: its class and the settings that say what it does."""
    told = [f"{name} {_short(row['settings'][name])}" for name in _TOLD if row["settings"].get(name) is not None]
    runs = (
        [f"runs {row['settings'].get('file') or row['settings'].get('plan')}"] if row["class"] in engine_steps() else []
    )
    return " · ".join([row["class"], *runs, *told])


def _short(value: Any) -> str:
    values = value if isinstance(value, (list, dict)) else [value]
    text = ", ".join(map(str, values))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _about(config: ModelConfig | None) -> str:
    """What runs a model, on what, and how many items it takes."""
    if config is None:
        return "not in this repository"
    runner = config.backend or config.platform
    kinds = [(group.count or 1, ModelInstanceGroup.Kind.Name(group.kind)) for group in config.instance_group]
    on = [f"{count} on {'any device' if kind == 'KIND_AUTO' else kind.removeprefix('KIND_')}" for count, kind in kinds]
    most = [f"{config.max_batch_size} items at most"] if config.max_batch_size else []
    return ", ".join([runner, *on, *most])


def _between(one: ModelConfig | None, other: ModelConfig | None) -> tuple[str, ...]:
    """The tensors that go from one model to the next: those that both name, where one of them is an engine."""
    given = {tensor.name: tensor for tensor in one.output} if one else {}
    taken = {tensor.name: tensor for tensor in other.input} if other else {}
    if both := [tensor for name, tensor in given.items() if name in taken]:
        return _named(both)
    if other and other.backend not in PYTHON_BACKENDS:
        return _named(other.input)
    return _named(one.output) if one and one.backend not in PYTHON_BACKENDS else ()


def _named(tensors: Iterable[Any]) -> tuple[str, ...]:
    """Tensors by name, data type and dims."""
    return tuple(
        f"{each.name} {DataType.Name(each.data_type).removeprefix('TYPE_')} {list(each.dims)}" for each in tensors
    )


def lines_of(tensors: Iterable[str], letters: int) -> list[str]:
    """Tensors in lines of so many letters."""
    lines: list[str] = []
    for tensor in tensors:
        if lines and len(lines[-1]) + len(tensor) + 3 <= letters:
            lines[-1] += f" · {tensor}"
        else:
            lines.append(tensor)
    return lines
