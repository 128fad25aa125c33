"""What a rulebook finds wrong with a model's configuration, and the sentences that several rulebooks say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Json = dict[str, Any]  # a configuration, or a part of it, as Triton's JSON has it
NOT_THERE = "unable to find"  # begins what is said of an engine file that is not there
Effect = Literal["refused", "fails", "advice"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    where: the field that is to blame, such as input[0].dims; empty for the whole.
    says: what Triton says of it, in its own words where it has any.
    effect: refused = Triton does not load the model; fails = it loads, and requests fail or are answered wrongly;
        advice = it works, but not as it was meant to, or only where the server has more than a stock container.
    """

    where: str
    says: str
    mend: str
    effect: Effect = "refused"


def advise(where: str, says: str, mend: str) -> Problem:
    """What works otherwise than it was meant to."""
    return Problem(where, says, mend, "advice")


def refuse(problems: Iterable[Problem]) -> None:
    """Stop at the first refusal, as Triton does. Raises ValueError, in Triton's words."""
    for problem in problems:
        if problem.effect == "refused":
            raise ValueError(problem.says)


def not_served(config: Json, fields: Iterable[str]) -> Iterator[Problem]:
    """What NVIDIA's backend serves and the embedded server's stand-in does not."""
    for field in fields:
        written: Any = config
        for key in field.split("."):
            written = (written or {}).get(key)
        if written or any(tensor.get(field) for tensor in config["input"]):
            says = f"unable to load model '{config['name']}', the embedded server does not serve {field}"
            yield Problem(field, says, f"remove {field}, or serve it in NVIDIA's container")


def leading_number(text: str, bits: int = 32) -> int | None:
    """The whole number that a text begins with, as std::stoi reads it: 2 of "2x"; None where none fits its bits."""
    found = re.match(r"\s*[+-]?\d{1,19}(?!\d)", text)
    number = int(found[0]) if found else None
    return None if number is None or number.bit_length() >= bits else number


def unknown_tensor(config: Json, where: str, kind: str, known: Iterable[str]) -> Iterator[Problem]:
    """Inputs or outputs that the engine does not have."""
    known = list(known)
    for index, tensor in enumerate(config[kind]):
        if tensor["name"] not in known:
            says = f"unexpected inference {kind} '{tensor['name']}', allowed {kind}s are: {', '.join(sorted(known))}"
            yield Problem(f"{kind}[{index}]", says, f"name it as the {where} does: {', '.join(known)}")


def missing_file(config: Json, file: Path) -> str:
    """The words of NVIDIA's backends for an engine file that is not there."""
    return f"{NOT_THERE} '{file}' for model instance '{config['name']}'"


def other_dims(config: Json, name: str, shape: Sequence[int], full: Sequence[int]) -> str:
    """The backends' words for a tensor whose configured shape, the batch axis included, is not the engine's."""
    specified = f"(shape {shape_text(full)})"
    if config["max_batch_size"] > 0:
        specified = (
            "(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making"
            f" complete shape {shape_text(full)})"
        )
    return (
        f"model '{config['name']}', tensor '{name}': the model expects {len(shape)} dimensions (shape"
        f" {shape_text(shape)}) but the model configuration specifies {len(full)} dimensions {specified}"
    )


def configured_dims(tensor: Json) -> list[int]:
    """The dims that a backend sees: those of `reshape` where there is one. The server's JSON has them as strings."""
    return [int(size) for size in (tensor["reshape"].get("shape", ()) if "reshape" in tensor else tensor["dims"])]


def full_shape(config: Json, tensor: Json) -> list[int]:
    """A tensor's configured shape with the batch axis."""
    return [-1] * (config["max_batch_size"] > 0) + configured_dims(tensor)


def takes(dims: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether dims, -1 for any size, take a shape."""
    return len(dims) == len(shape) and all(a in (-1, b) for a, b in zip(dims, shape, strict=True))


def alike(first: Sequence[int], second: Sequence[int]) -> bool:
    """Equal up to open dimensions on either side."""
    return len(first) == len(second) and all(a == b or -1 in (a, b) for a, b in zip(first, second, strict=True))


def shape_text(shape: Sequence[int]) -> str:
    """A shape as Triton writes it."""
    return f"[{','.join(map(str, shape))}]"
