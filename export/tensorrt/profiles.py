"""Optimization profiles: the ranges of rows and tokens that a plan is built for, and serves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tbgen.backends.plan import Profile as Profile
from tbgen.backends.plan import profile_for as profile_for
from tbgen.export.errors import UserError

PROFILE_ROWS = (1, 32)
_LENGTHS = (32, 64, 128)
LEAST_TOKENS = 2  # what an empty text has: its first and its last special token
_TEXT = re.compile(r"(?:(\d{1,9})-)?(\d{1,9})x(?:(\d{1,9})-)?(\d{1,9})")


def profile_from_text(text: str) -> Profile:
    """'1x300', '1-32x128', '1-32x8-300': rows x tokens, tuned for the most of a range. Raises UserError."""
    found = _TEXT.fullmatch(text)
    if not found:
        raise UserError(f"{text!r} is no shape; write rows x tokens, such as 1x300, or ranges, such as 1-32x8-128")
    least_rows, rows, least_tokens, tokens = (int(part) if part else None for part in found.groups())
    assert rows is not None
    assert tokens is not None
    least = (rows if least_rows is None else least_rows, tokens if least_tokens is None else least_tokens)
    if not (1 <= least[0] <= rows and LEAST_TOKENS <= least[1] <= tokens):
        raise UserError(f"{text!r} is no range: rows from 1, tokens from {LEAST_TOKENS}, the smaller number first")
    return Profile(least, (rows, tokens), (rows, tokens))


def default_profiles(max_length: int, *, ranges: bool) -> list[Profile]:
    """Profiles for a model that reads `max_length` tokens.

    With `ranges` one for each length bucket, 1 to 32 rows. Without (TensorRT 8.5) fixed shapes: 1 and 32 rows of 128
    tokens, and one row of the longest text.
    """
    lengths = [*(length for length in _LENGTHS if length < max_length), max_length]
    if ranges:
        starts = [LEAST_TOKENS, *(length + 1 for length in lengths)]
        return [
            Profile((PROFILE_ROWS[0], start), (PROFILE_ROWS[1], length), (PROFILE_ROWS[1], length))
            for start, length in zip(starts, lengths, strict=False)
        ]
    short = min(_LENGTHS[-1], max_length)
    shapes = dict.fromkeys([(PROFILE_ROWS[0], max_length), (PROFILE_ROWS[0], short), (PROFILE_ROWS[1], short)])
    return [Profile(shape, shape, shape) for shape in shapes]


def profiles_of(made: Mapping[str, Any]) -> list[Profile]:
    """The profiles in the record of an export folder's plan; none for an ONNX file."""
    rows = made.get("tensorrt", {}).get("profiles", [])
    return [Profile(*(tuple(row[key]) for key in ("min", "opt", "max"))) for row in rows]


def check_profiles(profiles: Sequence[Profile], max_length: int) -> None:
    """Raise UserError when there is none, or one for texts that the model cannot read."""
    if not profiles:
        raise UserError("a plan needs at least one shape")
    for profile in profiles:
        if profile.most[1] > max_length:
            raise UserError(f"shape {profile} is too long: the model reads {max_length} tokens")


def buckets_of(profiles: Iterable[Profile], step: int = 8) -> list[int]:
    """The lengths that texts are padded to: those of fixed profiles, steps within ranges, each profile's longest."""
    lengths: set[int] = set()
    for profile in profiles:
        first, last = profile.least[1], profile.most[1]
        lengths |= {last, *range(-(-first // step) * step, last, step)}
    return sorted(lengths)
