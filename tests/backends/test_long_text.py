"""Texts longer than the model, in windows whose answers are merged; within the limit nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tbgen.export.tasks.table import TASKS
from tests.backends.conftest import Pair
from tests.backends.served import Served, Tensors, column, rows
from tests.texts import HARD_TEXTS, SENTENCES

CLASSIFIER = "AutoModelForSequenceClassification"
LONG = [
    " ".join(SENTENCES),
    "주가가 하루 만에 급락하며 투자자들의 불안이 커지고 있다 " * 9,
    "the shares rose 오늘도 상한가 [SEP] 갔다 🔥 " * 14,
]
MIXED = [*SENTENCES[:3], LONG[0], "", LONG[1], "🔥", LONG[2]]
WINDOWED = [name for name, task in TASKS.items() if task.windows]
STRIDE = 9  # odd, so that two windows share a token in their middle

# task: (auto class, its classes, what a client sends about these texts)
HEADS: dict[str, tuple[str, tuple[str, ...], Callable[[list[str]], Tensors]]] = {
    "text-classification": (CLASSIFIER, (), lambda texts: {"input_text": column(*texts)}),
    "token-classification": (
        "AutoModelForTokenClassification",
        ("O", "B-PER", "I-PER"),
        lambda texts: {"input_text": column(*texts)},
    ),
    "embedding": ("AutoModel", (), lambda texts: {"input_text": column(*texts)}),
    "rerank": (CLASSIFIER, ("score",), lambda texts: {"query": column("금리?"), "texts": np.array([texts], object)}),
    "similarity": ("AutoModel", (), lambda texts: {"query": column("금리?"), "texts": np.array([texts], object)}),
    "zero-shot-classification": (
        CLASSIFIER,
        ("contradiction", "neutral", "entailment"),
        lambda texts: {
            "input_text": column(*texts),
            "candidate_labels": np.array([["금리", "sports"]] * len(texts), object),
        },
    ),
    "sparse-embedding": ("AutoModelForMaskedLM", (), lambda texts: {"input_text": column(*texts)}),
}


def pair_of(exports: Callable[..., Pair], task: str, family: str = "bert", problem: str | None = None) -> Pair:
    auto, labels, _ = HEADS[task]
    return exports(family, auto, task, labels, problem)


class Reference:
    """Windows as transformers cuts them, and what its model says of each, alone."""

    def __init__(self, pair: Pair, auto: str) -> None:
        self.tokenizer = pair.tokenizer
        self.model = getattr(transformers, auto).from_pretrained(pair.folder).eval()

    def windows(self, *texts: str, strategy: bool | str = True) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each window: what the model says, and how many of the cut text's tokens are its own."""
        cut = self.tokenizer(*texts, truncation=strategy, max_length=40, stride=STRIDE, return_overflowing_tokens=True)
        side = 1 if strategy == "only_second" else 0
        lengths = [cut.sequence_ids(row).count(side) for row in range(len(cut["input_ids"]))]
        return [
            (self.answer({name: cut[name][row] for name in self.tokenizer.model_input_names}), own)
            for row, own in enumerate(owned(lengths))
        ]

    @torch.no_grad()
    def answer(self, inputs: dict[str, list[int]]) -> np.ndarray:
        said = self.model(**{name: torch.tensor([ids]) for name, ids in inputs.items()})
        return np.asarray(said[0][0].numpy(), dtype=np.float64)


def owned(lengths: list[int]) -> list[np.ndarray]:
    """Of each window of so many tokens, the places of those that have the most context in it, counted in the text."""
    starts = [sum(length - STRIDE for length in lengths[:number]) for number in range(len(lengths))]
    total = starts[-1] + lengths[-1]
    mine: list[list[int]] = [[] for _ in lengths]
    for token in range(total):
        contexts = [
            min(
                token - start if number else total,
                start + length - 1 - token if number < len(lengths) - 1 else total,
            )
            for number, (start, length) in enumerate(zip(starts, lengths, strict=True))
        ]
        inside = [context if context >= 0 else -1 for context in contexts]
        best = int(np.argmax(inside))
        mine[best].append(token - starts[best])
    return [np.array(places, dtype=int) for places in mine]


def mean(windows: list[tuple[np.ndarray, np.ndarray]], rule: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The mean of the windows, weighted by their own tokens."""
    weights = [len(own) for _, own in windows] if len(windows) > 1 else [1]
    return np.average([rule(said) for said, _ in windows], axis=0, weights=weights)


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def in_windows(folder: Path, task: str, pair: Pair, options: dict[str, Any] | None = None) -> Served:
    return Served(folder, task, pair.exported, {"stride": STRIDE} | (options or {}), long_text="windows")


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("task", WINDOWED)
def test_texts_within_the_limit_get_the_same_bits(
    exports: Callable[..., Pair], tmp_path: Path, task: str, family: str
) -> None:
    pair = pair_of(exports, task, family)
    texts = [text for text in HARD_TEXTS + SENTENCES if len(pair.tokenizer(text)["input_ids"]) <= 18]
    tensors = HEADS[task][2](texts)
    expected = Served(tmp_path / "truncate", task, pair.exported, long_text="truncate").ask("bls", tensors)
    found = Served(tmp_path / "windows", task, pair.exported, long_text="windows").ask("bls", tensors)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].tolist() == array.tolist(), name


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_classes_are_the_mean_of_the_windows_probabilities(
    exports: Callable[..., Pair], tmp_path: Path, family: str
) -> None:
    pair = pair_of(exports, "text-classification", family)
    reference = Reference(pair, CLASSIFIER)
    answer = in_windows(tmp_path, "text-classification", pair).ask("bls", {"input_text": column(*MIXED)})
    assert len(reference.windows(LONG[0])) > 3
    for item, text in enumerate(MIXED):
        expected = mean(reference.windows(text), softmax)
        np.testing.assert_allclose(answer["softmax"][item], expected, atol=1e-5)
        assert answer["label_index"][item, 0] == expected.argmax()


@pytest.mark.parametrize(
    ("problem", "output", "rule"),
    [("multi_label_classification", "sigmoid", sigmoid), ("regression", "value", lambda values: values)],
)
def test_many_labels_and_regressions(
    exports: Callable[..., Pair], tmp_path: Path, problem: str, output: str, rule: Callable[[np.ndarray], np.ndarray]
) -> None:
    pair = pair_of(exports, "text-classification", problem=problem)
    reference = Reference(pair, CLASSIFIER)
    answer = in_windows(tmp_path, "text-classification", pair).ask("bls", {"input_text": column(*MIXED)})
    expected = [mean(reference.windows(text), rule) for text in MIXED]
    np.testing.assert_allclose(answer[output], expected, atol=1e-5)


def test_of_a_pair_the_longer_is_cut(exports: Callable[..., Pair], tmp_path: Path) -> None:
    pair = pair_of(exports, "text-classification")
    reference = Reference(pair, CLASSIFIER)
    firsts, seconds = [LONG[0], "금리는 동결", "a"], ["금리는 동결", LONG[1], "b"]
    served = in_windows(tmp_path, "text-classification", pair, {"pair": True})
    answer = served.ask("bls", {"input_text": column(*firsts), "text_pair": column(*seconds)})
    for item, strategy in enumerate(("only_first", "only_second", "only_second")):
        windows = reference.windows(firsts[item], seconds[item], strategy=strategy)
        np.testing.assert_allclose(answer["softmax"][item], mean(windows, softmax), atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_each_token_is_taken_from_the_window_with_most_context(
    exports: Callable[..., Pair], tmp_path: Path, family: str
) -> None:
    pair = pair_of(exports, "token-classification", family)
    reference = Reference(pair, "AutoModelForTokenClassification")
    answer = in_windows(tmp_path, "token-classification", pair).ask(
        "bls", {"input_text": column(*MIXED)}, aggregation="none"
    )
    names = list(reference.model.config.id2label.values())
    for item, text in enumerate(MIXED):
        whole = reference.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        said = np.concatenate([softmax(logits[1:-1][own]) for logits, own in reference.windows(text)])
        assert len(said) == len(whole["input_ids"])
        expected = [
            (names[best], *place)
            for best, place in zip(said.argmax(axis=1), whole["offset_mapping"], strict=True)
            if names[best] != "O"
        ]
        found = rows(answer, item, "entities_count", "entities_label", "entities_start", "entities_end")
        assert found == expected
        kept = said.max(axis=1)[said.argmax(axis=1) != 0]
        np.testing.assert_allclose(
            [s for (s,) in rows(answer, item, "entities_count", "entities_score")], kept, atol=1e-5
        )
    assert max(answer["entities_end"][3]) > 200


POOLS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cls": lambda states: states[0],
    "mean": lambda states: states.mean(axis=0),
    "max": lambda states: states.max(axis=0),
    "lasttoken": lambda states: states[-1],
}


@pytest.mark.parametrize("pooling", POOLS)
def test_vectors_are_the_mean_of_the_windows_vectors(
    exports: Callable[..., Pair], tmp_path: Path, pooling: str
) -> None:
    pair = pair_of(exports, "embedding")
    reference, pool = Reference(pair, "AutoModel"), POOLS[pooling]
    served = in_windows(tmp_path, "embedding", pair, {"pooling": pooling, "dims": 16})
    answer = served.ask("bls", {"input_text": column(*MIXED)})["embedding"]
    for item, text in enumerate(MIXED):
        windows = reference.windows(text)
        largest = np.max([pool(states) for states, _ in windows], axis=0)
        vector = (largest if pooling == "max" else mean(windows, pool))[:16]
        np.testing.assert_allclose(answer[item], vector / np.linalg.norm(vector), atol=1e-5)


def test_similarity_compares_merged_vectors(exports: Callable[..., Pair], tmp_path: Path) -> None:
    pair = pair_of(exports, "similarity")
    reference = Reference(pair, "AutoModel")
    tensors = {"query": column(LONG[1]), "texts": np.array([MIXED], object)}
    answer = in_windows(tmp_path, "similarity", pair).ask("bls", tensors)
    query, *texts = [mean(reference.windows(text), POOLS["mean"]) for text in [LONG[1], *MIXED]]
    cosines = [query @ text / np.linalg.norm(query) / np.linalg.norm(text) for text in texts]
    np.testing.assert_allclose(answer["scores"][0], cosines, atol=1e-5)


def test_a_text_ranks_by_its_best_window(exports: Callable[..., Pair], tmp_path: Path) -> None:
    pair = pair_of(exports, "rerank")
    reference = Reference(pair, CLASSIFIER)
    texts = [text for text in MIXED if text]  # transformers reads one pair with an empty text as a single text
    tensors = {"query": column("금리?", "KOSPI"), "texts": np.array([texts] * 2, object)}
    answer = in_windows(tmp_path, "rerank", pair).ask("bls", tensors, sigmoid=False)
    for item, query in enumerate(("금리?", "KOSPI")):
        windows = [reference.windows(query, text, strategy="only_second") for text in texts]
        expected = [max(said[0] for said, _ in each) for each in windows]
        np.testing.assert_allclose(answer["scores"][item], expected, atol=1e-5)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_hypothesis_follows_from_the_window_that_entails_it_most_surely(
    exports: Callable[..., Pair], tmp_path: Path, multi_label: bool
) -> None:
    pair = pair_of(exports, "zero-shot-classification")
    reference = Reference(pair, CLASSIFIER)
    names = ["금리", "배당금이 들어왔다"]
    tensors = {"input_text": column(*MIXED), "candidate_labels": np.array([names] * len(MIXED), object)}
    answer = in_windows(tmp_path, "zero-shot-classification", pair).ask("bls", tensors, multi_label=multi_label)
    for item, text in enumerate(MIXED):
        windows = [reference.windows(text, f"This example is {name}.", strategy="only_first") for name in names]
        said = np.array(
            [max((logits for logits, _ in each), key=lambda logits: softmax(logits)[2]) for each in windows]
        )
        expected = softmax(said[:, [0, 2]])[:, 1] if multi_label else softmax(said[:, 2])
        order = np.argsort(-expected)
        assert answer["labels"][item].tolist() == [names[index] for index in order]
        np.testing.assert_allclose(answer["scores"][item], expected[order], atol=1e-5)


def test_sparse_weights_are_the_largest_of_any_window(exports: Callable[..., Pair], tmp_path: Path) -> None:
    pair = pair_of(exports, "sparse-embedding")
    reference = Reference(pair, "AutoModelForMaskedLM")
    answer = in_windows(tmp_path, "sparse-embedding", pair).ask("bls", {"input_text": column(*MIXED)})
    for item, text in enumerate(MIXED):
        logits = np.concatenate([said for said, _ in reference.windows(text)])
        expected = np.log1p(np.maximum(logits, 0)).max(axis=0)
        found = dict(rows(answer, item, "token_count", "token_ids", "token_weights"))
        assert set(found) == set(np.flatnonzero(expected).tolist())
        np.testing.assert_allclose([found[index] for index in sorted(found)], expected[expected > 0], atol=1e-5)
