"""A step on example arrays, with the checks that the generator and model.py make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.backends.request_parameters import PARAMETER_TYPES
from tbgen.export.errors import UserError
from tbgen.export.run import Tensors
from tbgen.export.scratch import scratch
from tbgen.export.tasks.task import Step
from tbgen.generator.data_types import NUMPY
from tbgen.generator.rules.problem import takes
from tbgen.generator.steps.failure import failure
from tbgen.generator.steps.load import step_from_file

_TEXTS = ["오늘도 상한가 갔다", "", "The KOSPI closed higher", "🔥📈 떡상 가즈아", "한글" * 200, "a\x00b"]
_OPEN = 4  # size of an open axis in the examples


@dataclass(frozen=True)
class StepTrial:
    """What a step was given and what it gave."""

    given: Tensors
    answer: Tensors


def construct_step(step: Step, folder: Path) -> Any:
    """A user's step as a model would construct it. Raises UserError when that fails, or its tensors are not said."""
    name = f"{step.file}:{step.name}"
    try:
        made = step_from_file(Path(step.file), step.name)(folder, **step.settings)
        told = {side: getattr(made, side, None) for side in ("inputs", "outputs")}
        rules = getattr(made, "parameters", {})
    except (Exception, SystemExit) as error:  # a person's own code raises what it likes
        said = failure(error)
        call = f"{step.name}({', '.join(['folder', *(f'{key}=...' for key in step.settings)])})"
        as_called = f"; it is made by {call}" if isinstance(error, TypeError) else ""
        raise UserError(f"{name} cannot be constructed: {said}{as_called}") from error
    for side, specs in told.items():
        _check_specs(name, side, specs)
    _check_rules(name, rules)
    return made


def _check_specs(name: str, side: str, specs: Any) -> None:
    """Raise UserError unless a step says what it takes or gives: name -> (Triton data type, dims)."""
    if not isinstance(specs, Mapping) or not specs:
        raise UserError(f'{name} needs {side}, such as {{"input_text": ("TYPE_STRING", [1])}}')
    for tensor, spec in specs.items():
        well_formed = isinstance(spec, tuple | list) and len(spec) == 2 and isinstance(spec[1], tuple | list)
        if not well_formed or spec[0] not in NUMPY or not all(isinstance(size, int) for size in spec[1]):
            raise UserError(
                f"{name}: {side}[{tensor!r}] is {spec!r}; write (data type, dims), such as ('TYPE_FP32', [-1]). "
                f"Data types: {', '.join(NUMPY)}"
            )


def _check_rules(name: str, rules: Any) -> None:
    """Raise UserError unless the request parameters of a step are rules that model.py can check."""
    if not isinstance(rules, Mapping):
        raise UserError(f"{name}: parameters is {rules!r}; write {{NAME: {{'type': ...}}}}")
    for parameter, rule in rules.items():
        if not isinstance(rule, Mapping) or rule.get("type") not in PARAMETER_TYPES:
            raise UserError(
                f"{name}: parameters[{parameter!r}] is {rule!r}; write {{'type': ...}} with one of "
                f"{', '.join(sorted(PARAMETER_TYPES))}"
            )


def try_step(step: Step) -> StepTrial:
    """Run a step on example arrays: one batch, and each item of it alone. Raises UserError."""
    name = f"{step.file}:{step.name}"
    with scratch() as folder:
        made = construct_step(step, folder)
        given = {tensor: example(*spec) for tensor, spec in made.inputs.items()}
        answer = _called(name, made, given)
        for item in range(len(_TEXTS)):
            alone = _called(name, made, {tensor: array[item : item + 1] for tensor, array in given.items()})
            _check_same(name, made, item, answer, alone)
    return StepTrial(given, answer)


def example(data_type: str, dims: list[int]) -> np.ndarray:
    """An array of as many items as there are example texts; numbers count from 0."""
    shape = (len(_TEXTS), *(_OPEN if size == -1 else size for size in dims))
    count = int(np.prod(shape))
    if data_type == "TYPE_STRING":
        texts = [_TEXTS[index % len(_TEXTS)] for index in range(count)]
        return np.array(texts, dtype=object).reshape(shape)
    return (np.arange(count) % 2).astype(NUMPY[data_type]).reshape(shape)


def _called(name: str, step: Any, given: Tensors) -> Tensors:
    """The answer of a step, held against what it says that it gives. Raises UserError."""
    try:
        answer = step(**given)
    except ValueError as error:
        raise UserError(f"{name} refuses the example, as a client's mistake: {failure(error)}") from error
    except (Exception, SystemExit) as error:  # as above
        raise UserError(f"{name} fails on the example: {failure(error)}") from error
    sometimes = set(getattr(step, "on_request", ()))
    if not isinstance(answer, Mapping) or {*answer, *sometimes} != set(step.outputs):
        gave = ", ".join(map(str, answer)) if isinstance(answer, Mapping) else type(answer).__name__
        raise UserError(f"{name} says that it gives {', '.join(step.outputs)}; its call gave {gave or 'nothing'}")
    items = len(next(iter(given.values())))
    for tensor, (data_type, dims) in ((key, spec) for key, spec in step.outputs.items() if key in answer):
        _check_array(name, tensor, answer[tensor], data_type, [items, *dims])
    return dict(answer)


def _check_array(name: str, tensor: str, array: Any, data_type: str, shape: list[int]) -> None:
    """Raise UserError unless an output has the type and shape that the step says."""
    if not isinstance(array, np.ndarray):
        raise UserError(f"{name} gives {tensor} as a {type(array).__name__}, not as a numpy array")
    if array.dtype != np.dtype(NUMPY[data_type]):
        raise UserError(f"{name} gives {tensor} as {array.dtype}; {data_type} is {np.dtype(NUMPY[data_type])}")
    if not takes(shape, array.shape):
        raise UserError(f"{name} gives {tensor} of shape {list(array.shape)}; its dims ask for {shape}")


def _check_same(name: str, step: Any, item: int, together: Tensors, alone: Tensors) -> None:
    """Raise UserError when an item's answer depends on its neighbours: requests are joined as they come."""
    for tensor in (name for name in step.outputs if name in together):
        joined, single = together[tensor][item : item + 1], alone[tensor]
        if joined.shape != single.shape:
            continue  # an open axis may be as wide as the batch needs
        same = (joined == single).all() if joined.dtype == object else np.allclose(joined, single, equal_nan=True)
        if not same:
            raise UserError(f"{name} gives another {tensor} for item {item} alone than beside others")
