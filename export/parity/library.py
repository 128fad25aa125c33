"""A checkpoint in the library that wrote its folder, asked with plain texts: what tbgen's reading is held against."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.checkpoint.pytorch import model_from_checkpoint, quiet
from tbgen.export.errors import MissingExtra, UserError, require
from tbgen.export.families import is_endless, positions_of
from tbgen.export.parity.parity import model_run
from tbgen.export.parity.sentences import pair_of
from tbgen.export.run import Run, Tensors
from tbgen.export.tokenizers.auto_tokenizer import auto_tokenizer
from tbgen.export.tokenizers.tokenizer import TYPES, TokenizerReading

_SENTENCE_TRANSFORMERS = "sentence-transformers"


class Library:
    """transformers, or sentence-transformers where that wrote the folder, on one checkpoint; loaded when first asked.

    `name` is what to call it, `kind` the class of sentence-transformers, empty for transformers' own. `max_length` is
    the longest text in tokens, the checkpoint's own unless named. Nothing of tbgen's tokenizer, steps or graph is in
    it: a text goes in as it is.
    """

    def __init__(self, checkpoint: Checkpoint, model: Any = None, *, max_length: int | None = None) -> None:
        self.checkpoint = checkpoint
        self.max_length = max_length or checkpoint.max_length
        self.kind = checkpoint.sentence.kind if checkpoint.sentence else ""
        self.name = _SENTENCE_TRANSFORMERS if self.kind else "transformers"
        self.pipelines: dict[str, Any] = {}
        if model is not None:
            self.model = model  # loaded already, by transformers itself

    @cached_property
    def tokenizer(self) -> Any:
        """transformers' tokenizer, which cuts at the checkpoint's own length.

        Of slow files it is what the slow classes read: transformers 5 reads them otherwise (tokenizers/convert.py).
        """
        reading = self.checkpoint.tokenizer
        made = _fast_tokenizer(reading) if reading.slow else self.auto
        made.model_max_length = self.max_length
        self._take_types(made)
        return made

    def _take_types(self, tokenizer: Any) -> None:
        """Let a tokenizer give no types to a model that has one alone: it would fail on a pair's second text."""
        if self.checkpoint.config.get("type_vocab_size") == 1:
            tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name != TYPES]

    @cached_property
    def auto(self) -> Any:
        """What transformers itself makes of the folder's tokenizer files."""
        return auto_tokenizer(self.checkpoint.folder, self.checkpoint.config)

    def read_otherwise(self, texts: Sequence[str]) -> str:
        """A sentence on slow files, and on texts that transformers 5 reads otherwise than their classes did."""
        if not self.checkpoint.tokenizer.slow:
            return ""
        unequal = [text for text in texts if self.auto(text)["input_ids"] != self.tokenizer(text)["input_ids"]]
        return (
            "the tokenizer was made of slow files, as the classes of transformers 4 read them"
            + (f"; transformers 5 reads {len(unequal)} of {len(texts)} texts otherwise, such as " if unequal else "")
            + (repr(short_text(unequal[0])) if unequal else "")
        )

    @cached_property
    def model(self) -> Any:
        """transformers' model of the task, with the labels that the classes were given."""
        model = model_from_checkpoint(self.checkpoint)
        if self.checkpoint.labels:
            model.config.id2label = dict(enumerate(self.checkpoint.labels))
            model.config.label2id = {label: number for number, label in enumerate(self.checkpoint.labels)}
        return model

    def pipeline(self, task: str, **settings: Any) -> Any:
        """transformers' pipeline of a task, made once."""
        if task not in self.pipelines:
            transformers = require("transformers", extra="onnx")
            with quiet(transformers):
                self.pipelines[task] = transformers.pipeline(
                    task, model=self.model, tokenizer=self.tokenizer, device="cpu", **settings
                )
        return self.pipelines[task]

    @cached_property
    def missing(self) -> str:
        """Why sentence-transformers, which wrote the folder, cannot be asked; empty where it can, or did not."""
        try:
            if self.kind:
                require("sentence_transformers", extra="sentence")
        except MissingExtra as error:
            return f"{self.name} was not asked: {error.message}"
        return ""

    @cached_property
    def whole(self) -> Any:
        """The object of sentence-transformers that the folder was saved from. Raises UserError without that library."""
        package, torch = require("sentence_transformers", extra="sentence"), require("torch", extra="onnx")
        in_fp32 = {"model_kwargs": {"dtype": torch.float32}}  # as it is exported, whatever its weights were saved in
        with quiet(require("transformers", extra="onnx")), known_warnings():
            made = getattr(package, self.kind)(
                str(self.checkpoint.root), device="cpu", local_files_only=True, **in_fp32
            )
        config = self.checkpoint.config
        own, end = made.max_seq_length, math.inf if is_endless(config) else positions_of(config)
        if own is None or own > end or self.max_length < self.checkpoint.max_length:
            made.max_seq_length = self.max_length  # it would fail on a text that has no positions
        self._take_types(made.tokenizer)
        return made.eval()

    def ids(self, text: str) -> list[int]:
        """The token ids of a text, for a task on pairs with its partner."""
        texts = pair_of(text) if self.checkpoint.row.pair else (text,)
        if self.kind and not self.missing:
            both = [list(texts)] if len(texts) > 1 else list(texts)
            read = self.whole.preprocess(both)
            return [int(number) for number in read["input_ids"][0][read["attention_mask"][0] > 0]]
        return list(self.tokenizer(*texts, truncation=True)["input_ids"])

    def run(self) -> Run:
        """The model as a function of token tensors; what sentence-transformers puts into the graph, by its modules."""
        pooled = self.checkpoint.pooled and not self.missing
        return _sentence_run(self.whole) if pooled else model_run(self.model, self.checkpoint.task)

    def logits(self, pairs: Sequence[tuple[str, str]] | Sequence[str]) -> Any:
        """What the model gives for each text or pair alone: a list of torch tensors, without the batch axis."""
        torch = require("torch", extra="onnx")
        found = []
        for each in pairs:
            texts = (each,) if isinstance(each, str) else each
            with torch.inference_mode():
                answer = self.model(**self.tokenizer(*texts, truncation=True, return_tensors="pt"))
            found.append(answer[next(iter(self.checkpoint.row.outputs.values()))][0])
        return found


def _fast_tokenizer(reading: TokenizerReading) -> Any:
    """A reading in transformers' plain class."""
    transformers = require("transformers", extra="onnx")
    roles = {f"{role}_token": reading.tokenizer.id_to_token(number) for role, number in reading.special.items()}
    names = ["input_ids", *([TYPES] if reading.types else []), "attention_mask"]
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=reading.tokenizer, model_input_names=names, **reading.settings, **roles
    )


def _sentence_run(whole: Any) -> Run:
    """The modules of a SentenceTransformer as a function, without the last scaling to length 1."""
    torch = require("torch", extra="onnx")

    def run(inputs: Tensors) -> Tensors:
        features = {name: torch.from_numpy(tensor.astype(np.int64)) for name, tensor in inputs.items()}
        *modules, last = whole
        with torch.inference_mode():
            for module in modules if type(last).__name__ == "Normalize" else whole:
                features = module(features)
        return {"outputs": features["sentence_embedding"].numpy()}

    return run


@contextmanager
def known_warnings() -> Iterator[None]:
    """Keep the libraries' advice to their own users off the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def refuse_other_ids(
    library: Library, ids: Callable[[str], list[int]], texts: Sequence[str], tokenizer_file: Path
) -> None:
    """Raise UserError for the first text that becomes other token ids in tbgen, by its file, than in the library.

    Of slow files nothing is compared: their reading is tbgen's own.
    """
    for text in () if library.checkpoint.tokenizer.slow else texts:
        want, have = library.ids(text), ids(text)
        if want != have:
            unequal = (n for n, (a, b) in enumerate(zip(want, have, strict=False)) if a != b)
            place = next(unequal, min(len(want), len(have)))
            theirs, ours = (library.tokenizer.convert_ids_to_tokens(ids[place : place + 4]) for ids in (want, have))
            raise UserError(
                f"the tokenizer gives other ids for {short_text(text)!r}: from token {place} on transformers reads "
                f"{theirs}, tbgen {ours}. {_difference(tokenizer_file, library.checkpoint.tokenizer.tokenizer)}"
            )


def _difference(file: Path, tokenizer: Any) -> str:
    """What a tokenizer.json has otherwise than a checkpoint's tokenizer, and what to do then."""
    ours, theirs = json.loads(file.read_text(encoding="utf-8")), json.loads(tokenizer.to_str())
    keys = [key for key in theirs if ours.get(key) != theirs[key]]
    if not keys:
        return "The two tokenizers are the same, so it is a setting of how they are called: tell tbgen's authors"
    return (
        f"{file.name} differs in {', '.join(keys)} from what the checkpoint's files ask for; export or scaffold it anew"
    )


def short_text(text: str, most: int = 60) -> str:
    """A text as an error quotes it."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
