"""What the library that wrote a checkpoint answers, task by task: plain texts in, answers out, by its own defaults.

Both sides of a comparison become an Answer: the library's objects here, a served graph's tensors by the task's names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tbgen.backends.fill_mask import with_mask
from tbgen.export.parity.library import Library, known_warnings
from tbgen.export.run import Tensors
from tbgen.generator.compare.example import Item

_INFINITE = float("inf")


@dataclass(frozen=True)
class Answer:
    """One item's answer: numbers by what they belong to (a class, a token, a text), or a vector by its places.

    absent: the number of what is not named. cut: only the largest numbers are named; what is not has less than these.
    """

    scores: Mapping[Any, float]
    absent: float = _INFINITE
    cut: bool = False

    def of(self, key: Any) -> float:
        """A key's number; the largest that it can have where it is not named."""
        return self.scores.get(key, min(self.scores.values(), default=0.0) if self.cut else self.absent)


@dataclass(frozen=True)
class Answers:
    """How a task's answers are held against its library.

    items: texts -> items of requests. asked: a library and an item -> its answer. served: a graph's tensors -> it.
    ranks: whether the largest number is a decision.
    """

    items: Callable[[Library, Sequence[str]], list[Item]]
    asked: Callable[[Library, Item], Answer]
    served: Callable[[Tensors], Answer]
    ranks: bool = True


def _numbered(values: Any) -> Answer:
    """Numbers by their places."""
    return Answer(dict(enumerate(np.asarray(values, dtype=np.float64).ravel().tolist())))


def _texts_alone(_: Library, texts: Sequence[str]) -> list[Item]:
    """Each text is an item."""
    return [{"input_text": text} for text in texts]


def texts_in_pairs(_: Library, texts: Sequence[str]) -> list[Item]:
    """Each text with the next one."""
    return [{"input_text": text, "text_pair": texts[(number + 1) % len(texts)]} for number, text in enumerate(texts)]


def _queries_with_texts(_: Library, texts: Sequence[str]) -> list[Item]:
    """The first texts as queries, each with all the others."""
    return [{"query": query, "texts": [text for text in texts if text.strip()]} for query in texts[:2]]


def _texts_with_labels(_: Library, texts: Sequence[str]) -> list[Item]:
    """Each text with three labels."""
    return [
        {"input_text": text, "candidate_labels": ["금리", "good news", "Nachricht"]} for text in texts if text.strip()
    ]


def _texts_with_mask(library: Library, texts: Sequence[str]) -> list[Item]:
    """Each text with a mask at the end that is read however long the text."""
    mask, side = library.tokenizer.mask_token, library.tokenizer.truncation_side
    return [{"input_text": with_mask(text, mask, side)} for text in texts]


def _classes(library: Library, item: Item) -> Answer:
    """The classes' probabilities, or values of a regression, by transformers' pipeline; CrossEncoder has its own."""
    if library.kind == "CrossEncoder":
        pair = (item["input_text"], item["text_pair"])
        return _numbered(library.whole.predict([pair], show_progress_bar=False))
    texts = {"text": item["input_text"], **({"text_pair": item["text_pair"]} if "text_pair" in item else {})}
    found = library.pipeline("text-classification")(texts, top_k=None, truncation=True)
    by_label = {row["label"]: row["score"] for row in found}
    return _numbered([by_label[label] for label in library.checkpoint.labels])


def _classes_served(tensors: Tensors) -> Answer:
    """The classes' numbers under the name that goes with the activation; logits where they are always given."""
    return _numbered(next(tensors[name] for name in ("logits", "softmax", "sigmoid", "value") if name in tensors)[0])


def _entities(library: Library, item: Item) -> Answer:
    """Entities by place, label and word."""
    with known_warnings():
        pipe = library.pipeline("token-classification", aggregation_strategy="simple")
        found = pipe(item["input_text"])
    return Answer({(e["start"], e["end"], e["entity_group"], e["word"]): float(e["score"]) for e in found})


def _entities_served(tensors: Tensors) -> Answer:
    """The same of a graph."""
    names = ("entities_start", "entities_end", "entities_label", "entities_word", "entities_score")
    columns = [_plain(tensors[name][0, : int(tensors["entities_count"][0, 0])]) for name in names]
    return Answer({tuple(row): score for *row, score in zip(*columns, strict=True)})


def _vector(library: Library, item: Item) -> Answer:
    """A text's vector: sentence-transformers' own, or of a plain checkpoint the mean of its tokens, of length 1."""
    if library.kind == "SentenceTransformer":
        return _numbered(library.whole.encode([item["input_text"]], show_progress_bar=False)[0])
    return _numbered(_mean_vectors(library, [item["input_text"]])[0])


def _mean_vectors(library: Library, texts: Sequence[str]) -> np.ndarray:
    """(texts, size): the mean of each text's hidden states, of length 1."""
    found = np.stack([states.mean(0).numpy() for states in library.logits(texts)])
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _similarities(library: Library, item: Item) -> Answer:
    """How near each text is to the query."""
    if library.kind != "SentenceTransformer":
        query, *texts = _mean_vectors(library, [item["query"], *item["texts"]])
        return _numbered(np.stack(texts) @ query)
    query = library.whole.encode_query([item["query"]], show_progress_bar=False)
    return _numbered(
        library.whole.similarity(query, library.whole.encode_document(item["texts"], show_progress_bar=False))
    )


def _relevances(library: Library, item: Item) -> Answer:
    """How well each text answers the query, by CrossEncoder's own activation, of a plain checkpoint by sigmoid."""
    pairs = [(item["query"], text) for text in item["texts"]]
    if library.kind == "CrossEncoder":
        return _numbered(library.whole.predict(pairs, show_progress_bar=False))
    return _numbered([1 / (1 + np.exp(-float(logits[0]))) for logits in library.logits(pairs)])


def _fillings(library: Library, item: Item) -> Answer:
    """The best tokens for each mask."""
    found = library.pipeline("fill-mask")(item["input_text"], tokenizer_kwargs={"truncation": True})
    masks = found if isinstance(found[0], list) else [found]
    return Answer({(n, row["token"]): row["score"] for n, rows in enumerate(masks) for row in rows}, cut=True)


def _fillings_served(tensors: Tensors) -> Answer:
    """The same of a graph."""
    count = int(tensors["mask_count"][0, 0])
    rows = zip(tensors["token_ids"][0, :count].tolist(), tensors["token_scores"][0, :count].tolist(), strict=True)
    return Answer({(n, i): s for n, row in enumerate(rows) for i, s in zip(*row, strict=True)}, cut=True)


def _entailments(library: Library, item: Item) -> Answer:
    """How well each label fits."""
    found = library.pipeline("zero-shot-classification")(item["input_text"], item["candidate_labels"])
    return Answer(dict(zip(found["labels"], found["scores"], strict=True)))


def _entailments_served(tensors: Tensors) -> Answer:
    """The same of a graph."""
    return Answer(dict(zip(_plain(tensors["labels"][0]), tensors["scores"][0].tolist(), strict=True)))


def _weights(library: Library, item: Item) -> Answer:
    """The weights of the vocabulary's tokens: SparseEncoder's own, or of a plain checkpoint by the rule of SPLADE."""
    if library.kind == "SparseEncoder":
        found = library.whole.encode([item["input_text"]], convert_to_tensor=True, show_progress_bar=False).to_dense()[
            0
        ]
    else:
        found = library.logits([item["input_text"]])[0].relu().log1p().amax(0)
    return Answer({number: float(found[number]) for number in found.nonzero()[:, 0].tolist()}, absent=0.0)


def _weights_served(tensors: Tensors) -> Answer:
    """The same of a graph."""
    count = int(tensors["token_count"][0, 0])
    ids, values = tensors["token_ids"][0, :count].tolist(), tensors["token_weights"][0, :count].tolist()
    return Answer(dict(zip(ids, values, strict=True)), absent=0.0)


def _plain(array: np.ndarray) -> list[Any]:
    """An array as plain values, bytes as text."""
    return [value.decode("utf-8") if isinstance(value, bytes) else value for value in array.tolist()]


# transformers 5 has no pipeline for question answering; there the logits alone are held against it.
LIBRARY_ANSWERS = {
    "text-classification": Answers(_texts_alone, _classes, _classes_served),
    "token-classification": Answers(_texts_alone, _entities, _entities_served, ranks=False),
    "embedding": Answers(_texts_alone, _vector, lambda tensors: _numbered(tensors["embedding"][0]), ranks=False),
    "similarity": Answers(_queries_with_texts, _similarities, lambda tensors: _numbered(tensors["scores"][0])),
    "rerank": Answers(_queries_with_texts, _relevances, lambda tensors: _numbered(tensors["scores"][0])),
    "fill-mask": Answers(_texts_with_mask, _fillings, _fillings_served),
    "zero-shot-classification": Answers(_texts_with_labels, _entailments, _entailments_served),
    "sparse-embedding": Answers(_texts_alone, _weights, _weights_served),
}
