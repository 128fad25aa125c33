"""What the libraries themselves answer to raw text: a folder -> a function of an item. Nothing of tbgen is here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from tests.backends.spans import spans_by_the_rule
from tests.fidelity.made import MOST
from tests.fidelity.measure import Answer

Item = dict[str, Any]  # text, or list of texts, by input
Asked = Callable[[Item], Answer]
THRESHOLD = "threshold"  # stands between the labels that are named and those that are not
TOP = 5  # of many tokens, how many are named
SPANS = 3


def descending(numbers: dict[Any, float]) -> list[Any]:
    """The keys by their numbers, largest first; of equal ones the first stays first."""
    return sorted(numbers, key=lambda key: -numbers[key])


def numbered(values: Any) -> dict[Any, float]:
    """Numbers by their places."""
    return dict(enumerate(np.asarray(values, dtype=np.float64).ravel().tolist()))


def pipeline(task: str, folder: Path, **settings: Any) -> Any:
    """transformers' pipeline on a folder."""
    return transformers.pipeline(task, str(folder), device="cpu", **settings)


def sentence(kind: str, folder: Path) -> Any:
    """A class of sentence-transformers on a folder."""
    import sentence_transformers

    return getattr(sentence_transformers, kind)(str(folder), device="cpu")


def classes(folder: Path) -> Asked:
    pipe = pipeline("text-classification", folder)

    def asked(item: Item) -> Answer:
        rows = pipe(item["input_text"], top_k=None, truncation=True)
        return Answer({row["label"]: row["score"] for row in rows}, [[row["label"] for row in rows]])

    return asked


def labels(folder: Path) -> Asked:
    """Each label by itself: those above the threshold are named."""
    ask = classes(folder)

    def asked(item: Item) -> Answer:
        numbers = {**ask(item).numbers, THRESHOLD: 0.5}
        return Answer(numbers, [descending(numbers)])

    return asked


def values(folder: Path) -> Asked:
    ask = classes(folder)
    return lambda item: Answer(ask(item).numbers)


def pairs(folder: Path) -> Asked:
    model = sentence("CrossEncoder", folder)

    def asked(item: Item) -> Answer:
        numbers = numbered(model.predict([(item["input_text"], item["text_pair"])])[0])
        return Answer(numbers, [descending(numbers)])

    return asked


def relevances(folder: Path) -> Asked:
    model = sentence("CrossEncoder", folder)

    def asked(item: Item) -> Answer:
        rows = model.rank(item["query"], item["texts"])
        return Answer({row["corpus_id"]: float(row["score"]) for row in rows}, [[row["corpus_id"] for row in rows]])

    return asked


def vectors(folder: Path) -> Asked:
    model = sentence("SentenceTransformer", folder)
    return lambda item: Answer(numbered(model.encode(item["input_text"])))


def similarities(folder: Path) -> Asked:
    model = sentence("SentenceTransformer", folder)

    def asked(item: Item) -> Answer:
        scores = model.similarity(model.encode_query(item["query"]), model.encode_document(item["texts"]))
        return Answer(numbered(scores), [descending(numbered(scores))])

    return asked


def weights(folder: Path) -> Asked:
    model = sentence("SparseEncoder", folder)

    def asked(item: Item) -> Answer:
        found = numbered(model.encode(item["input_text"]).to_dense())
        return Answer(found, [descending(found)[: TOP + 1]])

    return asked


def fillings(folder: Path) -> Asked:
    """The best tokens of each mask, and twice as many to compare numbers with."""
    pipe = pipeline("fill-mask", folder, top_k=2 * TOP, tokenizer_kwargs={"truncation": True})

    def asked(item: Item) -> Answer:
        found = pipe(item["input_text"])
        masks = found if isinstance(found[0], list) else [found]
        named = [
            {(slot, row["token"], row["token_str"], row["sequence"]): row["score"] for row in rows}
            for slot, rows in enumerate(masks)
        ]
        numbers = {key: score for rows in named for key, score in rows.items()}
        return Answer(numbers, [descending(rows)[: TOP + 1] for rows in named])

    return asked


def entailments(folder: Path) -> Asked:
    pipe = pipeline("zero-shot-classification", folder)

    def asked(item: Item) -> Answer:
        found = pipe(item["input_text"], item["candidate_labels"])
        return Answer(dict(zip(found["labels"], found["scores"], strict=True)), [found["labels"]])

    return asked


def entities(folder: Path) -> Asked:
    """The pipeline's entities, taken by the surest class of the least sure token."""
    pipe = pipeline("token-classification", folder, aggregation_strategy="simple")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()

    def asked(item: Item) -> Answer:
        rows = pipe(item["input_text"])
        named = {(row["start"], row["end"], row["entity_group"], row["word"]): float(row["score"]) for row in rows}
        logits = model(**tokenizer(item["input_text"], truncation=True, return_tensors="pt")).logits[0, 1:-1]
        best = logits.softmax(-1).topk(2).values
        margin = float((best[:, 0] - best[:, 1]).min()) if len(best) else 1.0
        return Answer(named, [list(named)], margin)

    return asked


def spans(folder: Path) -> Asked:
    """transformers 5 has no pipeline: docs/reference/tasks.md's rule, around its model and its tokenizer."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    cut = {"max_length": MOST, "stride": MOST // 2}

    def asked(item: Item) -> Answer:
        found = spans_by_the_rule(tokenizer, model, item["question"], item["context"], cut, top_k=SPANS)
        numbers = {tuple(row): score for *row, score in found}
        return Answer(numbers, [list(numbers)])

    return asked
