"""The batches of the bare loops that served graphs are held against."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.limit import batches_of, packed_batches
from benchmarks.table import row_of
from benchmarks.texts import lines
from tbgen.export.exported import Exported, exported_from_folder
from tbgen.export.layout import LENGTHS


@pytest.fixture(scope="module")
def packed(packed_export: Path) -> Exported:
    return exported_from_folder(packed_export)


def test_packed_batches_have_every_token_once_within_the_budget(packed: Exported) -> None:
    texts = lines(40)
    alone = packed_batches(packed, texts, 1, 1)
    cut = packed_batches(packed, texts, 20, 256)
    assert [batch.texts for batch in alone] == [1] * 40
    assert sum(batch.texts for batch in cut) == 40
    tokens = [batch.tensors["input_ids"].size for batch in cut]
    assert sum(tokens) == sum(batch.tensors["input_ids"].size for batch in alone)
    assert all(size <= 256 for size, batch in zip(tokens, cut, strict=True) if batch.texts > 1)


def test_a_packed_batch_is_flat_and_says_its_lengths(packed: Exported) -> None:
    for batch in packed_batches(packed, lines(20), 20, 512):
        lengths = batch.tensors[LENGTHS]
        assert lengths.dtype == np.int32
        assert lengths.sum() == len(batch.tensors["attention_mask"]) == batch.tensors["attention_mask"].sum()
        assert all(longer >= shorter for longer, shorter in pairwise(lengths))  # sorted: like by like


def test_padded_batches_end_in_zeros(sample_export: Path) -> None:
    batch = batches_of(exported_from_folder(sample_export), lines(8), 8, max_batch_size=8)[0]
    ids, mask = batch.tensors["input_ids"], batch.tensors["attention_mask"]
    assert ids.shape == mask.shape
    assert ids.shape[1] % 8 == 0
    assert not ids[mask == 0].any()


def test_the_padded_loop_stands_beside_the_limit() -> None:
    row = row_of("base", [0.96, 0.97, 0.9], least=0.95, padded=1.1)
    assert (row.figure, row.holds, row.padded) == (0.96, True, 1.1)
