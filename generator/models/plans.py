"""What the profiles of a plan ask of the models around it, as Triton's config and the BLS step take them."""

from __future__ import annotations

from tbgen.export.exported import Exported
from tbgen.export.tensorrt.profiles import buckets_of


def most_rows(exported: Exported, default: int) -> int:
    """Most rows that the engine takes at once."""
    return max((profile.most[0] for profile in exported.made.profiles), default=default)


def plan_buckets(exported: Exported) -> list[int]:
    """The lengths that a plan's profiles share with the tokenizer; none for an ONNX file."""
    return buckets_of(exported.made.profiles)


def profile_names(exported: Exported) -> tuple[str, ...]:
    """All profiles, as an instance group lists them: Triton uses the first alone where none is listed."""
    return tuple(str(number) for number in range(len(exported.made.profiles)))


def engine_shapes(exported: Exported) -> list[list[int]]:
    """The shapes that the BLS call may have: least and most rows, least and most tokens."""
    return [
        [profile.least[0], profile.most[0], profile.least[1], profile.most[1]] for profile in exported.made.profiles
    ]


def only_length(exported: Exported) -> int | None:
    """The one length that all texts have, if the engine takes any number of rows of it, or else None."""
    if not (shapes := engine_shapes(exported)):
        return exported.fixed_length
    lengths, most = plan_buckets(exported), most_rows(exported, 1)
    any_rows = most > 1 and [1, most] in [shape[:2] for shape in shapes]
    return lengths[0] if len(lengths) == 1 and any_rows else None


def uneven_shapes(exported: Exported) -> list[list[int]]:
    """The shapes of a plan, when not every length goes with every number of rows; else none."""
    shapes = engine_shapes(exported)
    return shapes if len({(least, most) for least, most, _, _ in shapes}) > 1 else []
