"""Texts longer than the model, in windows whose answers are merged, or refused; within the limit nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tbgen.backends.merge import JoinTokens, Merge
from tbgen.backends.windows import TextWindows
from tbgen.export.errors import UserError
from tbgen.export.tasks.table import TASKS
from tbgen.export.tasks.task import Task
from tbgen.generator.models.long_text import task_for
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
    texts = [text for text in HARD_TEXTS + SENTENCES if len(pair.tokenizer(text)["input_ids"]) <= 24]
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


def test_a_window_counts_by_its_own_tokens() -> None:
    own = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], dtype=np.int32)
    texts = np.array([[0], [0], [1]], dtype=np.int32)
    values = np.array([[4, 0], [0, 8], [5, 5]], dtype=np.float32)
    assert Merge(Path(), rule="mean", size=2)(texts, own, outputs=values)["outputs"].tolist() == [[3, 2], [5, 5]]
    assert Merge(Path(), rule="max", size=2)(texts, own, outputs=values)["outputs"].tolist() == [[4, 8], [5, 5]]
    surest = Merge(Path(), rule="surest", size=2, by=1)(texts, own, outputs=values)
    assert surest["outputs"].tolist() == [[0, 8], [5, 5]]


@pytest.mark.parametrize("rule", ["softmax", "sigmoid"])
def test_logits_beyond_the_range_of_exp_are_merged(rule: str) -> None:
    values = np.array([[1000, -1000], [-1000, 1000]], dtype=np.float32)
    merge = Merge(Path(), rule=rule, size=2)
    merged = merge(np.zeros((2, 1), np.int32), np.ones((2, 1), np.int32), outputs=values)["outputs"]
    assert np.isfinite(merged).all()
    np.testing.assert_allclose(softmax(merged[0].astype(float)), [0.5, 0.5])


def test_tokens_of_windows_become_one_row() -> None:
    own = np.array([[0, 1, 1, 0], [0, 0, 1, 0], [0, 1, 0, 0]], dtype=np.int32)
    ids = np.array([[2, 10, 11, 3], [2, 11, 12, 3], [2, 20, 3, 0]])
    joined = JoinTokens(Path(), size=1)(
        np.array([[0], [0], [1]], dtype=np.int32),
        own,
        input_ids=ids,
        outputs=ids[:, :, None].astype(np.float32),
        offsets=np.stack([ids, ids], axis=2),
    )
    assert joined["input_ids"].tolist() == [[10, 11, 12], [20, 0, 0]]
    assert joined["outputs"][0, :, 0].tolist() == [10, 11, 12]
    assert joined["offsets"][1].tolist() == [[20, 20], [0, 0], [0, 0]]
    assert joined["special_tokens_mask"].tolist() == [[0, 0, 0], [0, 1, 1]]


def test_a_text_of_too_many_windows_and_a_pair_without_room_are_refused(word_tokenizer: Path) -> None:
    step = TextWindows(word_tokenizer, max_length=10, buckets=[10], stride=2, max_windows=3)
    assert len(step(input_text=column("a", "a " * 20))["input_ids"]) == 4
    with pytest.raises(ValueError, match="input_text of item 1: 21 tokens; at most 20 can be read in windows"):
        step(input_text=column("a", "a " * 21))
    pairs = TextWindows(word_tokenizer, max_length=10, buckets=[10], stride=2, texts=("query", "text"), cut="second")
    with pytest.raises(ValueError, match="query and text of item 0: 15 tokens, of which 5 can be cut into windows"):
        pairs(query=column("a " * 7), text=column("b " * 5))


@pytest.mark.parametrize(
    ("task", "tensors", "sentence"),
    [
        ("text-classification", {"input_text": column("a", LONG[1])}, "input_text of item 1: 74 tokens; the model"),
        (
            "embedding",
            {"input_text": column("a", LONG[1])},
            "input_text of item 1: 74 tokens; the model takes at most 40",
        ),
        (
            "rerank",
            {"query": column("q", "q"), "texts": np.array([["a", "b"], ["a", LONG[1]]], object)},
            "query and texts of item 1, entry 1: 76 tokens; the model takes at most 40",
        ),
        (
            "similarity",
            {"query": column("q", LONG[1]), "texts": np.array([["a"], ["b"]], object)},
            "query of item 1: 74 tokens; the model takes at most 40",
        ),
        (
            "similarity",
            {"query": column("q", "q"), "texts": np.array([["a"], [LONG[1]]], object)},
            "texts of item 1, entry 0: 74 tokens; the model takes at most 40",
        ),
        (
            "zero-shot-classification",
            {"input_text": column(LONG[1]), "candidate_labels": np.array([["a"]], object)},
            "input_text and candidate_labels of item 0, entry 0: ",
        ),
    ],
)
def test_long_texts_can_be_rejected(
    exports: Callable[..., Pair], tmp_path: Path, task: str, tensors: Tensors, sentence: str
) -> None:
    served = Served(tmp_path, task, pair_of(exports, task).exported, long_text="reject")
    with pytest.raises(ValueError) as error:
        served.ask("bls", tensors)
    assert sentence in str(error.value)
    if "ensemble" in served.graphs:
        with pytest.raises(ValueError, match=sentence):
            served.ask("ensemble", tensors)


def test_question_answering_can_refuse_a_context_of_several_windows(
    exports: Callable[..., Pair], tmp_path: Path
) -> None:
    pair = exports("bert", "AutoModelForQuestionAnswering", "question-answering", ("start", "end"))
    served = Served(tmp_path, "question-answering", pair.exported, long_text="reject")
    fits = {"question": column("금리는?"), "context": column(SENTENCES[2])}
    usual = Served(tmp_path / "usual", "question-answering", pair.exported, long_text="windows").ask("bls", fits)
    assert served.ask("bls", fits)["answer_text"].tolist() == usual["answer_text"].tolist()
    with pytest.raises(ValueError, match="context of item 0 has 72 tokens; at most 35 can be read"):
        served.ask("bls", fits | {"context": column(LONG[1])})


@pytest.mark.parametrize(
    ("task", "long_text", "sentence"),
    [
        ("fill-mask", "windows", f"fill-mask cannot read windows: {TASKS['fill-mask'].no_windows}"),
        ("polarity", "windows", "polarity cannot read windows: no rule says how its answers would be merged"),
        ("question-answering", "truncate", "question-answering reads a long context in windows"),
    ],
)
def test_what_makes_no_sense_is_refused(task: str, long_text: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        task_for(task, TASKS.get(task, Task(lambda *_: (), like="text-classification")), long_text)
    assert sentence in error.value.message


@pytest.mark.parametrize(
    ("task", "options", "sentence"),
    [
        ("embedding", {"stride": 20}, "a stride of 20 is too long for windows of 40 tokens"),
        ("sparse-embedding", {"pooling": "sum"}, "windows are merged by the largest weight"),
    ],
)
def test_options_that_do_not_fit(
    exports: Callable[..., Pair], tmp_path: Path, task: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError) as error:
        Served(tmp_path, task, pair_of(exports, task).exported, options, long_text="windows")
    assert sentence in error.value.message
