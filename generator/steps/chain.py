"""What a chain of steps takes and gives, and whether its steps fit together: in the same type and dims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from tbgen.export.errors import UserError
from tbgen.export.run import Tensors


class Link(Protocol):
    """A step or a model: name -> (Triton data type, dims without the batch axis) of what it takes and gives."""

    @property
    def inputs(self) -> Mapping[str, Any]: ...
    @property
    def outputs(self) -> Mapping[str, Any]: ...


def check_chain(parts: Sequence[tuple[str, Link]], *, fronts: int) -> None:
    """Raise UserError where a part does not fit those before it.

    parts: (name, part) in order. fronts: how many of the first parts may take tensors from the client; the parts behind
    them take what was made, or what the first took.
    """
    known: dict[str, tuple[str, Any]] = {}
    sometimes: dict[str, str] = {}  # outputs that are given on request alone, and by whom
    for index, (name, part) in enumerate(parts):
        for tensor, spec in part.inputs.items():
            if tensor in sometimes:
                raise UserError(
                    f"{name} takes {tensor}, which {sometimes[tensor]} gives only to requests that ask for it; "
                    f"--set {tensor}=true gives it always"
                )
            if tensor in known:
                _check_tensor(tensor, known[tensor], (name, spec))
            elif index >= fronts:
                have = ", ".join(sorted(known)) or "nothing"
                raise UserError(f"{name} takes {tensor}, which no step before it gives; there is: {have}")
            else:
                known[tensor] = ("the client", spec)
        known |= {tensor: (name, spec) for tensor, spec in part.outputs.items()}
        sometimes |= dict.fromkeys(getattr(part, "on_request", ()), name)
    for index, (name, part) in enumerate(parts[:fronts]):
        others = [other for place, (_, other) in enumerate(parts) if place != index]
        _check_joined(name, part, others, parts[index + 1 :])


def _check_tensor(tensor: str, given: tuple[str, Any], taken: tuple[str, Any]) -> None:
    """Raise UserError unless a tensor is taken in the type and dims in which it is given; -1 fits every size."""
    (giver, (given_type, given_dims)), (taker, (taken_type, taken_dims)) = given, taken
    alike = len(given_dims) == len(taken_dims) and all(
        -1 in sizes or sizes[0] == sizes[1] for sizes in zip(given_dims, taken_dims, strict=False)
    )
    if given_type != taken_type or not alike:
        raise UserError(
            f"{giver} gives {tensor} as {given_type} {list(given_dims)}, "
            f"{taker} takes it as {taken_type} {list(taken_dims)}"
        )


def _check_joined(name: str, part: Link, others: Sequence[Link], behind: Sequence[tuple[str, Link]]) -> None:
    """Raise UserError for a front step that shares no tensor with the others: its tensor's name is likely wrong."""
    if not behind or any(_names_of(part) & _names_of(other) for other in others):
        return
    neighbour, following = behind[0]
    raise UserError(
        f"{name} takes {', '.join(part.inputs)} and gives {', '.join(part.outputs)}, which no other step uses; "
        f"{neighbour} behind it takes {', '.join(following.inputs)}"
    )


def _names_of(part: Link) -> set[str]:
    """All tensors that a part touches."""
    return {*part.inputs, *part.outputs}


def chain_tensors(steps: Iterable[Link]) -> tuple[dict[str, Any], dict[str, Any]]:
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


def run_steps(steps: Iterable[Any], tensors: Tensors, parameters: Mapping[str, Any] | None = None) -> Tensors:
    """Pass a batch through steps as a model does: each takes its inputs and parameters, and adds its outputs."""
    for step in steps:
        taken = {name: tensors[name] for name in step.inputs}
        more = {name: value for name, value in (parameters or {}).items() if name in getattr(step, "parameters", ())}
        tensors = tensors | step(**taken, **more)
    return tensors
