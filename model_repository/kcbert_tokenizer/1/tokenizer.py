"""Text to token ids: one `encode_batch_fast` call for a whole joined batch, padded to length buckets."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as TokenizerFile

NUMPY = {"TYPE_INT32": np.int32, "TYPE_INT64": np.int64}


class Tokenizer:
    """Encodes each text with the tokenizer.json beside this file, truncated to `max_length` tokens.

    Args:
        folder: the version folder, with tokenizer.json.
        max_length: most tokens of a text, special tokens included; never beyond the model's positions.
        tensors: what the engine takes, of input_ids, attention_mask, token_type_ids.
        data_type: TYPE_INT64 or TYPE_INT32, as the engine takes them.
        pad_id: id that fills input_ids behind a text.
        pad_to_multiple_of: lengths are rounded up to a multiple of this, and clipped at max_length.
        buckets: if given, the only lengths there are, ascending; the last one is max_length.
        common_length: pad all requests of a batch to one length, so that the engine's dynamic batcher can merge them;
            otherwise each request gets the bucket of its own longest text.
        long_text: "truncate", or "reject" texts of more than max_length tokens.
    """

    inputs = {"input_text": ("TYPE_STRING", [1])}

    def __init__(
        self,
        folder: Path,
        *,
        max_length: int,
        tensors: Sequence[str] = ("input_ids", "attention_mask", "token_type_ids"),
        data_type: str = "TYPE_INT64",
        pad_id: int = 0,
        pad_to_multiple_of: int = 8,
        buckets: Sequence[int] | None = None,
        common_length: bool = False,
        long_text: str = "truncate",
    ) -> None:
        self.tokenizer = TokenizerFile.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        if long_text == "truncate":
            self.tokenizer.enable_truncation(max_length)
        self.max_length = max_length
        self.pad_id = pad_id
        multiples = range(pad_to_multiple_of, max_length + pad_to_multiple_of, pad_to_multiple_of)
        self.buckets = list(buckets or [min(length, max_length) for length in multiples])
        self.common_length = common_length
        self.dtype = NUMPY[data_type]
        self.outputs = {name: (data_type, [-1 if len(self.buckets) > 1 else self.buckets[0]]) for name in tensors}

    def __call__(self, input_text: np.ndarray) -> dict[str, np.ndarray]:
        """input_text: (batch, 1) str. Gives the token tensors, each (batch, bucket)."""
        encodings = self.tokenizer.encode_batch_fast(input_text[:, 0].tolist())
        lengths = np.fromiter(map(len, encodings), dtype=np.int64, count=len(encodings))
        longest = int(lengths.max(initial=1))
        if longest > self.max_length:
            raise ValueError(f"a text has {longest} tokens; the model takes at most {self.max_length}")
        real = np.arange(self.bucket(longest)) < lengths[:, None]
        columns = {
            "input_ids": lambda: self.filled(real, (e.ids for e in encodings), self.pad_id),
            "attention_mask": lambda: real.astype(self.dtype),
            "token_type_ids": lambda: self.filled(real, (e.type_ids for e in encodings), 0),
        }
        return {name: columns[name]() for name in self.outputs}

    def filled(self, real: np.ndarray, rows: Iterable[Sequence[int]], padding: int) -> np.ndarray:
        """(batch, bucket) array with the rows' values where `real` is true and `padding` elsewhere."""
        array = np.full(real.shape, padding, dtype=self.dtype)
        array[real] = np.fromiter(itertools.chain.from_iterable(rows), dtype=self.dtype)
        return array

    def bucket(self, length: int) -> int:
        """The smallest length bucket that holds `length` tokens."""
        return self.buckets[bisect_left(self.buckets, length)]

    def trim(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One request's rows, cut to the bucket of its own longest text unless all share a common length."""
        if self.common_length:
            return {}
        longest = int(tensors["attention_mask"].sum(axis=1).max(initial=1))
        width = self.bucket(longest)
        return {name: np.ascontiguousarray(tensors[name][:, :width]) for name in self.outputs}
