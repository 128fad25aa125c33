"""The limit that served graphs are held against: the bare loop over the packed file, in the best of its micro-batches.

The padded file's loop, in the micro-batches that suit it, stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from benchmarks.bare import Batch, columns_of, engine_rate, rates_in_turn
from tbgen.backends.micro_batches import MicroBatches
from tbgen.export.exported import Exported
from tbgen.export.layout import LENGTHS
from tbgen.generator.models.graph import length_buckets

Rate = Callable[..., float]  # texts a second, taken for `seconds`

BUDGETS = (128, 256, 512, 1024, 2048)  # most tokens of a call of the packed file, a padded one counted as PADDING_COST
PADDING_COST = 0.1
TRIED = 128  # texts that each budget is tried on
PASSES = 3


@dataclass(frozen=True)
class Limit:
    """Bare loops over groups of texts, each group cut into micro-batches; `budget`: the packed file's, in tokens."""

    group: int
    budget: int
    packed: Rate
    padded: Rate


def limit_of(
    packed: Exported, padded: Exported, texts: Sequence[str], group: int, *, threads: int, sessions: int
) -> Limit:
    """The loops in `sessions` processes of `threads` each; the packed file's budget is the fastest here and now."""
    budget = best_budget(packed, texts, group, threads) if group > 1 else 1
    rate = partial(engine_rate, threads=threads, sessions=sessions)
    beside = batches_of(padded, texts, group, max_batch_size=min(group, 32))
    return Limit(
        group,
        budget,
        packed=partial(rate, packed.model, packed_batches(packed, texts, group, budget)),
        padded=partial(rate, padded.model, beside),
    )


def best_budget(exported: Exported, texts: Sequence[str], group: int, threads: int) -> int:
    """The budget of tokens that is fastest on some of the texts."""
    some = texts[: max(1, TRIED // group) * group]
    ways = [packed_batches(exported, some, group, budget) for budget in BUDGETS]
    rates = rates_in_turn(exported.model, ways, threads=threads, passes=PASSES)
    return BUDGETS[int(np.argmax(rates))]


def packed_batches(exported: Exported, texts: Sequence[str], group: int, budget: int) -> list[Batch]:
    """Groups of texts, sorted by length and cut by a budget of tokens; with a budget of 1 text by text."""
    return batches_of(exported, texts, group, max_batch_size=group, max_tokens=budget, padding_cost=PADDING_COST)


def batches_of(exported: Exported, texts: Sequence[str], group: int, **cuts: Any) -> list[Batch]:
    """Batches of an export's texts, `group` of them at a time, sorted by length and cut."""
    encodings = Tokenizer.from_file(str(exported.tokenizer)).encode_batch(list(texts))
    ids = [encoding.ids[: exported.max_length] for encoding in encodings]
    buckets = [] if exported.packed else length_buckets(exported)
    step = MicroBatches(inputs={}, outputs={}, buckets=buckets, **cuts)
    batches = []
    for start in range(0, len(ids), group):
        rows = ids[start : start + group]
        for places, width in step.parts([len(row) for row in rows]):
            part = [rows[place] for place in places]
            batches.append(packed(part) if exported.packed else padded(part, width))
    return batches


def packed(rows: Sequence[Sequence[int]]) -> Batch:
    """The tokens of all rows, one after the other, and how many each has."""
    ids = np.concatenate([np.array(row, dtype=np.int64) for row in rows])
    columns = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return Batch(len(rows), columns | {LENGTHS: np.array([len(row) for row in rows], dtype=np.int32)})


def padded(rows: Sequence[Sequence[int]], width: int) -> Batch:
    """(rows, width) arrays of int64, zeros behind each row."""
    ids = np.zeros((len(rows), width), dtype=np.int64)
    for line, values in zip(ids, rows, strict=True):
        line[: len(values)] = values
    return Batch(len(rows), columns_of(ids))
