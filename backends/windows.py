"""Texts longer than the model to token ids: they become overlapping windows, one row each."""

import itertools
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer as TokenizerFile

from .item_rows import place_of_row, texts_of_rows
from .numerics import NUMPY
from .text_tokenizer import characters, checked_characters

Specs = dict[str, tuple[str, list[int]]]
EXTRAS: Specs = {"offsets": ("TYPE_INT32", [-1, 2]), "tokenized_text": ("TYPE_STRING", [1])}


class WindowTokenizer:
    """What both steps here know: the tokenizer.json beside this file, and how its tokens become an engine's rows.

    Args:
        folder: the version folder, with tokenizer.json.
        max_length: most tokens of a row, special tokens included.
        stride: tokens that two neighbouring windows share.
        buckets: the lengths that rows are padded to, ascending; the last one is at least max_length. None: any length.
        max_windows: most windows of one text; none: MOST_WINDOWS.
        data_type: TYPE_INT64 or TYPE_INT32, as the engine takes them.
        pad_id: id that fills input_ids behind a row.
        split_special_tokens: read special tokens that stand in a text as any other words.
        token_types: give the types of tokens; otherwise 0 for each.
    """

    MOST_WINDOWS = 64
    outputs: Specs

    def __init__(
        self,
        folder: Path,
        *,
        max_length: int,
        stride: int,
        buckets: Sequence[int],
        max_windows: int | None = None,
        data_type: str = "TYPE_INT64",
        pad_id: int = 0,
        split_special_tokens: bool = False,
        token_types: bool = True,
    ) -> None:
        self.tokenizer = TokenizerFile.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.kept_from = (self.tokenizer.truncation or {}).get("direction", "right")
        self.tokenizer.no_truncation()
        self.tokenizer.encode_special_tokens = split_special_tokens
        self.max_length, self.stride, self.max_windows = max_length, stride, max_windows or self.MOST_WINDOWS
        self.buckets = list(buckets or range(1, max_length + 1))
        self.data_type, self.pad_id, self.token_types = data_type, pad_id, token_types
        self.counts = Counter(texts=0, windows=0)

    def cut_apart(self, batch: Sequence[Any], strategy: str, direction: str = "right") -> list[Any]:
        """An encoding for each text, or pair, the windows behind its first in `overflowing`."""
        self.tokenizer.enable_truncation(self.max_length, stride=self.stride, strategy=strategy, direction=direction)
        try:
            return list(self.tokenizer.encode_batch(list(batch)))
        finally:
            self.tokenizer.no_truncation()

    def tensors(self, rows: Sequence[Any], more: Mapping[str, Callable[[np.ndarray], Any]]) -> dict[str, np.ndarray]:
        """The outputs of rows of tokens, (rows, bucket); `more` makes others, of where the rows have tokens."""
        lengths = np.array([len(row) for row in rows])
        real = np.arange(self.buckets[bisect_left(self.buckets, lengths.max(initial=1))]) < lengths[:, None]
        dtype = NUMPY[self.data_type]
        made: dict[str, Callable[[np.ndarray], Any]] = {
            "input_ids": lambda _: filled(real, (row.ids for row in rows), self.pad_id, dtype),
            "attention_mask": lambda _: real.astype(dtype),
            "token_type_ids": lambda _: filled(real, (types_of(row, self.token_types) for row in rows), 0, dtype),
            "offsets": lambda _: filled(real, (row.offsets for row in rows), 0, np.int32),
            **more,
        }
        return {name: made[name](real) for name in self.outputs}


class Windows(WindowTokenizer):
    """Encodes each question with each window of its context, with the tokenizer.json beside this file.

    A context that is longer is cut into windows from the end that tokenizer.json's truncation keeps.

    Args:
        tensors: what the engine takes, of input_ids, attention_mask, token_type_ids.
        others: as those of WindowTokenizer; a row holds the question too, and `max_windows` are of one item.
    """

    MOST_WINDOWS = 256
    inputs = {"question": ("TYPE_STRING", [1]), "context": ("TYPE_STRING", [1])}
    example = {"question": "금리는?"}  # short: it stands in each window

    def __init__(self, folder: Path, *, tensors: Sequence[str], **others: Any) -> None:
        super().__init__(folder, **others)
        self.room = self.max_length - self.tokenizer.num_special_tokens_to_add(True)
        self.outputs = {name: (self.data_type, [-1]) for name in tensors} | {
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
        checked_characters(map(characters, itertools.chain(*texts)))
        self.check(*texts)
        encodings = self.cut_apart([*zip(*texts, strict=True)], "only_second", self.kept_from)
        row_item = np.repeat(np.arange(len(encodings)), [1 + len(e.overflowing) for e in encodings])
        rows = [window for e in encodings for window in (e, *e.overflowing)]
        self.counts.update(texts=len(encodings), windows=len(rows))
        more = {
            "row_item": lambda _: row_item[:, None].astype(np.int32),
            "context_mask": lambda real: filled(real, map(context_mask, rows), 0, np.int32),
            "word_offsets": lambda real: filled(real, map(word_offsets, rows), 0, np.int32),
        }
        return self.tensors(rows, more)

    def check(self, questions: list[str], contexts: list[str]) -> None:
        """Raise ValueError for an empty text, a question that leaves no room for windows, or too many windows."""
        for name, texts in (("question", questions), ("context", contexts)):
            for item, text in enumerate(texts):
                if not text.strip():
                    raise ValueError(f"{name} of item {item} is empty")
        both = self.tokenizer.encode_batch_fast([*questions, *contexts], add_special_tokens=False)
        for item in range(len(questions)):
            asked, length = len(both[item]), len(both[len(questions) + item])
            if asked + length <= self.room:
                continue
            advance = self.room - asked - self.stride
            if advance < 1 and self.max_windows > 1:
                most = asked + advance - 1
                raise ValueError(f"question of item {item} has {asked} tokens; at most {most} leave room for windows")
            most = max(self.room - asked, advance * self.max_windows)
            if length > most:
                raise ValueError(f"context of item {item} has {length} tokens; at most {most} can be read")


class TextWindows(WindowTokenizer):
    """Encodes each text, or each pair of texts; one that is longer than the model becomes overlapping windows.

    Args:
        texts: names of the input tensors: one for texts, two for pairs.
        cut: which of a pair is cut: first, second, or the longer; the other one is read with each window.
        tensors: what the engine takes, of input_ids, attention_mask, token_type_ids.
        extras: what the head takes beside them: offsets (in characters of the cut text), tokenized_text.
        first_alone: of a pair whose second text is empty read the first alone, as transformers' pipeline does.
        rows_of: where a step made rows of items, what to call them in errors: names of an item's leading rows, and of
            all others; the step then takes row_item, and gives it on.
        others: as those of WindowTokenizer.
    """

    def __init__(
        self,
        folder: Path,
        *,
        texts: Sequence[str] = ("input_text",),
        cut: str = "longer",
        tensors: Sequence[str],
        extras: Sequence[str] = (),
        first_alone: bool = False,
        rows_of: Sequence[str] = (),
        **others: Any,
    ) -> None:
        super().__init__(folder, **others)
        self.texts, self.cut, self.rows_of = list(texts), cut, list(rows_of)
        self.first_alone = first_alone
        row_item = {"row_item": ("TYPE_INT32", [1])} if rows_of else {}
        self.inputs: Specs = {name: ("TYPE_STRING", [1]) for name in texts} | row_item
        self.outputs = {name: (self.data_type, [-1]) for name in tensors} | row_item
        self.outputs |= {"window_text": ("TYPE_INT32", [1]), "window_own": ("TYPE_INT32", [-1])}
        self.outputs |= {name: EXTRAS[name] for name in extras}

    def __call__(self, **texts: np.ndarray) -> dict[str, np.ndarray]:
        """The named texts, each (batch, 1) str. Gives rows of tokens, (rows, bucket), each text's windows in order.

        window_text (rows, 1) tells which text a row belongs to, window_own (rows, bucket) the tokens that are the cut
        text's own and have no more context in another window: each token of a text once. Raises ValueError.
        """
        columns = [texts[name][:, 0].tolist() for name in self.texts]
        checked_characters(map(characters, itertools.chain(*columns)))
        batch = texts_of_rows(columns, first_alone=self.first_alone)
        whole = self.tokenizer.encode_batch(batch)
        sides = [self.side(encoding) for encoding in whole]
        self.check(whole, sides, texts.get("row_item"))
        windows = self.windows(batch, whole, sides)
        window_text = np.repeat(np.arange(len(whole), dtype=np.int32), list(map(len, windows)))
        rows = list(itertools.chain.from_iterable(windows))
        self.counts.update(texts=len(windows), windows=len(rows))
        own = (mask for made, side in zip(windows, sides, strict=True) for mask in own_tokens(made, side, self.stride))
        more = {
            "window_text": lambda _: window_text[:, None],
            "window_own": lambda real: filled(real, own, 0, np.int32),
            "tokenized_text": lambda _: texts[self.texts[0]],
            "row_item": lambda _: texts["row_item"],
        }
        return self.tensors(rows, more)

    def side(self, encoding: Any) -> int:
        """Which text of a row is cut, if it must be: 0 or 1."""
        if len(self.texts) == 1 or self.cut == "first":
            return 0
        if self.cut == "second":
            return 1
        sides = encoding.sequence_ids
        return int(sides.count(1) >= sides.count(0))

    def check(self, whole: Sequence[Any], sides: Sequence[int], row_item: np.ndarray | None) -> None:
        """Raise ValueError for a text that needs too many windows, or whose partner leaves no room for windows."""
        for row, (encoding, side) in enumerate(zip(whole, sides, strict=True)):
            if len(encoding) <= self.max_length:
                continue
            place = place_of_row(row, row_item, self.texts, self.rows_of)
            own = encoding.sequence_ids.count(side)
            room = self.max_length - (len(encoding) - own)
            advance = room - self.stride
            most = room + advance * (self.max_windows - 1)
            if advance < 1:
                raise ValueError(
                    f"{place}: {len(encoding)} tokens, of which {own} can be cut into windows; the "
                    f"model takes at most {self.max_length}, and the others leave no room for windows"
                )
            if own > most:
                raise ValueError(f"{place}: {own} tokens; at most {most} can be read in windows")

    def windows(self, batch: Sequence[Any], whole: Sequence[Any], sides: Sequence[int]) -> list[list[Any]]:
        """The encodings of each text: its own, or its windows."""
        windows = [[encoding] for encoding in whole]
        for side, strategy in enumerate(("only_first", "only_second")):
            long = [row for row, e in enumerate(whole) if len(e) > self.max_length and sides[row] == side]
            for row, encoding in zip(long, self.cut_apart([batch[row] for row in long], strategy), strict=True):
                windows[row] = [encoding, *encoding.overflowing]
        return windows


def own_tokens(windows: Sequence[Any], side: int, stride: int) -> Iterator[list[int]]:
    """For each window of a text, which of its tokens are the text's own, and nearer to its middle than to another's.

    Of the tokens that two neighbours share, the first half has more context in the first, the second in the second.
    """
    for number, window in enumerate(windows):
        own = np.array([sequence == side for sequence in window.sequence_ids], dtype=np.int32)
        places = np.flatnonzero(own)
        own[places[: (stride + 1) // 2 if number else 0]] = 0
        own[places[len(places) - (stride // 2 if number < len(windows) - 1 else 0) :]] = 0
        yield own.tolist()


def filled(real: np.ndarray, rows: Iterable[Sequence[Any]], padding: int, dtype: type) -> np.ndarray:
    """(rows, bucket, ...) array with the rows' numbers, or pairs, where `real` is true and `padding` elsewhere."""
    values: np.ndarray = np.array(list(itertools.chain.from_iterable(rows)), dtype=dtype)
    array: np.ndarray = np.full((*real.shape, *values.shape[1:]), padding, dtype=dtype)
    array[real] = values
    return array


def types_of(encoding: Any, given: bool) -> list[int]:
    """The types of a row's tokens, or 0 for each."""
    return encoding.type_ids if given else [0] * len(encoding)


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
