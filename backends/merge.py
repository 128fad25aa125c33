"""What the engine says of a text's windows to what it says of the text: rules for vectors, for tokens, for weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

Tensors = dict[str, np.ndarray]
Specs = dict[str, tuple[str, list[int]]]


class Merge:
    """One vector for each text from those of its windows; that of a text with one window is left as it is.

    Args:
        folder: the version folder; nothing is read from it.
        rule: mean, max; softmax, sigmoid (logits of the mean probabilities); surest (the window whose class `by` is the
            most probable). A mean counts each window by the text's tokens that are its own.
        size: how many numbers a vector has.
        by: a class, for surest.
        takes, gives: names of the vectors.
    """

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        rule: str,
        size: int,
        by: int = 0,
        takes: str = "outputs",
        gives: str = "outputs",
    ) -> None:
        self.rule = RULES[rule]
        self.by = by
        self.takes, self.gives = takes, gives
        self.inputs: Specs = {
            takes: ("TYPE_FP32", [size]),
            "window_text": ("TYPE_INT32", [1]),
            "window_own": ("TYPE_INT32", [-1]),
        }
        self.outputs: Specs = {gives: ("TYPE_FP32", [size])}

    def __call__(self, window_text: np.ndarray, window_own: np.ndarray, **vectors: np.ndarray) -> Tensors:
        """The vectors (windows, size), window_text (windows, 1), window_own (windows, length). Gives (texts, size)."""
        values = vectors[self.takes]
        starts = first_windows(window_text)
        if len(starts) == len(values):
            return {self.gives: values}
        counts = np.diff(starts, append=len(values))
        tokens = np.maximum(window_own.sum(axis=1, dtype=np.float64), 1)  # an empty text has none
        shares = tokens / np.repeat(np.add.reduceat(tokens, starts), counts)
        merged = self.rule(values, shares[:, None], starts, self.by)
        return {self.gives: np.where((counts == 1)[:, None], values[starts], merged).astype(values.dtype)}


class JoinTokens:
    """The tokens of each text in one row, each as the window says it in which it has the most context.

    Args:
        folder: the version folder; nothing is read from it.
        size: how many numbers a token has.
        data_type: of input_ids.
    """

    def __init__(self, folder: Path, *, size: int, data_type: str = "TYPE_INT64") -> None:  # noqa: ARG002
        tokens: Specs = {
            "outputs": ("TYPE_FP32", [-1, size]),
            "input_ids": (data_type, [-1]),
            "offsets": ("TYPE_INT32", [-1, 2]),
        }
        self.inputs: Specs = tokens | {"window_text": ("TYPE_INT32", [1]), "window_own": ("TYPE_INT32", [-1])}
        self.outputs: Specs = tokens | {"special_tokens_mask": ("TYPE_INT32", [-1])}

    def __call__(self, window_text: np.ndarray, window_own: np.ndarray, **tokens: np.ndarray) -> Tensors:
        """outputs, input_ids, offsets (windows, length, ...). Gives them (texts, most tokens of any text, ...), without
        special tokens, and special_tokens_mask, which is 1 behind a text's tokens.
        """
        windows, places = np.nonzero(window_own)
        texts = window_text[windows, 0]
        counts = np.bincount(texts, minlength=int(window_text[-1, 0]) + 1)
        slots = np.arange(len(texts)) - (counts.cumsum() - counts)[texts]
        shape = len(counts), max(1, int(counts.max()))
        joined = {name: np.zeros((*shape, *array.shape[2:]), array.dtype) for name, array in tokens.items()}
        for name, array in tokens.items():
            joined[name][texts, slots] = array[windows, places]
        behind = np.arange(shape[1]) >= counts[:, None]
        return joined | {"special_tokens_mask": behind.astype(np.int32)}


class LargestLogits:
    """The largest logit of each of the vocabulary's tokens over all tokens of a text's windows, as one token's.

    Args:
        folder: the version folder; nothing is read from it.
        size: how many tokens the vocabulary has.
        data_type: of attention_mask.
    """

    def __init__(self, folder: Path, *, size: int, data_type: str = "TYPE_INT64") -> None:  # noqa: ARG002
        self.outputs: Specs = {"outputs": ("TYPE_FP32", [-1, size]), "attention_mask": (data_type, [-1])}
        self.inputs: Specs = self.outputs | {"window_text": ("TYPE_INT32", [1]), "window_own": ("TYPE_INT32", [-1])}

    def __call__(
        self,
        outputs: np.ndarray,
        attention_mask: np.ndarray,
        window_text: np.ndarray,
        window_own: np.ndarray,  # noqa: ARG002 - used up: the largest counts wherever it is said
    ) -> Tensors:
        """outputs: (windows, length, vocabulary) logits. Gives outputs (texts, 1, vocabulary), attention_mask."""
        largest = outputs.max(axis=1, where=(attention_mask == 1)[:, :, None], initial=0)
        merged = np.maximum.reduceat(largest, first_windows(window_text), axis=0)
        return {"outputs": merged[:, None], "attention_mask": np.ones((len(merged), 1), attention_mask.dtype)}


def first_windows(window_text: np.ndarray) -> np.ndarray:
    """The row of each text's first window."""
    return np.flatnonzero(np.diff(window_text[:, 0], prepend=-1))


def mean(values: np.ndarray, shares: np.ndarray, starts: np.ndarray, _: int) -> np.ndarray:
    """The mean of each text's windows."""
    return np.asarray(np.add.reduceat(values * shares, starts, axis=0))


def largest(values: np.ndarray, _: np.ndarray, starts: np.ndarray, __: int) -> np.ndarray:
    """The largest number of each column."""
    return np.asarray(np.maximum.reduceat(values, starts, axis=0))


def log_mean(logarithms: np.ndarray, shares: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The logarithm of the mean of what these are the logarithms of."""
    counts = np.diff(starts, append=len(logarithms))
    tops = np.maximum.reduceat(logarithms, starts, axis=0)
    powers = np.exp(logarithms - np.repeat(tops, counts, axis=0))
    return np.asarray(np.log(np.add.reduceat(powers * shares, starts, axis=0)) + tops)


def mean_softmax(values: np.ndarray, shares: np.ndarray, starts: np.ndarray, _: int) -> np.ndarray:
    """Logits whose softmax is the mean of the windows' softmax."""
    return log_mean(log_softmax(values), shares, starts)


def mean_sigmoid(values: np.ndarray, shares: np.ndarray, starts: np.ndarray, _: int) -> np.ndarray:
    """Logits whose sigmoid is the mean of the windows' sigmoid."""
    likely, unlikely = (log_mean(-np.logaddexp(0, sign * values), shares, starts) for sign in (-1, 1))
    return np.asarray(likely - unlikely)


def surest(values: np.ndarray, _: np.ndarray, starts: np.ndarray, by: int) -> np.ndarray:
    """The vector of the window in which class `by` is the most probable."""
    chances = log_softmax(values)[:, by]
    ends = [*starts[1:].tolist(), len(values)]
    return values[[start + int(chances[start:end].argmax()) for start, end in zip(starts, ends, strict=True)]]


def log_softmax(values: np.ndarray) -> np.ndarray:
    """The logarithms of the probabilities over the last axis, in FP64."""
    tops = values.max(axis=-1, keepdims=True).astype(np.float64)
    return np.asarray(values - tops - np.log(np.exp(values - tops).sum(axis=-1, keepdims=True)))


RULES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]] = {
    "max": largest,
    "mean": mean,
    "sigmoid": mean_sigmoid,
    "softmax": mean_softmax,
    "surest": surest,
}
