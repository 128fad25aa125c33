"""Whether steps fit together: each takes what those before it give, in the same type and dims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tbgen.export.errors import UserError


class Part(Protocol):
    """A step or a model: name -> (Triton data type, dims without the batch axis) of what it takes and gives."""

    @property
    def inputs(self) -> Mapping[str, Any]: ...
    @property
    def outputs(self) -> Mapping[str, Any]: ...


def check_chain(parts: Sequence[tuple[str, Part]], *, fronts: int) -> None:
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
                check_tensor(tensor, known[tensor], (name, spec))
            elif index >= fronts:
                have = ", ".join(sorted(known)) or "nothing"
                raise UserError(f"{name} takes {tensor}, which no step before it gives; there is: {have}")
            else:
                known[tensor] = ("the client", spec)
        known |= {tensor: (name, spec) for tensor, spec in part.outputs.items()}
        sometimes |= dict.fromkeys(getattr(part, "on_request", ()), name)
    for index, (name, part) in enumerate(parts[:fronts]):
        others = [other for place, (_, other) in enumerate(parts) if place != index]
        check_joined(name, part, others, parts[index + 1 :])


def check_tensor(tensor: str, given: tuple[str, Any], taken: tuple[str, Any]) -> None:
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


def check_joined(name: str, part: Part, others: Sequence[Part], behind: Sequence[tuple[str, Part]]) -> None:
    """Raise UserError for a front step that shares no tensor with the others: its tensor's name is likely wrong."""
    if not behind or any(names_of(part) & names_of(other) for other in others):
        return
    neighbour, following = behind[0]
    raise UserError(
        f"{name} takes {', '.join(part.inputs)} and gives {', '.join(part.outputs)}, which no other step uses; "
        f"{neighbour} behind it takes {', '.join(following.inputs)}"
    )


def names_of(part: Part) -> set[str]:
    """All tensors that a part touches."""
    return {*part.inputs, *part.outputs}
