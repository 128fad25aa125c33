"""Question and context to token ids: a context longer than the model becomes overlapping windows, one row each."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer as TokenizerFile

NUMPY = {"TYPE_INT32": np.int32, "TYPE_INT64": np.int64}


class Windows:
    """Encodes each question with each window of its context, with the tokenizer.json beside this file.

    Args:
        folder: the version folder, with tokenizer.json.
        max_length: most tokens of a row, question and special tokens included.
        stride: tokens that two neighbouring windows share.
        tensors: what the engine takes, of input_ids, attention_mask, token_type_ids.
        data_type: TYPE_INT64 or TYPE_INT32, as the engine takes them.
        pad_id: id that fills input_ids behind a row.
        buckets: the lengths that rows are padded to, ascending; the last one is at least max_length.
        max_windows: most windows of one item.
    """

    inputs = {"question": ("TYPE_STRING", [1]), "context": ("TYPE_STRING", [1])}

    def __init__(
        self,
        folder: Path,
        *,
        max_length: int,
        buckets: Sequence[int],
        stride: int = 128,
        tensors: Sequence[str] = ("input_ids", "attention_mask", "token_type_ids"),
        data_type: str = "TYPE_INT64",
        pad_id: int = 0,
        max_windows: int = 256,
    ) -> None:
        self.tokenizer = TokenizerFile.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.max_length, self.stride, self.max_windows = max_length, stride, max_windows
        self.room = max_length - self.tokenizer.num_special_tokens_to_add(True)
        self.pad_id = pad_id
        self.buckets = list(buckets)
        self.dtype = NUMPY[data_type]
        self.outputs = {name: (data_type, [-1]) for name in tensors} | {
            "row_item": ("TYPE_INT32", [1]),
            "context_mask": ("TYPE_INT32", [-1]),
            "offsets": ("TYPE_INT32", [-1, 2]),
            "word_offsets": ("TYPE_INT32", [-1, 2]),
        }

    def __call__(self, question: np.ndarray, context: np.ndarray) -> dict[str, np.ndarray]:
        """question, context: (batch, 1) str. Gives rows of tokens, (rows, bucket), and the item that each belongs to.

        context_mask tells the context's tokens; offsets and word_offsets, (rows, bucket, 2), where in the context each
        token and the whole word around it lie, in characters. Raises ValueError.
        """
        texts = question[:, 0].tolist(), context[:, 0].tolist()
        self.check(*texts)
        encodings = self.encodings(*texts)
        row_item = np.repeat(np.arange(len(encodings)), [1 + len(e.overflowing) for e in encodings])
        rows = [window for e in encodings for window in (e, *e.overflowing)]
        lengths = np.array([len(row) for row in rows])
        real = np.arange(self.buckets[bisect_left(self.buckets, lengths.max())]) < lengths[:, None]
        tensors = {
            "input_ids": lambda: filled(real, (row.ids for row in rows), self.pad_id, self.dtype),
            "attention_mask": lambda: real.astype(self.dtype),
            "token_type_ids": lambda: filled(real, (row.type_ids for row in rows), 0, self.dtype),
            "row_item": lambda: row_item[:, None].astype(np.int32),
            "context_mask": lambda: filled(real, map(context_mask, rows), 0, np.int32),
            "offsets": lambda: filled(real, (row.offsets for row in rows), 0, np.int32),
            "word_offsets": lambda: filled(real, map(word_offsets, rows), 0, np.int32),
        }
        return {name: tensors[name]() for name in self.outputs}

    def check(self, questions: list[str], contexts: list[str]) -> None:
        """Raise ValueError for an empty text, a question that leaves no room for windows, or too many windows."""
        for name, texts in (("question", questions), ("context", contexts)):
            for item, text in enumerate(texts):
                if not text.strip():
                    raise ValueError(f"{name} of item {item} is empty")
        both = self.tokenizer.encode_batch_fast([*questions, *contexts], add_special_tokens=False)
        lengths = np.array([len(encoding) for encoding in both]).reshape(2, -1)
        for item, (asked, length) in enumerate(lengths.T.tolist()):
            advance = self.room - asked - self.stride
            if asked + length > self.room and advance < 1:
                most = asked + advance - 1
                raise ValueError(f"question of item {item} has {asked} tokens; at most {most} leave room for windows")
            if asked + length > self.room and length > advance * self.max_windows:
                most = advance * self.max_windows
                raise ValueError(f"context of item {item} has {length} tokens; at most {most} can be read")

    def encodings(self, questions: list[str], contexts: list[str]) -> list[Any]:
        """An encoding for each item, the windows behind its first in `overflowing`."""
        self.tokenizer.enable_truncation(self.max_length, stride=self.stride, strategy="only_second")
        try:
            return list(self.tokenizer.encode_batch(list(zip(questions, contexts, strict=True))))
        finally:
            self.tokenizer.no_truncation()


def filled(real: np.ndarray, rows: Iterable[Sequence[Any]], padding: int, dtype: type) -> np.ndarray:
    """(rows, bucket, ...) array with the rows' numbers, or pairs, where `real` is true and `padding` elsewhere."""
    values: np.ndarray = np.array(list(itertools.chain.from_iterable(rows)), dtype=dtype)
    array: np.ndarray = np.full((*real.shape, *values.shape[1:]), padding, dtype=dtype)
    array[real] = values
    return array


def context_mask(encoding: Any) -> list[bool]:
    """Which tokens are the context's own."""
    return [sequence == 1 for sequence in encoding.sequence_ids]


def word_offsets(encoding: Any) -> list[tuple[int, int]]:
    """Start and end of the whole word that each token belongs to, as far as it lies in this window."""
    offsets, words = encoding.offsets, list(zip(encoding.sequence_ids, encoding.word_ids, strict=True))
    spans: list[tuple[int, int]] = []
    for (_, word), tokens in itertools.groupby(range(len(words)), key=words.__getitem__):
        run = list(tokens)
        whole = (offsets[run[0]][0], offsets[run[-1]][1])
        spans.extend([whole] * len(run) if word is not None else [offsets[token] for token in run])
    return spans
