"""A model's chain of steps: read from steps.json, constructed, and run on a joined batch."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

HERE = Path(__file__).parent  # a model's version folder, or the backend's folder
VENDOR = HERE / "vendor"
if VENDOR.is_dir():  # packages that the model brings along; last on the path: a server's own ones go first
    sys.path.append(str(VENDOR))

Tensors = dict[str, np.ndarray]


def steps_from_folder(folder: Path) -> list[Any]:
    """Construct the steps that folder/steps.json lists, in order; their files lie beside it, else beside this file."""
    return [step_from_row(row, folder) for row in listing(folder)["steps"]]


def step_from_row(row: Mapping[str, Any], folder: Path) -> Any:
    """Construct one of them; its file is in the version folder, or in the backend's when it stands there for all."""
    file = next((file for place in (folder, HERE) if (file := place / row["file"]).is_file()), folder / row["file"])
    return step_from_file(file, row["class"])(folder, **row["settings"])


def version_folder(args: Mapping[str, str]) -> Path:
    """Where the steps.json of a model lies: beside this file, or else in the folder of the model that is loaded."""
    if (HERE / "steps.json").is_file():
        return HERE
    folder = Path(args["model_repository"]) / args["model_version"]
    if (folder / "vendor").is_dir():
        sys.path.append(str(folder / "vendor"))
    return folder


def listing(folder: Path) -> dict[str, Any]:
    """What folder/steps.json says.

    `steps`; `parameters_elsewhere`, those that other models of its ensemble take; `cached`: Triton keeps the answers.
    """
    listed: dict[str, Any] = json.loads((folder / "steps.json").read_text(encoding="utf-8"))
    return listed


def step_from_file(file: Path, name: str) -> Any:
    """The class `name` of a Python file."""
    return getattr(module_from_file(f"tbgen_step_{file.stem}", file), name)


def module_from_file(name: str, file: Path) -> ModuleType:
    """A Python file, loaded apart from sys.path so that no file name can clash. Raises ImportError.

    It is the package of the files beside it, else of those here: `from .numerics import softmax` finds its neighbour,
    and no other model's.
    """
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=[str(file.parent), str(HERE)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    importlib.invalidate_caches()  # files may have come since Python last looked
    for stale in [each for each in sys.modules if each.startswith(f"{name}.")]:
        del sys.modules[stale]
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def chain_tensors(steps: Iterable[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a chain takes from outside and what it gives: name -> (Triton data type, dims without the batch axis).

    A tensor that a later step takes is used up inside the chain and not given.
    """
    taken: dict[str, Any] = {}
    given: dict[str, Any] = {}
    made: set[str] = set()
    for step in steps:
        taken.update({name: spec for name, spec in step.inputs.items() if name not in made and name not in taken})
        given = {name: spec for name, spec in given.items() if name not in step.inputs} | dict(step.outputs)
        made.update(step.outputs)
    return taken, given


def chain_parameters(steps: Iterable[Any]) -> dict[str, Mapping[str, Any]]:
    """The request parameters that a chain takes: name -> rule. A step without any need not say so."""
    return {name: rule for step in steps for name, rule in getattr(step, "parameters", {}).items()}


def chain_on_request(steps: Iterable[Any]) -> frozenset[str]:
    """The outputs that a chain gives only when a request's parameters ask for them. A step without any need not say."""
    return frozenset(name for step in steps for name in getattr(step, "on_request", ()))


def run_steps(
    steps: Sequence[Any],
    tensors: Tensors,
    parameters: Mapping[str, Any] | None = None,
    seconds: list[float] | None = None,
    clients: Sequence[Any] = (),
) -> Tensors:
    """Pass a joined batch through the steps; each takes its named inputs and parameters and adds its outputs.

    The time of each step is added to `seconds`. A step that `takes_clients` gets those of its rows, from `clients`, one
    an item.
    """
    for number, step in enumerate(steps):
        began = time.perf_counter()
        declared = getattr(step, "parameters", ()) if parameters else ()
        chosen = {name: parameters[name] for name in declared if name in parameters} if parameters else {}
        if clients and getattr(step, "takes_clients", False):
            chosen["clients"] = clients_of_rows(clients, tensors)
        tensors = tensors | step(**{name: tensors[name] for name in step.inputs}, **chosen)
        if seconds is not None:
            seconds[number] += time.perf_counter() - began
    return tensors


def clients_of_rows(clients: Sequence[Any], tensors: Tensors) -> Sequence[Any]:
    """Who waits for each row: the client of the item that it belongs to, or of the text whose window it is."""
    for owner in ("row_item", "window_text"):
        if owner in tensors:
            clients = [clients[index] for index in tensors[owner][:, 0]]
    return clients
