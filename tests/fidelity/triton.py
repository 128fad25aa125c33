"""Cells on a real Triton: the same questions over HTTP and gRPC, asked with NVIDIA's clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.http as http

from tests.fidelity.cases import Tensors
from tests.fidelity.cells import Cell, Library, scaffolded
from tests.fidelity.measure import Found
from tests.serving import serving

PROTOCOLS: dict[str, Any] = {"http": http, "grpc": grpc}


def measured_on_triton(cells: Mapping[Cell, Sequence[str]], folder: Path) -> dict[Cell, dict[str, Found]]:
    """How far the cells' graphs are from their libraries on one server, by graph and protocol.

    cells: what to serve, and in which graphs, in the words of --graph.
    """
    libraries = [Library(cell.family, cell.case, folder / str(number)) for number, cell in enumerate(cells)]
    fronts = [
        scaffolded(cell, library.folder, folder / "models", cells[cell], f"cell{number}")
        for number, (cell, library) in enumerate(zip(cells, libraries, strict=True))
    ]
    found: dict[Cell, dict[str, Found]] = {cell: {} for cell in cells}
    with serving(folder / "models", log=folder / "triton.log") as server:
        for protocol, url in (("http", server.http_url), ("grpc", server.grpc_url)):
            with PROTOCOLS[protocol].InferenceServerClient(url) as client:
                infer = partial(asked, PROTOCOLS[protocol], client)
                for cell, library, models in zip(cells, libraries, fronts, strict=True):
                    found[cell] |= {
                        f"{graph}, {protocol}": library.check(cell.row, infer, model) for graph, model in models.items()
                    }
    return found


def asked(module: Any, client: Any, model: str, tensors: dict[str, np.ndarray], parameters: dict[str, Any]) -> Tensors:
    """One request: all outputs that the model gives."""
    inputs = []
    for name, array in tensors.items():
        inputs.append(module.InferInput(name, list(array.shape), "BYTES"))
        inputs[-1].set_data_from_numpy(array)
    answer = client.infer(model, inputs, parameters=parameters or None)
    response = answer.get_response(as_json=True) if module is grpc else answer.get_response()
    return {output["name"]: answer.as_numpy(output["name"]) for output in response["outputs"]}
