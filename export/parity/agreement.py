"""Do answers stay what they are for? What a task makes of its numbers, held to bounds of its own beside FP32's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tbgen.backends.embedding import POOLINGS
from tbgen.backends.question_answering import LONGEST_ANSWER
from tbgen.backends.sparse_embedding import LOGARITHMS
from tbgen.backends.sparse_embedding import POOLINGS as SPARSE_POOLINGS
from tbgen.export.parity.sentences import pair_of
from tbgen.export.run import Run, Tensors
from tbgen.export.tasks.table import graph_of_export

if TYPE_CHECKING:
    from tbgen.export.exported import Exported

Encode = Callable[[Sequence[Any]], Tensors]  # texts, or pairs of them

# What is measured, the least that FP16 and INT8 must reach, as docs/explanation/export.md says; FP32 has a tolerance.
BOUNDS = {
    "cosine": {"fp16": 0.9999, "int8": 0.995},
    "same nearest text": {"fp16": 0.99, "int8": 0.95},
    "same texts of the nearest ten": {"fp16": 0.99, "int8": 0.95},
    "same first text": {"fp16": 0.99, "int8": 0.95},
    "same texts of the first ten": {"fp16": 0.99, "int8": 0.95},
    "same first word": {"fp16": 0.99, "int8": 0.95},
    "same words of the first ten": {"fp16": 0.99, "int8": 0.95},
    "same tokens of the heaviest ten": {"fp16": 0.99, "int8": 0.95},
    "same span": {"fp16": 0.99, "int8": 0.95},
    "same entities": {"fp16": 0.995, "int8": 0.98},
}
_TEN = 10
_NEIGHBOURS = 100  # texts from which on neighbours are counted: among few they are too easy to find
_QUERIES = 16  # of rerank, each with all texts up to:
_RANKED = 32
_PLACES = 4  # of a text, that are masked for fill-mask, one at a time
GROUP = 8
_MOST_NUMBERS = 1 << 25  # of a group's outputs: 128 MiB, held a few times over
_TIE = 1e-6  # scores nearer than this are equal in FP32, too
_NOTHING = "O"  # the label of a token outside all entities


def agreement(
    reference: Run, engine: Run, encode: Encode, texts: Sequence[str], exported: Exported
) -> dict[str, tuple[float, float]]:
    """What the task's answers have in common, and the least that they must, by the names of BOUNDS.

    Empty for classes, whose labels are counted, and for FP32.
    """
    measure, precision = _MEASURES.get(exported.task), exported.made.precision
    if measure is None or precision not in BOUNDS["cosine"]:
        return {}
    found = measure(reference, engine, encode, list(dict.fromkeys(texts)), exported)
    return {name: (value, BOUNDS[name][precision]) for name, value in found.items()}


def batch_size(exported: Exported, least: int = 1) -> int:
    """How many texts go through a model at once: fewer where outputs are large."""
    spec = next(iter(exported.outputs.values()))
    width = spec.shape[-1] if graph_of_export(exported).per_token and isinstance(spec.shape[-1], int) else 1
    return max(least, min(GROUP, _MOST_NUMBERS // (exported.max_length * width)))


def agreement_text(answers: Mapping[str, Sequence[float]]) -> str:
    """An agreement as a person reads it; what lies below its bound first, as refusals name it."""
    ordered = sorted(answers.items(), key=lambda each: each[1][0] >= each[1][1])
    return ", ".join(f"{name} {found:.4f} (at least {least:g})" for name, (found, least) in ordered)


def _both(
    reference: Run, engine: Run, encode: Encode, items: Sequence[Any], exported: Exported
) -> Iterator[tuple[Tensors, Tensors, Tensors]]:
    """Inputs and both outputs, for some items at a time, so that memory has a bound."""
    size = batch_size(exported)
    for start in range(0, len(items), size):
        inputs = encode(items[start : start + size])
        yield inputs, reference(inputs), engine(inputs)


def _vectors(reference: Run, engine: Run, encode: Encode, texts: Sequence[str], exported: Exported) -> dict[str, float]:
    """Vectors as they are served: how near FP32's they are, and whether the nearest of each is the same."""
    pairs = [
        (pool_states(want["outputs"], inputs, exported), pool_states(have["outputs"], inputs, exported))
        for inputs, want, have in _both(reference, engine, encode, texts, exported)
    ]
    want, have = (_scaled(np.concatenate(side)) for side in zip(*pairs, strict=True))
    found = {"cosine": _least(np.einsum("nd,nd->n", want, have))}
    if len(texts) >= _NEIGHBOURS:
        near, again = _others(want), _others(have)
        found |= {"same nearest text": same(near, again, 1), "same texts of the nearest ten": same(near, again, _TEN)}
    return found


def _others(rows: np.ndarray) -> np.ndarray:
    """The cosines of rows of length 1 with each other, none with itself."""
    cosines = np.asarray(rows @ rows.T)
    np.fill_diagonal(cosines, -np.inf)
    return cosines


def pool_states(states: np.ndarray, inputs: Tensors, exported: Exported) -> np.ndarray:
    """One vector a text; the graph's own where it pools."""
    if not graph_of_export(exported).per_token:
        return states
    named = exported.sentence.get("pooling", "mean")
    modes = [named] if isinstance(named, str) else named
    return np.concatenate([POOLINGS[mode](states, inputs["attention_mask"]) for mode in modes], axis=1)


def _sparse(reference: Run, engine: Run, encode: Encode, texts: Sequence[str], exported: Exported) -> dict[str, float]:
    """The words' weights of SPLADE."""
    pairs = [
        (weights(want["outputs"], inputs, exported), weights(have["outputs"], inputs, exported))
        for inputs, want, have in _both(reference, engine, encode, texts, exported)
    ]
    cosines = [np.einsum("nd,nd->n", _scaled(want), _scaled(have)) for want, have in pairs]
    shares = [same(want, have, _TEN) for want, have in pairs]
    sizes = [len(want) for want, _ in pairs]
    return {
        "cosine": _least(np.concatenate(cosines)),
        "same tokens of the heaviest ten": float(np.average(shares, weights=sizes)),
    }


def weights(logits: np.ndarray, inputs: Tensors, exported: Exported) -> np.ndarray:
    """(texts, vocabulary) weights, as they are served."""
    pool = SPARSE_POOLINGS[exported.sentence.get("pooling", "max")]
    return pool(logits, inputs["attention_mask"] == 1, LOGARITHMS[exported.sentence.get("activation", "relu")])


def _order(reference: Run, engine: Run, encode: Encode, texts: Sequence[str], exported: Exported) -> dict[str, float]:
    """The order of a query's texts: the beginnings of some are the queries."""
    ranked = texts[:: -(-len(texts) // _RANKED)]
    queries = [pair_of(text)[0] for text in ranked[:_QUERIES]]
    items = [(query, text) for query in queries for text in ranked]
    pairs = [
        (want["outputs"][:, 0], have["outputs"][:, 0])
        for _, want, have in _both(reference, engine, encode, items, exported)
    ]
    want, have = (np.concatenate(side).reshape(len(queries), -1) for side in zip(*pairs, strict=True))
    return {"same first text": same(want, have, 1), "same texts of the first ten": same(want, have, _TEN)}


def _words(reference: Run, engine: Run, encode: Encode, texts: Sequence[str], exported: Exported) -> dict[str, float]:
    """The words at a masked token: some tokens of each text, one at a time."""
    found = []
    for text in texts:
        inputs = encode([text])
        real = np.flatnonzero(inputs["attention_mask"][0])[1:-1]
        places = real[:: -(-len(real) // _PLACES)] if len(real) else real
        for place in places:
            ids = inputs["input_ids"].copy()
            ids[0, place] = exported.special["mask"]
            masked = {**inputs, "input_ids": ids}
            found.append((reference(masked)["outputs"][:, place], engine(masked)["outputs"][:, place]))
    if not found:
        return {}
    return {
        "same first word": float(np.mean([same(want, have, 1) for want, have in found])),
        "same words of the first ten": float(np.mean([same(want, have, _TEN) for want, have in found])),
    }


def _spans(reference: Run, engine: Run, encode: Encode, texts: Sequence[str], exported: Exported) -> dict[str, float]:
    """The best answer of each text."""
    equal = [
        best_span(want, row, kept) == best_span(have, row, kept)
        for inputs, want, have in _both(reference, engine, encode, texts, exported)
        for row, kept in enumerate(inputs["attention_mask"].sum(axis=1))
    ]
    return {"same span": float(np.mean(equal))}


def best_span(outputs: Tensors, row: int, length: int) -> tuple[int, int] | None:
    """First and last token of one text's best answer; none for NaN, which equals nothing that is found."""
    starts, ends = (outputs[name][row, :length] for name in ("start_logits", "end_logits"))
    scores = starts[:, None] + ends[None, :]
    if not np.isfinite(scores).all():
        return None
    allowed = np.triu(np.ones_like(scores)) - np.triu(np.ones_like(scores), LONGEST_ANSWER)
    first, last = divmod(int(np.where(allowed > 0, scores, -np.inf).argmax()), length)
    return first, last


def _entities(
    reference: Run, engine: Run, encode: Encode, texts: Sequence[str], exported: Exported
) -> dict[str, float]:
    """Runs of tokens of one label, all that either finds."""
    shared = found = 0
    for inputs, want, have in _both(reference, engine, encode, texts, exported):
        mask = inputs["attention_mask"].astype(bool)
        for row, kept in enumerate(mask):
            left, right = (runs(side["outputs"][row][kept].argmax(axis=-1), exported.labels) for side in (want, have))
            shared += len(left & right)
            found += len(left | right)
    return {"same entities": shared / found} if found else {}


def runs(labels: np.ndarray, names: Sequence[str]) -> set[tuple[int, int, int]]:
    """First token, last token and label of each run of one label, but those of nothing."""
    ends = [*np.flatnonzero(np.diff(labels)), len(labels) - 1]
    starts = [0, *(end + 1 for end in ends[:-1])]
    return {
        (int(start), int(end), int(labels[start]))
        for start, end in zip(starts, ends, strict=True)
        if names[labels[start]] != _NOTHING
    }


def same(want: np.ndarray, have: np.ndarray, count: int) -> float:
    """The mean share of each row's best `count` that are the best in FP32, too; what ties there counts."""
    if not np.isfinite(have).any(axis=-1).all() or np.isnan(have).any():
        return float("nan")
    count = min(count, want.shape[1])
    last = np.sort(want, axis=1)[:, -count][:, None]
    chosen = np.take_along_axis(want, np.argsort(-have, axis=1, kind="stable")[:, :count], axis=1)
    return float((chosen >= last - _TIE).mean())


def _scaled(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    rows = rows.astype(np.float64)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _least(values: np.ndarray) -> float:
    """The smallest; NaN where there is one."""
    return float(values.min())


_MEASURES: dict[str, Callable[[Run, Run, Encode, Sequence[str], Exported], dict[str, float]]] = {
    "embedding": _vectors,
    "similarity": _vectors,
    "sparse-embedding": _sparse,
    "rerank": _order,
    "fill-mask": _words,
    "question-answering": _spans,
    "token-classification": _entities,
}
