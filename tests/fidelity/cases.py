"""The cases: a task and a kind of checkpoint for it, what is asked, how the library answers and how a graph does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.export.checkpoints import LABELS
from tests.fidelity import libraries
from tests.fidelity.libraries import SPANS, THRESHOLD, Asked, Item, descending, numbered
from tests.fidelity.made import MOST
from tests.fidelity.measure import Answer
from tests.fidelity.texts import TEXTS, with_lengths

Tensors = Mapping[str, np.ndarray]
Named = dict[str, Item]

CLASSIFIER, MASKED = "AutoModelForSequenceClassification", "AutoModelForMaskedLM"
CLASSES = tuple(LABELS.values())
QUESTION, LABEL, QUERY = "What rose?", "금리", "Which bank rose?"
CANDIDATES = [LABEL, "good news", "<s>Nachricht 🔥"]


def texts_alone(tokenizer: Any) -> Named:
    found = with_lengths(lambda text: len(tokenizer(text)["input_ids"]), MOST)
    return {name: {"input_text": text} for name, text in found.items()}


def texts_in_pairs(tokenizer: Any) -> Named:
    """Each text behind one question, which fixes the length, and before a text in its turn."""
    found = with_lengths(lambda text: len(tokenizer(QUERY, text)["input_ids"]), MOST)
    behind = {name: {"input_text": QUERY, "text_pair": text} for name, text in found.items()}
    partners = list(TEXTS.values())[::-1]
    before = {
        f"{name}, first": {"input_text": text, "text_pair": partner}
        for (name, text), partner in zip(TEXTS.items(), partners, strict=True)
    }
    return behind | before


def texts_with_mask(tokenizer: Any) -> Named:
    """Each text behind a mask, where it is read however long the text, and some around two."""
    mask = tokenizer.mask_token
    found = with_lengths(lambda text: len(tokenizer(f"{mask} {text}")["input_ids"]), MOST)
    around = {
        f"{name}, two masks": {"input_text": f"{text}{mask} {mask}{text}"}
        for name, text in found.items()
        if len(tokenizer(f"{text}{mask} {mask}")["input_ids"]) <= MOST
    }
    return {name: {"input_text": f"{mask} {text}"} for name, text in found.items()} | around


def texts_with_labels(tokenizer: Any) -> Named:
    found = with_lengths(lambda text: len(tokenizer(text, f"This example is {LABEL}.")["input_ids"]), MOST)
    return {name: {"input_text": text, "candidate_labels": CANDIDATES} for name, text in found.items() if text}


def queries(count: Callable[[Any, str], int]) -> Callable[[Any], Named]:
    """A few queries, each with all texts. count: the tokens of what is read with a text in it."""

    def items(tokenizer: Any) -> Named:
        texts = list(with_lengths(lambda text: count(tokenizer, text), MOST).values())
        asked = {"a query": QUERY, **{name: TEXTS[name] for name in ("empty", "pad tokens inside", "a long word")}}
        return {name: {"query": query, "texts": texts} for name, query in asked.items()}

    return items


def questions(tokenizer: Any) -> Named:
    found = with_lengths(lambda text: len(tokenizer(QUESTION, text)["input_ids"]), MOST)
    return {name: {"question": QUESTION, "context": text} for name, text in found.items() if text.strip()}


def column(tensors: Tensors, name: str, item: int, count: str = "") -> list[Any]:
    """What a tensor holds for an item, bytes as text; the first `count` of it where there is such a tensor."""
    row = tensors[name][item]
    found = row[: int(tensors[count][item, 0])] if count else row
    return [value.decode("utf-8") if isinstance(value, bytes) else value for value in found.tolist()]


def classes_served(tensors: Tensors, item: int) -> Answer:
    names, scores = column(tensors, "top_labels", item), column(tensors, "top_scores", item)
    [label], [score] = column(tensors, "label", item), column(tensors, "score", item)
    order = [label, *names[1:]]
    probabilities = dict(zip(CLASSES, column(tensors, "softmax", item), strict=True))
    return Answer({**probabilities, **dict(zip(names, scores, strict=True)), label: score}, [order])


def labels_served(tensors: Tensors, item: int) -> Answer:
    scores = dict(zip(CLASSES, column(tensors, "sigmoid", item), strict=True))
    named = column(tensors, "top_labels", item, "top_count")
    others = [label for label in descending(scores) if label not in named]
    return Answer({**scores, THRESHOLD: 0.5}, [[*named, THRESHOLD, *others]])


def values_served(tensors: Tensors, item: int) -> Answer:
    return Answer(dict(zip(CLASSES, column(tensors, "value", item), strict=True)))


def pairs_served(tensors: Tensors, item: int) -> Answer:
    order = [int(name.removeprefix("LABEL_")) for name in column(tensors, "top_labels", item)]
    return Answer(numbered(tensors["logits"][item]), [order])


def ranked_served(tensors: Tensors, item: int) -> Answer:
    return Answer(numbered(tensors["scores"][item]), [column(tensors, "ranking", item)])


def vectors_served(tensors: Tensors, item: int) -> Answer:
    return Answer(numbered(tensors["embedding"][item]))


def weights_served(tensors: Tensors, item: int) -> Answer:
    ids = column(tensors, "token_ids", item, "token_count")
    weights = column(tensors, "token_weights", item, "token_count")
    return Answer(dict(zip(ids, weights, strict=True)), [ids], absent=0.0)


def fillings_served(tensors: Tensors, item: int) -> Answer:
    masks = range(int(tensors["mask_count"][item, 0]))
    rows = {name: tensors[name][item] for name in ("token_ids", "tokens", "filled_text", "token_scores")}
    found: list[dict[Any, float]] = []
    for slot in masks:
        *named, scores = (column(rows, name, slot) for name in rows)
        found.append({(slot, *row): score for *row, score in zip(*named, scores, strict=True)})
    numbers = {key: score for each in found for key, score in each.items()}
    return Answer(numbers, [list(each) for each in found], absent=None)


def entailments_served(tensors: Tensors, item: int) -> Answer:
    named = column(tensors, "labels", item)
    return Answer(dict(zip(named, column(tensors, "scores", item), strict=True)), [named])


def rows_served(count: str, *names: str) -> Callable[[Tensors, int], Answer]:
    """Rows of tensors, the last of them the scores."""

    def served(tensors: Tensors, item: int) -> Answer:
        columns = [column(tensors, name, item, count) for name in names]
        numbers = {tuple(row): score for *row, score in zip(*columns, strict=True)}
        return Answer(numbers, [list(numbers)])

    return served


@dataclass(frozen=True)
class Case:
    """A task on a kind of checkpoint.

    auto: the class that transformers loads it with. encoder: the class of sentence-transformers that saves it.
    settings: its config.json's beside its sizes and labels. items: a tokenizer -> the items by name. asked: a folder ->
    the library's answers. served: a request's tensors and the number of an item -> that item's answer.
    named: whether a person must name the task, because nothing in the folder does.
    """

    task: str
    auto: str
    items: Callable[[Any], Named]
    asked: Callable[[Path], Asked]
    served: Callable[[Tensors, int], Answer]
    library: str
    labels: tuple[str, ...] = ()
    encoder: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    named: bool = False


def single(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text)["input_ids"])


def second(tokenizer: Any, text: str) -> int:
    return len(tokenizer(QUERY, text)["input_ids"])


ANSWERS = ("answer_text", "answer_start", "answer_end", "answer_score")
FOUND = ("entities_start", "entities_end", "entities_label", "entities_word", "entities_score")
CASES = {
    "text-classification": Case(
        "text-classification",
        CLASSIFIER,
        texts_alone,
        libraries.classes,
        classes_served,
        'pipeline("text-classification")',
        labels=CLASSES,
    ),
    "... by sigmoid": Case(
        "text-classification",
        CLASSIFIER,
        texts_alone,
        libraries.labels,
        labels_served,
        'pipeline("text-classification")',
        labels=CLASSES,
        settings={"problem_type": "multi_label_classification"},
    ),
    "... of a regression": Case(
        "text-classification",
        CLASSIFIER,
        texts_alone,
        libraries.values,
        values_served,
        'pipeline("text-classification")',
        labels=CLASSES,
        settings={"problem_type": "regression"},
    ),
    "... of pairs": Case(
        "text-classification",
        CLASSIFIER,
        texts_in_pairs,
        libraries.pairs,
        pairs_served,
        "CrossEncoder.predict",
        labels=("LABEL_0", "LABEL_1", "LABEL_2"),
        encoder="CrossEncoder",
    ),
    "token-classification": Case(
        "token-classification",
        "AutoModelForTokenClassification",
        texts_alone,
        libraries.entities,
        rows_served("entities_count", *FOUND),
        'pipeline("token-classification", aggregation_strategy="simple")',
        labels=("O", "B-PER", "I-PER", "B-ORG", "I-ORG"),
    ),
    "question-answering": Case(
        "question-answering",
        "AutoModelForQuestionAnswering",
        questions,
        libraries.spans,
        rows_served("answer_count", *ANSWERS),
        "AutoModelForQuestionAnswering, by the rule of docs/reference/tasks.md",
        parameters={"top_k": SPANS},
    ),
    "embedding": Case(
        "embedding",
        "AutoModel",
        texts_alone,
        libraries.vectors,
        vectors_served,
        "SentenceTransformer.encode",
        encoder="SentenceTransformer",
    ),
    "rerank": Case(
        "rerank",
        CLASSIFIER,
        queries(second),
        libraries.relevances,
        ranked_served,
        "CrossEncoder.rank",
        labels=("LABEL_0",),
        encoder="CrossEncoder",
    ),
    "similarity": Case(
        "similarity",
        "AutoModel",
        queries(single),
        libraries.similarities,
        ranked_served,
        "SentenceTransformer.similarity of encode_query and encode_document",
        encoder="SentenceTransformer",
        named=True,
    ),
    "fill-mask": Case(
        "fill-mask", MASKED, texts_with_mask, libraries.fillings, fillings_served, 'pipeline("fill-mask")'
    ),
    "zero-shot-classification": Case(
        "zero-shot-classification",
        CLASSIFIER,
        texts_with_labels,
        libraries.entailments,
        entailments_served,
        'pipeline("zero-shot-classification")',
        labels=("contradiction", "neutral", "entailment"),
        named=True,
    ),
    "sparse-embedding": Case(
        "sparse-embedding",
        MASKED,
        texts_alone,
        libraries.weights,
        weights_served,
        "SparseEncoder.encode",
        encoder="SparseEncoder",
    ),
}
