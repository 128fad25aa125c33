"""Texts, or pairs of texts, to token ids, with all that a task, a family, an ensemble or a plan may ask for."""

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from .item_rows import place_of_row, texts_of_rows
from .text_tokenizer import GROWN, GROWTH, KEEP_ALL, Tensors, characters, checked_characters, filled
from .text_tokenizer import Tokenizer as TextTokenizer

# What a head may ask for beside the engine's tensors: data type, and the dims behind the length.
EXTRAS = {"offsets": ("TYPE_INT32", [2]), "special_tokens_mask": ("TYPE_INT32", [])}
LONGEST_FIRST = "longest_first"
ONE_CUT = {"only_first": 0, "only_second": 1}  # which text of a pair is cut
PIECES = 64  # of a pair's texts, in lengths of the model: so many beside each other are cut off in no time
TRUNCATIONS = {1: [LONGEST_FIRST, KEEP_ALL], 2: [LONGEST_FIRST, "only_first", "only_second", KEEP_ALL]}


@dataclass(eq=False)
class Tokenizer(TextTokenizer):
    """Encodes each text, or each pair of texts, with the tokenizer.json beside this file.

    Of pairs, truncation may be only_first or only_second too.
    """

    _: KW_ONLY
    texts: Sequence[str] = ("input_text",)  # names of the input tensors: one for texts, two for pairs
    # What the head takes beside the engine's tensors: offsets (in characters), special_tokens_mask, and tokenized_text
    # (the text that the offsets count in, which a step before this one may have changed).
    extras: Sequence[str] = ()
    # If given, the only shapes that the engine takes, each [least rows, most rows, least tokens, most tokens]: a
    # request gets the smallest bucket that goes with its number of rows.
    shapes: Sequence[Sequence[int]] = ()
    # Pad all requests of a batch to one length, so that the engine's dynamic batcher can merge them; otherwise each
    # request gets the bucket of its own longest text.
    common_length: bool = False
    split_special_tokens: bool = False  # read special tokens that stand in a text as any other words
    token_types: bool = True  # give the types of tokens; otherwise 0 for each
    first_alone: bool = False  # of a pair whose second text is empty read the first alone, as transformers does
    # Where a step made rows of items, what to call them in errors: names of an item's leading rows, and of all others;
    # the step then takes row_item, and gives it on.
    rows_of: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.tokenizer.encode_special_tokens = self.split_special_tokens
        if "offsets" in self.extras:
            self.encode = self.tokenizer.encode_batch
        self.typed = self.token_types and (self.typed or len(self.texts) > 1)
        if len(self.texts) > 1:
            self.characters = lambda row: characters(row) if isinstance(row, str) else sum(map(characters, row))
        row_item = {"row_item": ("TYPE_INT32", [1])} if self.rows_of else {}
        self.inputs = {name: ("TYPE_STRING", [1]) for name in self.texts} | row_item
        length = -1 if len(self.buckets) > 1 else self.buckets[0]
        extras = {name: EXTRAS[name] for name in self.extras if name in EXTRAS}
        self.outputs |= {name: (data_type, [length, *dims]) for name, (data_type, dims) in extras.items()}
        self.along_length = list(self.outputs)
        self.outputs |= {"tokenized_text": ("TYPE_STRING", [1])} if "tokenized_text" in self.extras else {}
        self.outputs |= row_item
        self.parameters = {"truncation": {"type": "string", "enum": TRUNCATIONS[len(self.texts)]}}

    def __call__(self, *, truncation: str | None = None, **texts: np.ndarray) -> Tensors:
        """The named texts, each (batch, 1) str. Gives the token tensors, each (batch, bucket), and the extras."""
        columns = [texts[name][:, 0].tolist() for name in self.texts]
        encodings = self.encodings(texts_of_rows(columns, first_alone=self.first_alone), truncation)
        row_item = texts.get("row_item")
        tensors = self.token_tensors(encodings, lambda row: place_of_row(row, row_item, self.texts, self.rows_of))
        real = tensors["attention_mask"] == 1
        extras = {
            "offsets": lambda: pairs_filled(real, (each.offsets for each in encodings)),
            "special_tokens_mask": lambda: filled(real, (e.special_tokens_mask for e in encodings), 1, np.int32),
            "tokenized_text": lambda: texts[self.texts[0]],
            "row_item": lambda: texts["row_item"],
        }
        return tensors | {name: extras[name]() for name in self.outputs if name in extras}

    def encodings(self, batch: list[Any], truncation: str | None) -> list[Any]:
        """The encodings of a batch; `truncation` rules for this call alone. Raises ValueError."""
        how = truncation or self.truncation
        if len(self.texts) > 1 and how != KEEP_ALL and checked_characters(map(self.characters, batch)):
            batch = [self.shortened(row, how) if self.has_many_pieces(row, how) else row for row in batch]
        try:
            return super().encodings(batch, truncation)
        except Exception as error:  # tokenizers raises nothing narrower
            if "Truncation error" not in str(error):
                raise
            names = " and ".join(self.texts)
            raise ValueError(f"{names}: no pair fits into {self.max_length} tokens with truncation {how}") from error

    def has_many_pieces(self, row: str | tuple[str, str], how: str) -> bool:
        """Whether the pieces that are cut off of a pair may be many: each is an encoding of max_length tokens."""
        if isinstance(row, str):
            return False
        growth = GROWTH if any(map(GROWN.search, row)) else 1
        if how in ONE_CUT:  # into pieces as short as the room that the other text leaves, whose bytes may be tokens
            cut, other = row[ONE_CUT[how]], row[1 - ONE_CUT[how]]
            return len(cut) * growth > PIECES * max(1, self.max_length - 4 * growth * len(other))
        return len(row[0]) * len(row[1]) * growth**2 > PIECES * self.max_length**2

    def shortened(self, pair: tuple[str, str], how: str) -> tuple[str, ...]:
        """A pair that is cut to the same tokens, without most of what is cut off.

        The library makes an encoding of each piece cut off of one text beside each of the other: in all memory.
        """
        self.tokenizer.no_truncation()
        wholes = [self.tokenizer.encode(text, add_special_tokens=False) for text in pair]
        sides, most, spare = [0, 1], self.max_length, self.max_length
        if how in ONE_CUT:
            sides, spare = [ONE_CUT[how]], PIECES
            most -= self.tokenizer.num_special_tokens_to_add(True) + len(wholes[1 - ONE_CUT[how]])
        longer = int(len(wholes[1]) >= len(wholes[0]))  # of equal ones the second, as the library has it
        while 0 < most < min(len(wholes[side]) for side in sides):  # else hardly anything is cut off
            parts = list(pair)
            for side in sides:
                parts[side] = self.beginning(pair[side], wholes[side], (most + spare) * (1 + (side == longer)))
            found = [self.tokenizer.encode(text, add_special_tokens=False) for text in parts]
            as_long = len(sides) == 1 or int(len(found[1]) >= len(found[0])) == longer
            if as_long and all(self.alike(found[side], wholes[side], most) for side in sides):
                return tuple(parts)
            spare *= 2
        return pair

    def beginning(self, text: str, whole: Any, size: int) -> str:
        """The part of a text in which its first `size` tokens stand, or its last ones where the others are cut off."""
        if size >= len(whole):
            return text
        left = self.side == "left"
        return text[whole.offsets[-size][0] :] if left else text[: whole.offsets[size - 1][1]]

    def alike(self, part: Any, whole: Any, most: int) -> bool:
        """Whether of a part of a text the same `most` tokens are kept as of all of it, and something is cut off."""
        kept = slice(-most, None) if self.side == "left" else slice(most)
        return len(part) > most and bool(part.ids[kept] == whole.ids[kept])

    def bucket(self, length: int) -> int:
        """The bucket of a joined batch: where there are shapes the longest, which a request alone may need."""
        return self.buckets[-1] if self.shapes else super().bucket(length)

    def bucket_for(self, rows: int, length: int) -> int:
        """The smallest bucket that holds `length` tokens and goes with so many rows; if none does, the smallest."""
        fitting = (
            bucket
            for bucket in self.buckets[bisect_left(self.buckets, length) :]
            for least_rows, most_rows, least_tokens, most_tokens in self.shapes
            if least_rows <= rows <= most_rows and least_tokens <= bucket <= most_tokens
        )
        return next(fitting, super().bucket(length))

    def trim(self, tensors: Tensors) -> Tensors:
        """One request's rows, cut to the bucket of its own longest text unless all share a common length."""
        lengths = tensors["attention_mask"].sum(axis=1)
        rows, most = tensors["attention_mask"].shape
        width = most if self.common_length else self.bucket_for(rows, int(lengths.max(initial=1)))
        self.counts["tokens"] += int(lengths.sum())  # here: an engine that is a step counts its own
        self.counts["padded_tokens"] += rows * width
        wide = {name: tensors[name] for name in self.along_length}
        return wide if width == most else {name: np.ascontiguousarray(array[:, :width]) for name, array in wide.items()}


def pairs_filled(real: np.ndarray, rows: Iterable[Sequence[tuple[int, int]]]) -> np.ndarray:
    """(batch, bucket, 2) INT32 array with the rows' pairs where `real` is true, and zeros behind them."""
    array: np.ndarray = np.zeros((*real.shape, 2), np.int32)
    numbers = itertools.chain.from_iterable(itertools.chain.from_iterable(rows))
    array[real] = np.fromiter(numbers, np.int32).reshape(-1, 2)
    return array
