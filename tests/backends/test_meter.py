"""What models count: texts, truncations, padding, labels, errors; few counters, whatever a classifier's size."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tbgen.backends.meter import Meter, labels_counted
from tbgen.backends.softmax_classification import TextClassification
from tbgen.backends.text_tokenizer import Tokenizer as TextTokenizer
from tbgen.backends.tokenizer import Tokenizer
from tbgen.backends.windows import TextWindows
from tbgen.generator.local.backend_services import Metric, MetricFamily
from tests.waiting import wait_until


class Told(MetricFamily):
    """A family that keeps what is written, by the labels' values."""

    told: dict[tuple[str, ...], Metric]

    def Metric(self, labels: dict[str, str]) -> Metric:  # type: ignore[override]
        return self.told.setdefault(tuple(labels.values()), Metric(labels))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, ...], Metric]:
    monkeypatch.setattr(Told, "told", {}, raising=False)
    return Told.told


def texts(*each: str) -> np.ndarray:
    return np.array([[text] for text in each], dtype=object)


def test_counters_follow_what_steps_count(told: dict[tuple[str, ...], Metric]) -> None:
    step = SimpleNamespace(counts={"texts": 0, "labels=긍정": 0})
    meter = Meter("bls", [step], Told)
    assert [*told] == [
        ("bls", "SimpleNamespace", "0"),
        ("bls", "SimpleNamespace", "0", "texts", ""),
        ("bls", "SimpleNamespace", "0", "labels", "긍정"),
    ]
    step.counts["texts"] += 3
    meter.counts["errors=INVALID_ARG"] += 1
    meter.change()
    error = ("bls", "model", "1", "errors", "INVALID_ARG")
    wait_until(lambda: error in told and told[error].value() == 1)
    assert told[("bls", "SimpleNamespace", "0", "texts", "")].value() == 3
    meter.thread.shutdown()


@pytest.mark.parametrize("of", [TextTokenizer, Tokenizer])
def test_texts_and_those_cut_short_are_counted(of: type[TextTokenizer], word_tokenizer: Path) -> None:
    step = of(word_tokenizer, max_length=5)
    step(input_text=texts("a b c", "a b c d", "", "한글 🔥"))
    assert step.counts == {"texts": 4, "truncated": 1}
    with pytest.raises(ValueError, match="6 tokens"):
        step(input_text=texts("a", "a b c d"), truncation="do_not_truncate")
    assert step.counts == {"texts": 4, "truncated": 1}


def test_pairs_are_texts_that_can_be_cut_short(word_tokenizer: Path) -> None:
    step = Tokenizer(word_tokenizer, max_length=6, texts=("text", "text_pair"))
    step(text=texts("a", "a b c"), text_pair=texts("b", "d e"))
    assert step.counts == {"texts": 2, "truncated": 1}


@pytest.mark.parametrize(("common_length", "padded"), [(False, 3), (True, 6)])
def test_an_ensembles_tokenizer_counts_what_its_engine_is_sent(
    common_length: bool, padded: int, word_tokenizer: Path
) -> None:
    step = Tokenizer(word_tokenizer, max_length=8, common_length=common_length)
    tensors = step(input_text=texts("a", "a b c d"))
    step.trim({name: array[:1] for name, array in tensors.items()})
    assert (step.counts["tokens"], step.counts["padded_tokens"]) == (3, padded)


def test_windows_are_counted(word_tokenizer: Path) -> None:
    step = TextWindows(word_tokenizer, max_length=5, buckets=(), stride=1, tensors=["input_ids"])
    step(input_text=texts("a", "a b c d e"))
    assert step.counts == {"texts": 2, "windows": 3}


def test_the_best_label_of_each_text_is_counted(tmp_path: Path) -> None:
    step = TextClassification(tmp_path, labels=["부정", "긍정"])
    step(np.array([[0, 1], [2, 1], [0, 3]], dtype=np.float32))
    assert step.counts == {"labels=부정": 1, "labels=긍정": 2}


def test_of_many_classes_neighbours_are_counted_together() -> None:
    assert labels_counted(["=", "b"]) == ["labels==", "labels=b"]
    many = labels_counted([f"class {number}" for number in range(10_000)])
    assert (many[0], many[99], many[100], many[-1]) == (
        "labels=0-99",
        "labels=0-99",
        "labels=100-199",
        "labels=9900-9999",
    )
    assert len({*labels_counted(["x"] * 101)}) == 51
