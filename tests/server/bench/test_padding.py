"""Tokens, truncation and padding of a benchmark's texts, by the steps of the repository itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tbgen.backends.tokenizer import Tokenizer
from tbgen.server.bench.padding import Lengths, lengths_from_repository, lengths_from_steps
from tbgen.server.bench.parts import Front, Part
from tbgen.server.bench.report import histogram
from tbgen.server.bench.texts import Inputs


def request(*texts: str) -> Inputs:
    return {"input_text": np.array([[text.encode("utf-8")] for text in texts], dtype=object)}


REQUESTS = [request("a b c"), request("a b c d e f g", ""), request("a " * 30)]


@pytest.fixture
def steps(word_tokenizer: Path) -> list[Tokenizer]:
    return [Tokenizer(word_tokenizer, max_length=20, buckets=[8, 16, 20])]


def test_an_ensemble_pads_each_request_to_the_bucket_of_its_longest_text(steps: list[Tokenizer]) -> None:
    lengths = lengths_from_steps(steps, REQUESTS, bls=False)
    assert lengths.tokens.tolist() == [5, 9, 2, 20]
    assert lengths.untruncated.tolist() == [5, 9, 2, 32]
    assert lengths.truncated == 1
    assert lengths.real.tolist() == [5, 11, 20]
    assert lengths.padded.tolist() == [8, 32, 20]
    assert lengths.exact
    assert lengths.waste(np.array([1, 0, 0])) == pytest.approx(8 / 5 - 1)
    assert lengths.waste(np.array([2, 1, 1])) == pytest.approx(68 / 41 - 1)


def test_a_bls_unpads_every_row_at_best(steps: list[Tokenizer]) -> None:
    lengths = lengths_from_steps(steps, REQUESTS, bls=True)
    assert lengths.padded.tolist() == [8, 24, 20]
    assert not lengths.exact


def test_one_fixed_length_is_exact_in_any_graph(word_tokenizer: Path) -> None:
    fixed = Tokenizer(word_tokenizer, max_length=20, buckets=[20])
    assert lengths_from_steps([fixed], REQUESTS, bls=True).padded.tolist() == [20, 40, 20]
    assert lengths_from_steps([fixed], REQUESTS, bls=True).exact


def test_where_texts_have_their_own_lengths_nothing_is_padded(word_tokenizer: Path) -> None:
    lengths = lengths_from_steps([Tokenizer(word_tokenizer, max_length=20, buckets=[])], REQUESTS, bls=True)
    assert lengths.buckets == ()
    assert lengths.exact
    assert lengths.waste(np.array([1, 1, 1])) == 0


def test_a_common_length_depends_on_what_meets(word_tokenizer: Path) -> None:
    common = Tokenizer(word_tokenizer, max_length=20, buckets=[8, 16, 20], common_length=True)
    assert not lengths_from_steps([common], REQUESTS, bls=False).exact


def test_without_the_repository_nothing_is_known(tmp_path: Path) -> None:
    front = Front(Part("bls", "steps", 1))
    assert lengths_from_repository(None, front, REQUESTS) is None
    assert lengths_from_repository(tmp_path, front, REQUESTS) is None


def test_bars_are_as_wide_as_it_takes_for_thirty_of_them() -> None:
    assert histogram(np.array([1, 1, 3])) == (1, [2, 0, 1])
    assert histogram(np.array([8, 9, 300]))[0] == 16
    assert sum(histogram(np.array([8, 9, 300]))[1]) == 3


def test_lengths_say_how_many_were_cut() -> None:
    one = Lengths(np.array([4]), np.array([9]), np.array([4]), np.array([8]), True, (8,), 4)
    assert one.truncated == 1
