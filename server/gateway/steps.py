"""The steps of a model, constructed in the gateway from its folder: what they take of a request, and its tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as TokenizerFile

from tbgen.backends.request_parameters import Rules
from tbgen.generator.calls import parts_of
from tbgen.generator.engines.table import engine_steps
from tbgen.generator.steps.chain import chain_parameters
from tbgen.generator.steps.load import listing, newest_steps, step_from_row
from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.no_answer import NoAnswer

_Row = tuple[Mapping[str, Any], Path]


@dataclass(frozen=True)
class ModelSteps:
    """The steps before a model's engine, and the rows of those behind it with their version folders."""

    before: tuple[Any, ...]
    rows_behind: tuple[_Row, ...]

    @cached_property
    def parameters(self) -> Rules:
        """The request parameters of all steps, with their rules."""
        return chain_parameters([*self.before, *(step_from_row(*row) for row in self.rows_behind)])

    @cached_property
    def tokenizer(self) -> TokenizerFile:
        """The tokenizer, which cuts nothing off. Raises NoAnswer where no step has one."""
        step = next((each for each in self.before if hasattr(each, "tokenizer")), None)
        if step is None:
            raise NoAnswer(501, "no step before the model's engine has a tokenizer, so its tokens are not known")
        tokenizer = TokenizerFile.from_str(step.tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = step.tokenizer.encode_special_tokens
        return tokenizer

    @property
    def prompts(self) -> dict[str, str]:
        """What can be put before a text, by name."""
        return {name: text for step in self.before for name, text in getattr(step, "prompts", {}).items()}


def steps_of_model(model: FrontModel) -> ModelSteps:
    """The steps of a front model. Raises NoAnswer where its folder is not at hand, or its steps do not load."""
    if model.folder is None:
        raise NoAnswer(501, f"the steps of {model.model!r} are not at hand; start the gateway with -r REPOSITORY")
    try:
        written = max(file.stat().st_mtime for file in (model.folder, *model.folder.glob("*")))
        return _steps_in(model.folder, written)
    except Exception as error:
        raise NoAnswer(501, f"the steps of {model.model!r} do not load here: {error}") from error


@lru_cache(256)
def _steps_in(folder: Path, written: float) -> ModelSteps:  # noqa: ARG001 - a model that is written anew is read anew
    rows = [*_rows_of(folder)]
    engine = next((number for number, (row, _) in enumerate(rows) if row["class"] in engine_steps()), len(rows))
    return ModelSteps(tuple(step_from_row(*row) for row in rows[:engine]), tuple(rows[engine + 1 :]))


def _rows_of(folder: Path) -> Iterator[_Row]:
    """The rows of a model's steps.json; of an ensemble those of its models, of a separate step those of its model."""
    for part in parts_of(folder) or [folder]:
        file = newest_steps(part)
        engine: list[dict[str, Any]] = [{"class": "Engine", "settings": {}}]
        for row in listing(file.parent)["steps"] if file else engine:
            if callee := row["settings"].get("callee"):
                yield from _rows_of(part.parent / callee)
            else:
                yield row, file.parent if file else part / "1"
