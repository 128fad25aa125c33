"""The requests by which a probe asks the models of a repository, as JSON of Triton's HTTP protocol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.errors import UserError
from tbgen.generator.compare.example import NoExampleError, example_item
from tbgen.generator.data_types import NOT_IN_JSON, protocol_name
from tbgen.generator.models.config import ModelConfig, values_from_config
from tbgen.generator.role import front_names
from tbgen.server.client.smoke import plain_value


def questions_of(repository: Path, configs: Mapping[str, ModelConfig]) -> dict[str, dict[str, Any]]:
    """The body of a request for each model that clients ask and of which an item is known. Raises UserError."""
    found: dict[str, dict[str, Any]] = {}
    values = {name: values_from_config(config) for name, config in configs.items()}
    for name in front_names(values, repository):
        try:
            question = _question(values[name], example_item(values[name], repository / name))
        except NoExampleError:
            continue
        found |= {name: question} if question["inputs"] else {}
    if not found:
        raise UserError(
            f"no model of {str(repository)!r} can be asked a text, by which a dead one is found; deploy those that "
            "`tbgen scaffold` writes"
        )
    return found


def _question(config: Mapping[str, Any], item: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """One request; no inputs where JSON cannot carry them."""
    kinds = {tensor["name"]: protocol_name(tensor["data_type"]) for tensor in config["input"]}
    if {*NOT_IN_JSON} & {kinds[name] for name in item}:
        return {"inputs": []}
    inputs = [
        {
            "name": name,
            "datatype": kinds[name],
            "shape": list(array.shape),
            "data": [plain_value(each) for each in array.flat],
        }
        for name, array in item.items()
    ]
    return {"inputs": inputs}
