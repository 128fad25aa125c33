"""A served graph beside its own steps around PyTorch, where no library answers for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.backends.text_tensors import bytes_from_text, text_from_bytes
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.parity.parity import Parity, figure, scale_of
from tbgen.export.run import Run, Tensors
from tbgen.export.tokenizers.tokenizer import tokenizer_from_file
from tbgen.generator.calls import callee_of, parts_of
from tbgen.generator.engines.table import engine_steps
from tbgen.generator.models.config import TensorSpecs, specs_from_json
from tbgen.generator.steps.chain import chain_on_request, chain_tensors, run_steps
from tbgen.generator.steps.load import listing, step_from_row
from tbgen.server.client.connection import Connection
from tbgen.server.client.replies import unfit

_SHORT = {"question": 16, "candidate_labels": 16}  # characters of what is never cut to fit a model
OnCount = Callable[[int, int], None]  # how many texts of how many


def steps_parity(steps: list[Any], front: str, texts: Sequence[str], connection: Connection, tell: OnCount) -> Parity:
    """Each text alone, then beside the longest, against `steps`."""
    inputs, outputs = chain_tensors(steps)
    outputs = {name: spec for name, spec in outputs.items() if name not in chain_on_request(steps)}
    told = {name: spec for name, spec in specs_from_json(connection.config(front)["output"]).items() if name in outputs}
    longest = max(texts, key=len)
    errors, paddings, decisions, flips = [], [], 0, 0
    for number, text in enumerate(texts, start=1):
        tell(number, len(texts))
        expected = run_steps(steps, _items_of(inputs, [text]))
        requests = [_encoded(_items_of(inputs, each)) for each in ([text], [text, longest])]
        alone, beside = (connection.infer(front, request) for request in requests)
        refuse_unfit(front, alone, told, 1)
        refuse_unfit(front, beside, told, 2)
        alone, beside = _decoded(alone, outputs), _decoded(beside, outputs)
        for name in outputs:
            want, have, again = expected[name], alone[name], first_item(beside[name], alone[name])
            if want.dtype.kind == "f":
                errors.append(distance(want, have))
                paddings.append(distance(have, again))
            else:
                decisions += 1
                flips += not np.array_equal(want, have)
                paddings.append(np.zeros(1) if np.array_equal(have, again) else np.full(1, np.inf))
    found = np.concatenate(errors) if errors else np.zeros(1)
    return Parity(
        texts=len(texts),
        max_abs=figure(float(found.max())),
        mean_abs=figure(float(found.mean())),
        decisions=decisions,
        flips=flips,
        padding_abs=figure(float(max(each.max() for each in paddings))),
    )


def reference_steps(repository: Path, front: str, engine_name: str, exported: Exported, reference: Run) -> list[Any]:
    """The steps that `front` and the models that it calls run, with `reference` in the engine's place."""
    return [*_steps_of(repository / front, engine_name, _ReferenceEngine(exported, reference))]


def _steps_of(folder: Path, engine_name: str, engine: _ReferenceEngine) -> Iterator[Any]:
    """The steps of a model's folder, and of its ensemble's models and of separate steps where they are called."""
    parts = parts_of(folder)
    for part in parts:
        yield from [engine] if part.name == engine_name else _steps_of(part, engine_name, engine)
    for row in () if parts else listing(folder / "1")["steps"]:
        if row["class"] in engine_steps():
            yield engine
        elif called := callee_of(row):
            yield from _steps_of(folder.with_name(called), engine_name, engine)
        else:
            yield step_from_row(row, folder / "1")


class _ReferenceEngine:
    """PyTorch as a step, with the engine's tensors."""

    def __init__(self, exported: Exported, reference: Run) -> None:
        self.inputs: dict[str, Any] = {name: ("", []) for name in exported.inputs}
        self.outputs: dict[str, Any] = {name: ("", []) for name in exported.outputs}
        self.reference = reference

    def __call__(self, **tensors: np.ndarray) -> Tensors:
        return self.reference(tensors)


def answerable(texts: Sequence[str], exported: Exported) -> Sequence[str]:
    """The texts, for fill-mask with a mask in front, where it is read however long the text."""
    if exported.task != "fill-mask":
        return texts
    mask = tokenizer_from_file(exported.tokenizer).id_to_token(exported.special["mask"])
    return [f"{mask} {text}" for text in texts]


def _items_of(inputs: Mapping[str, Any], texts: Iterable[str]) -> Tensors:
    """The front model's inputs for texts: a second input, or a list of texts, gets the text's first half too."""
    columns: dict[str, list[list[str]]] = {name: [] for name in inputs}
    for text in texts:
        for number, (name, (_, dims)) in enumerate(inputs.items()):
            whole = text[: _SHORT.get(name)]
            half = whole[: len(whole) // 2 + 1]
            columns[name].append([half, whole] if list(dims) == [-1] else [half if number or name in _SHORT else whole])
    return {name: np.array(rows, dtype=object) for name, rows in columns.items()}


def _encoded(tensors: Tensors) -> Tensors:
    return {name: bytes_from_text(array) for name, array in tensors.items()}


def refuse_unfit(front: str, answer: Tensors, outputs: TensorSpecs, items: int) -> None:
    """Raise UserError for an answer to so many items that lacks one of these outputs, or has it otherwise."""
    if said := unfit(answer, outputs, [items]):
        raise UserError(f"{front!r} answers without {said}, which its configuration names; see the server's log")


def _decoded(answer: Mapping[str, np.ndarray], outputs: Mapping[str, Any]) -> Tensors:
    text = {name for name, (data_type, _) in outputs.items() if data_type == "TYPE_STRING"}
    return {name: text_from_bytes(name, answer[name]) if name in text else answer[name] for name in outputs}


def first_item(array: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The first item of two, cut to the shape that it has alone: answers of unequal number are filled up."""
    return array[(slice(0, 1), *(slice(0, size) for size in like.shape[1:]))]


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Differences, of large numbers in proportion, flat and never empty; infinite for another shape and for NaN."""
    if a.shape != b.shape:
        return np.full(1, np.inf)
    difference = np.nan_to_num(np.abs(a.astype(np.float64) - b).ravel(), nan=np.inf) / scale_of(
        float(np.abs(a).max(initial=0))
    )
    return difference if difference.size else np.zeros(1)
