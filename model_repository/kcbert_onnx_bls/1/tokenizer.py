"""Text to token ids: a whole joined batch is encoded at once, padded to length buckets."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer as TokenizerFile

NUMPY = {"TYPE_INT32": np.int32, "TYPE_INT64": np.int64}

# What a head may ask for beside the engine's tensors: data type, and the dims behind the length.
EXTRAS = {"offsets": ("TYPE_INT32", [2]), "special_tokens_mask": ("TYPE_INT32", [])}
KEEP_ALL = "do_not_truncate"
PARALLEL_FROM = 1024  # characters of a batch; for fewer, waking the library's threads costs more than it saves
TRUNCATIONS = {1: ["longest_first", KEEP_ALL], 2: ["longest_first", "only_first", "only_second", KEEP_ALL]}


class Padded:
    """Rows of these lengths as arrays (rows, width), the rest padding. Rows that need none are copied at once.

    A row alone is made of Python's lists: each numpy function that is called costs more than the row.
    """

    def __init__(self, lengths: Sequence[int], width: int) -> None:
        self.shape = (len(lengths), width)
        self.length = lengths[0] if len(lengths) == 1 else None  # of a row alone
        whole = lengths.count(width) == len(lengths)
        self.real = (
            None if whole or self.length is not None else np.arange(width) < np.array(lengths, dtype=np.int64)[:, None]
        )

    def mask(self, dtype: type) -> np.ndarray:
        """(rows, width): 1 where a row is, 0 behind it."""
        if self.length is not None:
            return self.filled([[1] * self.length], 0, dtype)
        return np.ones(self.shape, dtype) if self.real is None else self.real.astype(dtype)

    def filled(
        self, rows: Iterable[Sequence[Any]], padding: int, dtype: type, each: tuple[int, ...] = ()
    ) -> np.ndarray:
        """(rows, width, *each) array with the rows' values, and `padding` behind them."""
        if self.length is not None:
            behind = [(padding,) * each[0] if each else padding] * (self.shape[1] - self.length)
            return np.array([[*row, *behind] for row in rows], dtype)
        if self.real is None:
            return np.array(list(rows), dtype).reshape(*self.shape, *each)
        values = itertools.chain.from_iterable(rows)
        flat = itertools.chain.from_iterable(values) if each else values
        array: np.ndarray = np.full((*self.shape, *each), padding, dtype)
        array[self.real] = np.fromiter(flat, dtype).reshape(-1, *each)
        return array


class Tokenizer:
    """Encodes each text, or each pair of texts, with the tokenizer.json beside this file.

    Args:
        folder: the version folder, with tokenizer.json.
        max_length: most tokens of a text or pair, special tokens included; never beyond the model's positions.
        texts: names of the input tensors: one for texts, two for pairs.
        tensors: what the engine takes, of input_ids, attention_mask, token_type_ids.
        extras: what the head takes beside them: offsets (in characters), special_tokens_mask, and tokenized_text (the
            text that the offsets count in, which a step before this one may have changed).
        data_type: TYPE_INT64 or TYPE_INT32, as the engine takes them.
        pad_id: id that fills input_ids behind a text.
        pad_to_multiple_of: lengths are rounded up to a multiple of this, and clipped at max_length.
        buckets: if given, the only lengths there are, ascending; the last one is max_length. None at all: any length.
        shapes: if given, the only shapes that the engine takes, each [least rows, most rows, least tokens, most
            tokens]; a request gets the smallest bucket that goes with its number of rows.
        common_length: pad all requests of a batch to one length, so that the engine's dynamic batcher can merge them;
            otherwise each request gets the bucket of its own longest text.
        truncation: longest_first, only_first, only_second, or do_not_truncate: longer texts are refused. The side
            that is cut is the one that tokenizer.json's truncation has.
        lower_case: lower-case each text before all else; offsets count in the text that this gives.
        split_special_tokens: read special tokens that stand in a text as any other words.
        token_types: give the types of tokens; otherwise 0 for each.
        rows_of: where a step made rows of items, what to call them in errors: names of an item's leading rows, and of
            all others; the step then takes row_item, and gives it on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_length: int,
        texts: Sequence[str] = ("input_text",),
        tensors: Sequence[str] = ("input_ids", "attention_mask", "token_type_ids"),
        extras: Sequence[str] = (),
        data_type: str = "TYPE_INT64",
        pad_id: int = 0,
        pad_to_multiple_of: int = 8,
        buckets: Sequence[int] | None = None,
        shapes: Sequence[Sequence[int]] = (),
        common_length: bool = False,
        truncation: str = "longest_first",
        lower_case: bool = False,
        split_special_tokens: bool = False,
        token_types: bool = True,
        rows_of: Sequence[str] = (),
    ) -> None:
        self.tokenizer = TokenizerFile.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.encode_special_tokens = split_special_tokens
        self.side = (self.tokenizer.truncation or {}).get("direction", "right")
        self.max_length = max_length
        self.truncation = truncation
        self.truncate(truncation)
        self.encode = self.tokenizer.encode_batch if "offsets" in extras else self.tokenizer.encode_batch_fast
        self.pad_id = pad_id
        self.lower_case = lower_case
        step = pad_to_multiple_of if buckets is None else 1
        self.buckets = list(buckets or [min(length, max_length) for length in range(step, max_length + step, step)])
        self.shapes = [tuple(shape) for shape in shapes]
        self.common_length = common_length
        self.dtype = NUMPY[data_type]
        # Of one text alone every token has the type that the tokenizer's template gives it.
        self.one_type = not token_types or (len(texts) == 1 and not any(self.tokenizer.encode("a").type_ids))
        length = -1 if len(self.buckets) > 1 else self.buckets[0]
        self.texts, self.rows_of = list(texts), list(rows_of)
        row_item = {"row_item": ("TYPE_INT32", [1])} if rows_of else {}
        self.inputs = {name: ("TYPE_STRING", [1]) for name in texts} | row_item
        self.outputs = {name: (data_type, [length]) for name in tensors}
        self.outputs |= {name: (EXTRAS[name][0], [length, *EXTRAS[name][1]]) for name in extras if name in EXTRAS}
        self.along_length = list(self.outputs)
        self.outputs |= {"tokenized_text": ("TYPE_STRING", [1])} if "tokenized_text" in extras else {}
        self.outputs |= row_item
        self.parameters = {"truncation": {"type": "string", "enum": TRUNCATIONS[len(texts)]}}

    def __call__(self, *, truncation: str | None = None, **texts: np.ndarray) -> dict[str, np.ndarray]:
        """The named texts, each (batch, 1) str. Gives the token tensors, each (batch, bucket), and the extras."""
        columns = [texts[name][:, 0].tolist() for name in self.texts]
        columns = [list(map(str.lower, column)) for column in columns] if self.lower_case else columns
        encodings = self.encodings(columns[0] if len(columns) == 1 else list(zip(*columns, strict=True)), truncation)
        lengths = [len(each) for each in encodings]
        longest = max(lengths, default=1)
        if longest > self.max_length:
            place = self.place(lengths.index(longest), texts.get("row_item"))
            raise ValueError(f"{place}: {longest} tokens; the model takes at most {self.max_length}")
        width = self.buckets[-1] if self.shapes else self.bucket(longest)  # a request alone may need a longer one
        shape = Padded(lengths, width)
        tensors = {
            "input_ids": lambda: shape.filled((e.ids for e in encodings), self.pad_id, self.dtype),
            "attention_mask": lambda: shape.mask(self.dtype),
            "token_type_ids": lambda: self.types(shape, encodings),
            "offsets": lambda: shape.filled((e.offsets for e in encodings), 0, np.int32, (2,)),
            "special_tokens_mask": lambda: shape.filled((e.special_tokens_mask for e in encodings), 1, np.int32),
            "tokenized_text": lambda: texts[self.texts[0]],
            "row_item": lambda: texts["row_item"],
        }
        return {name: tensors[name]() for name in self.outputs}

    def encodings(self, batch: list[Any], truncation: str | None) -> list[Any]:
        """The encodings of a batch; `truncation` rules for this call alone. Raises ValueError."""
        if truncation is not None:
            self.truncate(truncation)
        texts = batch if len(self.texts) == 1 else itertools.chain.from_iterable(batch)
        short = sum(map(len, texts)) < PARALLEL_FROM
        try:
            return [self.encode([each])[0] for each in batch] if short else list(self.encode(batch))
        except Exception as error:  # tokenizers raises nothing narrower
            if "Truncation error" not in str(error):
                raise
            names, how = " and ".join(self.texts), truncation or self.truncation
            raise ValueError(f"{names}: no pair fits into {self.max_length} tokens with truncation {how}") from error
        finally:
            if truncation is not None:
                self.truncate(self.truncation)

    def place(self, row: int, row_item: np.ndarray | None) -> str:
        """What to call a row in an error: the client's tensors, and the item."""
        if row_item is None:
            return f"{' and '.join(self.texts)} of item {row}"
        item = int(row_item[row, 0])
        number = row - int((row_item[:, 0] < item).sum())
        *leading, others = self.rows_of
        if number < len(leading):
            return f"{leading[number]} of item {item}"
        return f"{others} of item {item}, entry {number - len(leading)}"

    def truncate(self, strategy: str) -> None:
        """Set how the tokenizer cuts what is longer than max_length."""
        if strategy == KEEP_ALL:
            self.tokenizer.no_truncation()
        else:
            self.tokenizer.enable_truncation(self.max_length, strategy=strategy, direction=self.side)

    def types(self, shape: Padded, encodings: Iterable[Any]) -> np.ndarray:
        """(batch, bucket) token types: zeros, unless a pair or the tokenizer's template asks for others."""
        if self.one_type:
            return np.zeros(shape.shape, self.dtype)
        return shape.filled((e.type_ids for e in encodings), 0, self.dtype)

    def bucket(self, length: int) -> int:
        """The smallest length bucket that holds `length` tokens."""
        return self.buckets[bisect_left(self.buckets, length)]

    def bucket_for(self, rows: int, length: int) -> int:
        """The smallest bucket that holds `length` tokens and goes with so many rows; if none does, the smallest."""
        fitting = (
            bucket
            for bucket in self.buckets[bisect_left(self.buckets, length) :]
            for least_rows, most_rows, least_tokens, most_tokens in self.shapes
            if least_rows <= rows <= most_rows and least_tokens <= bucket <= most_tokens
        )
        return next(fitting, self.bucket(length))

    def trim(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One request's rows, cut to the bucket of its own longest text unless all share a common length."""
        if self.common_length:
            return {}
        longest = int(tensors["attention_mask"].sum(axis=1).max(initial=1))
        rows, most = tensors["attention_mask"].shape
        width = self.bucket_for(rows, longest)
        wide = {name: tensors[name] for name in self.along_length}
        return wide if width == most else {name: np.ascontiguousarray(array[:, :width]) for name, array in wide.items()}
