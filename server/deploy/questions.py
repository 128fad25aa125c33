"""The requests by which a probe asks the models of a repository, as JSON of Triton's HTTP protocol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.errors import UserError
from tbgen.generator.compare.example import NoExampleError, example_item
from tbgen.generator.data_types import NOT_IN_JSON, protocol_name
from tbgen.generator.models.config import PYTHON_BACKENDS, ModelConfig, values_from_config
from tbgen.server.client.smoke import plain_value


def questions_of(repository: Path, configs: Mapping[str, ModelConfig]) -> dict[str, dict[str, Any]]:
    """The body of a request for each model that clients ask and of which an item is known. Raises UserError."""
    found: dict[str, dict[str, Any]] = {}
    for name in fronts_of(configs):
        values = values_from_config(configs[name])
        try:
            question = _question(values, example_item(values, repository / name))
        except NoExampleError:
            continue
        found |= {name: question} if question["inputs"] else {}
    if not found:
        raise UserError(
            f"no model of {str(repository)!r} can be asked a text, by which a dead one is found; deploy those that "
            "`tbgen scaffold` writes"
        )
    return found


def fronts_of(configs: Mapping[str, ModelConfig]) -> list[str]:
    """The models that clients ask: ensembles, and Python models that are part of none."""
    parts = {step.model_name for config in configs.values() for step in config.ensemble_scheduling.step}
    asked = (name for name, config in configs.items() if config.backend in (*PYTHON_BACKENDS, ""))
    return [name for name in asked if name not in parts]


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
