"""What `make bench` leaves, and the tables that the site makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.__main__ import STORIES
from benchmarks.peers.compare import PEER_STORIES
from benchmarks.record import RESULTS, keep, page_of, record_of, records_in
from benchmarks.table import Row, row_of

PAGE = RESULTS.with_name("results.md").read_text(encoding="utf-8")


def test_a_story_takes_the_place_of_its_last_run_alone(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    keep(file, "tiny", record_of([row_of("정확도", [0.5, 0.6, 0.7], least=0.55)], 3, 20, stolen=0.2))
    keep(file, "base", record_of([Row("one", 1.0)], 3, 20, stolen=0.2))
    keep(file, "base", record_of([Row("two", 2.0)], 1, 5, stolen=0.2))
    records = records_in(file)
    assert records["tiny"].rows == (Row("정확도", 0.6, ">= 0.55", True, "0.5 0.6 0.7"),)
    assert (records["base"].rows, records["base"].rounds) == ((Row("two", 2.0),), 1)
    assert {"Python", "tbgen", "onnxruntime"} <= records["tiny"].versions.keys()


def test_a_record_is_a_table() -> None:
    record = record_of([row_of("a", [2], most=1), Row("b", 0.5, padded=1.25)], None, None, stolen=0)
    head, table = page_of(record).split("\n\n")
    assert re.match(
        rf"Taken on \d{{4}}-\d\d-\d\d; .*, {record.cores} cores; Python .*; 0.0 s stolen by the host\.", head
    )
    assert table.splitlines()[2:] == ["| a | 2 |  | <= 1 | misses |  |", "| b | 0.5 |  |  |  | 1.25 |"]


@pytest.mark.parametrize("story", STORIES)
def test_the_page_has_every_story(story: str) -> None:
    assert f"\n## {story}\n" in PAGE
    assert f"\n::: bench {story}\n" in PAGE


@pytest.mark.parametrize("story", PEER_STORIES)
def test_the_page_has_every_comparison(story: str) -> None:
    assert f"\n::: bench {story}\n" in PAGE
    assert story in records_in(RESULTS)


def test_what_is_kept_is_of_the_stories() -> None:
    records = records_in(RESULTS)
    assert records.keys() <= {*STORIES, *PEER_STORIES}
    assert all(record.rows for record in records.values())
