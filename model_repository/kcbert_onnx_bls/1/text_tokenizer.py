"""Texts to token ids: a whole joined batch is encoded at once, padded to the bucket of its longest text."""

import itertools
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer as TokenizerFile

Tensors = dict[str, np.ndarray]
KEEP_ALL = "do_not_truncate"
PARALLEL_FROM = 1024  # characters of a batch; for fewer, waking the library's threads costs more than it saves
MOST_CHARACTERS, MOST_OF_TEXT = 16_000_000, 1_000_000  # 200 bytes each; a second or two for who is beside it
LONG, WORD_END = 32, re.compile("(?<=[0-9A-Za-zÀ-ɏΑ-ωА-я가-힣]) (?=[0-9A-Za-zÀ-ɏΑ-ωА-я가-힣])")  # characters a token
GROWN, GROWTH, MANY = re.compile("[\u3200-\u33ff\ufdf0-\ufdff]"), 18, 100  # U+FDFA is 18 characters, normalized


@dataclass(eq=False)
class Tokenizer:
    """Encodes each text with the tokenizer.json beside this file."""

    folder: Path  # the version folder, with tokenizer.json
    _: KW_ONLY
    max_length: int  # most tokens of a text, special tokens included; never beyond the model's positions
    buckets: Sequence[int] = ()  # the lengths that there are, ascending; the last one is max_length. None: any length
    tensors: Sequence[str] = ("input_ids", "attention_mask", "token_type_ids")  # of these, what the engine takes
    data_type: str = "TYPE_INT64"  # or TYPE_INT32, as the engine takes them
    pad_id: int = 0  # id that fills input_ids behind a text
    truncation: str = "longest_first"  # on the side that tokenizer.json says; do_not_truncate: longer texts are refused
    words_alone: bool = False  # whether no token before a WORD_END depends on what stands behind it

    inputs = {"input_text": ("TYPE_STRING", [1])}

    def __post_init__(self) -> None:
        self.tokenizer = TokenizerFile.from_file(str(self.folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.side = (self.tokenizer.truncation or {}).get("direction", "right")
        self.encode = self.tokenizer.encode_batch_fast
        self.characters: Callable[[Any], int] = characters  # of a text
        self.typed = any(self.tokenizer.encode("a").type_ids)  # each of a text's tokens has the type that "a" has
        self.buckets = list(self.buckets or range(1, self.max_length + 1))
        self.dtype = np.dtype(self.data_type.removeprefix("TYPE_").lower())
        self.outputs = {key: (self.data_type, self.buckets if len(self.buckets) < 2 else [-1]) for key in self.tensors}
        self.parameters = {"truncation": {"type": "string", "enum": ["longest_first", KEEP_ALL]}}
        self.counts = Counter(texts=0, truncated=0)

    def __call__(self, *, truncation: str | None = None, **texts: np.ndarray) -> Tensors:
        """input_text: (batch, 1) str. Gives the token tensors, each (batch, bucket). Raises ValueError."""
        encodings = self.encodings(texts["input_text"][:, 0].tolist(), truncation)
        return self.token_tensors(encodings, lambda row: f"input_text of item {row}")

    def token_tensors(self, encodings: Sequence[Any], place: Callable[[int], str]) -> Tensors:
        """What the engine takes; `place` says what to call a row that is too long. Raises ValueError."""
        lengths = [len(each) for each in encodings]
        longest = max(lengths, default=1)
        if longest > self.max_length:
            where = place(lengths.index(longest))
            raise ValueError(f"{where}: {longest} tokens; the model takes at most {self.max_length}")
        self.counts["texts"] += len(lengths)
        self.counts["truncated"] += sum(len(each) == self.max_length and bool(each.overflowing) for each in encodings)
        real = np.arange(self.bucket(longest)) < np.array(lengths, dtype=np.int64)[:, None]
        tensors = {"attention_mask": real.astype(self.dtype), "token_type_ids": np.zeros(real.shape, self.dtype)}
        tensors["input_ids"] = filled(real, (each.ids for each in encodings), self.pad_id, self.dtype)
        if self.typed:
            tensors["token_type_ids"] = filled(real, (each.type_ids for each in encodings), 0, self.dtype)
        return {name: array for name, array in tensors.items() if name in self.outputs}

    def encodings(self, batch: list[Any], truncation: str | None) -> list[Any]:
        """The encodings of a batch; `truncation` rules for this call alone."""
        strategy = truncation or self.truncation
        if strategy == KEEP_ALL:
            self.tokenizer.no_truncation()
        else:
            self.tokenizer.enable_truncation(self.max_length, strategy=strategy, direction=self.side)
        total = checked_characters(map(self.characters, batch), MOST_CHARACTERS)
        if total > LONG * self.max_length:
            if self.words_alone and strategy != KEEP_ALL:
                batch = [self.enough_of(each) if isinstance(each, str) else each for each in batch]
            checked_characters(map(self.characters, batch))
        return [self.encode([each])[0] for each in batch] if total < PARALLEL_FROM else list(self.encode(batch))

    def enough_of(self, text: str) -> str:
        """What of a long text has all tokens that are kept, and one more; all of it where no part is sure to."""
        size, most = LONG * self.max_length, min(len(text) // 2, MOST_OF_TEXT)
        while (end := WORD_END.search(text, size, most)) and characters(part := text[: end.start()]) <= MOST_OF_TEXT:
            if self.encode([part])[0].overflowing:
                return part
            size = 4 * len(part)
        return text

    def bucket(self, length: int) -> int:
        """The smallest length bucket that holds `length` tokens."""
        return self.buckets[bisect_left(self.buckets, length)]


def characters(text: str) -> int:
    """How many a text has, or, where they are many, may have when it is normalized."""
    return len(text) + (GROWTH * len(GROWN.findall(text)) if len(text) > MANY else 0)


def checked_characters(sizes: Iterable[int], most_of_text: int = MOST_OF_TEXT) -> int:
    """How many all texts have; raises ValueError where one, or all, have more than others can wait for."""
    found = list(sizes)
    for what, size, most in (
        ("a text", max(found, default=0), most_of_text),
        ("all texts", sum(found), MOST_CHARACTERS),
    ):
        if size > most:
            raise ValueError(f"{what} counted as {size} characters; at most {most} are read: send less at once")
    return sum(found)


def filled(real: np.ndarray, rows: Iterable[Sequence[int]], padding: int, dtype: Any) -> np.ndarray:
    """(batch, bucket) array with the rows' numbers where `real` is true, and `padding` behind them."""
    array: np.ndarray = np.full(real.shape, padding, dtype)
    array[real] = np.fromiter(itertools.chain.from_iterable(rows), dtype)
    return array
