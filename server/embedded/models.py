"""What a running server tells of its models."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

_Call = Callable[[str, str], tuple[int, bytes]]  # method, path -> status, body of one HTTP request; raises OSError


@dataclass(frozen=True)
class ServedModel:
    """One model of a running server; `inputs` and `outputs` are empty unless its state is READY."""

    name: str
    version: str
    state: str
    reason: str
    backend: str = ""
    max_batch_size: int = 0
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


def served_models(call: _Call) -> list[ServedModel]:
    """All models that the server knows, by name. Raises OSError."""
    return sorted((served_model(call, row) for row in _index(call)), key=lambda model: model.name)


def served_model(call: _Call, row: Mapping[str, str]) -> ServedModel:
    """A row of the server's index with what the model's configuration adds. Raises OSError."""
    known = ServedModel(row["name"], row.get("version", ""), row.get("state", ""), row.get("reason", ""))
    config = _config(call, row)
    if config is None:
        return known
    return replace(
        known,
        backend=config.get("backend") or config.get("platform", ""),
        max_batch_size=config["max_batch_size"],
        inputs=tuple(tensor["name"] for tensor in config["input"]),
        outputs=tuple(tensor["name"] for tensor in config["output"]),
    )


def processes_of(call: _Call, backends: Path) -> dict[Path, int]:
    """The READY versions, MODEL/VERSION, of models that run in Python -> how many processes each should have.

    backends: the server's backend directory. Raises OSError.
    """
    found: dict[Path, int] = {}
    for row in _index(call):
        config = _config(call, row) or {}
        backend = config.get("backend", "")
        if backend == "python" or (backends / backend / "model.py").is_file():
            groups = config["instance_group"]
            counts = (group["count"] * max(1, len(group["gpus"])) for group in groups)
            found[Path(row["name"], row["version"])] = sum(counts)
    return found


def _index(call: _Call) -> list[dict[str, str]]:
    return json.loads(call("POST", "/v2/repository/index")[1])


def _config(call: _Call, row: Mapping[str, str]) -> dict[str, Any] | None:
    """The configuration of a row of the index; None where it is not READY, or went since."""
    if row.get("state") != "READY":
        return None
    status, body = call("GET", f"/v2/models/{quote(row['name'])}/versions/{row['version']}/config")
    return json.loads(body) if status == HTTPStatus.OK else None
