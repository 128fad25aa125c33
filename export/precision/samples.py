"""What goes into the matrix products of a graph on sentences that nothing is compared on: the numbers to round for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.errors import require
from tbgen.export.layout import LENGTHS
from tbgen.export.parity.sentences import calibration_sentences, pair_of
from tbgen.export.run import Tensors, Watch
from tbgen.export.tokenizers.tokenizer import COLUMNS, tokenizer_from_file

_LONGEST = 96  # tokens; bytes of Hangul take many
_ROWS = 3000  # tokens, at most, that are kept for a product


@dataclass(frozen=True)
class Samples:
    """The tokenizer's file of a graph, and the tokens that it reads: `longest` at most, or exactly `fixed_length`.

    `pad_id` fills short sentences up.
    `found` is what a conversion found on them, for the next of the same graph.
    """

    tokenizer: Path
    longest: int
    fixed_length: int | None = None
    pad_id: int = 0
    found: dict[Any, Any] = field(default_factory=dict)

    def inputs(self, graph: Any, *, pair: bool) -> Iterator[Tensors]:
        """The tensors of one sentence after the other; for a task on pairs, of its first half and itself."""
        tokenizer = tokenizer_from_file(self.tokenizer)
        tokenizer.enable_truncation(self.fixed_length or min(self.longest, _LONGEST))
        tokenizer.no_padding()
        if self.fixed_length:
            tokenizer.enable_padding(length=self.fixed_length, pad_id=self.pad_id)
        kind = require("onnx", extra="onnx").helper.tensor_dtype_to_np_dtype
        types = {tensor.name: kind(tensor.type.tensor_type.elem_type) for tensor in graph.input}
        for text in calibration_sentences():
            encoding = tokenizer.encode(*pair_of(text)) if pair else tokenizer.encode(text)
            yield {
                name: np.array([getattr(encoding, COLUMNS[name])], dtype=dtype)
                for name, dtype in types.items()
                if name != LENGTHS
            }


def token_rows(watch: Watch, inputs: Sequence[Tensors], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The rows, one a token, that these tensors of a graph have on the inputs: name -> (rows, width) float32.

    Of a long sentence some rows are left out, evenly, so that memory has a bound.
    """
    share = max(1, _ROWS // len(inputs))
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for tensors in inputs:
        for name, numbers in watch(tensors, names).items():
            rows = numbers.reshape(-1, numbers.shape[-1])
            found[name].append(rows[:: -(-len(rows) // share)].copy())
    return {name: np.concatenate(rows) for name, rows in found.items()}
