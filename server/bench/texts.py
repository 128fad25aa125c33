"""The texts that a benchmark sends: the bundled corpus or a file, drawn into requests of the model's inputs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tbgen.export.errors import UserError
from tbgen.generator.compare.example import ANY, MAIN
from tbgen.generator.presets import SAMPLES
from tbgen.generator.texts import TextFile

_OWN_CORPUS = SAMPLES / "korean_finance.csv"
_LIST_TEXTS = 4  # texts in an input whose number of texts an item is open
_SEED = 0  # the same texts in the same order each time, so that two runs can be compared

Inputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Corpus:
    """Texts by column; `texts` is the column for inputs that have none of their own name."""

    source: str
    columns: Mapping[str, Sequence[str]]
    texts: Sequence[str]


@dataclass(frozen=True)
class TextInput:
    """One text tensor of a model: its shape in a request, batch axis included."""

    name: str
    shape: tuple[int, ...]


def corpus_from_file(file: TextFile | None = None) -> Corpus:
    """The rows of a file whose text holds something, by column; by default the bundled one's. Raises UserError."""
    file = file or TextFile(_OWN_CORPUS)
    rows = [(file.text_of(row, number), row) for number, row in enumerate(file.rows(), 1)]
    full = [(text, row if isinstance(row, dict) else {}) for text, row in rows if text.strip()]
    if not full:
        raise UserError(f"no text in {file.name}")
    names = [name for name in full[0][1] if all(isinstance(row.get(name), str) for _, row in full)]
    columns = {name: [row[name] for _, row in full] for name in names}
    return Corpus(file.path.name, columns, [text for text, _ in full])


def text_inputs(config: Mapping[str, Any], batch: int) -> list[TextInput]:
    """The text tensors of a request with `batch` items, from a model's configuration. Raises UserError."""
    name, limit = config["name"], int(config.get("max_batch_size", 0))
    tensors = [tensor for tensor in config["input"] if not tensor.get("optional")]
    if others := [tensor["name"] for tensor in tensors if tensor["data_type"] != "TYPE_STRING"]:
        raise UserError(f"model {name!r} takes {', '.join(others)}, which is not text, and no other input is drawn")
    if limit and batch > limit:
        raise UserError(f"model {name!r} takes at most {limit} texts a request, not {batch}; use a smaller --batch")
    return [TextInput(tensor["name"], _request_shape(tensor["dims"], bool(limit), batch)) for tensor in tensors]


def _request_shape(dims: Sequence[int | str], batching: bool, batch: int) -> tuple[int, ...]:
    """The shape of one text tensor of a request; without batching an open first axis is the batch."""
    sizes = [int(size) for size in dims]
    if batching:
        return (batch, *(_LIST_TEXTS if size == -1 else size for size in sizes))
    return (batch if sizes[0] == -1 else sizes[0], *(_LIST_TEXTS if size == -1 else size for size in sizes[1:]))


def requests_from_corpus(
    corpus: Corpus, inputs: Sequence[TextInput], count: int, item: Mapping[str, Any] | None = None
) -> list[Inputs]:
    """`count` requests, texts drawn at random so that they are as long as the corpus is; each text once if possible.

    item: what is known of an item (`said_of_folder`): a text takes a drawn one in its {}; a list without any stays.
    """
    generator = random.Random(_SEED)
    columns = {}
    for each in inputs:
        said = (item or {}).get(each.name, (item or {}).get(MAIN))
        same = isinstance(said, list) and not any(ANY in str(text) for text in said)  # in each item, such as labels
        if same and len(each.shape) == 2 and each.name not in corpus.columns:
            columns[each.name] = _repeated(said, each.shape[0], count)
        else:
            columns[each.name] = _drawn(corpus, each, count, generator, said)
    return [{name: column[index] for name, column in columns.items()} for index in range(count)]


def _repeated(texts: Sequence[str], items: int, count: int) -> np.ndarray:
    """(count, items, texts) array of UTF-8 bytes: a list in each item."""
    encoded = np.array([text.encode("utf-8") for text in texts], dtype=object)
    return np.broadcast_to(encoded, (count, items, len(texts))).copy()


def _drawn(corpus: Corpus, each: TextInput, count: int, generator: random.Random, said: Any = ANY) -> np.ndarray:
    """(count, *shape) array of UTF-8 bytes; a text that holds a mask needs no other."""
    texts = corpus.columns.get(each.name, corpus.texts)
    total = count * int(np.prod(each.shape))
    chosen: list[str] = []
    while len(chosen) < total:
        chosen += generator.sample(texts, min(total - len(chosen), len(texts)))
    around = said if isinstance(said, str) and ANY in said else ANY
    needed = around.replace(ANY, "").strip()  # what a corpus made for the model has already
    encoded = [(text if needed and needed in text else around.replace(ANY, text)).encode("utf-8") for text in chosen]
    return np.array(encoded, dtype=object).reshape(count, *each.shape)
