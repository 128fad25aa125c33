"""The texts that a benchmark sends: the bundled corpus or a file, drawn into requests of the model's inputs."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.errors import NoSuchName, UserError
from tbgen.generator.compare.example import ANY, MAIN
from tbgen.generator.presets import SAMPLES

OWN_CORPUS = SAMPLES / "korean_finance.csv"
TEXT_COLUMNS = ("input_text", "text", "sentence", "kor_sentence", "document")
LIST_TEXTS = 4  # texts in an input whose number of texts an item is open
SEED = 0  # the same texts in the same order each time, so that two runs can be compared

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


def own_corpus() -> Corpus:
    """The bundled corpus of Korean finance sentences."""
    return corpus_from_file(OWN_CORPUS)


def corpus_from_file(file: Path, column: str | None = None) -> Corpus:
    """The texts of a .csv file with a header, or else the lines of a file; empty ones left out. Raises UserError."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            if file.suffix.lower() == ".csv":
                return corpus_from_rows(file, list(csv.DictReader(stream)), column)
            texts = [line.rstrip("\r\n") for line in stream if line.strip()]
    except OSError as error:
        raise UserError(f"{str(file)!r} cannot be read: {error.strerror}; --text takes a file of texts") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{str(file)!r} is not UTF-8: {error.reason} at byte {error.start}") from error
    if not texts:
        raise UserError(f"no text in {str(file)!r}")
    return Corpus(file.name, {}, texts)


def corpus_from_rows(file: Path, rows: Sequence[Mapping[str, str]], column: str | None) -> Corpus:
    """The corpus of a CSV file's rows. Raises UserError when no column is the text."""
    if not rows:
        raise UserError(f"no text in {str(file)!r}")
    names = list(rows[0])
    chosen = column or next((name for name in TEXT_COLUMNS if name in names), None)
    if chosen is None:
        raise UserError(f"{str(file)!r} has the columns {', '.join(names)}; name the one with the text: --column NAME")
    if chosen not in names:
        raise NoSuchName("column", chosen, names)
    full = [row for row in rows if (row[chosen] or "").strip()]
    if not full:
        raise UserError(f"column {chosen!r} of {str(file)!r} is empty")
    return Corpus(file.name, {name: [row[name] or "" for row in full] for name in names}, [r[chosen] for r in full])


def text_inputs(config: Mapping[str, Any], batch: int) -> list[TextInput]:
    """The text tensors of a request with `batch` items, from a model's configuration. Raises UserError."""
    name, limit = config["name"], int(config.get("max_batch_size", 0))
    tensors = [tensor for tensor in config["input"] if not tensor.get("optional")]
    if others := [tensor["name"] for tensor in tensors if tensor["data_type"] != "TYPE_STRING"]:
        raise UserError(f"model {name!r} takes {', '.join(others)}, which is not text; benchmark a front model")
    if limit and batch > limit:
        raise UserError(f"model {name!r} takes at most {limit} texts a request, not {batch}; use a smaller --batch")
    return [TextInput(tensor["name"], request_shape(tensor["dims"], bool(limit), batch)) for tensor in tensors]


def request_shape(dims: Sequence[int | str], batching: bool, batch: int) -> tuple[int, ...]:
    """The shape of one text tensor of a request; without batching an open first axis is the batch."""
    sizes = [int(size) for size in dims]
    if batching:
        return (batch, *(LIST_TEXTS if size == -1 else size for size in sizes))
    return (batch if sizes[0] == -1 else sizes[0], *(LIST_TEXTS if size == -1 else size for size in sizes[1:]))


def requests_from_corpus(
    corpus: Corpus, inputs: Sequence[TextInput], count: int, item: Mapping[str, Any] | None = None
) -> list[Inputs]:
    """`count` requests, texts drawn at random so that they are as long as the corpus is; each text once if possible.

    item: what is known of an item (`said_of_folder`): a text takes a drawn one in its {}; a list without any stays.
    """
    generator = random.Random(SEED)
    said = {each.name: (item or {}).get(each.name, (item or {}).get(MAIN)) for each in inputs}
    columns = {
        each.name: repeated(said[each.name], each.shape[0], count)
        if is_fixed(said[each.name]) and len(each.shape) == 2 and each.name not in corpus.columns
        else drawn(corpus, each, count, generator, said[each.name])
        for each in inputs
    }
    return [{name: column[index] for name, column in columns.items()} for index in range(count)]


def is_fixed(said: Any) -> bool:
    """Whether an input is the same list in each item, such as one of labels."""
    return isinstance(said, list) and not any(ANY in str(text) for text in said)


def repeated(texts: Sequence[str], items: int, count: int) -> np.ndarray:
    """(count, items, texts) array of UTF-8 bytes: a list in each item."""
    encoded = np.array([text.encode("utf-8") for text in texts], dtype=object)
    return np.broadcast_to(encoded, (count, items, len(texts))).copy()


def drawn(corpus: Corpus, each: TextInput, count: int, generator: random.Random, said: Any = ANY) -> np.ndarray:
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
