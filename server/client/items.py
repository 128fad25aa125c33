"""Items in plain Python values, and the tensors of a request that carries one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tbgen.export.errors import NoSuchName, UserError
from tbgen.generator.data_types import NUMPY
from tbgen.generator.json_values import array_from_json
from tbgen.server.client.client import Models, plain_rows, utf8
from tbgen.server.client.replies import JsonObject


def item_answers(
    models: Models, model: str, items: Iterable[Mapping[str, Any]], parameters: Mapping[str, Any]
) -> Iterator[JsonObject]:
    """The answer to each item, output -> value, each by a request of its own. Raises UserError."""
    config = models.config(model)
    for item in items:
        yield item_from_tensors(config, models.infer(model, tensors_from_item(config, item), parameters))


def tensors_from_item(config: JsonObject, item: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """One item as a request: a single value stands for dims [1], a list for one open axis. Raises UserError."""
    specs = {tensor["name"]: tensor for tensor in config["input"]}
    for name in item:
        if name not in specs:
            raise NoSuchName("input", name, list(specs))
    if missing := [name for name, spec in specs.items() if name not in item and not spec.get("optional")]:
        raise UserError(f"no value for the input {missing[0]!r} of model {config['name']!r}")
    batch = [1] if int(config.get("max_batch_size", 0)) else []
    return {name: _tensor_from_value(name, value, specs[name], batch) for name, value in item.items()}


def _tensor_from_value(name: str, value: Any, spec: JsonObject, batch: Sequence[int]) -> np.ndarray:
    """A value as the tensor that the configuration asks for. Raises UserError."""
    try:
        if (numpy_type := NUMPY.get(spec["data_type"])) is None:
            raise ValueError(f"{name} is {spec['data_type']}, which JSON cannot carry")
        array = array_from_json(name, np.dtype(numpy_type), value)
    except ValueError as error:
        raise UserError(f"input {error}") from error
    if array.dtype == object:
        array = np.array([utf8(text) for text in array.ravel()], dtype=object).reshape(array.shape)
    shape = array.shape or (1,) * len(spec["dims"])
    return array.reshape((*batch, *shape))


def item_from_tensors(config: JsonObject, tensors: Mapping[str, np.ndarray]) -> JsonObject:
    """The answer to a request of one item, in the configuration's order: single values for dims [1], else lists.

    Raises UserError for NaN and infinity, and for other rows.
    """
    batching = int(config.get("max_batch_size", 0)) > 0
    answer: JsonObject = {}
    for spec in config["output"]:
        if spec["name"] in tensors:
            array = tensors[spec["name"]]
            single = [int(size) for size in spec["dims"]] == [1]
            rows = array if batching else array[np.newaxis]
            (answer[spec["name"]],) = plain_rows(spec["name"], rows, 1, single=single)
    return answer
