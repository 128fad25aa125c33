"""Asks any Triton for a model's answers to texts: finds the front model by name, sends texts in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from tbgen.export.errors import NoSuchName, UserError
from tbgen.generator.compare.example import required_inputs
from tbgen.generator.graphs import preference
from tbgen.server.client.connection import Connection, ProxyError

_T = TypeVar("_T")
_UNLIMITED_ROWS = 64  # texts in a request to a model that names no limit
_REQUEST_BYTES = 48 << 10  # of texts that share a request: `tbgen deploy haproxy` lets 64 KiB through for any model


class Models(Protocol):
    """Whoever answers for models: a Connection to a server, or a repository run in this process."""

    def ready(self, model: str) -> bool: ...

    def states(self) -> dict[str, str]: ...

    def config(self, model: str) -> dict[str, Any]: ...

    def fronts(self, name: str) -> list[str]: ...

    def asked(self) -> list[str]: ...

    def infer(
        self, model: str, inputs: Mapping[str, np.ndarray], parameters: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True)
class TextModel:
    """A model that takes one text an item."""

    name: str
    input: str
    rows: int  # most texts in one request
    batching: bool  # whether tensors have a batch axis
    outputs: tuple[str, ...]  # in the order of its configuration; an ensemble answers in any order
    scalars: frozenset[str]  # outputs with one value a text


def infer(name: str, texts: Iterable[str], *, url: str | None = None, seconds: float = 60.0) -> list[dict[str, Any]]:
    """The answers of a model to texts: for each text, output name -> value (text, number, or a list of them).

    Args:
        name: a model, or the name given to scaffold, which means its BLS model, else the single one, else the ensemble.
        url: grpc://HOST:PORT, http://HOST:PORT, HOST:PORT or PORT, see address_from_url.
        seconds: how long to wait for the answer to one request.

    Raises UserError: no server, no such model, not ready, takes other inputs, refuses a text.
    """
    with Connection(url, seconds=seconds) as connection:
        return list(answers(connection, text_model(connection.config(front_model(connection, name))), texts))


def front_model(connection: Models, name: str) -> str:
    """The model that `name` means: itself when it is ready, else the ready front model of NAME that is preferred.

    Raises NoSuchName, UserError (not ready).
    """
    return min(front_models(connection, name), key=preference)


def front_models(connection: Models, name: str) -> list[str]:
    """The models that `name` means: itself when it is ready, else the ready ensembles and BLS models of its engines.

    Raises NoSuchName, UserError (not ready).
    """
    if connection.ready(name):
        return [name]
    try:
        states = connection.states()
    except ProxyError as error:  # it lists none
        if ready := sorted(filter(connection.ready, connection.fronts(name))):
            return ready
        raise UserError(f"no model {name!r} is ready, nor one that scaffold gave that name; {error.message}") from error
    fronts = sorted(model for model in connection.fronts(name) if model in states)
    ready = [model for model in fronts if states[model] == "READY"]
    if ready:
        return ready
    if waiting := [model for model in (name, *fronts) if model in states]:
        raise UserError(f"model {waiting[0]!r} is not ready: {states[waiting[0]]}")
    raise NoSuchName("model", name, connection.asked())


def refuse_unknown(repository: Path, names: Iterable[str]) -> None:
    """Raise NoSuchName, before a server is started on a repository, for a name that none of its models has."""
    from tbgen.generator.local.models import LocalModels

    with LocalModels(repository) as models:
        for name in names:
            if not (repository / name).is_dir():  # else it may be one that only Triton knows to complete
                front_models(models, name)


def takes_one_text(config: Mapping[str, Any]) -> bool:
    """Whether an item of the model is one text."""
    inputs = required_inputs(config)
    data_type, dims = next(iter(inputs.values()), ("", []))
    item = dims if int(config.get("max_batch_size", 0)) else dims[1:] or dims
    return len(inputs) == 1 and data_type == "TYPE_STRING" and item in ([1], [-1])


def text_model(config: Mapping[str, Any]) -> TextModel:
    """What a request to a model must look like. Raises UserError when it takes anything but one text an item."""
    inputs, name = required_inputs(config), config["name"]
    if not takes_one_text(config):
        takes = ", ".join(f"{each} ({data_type.removeprefix('TYPE_')})" for each, (data_type, _) in inputs.items())
        raise UserError(
            f"an item of model {name!r} is {takes or 'nothing'}, not one text: name each, in `tbgen infer` and `run` by"
            " --input NAME=VALUE, or as the columns of a .csv or JSON lines"
        )
    limit = int(config.get("max_batch_size", 0))
    ((taken, (_, dims)),) = inputs.items()
    batching = bool(limit) or len(dims) > 1
    outputs = {tensor["name"]: [int(size) for size in tensor["dims"]] for tensor in config["output"]}
    items = {output: sizes if limit or not batching else sizes[1:] for output, sizes in outputs.items()}
    return TextModel(
        name,
        taken,
        rows=limit or (_UNLIMITED_ROWS if batching else 1),
        batching=batching,
        outputs=tuple(outputs),
        scalars=frozenset(output for output, sizes in items.items() if sizes in ([1], [])),
    )


def answers(
    connection: Models, model: TextModel, texts: Iterable[str], parameters: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """One answer a text, in order, request by request. Raises UserError."""
    for chunk in request_groups(map(utf8, texts), model.rows, len):
        encoded = np.array(chunk, dtype=object)
        asked = {model.input: encoded.reshape(-1, 1) if model.batching else encoded}
        outputs = connection.infer(model.name, asked, parameters)
        given = [name for name in model.outputs if name in outputs]  # some only when a parameter asks for them
        columns = {name: _column(outputs[name], model, name, len(chunk)) for name in given}
        for row in range(len(chunk)):
            yield {name: values[row] for name, values in columns.items()}


def request_groups(
    items: Iterable[_T], rows: int, size_of: Callable[[_T], int], alike: Callable[[_T, _T], bool] = lambda *_: True
) -> Iterator[list[_T]]:
    """As many items as share a request, each time: at most `rows`, as long as they are short, and alike the first.

    size_of: the bytes of an item's texts.
    """
    group, size = list[_T](), 0
    for item in items:
        own = size_of(item)
        if group and (size + own > _REQUEST_BYTES or not alike(group[0], item)):
            yield group
            group, size = [], 0
        group.append(item)
        size += own
        if len(group) >= rows:  # at once: the next one may be long in coming
            yield group
            group, size = [], 0
    if group:
        yield group


def _column(array: np.ndarray, model: TextModel, name: str, texts: int) -> list[Any]:
    """The values of one output, one a text, as plain Python values; bytes as text. Raises UserError."""
    return plain_rows(name, array if model.batching else array[np.newaxis], texts, single=name in model.scalars)


def plain_rows(name: str, array: np.ndarray, rows: int, *, single: bool) -> list[Any]:
    """An output's rows as plain Python values, each one value where they are `single`, else lists; bytes as text.

    Raises UserError for NaN and infinity, and for other rows than were asked for.
    """
    if array.shape[:1] != (rows,) or (single and array.size != rows):
        raise UserError(f"the model's answer to {rows} items has {name!r} of shape {list(array.shape)}")
    return [row.item() if single else row.tolist() for row in plain_values(name, array)]


def plain_values(name: str, array: np.ndarray) -> np.ndarray:
    """An output's array as it is shown, bytes as text. Raises UserError for NaN and infinity."""
    if is_broken(array):
        raise UserError(
            f"the model's answer holds NaN or infinity in {name!r}; tbgen check --weights looks for the cause"
        )
    return as_text(array)


def is_broken(array: np.ndarray) -> bool:
    """Whether NaN or infinity is among its numbers."""
    return array.dtype.kind == "f" and not np.isfinite(array).all()


def as_text(array: np.ndarray) -> np.ndarray:
    """The array, of str where it is of UTF-8 bytes."""
    if array.dtype != np.object_:
        return array
    texts = [value.decode("utf-8", errors="backslashreplace") for value in array.ravel()]
    return np.array(texts, dtype=object).reshape(array.shape)


def utf8(text: str) -> bytes:
    """Raises UserError for a text that is no valid Unicode (half of a surrogate pair, undecodable input)."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"text {text!r} is not valid Unicode: {error.reason} at character {error.start}") from error
