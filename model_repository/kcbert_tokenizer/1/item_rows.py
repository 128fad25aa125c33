"""Rows that stand for an item, such as a query's pairs with its texts: what each holds, and what a client calls it."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def texts_of_rows(columns: Sequence[list[Any]], *, first_alone: bool) -> list[Any]:
    """Each row's text, or its pair of texts; `first_alone`: the first text of a pair whose second one is empty."""
    if len(columns) == 1:
        return columns[0]
    pairs = zip(*columns, strict=True)
    return [pair if pair[1] or not first_alone else pair[0] for pair in pairs]


def place_of_row(row: int, row_item: np.ndarray | None, texts: Sequence[str], rows_of: Sequence[str]) -> str:
    """What to call a row in an error: the client's tensors, and the item.

    row_item: (rows, 1) the item of each row; None: each row is one, of the tensors `texts`. rows_of: what to call an
    item's leading rows, and all others.
    """
    if row_item is None:
        return f"{' and '.join(texts)} of item {row}"
    item = int(row_item[row, 0])
    number = row - int((row_item[:, 0] < item).sum())
    *leading, others = rows_of
    if number < len(leading):
        return f"{leading[number]} of item {item}"
    return f"{others} of item {item}, entry {number - len(leading)}"


def check_entries(name: str, count: int, most: int) -> None:
    """Raise ValueError for so many entries of a tensor, in each item."""
    if not 0 < count <= most:
        raise ValueError(f"{name} has {count} entries for item 0; it takes 1 to {most}")
